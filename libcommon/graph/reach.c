// SPDX-License-Identifier: MIT
// What one output pixel sees, followed through the graph. Every spatial value has a scale (input
// pixels a pixel, a fraction) and two margins: pixel v of it covers input pixels from v * scale to
// (v + 1) * scale and sees `left` more before them and `right` more behind, at most. The method is
// that of receptive field arithmetic (Araujo, Norris, Sim 2019), with intervals kept apart for
// both sides so that pads and crops shift them. An operator that is not known to be local makes
// the network unsafe to tile.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/divisor.h"
#include "base/mem.h"
#include "graph/need.h"

enum { MAX_RATIO = 1 << 16 };

struct track {
    bool spatial; // depends on pixels and still has a plane
    struct {
        int64_t num, den; // scale
        double left, right;
    } axis[2]; // height, width
};

struct walk {
    const struct cs_graph *graph; // concrete
    struct track *tracks;         // per value
    struct cs_reach *reach;
    const struct cs_node *node; // at hand
};

static double scale_of(const struct track *t, int axis)
{
    return (double)t->axis[axis].num / (double)t->axis[axis].den;
}

// scale *= num / den
static void rescale(struct track *t, int axis, int64_t num, int64_t den)
{
    int64_t common = cs_common_divisor(num, den);
    num = t->axis[axis].num * (num / common);
    den = t->axis[axis].den * (den / common);
    common = cs_common_divisor(num, den);
    t->axis[axis].num = num / common;
    t->axis[axis].den = den / common;
}

static void unsafe(struct walk *w)
{
    if (!w->reach->tile_safe)
        return;
    w->reach->tile_safe = false;
    w->reach->unsafe_op = w->node->op;
    w->reach->unsafe_node = w->node->name;
}

static const struct track *input_track(const struct walk *w, int i)
{
    int value = i < w->node->input_count ? w->node->inputs[i] : -1;
    return value < 0 ? NULL : &w->tracks[value];
}

// ---- The walk ------------------------------------------------------------------------------

// A constant that differs from place to place ties the network to positions.
static bool varies_in_space(const struct cs_value *constant, const struct cs_value *out)
{
    for (int back = 1; back <= 2 && back <= constant->shape.rank; back++)
        if (out->shape.rank == 4 && constant->shape.dim[constant->shape.rank - back] > 1)
            return true;
    return false;
}

// The join of another value that is read at the same place.
static void join(struct walk *w, struct track *t, int value)
{
    const struct track *other = &w->tracks[value];
    const struct cs_value *v = &w->graph->values[value];
    const struct cs_value *out = cs_node_output(w->graph, w->node, 0);
    if (!other->spatial) {
        if (v->data && varies_in_space(v, out))
            unsafe(w);
        return;
    }
    if (!t->spatial) {
        *t = *other;
        return;
    }
    for (int a = 0; a < 2; a++) {
        if (other->axis[a].num != t->axis[a].num || other->axis[a].den != t->axis[a].den)
            unsafe(w);
        t->axis[a].left = fmax(t->axis[a].left, other->axis[a].left);
        t->axis[a].right = fmax(t->axis[a].right, other->axis[a].right);
    }
}

// What the windows of all phases reach beyond the pixel's own place.
static void follow(struct track *t, int a, const struct cs_local_axis *axis)
{
    double left = -INFINITY, right = -INFINITY, scale = scale_of(t, a);
    double num = (double)axis->num, den = (double)axis->den;
    for (int64_t p = 0; p < axis->den && p < MAX_RATIO; p++) {
        int64_t first = cs_floor_div(p * axis->num + axis->low, axis->den);
        int64_t last = cs_floor_div(p * axis->num + axis->high, axis->den);
        left = fmax(left, (double)p * num / den - (double)first);
        right = fmax(right, (double)(last + 1) - (double)(p + 1) * num / den);
    }
    t->axis[a].left += left * scale;
    t->axis[a].right += right * scale;
    rescale(t, a, axis->num, axis->den);
}

