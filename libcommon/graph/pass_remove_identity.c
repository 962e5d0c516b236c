// SPDX-License-Identifier: MIT
// Nodes that do nothing: Identity, Dropout at inference, Cast to the same type, a Concat of one
// input, and, once shapes are known, reshaping and repeating to the shape that is there already.
#include <string.h>

#include "graph/params.h"
#include "graph/passes.h"

static bool trains(const struct cs_graph *graph, const struct cs_node *node)
{
    const struct cs_value *training = cs_node_input(graph, node, 2);
    return training && (!training->data || training->type != CS_TYPE_BOOL ||
                        *(const unsigned char *)training->data != 0);
}

static bool pads_nothing(const struct cs_graph *graph, const struct cs_node *node)
{
    struct cs_pads pads;
    if (cs_node_pads(graph, node, &pads, NULL) < 0)
        return false;
    for (int d = 0; d < cs_node_input(graph, node, 0)->shape.rank; d++)
        if (pads.begin[d] || pads.end[d])
            return false;
    return true;
}

static bool does_nothing(const struct cs_graph *graph, const struct cs_node *node)
{
    static const char *const if_same_shape[] = {"Reshape", "Flatten", "Squeeze", "Unsqueeze",
                                                "Expand",  "Tile",    NULL};
    const struct cs_value *in = cs_node_input(graph, node, 0);
    const struct cs_value *out = cs_node_output(graph, node, 0);
    if (strcmp(node->op, "Identity") == 0)
        return true;
    if (strcmp(node->op, "Dropout") == 0)
        return !trains(graph, node);
    if (strcmp(node->op, "Concat") == 0)
        return node->input_count == 1;
    if (strcmp(node->op, "Cast") == 0)
        return in->type == CS_TYPE_F32 && cs_node_int(node, "to", 0) == 1;
    if (strcmp(node->op, "Pad") == 0)
        return cs_shape_elements(&in->shape) >= 0 && pads_nothing(graph, node);
    return cs_node_is(node, if_same_shape) && cs_shape_elements(&out->shape) >= 0 &&
           cs_shape_equal(&in->shape, &out->shape);
}

bool cs_remove_identity_match(const struct cs_graph *graph, const struct cs_node *node)
{
    const struct cs_value *in = node->input_count ? cs_node_input(graph, node, 0) : NULL;
    if (!in || node->output_count < 1 || node->outputs[0] < 0 || cs_node_fuses(node) ||
        !does_nothing(graph, node))
        return false;
    if (node->output_count > 1 && cs_node_output(graph, node, 1) &&
        cs_node_output(graph, node, 1)->uses > 0)
        return false; // the mask of a Dropout
    // An output must be made by some node.
    return in->producer >= 0 || !cs_graph_is_output(graph, node->outputs[0]);
}

int cs_remove_identity_apply(struct cs_graph *graph, struct cs_node *node, struct cs_err *err)
{
    (void)err;
    int in = node->inputs[0], out = node->outputs[0];
    if (cs_graph_is_output(graph, out)) // which keeps its name
        graph->values[in].name = graph->values[out].name;
    cs_pass_drop(graph, node);
    cs_pass_replace(graph, out, in);
    return 0;
}
