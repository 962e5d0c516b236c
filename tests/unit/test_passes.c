// SPDX-License-Identifier: MIT
// The passes (graph/passes.h): each one's rewrite as a dump, what looks alike and is left alone,
// and the same results on ref before and after all of them. Those that find what exporters spell
// out are in test_passes_spelled.c.
#include <string.h>

#include "graph/passes.h"
#include "passcase.h"
#include "suite.h"

static void relu(struct opcase *c, int of)
{
    opcase_value(c, of);
    opcase_node(c, "Relu", 1);
}

static int conv(struct opcase *c, int of, int64_t in, int64_t out, int64_t kernel)
{
    int64_t pad = kernel / 2;
    opcase_value(c, of);
    opcase_weight(c, SHAPE(out, in, kernel, kernel));
    struct cs_node *node = opcase_node(c, "Conv", 1);
    cs_node_add_ints(&c->graph, node, "pads", (int64_t[]){pad, pad, pad, pad}, 4);
    return opcase_last(c);
}

static void batch_norm(struct opcase *c, int of, int64_t channels)
{
    opcase_value(c, of);
    opcase_weight(c, SHAPE(channels));
    opcase_weight(c, SHAPE(channels));
    opcase_weight(c, SHAPE(channels));
    opcase_weight_range(c, SHAPE(channels), 0.5, 2);
    opcase_node(c, "BatchNormalization", 1);
}

START_TEST(core_remove_identity)
{
    struct opcase c;
    opcase_init(&c, 17, 1);
    int x = opcase_input(&c, SHAPE(1, 2, 4, 4));
    opcase_node(&c, "Identity", 1);
    opcase_value(&c, opcase_last(&c));
    opcase_ints(&c, (int64_t[]){1, 2, 4, -1}, 4);
    opcase_node(&c, "Reshape", 1);
    relu(&c, opcase_last(&c));
    opcase_value(&c, opcase_last(&c));
    opcase_node(&c, "Dropout", 1);
    (void)x;
    passcase_expect(&c, "remove_identity", 3, "Relu v0:1x2x4x4 -> v5:1x2x4x4\n");

    opcase_init(&c, 17, 1); // an output must be made by a node
    opcase_input(&c, SHAPE(1, 2, 4, 4));
    opcase_node(&c, "Identity", 1);
    passcase_expect(&c, "remove_identity", 0, "Identity v0:1x2x4x4 -> v1:1x2x4x4\n");

    opcase_init(&c, 17, 1); // pads that shift keep the size
    opcase_input(&c, SHAPE(1, 1, 2, 3));
    opcase_node(&c, "Relu", 1);
    opcase_value(&c, opcase_last(&c));
    opcase_ints(&c, (int64_t[]){0, 0, 0, 1, 0, 0, 0, -1}, 8);
    opcase_node(&c, "Pad", 1);
    passcase_expect(&c, "remove_identity", 0,
                    "Relu v0:1x1x2x3 -> v1:1x1x2x3\nPad v1:1x1x2x3 v2:8:int64= -> v3:1x1x2x3\n");
}
END_TEST

// Before shapes are known, training shows in the node alone; inference then refuses it.
START_TEST(core_training)
{
    struct opcase c;
    struct cs_err err = {0};
    for (int i = 0; i < 2; i++) {
        int x = passcase_begin(&c, 17, SHAPE(1, 2, 4, 4));
        relu(&c, x);
        opcase_value(&c, opcase_last(&c));
        opcase_weight_data(&c, SHAPE(), (float[]){0.5f});
        opcase_tensor(&c, true, CS_TYPE_BOOL, SHAPE(), (double[]){1 - i});
        opcase_node(&c, "Dropout", 1);
        ck_assert_int_eq(cs_graph_finish(&c.graph, &err), 0);
        ck_assert_int_eq(cs_graph_run_passes(&c.graph, CS_PASSES_ALGEBRA, &err), 0);
        ck_assert_int_eq(c.graph.node_count, 2 - i);
        opcase_release(&c);
    }
    for (int i = 0; i < 2; i++) {
        int x = passcase_begin(&c, 17, SHAPE(1, 2, 4, 4));
        batch_norm(&c, conv(&c, x, 2, 2, 1), 2);
        cs_node_add_int(&c.graph, &c.graph.nodes[1], "training_mode", 1 - i);
        ck_assert_int_eq(cs_graph_finish(&c.graph, &err), 0);
        ck_assert_int_eq(cs_graph_run_passes(&c.graph, CS_PASSES_ALGEBRA, &err), 0);
        ck_assert_int_eq(c.graph.node_count, 2 - i);
        opcase_release(&c);
    }
}
END_TEST

