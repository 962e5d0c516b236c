// SPDX-License-Identifier: MIT
// The order of every activation in memory: row-major, or for float32 of rank 3 and up channels last
// (N, H, W, C), which is what convolutions, pools, norms and resizing of images run on.
//
// Matrix products and LayerNormalization read rows along the last axis instead, and the rank 4
// tensors of attention (N, heads, tokens, features) and of (N, H, W, C) networks are rows. So each
// value joins those of the same shape that it is computed with element by element, and those that
// are the same pixels in fewer axes (N, C, H W); a set with an image operator in it lies channels
// last, one with an operator of rows in it row-major. Where attention meets an image, Transpose and
// Reshape then leave every number where it is: such a node is a view and costs nothing.
#include "backend/order.h"

#include <stdlib.h>
#include <string.h>

#include "backend/cpu/nd.h"
#include "base/mem.h"
#include "graph/params.h"

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

// Operators with other axes in the result, so that both sides may lie as they like.
static bool turns(const struct cs_node *node)
{
    static const char *const list[] = {"Transpose", "MatMul", "Gemm", "FusedAttention", NULL};
    return one_of(node->op, list);
}

static bool has_choice(const struct cs_graph *graph, int value)
{
    if (value < 0)
        return false;
    const struct cs_value *v = &graph->values[value];
    return v->type == CS_TYPE_F32 && v->shape.rank >= 3 && !v->data;
}

static int find(int *set, int value)
{
    while (set[value] != value)
        value = set[value] = set[set[value]];
    return value;
}

// Values that agree in all sizes behind the batch, or but for one of them (Concat, Split, Slice,
// Pad, reductions), had better lie alike; so had the same images and channels in other ranks.
static bool alike(const struct cs_shape *a, const struct cs_shape *b)
{
    int differ = 0;
    if (a->rank != b->rank)
        return a->dim[0] == b->dim[0] && a->dim[1] == b->dim[1];
    for (int d = 1; d < a->rank; d++)
        differ += a->dim[d] != b->dim[d];
    return differ <= 1;
}

static void join(const struct cs_graph *graph, int *set, int a, int b)
{
    if (has_choice(graph, a) && has_choice(graph, b) &&
        alike(&graph->values[a].shape, &graph->values[b].shape))
        set[find(set, a)] = find(set, b);
}

static void join_all(const struct cs_graph *graph, int *set)
{
    for (int v = 0; v < graph->value_count; v++)
        set[v] = v;
    for (int n = 0; n < graph->node_count; n++) {
        const struct cs_node *node = &graph->nodes[n];
        for (int i = 0; i < node->input_count && !turns(node); i++)
            for (int k = 0; k < node->output_count; k++)
                join(graph, set, node->inputs[i], node->outputs[k]);
        if (node->fusion.add >= 0)
            join(graph, set, node->fusion.add, node->outputs[0]);
    }
}

// Whether the transposition brings channels behind everything else, or back.
static bool turns_channels(const struct cs_graph *graph, const struct cs_node *node)
{
    int perm[CS_MAX_RANK], rank = cs_node_output(graph, node, 0)->shape.rank;
    if (strcmp(node->op, "Transpose") != 0 || rank < 3 || cs_node_perm(graph, node, perm, NULL) < 0)
        return false;
    bool behind = perm[0] == 0 && perm[rank - 1] == 1, back = perm[0] == 0 && perm[1] == rank - 1;
    for (int d = 1; d < rank - 1; d++) {
        behind = behind && perm[d] == d + 1;
        back = back && perm[d + 1] == d;
    }
    return behind || back;
}

// What the nodes around a set of values say; the first that is true decides.
struct evidence {
    bool images, rows, turned;
};

static void gather(const struct cs_graph *graph, const struct cs_node *node, int *set,
                   struct evidence *all)
{
    static const char *const on_rows[] = {"MatMul", "LayerNormalization", "FusedAttention", NULL};
    int in = node->inputs[0], out = node->outputs[0];
    if (in < 0 || out < 0)
        return;
    struct evidence *before = &all[find(set, in)], *after = &all[find(set, out)];
    if (on_images(node) && graph->values[out].shape.rank == 4) // others run through plain loops
        before->images = after->images = true;
    else if (one_of(node->op, on_rows))
        before->rows = after->rows = true;
    else if (turns_channels(graph, node))
        before->turned = after->turned = true;
}

