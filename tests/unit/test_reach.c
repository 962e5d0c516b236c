// SPDX-License-Identifier: MIT
// graph/reach.c: known receptive fields, what makes a network unsafe to tile, and the promise
// itself: no input pixel beyond the halo changes an output pixel.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opcase.h"
#include "suite.h"

static int value(const struct opcase *c)
{
    return c->graph.outputs[0];
}

static void conv(struct opcase *c, int64_t kernel, int64_t stride, int64_t dilation)
{
    int64_t pad = kernel / 2 * dilation;
    opcase_value(c, value(c));
    opcase_weight(c, SHAPE(1, 1, kernel, kernel));
    struct cs_node *node = opcase_node(c, "Conv", 1);
    cs_node_add_ints(&c->graph, node, "pads", (int64_t[]){pad, pad, pad, pad}, 4);
    cs_node_add_ints(&c->graph, node, "strides", (int64_t[]){stride, stride}, 2);
    cs_node_add_ints(&c->graph, node, "dilations", (int64_t[]){dilation, dilation}, 2);
}

// The same, its window shifted: more pads on one side.
static void shifted_conv(struct opcase *c, int64_t kernel, int64_t begin, int64_t end)
{
    opcase_value(c, value(c));
    opcase_weight(c, SHAPE(1, 1, kernel, kernel));
    struct cs_node *node = opcase_node(c, "Conv", 1);
    cs_node_add_ints(&c->graph, node, "pads", (int64_t[]){begin, begin, end, end}, 4);
}

static void pool(struct opcase *c)
{
    opcase_value(c, value(c));
    struct cs_node *node = opcase_node(c, "MaxPool", 1);
    cs_node_add_ints(&c->graph, node, "kernel_shape", (int64_t[]){2, 2}, 2);
    cs_node_add_ints(&c->graph, node, "strides", (int64_t[]){2, 2}, 2);
}

static void shifted_up(struct opcase *c, int64_t kernel, int64_t stride, int64_t begin, int64_t end)
{
    opcase_value(c, value(c));
    opcase_weight(c, SHAPE(1, 1, kernel, kernel));
    struct cs_node *node = opcase_node(c, "ConvTranspose", 1);
    cs_node_add_ints(&c->graph, node, "strides", (int64_t[]){stride, stride}, 2);
    cs_node_add_ints(&c->graph, node, "pads", (int64_t[]){begin, begin, end, end}, 4);
}

static void up(struct opcase *c, int64_t kernel, int64_t stride, int64_t pad)
{
    shifted_up(c, kernel, stride, pad, pad);
}

static void resize(struct opcase *c, const char *coord, const char *mode, float scale)
{
    opcase_value(c, value(c));
    opcase_value(c, -1);
    opcase_weight_data(c, SHAPE(4), (float[]){1, 1, scale, scale});
    struct cs_node *node = opcase_node(c, "Resize", 1);
    cs_node_add_string(&c->graph, node, "coordinate_transformation_mode", coord);
    cs_node_add_string(&c->graph, node, "mode", mode);
}

static void begin(struct opcase *c, int64_t size)
{
    opcase_init(c, 17, 7);
    opcase_input(c, SHAPE(1, 1, size, size));
    opcase_node(c, "Relu", 1);
}

static struct cs_reach reach_of(struct opcase *c)
{
    struct cs_reach reach;
    struct cs_err err = {0};
    ck_assert_msg(cs_graph_reach(&c->graph, &reach, &err) == 0, "%s", err.text);
    return reach;
}