START_TEST(core_dropout_mask)
{
    struct opcase c;
    opcase_init(&c, 17, 1);
    opcase_input(&c, SHAPE(1, 2, 4, 4));
    opcase_node(&c, "Relu", 1);
    opcase_value(&c, opcase_last(&c));
    opcase_node(&c, "Dropout", 2);
    passcase_leaves(&c, "remove_identity");
}
END_TEST

START_TEST(core_fold_batchnorm)
{
    struct opcase c;
    opcase_init(&c, 17, 2);
    int x = opcase_input(&c, SHAPE(1, 2, 5, 5));
    c.pending_count = 0;
    batch_norm(&c, conv(&c, x, 2, 3, 3), 3);
    passcase_expect(
        &c, "fold_batchnorm", 1,
        "Conv v0:1x2x5x5 Conv.weight:3x2x3x3= Conv.bias:3= -> v7:1x3x5x5 pads=1,1,1,1\n");

    opcase_init(&c, 17, 3);
    opcase_input(&c, SHAPE(1, 4, 5, 5));
    opcase_weight(&c, SHAPE(4, 3, 2, 2)); // two groups: six channels
    opcase_weight(&c, SHAPE(6));
    struct cs_node *node = opcase_node(&c, "ConvTranspose", 1);
    cs_node_add_ints(&c.graph, node, "strides", (int64_t[]){2, 2}, 2);
    cs_node_add_int(&c.graph, node, "group", 2);
    batch_norm(&c, opcase_last(&c), 6);
    passcase_expect(&c, "fold_batchnorm", 1,
                    "ConvTranspose v0:1x4x5x5 ConvTranspose.weight:4x3x2x2= "
                    "ConvTranspose.bias:6= -> v8:1x6x10x10 strides=2,2 group=2\n");

    opcase_init(&c, 17, 4); // the convolution's result is read twice: nothing to fold
    x = opcase_input(&c, SHAPE(1, 2, 5, 5));
    c.pending_count = 0;
    int made = conv(&c, x, 2, 2, 1);
    batch_norm(&c, made, 2);
    opcase_value(&c, opcase_last(&c));
    opcase_value(&c, made);
    opcase_node(&c, "Mul", 1);
    passcase_expect(&c, "fold_batchnorm", 0,
                    "Conv v0:1x2x5x5 v1:2x2x1x1= -> v2:1x2x5x5 pads=0,0,0,0\n"
                    "BatchNormalization v2:1x2x5x5 v3:2= v4:2= v5:2= v6:2= -> v7:1x2x5x5\n"
                    "Mul v7:1x2x5x5 v2:1x2x5x5 -> v8:1x2x5x5\n");
}
END_TEST

