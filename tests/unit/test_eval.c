// SPDX-License-Identifier: MIT
// graph/eval.h where text of doubles does not reach (tests/ops/test_ref.c has the rest): integers
// beyond 2^53, samples that are impossible, NaN, and the same results whether a node is folded or
// runs.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/element.h"
#include "graph/eval.h"
#include "opcase.h"
#include "suite.h"

// Folds one node over constants; returns its output, NULL with err.
static const struct cs_value *folded(struct opcase *c, struct cs_graph *concrete, const char *op,
                                     struct cs_err *err)
{
    opcase_node(c, op, 1);
    if (cs_graph_infer(&c->graph, c->shapes, concrete, err) < 0)
        return NULL;
    const struct cs_value *value = &concrete->values[concrete->outputs[0]];
    ck_assert_ptr_nonnull(value->data);
    return value;
}

START_TEST(core_far)
{
    static const struct {
        const char *op;
        int64_t a, b, result;
    } cases[] = {
        {"Add", INT64_MAX, 1, INT64_MIN},
        {"Sub", INT64_MIN, 1, INT64_MAX},
        {"Mul", INT64_C(1) << 40, INT64_C(1) << 40, 0},
        {"Mul", (INT64_C(1) << 53) + 1, 3, 3 * ((INT64_C(1) << 53) + 1)},
        {"Div", INT64_MIN, -1, INT64_MIN},
        {"Div", -7, 2, -3},
        {"Mod", INT64_MIN, -1, 0},
        {"Mod", -7, 3, 2},
        {"Mod", 7, -3, -2},
        {"Pow", 3, 39, INT64_C(4052555153018976267)},
        {"Pow", -1, -3, -1},
        {"Pow", 2, -1, 0},
        {"Max", (INT64_C(1) << 53) + 1, INT64_C(1) << 53, (INT64_C(1) << 53) + 1},
    };
    struct cs_err err = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct opcase c;
        struct cs_graph concrete;
        opcase_init(&c, 17, 1);
        opcase_ints(&c, &cases[i].a, 1);
        opcase_ints(&c, &cases[i].b, 1);
        const struct cs_value *value = folded(&c, &concrete, cases[i].op, &err);
        ck_assert_msg(value, "%s", err.text);
        ck_assert_int_eq(*(const int64_t *)value->data, cases[i].result);
        cs_graph_release(&concrete);
        opcase_release(&c);
    }
}
END_TEST

START_TEST(core_compare)
{
    static const struct {
        const char *op;
        bool result;
    } cases[] = {{"Equal", false}, {"Greater", true}, {"LessOrEqual", false}};
    const int64_t far[] = {(INT64_C(1) << 53) + 1}, near[] = {INT64_C(1) << 53};
    struct cs_err err = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct opcase c;
        struct cs_graph concrete;
        opcase_init(&c, 17, 1);
        opcase_ints(&c, far, 1);
        opcase_ints(&c, near, 1);
        const struct cs_value *value = folded(&c, &concrete, cases[i].op, &err);
        ck_assert_msg(value, "%s", err.text);
        ck_assert_int_eq(value->type, CS_TYPE_BOOL);
        ck_assert_int_eq(*(const unsigned char *)value->data, cases[i].result);
        cs_graph_release(&concrete);
        opcase_release(&c);
    }
}
END_TEST

START_TEST(core_elements)
{
    const float reals[] = {-2.75F, NAN, 1e20F, -INFINITY, 0.5F};
    const int64_t cut[] = {-2, 0, INT64_MAX, INT64_MIN, 0};
    int64_t longs[5];
    double values[5] = {-1.75, 0, 2.5, 1e30, NAN}, back[5];
    int32_t ints[5] = {7, 7, 7, 7, 7};
    unsigned char bools[5];
    cs_load_integers(CS_TYPE_F32, reals, 0, 1, 5, longs);
    ck_assert_mem_eq(longs, cut, sizeof cut);
    cs_load_integers(CS_TYPE_I64, longs, 3, 0, 2, longs);
    ck_assert_int_eq(longs[1], INT64_MIN); // the same again
    cs_store_reals(CS_TYPE_I32, ints, 1, 2, values);
    ck_assert_int_eq(ints[0], 7);
    ck_assert_int_eq(ints[1], -1);
    ck_assert_int_eq(ints[2], 0);
    ck_assert_int_eq(ints[3], 7);
    cs_store_reals(CS_TYPE_BOOL, bools, 0, 5, values);
    cs_load_reals(CS_TYPE_BOOL, bools, 4, -1, 5, back);
    ck_assert(back[0] == 1 && back[1] == 1 && back[2] == 1 && back[3] == 0 && back[4] == 1);
}
END_TEST