START_TEST(core_known)
{
    struct opcase c;
    begin(&c, -1);
    conv(&c, 3, 1, 1);
    conv(&c, 3, 1, 2);
    struct cs_reach reach = reach_of(&c);
    ck_assert(reach.tile_safe);
    ck_assert_int_eq(reach.stride, 1);
    ck_assert_int_eq(reach.halo, 3);
    opcase_release(&c);

    begin(&c, -1); // 3x3, pool, 3x3, up, as in one level of a U-Net
    conv(&c, 3, 1, 1);
    int skip = value(&c);
    pool(&c);
    conv(&c, 3, 1, 1);
    up(&c, 2, 2, 0);
    opcase_value(&c, skip);
    opcase_value(&c, value(&c));
    cs_node_add_int(&c.graph, opcase_node(&c, "Concat", 1), "axis", 1);
    reach = reach_of(&c);
    ck_assert(reach.tile_safe);
    ck_assert_int_eq(reach.stride, 2);
    ck_assert_int_eq(reach.halo, 4);
    opcase_release(&c);
}
END_TEST

START_TEST(limits_stride)
{
    struct opcase c;
    struct cs_reach reach;
    struct cs_err err = {0};
    begin(&c, -1);
    conv(&c, 1, 256, 1);
    conv(&c, 1, 256, 1);
    ck_assert_int_eq(reach_of(&c).stride, 65536);
    conv(&c, 1, 2, 1);
    ck_assert_int_eq(cs_graph_reach(&c.graph, &reach, &err), -1);
    ck_assert_str_eq(err.text, "node Conv (Conv): the network's total stride is beyond 65536");
    opcase_release(&c);
}
END_TEST

// Tokens and heads of an attention are of rank 4 too; only a plane comes back with a scale.
START_TEST(core_tokens)
{
    struct opcase c;
    begin(&c, -1);
    pool(&c);
    opcase_value(&c, value(&c));
    opcase_ints(&c, (int64_t[]){1, 1, -1, 4}, 4);
    opcase_node(&c, "Reshape", 1);
    int tokens = value(&c);
    opcase_value(&c, tokens);
    opcase_ints(&c, (int64_t[]){1, 1, 2, -1}, 4);
    opcase_node(&c, "Reshape", 1);
    struct cs_reach reach = reach_of(&c);
    ck_assert(!reach.tile_safe);
    ck_assert_int_eq(reach.stride, 2);
    opcase_release(&c);
}
END_TEST

static const char *unsafe_of(struct opcase *c)
{
    struct cs_reach reach = reach_of(c);
    static char text[64];
    snprintf(text, sizeof text, "%s", reach.tile_safe ? "safe" : reach.unsafe_op);
    opcase_release(c);
    return text;
}

static const char *unsafe_after(const char *op, const int64_t *axes, int count)
{
    struct opcase c;
    begin(&c, -1);
    opcase_value(&c, value(&c));
    struct cs_node *node = opcase_node(&c, op, 1);
    if (axes)
        cs_node_add_ints(&c.graph, node, "axes", axes, count);
    return unsafe_of(&c);
}

