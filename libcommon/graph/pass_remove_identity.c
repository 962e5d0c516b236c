// SPDX-License-Identifier: MIT
// Nodes that do nothing: Identity, Dropout at inference, Cast to the same type, a Concat of one
// input, and, once shapes are known, reshaping and repeating to the shape that is there already.
#include <string.h>

#include "graph/passes.h"

static bool does_nothing(const struct cs_graph *graph, const struct cs_node *node)
{
    static const char *const always[] = {"Identity", "Dropout", NULL};
    static const char *const if_same_shape[] = {"Reshape", "Flatten", "Squeeze", "Unsqueeze",
                                                "Expand",  "Tile",    "Pad",     NULL};
    const struct cs_value *in = cs_node_input(graph, node, 0);
    const struct cs_value *out = cs_node_output(graph, node, 0);
    if (cs_node_is(node, always))
        return true;
    if (strcmp(node->op, "Concat") == 0)
        return node->input_count == 1;
    if (strcmp(node->op, "Cast") == 0)
        return in->type == CS_TYPE_F32 && cs_node_int(node, "to", 0) == 1;
    return cs_node_is(node, if_same_shape) && cs_shape_elements(&out->shape) >= 0 &&
           cs_shape_equal(&in->shape, &out->shape);
}

bool cs_remove_identity_match(const struct cs_graph *graph, const struct cs_node *node)
{
    const struct cs_value *in = node->input_count ? cs_node_input(graph, node, 0) : NULL;
    if (!in || node->output_count < 1 || node->outputs[0] < 0 || node->fusion.add >= 0 ||
        node->fusion.activation || !does_nothing(graph, node))
        return false;
    if (node->output_count > 1 && cs_node_output(graph, node, 1) &&
        cs_node_output(graph, node, 1)->uses > 0)
        return false; // the mask of a Dropout
    const struct cs_value *out = cs_node_output(graph, node, 0);
    for (int i = 0; i < graph->output_count; i++)
        if (&graph->values[graph->outputs[i]] == out && in->producer < 0)
            return false; // an output must be made by some node
    return true;
}

int cs_remove_identity_apply(struct cs_graph *graph, struct cs_node *node, struct cs_err *err)
{
    (void)err;
    int in = node->inputs[0], out = node->outputs[0];
    for (int i = 0; i < graph->output_count; i++)
        if (graph->outputs[i] == out) // outputs keep their names
            graph->values[in].name = graph->values[out].name;
    cs_pass_drop(graph, node);
    cs_pass_replace(graph, out, in);
    return 0;
}