START_TEST(core_nan)
{
    const double values[] = {1, NAN, 3, NAN}, ones[] = {2, 2, 2, 2};
    struct cs_err err = {0};
    int64_t elements;
    for (int i = 0; i < 2; i++) {
        struct opcase c;
        opcase_init(&c, 17, 1);
        opcase_tensor(&c, false, CS_TYPE_F32, SHAPE(4), i ? ones : values);
        opcase_tensor(&c, false, CS_TYPE_F32, SHAPE(4), i ? values : ones);
        opcase_node(&c, "Max", 1);
        double *got = opcase_values(&c, "ref", &elements, &err);
        ck_assert_msg(got, "%s", err.text);
        ck_assert(got[0] == 2 && isnan(got[1]) && got[2] == 3 && isnan(got[3]));
        free(got);
        opcase_release(&c);
    }
    struct opcase c;
    opcase_init(&c, 17, 1);
    opcase_tensor(&c, false, CS_TYPE_F32, SHAPE(4), values);
    opcase_node(&c, "ArgMax", 1);
    double *got = opcase_values(&c, "ref", &elements, &err);
    ck_assert_msg(got, "%s", err.text);
    ck_assert(elements == 1 && got[0] == 1); // the first NaN
    free(got);
    opcase_release(&c);
}
END_TEST

// ---- Impossible samples ----------------------------------------------------------------------

static void expect_refused(struct opcase *c, const char *backend, const char *message)
{
    struct cs_err err = {0};
    int64_t elements;
    double *got = opcase_values(c, backend, &elements, &err);
    ck_assert_ptr_null(got);
    ck_assert_int_eq(err.code, CS_EMODEL);
    ck_assert_msg(strstr(err.text, message), "%s", err.text);
    opcase_release(c);
}

static const char *const backends[] = {"ref", "cpu"};

START_TEST(limits_gather)
{
    static const double indices[][2] = {{0, 3}, {-4, 0}};
    for (int i = 0; i < 2; i++)
        for (int constant = 0; constant < 2; constant++) {
            struct opcase c;
            opcase_init(&c, 17, 1);
            opcase_input(&c, SHAPE(3, 2));
            opcase_tensor(&c, constant, i ? CS_TYPE_I32 : CS_TYPE_I64, SHAPE(2), indices[i]);
            opcase_node(&c, "Gather", 1);
            expect_refused(&c, backends[_i],
                           i ? "node Gather (Gather): index -4 is outside 0..2"
                             : "node Gather (Gather): index 3 is outside 0..2");
        }
}
END_TEST

START_TEST(limits_gather_nd)
{
    struct opcase c;
    opcase_init(&c, 17, 1);
    opcase_input(&c, SHAPE(3, 2));
    opcase_tensor(&c, false, CS_TYPE_I64, SHAPE(2, 2), (const double[]){0, 1, 2, -3});
    opcase_node(&c, "GatherND", 1);
    expect_refused(&c, backends[_i], "node GatherND (GatherND): index -3 is outside 0..1");
}
END_TEST

START_TEST(limits_scatter_nd)
{
    struct opcase c;
    opcase_init(&c, 17, 1);
    opcase_input(&c, SHAPE(3, 2));
    opcase_tensor(&c, false, CS_TYPE_I64, SHAPE(2, 1), (const double[]){0, 3});
    opcase_input(&c, SHAPE(2, 2));
    opcase_node(&c, "ScatterND", 1);
    expect_refused(&c, backends[_i], "node ScatterND (ScatterND): index 3 is outside 0..2");

    opcase_init(&c, 17, 1);
    opcase_input(&c, SHAPE(3, 2));
    opcase_tensor(&c, true, CS_TYPE_I64, SHAPE(2, 1), (const double[]){0, 2});
    opcase_input(&c, SHAPE(2, 3));
    opcase_node(&c, "ScatterND", 1);
    expect_refused(&c, backends[_i], "the updates do not fit the indices and the input");
}
END_TEST

START_TEST(limits_division)
{
    static const char *const ops[] = {"Div", "Mod"};
    for (int i = 0; i < 2; i++)
        for (int constant = 0; constant < 2; constant++) {
            struct opcase c;
            opcase_init(&c, 17, 1);
            opcase_tensor(&c, constant, CS_TYPE_I32, SHAPE(2), (const double[]){4, 5});
            opcase_tensor(&c, constant, CS_TYPE_I32, SHAPE(2), (const double[]){1, 0});
            opcase_node(&c, ops[i], 1);
            expect_refused(&c, backends[_i], "divides by zero");
        }
}
END_TEST

