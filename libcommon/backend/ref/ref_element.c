// SPDX-License-Identifier: MIT
// Operators over single elements: activations, arithmetic with broadcasting, and fusions.
#include <math.h>
#include <string.h>

#include "backend/ref/ref_kernels.h"

// ---- Activations ---------------------------------------------------------------------------

#define ACTIVATION(function, expression)                                                           \
    static double function(double x, double a, double b)                                           \
    {                                                                                              \
        (void)a, (void)b;                                                                          \
        return expression;                                                                         \
    }
ACTIVATION(relu, x > 0 || isnan(x) ? x : 0)
ACTIVATION(leaky_relu, x < 0 ? a * x : x)
ACTIVATION(elu, x < 0 ? a * expm1(x) : x)
ACTIVATION(sigmoid, 1 / (1 + exp(-x)))
ACTIVATION(hard_sigmoid, isnan(x) ? x : fmax(0, fmin(1, a *x + b)))
ACTIVATION(hard_swish, x *(isnan(x) ? x : fmax(0, fmin(1, x / 6 + 0.5))))
ACTIVATION(softplus, x > 30 ? x : log1p(exp(x)))
ACTIVATION(hyperbolic_tangent, tanh(x))
ACTIVATION(error_function, erf(x))
ACTIVATION(gelu, 0.5 * x * (1 + erf(x * 0.70710678118654752440)))
ACTIVATION(gelu_tanh, 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x))))
ACTIVATION(mish, x *tanh(x > 30 ? x : log1p(exp(x))))
ACTIVATION(exponential, exp(x))
ACTIVATION(logarithm, log(x))
ACTIVATION(root, sqrt(x))
ACTIVATION(absolute, fabs(x))
ACTIVATION(negative, -x)
ACTIVATION(floored, floor(x))
ACTIVATION(ceiled, ceil(x))
ACTIVATION(clip, isnan(x) ? x : fmin(fmax(x, a), b)) // b wins where limits cross

static const struct cs_ref_activation activations[] = {
    {"Relu", relu, 0, 0},
    {"LeakyRelu", leaky_relu, 0.01f, 0},
    {"Elu", elu, 1, 0},
    {"Sigmoid", sigmoid, 0, 0},
    {"HardSigmoid", hard_sigmoid, 0.2f, 0.5f},
    {"HardSwish", hard_swish, 0, 0},
    {"Softplus", softplus, 0, 0},
    {"Tanh", hyperbolic_tangent, 0, 0},
    {"Erf", error_function, 0, 0},
    {"Gelu", gelu, 0, 0},
    {"Mish", mish, 0, 0},
    {"Exp", exponential, 0, 0},
    {"Log", logarithm, 0, 0},
    {"Sqrt", root, 0, 0},
    {"Abs", absolute, 0, 0},
    {"Neg", negative, 0, 0},
    {"Floor", floored, 0, 0},
    {"Ceil", ceiled, 0, 0},
    {"Clip", clip, 0, 0}, // alpha and beta are the limits
};

const struct cs_ref_activation *cs_ref_find_activation(const char *name)
{
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++)
        if (strcmp(activations[i].name, name) == 0)
            return &activations[i];
    return NULL;
}

static void map(const float *in, float *out, int64_t count, double (*run)(double, double, double),
                double alpha, double beta)
{
#pragma omp parallel for
    for (int64_t i = 0; i < count; i++)
        out[i] = (float)run((double)in[i], alpha, beta);
}

void cs_ref_activation(const struct cs_ref_call *call)
{
    const struct cs_ref_activation *activation = cs_ref_find_activation(call->node->op);
    double (*run)(double, double, double) = activation->run;
    if (run == gelu && strcmp(cs_node_string(call->node, "approximate", "none"), "tanh") == 0)
        run = gelu_tanh;
    map(call->in[0], call->out[0], cs_shape_elements(cs_ref_in_shape(call, 0)), run,
        (double)cs_node_float(call->node, "alpha", activation->alpha),
        (double)cs_node_float(call->node, "beta", activation->beta));
}

void cs_ref_clip(const struct cs_ref_call *call)
{
    float low, high;
    cs_node_clip(call->graph, call->node, &low, &high, NULL);
    map(call->in[0], call->out[0], cs_shape_elements(cs_ref_in_shape(call, 0)), clip, (double)low,
        (double)high);
}

// ---- Arithmetic ----------------------------------------------------------------------------

static double add(double a, double b)
{
    return a + b;
}

static double subtract(double a, double b)
{
    return a - b;
}

static double multiply(double a, double b)
{
    return a * b;
}

