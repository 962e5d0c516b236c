// SPDX-License-Identifier: MIT
// The table of passes, in order, and the loop that runs them.
#include "graph/passes.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

const struct cs_pass cs_passes[] = {
    // Before everything that looks for neighbours, and before folding would copy the weights that
    // lie behind an Identity or a Cast to the type they have.
    {"remove_identity", CS_PASSES_ALGEBRA, cs_remove_identity_match, cs_remove_identity_apply},
    {"fold_constants", CS_PASSES_ALGEBRA, cs_fold_constants_match, cs_fold_constants_apply},
    {"fold_batchnorm", CS_PASSES_ALGEBRA, cs_fold_batchnorm_match, cs_fold_batchnorm_apply},
    {"global_pool", CS_PASSES_ALGEBRA, cs_global_pool_match, cs_global_pool_apply},
    // Operators that exporters spell out, before fusions would change their parts.
    {"spelled_function", CS_PASSES_FUSION, cs_spelled_function_match, cs_spelled_function_apply},
    {"layer_norm", CS_PASSES_FUSION, cs_layer_norm_match, cs_layer_norm_apply},
    {"group_norm", CS_PASSES_FUSION, cs_group_norm_match, cs_group_norm_apply},
    {"attention", CS_PASSES_FUSION, cs_attention_match, cs_attention_apply},
    // Its sums are then fused.
    {"lift_resize", CS_PASSES_FUSION, cs_lift_resize_match, cs_lift_resize_apply},
    // A fusion adds before it activates, so that the sum goes in first.
    {"fuse_add", CS_PASSES_FUSION, cs_fuse_add_match, cs_fuse_add_apply},
    {"fuse_activation", CS_PASSES_FUSION, cs_fuse_activation_match, cs_fuse_activation_apply},
    {NULL, CS_PASSES_ALGEBRA, NULL, NULL},
};

int cs_pass_run(const struct cs_pass *pass, struct cs_graph *graph, int *count, struct cs_err *err)
{
    *count = 0;
    for (int n = 0; n < graph->node_count; n++) {
        if (!pass->match(graph, &graph->nodes[n]))
            continue;
        if (pass->apply(graph, &graph->nodes[n], err) < 0)
            return cs_err_context(err, "pass %s", pass->name);
        ++*count;
    }
    return *count ? cs_graph_finish(graph, err) : 0;
}

int cs_graph_run_passes(struct cs_graph *graph, enum cs_pass_set set, struct cs_err *err)
{
    int count;
    for (const struct cs_pass *pass = cs_passes; pass->name; pass++)
        if (pass->set <= set && cs_pass_run(pass, graph, &count, err) < 0)
            return -1;
    return 0;
}

// ---- Help for the rewrites -----------------------------------------------------------------

bool cs_node_is(const struct cs_node *node, const char *const *ops)
{
    for (; *ops; ops++)
        if (strcmp(node->op, *ops) == 0)
            return true;
    return false;
}

struct cs_node *cs_pass_sole_producer(const struct cs_graph *graph, const struct cs_node *node,
                                      int i)
{
    const struct cs_value *value = cs_node_input(graph, node, i);
    if (!value || value->producer < 0 || value->uses != 1)
        return NULL;
    return &graph->nodes[value->producer];
}

const struct cs_node *cs_pass_maker(const struct cs_graph *graph, int value, const char *op)
{
    int producer = value < 0 ? -1 : graph->values[value].producer;
    const struct cs_node *node = producer < 0 ? NULL : &graph->nodes[producer];
    return node && strcmp(node->op, op) == 0 && !cs_node_fuses(node) ? node : NULL;
}

void cs_pass_replace(struct cs_graph *graph, int from, int to)
{
    for (int n = 0; n < graph->node_count; n++) {
        struct cs_node *node = &graph->nodes[n];
        for (int i = 0; i < node->input_count; i++)
            if (node->inputs[i] == from)
                node->inputs[i] = to;
        if (node->fusion.add == from)
            node->fusion.add = to;
    }
    for (int i = 0; i < graph->output_count; i++)
        if (graph->outputs[i] == from)
            graph->outputs[i] = to;
    graph->values[to].uses += graph->values[from].uses;
    graph->values[from].uses = 0;
}

void cs_pass_drop(struct cs_graph *graph, struct cs_node *node)
{
    for (int i = 0; i < node->input_count; i++)
        if (node->inputs[i] >= 0)
            graph->values[node->inputs[i]].uses--;
    if (node->fusion.add >= 0)
        graph->values[node->fusion.add].uses--;
    node->input_count = node->output_count = 0;
    node->fusion.add = -1;
    node->op = "dropped"; // matches nothing until cs_graph_finish removes it
}

void cs_pass_become(struct cs_graph *graph, struct cs_node *node, const char *op, const int *inputs,
                    int input_count)
{
    for (int i = 0; i < input_count; i++)
        graph->values[inputs[i]].uses++;
    for (int i = 0; i < node->input_count; i++)
        if (node->inputs[i] >= 0)
            graph->values[node->inputs[i]].uses--;
    memcpy(node->inputs, inputs, (size_t)input_count * sizeof *inputs);
    node->input_count = input_count;
    node->op = op;
    node->attrs = NULL;
    node->attr_count = 0;
}

void cs_pass_move(struct cs_graph *graph, int from, int to)
{
    int count = graph->node_count - from;
    struct cs_node *moved = cs_xcalloc((size_t)count + 1, sizeof *moved);
    memcpy(moved, graph->nodes + from, (size_t)count * sizeof *moved);
    memmove(graph->nodes + to + count, graph->nodes + to, (size_t)(from - to) * sizeof *moved);
    memcpy(graph->nodes + to, moved, (size_t)count * sizeof *moved);
    free(moved);
    for (int n = to; n < graph->node_count; n++)
        for (int i = 0; i < graph->nodes[n].output_count; i++)
            if (graph->nodes[n].outputs[i] >= 0)
                graph->values[graph->nodes[n].outputs[i]].producer = n;
}

void cs_pass_take_output(struct cs_graph *graph, struct cs_node *host, struct cs_node *node)
{
    int value = node->outputs[0];
    graph->values[host->outputs[0]].producer = -1;
    cs_pass_drop(graph, node);
    host->outputs[0] = value;
    graph->values[value].producer = (int)(host - graph->nodes);
}
