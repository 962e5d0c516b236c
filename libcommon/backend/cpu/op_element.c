// SPDX-License-Identifier: MIT
// Element by element: functions of one value, functions of two with broadcasting, and the
// additions and activations that passes fused into nodes which do not do them themselves.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "graph/params.h"

struct unary {
    struct cs_cpu_place src, dst;
    int64_t count;
    struct cs_cpu_activation f;
};

enum { PIECE = 16384 };

static int run_unary(const struct cs_cpu_step *step, const struct cs_cpu_run *run,
                     struct cs_err *err)
{
    (void)err;
    const struct unary *unary = step->params;
    float *dst = cs_cpu_at(run, unary->dst);
    const float *src = cs_cpu_at(run, unary->src);
#pragma omp parallel for schedule(static) if (unary->count > PIECE)
    for (int64_t i = 0; i < unary->count; i += PIECE) {
        int64_t left = unary->count - i;
        run->kernels->unary[unary->f.unary](dst + i, src + i, left < PIECE ? left : PIECE,
                                            unary->f.alpha, unary->f.beta);
    }
    return 0;
}

static void add_unary(struct cs_plan *plan, const struct cs_node *node, int from,
                      const struct cs_cpu_activation *f)
{
    struct unary *unary = cs_cpu_params(plan, sizeof *unary);
    unary->src = cs_cpu_place_of(plan, from);
    unary->dst = cs_cpu_place_of(plan, node->outputs[0]);
    unary->count = cs_shape_elements(&cs_node_output(plan->graph, node, 0)->shape);
    unary->f = *f;
    cs_cpu_add_step(plan, node, run_unary, unary);
}

// ---- Names -------------------------------------------------------------------------------

static const struct {
    const char *name;
    enum cs_unary unary;
} unary_names[] = {
    {"Relu", CS_UNARY_RELU},
    {"LeakyRelu", CS_UNARY_LEAKY_RELU},
    {"Clip", CS_UNARY_CLIP},
    {"HardSigmoid", CS_UNARY_HARD_SIGMOID},
    {"HardSwish", CS_UNARY_HARD_SWISH},
    {"Sigmoid", CS_UNARY_SIGMOID},
    {"Swish", CS_UNARY_SILU},
    {"Tanh", CS_UNARY_TANH},
    {"Elu", CS_UNARY_ELU},
    {"Softplus", CS_UNARY_SOFTPLUS},
    {"Gelu", CS_UNARY_GELU},
    {"Erf", CS_UNARY_ERF},
    {"Mish", CS_UNARY_MISH},
    {"Exp", CS_UNARY_EXP},
    {"Log", CS_UNARY_LOG},
    {"Sqrt", CS_UNARY_SQRT},
    {"Abs", CS_UNARY_ABS},
    {"Neg", CS_UNARY_NEG},
    {"Floor", CS_UNARY_FLOOR},
    {"Ceil", CS_UNARY_CEIL},
    {"Identity", CS_UNARY_IDENTITY},
    {"Dropout", CS_UNARY_IDENTITY},
};

static bool find_unary(const char *name, enum cs_unary *unary)
{
    for (size_t i = 0; i < sizeof unary_names / sizeof *unary_names; i++) {
        if (strcmp(unary_names[i].name, name) == 0) {
            *unary = unary_names[i].unary;
            return true;
        }
    }
    return false;
}

bool cs_cpu_activation_of(const struct cs_fusion *fusion, struct cs_cpu_activation *activation)
{
    *activation = (struct cs_cpu_activation){CS_UNARY_IDENTITY, fusion->alpha, fusion->beta};
    return !fusion->activation || find_unary(fusion->activation, &activation->unary);
}

static int build_unary(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    struct cs_cpu_activation f = {0};
    find_unary(node->op, &f.unary);
    float alpha = f.unary == CS_UNARY_LEAKY_RELU     ? 0.01F
                  : f.unary == CS_UNARY_HARD_SIGMOID ? 0.2F
                                                     : 1.0F;
    f.alpha = cs_node_float(node, "alpha", alpha);
    f.beta = cs_node_float(node, "beta", 0.5F);
    if (f.unary == CS_UNARY_CLIP && cs_node_clip(plan->graph, node, &f.alpha, &f.beta, err) != 0)
        return -1;
    if (f.unary == CS_UNARY_GELU &&
        strcmp(cs_node_string(node, "approximate", "none"), "tanh") == 0)
        f.unary = CS_UNARY_GELU_TANH;
    add_unary(plan, node, node->inputs[0], &f);
    return 0;
}

