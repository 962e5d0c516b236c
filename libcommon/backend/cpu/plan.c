// SPDX-License-Identifier: MIT
// A plan: the operators' steps for one concrete graph, with every place decided.
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "backend/cpu/waves.h"
#include "backend/order.h"
#include "backend/ref/ref.h"
#include "base/mem.h"

// ---- Operators ---------------------------------------------------------------------------

static const struct cs_cpu_op *const tables[] = {
    cs_cpu_conv_ops,       cs_cpu_norm_ops,   cs_cpu_pool_ops,   cs_cpu_element_ops,
    cs_cpu_move_ops,       cs_cpu_reduce_ops, cs_cpu_resize_ops, cs_cpu_matmul_ops,
    cs_cpu_layer_norm_ops, cs_cpu_pad_ops,    cs_cpu_typed_ops,  cs_cpu_attention_ops,
};

static const struct cs_cpu_op *op_find(const char *name, bool *typed)
{
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const struct cs_cpu_op *op = tables[t]; op->name; op++)
            if (strcmp(op->name, name) == 0) {
                *typed = tables[t] == cs_cpu_typed_ops;
                return op;
            }
    return NULL;
}

// Whether a kernel can work on the tensor: there is something in it, of the right type.
static bool workable(const struct cs_value *value, bool typed)
{
    return (typed || value->type == CS_TYPE_F32) && cs_shape_elements(&value->shape) > 0;
}

const struct cs_cpu_op *cs_cpu_op_of(const struct cs_graph *graph, const struct cs_node *node)
{
    char why[160];
    bool typed;
    const struct cs_cpu_op *op = op_find(node->op, &typed);
    if (!op)
        return NULL;
    for (int i = 0; i < node->output_count; i++) {
        const struct cs_value *value = cs_node_output(graph, node, i);
        if (value && value->uses > 0 && !workable(value, typed))
            return NULL;
    }
    for (int i = 0; i < node->input_count; i++) {
        const struct cs_value *value = cs_node_input(graph, node, i);
        if (value && !value->data && !workable(value, typed))
            return NULL;
    }
    return !op->supports || op->supports(graph, node, why, sizeof why) ? op : NULL;
}

bool cs_cpu_supports(const struct cs_graph *graph, const struct cs_node *node, char *why,
                     size_t why_size)
{
    struct cs_cpu_activation activation;
    if (!cs_cpu_activation_of(&node->fusion, &activation)) {
        snprintf(why, why_size, "activation %s not supported", node->fusion.activation);
        return false;
    }
    return cs_cpu_op_of(graph, node) || cs_ref_supports(graph, node, why, why_size);
}

// ---- Plans -------------------------------------------------------------------------------

static size_t value_bytes(const struct cs_graph *graph, int value, void *context)
{
    (void)context;
    int64_t count = cs_shape_elements(&graph->values[value].shape);
    return count < 0 ? 0 : (size_t)count * cs_type_bytes(graph->values[value].type);
}

void cs_cpu_plan_close(struct cs_plan *plan)
{
    if (!plan)
        return;
    for (int i = 0; i < plan->step_count; i++)
        cs_dnn_op_free(plan->steps[i].op);
    cs_dnn_forget();
    free(plan->steps);
    free(plan->waves);
    free(plan->seconds);
    free(plan->busy);
    free(plan->channels_last);
    free(plan->late);
    free(plan->bands);
    cs_cpu_drop_packed(plan);
    cs_memory_plan_release(&plan->memory);
    cs_arena_release(&plan->params);
    free(plan);
}

static int build_node(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    char why[160];
    if (!cs_cpu_supports(plan->graph, node, why, sizeof why))
        return cs_fail(err, CS_EMODEL, "node %s (%s): %s", node->name, node->op, why);
    const struct cs_cpu_op *op = cs_cpu_op_of(plan->graph, node);
    int result = 0, first = plan->step_count;
    plan->step_scratch = plan->step_shared = 0;
    for (int i = 0; !op && result == 0 && i < node->input_count; i++) {
        const struct cs_value *in = cs_node_input(plan->graph, node, i);
        if (in && in->in_file)
            result = cs_cpu_need_plain(plan, in, err);
    }
    if (op)
        result = op->build(plan, node, err);
    else if (result == 0)
        cs_cpu_build_plain(plan, node);
    if (result == 0 && op && !op->fuses)
        result = cs_cpu_build_fusion(plan, node, true, err);
    for (int i = first; i < plan->step_count; i++) {
        plan->steps[i].scratch_bytes = plan->step_scratch;
        plan->steps[i].shared_bytes = plan->step_shared;
    }
    return result == 0 ? 0 : cs_err_context(err, "node %s (%s)", node->name, node->op);
}

// oneDNN counts the pixels of a plane in an int.
static int check_planes(const struct cs_graph *graph, struct cs_err *err)
{
    for (int v = 0; v < graph->value_count; v++) {
        const struct cs_value *value = &graph->values[v];
        const int64_t *dim = value->shape.dim;
        if (value->shape.rank == 4 && !value->data && dim[2] * dim[3] > INT32_MAX)
            return cs_fail(err, CS_EMODEL, "%s: a plane of %lld x %lld has more than %d pixels",
                           value->name, (long long)dim[3], (long long)dim[2], INT32_MAX);
    }
    return 0;
}

int cs_cpu_plan_open(struct cs_network *network, const struct cs_graph *graph,
                     enum cs_precision precision, bool direct, struct cs_plan **plan,
                     struct cs_err *err)
{
    (void)precision; // fp32, the only one
    if (check_planes(graph, err) != 0)
        return -1;
    struct cs_plan *made = cs_xcalloc(1, sizeof *made);
    made->network = network;
    made->graph = graph;
    made->direct = direct;
    made->channels_last = cs_channels_last(graph);
    omp_set_num_threads(network->device->threads); // oneDNN shares work out when it plans
    cs_cpu_find_late(made);
    int *share = cs_cpu_share(graph, made->channels_last);
    cs_cpu_leave_out(made, share);
    cs_cpu_find_bands(made);
    cs_cpu_share_bands(made, share);
    int *times = cs_cpu_time_nodes(made);
    int result =
        cs_memory_plan_make_shared(graph, value_bytes, NULL, share, times, &made->memory, err);
    for (int i = 0; result == 0 && i < graph->node_count; i++)
        result = build_node(made, &graph->nodes[i], err);
    if (result == 0)
        cs_cpu_make_waves(made, times);
    free(times);
    free(share);
    if (result != 0) {
        cs_cpu_plan_close(made);
        return -1;
    }
    *plan = made;
    return 0;
}

struct cs_memory_use cs_cpu_plan_memory(const struct cs_plan *plan)
{
    return (struct cs_memory_use){.weights = plan->network->packed_bytes,
                                  .packed = cs_cpu_filled_bytes(plan->network),
                                  .arena = cs_cpu_slab_bytes(plan->memory.arena_bytes),
                                  .workspace = cs_cpu_slab_bytes(plan->scratch_bytes),
                                  .kept = plan->network->kept_bytes};
}