static double divide(double a, double b)
{
    return a / b;
}

static double maximum(double a, double b)
{
    return a > b || isnan(a) ? a : b;
}

static double minimum(double a, double b)
{
    return a < b || isnan(a) ? a : b;
}

static double modulo(double a, double b)
{
    double rest = fmod(a, b);
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

static double slope(double x, double factor)
{
    return x < 0 ? x * factor : x;
}

static const struct {
    const char *op;
    double (*run)(double, double);
} arithmetic[] = {
    {"Add", add},    {"Sub", subtract}, {"Mul", multiply},
    {"Div", divide}, {"Pow", pow},      {"Mod", modulo},
};

// Index of the element of a tensor of shape `in` that broadcasts to flat index `flat` of `out`.
static int64_t source_index(const struct cs_shape *out, const struct cs_shape *in, int64_t flat)
{
    int64_t index = 0, stride = 1, lead = out->rank - in->rank;
    for (int d = out->rank - 1; d >= lead; d--) {
        int64_t at = flat % out->dim[d], size = in->dim[d - lead];
        flat /= out->dim[d];
        index += size == 1 ? 0 : at * stride;
        stride *= size;
    }
    return index;
}

// Line by line along the last axis of the output.
static void broadcast(const struct cs_shape *out_shape, const float *a,
                      const struct cs_shape *a_shape, const float *b,
                      const struct cs_shape *b_shape, float *out, double (*run)(double, double))
{
    int64_t line = out_shape->rank ? out_shape->dim[out_shape->rank - 1] : 1;
    int64_t lines = cs_shape_elements(out_shape) / line;
    int64_t step_a = a_shape->rank && a_shape->dim[a_shape->rank - 1] > 1;
    int64_t step_b = b_shape->rank && b_shape->dim[b_shape->rank - 1] > 1;
#pragma omp parallel for
    for (int64_t l = 0; l < lines; l++) {
        const float *left = a + source_index(out_shape, a_shape, l * line);
        const float *right = b + source_index(out_shape, b_shape, l * line);
        for (int64_t i = 0; i < line; i++)
            out[l * line + i] = (float)run((double)left[i * step_a], (double)right[i * step_b]);
    }
}

static void broadcast_call(const struct cs_ref_call *call, double (*run)(double, double))
{
    broadcast(cs_ref_out_shape(call, 0), call->in[0], cs_ref_in_shape(call, 0), call->in[1],
              cs_ref_in_shape(call, 1), call->out[0], run);
}

void cs_ref_binary(const struct cs_ref_call *call)
{
    for (size_t i = 0; i < sizeof arithmetic / sizeof *arithmetic; i++)
        if (strcmp(arithmetic[i].op, call->node->op) == 0) {
            bool as_in_c = arithmetic[i].run == modulo && cs_node_int(call->node, "fmod", 0) != 0;
            broadcast_call(call, as_in_c ? fmod : arithmetic[i].run);
        }
}

void cs_ref_prelu(const struct cs_ref_call *call)
{
    broadcast_call(call, slope);
}

// Any number of inputs, each broadcast.
void cs_ref_variadic(const struct cs_ref_call *call)
{
    const struct cs_shape *shape = cs_ref_out_shape(call, 0);
    const char *op = call->node->op;
    double (*run)(double, double) = strcmp(op, "Max") == 0   ? maximum
                                    : strcmp(op, "Min") == 0 ? minimum
                                                             : add;
    double share = strcmp(op, "Mean") == 0 ? call->node->input_count : 1;
    int64_t count = cs_shape_elements(shape);
#pragma omp parallel for
    for (int64_t i = 0; i < count; i++) {
        double result = 0;
        for (int k = 0; k < call->node->input_count; k++) {
            int64_t from = source_index(shape, cs_ref_in_shape(call, k), i);
            double next = (double)((const float *)call->in[k])[from];
            result = k ? run(result, next) : next;
        }
        ((float *)call->out[0])[i] = (float)(result / share);
    }
}

// ---- Fusions -------------------------------------------------------------------------------

void cs_ref_fusion(const struct cs_ref_call *call)
{
    const struct cs_fusion *fusion = &call->node->fusion;
    const struct cs_shape *shape = cs_ref_out_shape(call, 0);
    float *out = call->out[0];
    if (fusion->add >= 0)
        broadcast(shape, out, shape, call->add, &call->graph->values[fusion->add].shape, out, add);
    if (fusion->activation)
        map(out, out, cs_shape_elements(shape), cs_ref_find_activation(fusion->activation)->run,
            (double)fusion->alpha, (double)fusion->beta);
}
