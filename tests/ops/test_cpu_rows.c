// SPDX-License-Identifier: MIT
// Work along rows on "cpu" for each instruction set: functions of one value over their whole range
// against the C library in double, LayerNormalization and Softmax against "ref" with rows of any
// length, and the same bits for any number of threads.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/kernels.h"
#include "isa.h"
#include "opcase.h"
#include "suite.h"

static double exact_gelu(double x)
{
    return x < 0 ? 0.5 * x * erfc(-x * sqrt(0.5)) : x - 0.5 * x * erfc(x * sqrt(0.5));
}

static double exact_gelu_tanh(double x)
{
    return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + (double)0.044715F * x * x * x)));
}

static double exact_mish(double x)
{
    return x * tanh(log1p(exp(x)));
}

static double exact_softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static double exact_sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double exact_silu(double x)
{
    return x / (1 + exp(-x));
}

static double exact_elu(double x)
{
    return x < 0 ? expm1(x) : x;
}

// Bound: of the error relative to the result, down to results of `least`. The tanh form of GELU
// cancels below zero by its definition, there as in the other implementations.
static const struct {
    enum cs_unary unary;
    double (*exact)(double);
    double bound, least, reach;
} functions[] = {
    {CS_UNARY_TANH, tanh, 4e-7, 1e-30, 90},
    {CS_UNARY_ERF, erf, 4e-7, 1e-30, 90},
    {CS_UNARY_GELU, exact_gelu, 5e-6, 1e-9, 90},
    {CS_UNARY_GELU_TANH, exact_gelu_tanh, 1e-6, 1, 90},
    {CS_UNARY_MISH, exact_mish, 6e-7, 1e-30, 60},
    {CS_UNARY_SOFTPLUS, exact_softplus, 4e-7, 1e-30, 80},
    {CS_UNARY_SIGMOID, exact_sigmoid, 4e-7, 1e-30, 80},
    {CS_UNARY_SILU, exact_silu, 5e-7, 1e-30, 80},
    {CS_UNARY_ELU, exact_elu, 4e-7, 1e-30, 90},
    {CS_UNARY_EXP, exp, 3e-7, 1e-30, 60},
};

START_TEST(function_accuracy)
{
    enum { COUNT = 200003 };
    static float x[COUNT], y[COUNT];
    isa_limit(_i);
    const struct cs_kernels *kernels = cs_kernels_pick(NULL);
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
        double reach = functions[f].reach;
        for (int i = 0; i < COUNT; i++) { // even steps, and even steps of the exponent
            double part = (double)i / (COUNT - 1);
            x[i] = (float)(i % 2 ? reach * (2 * part - 1)
                                 : (i % 4 ? 1 : -1) * exp(log(1e-8) + part * log(reach * 1e8)));
        }
        kernels->unary[functions[f].unary](y, x, COUNT, 1, 0);
        for (int i = 0; i < COUNT; i++) {
            double expected = functions[f].exact((double)x[i]);
            double error = fabs((double)y[i] - expected);
            ck_assert_msg(error <= functions[f].bound * fmax(fabs(expected), functions[f].least),
                          "function %d of %.9g: %.9g, not %.9g", (int)functions[f].unary,
                          (double)x[i], (double)y[i], expected);
        }
        memcpy(x, y, sizeof x);
        kernels->unary[functions[f].unary](y, y, COUNT, 1, 0);
        for (int i = 0; i < 1000; i++) // one by one the same bits
            kernels->unary[functions[f].unary](x + i, x + i, 1, 1, 0);
        kernels->unary[functions[f].unary](x + 1000, x + 1000, COUNT - 1000, 1, 0);
        ck_assert_mem_eq(x, y, sizeof x);
    }
}
END_TEST

START_TEST(special_values)
{
    isa_limit(_i);
    const struct cs_kernels *kernels = cs_kernels_pick(NULL);
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
        float x[37], y[37];
        for (int i = 0; i < 37; i++)
            x[i] = i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : 0;
        kernels->unary[functions[f].unary](y, x, 37, 1, 0);
        for (int i = 0; i < 37; i++) {
            double expected = functions[f].exact((double)x[i]);
            if (i % 3 == 0)
                ck_assert_msg(isnan(y[i]), "function %d loses NaN", (int)functions[f].unary);
            else if (isinf(expected))
                ck_assert_msg(y[i] > 1e38F, "function %d of infinity: %g", (int)functions[f].unary,
                              (double)y[i]);
            else if (i % 3 == 2 || !isnan(expected))
                ck_assert_msg(fabs((double)y[i] - expected) < 1e-6, "function %d of %g: %g",
                              (int)functions[f].unary, (double)x[i], (double)y[i]);
        }
    }
}
END_TEST