START_TEST(core_global_pool)
{
    struct opcase c;
    opcase_init(&c, 17, 5); // what AdaptiveMaxPool2d(1) becomes
    opcase_input(&c, SHAPE(1, 2, 6, 5));
    struct cs_node *node = opcase_node(&c, "MaxPool", 1);
    cs_node_add_ints(&c.graph, node, "kernel_shape", (int64_t[]){6, 5}, 2);
    passcase_expect(&c, "global_pool", 1, "GlobalMaxPool v0:1x2x6x5 -> v1:1x2x1x1\n");

    opcase_init(&c, 18, 6);
    opcase_input(&c, SHAPE(1, 2, 6, 5));
    opcase_ints(&c, (int64_t[]){-1, 2}, 2);
    opcase_node(&c, "ReduceMean", 1);
    passcase_expect(&c, "global_pool", 1, "GlobalAveragePool v0:1x2x6x5 -> v2:1x2x1x1\n");

    opcase_init(&c, 17, 7); // over channels: something else
    opcase_input(&c, SHAPE(1, 2, 3, 3));
    node = opcase_node(&c, "ReduceMax", 1);
    cs_node_add_ints(&c.graph, node, "axes", (int64_t[]){1}, 1);
    passcase_leaves(&c, "global_pool");

    opcase_init(&c, 17, 7); // the plane's axes go
    opcase_input(&c, SHAPE(1, 2, 3, 3));
    node = opcase_node(&c, "ReduceMax", 1);
    cs_node_add_ints(&c.graph, node, "axes", (int64_t[]){2, 3}, 2);
    cs_node_add_int(&c.graph, node, "keepdims", 0);
    passcase_leaves(&c, "global_pool");

    for (int side = 0; side < 2; side++) { // a window of the plane's size that leaves its edge out
        opcase_init(&c, 17, 8);
        opcase_input(&c, SHAPE(1, 2, 3, 3));
        node = opcase_node(&c, "MaxPool", 1);
        const int64_t pads[2][4] = {{1, 0, 0, 0}, {0, 0, 0, 1}};
        cs_node_add_ints(&c.graph, node, "kernel_shape", (int64_t[]){3, 3}, 2);
        cs_node_add_ints(&c.graph, node, "strides", (int64_t[]){2, 2}, 2);
        cs_node_add_ints(&c.graph, node, "pads", pads[side], 4);
        passcase_leaves(&c, "global_pool");
    }

    opcase_init(&c, 17, 8); // a volume has no planes
    opcase_input(&c, SHAPE(1, 2, 2, 3, 4));
    node = opcase_node(&c, "AveragePool", 1);
    cs_node_add_ints(&c.graph, node, "kernel_shape", (int64_t[]){2, 3, 4}, 3);
    passcase_expect(&c, "global_pool", 0,
                    "AveragePool v0:1x2x2x3x4 -> v1:1x2x1x1x1 kernel_shape=2,3,4\n");

    opcase_init(&c, 17, 9); // positions are asked for too
    opcase_input(&c, SHAPE(1, 2, 6, 5));
    node = opcase_node(&c, "MaxPool", 2);
    cs_node_add_ints(&c.graph, node, "kernel_shape", (int64_t[]){6, 5}, 2);
    struct cs_graph concrete;
    struct cs_err err = {0};
    ck_assert_int_eq(cs_graph_infer(&c.graph, c.shapes, &concrete, &err), 0);
    ck_assert_int_eq(cs_graph_run_passes(&concrete, CS_PASSES_FUSION, &err), 0);
    ck_assert_str_eq(concrete.nodes[0].op, "MaxPool");
    cs_graph_release(&concrete);
    opcase_release(&c);
}
END_TEST

