// SPDX-License-Identifier: MIT
// graph/infer.h: shapes of single nodes, folding of size arithmetic, and what is refused.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opcase.h"
#include "suite.h"

// Shape of output `i` after inference, as text; or the error's text.
static const char *shape_after(struct opcase *c, int i)
{
    static char text[640];
    struct cs_graph concrete;
    struct cs_err err = {0};
    if (cs_graph_infer(&c->graph, c->shapes, &concrete, &err) < 0) {
        snprintf(text, sizeof text, "%s", err.text);
        ck_assert_int_eq(err.code, CS_EMODEL);
    } else {
        cs_shape_text(&concrete.values[concrete.outputs[i]].shape, text, sizeof text);
        cs_graph_release(&concrete);
    }
    opcase_release(c);
    return text;
}

static struct cs_node *begin(struct opcase *c, int opset, const struct cs_shape *in,
                             const struct cs_shape *weight, const char *op)
{
    opcase_init(c, opset, 1);
    opcase_input(c, in);
    if (weight)
        opcase_weight(c, weight);
    return opcase_node(c, op, 1);
}

START_TEST(core_windows)
{
    struct opcase c;
    struct cs_node *node = begin(&c, 17, SHAPE(2, 4, 33, 20), SHAPE(6, 2, 3, 5), "Conv");
    cs_node_add_int(&c.graph, node, "group", 2);
    cs_node_add_ints(&c.graph, node, "strides", (int64_t[]){2, 1}, 2);
    cs_node_add_ints(&c.graph, node, "pads", (int64_t[]){1, 2, 0, 1}, 4);
    ck_assert_str_eq(shape_after(&c, 0), "2x6x16x19");

    node = begin(&c, 17, SHAPE(1, 4, 7, 9), SHAPE(4, 3, 3, 3), "ConvTranspose");
    cs_node_add_int(&c.graph, node, "group", 2);
    cs_node_add_ints(&c.graph, node, "strides", (int64_t[]){2, 3}, 2);
    cs_node_add_ints(&c.graph, node, "pads", (int64_t[]){1, 0, 1, 1}, 4);
    cs_node_add_ints(&c.graph, node, "output_padding", (int64_t[]){1, 0}, 2);
    ck_assert_str_eq(shape_after(&c, 0), "1x6x14x26");

    node = begin(&c, 17, SHAPE(1, 2, 7, 8), NULL, "MaxPool");
    cs_node_add_ints(&c.graph, node, "kernel_shape", (int64_t[]){2, 2}, 2);
    cs_node_add_ints(&c.graph, node, "strides", (int64_t[]){2, 2}, 2);
    cs_node_add_int(&c.graph, node, "ceil_mode", 1);
    ck_assert_str_eq(shape_after(&c, 0), "1x2x4x4");

    node = begin(&c, 17, SHAPE(1, 2, 7, 8), NULL, "AveragePool");
    cs_node_add_ints(&c.graph, node, "kernel_shape", (int64_t[]){3, 3}, 2);
    cs_node_add_ints(&c.graph, node, "strides", (int64_t[]){2, 2}, 2);
    cs_node_add_string(&c.graph, node, "auto_pad", "SAME_UPPER");
    ck_assert_str_eq(shape_after(&c, 0), "1x2x4x4");
}
END_TEST

