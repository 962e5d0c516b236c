// SPDX-License-Identifier: MIT
// Which results share memory with an operand. Where a node is the only reader of a tensor of the
// output's shape and its kernel reads every element before it writes the same one, it writes over
// that tensor: saves arena, and on memory-bound passes the cache lines that writing elsewhere
// fetches. And a reshape or transposition that leaves every element where it is has its operand's
// memory, whoever else reads that; nobody may then write over either.
#include <stdlib.h>

#include "backend/cpu/cpu.h"
#include "backend/order.h"
#include "base/mem.h"

struct sharing {
    const struct cs_graph *graph;
    int *share;
    bool *pinned; // seen through a view and read elsewhere
};

static bool can_hold(const struct sharing *s, int value, int out)
{
    if (value < 0 || s->pinned[value])
        return false;
    const struct cs_value *v = &s->graph->values[value], *o = &s->graph->values[out];
    return !v->data && v->uses == 1 && v->type == o->type && cs_shape_equal(&v->shape, &o->shape);
}

// The value that the node's output may lie on; the output itself when there is none.
static int choose(const struct sharing *s, const struct cs_node *node, const bool *channels_last)
{
    const struct cs_cpu_op *op = cs_cpu_op_of(s->graph, node);
    int out = node->outputs[0], in = node->inputs[0];
    if (!op)
        return out;
    switch (op->overwrites) {
    case CS_CPU_VIEWS:
        if (!s->graph->values[in].data && cs_keeps_order(s->graph, channels_last, node)) {
            s->pinned[out] = s->pinned[in] = s->pinned[in] || s->graph->values[in].uses > 1;
            return in;
        }
        break;
    case CS_CPU_OVERWRITES_ADDEND:
        if (can_hold(s, node->fusion.add, out))
            return node->fusion.add;
        break;
    case CS_CPU_OVERWRITES_INPUT:
        if (can_hold(s, in, out))
            return in;
        break;
    case CS_CPU_OVERWRITES_EITHER:
        // Of more than two operands the third is read after the output was written.
        for (int i = 0; node->input_count <= 2 && i < node->input_count; i++)
            if (can_hold(s, node->inputs[i], out))
                return node->inputs[i];
        break;
    case CS_CPU_OVERWRITES_NOTHING:
        break;
    }
    return out;
}

int *cs_cpu_share(const struct cs_graph *graph, const bool *channels_last)
{
    size_t count = (size_t)graph->value_count + 1;
    struct sharing s = {graph, cs_xcalloc(count, sizeof *s.share),
                        cs_xcalloc(count, sizeof *s.pinned)};
    for (int v = 0; v < graph->value_count; v++)
        s.share[v] = v;
    for (int n = 0; n < graph->node_count; n++) {
        const struct cs_node *node = &graph->nodes[n];
        if (node->output_count > 0 && node->outputs[0] >= 0)
            s.share[node->outputs[0]] = choose(&s, node, channels_last);
    }
    free(s.pinned);
    return s.share;
}
