// SPDX-License-Identifier: MIT
// Norms that exporters spell out become one operator each. Concrete graphs only.
//
//   LayerNormalization, before opset 17:   d = x - ReduceMean(x)
//       d / Sqrt(ReduceMean(d^2) + epsilon) * scale + shift,  over the last axis
//   GroupNormalization, before opset 21:   Reshape to N, groups, rest; InstanceNormalization;
//       Reshape back; * scale + shift,  one a channel
#include <string.h>

#include "graph/params.h"
#include "graph/passes.h"

struct norm {
    int x, scale, shift; // values
    float epsilon;
    int64_t groups;
};

static const float *floats(const struct cs_graph *graph, int value)
{
    const struct cs_value *v = value < 0 ? NULL : &graph->values[value];
    return v && v->type == CS_TYPE_F32 && !v->in_file ? v->data : NULL;
}

// `node` is inner * scale + shift with both constant: *inner is the value, also where the operands
// of a sum or a product are the other way round.
static bool is_affine(const struct cs_graph *graph, const struct cs_node *node, struct norm *norm,
                      int *inner)
{
    if (strcmp(node->op, "Add") != 0 || cs_node_fuses(node))
        return false;
    int c = floats(graph, node->inputs[0]) ? 0 : 1;
    const struct cs_node *mul = cs_pass_maker(graph, node->inputs[1 - c], "Mul");
    if (!mul || !floats(graph, node->inputs[c]))
        return false;
    int m = floats(graph, mul->inputs[0]) ? 0 : 1;
    norm->shift = node->inputs[c];
    norm->scale = mul->inputs[m];
    *inner = mul->inputs[1 - m];
    return floats(graph, norm->scale) != NULL && graph->values[node->inputs[1 - c]].uses == 1;
}

// ---- LayerNormalization ----------------------------------------------------------------------

// ReduceMean over the last axis alone.
static bool is_line_mean(const struct cs_graph *graph, const struct cs_node *node)
{
    struct cs_reduce reduce;
    if (!node || cs_node_reduce(graph, node, &reduce, NULL) < 0 || !reduce.keep)
        return false;
    int rank = cs_node_input(graph, node, 0)->shape.rank;
    for (int d = 0; d < rank; d++)
        if (reduce.axes[d] != (d == rank - 1))
            return false;
    return true;
}

static bool is_square(const struct cs_graph *graph, int value, int of)
{
    const struct cs_node *mul = cs_pass_maker(graph, value, "Mul"),
                         *pow = cs_pass_maker(graph, value, "Pow");
    if (mul)
        return mul->inputs[0] == of && mul->inputs[1] == of;
    const float *exponent = pow ? floats(graph, pow->inputs[1]) : NULL;
    return exponent && cs_shape_elements(&graph->values[pow->inputs[1]].shape) == 1 &&
           *exponent == 2 && pow->inputs[0] == of;
}

// Sqrt(ReduceMean(d^2) + epsilon)
static bool is_deviation(const struct cs_graph *graph, int value, int d, float *epsilon)
{
    const struct cs_node *root = cs_pass_maker(graph, value, "Sqrt");
    const struct cs_node *add = root ? cs_pass_maker(graph, root->inputs[0], "Add") : NULL;
    for (int i = 0; add && i < 2; i++) {
        const struct cs_node *mean = cs_pass_maker(graph, add->inputs[i], "ReduceMean");
        const float *number = floats(graph, add->inputs[1 - i]);
        if (!is_line_mean(graph, mean) || !is_square(graph, mean->inputs[0], d) || !number ||
            cs_shape_elements(&graph->values[add->inputs[1 - i]].shape) != 1)
            continue;
        *epsilon = *number;
        return true;
    }
    return false;
}

static bool is_line_vector(const struct cs_graph *graph, int value, int64_t size)
{
    const struct cs_shape *shape = &graph->values[value].shape;
    return shape->rank == 1 && shape->dim[0] == size;
}

