// SPDX-License-Identifier: MIT
// Operators of two or more elements with broadcasting: arithmetic, comparison, logic, choice.
#include <float.h>
#include <math.h>
#include <string.h>

#include "graph/element.h"
#include "graph/eval.h"
#include "graph/params.h"

// ---- The operations ------------------------------------------------------------------------

#define BINARY(name, type, expression)                                                             \
    static type name(type a, type b)                                                               \
    {                                                                                              \
        return (expression);                                                                       \
    }
BINARY(add_real, double, a + b)
BINARY(subtract_real, double, a - b)
BINARY(multiply_real, double, a *b)
BINARY(divide_real, double, a / b)
BINARY(greatest_real, double, a > b || isnan(a) ? a : b)
BINARY(least_real, double, a < b || isnan(a) ? a : b)
BINARY(equal_real, double, a == b)
BINARY(greater_real, double, a > b)
BINARY(less_real, double, a < b)
BINARY(greater_equal_real, double, a >= b)
BINARY(less_equal_real, double, a <= b)
BINARY(slope, double, a < 0 ? a * b : a)

BINARY(add_integer, int64_t, (int64_t)((uint64_t)a + (uint64_t)b))
BINARY(subtract_integer, int64_t, (int64_t)((uint64_t)a - (uint64_t)b))
BINARY(multiply_integer, int64_t, (int64_t)((uint64_t)a *(uint64_t)b))
BINARY(divide_integer, int64_t, b == -1 ? subtract_integer(0, a) : a / b)
BINARY(greatest_integer, int64_t, a > b ? a : b)
BINARY(least_integer, int64_t, a < b ? a : b)
BINARY(equal_integer, int64_t, a == b)
BINARY(greater_integer, int64_t, a > b)
BINARY(less_integer, int64_t, a < b)
BINARY(greater_equal_integer, int64_t, a >= b)
BINARY(less_equal_integer, int64_t, a <= b)
BINARY(and_integer, int64_t, (a != 0) & (b != 0))
BINARY(or_integer, int64_t, (a != 0) | (b != 0))
BINARY(xor_integer, int64_t, (a != 0) ^ (b != 0))
BINARY(remainder_integer, int64_t, b == -1 ? 0 : a % b)