// ---- Two operands ------------------------------------------------------------------------

struct binary {
    struct cs_cpu_place dst, a, b;
    struct cs_nd nd;
    enum cs_binary f;
    struct cs_cpu_activation activation;
};

struct binary_context {
    const struct binary *binary;
    const struct cs_kernels *kernels;
};

static void binary_body(float *const *ptr, int64_t count, const int64_t *stride,
                        const void *context)
{
    const struct binary_context *c = context;
    const struct cs_cpu_activation *activation = &c->binary->activation;
    // The written operand is dense and its smallest stride innermost: stride[0] is 1.
    c->kernels->binary[c->binary->f](ptr[0], ptr[1], ptr[2], count, stride[1], stride[2]);
    if (activation->unary != CS_UNARY_IDENTITY)
        c->kernels->unary[activation->unary](ptr[0], ptr[0], count, activation->alpha,
                                             activation->beta);
}

static int run_binary(const struct cs_cpu_step *step, const struct cs_cpu_run *run,
                      struct cs_err *err)
{
    (void)err;
    const struct binary *binary = step->params;
    const struct binary_context context = {binary, run->kernels};
    float *base[] = {cs_cpu_at(run, binary->dst), cs_cpu_at(run, binary->a),
                     cs_cpu_at(run, binary->b)};
    cs_nd_run(&binary->nd, base, binary_body, &context);
    return 0;
}

// An operand, broadcast to the loop. Whole constants are turned to lie as the output does.
static int add_operand(struct cs_plan *plan, struct cs_nd *nd, int value, bool channels_last,
                       struct cs_cpu_place *place, struct cs_err *err)
{
    const struct cs_value *v = &plan->graph->values[value];
    const struct cs_shape *shape = &v->shape;
    int64_t stride[CS_MAX_RANK], channels = shape->rank == nd->rank ? shape->dim[1] : 1;
    bool mixed = channels_last && v->data && channels > 1 &&
                 cs_shape_elements(shape) > shape->dim[0] * channels;
    *place = cs_cpu_place_of(plan, value);
    cs_cpu_strides_of(plan, value, stride);
    if (mixed && cs_cpu_turn_constant(plan, value, place, stride, err) != 0)
        return -1;
    cs_nd_add_broadcast(nd, shape, stride);
    return 0;
}

// output = f(a, b), then the activation.
static int add_binary(struct cs_plan *plan, const struct cs_node *node, int a, int b,
                      enum cs_binary f, const struct cs_cpu_activation *activation,
                      struct cs_err *err)
{
    struct binary *binary = cs_cpu_params(plan, sizeof *binary);
    int64_t stride[CS_MAX_RANK];
    int out = node->outputs[0];
    bool last = plan->channels_last[out];
    binary->dst = cs_cpu_place_of(plan, out);
    binary->f = f;
    binary->activation = *activation;
    cs_nd_init(&binary->nd, &plan->graph->values[out].shape);
    cs_cpu_strides_of(plan, out, stride);
    cs_nd_add(&binary->nd, stride);
    if (add_operand(plan, &binary->nd, a, last, &binary->a, err) != 0 ||
        add_operand(plan, &binary->nd, b, last, &binary->b, err) != 0)
        return -1;
    cs_nd_simplify(&binary->nd);
    cs_cpu_add_step(plan, node, run_binary, binary);
    return 0;
}

static const struct {
    const char *name;
    enum cs_binary binary;
} binary_names[] = {
    {"Add", CS_BINARY_ADD}, {"Sub", CS_BINARY_SUB},     {"Mul", CS_BINARY_MUL},
    {"Div", CS_BINARY_DIV}, {"Max", CS_BINARY_MAX},     {"Min", CS_BINARY_MIN},
    {"Pow", CS_BINARY_POW}, {"PRelu", CS_BINARY_PRELU}, {"Sum", CS_BINARY_ADD},
};