START_TEST(core_reshape)
{
    struct opcase c;
    opcase_init(&c, 17, 1);
    opcase_input(&c, SHAPE(2, 6, 4, 5));
    opcase_ints(&c, (int64_t[]){0, 3, -1}, 3);
    opcase_node(&c, "Reshape", 1);
    ck_assert_str_eq(shape_after(&c, 0), "2x3x40");

    opcase_init(&c, 17, 1);
    opcase_input(&c, SHAPE(2, 6, 4, 5));
    opcase_ints(&c, (int64_t[]){7, -1}, 2);
    opcase_node(&c, "Reshape", 1);
    ck_assert_str_eq(shape_after(&c, 0), "node Reshape (Reshape): 2x6x4x5 does not fit 7x34");

    opcase_init(&c, 17, 1);
    opcase_input(&c, SHAPE(2, 1, 4, 1));
    opcase_ints(&c, (int64_t[]){-1}, 1);
    opcase_node(&c, "Squeeze", 1);
    ck_assert_str_eq(shape_after(&c, 0), "2x1x4");

    struct cs_node *node = begin(&c, 11, SHAPE(2, 4), NULL, "Unsqueeze");
    cs_node_add_ints(&c.graph, node, "axes", (int64_t[]){0, -1}, 2);
    ck_assert_str_eq(shape_after(&c, 0), "1x2x4x1");

    node = begin(&c, 17, SHAPE(2, 3, 4, 5), NULL, "Flatten");
    cs_node_add_int(&c.graph, node, "axis", 2);
    ck_assert_str_eq(shape_after(&c, 0), "6x20");

    node = begin(&c, 17, SHAPE(2, 3, 4, 5), NULL, "Transpose");
    cs_node_add_ints(&c.graph, node, "perm", (int64_t[]){0, 2, 3, 1}, 4);
    ck_assert_str_eq(shape_after(&c, 0), "2x4x5x3");
}
END_TEST

START_TEST(core_parts)
{
    struct opcase c;
    opcase_init(&c, 17, 1);
    opcase_input(&c, SHAPE(1, 7, 4, 4));
    opcase_ints(&c, (int64_t[]){3, 4}, 2);
    struct cs_node *node = opcase_node(&c, "Split", 2);
    cs_node_add_int(&c.graph, node, "axis", 1);
    ck_assert_str_eq(shape_after(&c, 1), "1x4x4x4");

    opcase_init(&c, 17, 1);
    opcase_input(&c, SHAPE(1, 3, 10, 10));
    opcase_ints(&c, (int64_t[]){-1, 1}, 2);
    opcase_ints(&c, (int64_t[]){-11, INT64_MAX}, 2);
    opcase_ints(&c, (int64_t[]){2, 3}, 2);
    opcase_ints(&c, (int64_t[]){-3, 4}, 2);
    opcase_node(&c, "Slice", 1);
    ck_assert_str_eq(shape_after(&c, 0), "1x3x4x3");

    node = begin(&c, 9, SHAPE(1, 3, 10, 10), NULL, "Slice");
    cs_node_add_ints(&c.graph, node, "starts", (int64_t[]){2}, 1);
    cs_node_add_ints(&c.graph, node, "ends", (int64_t[]){-1}, 1);
    cs_node_add_ints(&c.graph, node, "axes", (int64_t[]){3}, 1);
    ck_assert_str_eq(shape_after(&c, 0), "1x3x10x7");

    opcase_init(&c, 17, 1);
    opcase_input(&c, SHAPE(1, 3, 4, 4));
    opcase_input(&c, SHAPE(1, 5, 4, 4));
    cs_node_add_int(&c.graph, opcase_node(&c, "Concat", 1), "axis", -3);
    ck_assert_str_eq(shape_after(&c, 0), "1x8x4x4");

    opcase_init(&c, 18, 1);
    opcase_input(&c, SHAPE(2, 3, 4, 5));
    opcase_ints(&c, (int64_t[]){-1, 1}, 2);
    cs_node_add_int(&c.graph, opcase_node(&c, "ReduceMean", 1), "keepdims", 0);
    ck_assert_str_eq(shape_after(&c, 0), "2x4");
}
END_TEST