START_TEST(core_unsafe)
{
    struct opcase c;
    ck_assert_str_eq(unsafe_after("GlobalAveragePool", NULL, 0), "GlobalAveragePool");
    ck_assert_str_eq(unsafe_after("GlobalMaxPool", NULL, 0), "GlobalMaxPool");
    ck_assert_str_eq(unsafe_after("ReduceMean", (int64_t[]){2, 3}, 2), "ReduceMean");
    ck_assert_str_eq(unsafe_after("ReduceMax", (int64_t[]){1}, 1), "safe");
    ck_assert_str_eq(unsafe_after("Flatten", NULL, 0), "Flatten");
    ck_assert_str_eq(unsafe_after("Transpose", NULL, 0), "Transpose");
    ck_assert_str_eq(unsafe_after("Softmax", NULL, 0), "Softmax");
    ck_assert_str_eq(unsafe_after("Sigmoid", NULL, 0), "safe");
    begin(&c, -1);
    resize(&c, "align_corners", "linear", 2);
    ck_assert_str_eq(unsafe_of(&c), "Resize");
    begin(&c, -1);
    resize(&c, "half_pixel", "linear", 2);
    ck_assert_str_eq(unsafe_of(&c), "safe");
    begin(&c, -1);
    opcase_value(&c, value(&c));
    opcase_weight(&c, SHAPE(1));
    opcase_weight(&c, SHAPE(1));
    opcase_node(&c, "InstanceNormalization", 1);
    ck_assert_str_eq(unsafe_of(&c), "InstanceNormalization");
    begin(&c, 16); // a table of positions
    opcase_value(&c, value(&c));
    opcase_weight(&c, SHAPE(16, 16));
    opcase_node(&c, "Add", 1);
    ck_assert_str_eq(unsafe_of(&c), "Add");
    begin(&c, 16); // and of rows
    opcase_value(&c, value(&c));
    opcase_weight(&c, SHAPE(16, 1));
    opcase_node(&c, "Mul", 1);
    ck_assert_str_eq(unsafe_of(&c), "Mul");
    begin(&c, 16); // places that do not lie over one another
    int whole = value(&c);
    pool(&c);
    opcase_value(&c, value(&c));
    opcase_ints(&c, (int64_t[]){0, 0, 0, 0, 0, 0, 8, 8}, 8);
    opcase_node(&c, "Pad", 1);
    opcase_value(&c, value(&c));
    opcase_value(&c, whole);
    opcase_node(&c, "Sub", 1);
    ck_assert_str_eq(unsafe_of(&c), "Sub");
    begin(&c, 16); // a window as large as the plane
    opcase_value(&c, value(&c));
    cs_node_add_ints(&c.graph, opcase_node(&c, "MaxPool", 1), "kernel_shape", (int64_t[]){16, 16},
                     2);
    ck_assert_str_eq(unsafe_of(&c), "MaxPool");
    begin(&c, -1);
    opcase_value(&c, value(&c));
    opcase_value(&c, value(&c));
    opcase_node(&c, "MatMul", 1);
    ck_assert_str_eq(unsafe_of(&c), "MatMul");
}
END_TEST

static void arg_max(struct opcase *c, int64_t axis)
{
    opcase_value(c, value(c));
    cs_node_add_int(&c->graph, opcase_node(c, "ArgMax", 1), "axis", axis);
}

// Operators that pick or resize by what the whole plane says, and their local kin.
START_TEST(core_unsafe_picks)
{
    struct opcase c;
    begin(&c, -1);
    arg_max(&c, 3);
    ck_assert_str_eq(unsafe_of(&c), "ArgMax");
    begin(&c, -1);
    arg_max(&c, 1);
    ck_assert_str_eq(unsafe_of(&c), "safe");
    for (int64_t axis = 1; axis <= 3; axis++) {
        begin(&c, -1);
        opcase_value(&c, value(&c));
        cs_node_add_int(&c.graph, opcase_node(&c, "Softmax", 1), "axis", axis);
        ck_assert_str_eq(unsafe_of(&c), axis == 1 ? "safe" : "Softmax");
    }
    begin(&c, -1);
    resize(&c, "half_pixel_symmetric", "linear", 2);
    ck_assert_str_eq(unsafe_of(&c), "safe");
    begin(&c, 33); // where the plane's end shifts every sample
    resize(&c, "half_pixel_symmetric", "linear", 0.5f);
    ck_assert_str_eq(unsafe_of(&c), "Resize");
    begin(&c, -1);
    opcase_value(&c, value(&c));
    opcase_weight_data(&c, SHAPE(8), (float[]){0, 0, 0.25f, 0.25f, 1, 1, 0.5f, 0.5f});
    opcase_weight_data(&c, SHAPE(4), (float[]){1, 1, 2, 2});
    cs_node_add_string(&c.graph, opcase_node(&c, "Resize", 1), "coordinate_transformation_mode",
                       "tf_crop_and_resize");
    ck_assert_str_eq(unsafe_of(&c), "Resize");
    begin(&c, 16); // pixels as weights
    opcase_weight(&c, SHAPE(1, 1, 16, 16));
    c.pending_count = 0;
    opcase_value(&c, value(&c));
    opcase_value(&c, value(&c));
    opcase_node(&c, "Conv", 1);
    ck_assert_str_eq(unsafe_of(&c), "Conv");
    begin(&c, 16); // pixels as indices
    int pixels = value(&c);
    arg_max(&c, 1);
    opcase_value(&c, pixels);
    opcase_value(&c, value(&c));
    cs_node_add_int(&c.graph, opcase_node(&c, "Gather", 1), "axis", 1);
    ck_assert_str_eq(unsafe_of(&c), "Gather");
    begin(&c, -1); // another rank
    opcase_value(&c, value(&c));
    opcase_weight(&c, SHAPE(2, 1, 1, 1, 1));
    opcase_node(&c, "Mul", 1);
    ck_assert_str_eq(unsafe_of(&c), "Mul");
}
END_TEST

