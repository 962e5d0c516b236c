// SPDX-License-Identifier: MIT
// Operators of single elements: functions of one, arithmetic of two and more with broadcasting,
// choice, conversion; and the additions and activations that passes fused into nodes whose own
// kernels do not do them.
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/cuda/call.h"

// ---- Functions -----------------------------------------------------------------------------

static const struct {
    const char *name;
    struct cs_cuda_activation function;
} functions[] = {
    {"Relu", {CS_FN_RELU, 0, 0}},
    {"LeakyRelu", {CS_FN_LEAKY_RELU, 0.01F, 0}},
    {"Clip", {CS_FN_CLIP, -FLT_MAX, FLT_MAX}},
    {"Sigmoid", {CS_FN_SIGMOID, 0, 0}},
    {"HardSigmoid", {CS_FN_HARD_SIGMOID, 0.2F, 0.5F}},
    {"HardSwish", {CS_FN_HARD_SWISH, 0, 0}},
    {"Swish", {CS_FN_SWISH, 1, 0}},
    {"Tanh", {CS_FN_TANH, 0, 0}},
    {"Elu", {CS_FN_ELU, 1, 0}},
    {"Gelu", {CS_FN_GELU, 0, 0}},
    {"Softplus", {CS_FN_SOFTPLUS, 0, 0}},
    {"Erf", {CS_FN_ERF, 0, 0}},
    {"Mish", {CS_FN_MISH, 0, 0}},
    {"Exp", {CS_FN_EXP, 0, 0}},
    {"Log", {CS_FN_LOG, 0, 0}},
    {"Sqrt", {CS_FN_SQRT, 0, 0}},
    {"Abs", {CS_FN_ABS, 0, 0}},
    {"Neg", {CS_FN_NEG, 0, 0}},
    {"Sign", {CS_FN_SIGN, 0, 0}},
    {"Floor", {CS_FN_FLOOR, 0, 0}},
    {"Ceil", {CS_FN_CEIL, 0, 0}},
    {"Not", {CS_FN_NOT, 0, 0}},
    {"Identity", {CS_FN_IDENTITY, 0, 0}},
    {"Dropout", {CS_FN_IDENTITY, 0, 0}},
    {"Cast", {CS_FN_IDENTITY, 0, 0}},
};

bool cs_cuda_function_of(const char *op, struct cs_cuda_activation *function)
{
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (strcmp(functions[i].name, op) == 0) {
            *function = functions[i].function;
            return true;
        }
    return false;
}

bool cs_cuda_activates(const struct cs_fusion *fusion)
{
    struct cs_cuda_activation function;
    return !fusion->activation || cs_cuda_function_of(fusion->activation, &function);
}

static int run_function(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                        struct cs_err *err)
{
    const struct cs_node *node = step->node;
    struct cs_cuda_element e = {
        .in = {cs_cuda_in(step, run, 0)}, .out = cs_cuda_out(step, run, 0), .share = 1};
    (void)err;
    if (!e.out.data)
        return 0;
    cs_cuda_function_of(node->op, &e.activation);
    e.activation.alpha = cs_node_float(node, "alpha", e.activation.alpha);
    e.activation.beta = cs_node_float(node, "beta", e.activation.beta);
    if (e.activation.function == CS_FN_GELU &&
        strcmp(cs_node_string(node, "approximate", "none"), "tanh") == 0)
        e.activation.function = CS_FN_GELU_TANH;
    return cs_cuda_element_launch(run->stream, &e);
}

static int build_function(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    return cs_cuda_build_call(plan, node, (struct cs_cuda_inputs){.unread = ~1ULL}, run_function,
                              err);
}

// Without training it passes everything on: the mask is true.
static int run_dropout(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                       struct cs_err *err)
{
    struct cs_cuda_tensor mask = cs_cuda_out(step, run, 1);
    int failed = run_function(step, run, err);
    return failed || !mask.data ? failed : cs_cuda_set_all(run->stream, &mask, 1);
}