START_TEST(core_fuse_add)
{
    struct opcase c;
    opcase_init(&c, 17, 8);
    int x = opcase_input(&c, SHAPE(1, 2, 4, 4));
    c.pending_count = 0;
    int body = opcase_norm(&c, conv(&c, x, 2, 2, 3), 2);
    opcase_value(&c, body);
    opcase_value(&c, x);
    opcase_node(&c, "Add", 1);
    relu(&c, opcase_last(&c));
    passcase_expect(&c, "fuse_add", 1,
                    "Conv v0:1x2x4x4 v1:2x2x3x3= -> v2:1x2x4x4 pads=1,1,1,1\n"
                    "InstanceNormalization v2:1x2x4x4 v3:2= v4:2= -> v6:1x2x4x4 +v0:1x2x4x4\n"
                    "Relu v6:1x2x4x4 -> v7:1x2x4x4\n");

    opcase_init(&c, 17, 9); // the shortcut is made later: it takes the body in
    x = opcase_input(&c, SHAPE(1, 2, 4, 4));
    c.pending_count = 0;
    body = opcase_norm(&c, x, 2);
    int shortcut = conv(&c, x, 2, 2, 1);
    opcase_value(&c, body);
    opcase_value(&c, shortcut);
    opcase_node(&c, "Add", 1);
    passcase_expect(&c, "fuse_add", 1,
                    "InstanceNormalization v0:1x2x4x4 v1:2= v2:2= -> v3:1x2x4x4\n"
                    "Conv v0:1x2x4x4 v4:2x2x1x1= -> v6:1x2x4x4 pads=0,0,0,0 +v3:1x2x4x4\n");

    opcase_init(&c, 17, 10); // broadcasting is left alone
    x = opcase_input(&c, SHAPE(1, 2, 4, 4));
    c.pending_count = 0;
    body = conv(&c, x, 2, 2, 1);
    opcase_value(&c, body);
    opcase_weight(&c, SHAPE(2, 1, 1));
    opcase_node(&c, "Add", 1);
    passcase_expect(&c, "fuse_add", 0,
                    "Conv v0:1x2x4x4 v1:2x2x1x1= -> v2:1x2x4x4 pads=0,0,0,0\n"
                    "Add v2:1x2x4x4 v3:2x1x1= -> v4:1x2x4x4\n");
}
END_TEST

// A fusion adds, then activates, once: what comes behind stays outside, also when passes run again.
START_TEST(core_fuse_once)
{
    struct opcase c;
    struct cs_graph concrete;
    struct cs_err err = {0};
    struct cs_buf once = {0}, twice = {0};
    int x = passcase_begin(&c, 17, SHAPE(1, 2, 4, 4));
    relu(&c, conv(&c, x, 2, 2, 1));
    int activated = opcase_unary(&c, "Sigmoid", opcase_last(&c));
    relu(&c, conv(&c, activated, 2, 2, 3));
    opcase_binary(&c, "Add", opcase_last(&c), x);
    ck_assert_int_eq(cs_graph_infer(&c.graph, c.shapes, &concrete, &err), 0);
    ck_assert_int_eq(cs_graph_run_passes(&concrete, CS_PASSES_FUSION, &err), 0);
    cs_graph_dump(&concrete, &once);
    ck_assert_int_eq(cs_graph_run_passes(&concrete, CS_PASSES_FUSION, &err), 0);
    cs_graph_dump(&concrete, &twice);
    ck_assert_str_eq(once.data, twice.data);
    cs_buf_release(&once);
    cs_buf_release(&twice);
    cs_graph_release(&concrete);
    passcase_expect(
        &c, "fuse_activation", 2,
        "Conv v0:1x2x4x4 v1:2x2x1x1= -> v3:1x2x4x4 pads=0,0,0,0 | Relu 0.00999999978 0.5\n"
        "Sigmoid v3:1x2x4x4 -> v4:1x2x4x4\n"
        "Conv v4:1x2x4x4 v5:2x2x3x3= -> v7:1x2x4x4 pads=1,1,1,1 | Relu 0.00999999978 0.5\n"
        "Add v7:1x2x4x4 v0:1x2x4x4 -> v8:1x2x4x4\n");
}
END_TEST

// Each activation that a fusion can take, with the parameters that ONNX gives it by default.
START_TEST(core_fuse_defaults)
{
    static const char *const activations[] = {"Relu", "LeakyRelu", "Sigmoid",     "Tanh",
                                              "Elu",  "HardSwish", "HardSigmoid", "Gelu"};
    struct opcase c;
    struct cs_buf nodes = {0};
    int x = passcase_begin(&c, 20, SHAPE(1, 2, 4, 4));
    opcase_unary(&c, activations[_i], conv(&c, x, 2, 2, 3));
    cs_buf_addf(&nodes, "Conv v0:1x2x4x4 v1:2x2x3x3= -> v3:1x2x4x4 pads=1,1,1,1 | %s %s 0.5\n",
                activations[_i],
                strcmp(activations[_i], "HardSigmoid") == 0 ? "0.200000003"
                : strcmp(activations[_i], "Elu") == 0       ? "1"
                                                            : "0.00999999978");
    passcase_expect(&c, "fuse_activation", 1, nodes.data);
    cs_buf_release(&nodes);
}
END_TEST

