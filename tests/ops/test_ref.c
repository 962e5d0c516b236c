// SPDX-License-Identifier: MIT
// Every kernel of ref against results in double precision that share no code with it
// (tests/golden/ops/, made by tests/golden/export/ops_cases.py and typed_cases.py); cpu on the same
// cases, with the tolerance of sums in float32; and ref with fusions against separate nodes.
#include <stdlib.h>

#include "golden.h"
#include "isa.h"
#include "opcase.h"
#include "suite.h"

static const char floats[] = "tests/golden/ops/cases.txt", typed[] = "tests/golden/ops/typed.txt";

START_TEST(core_ref)
{
    // Half a unit in the last place, and a bit.
    const struct golden_run run = {.backend = "ref", .tolerance = 1.5e-7};
    ck_assert_int_gt(golden_run(floats, &run), 100);
    ck_assert_int_gt(golden_run(typed, &run), 100);
}
END_TEST

START_TEST(core_cpu)
{
    const struct golden_run run = {.backend = "cpu", .tolerance = 2e-6};
    isa_limit(_i);
    ck_assert_int_gt(golden_run(floats, &run), 100);
    ck_assert_int_gt(golden_run(typed, &run), 100);
}
END_TEST

// A convolution that adds and activates, against three nodes.
START_TEST(core_fusion)
{
    static const char *const activations[] = {"Relu", "LeakyRelu", "Sigmoid",    "Tanh",
                                              "Elu",  "HardSwish", "HardSigmoid"};
    struct opcase c;
    struct cs_err err = {0};
    opcase_init(&c, 17, (uint64_t)_i);
    int x = opcase_input(&c, SHAPE(2, 4, 6, 7));
    opcase_weight(&c, SHAPE(4, 4, 3, 3));
    struct cs_node *node = opcase_node(&c, "Conv", 1);
    cs_node_add_ints(&c.graph, node, "pads", (int64_t[]){1, 1, 1, 1}, 4);
    opcase_value(&c, x);
    opcase_value(&c, c.graph.outputs[0]);
    opcase_node(&c, "Add", 1);
    opcase_value(&c, c.graph.outputs[0]);
    opcase_node(&c, activations[_i], 1);
    int64_t separate, together;
    float *expected = opcase_run(&c, "ref", &separate, &err);
    c.fused = true;
    float *got = opcase_run(&c, "ref", &together, &err);
    ck_assert_msg(expected && got, "%s", err.text);
    ck_assert_int_eq(separate, together);
    ck_assert_mem_eq(got, expected, (size_t)separate * sizeof *got); // rounded at the same places
    free(expected);
    free(got);
    opcase_release(&c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ref");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 120);
    tcase_add_test(core, core_ref);
    tcase_add_loop_test(core, core_cpu, 0, ISA_LIMITS);
    tcase_add_loop_test(core, core_fusion, 0, 7);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
