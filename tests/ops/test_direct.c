// SPDX-License-Identifier: MIT
// Convolutions by direct sums of ours (backend/cpu/op_direct.c) against "ref": few input channels,
// strides, kernels of any shape, pads and dilated kernel rows, planes of one row, output channels
// around the widths of registers, norms mapped on the way in and gathered on the way out, additions
// and activations; the same bytes for any threads and batch. For each instruction set.
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/backend_cpu.h"
#include "backend/cpu/cpu.h"
#include "isa.h"
#include "opcase.h"
#include "same_bytes.h"
#include "suite.h"

enum { ROUNDS = 64, BATCH = 2 };

struct window {
    int64_t kernel[2], stride[2], dilation[2], pads[4];
};

static int conv(struct opcase *c, int from, int64_t in, int64_t out, const struct window *w)
{
    opcase_value(c, from);
    opcase_weight(c, SHAPE(out, in, w->kernel[0], w->kernel[1]));
    opcase_weight(c, SHAPE(out));
    struct cs_node *node = opcase_node(c, "Conv", 1);
    cs_node_add_ints(&c->graph, node, "strides", w->stride, 2);
    cs_node_add_ints(&c->graph, node, "dilations", w->dilation, 2);
    cs_node_add_ints(&c->graph, node, "pads", w->pads, 4);
    return opcase_last(c);
}

static struct window any_window(struct opcase *c, int round)
{
    struct window w = {.dilation = {1, 1}};
    for (int i = 0; i < 2; i++) {
        w.kernel[i] = round % 3 ? 3 : opcase_pick(c, 1, 7);
        w.stride[i] = round % 4 ? 2 : opcase_pick(c, 1, 3);
        w.pads[i] = opcase_pick(c, 0, w.kernel[i] - 1);
        w.pads[2 + i] = opcase_pick(c, 0, w.kernel[i] - 1);
    }
    if (round % 5 == 0)
        w.dilation[0] = 2;
    return w;
}

// A convolution whose output may be normed, then one that maps it.
static void make(struct opcase *c, int round)
{
    static const char *const activations[] = {"Relu", "LeakyRelu", "Relu"};
    const struct window same = {{3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}};
    opcase_init(c, 17, 4100 + (uint64_t)round);
    int64_t in = round % 7 == 6 ? 120 : opcase_pick(c, 1, round % 2 ? 4 : 40);
    int64_t middle = opcase_pick(c, 8, 60), out = opcase_pick(c, 8, 130);
    struct window w = any_window(c, round);
    int64_t least = (w.kernel[0] - 1) * w.dilation[0] + 1;
    int64_t height = round % 6 == 1 ? least : least + opcase_pick(c, 0, 40);
    int x = opcase_input(c, SHAPE(BATCH, in, height, w.kernel[1] + opcase_pick(c, 0, 40)));
    c->graph.values[x].shape.dim[0] = -1; // any batch
    c->pending_count = 0;
    int y = x, channels = (int)in;
    if (round % 3 == 1) {
        y = opcase_unary(c, "Relu", opcase_norm(c, conv(c, x, in, middle, &same), middle));
        channels = (int)middle;
    }
    int z = conv(c, y, channels, out, &w);
    if (round % 4 == 1)
        z = opcase_binary(c, "Add", z, conv(c, x, in, out, &w));
    else if (round % 4 == 2)
        z = opcase_norm(c, z, out);
    opcase_unary(c, activations[round % 3], z);
    c->fused = true;
}

START_TEST(against_ref)
{
    isa_limit(_i);
    for (int round = 0; round < ROUNDS; round++) {
        struct opcase c;
        struct cs_err err = {0};
        make(&c, round);
        for (int direct = 0; direct < 2; direct++) {
            c.direct = direct == 1;
            double error = opcase_difference(&c, "cpu", "ref", &err);
            ck_assert_msg(error >= 0, "round %d: %s", round, err.text);
            ck_assert_msg(error < 3e-6, "round %d: error %g", round, error);
        }
        opcase_release(&c);
    }
}
END_TEST

START_TEST(same_bytes)
{
    isa_limit(_i);
    for (int round = 0; round < ROUNDS; round++) {
        struct opcase c;
        make(&c, round);
        same_bytes_expect(&c);
        opcase_release(&c);
    }
}
END_TEST

START_TEST(dispatch)
{
    // What a step of a strided convolution, of one with few channels, and of one with few outputs
    // is called, and that a norm rides on the first.
    static const int64_t cases[][3] = {{24, 32, 2}, {1, 16, 1}, {24, 4, 2}};
    for (int i = 0; i < 3; i++) {
        const struct window w = {{3, 3}, {cases[i][2], cases[i][2]}, {1, 1}, {1, 1, 1, 1}};
        const struct cs_backend *cpu = &cs_backend_cpu;
        struct opcase c;
        struct cs_err err = {0};
        struct cs_graph g;
        struct cs_device *device;
        struct cs_network *network;
        struct cs_plan *plan;
        opcase_init(&c, 17, 5);
        int x = opcase_input(&c, SHAPE(1, cases[i][0], 24, 24));
        c.pending_count = 0;
        opcase_norm(&c, conv(&c, x, cases[i][0], cases[i][1], &w), cases[i][1]);
        ck_assert(cs_graph_infer(&c.graph, c.shapes, &g, &err) == 0);
        ck_assert(cs_graph_run_passes(&g, cpu->passes, &err) == 0);
        ck_assert(cpu->device_open(NULL, &device, &err) == 0);
        ck_assert(cpu->network_open(device, &network, &err) == 0);
        ck_assert_msg(cpu->plan_open(network, &g, CS_FP32, false, &plan, &err) == 0, "%s",
                      err.text);
        const char *kernel = plan->steps[0].kernel;
        ck_assert_int_eq(kernel && strcmp(kernel, "direct:own") == 0, i < 2);
        ck_assert_int_eq(plan->late[g.outputs[0]].gathered, i < 2);
        cpu->plan_close(plan);
        cpu->network_close(network);
        cpu->device_close(device);
        cs_graph_release(&g);
        opcase_release(&c);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("direct");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 60);
    tcase_add_loop_test(core, against_ref, 0, ISA_LIMITS);
    tcase_add_loop_test(core, same_bytes, 0, ISA_LIMITS);
    tcase_add_test(core, dispatch);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
