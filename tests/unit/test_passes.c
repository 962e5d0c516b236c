// SPDX-License-Identifier: MIT
// The passes (graph/passes.h): each one's rewrite as a dump, and the same results on ref before
// and after all of them.
#include <stdlib.h>
#include <string.h>

#include "graph/passes.h"
#include "opcase.h"
#include "suite.h"

static int value(const struct opcase *c)
{
    return c->graph.outputs[0];
}

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
    return value(c);
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

static int instance_norm(struct opcase *c, int of, int64_t channels)
{
    opcase_value(c, of);
    opcase_weight(c, SHAPE(channels));
    opcase_weight(c, SHAPE(channels));
    opcase_node(c, "InstanceNormalization", 1);
    return value(c);
}

// Runs one pass on the concrete graph and compares the nodes with the expected dump.
static void expect(struct opcase *c, const char *name, int rewrites, const char *dump)
{
    struct cs_graph concrete;
    struct cs_err err = {0};
    struct cs_buf text = {0};
    int count;
    ck_assert_msg(cs_graph_infer(&c->graph, c->shapes, &concrete, &err) == 0, "%s", err.text);
    const struct cs_pass *pass = cs_passes;
    while (pass->name && strcmp(pass->name, name) != 0)
        pass++;
    ck_assert_ptr_nonnull(pass->name);
    ck_assert_msg(cs_pass_run(pass, &concrete, &count, &err) == 0, "%s", err.text);
    cs_graph_dump(&concrete, &text);
    ck_assert_int_eq(count, rewrites);
    ck_assert_str_eq(strchr(strchr(text.data, '\n') + 1, '\n') + 1, dump);
    cs_buf_release(&text);
    cs_graph_release(&concrete);
    c->fused = true;
    struct opcase plain = *c;
    plain.fused = false;
    int64_t a, b;
    float *before = opcase_run(&plain, "ref", &a, &err), *after = opcase_run(c, "ref", &b, &err);
    ck_assert_msg(before && after, "%s", err.text);
    ck_assert_int_eq(a, b);
    for (int64_t i = 0; i < a; i++)
        ck_assert_double_eq_tol(before[i], after[i], 2e-6);
    free(before);
    free(after);
    opcase_release(c);
}

START_TEST(core_remove_identity)
{
    struct opcase c;
    opcase_init(&c, 17, 1);
    int x = opcase_input(&c, SHAPE(1, 2, 4, 4));
    opcase_node(&c, "Identity", 1);
    opcase_value(&c, value(&c));
    opcase_ints(&c, (int64_t[]){1, 2, 4, -1}, 4);
    opcase_node(&c, "Reshape", 1);
    relu(&c, value(&c));
    opcase_value(&c, value(&c));
    opcase_node(&c, "Dropout", 1);
    (void)x;
    expect(&c, "remove_identity", 3, "Relu v0:1x2x4x4 -> v5:1x2x4x4\n");

    opcase_init(&c, 17, 1); // an output must be made by a node
    opcase_input(&c, SHAPE(1, 2, 4, 4));
    opcase_node(&c, "Identity", 1);
    expect(&c, "remove_identity", 0, "Identity v0:1x2x4x4 -> v1:1x2x4x4\n");

    opcase_init(&c, 17, 1); // pads that shift keep the size
    opcase_input(&c, SHAPE(1, 1, 2, 3));
    opcase_node(&c, "Relu", 1);
    opcase_value(&c, value(&c));
    opcase_ints(&c, (int64_t[]){0, 0, 0, 1, 0, 0, 0, -1}, 8);
    opcase_node(&c, "Pad", 1);
    expect(&c, "remove_identity", 0,
           "Relu v0:1x1x2x3 -> v1:1x1x2x3\nPad v1:1x1x2x3 v2:8:int64= -> v3:1x1x2x3\n");
}
END_TEST