// The pixel or its convolution, where a comparison and a class say so.
static void choose(struct opcase *c)
{
    int pixels = value(c);
    conv(c, 3, 1, 1);
    int near = value(c);
    conv(c, 5, 1, 1);
    opcase_value(c, value(c));
    opcase_weight_data(c, SHAPE(1), (float[]){0.5f});
    opcase_node(c, "Greater", 1);
    int above = value(c);
    opcase_value(c, pixels);
    opcase_value(c, near);
    cs_node_add_int(&c->graph, opcase_node(c, "Concat", 1), "axis", 1);
    opcase_value(c, value(c));
    cs_node_add_int(&c->graph, opcase_node(c, "ArgMax", 1), "axis", 1);
    opcase_value(c, value(c));
    cs_node_add_int(&c->graph, opcase_node(c, "Cast", 1), "to", 9);
    opcase_value(c, value(c));
    opcase_value(c, above);
    opcase_node(c, "And", 1);
    opcase_value(c, value(c));
    opcase_value(c, near);
    opcase_value(c, pixels);
    opcase_node(c, "Where", 1);
}

// More is seen on one side, below a stride.
static void build_shifted(struct opcase *c, bool left)
{
    pool(c);
    shifted_conv(c, 5, left ? 4 : 0, left ? 0 : 4);
    resize(c, "asymmetric", "nearest", 2);
}

static void build_shifted_up(struct opcase *c, bool left)
{
    pool(c);
    pool(c);
    for (int i = 0; i < 2; i++)
        shifted_up(c, 6, 2, left ? 0 : 4, left ? 4 : 0);
}

// Pads of its own, then a convolution without.
static void build_padded(struct opcase *c)
{
    opcase_value(c, value(c));
    opcase_ints(c, (int64_t[]){0, 0, 3, 3, 0, 0, 3, 3}, 8);
    cs_node_add_string(&c->graph, opcase_node(c, "Pad", 1), "mode", "reflect");
    shifted_conv(c, 7, 0, 0);
}

