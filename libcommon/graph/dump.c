// SPDX-License-Identifier: MIT
// A graph as text, one line a node: for golden tests of the passes and for cs-model.
#include <string.h>

#include "graph/graph.h"

static void add_value(const struct cs_graph *graph, int value, struct cs_buf *out)
{
    if (value < 0) {
        cs_buf_adds(out, "-");
        return;
    }
    char shape[128];
    cs_shape_text(&graph->values[value].shape, shape, sizeof shape);
    cs_buf_addf(out, "%s:%s", graph->values[value].name, shape);
    if (graph->values[value].type != CS_TYPE_F32)
        cs_buf_addf(out, ":%s", cs_type_name(graph->values[value].type));
    if (graph->values[value].data)
        cs_buf_adds(out, "=");
}

static void add_list(const struct cs_graph *graph, const int *values, int count, struct cs_buf *out)
{
    for (int i = 0; i < count; i++) {
        cs_buf_addc(out, ' ');
        add_value(graph, values[i], out);
    }
}

static void add_attr(const struct cs_attr *attr, struct cs_buf *out)
{
    cs_buf_addf(out, " %s=", attr->name);
    switch (attr->kind) {
    case CS_ATTR_INT:
        cs_buf_addf(out, "%lld", (long long)attr->i);
        break;
    case CS_ATTR_FLOAT:
        cs_buf_addf(out, "%.9g", (double)attr->f);
        break;
    case CS_ATTR_STRING:
        cs_buf_adds(out, attr->s);
        break;
    case CS_ATTR_INTS:
        for (int i = 0; i < attr->count; i++)
            cs_buf_addf(out, "%s%lld", i ? "," : "", (long long)attr->ints[i]);
        break;
    case CS_ATTR_FLOATS:
        for (int i = 0; i < attr->count; i++)
            cs_buf_addf(out, "%s%.9g", i ? "," : "", (double)attr->floats[i]);
        break;
    }
}

void cs_graph_dump(const struct cs_graph *graph, struct cs_buf *out)
{
    cs_buf_adds(out, "input");
    add_list(graph, graph->inputs, graph->input_count, out);
    cs_buf_adds(out, "\noutput");
    add_list(graph, graph->outputs, graph->output_count, out);
    cs_buf_addc(out, '\n');
    for (int n = 0; n < graph->node_count; n++) {
        const struct cs_node *node = &graph->nodes[n];
        cs_buf_adds(out, node->op);
        add_list(graph, node->inputs, node->input_count, out);
        cs_buf_adds(out, " ->");
        add_list(graph, node->outputs, node->output_count, out);
        for (int i = 0; i < node->attr_count; i++)
            add_attr(&node->attrs[i], out);
        if (node->fusion.add >= 0) {
            cs_buf_adds(out, " +");
            add_value(graph, node->fusion.add, out);
        }
        if (node->fusion.activation)
            cs_buf_addf(out, " | %s %.9g %.9g", node->fusion.activation, (double)node->fusion.alpha,
                        (double)node->fusion.beta);
        cs_buf_addc(out, '\n');
    }
}
