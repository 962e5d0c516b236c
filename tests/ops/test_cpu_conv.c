// SPDX-License-Identifier: MIT
// Conv, ConvTranspose, MatMul and Gemm on "cpu" against "ref" with random shapes and parameters,
// with and without fused additions and activations, for each instruction set.
//
// Bound: relative L2 error 3e-6; single-precision sums of up to a few thousand products measure up
// to 5e-7 here.
#include <stdlib.h>

#include "isa.h"
#include "opcase.h"
#include "suite.h"

static const double bound = 3e-6;

static void check(struct opcase *c, int round)
{
    struct cs_err err = {0};
    double error = opcase_difference(c, "cpu", "ref", &err);
    ck_assert_msg(error >= 0, "round %d: %s", round, err.text);
    ck_assert_msg(error <= bound, "round %d: error %g", round, error);
    opcase_release(c);
}

// Conv -> (Add of a tensor) -> (activation), as the passes fuse them.
static void add_tail(struct opcase *c, const struct cs_shape *out, int round)
{
    static const char *const activations[] = {"Relu", "LeakyRelu", "Sigmoid", "HardSwish"};
    c->fused = true;
    if (round % 3 == 1) {
        int conv = c->graph.outputs[0];
        opcase_value(c, conv);
        opcase_input(c, out);
        opcase_node(c, "Add", 1);
    }
    if (round % 2) {
        opcase_value(c, c->graph.outputs[0]);
        opcase_node(c, activations[round / 2 % 4], 1);
    }
}

START_TEST(conv)
{
    isa_limit(_i);
    for (int round = 0; round < 60; round++) {
        struct opcase c;
        opcase_init(&c, 17, 1000 + (uint64_t)round);
        int64_t group = round % 4 == 3 ? opcase_pick(&c, 2, 4) : 1;
        int64_t in = group * opcase_pick(&c, 1, 20), out = group * opcase_pick(&c, 1, 40);
        if (round % 8 == 7) // one channel a group
            in = out = group;
        int64_t k[2], s[2], d[2], p[4], size[2], made[2];
        for (int i = 0; i < 2; i++) {
            k[i] = opcase_pick(&c, 1, round % 5 ? 3 : 7);
            s[i] = opcase_pick(&c, 1, 3);
            d[i] = opcase_pick(&c, 1, 2);
            p[i] = opcase_pick(&c, 0, k[i] - 1);
            p[2 + i] = opcase_pick(&c, 0, k[i] - 1);
            size[i] = opcase_pick(&c, (k[i] - 1) * d[i] + 1, 33);
            made[i] = (size[i] + p[i] + p[2 + i] - (k[i] - 1) * d[i] - 1) / s[i] + 1;
        }
        int64_t batch = opcase_pick(&c, 1, 3);
        opcase_input(&c, SHAPE(batch, in, size[0], size[1]));
        opcase_weight(&c, SHAPE(out, in / group, k[0], k[1]));
        if (round % 2)
            opcase_weight(&c, SHAPE(out));
        struct cs_node *node = opcase_node(&c, "Conv", 1);
        cs_node_add_ints(&c.graph, node, "strides", s, 2);
        cs_node_add_ints(&c.graph, node, "dilations", d, 2);
        cs_node_add_ints(&c.graph, node, "pads", p, 4);
        cs_node_add_int(&c.graph, node, "group", group);
        add_tail(&c, SHAPE(batch, out, made[0], made[1]), round);
        check(&c, round);
    }
}
END_TEST

START_TEST(conv_networks)
{
    // The shapes that networks are made of: stem, 3x3, 1x1, 7x7 of two channels, to one channel.
    static const int64_t cases[][5] = {{3, 64, 3, 2, 1},   {64, 64, 3, 1, 1}, {48, 48, 3, 1, 1},
                                       {64, 256, 1, 1, 0}, {2, 1, 7, 1, 3},   {64, 1, 1, 1, 0},
                                       {96, 192, 3, 2, 1}, {1, 16, 3, 1, 1}};
    isa_limit(_i);
    for (int round = 0; round < (int)(sizeof cases / sizeof *cases); round++) {
        const int64_t *t = cases[round];
        struct opcase c;
        opcase_init(&c, 17, 2000 + (uint64_t)round);
        opcase_input(&c, SHAPE(1, t[0], 37, 29));
        opcase_weight(&c, SHAPE(t[1], t[0], t[2], t[2]));
        opcase_weight(&c, SHAPE(t[1]));
        struct cs_node *node = opcase_node(&c, "Conv", 1);
        cs_node_add_ints(&c.graph, node, "strides", (int64_t[]){t[3], t[3]}, 2);
        cs_node_add_ints(&c.graph, node, "pads", (int64_t[]){t[4], t[4], t[4], t[4]}, 4);
        check(&c, round);
    }
}
END_TEST