// Networks of every local operator whose output is as large as the input.
static void build(struct opcase *c, int kind, int64_t size)
{
    begin(c, size);
    switch (kind) {
    case 0:
        conv(c, 5, 2, 1);
        conv(c, 3, 2, 1);
        conv(c, 3, 1, 3);
        resize(c, "half_pixel", "linear", 4);
        conv(c, 3, 1, 1);
        break;
    case 1:
        conv(c, 3, 1, 1);
        pool(c);
        pool(c);
        conv(c, 3, 1, 1);
        up(c, 4, 2, 1);
        up(c, 2, 2, 0);
        break;
    case 2:
        resize(c, "asymmetric", "nearest", 0.5f);
        conv(c, 3, 1, 1);
        resize(c, "asymmetric", "nearest", 2);
        break;
    case 3:
        build_padded(c);
        break;
    case 4:
        opcase_value(c, value(c));
        cs_node_add_int(&c->graph, opcase_node(c, "SpaceToDepth", 1), "blocksize", 4);
        opcase_value(c, value(c));
        cs_node_add_int(&c->graph, opcase_node(c, "DepthToSpace", 1), "blocksize", 2);
        opcase_value(c, value(c));
        opcase_weight(c, SHAPE(4, 4, 3, 3));
        cs_node_add_ints(&c->graph, opcase_node(c, "Conv", 1), "pads", (int64_t[]){1, 1, 1, 1}, 4);
        opcase_value(c, value(c));
        cs_node_add_int(&c->graph, opcase_node(c, "DepthToSpace", 1), "blocksize", 2);
        break;
    case 5:
        resize(c, "half_pixel", "cubic", 0.5f);
        conv(c, 3, 1, 1);
        resize(c, "pytorch_half_pixel", "cubic", 2);
        break;
    case 6:
        resize(c, "half_pixel", "linear", 0.25f);
        cs_node_add_int(&c->graph, &c->graph.nodes[c->graph.node_count - 1], "antialias", 1);
        resize(c, "half_pixel_symmetric", "cubic", 4);
        break;
    case 7:
        choose(c);
        break;
    case 8:
    case 9:
        build_shifted(c, kind == 8);
        break;
    case 10:
    case 11:
        build_shifted_up(c, kind == 10);
        break;
    default:
        conv(c, 3, 2, 1);
        resize(c, "half_pixel", "linear", 2);
        resize(c, "half_pixel", "linear", 0.5f);
        up(c, 3, 2, 1);
        opcase_value(c, value(c)); // 2n - 1 pixels: one more
        opcase_ints(c, (int64_t[]){0, 0, 0, 0, 0, 0, 1, 1}, 8);
        opcase_node(c, "Pad", 1);
    }
}

static float *run(const struct opcase *c)
{
    struct cs_err err = {0};
    int64_t elements;
    float *out = opcase_run(c, "ref", &elements, &err);
    ck_assert_msg(out, "%s", err.text);
    ck_assert_int_eq(elements, 64 * 64);
    return out;
}

// Change one pixel: what differs must lie within the halo of it, and some network must come close.
START_TEST(core_promise)
{
    struct opcase c;
    float pixels[64 * 64];
    int64_t farthest = 0;
    build(&c, _i, 64);
    struct cs_reach reach = reach_of(&c);
    ck_assert(reach.tile_safe);
    for (int64_t i = 0; i < 64 * 64; i++)
        pixels[i] = ((const float *)c.data[0])[i] + 2; // positive: the ReLU lets all through
    c.data[0] = pixels;
    float *before = run(&c);
    for (int64_t at = 28; at < 36; at++) {
        float kept = pixels[at * 64 + at];
        pixels[at * 64 + at] = 100;
        float *after = run(&c);
        pixels[at * 64 + at] = kept;
        for (int64_t y = 0; y < 64; y++)
            for (int64_t x = 0; x < 64; x++)
                if (after[y * 64 + x] != before[y * 64 + x]) {
                    int64_t dy = llabs(y - at), dx = llabs(x - at);
                    farthest = dy > farthest ? dy : farthest;
                    farthest = dx > farthest ? dx : farthest;
                }
        free(after);
    }
    free(before);
    ck_assert_int_gt(farthest, 0);
    ck_assert_int_le(farthest, reach.halo);
    ck_assert_int_ge(reach.margin, farthest - reach.stride + 1);
    ck_assert_int_le(reach.margin, reach.halo + reach.stride - 1);
    ck_assert_int_eq(reach.margin % reach.stride, 0);
    ck_assert_int_ge(3 * farthest, reach.halo); // no idle promise
    opcase_release(&c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reach");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_test(core, core_known);
    tcase_add_test(core, core_tokens);
    tcase_add_test(core, core_unsafe);
    tcase_add_test(core, core_unsafe_picks);
    tcase_add_loop_test(core, core_promise, 0, 13);
    tcase_add_test(limits, limits_stride);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