static int build_dropout(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    return cs_cuda_build_call(plan, node, (struct cs_cuda_inputs){.unread = ~1ULL}, run_dropout,
                              err);
}

// ---- Arithmetic ----------------------------------------------------------------------------

static const struct {
    const char *name;
    enum cs_cuda_operation operation;
} operations[] = {
    {"Add", CS_EL_ADD},
    {"Sub", CS_EL_SUB},
    {"Mul", CS_EL_MUL},
    {"Div", CS_EL_DIV},
    {"Pow", CS_EL_POW},
    {"Mod", CS_EL_MOD},
    {"PRelu", CS_EL_SLOPE},
    {"Max", CS_EL_MAX},
    {"Min", CS_EL_MIN},
    {"Sum", CS_EL_ADD},
    {"Mean", CS_EL_ADD},
    {"Equal", CS_EL_EQUAL},
    {"Greater", CS_EL_GREATER},
    {"Less", CS_EL_LESS},
    {"GreaterOrEqual", CS_EL_GREATER_EQUAL},
    {"LessOrEqual", CS_EL_LESS_EQUAL},
    {"And", CS_EL_AND},
    {"Or", CS_EL_OR},
    {"Xor", CS_EL_XOR},
    {"Where", CS_EL_WHERE},
};

static enum cs_cuda_operation operation_of(const struct cs_node *node)
{
    int i = 0;
    while (strcmp(operations[i].name, node->op) != 0)
        i++;
    bool dividends = operations[i].operation == CS_EL_MOD && cs_node_int(node, "fmod", 0) != 0;
    return dividends ? CS_EL_FMOD : operations[i].operation;
}

// Operands from left to right: more than two are gathered in the output, which no operand but the
// first may share.
static int run_chain(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                     struct cs_err *err)
{
    const struct cs_node *node = step->node;
    struct cs_cuda_element e = {.operation = operation_of(node),
                                .in = {cs_cuda_in(step, run, 0)},
                                .out = cs_cuda_out(step, run, 0),
                                .share = 1,
                                .fault = run->fault};
    bool mean = strcmp(node->op, "Mean") == 0;
    int failed = 0, last = node->input_count - 1;
    (void)err;
    if (!e.out.data)
        return 0;
    if (e.operation == CS_EL_WHERE) {
        e.in[1] = cs_cuda_in(step, run, 1);
        e.in[2] = cs_cuda_in(step, run, 2);
        e.activation = cs_cuda_fused(node);
        return cs_cuda_element_launch(run->stream, &e);
    }
    if (last == 0)
        e.operation = CS_EL_FIRST;
    for (int i = last > 0; i <= last && !failed; i++) {
        e.in[1] = cs_cuda_in(step, run, i);
        if (i == last) {
            e.activation = cs_cuda_fused(node);
            e.share = mean ? 1 / (float)(last + 1) : 1;
        }
        failed = cs_cuda_element_launch(run->stream, &e);
        e.in[0] = e.out;
    }
    return failed;
}

static int build_chain(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    return cs_cuda_build_call(plan, node, (struct cs_cuda_inputs){0}, run_chain, err);
}

// ---- Clip ----------------------------------------------------------------------------------

// Limits are attributes before opset 11, inputs since. Those of a float that are known go with the
// kernel; others are tensors of one element.
static int run_clip(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                    struct cs_err *err)
{
    const struct cs_cuda_call *call = cs_cuda_call_of(step);
    struct cs_cuda_element e = {
        .in = {cs_cuda_in(step, run, 0)}, .out = cs_cuda_out(step, run, 0), .share = 1};
    (void)err;
    if (!e.out.data)
        return 0;
    e.activation = (struct cs_cuda_activation){CS_FN_CLIP, -INFINITY, INFINITY};
    if (e.out.type <= CS_CUDA_F16 &&
        cs_node_clip(call->graph, call->node, &e.activation.alpha, &e.activation.beta, NULL) == 0)
        return cs_cuda_element_launch(run->stream, &e);
    e.activation.function = CS_FN_IDENTITY;
    static const enum cs_cuda_operation sides[] = {CS_EL_MAX, CS_EL_MIN}; // the upper limit wins
    for (int i = 0; i < 2; i++) {
        e.in[1] = cs_cuda_in(step, run, 1 + i);
        e.operation = e.in[1].data ? sides[i] : CS_EL_FIRST;
        int failed = cs_cuda_element_launch(run->stream, &e);
        if (failed)
            return failed;
        e.in[0] = e.out;
    }
    return 0;
}

