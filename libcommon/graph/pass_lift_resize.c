// SPDX-License-Identifier: MIT
// A 1x1 convolution of a concatenation of enlarged maps, as in the heads of HRNet and SegFormer, is
// a sum of enlarged 1x1 convolutions of the small maps: both are linear, and neither sees what the
// other does.
//
//     Conv(Concat(a, Resize(b), Resize(c)))  ->  Conv(a) + Resize(Conv(b)) + Resize(Conv(c))
//
// The multiplications of a map enlarged four times fall to a sixteenth, and the concatenation is
// not made; what grows is the number of channels that are enlarged, so few channels stay as they
// are. HRNet-W48's head has 67.9 GFLOP of its 746 at 1024x1024, and 8.5 afterwards. Concrete graphs
// only; the bias goes with what is not enlarged.
#include <string.h>

#include "graph/params.h"
#include "graph/passes.h"

// Multiplications and additions that pay for enlarging and adding one value more.
enum { FLOPS_OF_A_VALUE = 100 };

// A 1x1 convolution of one group with constant weights, nothing fused.
static bool is_plain(const struct cs_graph *graph, const struct cs_node *conv)
{
    struct cs_window w;
    const struct cs_value *weight = cs_node_input(graph, conv, 1);
    const struct cs_value *bias = cs_node_input(graph, conv, 2);
    if (strcmp(conv->op, "Conv") != 0 || !weight || !weight->data || weight->type != CS_TYPE_F32 ||
        weight->shape.rank != 4 || (bias && !bias->data) || cs_node_fuses(conv) ||
        cs_node_window(graph, conv, &w, NULL) < 0 || w.group != 1)
        return false;
    for (int i = 0; i < 2; i++)
        if (w.kernel[i] != 1 || w.stride[i] != 1 || w.pad_begin[i] || w.pad_end[i])
            return false;
    return true;
}

// The concatenation of channels that the convolution alone reads, or NULL.
static const struct cs_node *concat_of(const struct cs_graph *graph, const struct cs_node *conv)
{
    int axis;
    const struct cs_node *concat = cs_pass_sole_producer(graph, conv, 0);
    if (!concat || strcmp(concat->op, "Concat") != 0 || cs_node_fuses(concat) ||
        cs_node_axis(concat, 1, 4, &axis, NULL) < 0 || axis != 1)
        return NULL;
    for (int i = 0; i < concat->input_count; i++) {
        const struct cs_value *in = cs_node_input(graph, concat, i);
        if (!in || in->data || cs_shape_elements(&in->shape) < 1)
            return NULL;
    }
    return concat;
}

// The Resize of operand i that is better done afterwards, or NULL.
static const struct cs_node *resize_of(const struct cs_graph *graph, const struct cs_node *concat,
                                       int i)
{
    struct cs_resize r;
    const struct cs_node *resize = cs_pass_sole_producer(graph, concat, i);
    if (!resize || strcmp(resize->op, "Resize") != 0 || cs_node_fuses(resize) ||
        cs_node_resize(graph, resize, &r, NULL) < 0 || r.space != 2 || r.coord == CS_COORD_CROP ||
        r.mode == CS_RESIZE_CUBIC || r.antialias)
        return NULL;
    const struct cs_shape *from = &cs_node_input(graph, resize, 0)->shape;
    const struct cs_shape *to = &cs_node_output(graph, resize, 0)->shape;
    double small = (double)(from->dim[2] * from->dim[3]), large = (double)(to->dim[2] * to->dim[3]);
    double saved = 2 * (double)to->dim[1] * (1 - small / large);
    return from->dim[1] == to->dim[1] && saved >= FLOPS_OF_A_VALUE ? resize : NULL;
}

bool cs_lift_resize_match(const struct cs_graph *graph, const struct cs_node *node)
{
    const struct cs_node *concat = is_plain(graph, node) ? concat_of(graph, node) : NULL;
    int lifted = 0;
    for (int i = 0; concat && i < concat->input_count; i++)
        lifted += resize_of(graph, concat, i) != NULL;
    // One is left, for the bias and the sums to start with.
    return lifted > 0 && lifted < concat->input_count;
}

// ---- Rewriting -------------------------------------------------------------------------------

struct rewrite {
    struct cs_graph *graph;
    struct cs_node conv, concat; // as they were: nodes move while others are added
    const float *weights;
};

// A float32 value with a name of its own.
static int fresh_value(struct cs_graph *graph, const struct cs_node *of,
                       const struct cs_shape *shape)
{
    struct cs_buf name = {0};
    cs_buf_addf(&name, "%s.%d", of->name, graph->value_count);
    int value = cs_graph_add_value(graph, name.data, CS_TYPE_F32, shape);
    cs_buf_release(&name);
    return value;
}

