// SPDX-License-Identifier: MIT
// Operators between float32 and other types that masks and label maps need: comparisons, Where,
// ArgMax and ArgMin. Tensors of other types are always row-major.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "graph/params.h"

struct typed {
    struct cs_cpu_place operands[CS_ND_OPERANDS]; // the written one first
    struct cs_nd nd;
    cs_nd_fn *body;
    // ArgMax and ArgMin: values to choose from, floats apart.
    int64_t count, step;
    bool most, last;
};

static int run_typed(const struct cs_cpu_step *step, const struct cs_cpu_run *run,
                     struct cs_err *err)
{
    (void)err;
    const struct typed *typed = step->params;
    float *base[CS_ND_OPERANDS];
    for (int k = 0; k < typed->nd.operands; k++)
        base[k] = cs_cpu_at(run, typed->operands[k]);
    cs_nd_run(&typed->nd, base, typed->body, typed);
    return 0;
}

static void add_operand(struct cs_plan *plan, struct typed *typed, int value)
{
    const struct cs_value *v = &plan->graph->values[value];
    int64_t stride[CS_MAX_RANK];
    int k = typed->nd.operands;
    typed->operands[k] = cs_cpu_place_of(plan, value);
    typed->nd.bytes[k] = cs_type_bytes(v->type);
    cs_cpu_strides_of(plan, value, stride);
    cs_nd_add_broadcast(&typed->nd, &v->shape, stride);
}

// A loop over the output, with all inputs broadcast to it.
static int add_broadcast(struct cs_plan *plan, const struct cs_node *node, cs_nd_fn *body)
{
    struct typed *typed = cs_cpu_params(plan, sizeof *typed);
    cs_nd_init(&typed->nd, &cs_node_output(plan->graph, node, 0)->shape);
    add_operand(plan, typed, node->outputs[0]);
    for (int i = 0; i < node->input_count; i++)
        add_operand(plan, typed, node->inputs[i]);
    cs_nd_simplify(&typed->nd);
    typed->body = body;
    cs_cpu_add_step(plan, node, run_typed, typed);
    return 0;
}

// ---- Comparisons, Where ------------------------------------------------------------------

#define DEFINE_COMPARISON(name, operator)                                                          \
    static void name(float *const *ptr, int64_t count, const int64_t *stride, const void *context) \
    {                                                                                              \
        (void)context;                                                                             \
        uint8_t *out = (void *)ptr[0];                                                             \
        for (int64_t i = 0; i < count; i++)                                                        \
            out[i * stride[0]] = ptr[1][i * stride[1]] operator ptr[2][i * stride[2]];             \
    }
DEFINE_COMPARISON(equal, ==)
DEFINE_COMPARISON(greater, >)
DEFINE_COMPARISON(greater_or_equal, >=)
DEFINE_COMPARISON(less, <)
DEFINE_COMPARISON(less_or_equal, <=)

static const struct {
    const char *op;
    cs_nd_fn *body;
} comparisons[] = {{"Equal", equal},
                   {"Greater", greater},
                   {"GreaterOrEqual", greater_or_equal},
                   {"Less", less},
                   {"LessOrEqual", less_or_equal}};

static int build_comparison(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    (void)err;
    size_t i = 0;
    while (strcmp(comparisons[i].op, node->op) != 0)
        i++;
    return add_broadcast(plan, node, comparisons[i].body);
}

static void where(float *const *ptr, int64_t count, const int64_t *stride, const void *context)
{
    (void)context;
    const uint8_t *yes = (const void *)ptr[1];
    for (int64_t i = 0; i < count; i++) { // no branch: masks are hard to predict
        const float either[] = {ptr[3][i * stride[3]], ptr[2][i * stride[2]]};
        ptr[0][i * stride[0]] = either[yes[i * stride[1]] != 0];
    }
}

static int build_where(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    (void)err;
    return add_broadcast(plan, node, where);
}

// ---- ArgMax, ArgMin ----------------------------------------------------------------------

// The first best value, or the last of equal ones; the first NaN wins.
static int64_t choose(const struct typed *typed, const float *values)
{
    int64_t best = 0;
    float most = values[0];
    for (int64_t i = 1; i < typed->count; i++) {
        float x = values[i * typed->step];
        bool better = typed->most ? x > most : x < most;
        if (better || (isnan(x) && !isnan(most)) || (typed->last && x == most)) {
            best = i;
            most = x;
        }
    }
    return best;
}

static void choose_all(float *const *ptr, int64_t count, const int64_t *stride, const void *context)
{
    const struct typed *typed = context;
    int64_t *out = (void *)ptr[0];
    for (int64_t i = 0; i < count; i++)
        out[i * stride[0]] = choose(typed, ptr[1] + i * stride[1]);
}

static int build_arg(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    struct typed *typed = cs_cpu_params(plan, sizeof *typed);
    struct cs_shape kept = cs_node_input(plan->graph, node, 0)->shape;
    int64_t src[CS_MAX_RANK], dst[CS_MAX_RANK];
    int axis;
    if (cs_node_axis(node, 0, kept.rank, &axis, err) != 0)
        return -1;
    cs_cpu_strides_of(plan, node->inputs[0], src);
    typed->count = kept.dim[axis];
    typed->step = src[axis];
    typed->most = strcmp(node->op, "ArgMax") == 0;
    typed->last = cs_node_int(node, "select_last_index", 0) != 0;
    kept.dim[axis] = 1;
    cs_nd_dense(&kept, false, dst);
    typed->operands[0] = cs_cpu_place_of(plan, node->outputs[0]);
    typed->operands[1] = cs_cpu_place_of(plan, node->inputs[0]);
    cs_nd_init(&typed->nd, &kept);
    cs_nd_add(&typed->nd, dst);
    cs_nd_add(&typed->nd, src);
    typed->nd.bytes[0] = sizeof(int64_t);
    cs_nd_simplify(&typed->nd);
    typed->body = choose_all;
    cs_cpu_add_step(plan, node, run_typed, typed);
    return 0;
}

// ---- The table ---------------------------------------------------------------------------

static bool supports(const struct cs_graph *graph, const struct cs_node *node, char *why,
                     size_t why_size)
{
    bool conditional = strcmp(node->op, "Where") == 0;
    for (int i = 0; i < node->input_count; i++)
        if (cs_node_input(graph, node, i)->type !=
            (conditional && i == 0 ? CS_TYPE_BOOL : CS_TYPE_F32)) {
            snprintf(why, why_size, "input %d is not float32", i);
            return false;
        }
    return true;
}

const struct cs_cpu_op cs_cpu_typed_ops[] = {
    {"Equal", build_comparison, supports, false, CS_CPU_OVERWRITES_NOTHING},
    {"Greater", build_comparison, supports, false, CS_CPU_OVERWRITES_NOTHING},
    {"GreaterOrEqual", build_comparison, supports, false, CS_CPU_OVERWRITES_NOTHING},
    {"Less", build_comparison, supports, false, CS_CPU_OVERWRITES_NOTHING},
    {"LessOrEqual", build_comparison, supports, false, CS_CPU_OVERWRITES_NOTHING},
    {"Where", build_where, supports, false, CS_CPU_OVERWRITES_NOTHING},
    {"ArgMax", build_arg, supports, false, CS_CPU_OVERWRITES_NOTHING},
    {"ArgMin", build_arg, supports, false, CS_CPU_OVERWRITES_NOTHING},
    {0},
};
