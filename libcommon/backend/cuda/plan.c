// SPDX-License-Identifier: MIT
// A plan: the steps of one concrete graph, with every place and constant decided.
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/late.h"
#include "base/mem.h"

// ---- Operators ---------------------------------------------------------------------------

static const struct cs_cuda_op *find_op(const struct cs_graph *graph, const struct cs_node *node,
                                        char *why, size_t why_size)
{
    snprintf(why, why_size, "operator not supported");
    for (int t = 0; cs_cuda_tables[t]; t++)
        for (const struct cs_cuda_op *op = cs_cuda_tables[t]; op->name; op++)
            if (strcmp(op->name, node->op) == 0 &&
                (!op->supports || op->supports(graph, node, why, why_size)))
                return op;
    return NULL;
}

bool cs_cuda_supports(const struct cs_graph *graph, const struct cs_node *node, char *why,
                      size_t why_size)
{
    if (!cs_cuda_activates(&node->fusion)) {
        snprintf(why, why_size, "activation %s not supported", node->fusion.activation);
        return false;
    }
    return find_op(graph, node, why, why_size) != NULL;
}

// ---- For the files that make steps -------------------------------------------------------

void *cs_cuda_params(struct cs_plan *plan, size_t bytes)
{
    return cs_arena_alloc(&plan->params, 1, bytes);
}

struct cs_cuda_step *cs_cuda_add_step(struct cs_plan *plan, const struct cs_node *node,
                                      int (*run)(const struct cs_cuda_step *,
                                                 const struct cs_cuda_run *, struct cs_err *),
                                      void *params)
{
    if (plan->step_count == plan->step_capacity) {
        plan->step_capacity = plan->step_capacity ? 2 * plan->step_capacity : 256;
        plan->steps = cs_xrealloc(plan->steps, (size_t)plan->step_capacity, sizeof *plan->steps);
    }
    struct cs_cuda_step *step = &plan->steps[plan->step_count++];
    *step = (struct cs_cuda_step){.run = run, .params = params, .node = node};
    return step;
}

void cs_cuda_need_scratch(struct cs_plan *plan, size_t bytes)
{
    plan->scratch_bytes = bytes > plan->scratch_bytes ? bytes : plan->scratch_bytes;
}

size_t cs_cuda_keep(struct cs_plan *plan, size_t bytes)
{
    enum { ALIGNMENT = 256 };
    size_t at = plan->kept_bytes ? plan->kept_bytes : ALIGNMENT;
    plan->kept_bytes = at + (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return at;
}

const struct cs_graph *cs_cuda_graph(const struct cs_plan *plan)
{
    return plan->graph;
}

enum cs_cuda_type cs_cuda_real(const struct cs_plan *plan)
{
    return plan->memory.real;
}

struct cs_cuda_tensor cs_cuda_at(const struct cs_cuda_run *run, int value)
{
    const struct cs_value *v = &run->plan->graph->values[value];
    const struct cs_cuda_place *place = &run->plan->memory.places[value];
    struct cs_cuda_tensor tensor = {.type = cs_cuda_type_of(v, run->plan->memory.real),
                                    .rank = v->shape.rank};
    memcpy(tensor.dim, v->shape.dim, sizeof tensor.dim);
    memcpy(tensor.stride, place->stride, sizeof tensor.stride);
    if (place->offset != SIZE_MAX)
        tensor.data = run->arena + place->offset;
    return tensor;
}

int cs_cuda_operand(struct cs_plan *plan, int value, struct cs_cuda_operand *operand,
                    struct cs_err *err)
{
    *operand = (struct cs_cuda_operand){.value = -1};
    if (value < 0)
        return 0;
    if (plan->graph->values[value].data)
        return cs_cuda_constant(plan, value, plan->memory.real, &operand->tensor, err);
    operand->value = value;
    return 0;
}

struct cs_cuda_tensor cs_cuda_operand_at(const struct cs_cuda_run *run,
                                         const struct cs_cuda_operand *operand)
{
    return operand->value < 0 ? operand->tensor : cs_cuda_at(run, operand->value);
}

// ---- The plan ----------------------------------------------------------------------------

static bool is_empty(const struct cs_plan *plan, const struct cs_node *node)
{
    for (int i = 0; i < node->output_count; i++) {
        const struct cs_value *out = cs_node_output(plan->graph, node, i);
        if (out && out->uses > 0 && cs_shape_elements(&out->shape) != 0)
            return false;
    }
    return true;
}

static int build_node(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    char why[160];
    const struct cs_cuda_op *op = find_op(plan->graph, node, why, sizeof why);
    int out = node->output_count > 0 ? node->outputs[0] : -1;
    if (!op)
        return cs_fail(err, CS_EMODEL, "node %s (%s): %s", node->name, node->op, why);
    if (is_empty(plan, node) || (out >= 0 && plan->memory.places[out].view))
        return 0;
    int first = plan->step_count, result = op->build(plan, node, err);
    if (result == 0 && !op->fuses && cs_node_fuses(node))
        result = cs_cuda_build_fusion(plan, node, true, err);
    if (result == 0 && plan->step_count > first)
        plan->steps[first].bytes = cs_cuda_traffic(plan, node);
    return result == 0 ? 0 : cs_err_context(err, "node %s (%s)", node->name, node->op);
}

int cs_cuda_plan_open(struct cs_network *network, const struct cs_graph *graph,
                      enum cs_precision precision, bool direct, struct cs_plan **plan,
                      struct cs_err *err)
{
    struct cs_plan *made = cs_xcalloc(1, sizeof *made);
    made->network = network;
    made->graph = graph;
    made->precision = precision;
    made->direct = direct;
    int result = cs_cuda_use(network->device, err);
    if (result == 0)
        result = cs_cuda_memory_plan(graph, precision, &made->memory, err);
    cs_cuda_late_init(made);
    for (int i = 0; result == 0 && i < graph->node_count; i++)
        result = build_node(made, &graph->nodes[i], err);
    if (result != 0) {
        cs_cuda_plan_close(made);
        return -1;
    }
    *plan = made;
    return 0;
}

void cs_cuda_plan_close(struct cs_plan *plan)
{
    if (!plan)
        return;
    cs_cuda_use(plan->network->device, NULL);
    for (int i = 0; i < plan->step_count; i++)
        if (plan->steps[i].release)
            plan->steps[i].release(plan->steps[i].params);
    free(plan->steps);
    cs_cuda_late_release(plan);
    cs_cuda_drop_packed(plan);
    cs_cuda_memory_release(&plan->memory);
    cs_arena_release(&plan->params);
    free(plan);
}

struct cs_memory_use cs_cuda_plan_memory(const struct cs_plan *plan)
{
    return (struct cs_memory_use){.weights = plan->network->packed_bytes,
                                  .packed = plan->network->packed_bytes,
                                  .arena = plan->memory.arena_bytes,
                                  .workspace = plan->scratch_bytes + plan->kept_bytes,
                                  .buffers =
                                      cs_cuda_input_bytes(plan) + cs_cuda_output_bytes(plan)};
}
