// SPDX-License-Identifier: MIT
// infer/estimate.h on a graph small enough to be counted by hand.
#include "infer/estimate.h"
#include "opcase.h"
#include "suite.h"

// 3 channels -> 5 by 3x3, ReLU -> 20 by 1x1, on 40 x 30.
static void make(struct opcase *c, struct cs_graph *concrete)
{
    struct cs_err err = {0};
    opcase_init(c, 17, 1);
    opcase_input(c, SHAPE(1, 3, 30, 40));
    opcase_weight(c, SHAPE(5, 3, 3, 3));
    opcase_weight(c, SHAPE(5));
    struct cs_node *node = opcase_node(c, "Conv", 1);
    cs_node_add_ints(&c->graph, node, "pads", (int64_t[]){1, 1, 1, 1}, 4);
    opcase_value(c, c->graph.value_count - 1);
    opcase_node(c, "Relu", 1);
    opcase_value(c, c->graph.value_count - 1);
    opcase_weight(c, SHAPE(20, 5, 1, 1));
    opcase_node(c, "Conv", 1);
    ck_assert_msg(cs_graph_infer(&c->graph, c->shapes, concrete, &err) == 0, "%s", err.text);
    ck_assert_int_eq(cs_graph_run_passes(concrete, CS_PASSES_FUSION, &err), 0);
}

static size_t lines(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

START_TEST(core_cuda)
{
    static const enum cs_precision precisions[] = {CS_FP32, CS_TF32, CS_FP16};
    struct opcase c;
    struct cs_graph concrete;
    struct cs_err err = {0};
    make(&c, &concrete);
    for (size_t i = 0; i < sizeof precisions / sizeof *precisions; i++) {
        struct cs_memory_use use;
        size_t bytes = precisions[i] == CS_FP16 ? 2 : 4, pixels = 40 * 30;
        ck_assert_int_eq(cs_estimate_cuda(&concrete, precisions[i], &use, &err), 0);
        // 5 x 3 channels of 3x3 taps and 20 x 5 of one; a bias of 5 in fp32.
        ck_assert_uint_eq(use.weights, (5 * 3 * 9 + 20 * 5) * bytes + 5 * 4);
        // The second convolution's input and output live together, each in whole lines.
        ck_assert_uint_eq(use.arena, lines(pixels * 5 * bytes) + lines(pixels * 20 * bytes));
        ck_assert_uint_eq(use.workspace, CS_ESTIMATE_WORKSPACE);
    }
    cs_graph_release(&concrete);
    opcase_release(&c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("estimate");
    TCase *core = tcase_create("core");
    tcase_add_test(core, core_cuda);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