// The weights of the operands that `take` names, as a constant O x their channels.
static int slice_weights(struct rewrite *r, const bool *take)
{
    const struct cs_graph *graph = r->graph;
    const struct cs_shape *shape = &graph->values[r->conv.inputs[1]].shape;
    struct cs_shape part = {4, {shape->dim[0], 0, 1, 1}};
    for (int i = 0; i < r->concat.input_count; i++)
        part.dim[1] += take[i] ? graph->values[r->concat.inputs[i]].shape.dim[1] : 0;
    float *sliced =
        cs_arena_alloc(&r->graph->arena, (size_t)cs_shape_elements(&part), sizeof *sliced);
    float *to = sliced;
    for (int64_t o = 0; o < shape->dim[0]; o++) {
        const float *from = r->weights + o * shape->dim[1];
        for (int i = 0; i < r->concat.input_count; i++) {
            int64_t count = graph->values[r->concat.inputs[i]].shape.dim[1];
            if (take[i]) {
                memcpy(to, from, (size_t)count * sizeof *to);
                to += count;
            }
            from += count;
        }
    }
    return cs_graph_add_constant(r->graph, graph->values[r->conv.inputs[1]].name, CS_TYPE_F32,
                                 &part, sliced);
}

// The convolution of a value with some of the weights; returns its result.
static int add_conv(struct rewrite *r, int from, const bool *take, bool bias)
{
    int inputs[] = {from, slice_weights(r, take), bias ? r->conv.inputs[2] : -1};
    struct cs_shape shape = r->graph->values[from].shape;
    shape.dim[1] = r->graph->values[inputs[1]].shape.dim[0];
    int out = fresh_value(r->graph, &r->conv, &shape);
    cs_graph_add_node(r->graph, "Conv", r->conv.name, inputs, inputs[2] >= 0 ? 3 : 2, &out, 1);
    return out;
}

// The operands that stay: one, or a smaller concatenation.
static int add_rest(struct rewrite *r, const bool *stays)
{
    int rest[CS_MAX_NODE_IO] = {-1}, count = 0; // one at least: the match
    struct cs_shape shape = {0};
    for (int i = 0; i < r->concat.input_count; i++) {
        if (!stays[i])
            continue;
        rest[count] = r->concat.inputs[i];
        const struct cs_shape *in = &r->graph->values[rest[count]].shape;
        int64_t before = count++ ? shape.dim[1] : 0;
        shape = *in;
        shape.dim[1] += before;
    }
    int out = rest[0];
    if (count > 1) {
        out = fresh_value(r->graph, &r->concat, &shape);
        struct cs_node *node =
            cs_graph_add_node(r->graph, "Concat", r->concat.name, rest, count, &out, 1);
        cs_node_add_int(r->graph, node, "axis", 1);
    }
    return add_conv(r, out, stays, r->conv.input_count > 2);
}

// Enlarge `from` as the node did its operand, whatever channels it has.
static int add_resize(struct rewrite *r, const struct cs_node *resize, int from)
{
    struct cs_graph *graph = r->graph;
    int inputs[CS_MAX_NODE_IO], count = resize->input_count;
    memcpy(inputs, resize->inputs, (size_t)count * sizeof *inputs);
    inputs[0] = from;
    struct cs_shape shape = graph->values[resize->outputs[0]].shape;
    shape.dim[1] = graph->values[from].shape.dim[1];
    if (count > 3 && inputs[3] >= 0 && cs_shape_elements(&graph->values[inputs[3]].shape) == 4) {
        int64_t *sizes = cs_arena_alloc(&graph->arena, 4, sizeof *sizes);
        memcpy(sizes, shape.dim, 4 * sizeof *sizes);
        inputs[3] = cs_graph_add_constant(graph, resize->name, CS_TYPE_I64,
                                          &(struct cs_shape){1, {4}}, sizes);
    }
    int out = fresh_value(graph, resize, &shape);
    struct cs_node *node = cs_graph_add_node(graph, "Resize", resize->name, inputs, count, &out, 1);
    cs_node_copy_attrs(graph, node, resize);
    return out;
}

// What the convolution becomes, at the end of the nodes; returns the sum's value.
static int add_nodes(struct rewrite *r)
{
    bool stays[CS_MAX_NODE_IO];
    struct cs_node resizes[CS_MAX_NODE_IO];
    int small[CS_MAX_NODE_IO];
    for (int i = 0; i < r->concat.input_count; i++) {
        const struct cs_node *resize = resize_of(r->graph, &r->concat, i);
        stays[i] = !resize;
        if (resize)
            resizes[i] = *resize;
    }
    int sum = add_rest(r, stays);
    for (int i = 0; i < r->concat.input_count; i++) {
        bool take[CS_MAX_NODE_IO] = {false};
        take[i] = true;
        if (!stays[i])
            small[i] = add_conv(r, resizes[i].inputs[0], take, false);
    }
    for (int i = 0; i < r->concat.input_count; i++) {
        if (stays[i])
            continue;
        int pair[] = {sum, add_resize(r, &resizes[i], small[i])};
        sum = fresh_value(r->graph, &r->conv, &r->graph->values[pair[0]].shape);
        cs_graph_add_node(r->graph, "Add", r->conv.name, pair, 2, &sum, 1);
    }
    return sum;
}

int cs_lift_resize_apply(struct cs_graph *graph, struct cs_node *node, struct cs_err *err)
{
    int at = (int)(node - graph->nodes), before = graph->node_count;
    struct cs_constant_hold hold;
    const float *weights = cs_constant_hold(cs_node_input(graph, node, 1), &hold, err);
    if (!weights)
        return -1;
    struct rewrite r = {graph, *node, *concat_of(graph, node), weights};
    int sum = add_nodes(&r);
    cs_constant_release(&hold);
    cs_pass_replace(graph, r.conv.outputs[0], sum);
    cs_pass_drop(graph, &graph->nodes[at]);
    cs_pass_move(graph, before, at);
    return 0;
}