START_TEST(core_fold_batchnorm)
{
    struct opcase c;
    opcase_init(&c, 17, 2);
    int x = opcase_input(&c, SHAPE(1, 2, 5, 5));
    c.pending_count = 0;
    batch_norm(&c, conv(&c, x, 2, 3, 3), 3);
    expect(&c, "fold_batchnorm", 1,
           "Conv v0:1x2x5x5 Conv.weight:3x2x3x3= Conv.bias:3= -> v7:1x3x5x5 pads=1,1,1,1\n");

    opcase_init(&c, 17, 3);
    opcase_input(&c, SHAPE(1, 4, 5, 5));
    opcase_weight(&c, SHAPE(4, 3, 2, 2)); // two groups: six channels
    opcase_weight(&c, SHAPE(6));
    struct cs_node *node = opcase_node(&c, "ConvTranspose", 1);
    cs_node_add_ints(&c.graph, node, "strides", (int64_t[]){2, 2}, 2);
    cs_node_add_int(&c.graph, node, "group", 2);
    batch_norm(&c, value(&c), 6);
    expect(&c, "fold_batchnorm", 1,
           "ConvTranspose v0:1x4x5x5 ConvTranspose.weight:4x3x2x2= "
           "ConvTranspose.bias:6= -> v8:1x6x10x10 strides=2,2 group=2\n");

    opcase_init(&c, 17, 4); // the convolution's result is read twice: nothing to fold
    x = opcase_input(&c, SHAPE(1, 2, 5, 5));
    c.pending_count = 0;
    int made = conv(&c, x, 2, 2, 1);
    batch_norm(&c, made, 2);
    opcase_value(&c, value(&c));
    opcase_value(&c, made);
    opcase_node(&c, "Mul", 1);
    expect(&c, "fold_batchnorm", 0,
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
    expect(&c, "global_pool", 1, "GlobalMaxPool v0:1x2x6x5 -> v1:1x2x1x1\n");

    opcase_init(&c, 18, 6);
    opcase_input(&c, SHAPE(1, 2, 6, 5));
    opcase_ints(&c, (int64_t[]){-1, 2}, 2);
    opcase_node(&c, "ReduceMean", 1);
    expect(&c, "global_pool", 1, "GlobalAveragePool v0:1x2x6x5 -> v2:1x2x1x1\n");

    opcase_init(&c, 17, 7); // over channels: something else
    opcase_input(&c, SHAPE(1, 2, 3, 3));
    node = opcase_node(&c, "ReduceMax", 1);
    cs_node_add_ints(&c.graph, node, "axes", (int64_t[]){1}, 1);
    expect(&c, "global_pool", 0, "ReduceMax v0:1x2x3x3 -> v1:1x1x3x3 axes=1\n");

    opcase_init(&c, 17, 8); // a volume has no planes
    opcase_input(&c, SHAPE(1, 2, 2, 3, 4));
    node = opcase_node(&c, "AveragePool", 1);
    cs_node_add_ints(&c.graph, node, "kernel_shape", (int64_t[]){2, 3, 4}, 3);
    expect(&c, "global_pool", 0, "AveragePool v0:1x2x2x3x4 -> v1:1x2x1x1x1 kernel_shape=2,3,4\n");

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

// ---- Functions and norms that exporters spell out ------------------------------------------

static int unary(struct opcase *c, const char *op, int of)
{
    opcase_value(c, of);
    opcase_node(c, op, 1);
    return value(c);
}

static int binary(struct opcase *c, const char *op, int a, int b)
{
    opcase_value(c, a);
    opcase_value(c, b);
    opcase_node(c, op, 1);
    return value(c);
}

static int scalar(struct opcase *c, const char *op, int of, float number)
{
    opcase_value(c, of);
    opcase_weight_data(c, SHAPE(1), (const float[]){number});
    opcase_node(c, op, 1);
    return value(c);
}

static int clip(struct opcase *c, int of, float low, float high)
{
    opcase_value(c, of);
    opcase_weight_data(c, SHAPE(1), (const float[]){low});
    opcase_weight_data(c, SHAPE(1), (const float[]){high});
    opcase_node(c, "Clip", 1);
    return value(c);
}

static int begin(struct opcase *c, int opset, const struct cs_shape *shape)
{
    opcase_init(c, opset, 20);
    int x = opcase_input(c, shape);
    c->pending_count = 0;
    return x;
}

START_TEST(core_swish)
{
    struct opcase c;
    int x = begin(&c, 17, SHAPE(1, 2, 3, 3));
    binary(&c, "Mul", unary(&c, "Sigmoid", x), x);
    expect(&c, "spelled_function", 1, "Swish v0:1x2x3x3 -> v2:1x2x3x3\n");

    x = begin(&c, 17, SHAPE(1, 2, 3, 3)); // a gate of another value
    int gate = unary(&c, "Sigmoid", x), other = unary(&c, "Relu", x);
    binary(&c, "Mul", gate, other);
    expect(&c, "spelled_function", 0,
           "Sigmoid v0:1x2x3x3 -> v1:1x2x3x3\nRelu v0:1x2x3x3 -> v2:1x2x3x3\n"
           "Mul v1:1x2x3x3 v2:1x2x3x3 -> v3:1x2x3x3\n");

    x = begin(&c, 17, SHAPE(1, 2, 3, 3)); // and twice that
    scalar(&c, "Mul", binary(&c, "Mul", x, unary(&c, "Sigmoid", x)), 2);
    expect(&c, "spelled_function", 1,
           "Swish v0:1x2x3x3 -> v2:1x2x3x3\nMul v2:1x2x3x3 v3:1= -> v4:1x2x3x3\n");
}
END_TEST

START_TEST(core_hard_swish)
{
    struct opcase c;
    int x = begin(&c, 17, SHAPE(1, 2, 3, 3));
    scalar(&c, "Div", binary(&c, "Mul", x, clip(&c, scalar(&c, "Add", x, 3), 0, 6)), 6);
    expect(&c, "spelled_function", 1, "HardSwish v0:1x2x3x3 -> v8:1x2x3x3\n");

    x = begin(&c, 17, SHAPE(1, 2, 3, 3));
    binary(&c, "Mul", scalar(&c, "Div", clip(&c, scalar(&c, "Add", x, 3), 0, 6), 6), x);
    expect(&c, "spelled_function", 1, "HardSwish v0:1x2x3x3 -> v8:1x2x3x3\n");

    x = begin(&c, 17, SHAPE(1, 2, 3, 3));
    opcase_value(&c, x);
    cs_node_add_float(&c.graph, opcase_node(&c, "HardSigmoid", 1), "alpha", 1.0f / 6);
    binary(&c, "Mul", x, value(&c));
    expect(&c, "spelled_function", 1, "HardSwish v0:1x2x3x3 -> v2:1x2x3x3\n");

    x = begin(&c, 17, SHAPE(1, 2, 3, 3)); // ONNX's own slope of 1/5 is something else
    binary(&c, "Mul", x, unary(&c, "HardSigmoid", x));
    expect(&c, "spelled_function", 0,
           "HardSigmoid v0:1x2x3x3 -> v1:1x2x3x3\nMul v0:1x2x3x3 v1:1x2x3x3 -> v2:1x2x3x3\n");

    x = begin(&c, 17, SHAPE(1, 2, 3, 3)); // another limit
    scalar(&c, "Div", binary(&c, "Mul", x, clip(&c, scalar(&c, "Add", x, 3), 0, 5)), 6);
    expect(&c, "spelled_function", 0,
           "Add v0:1x2x3x3 v1:1= -> v2:1x2x3x3\nClip v2:1x2x3x3 v3:1= v4:1= -> v5:1x2x3x3\n"
           "Mul v0:1x2x3x3 v5:1x2x3x3 -> v6:1x2x3x3\nDiv v6:1x2x3x3 v7:1= -> v8:1x2x3x3\n");
}
END_TEST

START_TEST(core_gelu)
{
    struct opcase c;
    int x = begin(&c, 17, SHAPE(1, 5, 4));
    int gate = scalar(&c, "Add", unary(&c, "Erf", scalar(&c, "Div", x, 1.41421356f)), 1);
    scalar(&c, "Mul", binary(&c, "Mul", x, gate), 0.5f);
    expect(&c, "spelled_function", 1, "Gelu v0:1x5x4 -> v8:1x5x4\n");

    x = begin(&c, 17, SHAPE(1, 5, 4));
    int half = scalar(&c, "Mul", x, 0.5f);
    gate = scalar(&c, "Add", unary(&c, "Erf", scalar(&c, "Mul", x, 0.70710678f)), 1);
    binary(&c, "Mul", half, gate);
    expect(&c, "spelled_function", 1, "Gelu v0:1x5x4 -> v8:1x5x4\n");

    for (int power = 0; power < 2; power++) {
        x = begin(&c, 17, SHAPE(1, 5, 4));
        int cube = power ? scalar(&c, "Pow", x, 3) : binary(&c, "Mul", binary(&c, "Mul", x, x), x);
        int sum = binary(&c, "Add", x, scalar(&c, "Mul", cube, 0.044715f));
        gate = scalar(&c, "Add", unary(&c, "Tanh", scalar(&c, "Mul", sum, 0.79788456f)), 1);
        binary(&c, "Mul", scalar(&c, "Mul", x, 0.5f), gate);
        expect(&c, "spelled_function", 1, "Gelu v0:1x5x4 -> v13:1x5x4 approximate=tanh\n");
    }

    x = begin(&c, 17, SHAPE(1, 5, 4)); // not the square root of 2
    gate = scalar(&c, "Add", unary(&c, "Erf", scalar(&c, "Div", x, 1.5f)), 1);
    scalar(&c, "Mul", binary(&c, "Mul", x, gate), 0.5f);
    expect(&c, "spelled_function", 0,
           "Div v0:1x5x4 v1:1= -> v2:1x5x4\nErf v2:1x5x4 -> v3:1x5x4\n"
           "Add v3:1x5x4 v4:1= -> v5:1x5x4\nMul v0:1x5x4 v5:1x5x4 -> v6:1x5x4\n"
           "Mul v6:1x5x4 v7:1= -> v8:1x5x4\n");
}
END_TEST

static int line_mean(struct opcase *c, int of)
{
    opcase_value(c, of);
    struct cs_node *node = opcase_node(c, "ReduceMean", 1);
    cs_node_add_ints(&c->graph, node, "axes", (int64_t[]){-1}, 1);
    return value(c);
}

// As exporters of opsets before 17 write it, but for the last sum.
static int layer_norm(struct opcase *c, int x, const struct cs_shape *weights)
{
    int d = binary(c, "Sub", x, line_mean(c, x));
    int deviation = unary(c, "Sqrt", scalar(c, "Add", line_mean(c, scalar(c, "Pow", d, 2)), 1e-6f));
    int norm = binary(c, "Div", d, deviation);
    opcase_value(c, norm);
    opcase_weight(c, weights);
    opcase_node(c, "Mul", 1);
    return value(c);
}

START_TEST(core_layer_norm)
{
    struct opcase c;
    layer_norm(&c, begin(&c, 16, SHAPE(2, 5, 8)), SHAPE(8));
    opcase_value(&c, value(&c));
    opcase_weight(&c, SHAPE(8));
    opcase_node(&c, "Add", 1);
    expect(&c, "layer_norm", 1,
           "LayerNormalization v0:2x5x8 v10:8= v12:8= -> v13:2x5x8 epsilon=9.99999997e-07\n");

    layer_norm(&c, begin(&c, 16, SHAPE(2, 5, 8)), SHAPE(5, 8)); // another scale for each line
    opcase_value(&c, value(&c));
    opcase_weight(&c, SHAPE(8));
    opcase_node(&c, "Add", 1);
    struct cs_graph concrete;
    struct cs_err err = {0};
    ck_assert_int_eq(cs_graph_infer(&c.graph, c.shapes, &concrete, &err), 0);
    ck_assert_int_eq(cs_graph_run_passes(&concrete, CS_PASSES_FUSION, &err), 0);
    ck_assert_int_ge(concrete.node_count, 8);
    cs_graph_release(&concrete);
    opcase_release(&c);
}
END_TEST

// As exporters of opsets before 21 write it.
static void group_norm(struct opcase *c, float ones)
{
    int x = begin(c, 17, SHAPE(2, 6, 4, 4));
    opcase_value(c, x);
    opcase_ints(c, (int64_t[]){0, 3, -1}, 3);
    opcase_node(c, "Reshape", 1);
    opcase_value(c, value(c));
    opcase_weight_data(c, SHAPE(3), (const float[]){1, ones, 1});
    opcase_weight_data(c, SHAPE(3), (const float[]){0, 0, 0});
    opcase_node(c, "InstanceNormalization", 1);
    opcase_value(c, value(c));
    opcase_ints(c, (int64_t[]){2, 6, 4, 4}, 4);
    opcase_node(c, "Reshape", 1);
    opcase_value(c, value(c));
    opcase_weight(c, SHAPE(6, 1, 1));
    opcase_node(c, "Mul", 1);
    opcase_value(c, value(c));
    opcase_weight(c, SHAPE(6, 1, 1));
    opcase_node(c, "Add", 1);
}

START_TEST(core_group_norm)
{
    struct opcase c;
    group_norm(&c, 1);
    expect(&c, "group_norm", 1,
           "GroupNormalization v0:2x6x4x4 v8:6= v10:6= -> v11:2x6x4x4 num_groups=3 "
           "epsilon=9.99999975e-06\n");
    group_norm(&c, 2); // a scale of its own inside
    expect(&c, "group_norm", 0,
           "Reshape v0:2x6x4x4 v1:3:int64= -> v2:2x3x32\n"
           "InstanceNormalization v2:2x3x32 v3:3= v4:3= -> v5:2x3x32\n"
           "Reshape v5:2x3x32 v6:4:int64= -> v7:2x6x4x4\n"
           "Mul v7:2x6x4x4 v8:6x1x1= -> v9:2x6x4x4\n"
           "Add v9:2x6x4x4 v10:6x1x1= -> v11:2x6x4x4\n");
}
END_TEST

START_TEST(core_fuse_add)
{
    struct opcase c;
    opcase_init(&c, 17, 8);
    int x = opcase_input(&c, SHAPE(1, 2, 4, 4));
    c.pending_count = 0;
    int body = instance_norm(&c, conv(&c, x, 2, 2, 3), 2);
    opcase_value(&c, body);
    opcase_value(&c, x);
    opcase_node(&c, "Add", 1);
    relu(&c, value(&c));
    expect(&c, "fuse_add", 1,
           "Conv v0:1x2x4x4 v1:2x2x3x3= -> v2:1x2x4x4 pads=1,1,1,1\n"
           "InstanceNormalization v2:1x2x4x4 v3:2= v4:2= -> v6:1x2x4x4 +v0:1x2x4x4\n"
           "Relu v6:1x2x4x4 -> v7:1x2x4x4\n");

    opcase_init(&c, 17, 9); // the shortcut is made later: it takes the body in
    x = opcase_input(&c, SHAPE(1, 2, 4, 4));
    c.pending_count = 0;
    body = instance_norm(&c, x, 2);
    int shortcut = conv(&c, x, 2, 2, 1);
    opcase_value(&c, body);
    opcase_value(&c, shortcut);
    opcase_node(&c, "Add", 1);
    expect(&c, "fuse_add", 1,
           "InstanceNormalization v0:1x2x4x4 v1:2= v2:2= -> v3:1x2x4x4\n"
           "Conv v0:1x2x4x4 v4:2x2x1x1= -> v6:1x2x4x4 pads=0,0,0,0 +v3:1x2x4x4\n");

    opcase_init(&c, 17, 10); // broadcasting is left alone
    x = opcase_input(&c, SHAPE(1, 2, 4, 4));
    c.pending_count = 0;
    body = conv(&c, x, 2, 2, 1);
    opcase_value(&c, body);
    opcase_weight(&c, SHAPE(2, 1, 1));
    opcase_node(&c, "Add", 1);
    expect(&c, "fuse_add", 0,
           "Conv v0:1x2x4x4 v1:2x2x1x1= -> v2:1x2x4x4 pads=0,0,0,0\n"
           "Add v2:1x2x4x4 v3:2x1x1= -> v4:1x2x4x4\n");
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
    expect(&c, "fuse_activation", 1,
           "Conv v0:1x2x4x4 v1:2x2x1x1= -> v3:1x2x4x4 pads=0,0,0,0 | LeakyRelu 0.25 0.5\n");

    opcase_init(&c, 17, 12);
    opcase_input(&c, SHAPE(1, 2, 4, 4));
    opcase_weight(&c, SHAPE(1));
    opcase_node(&c, "Add", 1);
    opcase_value(&c, value(&c));
    opcase_weight_data(&c, SHAPE(1), (float[]){-0.5f});
    opcase_weight_data(&c, SHAPE(1), (float[]){0.75f});
    opcase_node(&c, "Clip", 1);
    expect(&c, "fuse_activation", 1, "Add v0:1x2x4x4 v1:1= -> v5:1x2x4x4 | Clip -0.5 0.75\n");

    opcase_init(&c, 17, 13); // integers
    opcase_tensor(&c, false, CS_TYPE_I64, SHAPE(2), (double[]){-1, 2});
    opcase_tensor(&c, true, CS_TYPE_I64, SHAPE(1), (double[]){-3});
    opcase_node(&c, "Add", 1);
    relu(&c, value(&c));
    expect(&c, "fuse_activation", 0,
           "Add v0:2:int64 v1:1:int64= -> v2:2:int64\nRelu v2:2:int64 -> v3:2:int64\n");

    opcase_init(&c, 17, 14); // limits that are computed
    opcase_input(&c, SHAPE(4));
    opcase_weight(&c, SHAPE(1));
    opcase_node(&c, "Mul", 1);
    opcase_value(&c, value(&c));
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

// Scores of 2 x 5 queries and 4 keys, scaled and masked.
static int scores(struct opcase *c, bool masked)
{
    opcase_input(c, SHAPE(2, 5, 3));
    opcase_input(c, SHAPE(2, 3, 4));
    opcase_node(c, "MatMul", 1);
    opcase_value(c, value(c));
    opcase_weight_data(c, SHAPE(), (float[]){4});
    opcase_node(c, "Div", 1);
    if (masked) {
        opcase_weight(c, SHAPE(5, 4));
        opcase_value(c, value(c));
        opcase_node(c, "Add", 1);
    }
    return value(c);
}

static void attend(struct opcase *c, int of, int axis)
{
    opcase_value(c, of);
    cs_node_add_int(&c->graph, opcase_node(c, "Softmax", 1), "axis", axis);
    opcase_value(c, value(c));
    opcase_input(c, SHAPE(2, 4, 6));
    opcase_node(c, "MatMul", 1);
}

START_TEST(core_attention)
{
    struct opcase c;
    opcase_init(&c, 17, 51);
    attend(&c, scores(&c, false), -1);
    expect(&c, "attention", 1,
           "FusedAttention v0:2x5x3 v1:2x3x4 v6:2x4x6 -> v7:2x5x6 scale=0.25\n");

    opcase_init(&c, 17, 52);
    attend(&c, scores(&c, true), 2);
    expect(&c, "attention", 1,
           "FusedAttention v0:2x5x3 v1:2x3x4 v8:2x4x6 v5:5x4= -> v9:2x5x6 scale=0.25\n");

    opcase_init(&c, 17, 53); // over the queries
    attend(&c, scores(&c, false), 1);
    expect(&c, "attention", 0,
           "MatMul v0:2x5x3 v1:2x3x4 -> v2:2x5x4\n"
           "Div v2:2x5x4 v3:scalar= -> v4:2x5x4\n"
           "Softmax v4:2x5x4 -> v5:2x5x4 axis=1\n"
           "MatMul v5:2x5x4 v6:2x4x6 -> v7:2x5x6\n");

    opcase_init(&c, 17, 54); // the scores are read elsewhere too
    int of = scores(&c, false);
    attend(&c, of, -1);
    cs_graph_add_output(&c.graph, of);
    expect(&c, "attention", 0,
           "MatMul v0:2x5x3 v1:2x3x4 -> v2:2x5x4\n"
           "Div v2:2x5x4 v3:scalar= -> v4:2x5x4\n"
           "Softmax v4:2x5x4 -> v5:2x5x4 axis=-1\n"
           "MatMul v5:2x5x4 v6:2x4x6 -> v7:2x5x6\n");
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
    return value(c);
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
    opcase_value(&c, value(&c));
    opcase_weight_range(&c, SHAPE(5, 155, 1, 1), -0.1, 0.1);
    opcase_weight(&c, SHAPE(5));
    opcase_node(&c, "Conv", 1);
    relu(&c, value(&c));
    expect(&c, "lift_resize", 1,
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
    int shared = value(&c);
    opcase_value(&c, x);
    opcase_value(&c, shared);
    opcase_node(&c, "Conv", 1);
    batch_norm(&c, value(&c), 3);
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
    tcase_add_test(core, core_fold_batchnorm);
    tcase_add_test(core, core_global_pool);
    tcase_add_test(core, core_swish);
    tcase_add_test(core, core_hard_swish);
    tcase_add_test(core, core_gelu);
    tcase_add_test(core, core_layer_norm);
    tcase_add_test(core, core_group_norm);
    tcase_add_test(core, core_attention);
    tcase_add_test(core, core_lift_resize);
    tcase_add_test(core, core_fuse_add);
    tcase_add_test(core, core_fuse_activation);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
