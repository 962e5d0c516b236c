// SPDX-License-Identifier: MIT
// The order of every activation in memory: row-major, or for float32 of rank 4 channels last
// (N, H, W, C), which is what convolutions, pools, norms and resizing of images run on.
//
// Matrix products and LayerNormalization read rows along the last axis instead, and the rank 4
// tensors of attention (N, heads, tokens, features) and of (N, H, W, C) networks are rows. So each
// value joins those of the same shape that it is computed with element by element; a set with an
// image operator in it lies channels last, any other row-major. Only Transpose, Reshape and their
// kin stand between the two: they move values anyway.
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "base/mem.h"

static bool one_of(const char *op, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(*list, op) == 0)
            return true;
    return false;
}

// Operators whose kernels take images channels last.
static bool on_images(const struct cs_node *node)
{
    static const char *const list[] = {"Conv",
                                       "ConvTranspose",
                                       "MaxPool",
                                       "AveragePool",
                                       "GlobalMaxPool",
                                       "GlobalAveragePool",
                                       "Resize",
                                       "Upsample",
                                       "InstanceNormalization",
                                       "GroupNormalization",
                                       "BatchNormalization",
                                       "DepthToSpace",
                                       "SpaceToDepth",
                                       NULL};
    return one_of(node->op, list);
}

// Operators that put a value elsewhere, so that both sides may lie as they like.
static bool moves(const struct cs_node *node)
{
    static const char *const list[] = {"Transpose", "Reshape", "Flatten", "Squeeze",
                                       "Unsqueeze", "MatMul",  "Gemm",    NULL};
    return one_of(node->op, list);
}

static bool has_choice(const struct cs_graph *graph, int value)
{
    if (value < 0)
        return false;
    const struct cs_value *v = &graph->values[value];
    return v->type == CS_TYPE_F32 && v->shape.rank == 4 && !v->data;
}

static int find(int *set, int value)
{
    while (set[value] != value)
        value = set[value] = set[set[value]];
    return value;
}

// Values that agree in their last three sizes, or but for one of them (Concat, Split, Slice, Pad,
// reductions), had better lie alike.
static bool alike(const struct cs_shape *a, const struct cs_shape *b)
{
    int differ = 0;
    for (int d = 1; d < 4; d++)
        differ += a->dim[d] != b->dim[d];
    return differ <= 1;
}

static void join(const struct cs_graph *graph, int *set, int a, int b)
{
    if (has_choice(graph, a) && has_choice(graph, b) &&
        alike(&graph->values[a].shape, &graph->values[b].shape))
        set[find(set, a)] = find(set, b);
}

bool *cs_cpu_layout(const struct cs_graph *graph)
{
    bool *last = cs_xcalloc((size_t)graph->value_count + 1, sizeof *last);
    int *set = cs_xcalloc((size_t)graph->value_count + 1, sizeof *set);
    for (int v = 0; v < graph->value_count; v++)
        set[v] = v;
    for (int n = 0; n < graph->node_count; n++) {
        const struct cs_node *node = &graph->nodes[n];
        for (int i = 0; i < node->input_count && !moves(node); i++)
            for (int k = 0; k < node->output_count; k++)
                join(graph, set, node->inputs[i], node->outputs[k]);
        if (node->fusion.add >= 0)
            join(graph, set, node->fusion.add, node->outputs[0]);
    }
    for (int n = 0; n < graph->node_count; n++) {
        const struct cs_node *node = &graph->nodes[n];
        if (!on_images(node))
            continue;
        last[find(set, node->outputs[0])] = true;
        if (node->inputs[0] >= 0)
            last[find(set, node->inputs[0])] = true;
    }
    for (int v = 0; v < graph->value_count; v++)
        last[v] = has_choice(graph, v) && last[find(set, v)];
    free(set);
    return last;
}