static int build_clip(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    return cs_cuda_build_call(plan, node, (struct cs_cuda_inputs){0}, run_clip, err);
}

// ---- Fusions -------------------------------------------------------------------------------

struct fusion {
    struct cs_cuda_operand add; // value -1 and no data: none
};

static int run_fusion(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                      struct cs_err *err)
{
    const struct fusion *fusion = step->params;
    struct cs_cuda_tensor out = cs_cuda_at(run, step->node->outputs[0]);
    struct cs_cuda_element e = {.in = {out, cs_cuda_operand_at(run, &fusion->add)},
                                .out = out,
                                .share = 1,
                                .activation = cs_cuda_fused(step->node)};
    (void)err;
    e.operation = e.in[1].data ? CS_EL_ADD : CS_EL_FIRST;
    return out.data ? cs_cuda_element_launch(run->stream, &e) : 0;
}

int cs_cuda_build_fusion(struct cs_plan *plan, const struct cs_node *node, bool with_add,
                         struct cs_err *err)
{
    with_add = with_add && node->fusion.add >= 0;
    if (!with_add && !node->fusion.activation)
        return 0;
    struct fusion *fusion = cs_cuda_params(plan, sizeof *fusion);
    fusion->add.value = -1;
    if (with_add && cs_cuda_operand(plan, node->fusion.add, &fusion->add, err) < 0)
        return -1;
    cs_cuda_add_step(plan, node, run_fusion, fusion);
    return 0;
}

#define FUNCTION(name)                                                                             \
    {                                                                                              \
        name, build_function, NULL, false                                                          \
    }
#define CHAIN(name)                                                                                \
    {                                                                                              \
        name, build_chain, NULL, true                                                              \
    }
const struct cs_cuda_op cs_cuda_element_ops[] = {
    FUNCTION("Relu"),
    FUNCTION("LeakyRelu"),
    FUNCTION("Sigmoid"),
    FUNCTION("HardSigmoid"),
    FUNCTION("HardSwish"),
    FUNCTION("Swish"),
    FUNCTION("Tanh"),
    FUNCTION("Elu"),
    FUNCTION("Gelu"),
    FUNCTION("Softplus"),
    FUNCTION("Erf"),
    FUNCTION("Mish"),
    FUNCTION("Exp"),
    FUNCTION("Log"),
    FUNCTION("Sqrt"),
    FUNCTION("Abs"),
    FUNCTION("Neg"),
    FUNCTION("Sign"),
    FUNCTION("Floor"),
    FUNCTION("Ceil"),
    FUNCTION("Not"),
    FUNCTION("Identity"),
    FUNCTION("Cast"),
    {"Dropout", build_dropout, NULL, false},
    CHAIN("Add"),
    CHAIN("Sub"),
    CHAIN("Mul"),
    CHAIN("Div"),
    CHAIN("Pow"),
    CHAIN("Mod"),
    CHAIN("PRelu"),
    CHAIN("Max"),
    CHAIN("Min"),
    CHAIN("Sum"),
    CHAIN("Mean"),
    CHAIN("Equal"),
    CHAIN("Greater"),
    CHAIN("Less"),
    CHAIN("GreaterOrEqual"),
    CHAIN("LessOrEqual"),
    CHAIN("And"),
    CHAIN("Or"),
    CHAIN("Xor"),
    CHAIN("Where"),
    {"Clip", build_clip, NULL, false},
    {NULL, NULL, NULL, false},
};