static void walk_node(struct walk *w)
{
    struct track t = {0};
    bool spatial = false;
    for (int i = 0; i < w->node->input_count; i++)
        spatial |= input_track(w, i) && input_track(w, i)->spatial;
    if (!spatial)
        return; // what constants and whole-image values become
    struct cs_local local = cs_node_local(w->graph, w->node);
    if (!local.joins)
        t = *input_track(w, 0);
    for (int i = 0; i < w->node->input_count; i++) {
        const struct track *input = input_track(w, i);
        if (local.joins && input)
            join(w, &t, w->node->inputs[i]);
        else if (i > 0 && input && input->spatial)
            unsafe(w); // pixels as weights, indices or parameters
    }
    if (!t.spatial || !local.local)
        unsafe(w);
    for (int a = 0; t.spatial && a < 2; a++)
        follow(&t, a, &local.axis[a]);
    const struct cs_value *out = cs_node_output(w->graph, w->node, 0);
    if (t.spatial && (!local.plane || (out && out->shape.rank != 4))) {
        unsafe(w);
        t.spatial = false;
    }
    if (w->node->fusion.add >= 0)
        join(w, &t, w->node->fusion.add);
    for (int i = 0; i < w->node->output_count; i++)
        if (w->node->outputs[i] >= 0)
            w->tracks[w->node->outputs[i]] = t;
}

// Planes that come back after their track was lost (attention, reshaping) have the scale that
// their size tells. What does not have the input's proportions is no plane but tokens and heads.
static void recover(struct walk *w, int value)
{
    const struct cs_shape *in = &w->graph->values[w->graph->inputs[0]].shape;
    const struct cs_shape *shape = &w->graph->values[value].shape;
    struct track *t = &w->tracks[value];
    if (t->spatial || w->reach->tile_safe || shape->rank != 4 || in->rank != 4 ||
        w->graph->values[value].data || shape->dim[2] < 2 || shape->dim[3] < 2 ||
        shape->dim[2] * in->dim[3] != shape->dim[3] * in->dim[2])
        return;
    *t = (struct track){.spatial = true, .axis = {{1, 1, 0, 0}, {1, 1, 0, 0}}};
    for (int a = 0; a < 2; a++)
        rescale(t, a, in->dim[2 + a], shape->dim[2 + a]);
}

static int account(struct walk *w, int value, struct cs_err *err)
{
    const struct track *t = &w->tracks[value];
    for (int a = 0; t->spatial && a < 2; a++) {
        int64_t num = t->axis[a].num, stride = w->reach->stride;
        if (num > MAX_RATIO || t->axis[a].den > MAX_RATIO ||
            stride / cs_common_divisor(stride, num) * num > MAX_RATIO)
            return cs_node_fail(w->node, err, "the network's total stride is beyond %d", MAX_RATIO);
        w->reach->stride = (int)(stride / cs_common_divisor(stride, num) * num);
    }
    return 0;
}

// What one square on the grid of strides needs around it, in the middle of the plane: no more than
// pixels of all phases do, unless the plane is too small to tell.
static int margin_of(const struct cs_graph *graph, const struct cs_reach *reach)
{
    int64_t stride = reach->stride, limit = INT32_MAX / stride * stride, least = 0;
    int64_t most = cs_at_most((reach->halo + stride - 1) / stride * stride, limit);
    const struct cs_value *in = graph->input_count ? &graph->values[graph->inputs[0]] : NULL;
    struct cs_region square;
    if (!reach->tile_safe || !in || in->shape.rank != 4)
        return (int)most;
    for (int a = 0; a < 2; a++) {
        int64_t begin = in->shape.dim[2 + a] / 2 / stride * stride;
        square.axis[a] = (struct cs_span){begin, cs_at_most(begin + stride, in->shape.dim[2 + a])};
    }
    struct cs_needs needs = cs_needs_find(graph, &square);
    const struct cs_place *place = cs_place_of(&needs, graph->inputs[0]);
    for (int a = 0; a < 2; a++) {
        const struct cs_span *need = &place->need.axis[a], *of = &square.axis[a];
        bool all = need->begin == 0 || need->end == in->shape.dim[2 + a];
        least = cs_at_least(least, all ? most : of->begin - need->begin);
        least = cs_at_least(least, all ? most : need->end - of->end);
    }
    cs_needs_release(&needs);
    return (int)cs_at_most(most, (least + stride - 1) / stride * stride);
}