START_TEST(core_resize)
{
    struct opcase c;
    opcase_init(&c, 17, 1);
    opcase_input(&c, SHAPE(1, 2, 5, 6));
    opcase_value(&c, -1);
    opcase_weight_data(&c, SHAPE(4), (float[]){1, 1, 2.5f, 0.5f});
    opcase_node(&c, "Resize", 1);
    ck_assert_str_eq(shape_after(&c, 0), "1x2x12x3");

    opcase_init(&c, 18, 1);
    opcase_input(&c, SHAPE(1, 2, 5, 6));
    opcase_value(&c, -1);
    opcase_value(&c, -1);
    opcase_ints(&c, (int64_t[]){9, 8}, 2);
    struct cs_node *node = opcase_node(&c, "Resize", 1);
    cs_node_add_ints(&c.graph, node, "axes", (int64_t[]){3, 2}, 2);
    ck_assert_str_eq(shape_after(&c, 0), "1x2x8x9");

    opcase_init(&c, 9, 1);
    opcase_input(&c, SHAPE(1, 2, 5, 6));
    opcase_weight_data(&c, SHAPE(4), (float[]){1, 1, 2, 3});
    opcase_node(&c, "Upsample", 1);
    ck_assert_str_eq(shape_after(&c, 0), "1x2x10x18");
}
END_TEST

// What exporters write for "resize a to the size of b": Shape, Slice, Gather, Mul, Concat, Cast.
START_TEST(core_folding)
{
    struct opcase c;
    struct cs_graph concrete;
    struct cs_err err = {0};
    opcase_init(&c, 17, 1);
    int image = opcase_input(&c, SHAPE(1, 3, 20, 30));
    opcase_node(&c, "Shape", 1);
    int shape = c.graph.outputs[0];
    opcase_value(&c, shape);
    opcase_ints(&c, (int64_t[]){0}, 1);
    opcase_ints(&c, (int64_t[]){2}, 1);
    opcase_ints(&c, (int64_t[]){0}, 1);
    opcase_node(&c, "Slice", 1);
    int front = c.graph.outputs[0];
    opcase_value(&c, shape);
    opcase_ints(&c, (int64_t[]){-2, -1}, 2);
    opcase_node(&c, "Gather", 1);
    opcase_value(&c, c.graph.outputs[0]);
    opcase_ints(&c, (int64_t[]){2}, 1);
    opcase_node(&c, "Mul", 1);
    int doubled = c.graph.outputs[0];
    opcase_value(&c, doubled);
    cs_node_add_int(&c.graph, opcase_node(&c, "Cast", 1), "to", 1);
    opcase_value(&c, c.graph.outputs[0]);
    opcase_node(&c, "Floor", 1);
    opcase_value(&c, c.graph.outputs[0]);
    cs_node_add_int(&c.graph, opcase_node(&c, "Cast", 1), "to", 7);
    int sizes = c.graph.outputs[0];
    opcase_value(&c, front);
    opcase_value(&c, sizes);
    cs_node_add_int(&c.graph, opcase_node(&c, "Concat", 1), "axis", 0);
    int whole = c.graph.outputs[0];
    opcase_value(&c, image);
    opcase_value(&c, -1);
    opcase_value(&c, -1);
    opcase_value(&c, whole);
    opcase_node(&c, "Resize", 1);
    ck_assert_msg(cs_graph_infer(&c.graph, c.shapes, &concrete, &err) == 0, "%s", err.text);
    ck_assert_int_eq(concrete.node_count, 1);
    char text[64];
    cs_shape_text(&concrete.values[concrete.outputs[0]].shape, text, sizeof text);
    ck_assert_str_eq(text, "1x3x40x60");
    const int64_t *folded = concrete.values[whole].data;
    ck_assert_int_eq(folded[3], 60);
    cs_graph_release(&concrete);
    opcase_release(&c);
}
END_TEST