// Long sums over planes of a few pixels are done as matrix products (op_rows.c), some images at
// once: any window, group of output channels, fusion.
START_TEST(conv_small)
{
    static const int64_t outs[] = {1, 7, 32, 70, 96, 128};
    isa_limit(_i);
    for (int round = 0; round < 36; round++) {
        struct opcase c;
        opcase_init(&c, 17, 5000 + (uint64_t)round);
        int64_t in = opcase_pick(&c, 60, 130), out = outs[round % 6], k[2], s[2], d[2], p[4];
        int64_t size[2], made[2], batch = opcase_pick(&c, 1, round % 4 ? 3 : 9);
        for (int i = 0; i < 2; i++) {
            k[i] = opcase_pick(&c, 3, 5);
            s[i] = opcase_pick(&c, 1, 2);
            d[i] = opcase_pick(&c, 1, 2);
            p[i] = opcase_pick(&c, 0, k[i]);
            p[2 + i] = opcase_pick(&c, 0, k[i]);
            made[i] = opcase_pick(&c, 1, 11);
            size[i] = (made[i] - 1) * s[i] + (k[i] - 1) * d[i] + 1 - p[i] - p[2 + i];
            if (size[i] < 1) {
                p[i] = p[2 + i] = 0;
                size[i] = (made[i] - 1) * s[i] + (k[i] - 1) * d[i] + 1;
            }
        }
        opcase_input(&c, SHAPE(batch, in, size[0], size[1]));
        opcase_weight(&c, SHAPE(out, in, k[0], k[1]));
        if (round % 2)
            opcase_weight(&c, SHAPE(out));
        struct cs_node *node = opcase_node(&c, "Conv", 1);
        cs_node_add_ints(&c.graph, node, "strides", s, 2);
        cs_node_add_ints(&c.graph, node, "dilations", d, 2);
        cs_node_add_ints(&c.graph, node, "pads", p, 4);
        add_tail(&c, SHAPE(batch, out, made[0], made[1]), round);
        struct cs_err err = {0};
        double error = opcase_difference(&c, "cpu", "ref", &err);
        ck_assert_msg(error >= 0, "round %d: %s", round, err.text);
        ck_assert_msg(error <= 6e-7, "round %d: error %g", round, error);
        opcase_release(&c);
    }
}
END_TEST

// The same bits for an image alone and in a batch, on any number of threads.
START_TEST(conv_small_bits)
{
    enum { BATCH = 5, IN = 80 * 36, OUT = 64 * 36 };
    static float images[BATCH * IN], weights[64 * 80 * 9];
    struct cs_err err = {0};
    int64_t count;
    isa_limit(_i);
    for (int i = 0; i < BATCH * IN; i++)
        images[i] = (float)((i * 7919) % 2003) / 1000 - 1;
    for (int i = 0; i < 64 * 80 * 9; i++)
        weights[i] = (float)((i * 7477) % 1999) / 1000 - 1;
    float *whole = NULL;
    for (int i = -1; i < BATCH; i++) {
        struct opcase c;
        opcase_init(&c, 17, 1);
        c.threads = i < 0 ? 3 : 1 + i % 2;
        if (i < 0)
            opcase_input_data(&c, SHAPE(BATCH, 80, 6, 6), images);
        else
            opcase_input_data(&c, SHAPE(1, 80, 6, 6), images + i * IN);
        opcase_weight_data(&c, SHAPE(64, 80, 3, 3), weights);
        cs_node_add_ints(&c.graph, opcase_node(&c, "Conv", 1), "pads", (int64_t[]){1, 1, 1, 1}, 4);
        float *out = opcase_run(&c, "cpu", &count, &err);
        ck_assert_msg(out, "%s", err.text);
        if (i < 0) {
            whole = out;
        } else {
            ck_assert_mem_eq(out, whole + i * OUT, OUT * sizeof *out);
            free(out);
        }
        opcase_release(&c);
    }
    free(whole);
}
END_TEST

