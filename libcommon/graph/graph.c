// SPDX-License-Identifier: MIT
// Building and finishing a graph, and the questions that everything else asks of it. Arrays grow
// by doubling inside the arena; what they leave behind is freed with the graph.
#include "graph/graph.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

size_t cs_type_bytes(enum cs_type type)
{
    switch (type) {
    case CS_TYPE_F32:
    case CS_TYPE_I32:
        return 4;
    case CS_TYPE_I64:
        return 8;
    case CS_TYPE_BOOL:
        return 1;
    case CS_TYPE_NONE:
        break;
    }
    return 0;
}

const char *cs_type_name(enum cs_type type)
{
    static const char *const names[] = {"none", "float32", "int64", "int32", "bool"};
    return names[type];
}

void cs_graph_init(struct cs_graph *graph, int opset)
{
    *graph = (struct cs_graph){.opset = opset};
}

void cs_graph_release(struct cs_graph *graph)
{
    cs_arena_release(&graph->arena);
    *graph = (struct cs_graph){0};
}

// ---- Building ------------------------------------------------------------------------------

// Room for one more element: returns the array, moved if it was full.
static void *grow(struct cs_arena *arena, void *array, int count, int *capacity, size_t bytes)
{
    if (count < *capacity)
        return array;
    int wider = *capacity ? *capacity * 2 : 64;
    void *moved = cs_arena_alloc(arena, (size_t)wider, bytes);
    if (count)
        memcpy(moved, array, (size_t)count * bytes);
    *capacity = wider;
    return moved;
}

int cs_graph_add_value(struct cs_graph *graph, const char *name, enum cs_type type,
                       const struct cs_shape *shape)
{
    graph->values = grow(&graph->arena, graph->values, graph->value_count, &graph->value_capacity,
                         sizeof *graph->values);
    graph->values[graph->value_count] = (struct cs_value){
        .name = cs_arena_strdup(&graph->arena, name),
        .type = type,
        .shape = shape ? *shape : (struct cs_shape){.rank = -1},
        .producer = -1,
    };
    return graph->value_count++;
}

int cs_graph_add_constant(struct cs_graph *graph, const char *name, enum cs_type type,
                          const struct cs_shape *shape, const void *data)
{
    assert(data && cs_shape_elements(shape) >= 0);
    int value = cs_graph_add_value(graph, name, type, shape);
    graph->values[value].data = data;
    return value;
}

static int *append_index(struct cs_graph *graph, int *list, int *count, int value)
{
    int *longer = cs_arena_alloc(&graph->arena, (size_t)*count + 1, sizeof *longer);
    if (*count)
        memcpy(longer, list, (size_t)*count * sizeof *longer);
    longer[(*count)++] = value;
    graph->values[value].uses++;
    return longer;
}

void cs_graph_add_input(struct cs_graph *graph, int value)
{
    graph->inputs = append_index(graph, graph->inputs, &graph->input_count, value);
    graph->values[value].uses--; // being an input is no use
}

void cs_graph_add_output(struct cs_graph *graph, int value)
{
    graph->outputs = append_index(graph, graph->outputs, &graph->output_count, value);
}

struct cs_node *cs_graph_add_node(struct cs_graph *graph, const char *op, const char *name,
                                  const int *inputs, int input_count, const int *outputs,
                                  int output_count)
{
    assert(input_count <= CS_MAX_NODE_IO && output_count <= CS_MAX_NODE_IO);
    graph->nodes = grow(&graph->arena, graph->nodes, graph->node_count, &graph->node_capacity,
                        sizeof *graph->nodes);
    struct cs_node *node = &graph->nodes[graph->node_count];
    *node = (struct cs_node){
        .op = cs_arena_strdup(&graph->arena, op),
        .name = cs_arena_strdup(&graph->arena, name),
        .input_count = input_count,
        .output_count = output_count,
        .fusion = {.add = -1},
    };
    for (int i = 0; i < input_count; i++) {
        node->inputs[i] = inputs[i];
        if (inputs[i] >= 0)
            graph->values[inputs[i]].uses++;
    }
    for (int i = 0; i < output_count; i++) {
        node->outputs[i] = outputs[i];
        if (outputs[i] >= 0)
            graph->values[outputs[i]].producer = graph->node_count;
    }
    graph->node_count++;
    return node;
}

static struct cs_attr *add_attr(struct cs_graph *graph, struct cs_node *node, const char *name,
                                enum cs_attr_kind kind)
{
    struct cs_attr *longer =
        cs_arena_alloc(&graph->arena, (size_t)node->attr_count + 1, sizeof *longer);
    if (node->attr_count)
        memcpy(longer, node->attrs, (size_t)node->attr_count * sizeof *longer);
    struct cs_attr *attr = &longer[node->attr_count++];
    *attr = (struct cs_attr){.name = cs_arena_strdup(&graph->arena, name), .kind = kind};
    node->attrs = longer;
    return attr;
}

void cs_node_add_int(struct cs_graph *graph, struct cs_node *node, const char *name, int64_t value)
{
    add_attr(graph, node, name, CS_ATTR_INT)->i = value;
}