// One binary operator on constant integers; the result's first element, or the error.
static const char *fold_ints(const char *op, int64_t a, int64_t b)
{
    static char text[640];
    struct opcase c;
    struct cs_graph concrete;
    struct cs_err err = {0};
    opcase_init(&c, 17, 1);
    opcase_input(&c, SHAPE(1));
    c.pending_count = 0;
    opcase_ints(&c, &a, 1);
    opcase_ints(&c, &b, 1);
    opcase_node(&c, op, 1);
    if (cs_graph_infer(&c.graph, c.shapes, &concrete, &err) < 0) {
        snprintf(text, sizeof text, "%s", err.text);
    } else {
        const struct cs_value *out = &concrete.values[concrete.outputs[0]];
        long long value = out->type == CS_TYPE_BOOL ? *(const unsigned char *)out->data
                                                    : *(const int64_t *)out->data;
        snprintf(text, sizeof text, "%lld", value);
        cs_graph_release(&concrete);
    }
    opcase_release(&c);
    return text;
}

START_TEST(core_integers)
{
    ck_assert_str_eq(fold_ints("Add", 3, -5), "-2");
    ck_assert_str_eq(fold_ints("Sub", 3, -5), "8");
    ck_assert_str_eq(fold_ints("Div", -7, 2), "-3");
    ck_assert_str_eq(fold_ints("Mod", -7, 3), "2");
    ck_assert_str_eq(fold_ints("Mod", 7, -3), "-2");
    ck_assert_str_eq(fold_ints("Pow", 3, 4), "81");
    ck_assert_str_eq(fold_ints("Max", 3, 4), "4");
    ck_assert_str_eq(fold_ints("Min", 3, 4), "3");
    ck_assert_str_eq(fold_ints("Equal", 3, 3), "1");
    ck_assert_str_eq(fold_ints("Greater", 3, 4), "0");
    ck_assert_str_eq(fold_ints("Less", 3, 4), "1");
}
END_TEST

START_TEST(limits_integers)
{
    ck_assert_str_eq(fold_ints("Div", 1, 0), "node Div (Div): divides by zero");
    ck_assert_str_eq(fold_ints("Mod", 1, 0), "node Mod (Mod): divides by zero");
    ck_assert_str_eq(fold_ints("Div", INT64_MIN, -1), "-9223372036854775808");
    ck_assert_str_eq(fold_ints("Mod", INT64_MIN, -1), "0");
    ck_assert_str_eq(fold_ints("Mul", INT64_MAX, 2), "-2");
    ck_assert_str_eq(fold_ints("Add", INT64_MAX, 1), "-9223372036854775808");
    ck_assert_str_eq(fold_ints("Pow", 10, 100), "0");
}
END_TEST

START_TEST(limits_refused)
{
    struct opcase c;
    begin(&c, 17, SHAPE(1, 3, 4, 4), NULL, "Frobnicate");
    ck_assert_str_eq(shape_after(&c, 0),
                     "node Frobnicate (Frobnicate): the operator is not supported");
    begin(&c, 17, SHAPE(1, 3, 4, 4), SHAPE(8, 4, 3, 3), "Conv");
    ck_assert_str_eq(shape_after(&c, 0), "node Conv (Conv): 3 channels do not fit weights of 8x4 "
                                         "in 1 groups");
    begin(&c, 17, SHAPE(1, 3, 4, 4), SHAPE(8, 3, 5, 5), "Conv");
    ck_assert_str_eq(shape_after(&c, 0),
                     "node Conv (Conv): the kernel covers 5 samples, the input has 4");
    begin(&c, 17, SHAPE(1, 3, 4), SHAPE(8, 3, 3, 3), "Conv");
    ck_assert_str_eq(shape_after(&c, 0), "node Conv (Conv): weights must have 3 dimensions");
    begin(&c, 17, SHAPE(3, 4), SHAPE(8, 3), "Conv");
    ck_assert_str_eq(shape_after(&c, 0),
                     "node Conv (Conv): input must have 3 to 5 dimensions (N,C,...)");
    begin(&c, 17, SHAPE(1, 3, 4, 4), SHAPE(2), "Add");
    ck_assert_str_eq(shape_after(&c, 0), "node Add (Add): shapes 1x3x4x4 and 2 do not fit");
    struct cs_node *node = begin(&c, 17, SHAPE(1, 3, 4, 4), NULL, "Cast");
    cs_node_add_int(&c.graph, node, "to", 10);
    ck_assert_str_eq(shape_after(&c, 0), "node Cast (Cast): to type 10 is not supported");
    node = begin(&c, 17, SHAPE(1, 3, 4, 4), NULL, "MaxPool");
    cs_node_add_ints(&c.graph, node, "kernel_shape", (int64_t[]){2, 2}, 2);
    cs_node_add_ints(&c.graph, node, "strides", (int64_t[]){0, 1}, 2);
    ck_assert_str_eq(shape_after(&c, 0),
                     "node MaxPool (MaxPool): kernel, strides or dilations out of range");
    node = begin(&c, 17, SHAPE(1, 3, 4, 4), NULL, "BatchNormalization");
    ck_assert_str_eq(shape_after(&c, 0),
                     "node BatchNormalization (BatchNormalization): has 1 inputs and 1 outputs");
    node = begin(&c, 17, SHAPE(1, 3, 4, 4), NULL, "Softmax");
    cs_node_add_int(&c.graph, node, "axis", 4);
    ck_assert_str_eq(shape_after(&c, 0), "node Softmax (Softmax): axis 4 is outside a rank of 4");
}
END_TEST