bool *cs_channels_last(const struct cs_graph *graph)
{
    size_t count = (size_t)graph->value_count + 1;
    bool *last = cs_xcalloc(count, sizeof *last);
    int *set = cs_xcalloc(count, sizeof *set);
    struct evidence *all = cs_xcalloc(count, sizeof *all);
    join_all(graph, set);
    for (int n = 0; n < graph->node_count; n++)
        gather(graph, &graph->nodes[n], set, all);
    for (int v = 0; v < graph->value_count; v++) {
        const struct evidence *e = &all[find(set, v)];
        last[v] = has_choice(graph, v) && (e->images || (e->turned && !e->rows));
    }
    free(all);
    free(set);
    return last;
}

// ---- Views ---------------------------------------------------------------------------------

bool cs_common_factors(const struct cs_shape *a, const int64_t *a_stride, const struct cs_shape *b,
                       const int64_t *b_stride, struct cs_shape *common, int64_t *a_out,
                       int64_t *b_out)
{
    int i = a->rank - 1, j = b->rank - 1, n = 0;
    int64_t a_left = i >= 0 ? a->dim[i] : 1, b_left = j >= 0 ? b->dim[j] : 1;
    int64_t a_done = 1, b_done = 1; // of the current dimensions
    int64_t dims[2 * CS_MAX_RANK], a_strides[2 * CS_MAX_RANK], b_strides[2 * CS_MAX_RANK];
    while (i >= 0 && j >= 0) {
        int64_t step = a_left < b_left ? a_left : b_left;
        if (step == 0 || a_left % step || b_left % step)
            return false;
        dims[n] = step;
        a_strides[n] = a_stride[i] * a_done;
        b_strides[n++] = b_stride[j] * b_done;
        a_left /= step;
        b_left /= step;
        a_done *= step;
        b_done *= step;
        if (a_left == 1) {
            i--;
            a_left = i >= 0 ? a->dim[i] : 1;
            a_done = 1;
        }
        if (b_left == 1) {
            j--;
            b_left = j >= 0 ? b->dim[j] : 1;
            b_done = 1;
        }
    }
    // What is left on either side are dimensions of 1. Order: outermost first.
    common->rank = 0;
    for (int k = n - 1; k >= 0; k--) {
        if (dims[k] == 1)
            continue;
        if (common->rank == CS_MAX_RANK)
            return false;
        a_out[common->rank] = a_strides[k];
        b_out[common->rank] = b_strides[k];
        common->dim[common->rank++] = dims[k];
    }
    return true;
}

bool cs_keeps_order(const struct cs_graph *graph, const bool *channels_last,
                    const struct cs_node *node)
{
    const struct cs_value *in = cs_node_input(graph, node, 0);
    const struct cs_value *out = cs_node_output(graph, node, 0);
    int64_t src[CS_MAX_RANK], dst[CS_MAX_RANK], a[CS_MAX_RANK], b[CS_MAX_RANK];
    struct cs_shape from = in->shape, common;
    int perm[CS_MAX_RANK];
    cs_nd_dense(&in->shape, channels_last[node->inputs[0]], src);
    cs_nd_dense(&out->shape, channels_last[node->outputs[0]], dst);
    if (strcmp(node->op, "Transpose") == 0) {
        int64_t turned[CS_MAX_RANK];
        if (cs_node_perm(graph, node, perm, NULL) != 0)
            return false;
        for (int d = 0; d < from.rank; d++)
            turned[d] = src[perm[d]];
        memcpy(src, turned, sizeof src);
        from = out->shape;
    }
    if (!cs_common_factors(&from, src, &out->shape, dst, &common, a, b))
        return false;
    for (int d = 0; d < common.rank; d++)
        if (a[d] != b[d])
            return false;
    return true;
}