static int reach_concrete(const struct cs_graph *graph, struct cs_reach *reach, struct cs_err *err)
{
    struct walk w = {graph, cs_xcalloc((size_t)graph->value_count, sizeof *w.tracks), reach, NULL};
    double halo = 0;
    int result = 0;
    *reach = (struct cs_reach){.tile_safe = true, .stride = 1};
    for (int i = 0; i < graph->input_count; i++)
        if (graph->values[graph->inputs[i]].shape.rank == 4)
            w.tracks[graph->inputs[i]] =
                (struct track){.spatial = true, .axis = {{1, 1, 0, 0}, {1, 1, 0, 0}}};
    for (int n = 0; result == 0 && n < graph->node_count; n++) {
        w.node = &graph->nodes[n];
        walk_node(&w);
        for (int i = 0; result == 0 && i < w.node->output_count; i++)
            if (w.node->outputs[i] >= 0) {
                recover(&w, w.node->outputs[i]);
                result = account(&w, w.node->outputs[i], err);
            }
    }
    for (int i = 0; i < graph->output_count; i++)
        for (int a = 0; a < 2; a++) {
            const struct track *t = &w.tracks[graph->outputs[i]];
            halo = fmax(halo, t->spatial ? fmax(t->axis[a].left, t->axis[a].right) : 0);
        }
    reach->halo = (int)ceil(fmin(halo, INT32_MAX));
    reach->margin = result == 0 ? margin_of(graph, reach) : 0;
    free(w.tracks);
    return result;
}

// ---- Graphs with unknown sizes -------------------------------------------------------------

static bool is_concrete(const struct cs_graph *graph)
{
    for (int i = 0; i < graph->output_count; i++)
        if (cs_shape_elements(&graph->values[graph->outputs[i]].shape) < 0)
            return false;
    for (int i = 0; i < graph->input_count; i++)
        if (cs_shape_elements(&graph->values[graph->inputs[i]].shape) < 0)
            return false;
    return true;
}

// Unknown sizes: planes that most total strides divide, larger than most receptive fields.
static int infer_somehow(const struct cs_graph *graph, struct cs_graph *concrete,
                         struct cs_err *err)
{
    static const int64_t planes[] = {1024, 960, 512, 256}, channels[] = {3, 1, 2, 4};
    struct cs_shape *shapes = cs_xcalloc((size_t)graph->input_count, sizeof *shapes);
    struct cs_err first = {0};
    int result = -1;
    for (int k = 0; result < 0 && k < 16; k++) {
        for (int i = 0; i < graph->input_count; i++) {
            int64_t plane = planes[k / 4], guess[4] = {1, channels[k % 4], plane, plane};
            shapes[i] = graph->values[graph->inputs[i]].shape;
            if (shapes[i].rank < 0)
                shapes[i].rank = 4;
            for (int d = 0; d < shapes[i].rank; d++)
                if (graph->values[graph->inputs[i]].shape.rank < 0 || shapes[i].dim[d] < 0)
                    shapes[i].dim[d] = d < 4 ? guess[d] : 1;
        }
        result = cs_graph_infer(graph, shapes, concrete, k == 0 ? &first : NULL);
    }
    free(shapes);
    return result < 0 ? cs_fail(err, first.code, "%s", first.text) : 0;
}

int cs_graph_reach(const struct cs_graph *graph, struct cs_reach *reach, struct cs_err *err)
{
    if (is_concrete(graph))
        return reach_concrete(graph, reach, err);
    struct cs_graph concrete;
    if (infer_somehow(graph, &concrete, err) < 0)
        return -1;
    int result = reach_concrete(&concrete, reach, err);
    // Names of the copy go with it; the graph's own node of that name stays.
    const char *op = NULL, *name = NULL;
    for (int n = 0; reach->unsafe_node && n < graph->node_count; n++)
        if (strcmp(graph->nodes[n].name, reach->unsafe_node) == 0 &&
            strcmp(graph->nodes[n].op, reach->unsafe_op) == 0) {
            op = graph->nodes[n].op;
            name = graph->nodes[n].name;
        }
    reach->unsafe_op = op;
    reach->unsafe_node = name;
    cs_graph_release(&concrete);
    return result;
}