// The sign of the divisor, as in Python.
static double modulo_real(double a, double b)
{
    double rest = fmod(a, b);
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

static int64_t modulo_integer(int64_t a, int64_t b)
{
    int64_t rest = remainder_integer(a, b);
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

static int64_t power_integer(int64_t a, int64_t b)
{
    if (b < 0)
        return a == 1 ? 1 : a == -1 ? (b % 2 ? -1 : 1) : 0;
    uint64_t result = 1, square = (uint64_t)a;
    for (; b; b >>= 1, square *= square)
        result *= b & 1 ? square : 1;
    return (int64_t)result;
}

struct operation {
    const char *op;
    double (*real)(double, double);       // NULL: not for float32
    int64_t (*integer)(int64_t, int64_t); // NULL: not for integers
};

static const struct operation operations[] = {
    {"Add", add_real, add_integer},
    {"Sub", subtract_real, subtract_integer},
    {"Mul", multiply_real, multiply_integer},
    {"Div", divide_real, divide_integer},
    {"Pow", pow, power_integer},
    {"Mod", modulo_real, modulo_integer},
    {"PRelu", slope, NULL},
    {"Max", greatest_real, greatest_integer},
    {"Min", least_real, least_integer},
    {"Sum", add_real, add_integer},
    {"Mean", add_real, add_integer},
    {"Equal", equal_real, equal_integer},
    {"Greater", greater_real, greater_integer},
    {"Less", less_real, less_integer},
    {"GreaterOrEqual", greater_equal_real, greater_equal_integer},
    {"LessOrEqual", less_equal_real, less_equal_integer},
    {"And", NULL, and_integer},
    {"Or", NULL, or_integer},
    {"Xor", NULL, xor_integer},
};
// Mod with fmod=1: the sign of the dividend, as in C.
static const struct operation c_remainder = {"Mod", fmod, remainder_integer};

static const struct operation *operation_of(const struct cs_node *node)
{
    if (strcmp(node->op, "Mod") == 0 && cs_node_int(node, "fmod", 0) != 0)
        return &c_remainder;
    const struct operation *o = operations;
    while (strcmp(o->op, node->op) != 0)
        o++;
    return o;
}

// ---- Loops ---------------------------------------------------------------------------------

static struct cs_dense input(const struct cs_eval *at, int i)
{
    const struct cs_value *value = cs_node_input(at->graph, at->node, i);
    return (struct cs_dense){value->type, &value->shape, at->in[i]};
}

// Where a run of elements along the output's last axis lies in an operand.
struct operand {
    struct cs_dense tensor;
    int64_t first, step;
};

static struct operand operand_at(struct cs_dense tensor, const struct cs_shape *out, int64_t flat)
{
    int rank = tensor.shape->rank;
    return (struct operand){tensor, cs_broadcast_index(out, tensor.shape, flat),
                            rank && tensor.shape->dim[rank - 1] > 1};
}

static void apply_reals(double (*f)(double, double), struct operand next, int64_t count,
                        double *result)
{
    double values[CS_RUN];
    cs_load_reals(next.tensor.type, next.tensor.data, next.first, next.step, count, values);
    for (int64_t i = 0; i < count; i++)
        result[i] = f(result[i], values[i]);
}

static void apply_integers(int64_t (*f)(int64_t, int64_t), struct operand next, int64_t count,
                           int64_t *result)
{
    int64_t values[CS_RUN];
    cs_load_integers(next.tensor.type, next.tensor.data, next.first, next.step, count, values);
    for (int64_t i = 0; i < count; i++)
        result[i] = f(result[i], values[i]);
}

struct chain { // operands from left to right, then divided by `share`
    const struct operation *operation;
    struct cs_dense operands[CS_MAX_NODE_IO];
    int count;
    bool real;
    int64_t share;
    enum cs_type type;
    const struct cs_shape *shape;
    void *out;
};

static void chain_run(const struct chain *c, int64_t flat, int64_t count)
{
    double reals[CS_RUN];
    int64_t integers[CS_RUN];
    for (int k = 0; k < c->count; k++) {
        struct operand o = operand_at(c->operands[k], c->shape, flat);
        enum cs_type type = o.tensor.type;
        if (c->real && k == 0)
            cs_load_reals(type, o.tensor.data, o.first, o.step, count, reals);
        else if (c->real)
            apply_reals(c->operation->real, o, count, reals);
        else if (k == 0)
            cs_load_integers(type, o.tensor.data, o.first, o.step, count, integers);
        else
            apply_integers(c->operation->integer, o, count, integers);
    }
    for (int64_t i = 0; c->share > 1 && i < count; i++) {
        if (c->real)
            reals[i] /= (double)c->share;
        else
            integers[i] /= c->share;
    }
    if (c->real)
        cs_store_reals(c->type, c->out, flat, count, reals);
    else
        cs_store_integers(c->type, c->out, flat, count, integers);
}

static void chain_all(const struct chain *c)
{
    int64_t total = cs_shape_elements(c->shape);
    int64_t line = c->shape->rank ? c->shape->dim[c->shape->rank - 1] : 1;
    int64_t lines = line ? total / line : 0;
#pragma omp parallel for if (total > 4096)
    for (int64_t l = 0; l < lines; l++)
        for (int64_t x = 0; x < line; x += CS_RUN)
            chain_run(c, l * line + x, line - x < CS_RUN ? line - x : CS_RUN);
}

static void run_chain(const struct cs_eval *at)
{
    const struct cs_value *out = cs_node_output(at->graph, at->node, 0);
    struct chain c = {.operation = operation_of(at->node),
                      .count = at->node->input_count,
                      .share = strcmp(at->node->op, "Mean") == 0 ? at->node->input_count : 1,
                      .type = out->type,
                      .shape = &out->shape,
                      .out = at->out[0]};
    for (int i = 0; i < c.count; i++) {
        c.operands[i] = input(at, i);
        c.real |= c.operands[i].type == CS_TYPE_F32;
    }
    chain_all(&c);
}

void cs_eval_add(struct cs_dense a, struct cs_dense b, enum cs_type type,
                 const struct cs_shape *shape, void *out)
{
    struct chain c = {.operation = &operations[0],
                      .operands = {a, b},
                      .count = 2,
                      .real = type == CS_TYPE_F32,
                      .share = 1,
                      .type = type,
                      .shape = shape,
                      .out = out};
    chain_all(&c);
}

// Integers have no infinity to become.
static int check_divisor(const struct cs_eval *at, struct cs_err *err)
{
    struct cs_dense divisor = input(at, 1);
    int64_t value, count = cs_shape_elements(divisor.shape);
    for (int64_t i = 0; divisor.type != CS_TYPE_F32 && i < count; i++) {
        cs_load_integers(divisor.type, divisor.data, i, 1, 1, &value);
        if (value == 0)
            return cs_node_fail(at->node, err, "divides by zero");
    }
    return 0;
}

// ---- Choice --------------------------------------------------------------------------------

static void run_where(const struct cs_eval *at)
{
    const struct cs_value *out = cs_node_output(at->graph, at->node, 0);
    struct cs_dense choice = input(at, 0), values[2] = {input(at, 2), input(at, 1)};
    size_t bytes = cs_type_bytes(out->type);
    int64_t total = cs_shape_elements(&out->shape);
#pragma omp parallel for if (total > 4096)
    for (int64_t i = 0; i < total; i++) {
        int64_t which = cs_broadcast_index(&out->shape, choice.shape, i);
        const struct cs_dense *from = &values[((const unsigned char *)choice.data)[which] != 0];
        int64_t index = cs_broadcast_index(&out->shape, from->shape, i);
        memcpy((char *)at->out[0] + i * (int64_t)bytes,
               (const char *)from->data + index * (int64_t)bytes, bytes);
    }
}

// ---- Clip ----------------------------------------------------------------------------------

// Limits are attributes before opset 11, inputs since; the upper one wins where they cross.
static void run_clip(const struct cs_eval *at)
{
    struct cs_dense in = input(at, 0);
    double low = -INFINITY, high = INFINITY;
    int64_t least = INT64_MIN, most = INT64_MAX, total = cs_shape_elements(in.shape);
    if (at->graph->opset < 11) {
        low = (double)cs_node_float(at->node, "min", -FLT_MAX);
        high = (double)cs_node_float(at->node, "max", FLT_MAX);
    }
    if (cs_node_input(at->graph, at->node, 1)) {
        cs_load_reals(in.type, at->in[1], 0, 0, 1, &low);
        cs_load_integers(in.type, at->in[1], 0, 0, 1, &least);
    }
    if (cs_node_input(at->graph, at->node, 2)) {
        cs_load_reals(in.type, at->in[2], 0, 0, 1, &high);
        cs_load_integers(in.type, at->in[2], 0, 0, 1, &most);
    }
#pragma omp parallel for if (total > 4096)
    for (int64_t i = 0; i < total; i++) {
        double real;
        int64_t integer;
        if (in.type == CS_TYPE_F32) {
            cs_load_reals(in.type, in.data, i, 0, 1, &real);
            real = isnan(real) ? real : fmin(fmax(real, low), high);
            cs_store_reals(in.type, at->out[0], i, 1, &real);
        } else {
            cs_load_integers(in.type, in.data, i, 0, 1, &integer);
            integer = least_integer(greatest_integer(integer, least), most);
            cs_store_integers(in.type, at->out[0], i, 1, &integer);
        }
    }
}

const struct cs_evaluator cs_eval_arithmetic[] = {
    {"Add", run_chain, NULL},
    {"Sub", run_chain, NULL},
    {"Mul", run_chain, NULL},
    {"Div", run_chain, check_divisor},
    {"Pow", run_chain, NULL},
    {"Mod", run_chain, check_divisor},
    {"PRelu", run_chain, NULL},
    {"Max", run_chain, NULL},
    {"Min", run_chain, NULL},
    {"Sum", run_chain, NULL},
    {"Mean", run_chain, NULL},
    {"Equal", run_chain, NULL},
    {"Greater", run_chain, NULL},
    {"Less", run_chain, NULL},
    {"GreaterOrEqual", run_chain, NULL},
    {"LessOrEqual", run_chain, NULL},
    {"And", run_chain, NULL},
    {"Or", run_chain, NULL},
    {"Xor", run_chain, NULL},
    {"Where", run_where, NULL},
    {"Clip", run_clip, NULL},
    {NULL, NULL, NULL},
};