static bool find_layer_norm(const struct cs_graph *graph, const struct cs_node *node,
                            struct norm *norm)
{
    int inner;
    if (!is_affine(graph, node, norm, &inner))
        return false;
    const struct cs_node *div = cs_pass_maker(graph, inner, "Div");
    const struct cs_node *sub = div ? cs_pass_maker(graph, div->inputs[0], "Sub") : NULL;
    const struct cs_node *mean = sub ? cs_pass_maker(graph, sub->inputs[1], "ReduceMean") : NULL;
    if (!is_line_mean(graph, mean) || mean->inputs[0] != sub->inputs[0] ||
        !is_deviation(graph, div->inputs[1], div->inputs[0], &norm->epsilon))
        return false;
    norm->x = sub->inputs[0];
    const struct cs_shape *shape = &graph->values[norm->x].shape;
    int64_t size = shape->dim[shape->rank - 1];
    return is_line_vector(graph, norm->scale, size) && is_line_vector(graph, norm->shift, size);
}

bool cs_layer_norm_match(const struct cs_graph *graph, const struct cs_node *node)
{
    struct norm norm;
    return find_layer_norm(graph, node, &norm);
}

int cs_layer_norm_apply(struct cs_graph *graph, struct cs_node *node, struct cs_err *err)
{
    struct norm norm;
    (void)err;
    find_layer_norm(graph, node, &norm);
    cs_pass_become(graph, node, "LayerNormalization", (const int[]){norm.x, norm.scale, norm.shift},
                   3);
    cs_node_add_float(graph, node, "epsilon", norm.epsilon);
    return 0;
}

// ---- GroupNormalization ----------------------------------------------------------------------

// A constant of one value a channel that is broadcast over an N, C, H, W.
static bool is_channel_vector(const struct cs_graph *graph, int value, int64_t channels)
{
    const struct cs_shape *s = &graph->values[value].shape;
    if (s->rank < 3 || s->rank > 4 || cs_shape_elements(s) != channels)
        return false;
    return s->dim[s->rank - 3] == channels;
}

static bool all_are(const struct cs_graph *graph, int value, float wanted)
{
    const float *data = floats(graph, value);
    int64_t count = data ? cs_shape_elements(&graph->values[value].shape) : 0;
    for (int64_t i = 0; i < count; i++)
        if (data[i] != wanted)
            return false;
    return data != NULL;
}

static bool find_group_norm(const struct cs_graph *graph, const struct cs_node *node,
                            struct norm *norm)
{
    int inner;
    if (!is_affine(graph, node, norm, &inner))
        return false;
    const struct cs_node *back = cs_pass_maker(graph, inner, "Reshape");
    const struct cs_node *instance =
        back ? cs_pass_maker(graph, back->inputs[0], "InstanceNormalization") : NULL;
    const struct cs_node *reshape =
        instance ? cs_pass_maker(graph, instance->inputs[0], "Reshape") : NULL;
    if (!reshape || !all_are(graph, instance->inputs[1], 1) ||
        !all_are(graph, instance->inputs[2], 0))
        return false;
    norm->x = reshape->inputs[0];
    norm->epsilon = cs_node_float(instance, "epsilon", 1e-5f);
    const struct cs_shape *in = &graph->values[norm->x].shape;
    const struct cs_shape *grouped = &graph->values[instance->inputs[0]].shape;
    norm->groups = grouped->dim[1];
    return in->rank == 4 && cs_shape_equal(in, &graph->values[inner].shape) &&
           cs_shape_equal(in, &graph->values[node->outputs[0]].shape) &&
           grouped->dim[0] == in->dim[0] && norm->groups > 0 && in->dim[1] % norm->groups == 0 &&
           is_channel_vector(graph, norm->scale, in->dim[1]) &&
           is_channel_vector(graph, norm->shift, in->dim[1]);
}

bool cs_group_norm_match(const struct cs_graph *graph, const struct cs_node *node)
{
    struct norm norm;
    return find_group_norm(graph, node, &norm);
}

// The same constant as a vector.
static int flat(struct cs_graph *graph, int value)
{
    const struct cs_value *v = &graph->values[value];
    const struct cs_shape shape = {1, {cs_shape_elements(&v->shape)}};
    return cs_graph_add_constant(graph, v->name, v->type, &shape, v->data);
}

int cs_group_norm_apply(struct cs_graph *graph, struct cs_node *node, struct cs_err *err)
{
    struct norm norm;
    (void)err;
    find_group_norm(graph, node, &norm);
    int scale = flat(graph, norm.scale), shift = flat(graph, norm.shift);
    cs_pass_become(graph, node, "GroupNormalization", (const int[]){norm.x, scale, shift}, 3);
    cs_node_add_int(graph, node, "num_groups", norm.groups);
    cs_node_add_float(graph, node, "epsilon", norm.epsilon);
    return 0;
}
