// SPDX-License-Identifier: MIT
// Which results may be written over an operand: where a node is the only reader of a tensor of the
// output's shape and its kernel reads every element before it writes the same one, both share
// memory. Saves arena, and on memory-bound passes the cache lines that writing elsewhere fetches.
#include <stdlib.h>

#include "backend/cpu/cpu.h"
#include "base/mem.h"

static bool can_hold(const struct cs_graph *graph, int value, int out)
{
    if (value < 0)
        return false;
    const struct cs_value *v = &graph->values[value], *o = &graph->values[out];
    return !v->data && v->uses == 1 && v->type == o->type && cs_shape_equal(&v->shape, &o->shape);
}

// The value that the node's output may lie on; the output itself when there is none.
static int choose(const struct cs_graph *graph, const struct cs_node *node)
{
    const struct cs_cpu_op *op = cs_cpu_op_of(graph, node);
    int out = node->outputs[0];
    if (!op || node->output_count < 1 || out < 0)
        return out;
    switch (op->overwrites) {
    case CS_CPU_OVERWRITES_ADDEND:
        if (can_hold(graph, node->fusion.add, out))
            return node->fusion.add;
        break;
    case CS_CPU_OVERWRITES_INPUT:
        if (can_hold(graph, node->inputs[0], out))
            return node->inputs[0];
        break;
    case CS_CPU_OVERWRITES_EITHER:
        // Of more than two operands the third is read after the output was written.
        for (int i = 0; node->input_count <= 2 && i < node->input_count; i++)
            if (can_hold(graph, node->inputs[i], out))
                return node->inputs[i];
        break;
    case CS_CPU_OVERWRITES_NOTHING:
        break;
    }
    return out;
}

int *cs_cpu_share(const struct cs_graph *graph)
{
    int *share = cs_xcalloc((size_t)graph->value_count + 1, sizeof *share);
    for (int v = 0; v < graph->value_count; v++)
        share[v] = v;
    for (int n = 0; n < graph->node_count; n++)
        if (graph->nodes[n].output_count > 0 && graph->nodes[n].outputs[0] >= 0)
            share[graph->nodes[n].outputs[0]] = choose(graph, &graph->nodes[n]);
    return share;
}
