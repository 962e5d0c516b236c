// SPDX-License-Identifier: MIT
// Pools over the whole plane by other names: a window as large as the plane (what exporters make
// of adaptive pooling to one pixel), a mean or maximum over height and width. Concrete graphs only.
#include <string.h>

#include "graph/params.h"
#include "graph/passes.h"

static bool covers_plane(const struct cs_graph *graph, const struct cs_node *node)
{
    struct cs_window w;
    const struct cs_value *in = cs_node_input(graph, node, 0);
    if (!in || in->shape.rank != 4 || cs_shape_elements(&in->shape) < 0 || node->output_count > 1 ||
        cs_node_window(graph, node, &w, NULL) < 0)
        return false;
    for (int i = 0; i < 2; i++)
        if (w.out[i] != 1 || w.kernel[i] != in->shape.dim[2 + i] || w.pad_begin[i] || w.pad_end[i])
            return false;
    return true;
}

static bool reduces_plane(const struct cs_graph *graph, const struct cs_node *node)
{
    struct cs_reduce reduce;
    const struct cs_value *in = cs_node_input(graph, node, 0);
    if (!in || in->type != CS_TYPE_F32 || in->shape.rank != 4 ||
        cs_node_reduce(graph, node, &reduce, NULL) < 0)
        return false;
    return reduce.keep && !reduce.axes[0] && !reduce.axes[1] && reduce.axes[2] && reduce.axes[3];
}

bool cs_global_pool_match(const struct cs_graph *graph, const struct cs_node *node)
{
    static const char *const pools[] = {"MaxPool", "AveragePool", NULL};
    static const char *const reductions[] = {"ReduceMax", "ReduceMean", NULL};
    if (cs_node_is(node, pools))
        return covers_plane(graph, node);
    return cs_node_is(node, reductions) && reduces_plane(graph, node);
}

int cs_global_pool_apply(struct cs_graph *graph, struct cs_node *node, struct cs_err *err)
{
    (void)err;
    for (int i = 1; i < node->input_count; i++) // the axes of a reduction
        if (node->inputs[i] >= 0)
            graph->values[node->inputs[i]].uses--;
    node->op = strstr(node->op, "Max") ? "GlobalMaxPool" : "GlobalAveragePool";
    node->input_count = 1;
    node->attr_count = 0;
    return 0;
}