START_TEST(core_fuse_activation)
{
    struct opcase c;
    opcase_init(&c, 17, 11);
    int x = opcase_input(&c, SHAPE(1, 2, 4, 4));
    c.pending_count = 0;
    opcase_value(&c, conv(&c, x, 2, 2, 1));
    cs_node_add_float(&c.graph, opcase_node(&c, "LeakyRelu", 1), "alpha", 0.25f);
    passcase_expect(
        &c, "fuse_activation", 1,
        "Conv v0:1x2x4x4 v1:2x2x1x1= -> v3:1x2x4x4 pads=0,0,0,0 | LeakyRelu 0.25 0.5\n");

    opcase_init(&c, 17, 12);
    opcase_input(&c, SHAPE(1, 2, 4, 4));
    opcase_weight(&c, SHAPE(1));
    opcase_node(&c, "Add", 1);
    opcase_value(&c, opcase_last(&c));
    opcase_weight_data(&c, SHAPE(1), (float[]){-0.5f});
    opcase_weight_data(&c, SHAPE(1), (float[]){0.75f});
    opcase_node(&c, "Clip", 1);
    passcase_expect(&c, "fuse_activation", 1,
                    "Add v0:1x2x4x4 v1:1= -> v5:1x2x4x4 | Clip -0.5 0.75\n");

    opcase_init(&c, 17, 13); // integers
    opcase_tensor(&c, false, CS_TYPE_I64, SHAPE(2), (double[]){-1, 2});
    opcase_tensor(&c, true, CS_TYPE_I64, SHAPE(1), (double[]){-3});
    opcase_node(&c, "Add", 1);
    relu(&c, opcase_last(&c));
    passcase_expect(&c, "fuse_activation", 0,
                    "Add v0:2:int64 v1:1:int64= -> v2:2:int64\nRelu v2:2:int64 -> v3:2:int64\n");

    opcase_init(&c, 17, 14); // limits that are computed
    opcase_input(&c, SHAPE(4));
    opcase_weight(&c, SHAPE(1));
    opcase_node(&c, "Mul", 1);
    opcase_value(&c, opcase_last(&c));
    opcase_tensor(&c, false, CS_TYPE_F32, SHAPE(1), (double[]){0.25});
    opcase_node(&c, "Clip", 1);
    struct cs_graph concrete;
    struct cs_err err = {0};
    ck_assert_int_eq(cs_graph_infer(&c.graph, c.shapes, &concrete, &err), 0);
    ck_assert_int_eq(cs_graph_run_passes(&concrete, CS_PASSES_FUSION, &err), 0);
    ck_assert_int_eq(concrete.node_count, 2);
    cs_graph_release(&concrete);
    opcase_release(&c);
}
END_TEST

static int enlarge(struct opcase *c, int of, int64_t channels, bool sizes)
{
    opcase_value(c, of);
    opcase_value(c, -1);
    if (sizes) {
        opcase_value(c, -1);
        opcase_ints(c, (int64_t[]){1, channels, 8, 12}, 4);
    } else {
        opcase_weight_data(c, SHAPE(4), (float[]){1, 1, 4, 4});
    }
    struct cs_node *node = opcase_node(c, "Resize", 1);
    cs_node_add_string(&c->graph, node, "mode", "linear");
    if (sizes)
        cs_node_add_string(&c->graph, node, "coordinate_transformation_mode", "align_corners");
    return opcase_last(c);
}