// A few bytes that ask for much memory.
START_TEST(limits_large)
{
    struct opcase c;
    opcase_init(&c, 17, 1);
    opcase_input(&c, SHAPE(1, 1, 2, 2));
    c.pending_count = 0;
    opcase_ints(&c, (int64_t[]){1 << 20, 1 << 20}, 2);
    opcase_node(&c, "ConstantOfShape", 1);
    ck_assert_str_eq(shape_after(&c, 0), "node ConstantOfShape (ConstantOfShape): bad shape");
    opcase_init(&c, 17, 1);
    opcase_input(&c, SHAPE(1, 1, 2, 2));
    opcase_ints(&c, (int64_t[]){1, 1, INT64_MAX / 2, 2}, 4);
    opcase_node(&c, "Tile", 1);
    ck_assert_str_eq(shape_after(&c, 0), "node Tile (Tile): output 0 is too large");
    opcase_init(&c, 17, 1);
    opcase_input(&c, SHAPE(1, 1, 2, 2));
    opcase_ints(&c, (int64_t[]){1, 1, INT64_MAX, 2}, 4);
    opcase_node(&c, "Tile", 1);
    ck_assert_str_eq(shape_after(&c, 0), "node Tile (Tile): bad repeat 9223372036854775807");
}
END_TEST

START_TEST(limits_inputs)
{
    struct opcase c;
    struct cs_graph concrete;
    struct cs_err err = {0};
    begin(&c, 17, SHAPE(1, 3, -1, -1), NULL, "Relu");
    struct cs_shape good = *SHAPE(1, 3, 8, 8), bad = *SHAPE(1, 4, 8, 8), open = *SHAPE(1, 3, -1, 8);
    ck_assert_int_eq(cs_graph_infer(&c.graph, &good, &concrete, &err), 0);
    cs_graph_release(&concrete);
    ck_assert_int_eq(cs_graph_infer(&c.graph, &bad, &concrete, &err), -1);
    ck_assert_str_eq(err.text, "input \"v0\" is 1x3x?x?, which 1x4x8x8 does not fit");
    ck_assert_int_eq(cs_graph_infer(&c.graph, &open, &concrete, &err), -1);
    opcase_release(&c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("infer");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_test(core, core_windows);
    tcase_add_test(core, core_reshape);
    tcase_add_test(core, core_parts);
    tcase_add_test(core, core_resize);
    tcase_add_test(core, core_folding);
    tcase_add_test(core, core_integers);
    tcase_add_test(limits, limits_integers);
    tcase_add_test(limits, limits_refused);
    tcase_add_test(limits, limits_large);
    tcase_add_test(limits, limits_inputs);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
