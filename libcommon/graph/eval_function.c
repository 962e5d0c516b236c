// SPDX-License-Identifier: MIT
// Operators of one element: activations, rounding, signs, and conversion between types.
#include <math.h>
#include <string.h>

#include "graph/element.h"
#include "graph/eval.h"

#define FUNCTION(name, expression)                                                                 \
    static double name(double x, double a, double b)                                               \
    {                                                                                              \
        (void)a, (void)b;                                                                          \
        return expression;                                                                         \
    }
FUNCTION(relu, x > 0 || isnan(x) ? x : 0)
FUNCTION(leaky_relu, x < 0 ? a * x : x)
FUNCTION(elu, x < 0 ? a * expm1(x) : x)
FUNCTION(sigmoid, 1 / (1 + exp(-x)))
FUNCTION(hard_sigmoid, isnan(x) ? x : fmax(0, fmin(1, a *x + b)))
FUNCTION(hard_swish, x *(isnan(x) ? x : fmax(0, fmin(1, x / 6 + 0.5))))
FUNCTION(swish, x / (1 + exp(-a * x)))
FUNCTION(softplus, x > 30 ? x : log1p(exp(x)))
FUNCTION(hyperbolic_tangent, tanh(x))
FUNCTION(error_function, erf(x))
FUNCTION(gelu, 0.5 * x * (1 + erf(x * 0.70710678118654752440)))
FUNCTION(gelu_tanh, 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x))))
FUNCTION(mish, x *tanh(x > 30 ? x : log1p(exp(x))))
FUNCTION(exponential, exp(x))
FUNCTION(logarithm, log(x))
FUNCTION(root, sqrt(x))
FUNCTION(absolute, fabs(x))
FUNCTION(negative, -x)
FUNCTION(sign, isnan(x) ? x : (x > 0) - (x < 0))
FUNCTION(floored, floor(x))
FUNCTION(ceiled, ceil(x))
FUNCTION(clip, isnan(x) ? x : fmin(fmax(x, a), b)) // b wins where limits cross

static int64_t negative_integer(int64_t x)
{
    return (int64_t)(0 - (uint64_t)x);
}

static int64_t absolute_integer(int64_t x)
{
    return x < 0 ? negative_integer(x) : x;
}

static int64_t sign_integer(int64_t x)
{
    return (x > 0) - (x < 0);
}

static int64_t relu_integer(int64_t x)
{
    return x > 0 ? x : 0;
}

static int64_t not_integer(int64_t x)
{
    return x == 0;
}

static const struct cs_function functions[] = {
    {"Relu", relu, relu_integer, 0, 0},
    {"LeakyRelu", leaky_relu, NULL, 0.01f, 0},
    {"Elu", elu, NULL, 1, 0},
    {"Sigmoid", sigmoid, NULL, 0, 0},
    {"HardSigmoid", hard_sigmoid, NULL, 0.2f, 0.5f},
    {"HardSwish", hard_swish, NULL, 0, 0},
    {"Swish", swish, NULL, 1, 0},
    {"Softplus", softplus, NULL, 0, 0},
    {"Tanh", hyperbolic_tangent, NULL, 0, 0},
    {"Erf", error_function, NULL, 0, 0},
    {"Gelu", gelu, NULL, 0, 0},
    {"Mish", mish, NULL, 0, 0},
    {"Exp", exponential, NULL, 0, 0},
    {"Log", logarithm, NULL, 0, 0},
    {"Sqrt", root, NULL, 0, 0},
    {"Abs", absolute, absolute_integer, 0, 0},
    {"Neg", negative, negative_integer, 0, 0},
    {"Sign", sign, sign_integer, 0, 0},
    {"Floor", floored, NULL, 0, 0},
    {"Ceil", ceiled, NULL, 0, 0},
    {"Not", NULL, not_integer, 0, 0},
    {"Clip", clip, NULL, 0, 0}, // as a fusion: alpha and beta are the limits
};
static const struct cs_function tanh_gelu = {"Gelu", gelu_tanh, NULL, 0, 0};

const struct cs_function *cs_function_find(const char *name)
{
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (strcmp(functions[i].name, name) == 0)
            return &functions[i];
    return NULL;
}

void cs_eval_map(const struct cs_function *function, const float *in, float *out, int64_t count,
                 double alpha, double beta)
{
#pragma omp parallel for if (count > 4096)
    for (int64_t i = 0; i < count; i++)
        out[i] = (float)function->real((double)in[i], alpha, beta);
}

static void run_function(const struct cs_eval *at)
{
    const struct cs_value *in = cs_node_input(at->graph, at->node, 0);
    const struct cs_function *function = cs_function_find(at->node->op);
    int64_t value, count = cs_shape_elements(&in->shape);
    if (strcmp(at->node->op, "Gelu") == 0 &&
        strcmp(cs_node_string(at->node, "approximate", "none"), "tanh") == 0)
        function = &tanh_gelu;
    if (in->type == CS_TYPE_F32) {
        cs_eval_map(function, at->in[0], at->out[0], count,
                    (double)cs_node_float(at->node, "alpha", function->alpha),
                    (double)cs_node_float(at->node, "beta", function->beta));
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        cs_load_integers(in->type, at->in[0], i, 0, 1, &value);
        value = function->integer(value);
        cs_store_integers(in->type, at->out[0], i, 1, &value);
    }
}

static void run_cast(const struct cs_eval *at)
{
    const struct cs_value *in = cs_node_input(at->graph, at->node, 0);
    enum cs_type type = cs_node_output(at->graph, at->node, 0)->type;
    int64_t count = cs_shape_elements(&in->shape);
#pragma omp parallel for if (count > 4096)
    for (int64_t i = 0; i < count; i++) {
        double real;
        int64_t integer;
        if (in->type == CS_TYPE_F32) {
            cs_load_reals(in->type, at->in[0], i, 0, 1, &real);
            cs_store_reals(type, at->out[0], i, 1, &real);
        } else {
            cs_load_integers(in->type, at->in[0], i, 0, 1, &integer);
            cs_store_integers(type, at->out[0], i, 1, &integer);
        }
    }
}

const struct cs_evaluator cs_eval_functions[] = {
    {"Relu", run_function, NULL},
    {"LeakyRelu", run_function, NULL},
    {"Elu", run_function, NULL},
    {"Sigmoid", run_function, NULL},
    {"HardSigmoid", run_function, NULL},
    {"HardSwish", run_function, NULL},
    {"Swish", run_function, NULL},
    {"Softplus", run_function, NULL},
    {"Tanh", run_function, NULL},
    {"Erf", run_function, NULL},
    {"Gelu", run_function, NULL},
    {"Mish", run_function, NULL},
    {"Exp", run_function, NULL},
    {"Log", run_function, NULL},
    {"Sqrt", run_function, NULL},
    {"Abs", run_function, NULL},
    {"Neg", run_function, NULL},
    {"Sign", run_function, NULL},
    {"Floor", run_function, NULL},
    {"Ceil", run_function, NULL},
    {"Not", run_function, NULL},
    {"Cast", run_cast, NULL},
    {NULL, NULL, NULL},
};