// Rows of 1 to 2000 values, normalised over one to three axes, with a mean far from zero or not.
static void random_norm(struct opcase *c, int round)
{
    opcase_init(c, 17, 40 + (uint64_t)round);
    int rank = (int)opcase_pick(c, 2, 4), axes = (int)opcase_pick(c, 1, rank < 3 ? rank : 3);
    struct cs_shape shape = {rank, {0}}, tail = {axes, {0}};
    for (int d = 0; d < rank; d++)
        shape.dim[d] = opcase_pick(c, 1, rank == 2 && d == 1 ? 2000 : 40);
    for (int d = 0; d < axes; d++)
        tail.dim[d] = shape.dim[rank - axes + d];
    int64_t count = cs_shape_elements(&shape);
    float *data = cs_arena_alloc(&c->graph.arena, (size_t)count, sizeof *data);
    for (int64_t i = 0; i < count; i++)
        data[i] = (float)(opcase_random(c, -1, 1) + (round % 3 ? 0 : 500));
    opcase_input_data(c, &shape, data);
    opcase_weight(c, &tail);
    if (opcase_pick(c, 0, 3))
        opcase_weight(c, &tail);
    struct cs_node *node = opcase_node(c, "LayerNormalization", 1);
    cs_node_add_int(&c->graph, node, "axis", round % 2 ? -axes : rank - axes);
    cs_node_add_float(&c->graph, node, "epsilon", 1e-3F);
}

static void random_softmax(struct opcase *c, int round)
{
    opcase_init(c, 17, 500 + (uint64_t)round);
    opcase_input(c, SHAPE(opcase_pick(c, 1, 6), opcase_pick(c, 1, 20), opcase_pick(c, 1, 3000)));
    opcase_weight_data(c, SHAPE(1), (float[]){round % 2 ? 30 : 1});
    opcase_node(c, "Mul", 1);
    opcase_value(c, c->graph.outputs[0]);
    cs_node_add_int(&c->graph, opcase_node(c, "Softmax", 1), "axis", round % 5 ? -1 : 1);
}

START_TEST(rows_against_ref)
{
    isa_limit(_i);
    for (int round = 0; round < 80; round++) {
        struct opcase c;
        struct cs_err err = {0};
        if (round % 2)
            random_norm(&c, round / 2);
        else
            random_softmax(&c, round / 2);
        double error = opcase_difference(&c, "cpu", "ref", &err);
        ck_assert_msg(error >= 0, "round %d: %s", round, err.text);
        ck_assert_msg(error <= 1e-6, "round %d: error %g", round, error);
        opcase_release(&c);
    }
}
END_TEST

START_TEST(rows_any_threads)
{
    isa_limit(_i);
    for (int round = 0; round < 20; round++) {
        struct opcase c;
        struct cs_err err = {0};
        int64_t count;
        if (round % 2)
            random_norm(&c, round / 2);
        else
            random_softmax(&c, round / 2);
        c.threads = 1;
        float *one = opcase_run(&c, "cpu", &count, &err);
        for (c.threads = 2; c.threads <= 4; c.threads++) {
            float *more = opcase_run(&c, "cpu", &count, &err);
            ck_assert_msg(one && more, "round %d: %s", round, err.text);
            ck_assert_mem_eq(one, more, (size_t)count * sizeof *one);
            free(more);
        }
        free(one);
        opcase_release(&c);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu_rows");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_set_timeout(core, 120);
    tcase_add_loop_test(core, function_accuracy, 0, ISA_LIMITS);
    tcase_add_loop_test(core, rows_against_ref, 0, ISA_LIMITS);
    tcase_add_loop_test(core, rows_any_threads, 0, ISA_LIMITS);
    tcase_add_loop_test(limits, special_values, 0, ISA_LIMITS);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
