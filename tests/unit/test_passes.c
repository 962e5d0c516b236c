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
    tcase_add_test(core, core_fuse_add);
    tcase_add_test(core, core_fuse_activation);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