START_TEST(limits_types)
{
    static const struct {
        const char *op;
        enum cs_type type;
        const char *message;
    } cases[] = {
        {"Sigmoid", CS_TYPE_I64, "int64 tensors are not supported"},
        {"Not", CS_TYPE_F32, "float32 tensors are not supported"},
        {"Neg", CS_TYPE_BOOL, "bool tensors are not supported"},
        {"ReduceSum", CS_TYPE_BOOL, "bool tensors are not supported"},
        {"Softmax", CS_TYPE_I32, "int32 tensors are not supported"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct opcase c;
        opcase_init(&c, 17, 1);
        opcase_tensor(&c, false, cases[i].type, SHAPE(1), (const double[]){1});
        opcase_node(&c, cases[i].op, 1);
        expect_refused(&c, "ref", cases[i].message);
    }
    struct opcase c;
    opcase_init(&c, 17, 1);
    opcase_input(&c, SHAPE(2));
    opcase_tensor(&c, false, CS_TYPE_I64, SHAPE(2), (const double[]){1, 2});
    opcase_node(&c, "Add", 1);
    expect_refused(&c, "ref", "inputs are float32 and int64");
}
END_TEST

// Nothing to repeat at an edge, to normalise, or to find the greatest of.
START_TEST(limits_empty)
{
    struct opcase c;
    opcase_init(&c, 17, 1);
    opcase_tensor(&c, false, CS_TYPE_I64, SHAPE(2, 0), (const double[]){0});
    opcase_ints(&c, (const int64_t[]){0, 1, 0, 0}, 4);
    cs_node_add_string(&c.graph, opcase_node(&c, "Pad", 1), "mode", "edge");
    expect_refused(&c, "ref", "pads 1 and 0 do not fit 0 samples");
    opcase_init(&c, 17, 1);
    opcase_tensor(&c, false, CS_TYPE_F32, SHAPE(2, 0), (const double[]){0});
    opcase_tensor(&c, false, CS_TYPE_F32, SHAPE(0), (const double[]){0});
    opcase_node(&c, "LayerNormalization", 3);
    expect_refused(&c, "ref", "normalises nothing");
    opcase_init(&c, 17, 1);
    opcase_tensor(&c, false, CS_TYPE_F32, SHAPE(2, 0), (const double[]){0});
    cs_node_add_int(&c.graph, opcase_node(&c, "ArgMax", 1), "axis", 1);
    expect_refused(&c, "ref", "axis 1 is empty");
}
END_TEST

// A large result of constants stays a node, which runs.
START_TEST(limits_folding)
{
    struct opcase c;
    struct cs_graph concrete;
    struct cs_err err = {0};
    int64_t elements;
    opcase_init(&c, 17, 1);
    opcase_input(&c, SHAPE(1));
    c.pending_count = 0;
    opcase_tensor(&c, true, CS_TYPE_F32, SHAPE(1), (const double[]){2.5});
    opcase_ints(&c, (const int64_t[]){1025, 1024}, 2);
    opcase_node(&c, "Expand", 1);
    double *got = opcase_values(&c, "ref", &elements, &err);
    ck_assert_msg(got, "%s", err.text);
    ck_assert_int_eq(elements, 1025 * 1024);
    ck_assert(got[0] == 2.5 && got[elements - 1] == 2.5);
    free(got);
    ck_assert_int_eq(cs_graph_infer(&c.graph, c.shapes, &concrete, &err), 0);
    ck_assert_int_eq(concrete.node_count, 1);
    cs_graph_release(&concrete);
    opcase_release(&c);
}
END_TEST

// Results that folding makes have 512 MiB together.
START_TEST(limits_folded_bytes)
{
    const size_t most = (size_t)512 << 20, bytes = 4 * sizeof(float);
    for (int more = 0; more < 2; more++) {
        struct opcase c;
        struct cs_err err = {0};
        opcase_init(&c, 17, 1);
        opcase_input(&c, SHAPE(4));
        c.pending_count = 0;
        opcase_weight(&c, SHAPE(4));
        opcase_weight(&c, SHAPE(4));
        opcase_node(&c, "Mul", 1);
        c.graph.folded_bytes = most - bytes + (size_t)more;
        ck_assert_int_eq(cs_graph_run_passes(&c.graph, CS_PASSES_ALGEBRA, &err), 0);
        ck_assert_int_eq(c.graph.node_count, more);
        ck_assert_uint_eq(c.graph.folded_bytes, more ? most - bytes + 1 : most);
        opcase_release(&c);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("eval");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_test(core, core_far);
    tcase_add_test(core, core_compare);
    tcase_add_test(core, core_elements);
    tcase_add_test(core, core_nan);
    tcase_add_loop_test(limits, limits_gather, 0, 2);
    tcase_add_loop_test(limits, limits_gather_nd, 0, 2);
    tcase_add_loop_test(limits, limits_scatter_nd, 0, 2);
    tcase_add_loop_test(limits, limits_division, 0, 2);
    tcase_add_test(limits, limits_types);
    tcase_add_test(limits, limits_empty);
    tcase_add_test(limits, limits_folding);
    tcase_add_test(limits, limits_folded_bytes);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