void cs_node_add_float(struct cs_graph *graph, struct cs_node *node, const char *name, float value)
{
    add_attr(graph, node, name, CS_ATTR_FLOAT)->f = value;
}

void cs_node_add_string(struct cs_graph *graph, struct cs_node *node, const char *name,
                        const char *value)
{
    add_attr(graph, node, name, CS_ATTR_STRING)->s = cs_arena_strdup(&graph->arena, value);
}

void cs_node_add_ints(struct cs_graph *graph, struct cs_node *node, const char *name,
                      const int64_t *values, int count)
{
    struct cs_attr *attr = add_attr(graph, node, name, CS_ATTR_INTS);
    attr->ints = cs_arena_copy(&graph->arena, values, (size_t)count * sizeof *values);
    attr->count = count;
}

void cs_node_add_floats(struct cs_graph *graph, struct cs_node *node, const char *name,
                        const float *values, int count)
{
    struct cs_attr *attr = add_attr(graph, node, name, CS_ATTR_FLOATS);
    attr->floats = cs_arena_copy(&graph->arena, values, (size_t)count * sizeof *values);
    attr->count = count;
}

void cs_node_copy_attrs(struct cs_graph *graph, struct cs_node *node, const struct cs_node *from)
{
    for (int i = 0; i < from->attr_count; i++) {
        const struct cs_attr *attr = &from->attrs[i];
        switch (attr->kind) {
        case CS_ATTR_INT:
            cs_node_add_int(graph, node, attr->name, attr->i);
            break;
        case CS_ATTR_FLOAT:
            cs_node_add_float(graph, node, attr->name, attr->f);
            break;
        case CS_ATTR_STRING:
            cs_node_add_string(graph, node, attr->name, attr->s);
            break;
        case CS_ATTR_INTS:
            cs_node_add_ints(graph, node, attr->name, attr->ints, attr->count);
            break;
        case CS_ATTR_FLOATS:
            cs_node_add_floats(graph, node, attr->name, attr->floats, attr->count);
            break;
        }
    }
}

// ---- Finishing -----------------------------------------------------------------------------

int cs_node_fail(const struct cs_node *node, struct cs_err *err, const char *fmt, ...)
{
    char reason[320];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(reason, sizeof reason, fmt, ap);
    va_end(ap);
    return cs_fail(err, CS_EMODEL, "node %.120s (%.40s): %s", node->name, node->op, reason);
}

static bool index_ok(const struct cs_graph *graph, int value)
{
    return value >= -1 && value < graph->value_count;
}

// Producers of all values; every input must have been made before the node that reads it.
static int check_order(struct cs_graph *graph, struct cs_err *err)
{
    enum { UNMADE = -2 };
    for (int v = 0; v < graph->value_count; v++) {
        graph->values[v].producer = graph->values[v].data ? -1 : UNMADE;
        graph->values[v].uses = 0;
    }
    for (int i = 0; i < graph->input_count; i++)
        graph->values[graph->inputs[i]].producer = -1;
    for (int n = 0; n < graph->node_count; n++) {
        const struct cs_node *node = &graph->nodes[n];
        for (int i = 0; i < node->input_count; i++) {
            int value = node->inputs[i];
            if (!index_ok(graph, value))
                return cs_node_fail(node, err, "input %d does not exist", i);
            if (value >= 0 && graph->values[value].producer == UNMADE)
                return cs_node_fail(node, err, "input \"%.100s\" is made by no earlier node",
                                    graph->values[value].name);
        }
        int add = node->fusion.add;
        if (!index_ok(graph, add) || (add >= 0 && graph->values[add].producer == UNMADE))
            return cs_node_fail(node, err, "the value to add is made by no earlier node");
        for (int i = 0; i < node->output_count; i++) {
            int value = node->outputs[i];
            if (!index_ok(graph, value))
                return cs_node_fail(node, err, "output %d does not exist", i);
            if (value >= 0 && graph->values[value].producer != UNMADE)
                return cs_node_fail(node, err, "output \"%.100s\" is made twice",
                                    graph->values[value].name);
            if (value >= 0)
                graph->values[value].producer = n;
        }
    }
    for (int i = 0; i < graph->output_count; i++)
        if (graph->values[graph->outputs[i]].producer == UNMADE)
            return cs_fail(err, CS_EMODEL, "output \"%.100s\" is made by no node",
                           graph->values[graph->outputs[i]].name);
    return 0;
}

// Backwards: a node lives if somebody reads one of its outputs.
static void count_uses(struct cs_graph *graph, bool *live)
{
    for (int i = 0; i < graph->output_count; i++)
        graph->values[graph->outputs[i]].uses++;
    for (int n = graph->node_count - 1; n >= 0; n--) {
        const struct cs_node *node = &graph->nodes[n];
        for (int i = 0; i < node->output_count; i++)
            live[n] |= node->outputs[i] >= 0 && graph->values[node->outputs[i]].uses > 0;
        if (!live[n])
            continue;
        for (int i = 0; i < node->input_count; i++)
            if (node->inputs[i] >= 0)
                graph->values[node->inputs[i]].uses++;
        if (node->fusion.add >= 0)
            graph->values[node->fusion.add].uses++;
    }
}