START_TEST(core_lift_resize)
{
    struct opcase c;
    opcase_init(&c, 17, 14);
    int whole = opcase_input(&c, SHAPE(1, 2, 8, 12));
    int small = opcase_input(&c, SHAPE(1, 70, 4, 6));
    int tiny = opcase_input(&c, SHAPE(1, 80, 2, 3));
    int few = opcase_input(&c, SHAPE(1, 3, 2, 3));
    c.pending_count = 0;
    int parts[] = {enlarge(&c, small, 70, true), whole, enlarge(&c, tiny, 80, false),
                   enlarge(&c, few, 3, false)}; // few: not worth it
    for (int i = 0; i < 4; i++)
        opcase_value(&c, parts[i]);
    cs_node_add_int(&c.graph, opcase_node(&c, "Concat", 1), "axis", 1);
    opcase_value(&c, opcase_last(&c));
    opcase_weight_range(&c, SHAPE(5, 155, 1, 1), -0.1, 0.1);
    opcase_weight(&c, SHAPE(5));
    opcase_node(&c, "Conv", 1);
    relu(&c, opcase_last(&c));
    passcase_expect(&c, "lift_resize", 1,
                    "Resize v3:1x3x2x3 - v8:4= -> v9:1x3x8x12 mode=linear\n"
                    "Concat v0:1x2x8x12 v9:1x3x8x12 -> Concat.15:1x5x8x12 axis=1\n"
                    "Conv Concat.15:1x5x8x12 v11:5x5x1x1= v12:5= -> Conv.17:1x5x8x12\n"
                    "Conv v1:1x70x4x6 v11:5x70x1x1= -> Conv.19:1x5x4x6\n"
                    "Conv v2:1x80x2x3 v11:5x80x1x1= -> Conv.21:1x5x2x3\n"
                    "Resize Conv.19:1x5x4x6 - - Resize:4:int64= -> Resize.23:1x5x8x12 mode=linear "
                    "coordinate_transformation_mode=align_corners\n"
                    "Add Conv.17:1x5x8x12 Resize.23:1x5x8x12 -> Conv.24:1x5x8x12\n"
                    "Resize Conv.21:1x5x2x3 - v6:4= -> Resize.25:1x5x8x12 mode=linear\n"
                    "Add Conv.24:1x5x8x12 Resize.25:1x5x8x12 -> Conv.26:1x5x8x12\n"
                    "Relu Conv.26:1x5x8x12 -> v14:1x5x8x12\n");
}
END_TEST

// Identity over weights shared by two nodes, before any shape is known.
START_TEST(core_fold_constants)
{
    struct opcase c;
    struct cs_err err = {0};
    struct cs_buf text = {0};
    opcase_init(&c, 17, 13);
    int x = opcase_input(&c, SHAPE(-1, 2, -1, -1));
    c.pending_count = 0;
    opcase_weight(&c, SHAPE(3, 2, 1, 1));
    opcase_node(&c, "Identity", 1);
    int shared = opcase_last(&c);
    opcase_value(&c, x);
    opcase_value(&c, shared);
    opcase_node(&c, "Conv", 1);
    batch_norm(&c, opcase_last(&c), 3);
    ck_assert_msg(cs_graph_run_passes(&c.graph, CS_PASSES_ALGEBRA, &err) == 0, "%s", err.text);
    cs_graph_dump(&c.graph, &text);
    ck_assert_str_eq(strchr(strchr(text.data, '\n') + 1, '\n') + 1,
                     "Conv v0:?x2x?x? Conv.weight:3x2x1x1= Conv.bias:3= -> v8:unknown:none\n");
    cs_buf_release(&text);
    opcase_release(&c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("passes");
    TCase *core = tcase_create("core");
    tcase_add_test(core, core_fold_constants);
    tcase_add_test(core, core_remove_identity);
    tcase_add_test(core, core_training);
    tcase_add_test(core, core_dropout_mask);
    tcase_add_test(core, core_fold_batchnorm);
    tcase_add_test(core, core_global_pool);
    tcase_add_test(core, core_lift_resize);
    tcase_add_test(core, core_fuse_add);
    tcase_add_test(core, core_fuse_activation);
    tcase_add_test(core, core_fuse_once);
    tcase_add_loop_test(core, core_fuse_defaults, 0, 8);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