static int build_binary(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    if (plan->late[node->outputs[0]].gated) // by those who read it
        return 0;
    for (int i = 0; i < node->input_count; i++)
        if (plan->late[node->inputs[i]].gated) {
            cs_cpu_build_gate(plan, node, node->inputs[i]);
            return 0;
        }
    enum cs_binary f = CS_BINARY_ADD;
    for (size_t i = 0; i < sizeof binary_names / sizeof *binary_names; i++)
        if (strcmp(binary_names[i].name, node->op) == 0)
            f = binary_names[i].binary;
    struct cs_cpu_activation activation, none = {0};
    cs_cpu_activation_of(&node->fusion, &activation);
    bool fuse = node->fusion.add < 0;
    const struct cs_value *second = cs_node_input(plan->graph, node, 1);
    bool square = f == CS_BINARY_POW && second->data && cs_shape_elements(&second->shape) == 1 &&
                  *(const float *)second->data == 2;
    const struct cs_cpu_activation *after = fuse ? &activation : &none;
    int result = 0;
    if (square && second->shape.rank <= cs_node_input(plan->graph, node, 0)->shape.rank) {
        result =
            add_binary(plan, node, node->inputs[0], node->inputs[0], CS_BINARY_MUL, after, err);
    } else if (node->input_count == 1) { // Max, Min and Sum of one
        add_unary(plan, node, node->inputs[0], after);
    } else {
        int a = node->inputs[0];
        for (int i = 1; result == 0 && i < node->input_count; i++) {
            bool last = i == node->input_count - 1;
            result = add_binary(plan, node, a, node->inputs[i], f, last ? after : &none, err);
            a = node->outputs[0];
        }
    }
    return fuse || result != 0 ? result : cs_cpu_build_fusion(plan, node, true, err);
}

int cs_cpu_build_add(struct cs_plan *plan, const struct cs_node *node, int value,
                     struct cs_err *err)
{
    const struct cs_cpu_activation none = {0};
    return add_binary(plan, node, node->outputs[0], value, CS_BINARY_ADD, &none, err);
}

int cs_cpu_build_fusion(struct cs_plan *plan, const struct cs_node *node, bool with_add,
                        struct cs_err *err)
{
    struct cs_cpu_activation activation;
    cs_cpu_activation_of(&node->fusion, &activation);
    if (with_add && node->fusion.add >= 0)
        return add_binary(plan, node, node->outputs[0], node->fusion.add, CS_BINARY_ADD,
                          &activation, err);
    if (activation.unary != CS_UNARY_IDENTITY)
        add_unary(plan, node, node->outputs[0], &activation);
    return 0;
}

static bool unary_supports(const struct cs_graph *graph, const struct cs_node *node, char *why,
                           size_t why_size)
{
    float low, high;
    if (cs_node_input(graph, node, 0)->data)
        snprintf(why, why_size, "input is a constant");
    else if (strcmp(node->op, "Clip") == 0 && cs_node_clip(graph, node, &low, &high, NULL) != 0)
        snprintf(why, why_size, "limits are computed");
    else if (strcmp(node->op, "Swish") == 0 && cs_node_float(node, "alpha", 1) != 1)
        snprintf(why, why_size, "alpha is not 1");
    else
        return true;
    return false;
}

static bool binary_supports(const struct cs_graph *graph, const struct cs_node *node, char *why,
                            size_t why_size)
{
    for (int i = 0; i < node->input_count; i++)
        if (cs_node_input(graph, node, i)->type != CS_TYPE_F32) {
            snprintf(why, why_size, "input %d is not float32", i);
            return false;
        }
    return true;
}

#define UNARY(name)                                                                                \
    {                                                                                              \
        name, build_unary, unary_supports, false, CS_CPU_OVERWRITES_INPUT                          \
    }
#define BINARY(name)                                                                               \
    {                                                                                              \
        name, build_binary, binary_supports, true, CS_CPU_OVERWRITES_EITHER                        \
    }

const struct cs_cpu_op cs_cpu_element_ops[] = {
    UNARY("Relu"),      UNARY("LeakyRelu"), UNARY("Clip"),    UNARY("HardSigmoid"),
    UNARY("HardSwish"), UNARY("Swish"),     UNARY("Sigmoid"), UNARY("Tanh"),
    UNARY("Elu"),       UNARY("Softplus"),  UNARY("Gelu"),    UNARY("Erf"),
    UNARY("Mish"),      UNARY("Exp"),       UNARY("Log"),     UNARY("Sqrt"),
    UNARY("Abs"),       UNARY("Neg"),       UNARY("Floor"),   UNARY("Ceil"),
    UNARY("Identity"),  UNARY("Dropout"),   BINARY("Add"),    BINARY("Sub"),
    BINARY("Mul"),      BINARY("Div"),      BINARY("Max"),    BINARY("Min"),
    BINARY("Pow"),      BINARY("PRelu"),    BINARY("Sum"),    {0},
};