START_TEST(conv_transpose)
{
    isa_limit(_i);
    for (int round = 0; round < 40; round++) {
        struct opcase c;
        opcase_init(&c, 17, 3000 + (uint64_t)round);
        int64_t group = round % 5 == 4 ? 2 : 1;
        int64_t in = group * opcase_pick(&c, 1, 20), out = group * opcase_pick(&c, 1, 20);
        int64_t k[2] = {2, 2}, s[2] = {2, 2}, p[4] = {0}, extra[2] = {0}, size[2], made[2];
        for (int i = 0; i < 2; i++) {
            size[i] = opcase_pick(&c, 1, 13);
            if (round % 2) {
                k[i] = opcase_pick(&c, 2, 5);
                s[i] = opcase_pick(&c, 1, 3);
                p[i] = opcase_pick(&c, 0, 1);
                p[2 + i] = opcase_pick(&c, 0, 1);
                extra[i] = opcase_pick(&c, 0, s[i] - 1);
            }
            made[i] = (size[i] - 1) * s[i] + extra[i] + k[i] - p[i] - p[2 + i];
            if (made[i] < 1) {
                p[i] = p[2 + i] = 0;
                made[i] = (size[i] - 1) * s[i] + extra[i] + k[i];
            }
        }
        int64_t batch = opcase_pick(&c, 1, 3);
        opcase_input(&c, SHAPE(batch, in, size[0], size[1]));
        opcase_weight(&c, SHAPE(in, out / group, k[0], k[1]));
        if (round % 3)
            opcase_weight(&c, SHAPE(out));
        struct cs_node *node = opcase_node(&c, "ConvTranspose", 1);
        cs_node_add_ints(&c.graph, node, "strides", s, 2);
        cs_node_add_ints(&c.graph, node, "pads", p, 4);
        cs_node_add_ints(&c.graph, node, "output_padding", extra, 2);
        cs_node_add_int(&c.graph, node, "group", group);
        add_tail(&c, SHAPE(batch, out, made[0], made[1]), round);
        check(&c, round);
    }
}
END_TEST

START_TEST(products)
{
    isa_limit(_i);
    for (int round = 0; round < 40; round++) {
        struct opcase c;
        opcase_init(&c, 17, 4000 + (uint64_t)round);
        int64_t batch = opcase_pick(&c, 1, 3), m = opcase_pick(&c, 1, 40);
        int64_t k = opcase_pick(&c, 1, 70), n = opcase_pick(&c, 1, 50);
        bool gemm = round % 4 == 3, transposed = gemm && round % 8 == 7;
        if (round % 4 == 0 || gemm)
            opcase_input(&c, SHAPE(m, k));
        else
            opcase_input(&c, SHAPE(batch, m, k));
        if (transposed)
            opcase_weight(&c, SHAPE(n, k));
        else if (round % 4 == 2)
            opcase_input(&c, SHAPE(round % 8 == 2 ? 1 : batch, k, n));
        else
            opcase_weight(&c, SHAPE(k, n));
        if (gemm && round % 3)
            opcase_weight(&c, round % 3 == 1 ? SHAPE(n) : SHAPE(m, 1));
        struct cs_node *node = opcase_node(&c, gemm ? "Gemm" : "MatMul", 1);
        if (gemm)
            cs_node_add_int(&c.graph, node, "transB", transposed);
        if (round % 5 == 0) {
            opcase_value(&c, c.graph.outputs[0]);
            opcase_node(&c, "Relu", 1);
            c.fused = true;
        }
        check(&c, round);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu_conv");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 120);
    tcase_add_loop_test(core, conv, 0, ISA_LIMITS);
    tcase_add_loop_test(core, conv_networks, 0, ISA_LIMITS);
    tcase_add_loop_test(core, conv_small, 0, ISA_LIMITS);
    tcase_add_loop_test(core, conv_small_bits, 0, ISA_LIMITS);
    tcase_add_loop_test(core, conv_transpose, 0, ISA_LIMITS);
    tcase_add_loop_test(core, products, 0, ISA_LIMITS);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