int cs_graph_finish(struct cs_graph *graph, struct cs_err *err)
{
    if (check_order(graph, err) < 0)
        return -1;
    bool *live = cs_xcalloc((size_t)graph->node_count, sizeof *live);
    count_uses(graph, live);
    int kept = 0;
    for (int n = 0; n < graph->node_count; n++) {
        struct cs_node *node = &graph->nodes[n];
        for (int i = 0; i < node->output_count; i++)
            if (node->outputs[i] >= 0)
                graph->values[node->outputs[i]].producer = live[n] ? kept : -1;
        if (live[n])
            graph->nodes[kept++] = *node;
    }
    graph->node_count = kept;
    for (int v = 0; v < graph->value_count; v++)
        if (graph->values[v].producer < -1)
            graph->values[v].producer = -1;
    free(live);
    return 0;
}

// ---- Asking --------------------------------------------------------------------------------

const struct cs_attr *cs_node_attr(const struct cs_node *node, const char *name)
{
    for (int i = 0; i < node->attr_count; i++)
        if (strcmp(node->attrs[i].name, name) == 0)
            return &node->attrs[i];
    return NULL;
}

static const struct cs_attr *attr_of_kind(const struct cs_node *node, const char *name,
                                          enum cs_attr_kind kind)
{
    const struct cs_attr *attr = cs_node_attr(node, name);
    return attr && attr->kind == kind ? attr : NULL;
}

int64_t cs_node_int(const struct cs_node *node, const char *name, int64_t fallback)
{
    const struct cs_attr *attr = attr_of_kind(node, name, CS_ATTR_INT);
    return attr ? attr->i : fallback;
}

float cs_node_float(const struct cs_node *node, const char *name, float fallback)
{
    const struct cs_attr *attr = attr_of_kind(node, name, CS_ATTR_FLOAT);
    return attr ? attr->f : fallback;
}

const char *cs_node_string(const struct cs_node *node, const char *name, const char *fallback)
{
    const struct cs_attr *attr = attr_of_kind(node, name, CS_ATTR_STRING);
    return attr ? attr->s : fallback;
}

int cs_node_ints(const struct cs_node *node, const char *name, int count, int64_t fallback,
                 int64_t *out, struct cs_err *err)
{
    const struct cs_attr *attr = cs_node_attr(node, name);
    if (attr && (attr->kind != CS_ATTR_INTS || attr->count != count))
        return cs_node_fail(node, err, "attribute %s must have %d integers", name, count);
    for (int i = 0; i < count; i++)
        out[i] = attr ? attr->ints[i] : fallback;
    return 0;
}

const struct cs_value *cs_node_input(const struct cs_graph *graph, const struct cs_node *node,
                                     int i)
{
    if (i >= node->input_count || node->inputs[i] < 0)
        return NULL;
    return &graph->values[node->inputs[i]];
}

const struct cs_value *cs_node_output(const struct cs_graph *graph, const struct cs_node *node,
                                      int i)
{
    if (i >= node->output_count || node->outputs[i] < 0)
        return NULL;
    return &graph->values[node->outputs[i]];
}

bool cs_graph_is_output(const struct cs_graph *graph, int value)
{
    for (int i = 0; i < graph->output_count; i++)
        if (graph->outputs[i] == value)
            return true;
    return false;
}

bool cs_node_fuses(const struct cs_node *node)
{
    return node->fusion.add >= 0 || node->fusion.activation;
}

int64_t cs_shape_elements(const struct cs_shape *shape)
{
    if (shape->rank < 0)
        return -1;
    int64_t elements = 1;
    bool empty = false;
    for (int i = 0; i < shape->rank; i++) {
        // A dimension of 0 does not hide the others: strides are computed from them all the same.
        int64_t dim = shape->dim[i] ? shape->dim[i] : 1;
        empty = empty || shape->dim[i] == 0;
        if (dim < 0 || __builtin_mul_overflow(elements, dim, &elements) ||
            elements > CS_MAX_ELEMENTS)
            return -1;
    }
    return empty ? 0 : elements;
}

bool cs_shape_equal(const struct cs_shape *a, const struct cs_shape *b)
{
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i])
            return false;
    return true;
}

void cs_shape_text(const struct cs_shape *shape, char *text, size_t size)
{
    struct cs_buf buf = {0};
    if (shape->rank < 0)
        cs_buf_adds(&buf, "unknown");
    else if (shape->rank == 0)
        cs_buf_adds(&buf, "scalar");
    for (int i = 0; i < shape->rank; i++) {
        if (i)
            cs_buf_addc(&buf, 'x');
        if (shape->dim[i] < 0)
            cs_buf_addc(&buf, '?');
        else
            cs_buf_addf(&buf, "%lld", (long long)shape->dim[i]);
    }
    snprintf(text, size, "%s", buf.data);
    cs_buf_release(&buf);
}
