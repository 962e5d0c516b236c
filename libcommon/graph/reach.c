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

#include "base/mem.h"
#include "graph/params.h"
#include "graph/passes.h"

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

static int64_t gcd(int64_t a, int64_t b)
{
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static double scale_of(const struct track *t, int axis)
{
    return (double)t->axis[axis].num / (double)t->axis[axis].den;
}

// scale *= num / den
static void rescale(struct track *t, int axis, int64_t num, int64_t den)
{
    int64_t common = gcd(num, den);
    num = t->axis[axis].num * (num / common);
    den = t->axis[axis].den * (den / common);
    common = gcd(num, den);
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

// ---- Operators that are local ---------------------------------------------------------------

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

static void walk_pointwise(struct walk *w, struct track *t)
{
    *t = (struct track){0};
    for (int i = 0; i < w->node->input_count; i++)
        if (w->node->inputs[i] >= 0)
            join(w, t, w->node->inputs[i]);
}

static void walk_window(struct walk *w, struct track *t)
{
    struct cs_window win;
    const struct cs_shape *in = &cs_node_input(w->graph, w->node, 0)->shape;
    cs_node_window(w->graph, w->node, &win, NULL);
    bool pool = strstr(w->node->op, "Pool") != NULL;
    for (int a = 0; a < 2; a++) {
        double scale = scale_of(t, a), reach = (double)((win.kernel[a] - 1) * win.dilation[a]);
        if (pool && win.kernel[a] >= in->dim[2 + a] && in->dim[2 + a] > 1)
            unsafe(w);
        t->axis[a].left += (double)win.pad_begin[a] * scale;
        t->axis[a].right += (reach + 1 - (double)win.pad_begin[a] - (double)win.stride[a]) * scale;
        rescale(t, a, win.stride[a], 1);
    }
}

// Output o takes from inputs i with i * stride + k * dilation - pad = o; the worst of all phases.
static void walk_transposed(struct walk *w, struct track *t)
{
    struct cs_window win;
    cs_node_window(w->graph, w->node, &win, NULL);
    for (int a = 0; a < 2; a++) {
        double scale = scale_of(t, a), stride = (double)win.stride[a];
        double left = 0, right = 0, reach = (double)((win.kernel[a] - 1) * win.dilation[a]);
        for (int64_t o = 0; o < win.stride[a] && o < MAX_RATIO; o++) {
            double at = (double)(o + win.pad_begin[a]);
            double first = ceil((at - reach) / stride), last = floor(at / stride);
            left = fmax(left, ((double)o / stride - first) * scale);
            right = fmax(right, (last + 1 - (double)(o + 1) / stride) * scale);
        }
        t->axis[a].left += left;
        t->axis[a].right += right;
        rescale(t, a, 1, win.stride[a]);
    }
}

static void walk_resize(struct walk *w, struct track *t)
{
    struct cs_resize r;
    cs_node_resize(w->graph, w->node, &r, NULL);
    for (int a = 0; a < 2; a++) {
        if (r.in[a] == r.out[a])
            continue;
        if (r.coord == CS_COORD_ALIGN_CORNERS)
            unsafe(w);
        bool whole = r.length[a] == (double)r.out[a];
        if (r.coord == CS_COORD_CROP || (r.coord == CS_COORD_HALF_PIXEL_SYMMETRIC && !whole))
            unsafe(w); // positions are counted from the plane's end too
        // Taps around the source coordinate, which lies within a pixel of its place.
        double radius = r.mode == CS_RESIZE_CUBIC ? 2 : r.mode == CS_RESIZE_LINEAR ? 1 : 0;
        if (r.antialias && r.scale[a] < 1)
            radius = ceil(radius / r.scale[a]);
        double margin = (radius + 1) * scale_of(t, a);
        t->axis[a].left += margin;
        t->axis[a].right += margin;
        rescale(t, a, r.in[a], r.out[a]);
    }
}

static void walk_depth_to_space(struct walk *w, struct track *t)
{
    int64_t block = cs_node_int(w->node, "blocksize", 1);
    for (int a = 0; a < 2; a++) {
        double margin = scale_of(t, a) * (1 - 1 / (double)block);
        t->axis[a].left += margin;
        t->axis[a].right += margin;
        rescale(t, a, 1, block);
    }
}

static void walk_space_to_depth(struct walk *w, struct track *t)
{
    for (int a = 0; a < 2; a++)
        rescale(t, a, cs_node_int(w->node, "blocksize", 1), 1);
}

static void shift(struct track *t, int axis, double pixels)
{
    t->axis[axis].left += pixels * scale_of(t, axis);
    t->axis[axis].right -= pixels * scale_of(t, axis);
}

static void walk_pad(struct walk *w, struct track *t)
{
    struct cs_pads pads;
    cs_node_pads(w->graph, w->node, &pads, NULL);
    for (int a = 0; a < 2; a++)
        shift(t, a, (double)pads.begin[2 + a]);
}

static void walk_slice(struct walk *w, struct track *t)
{
    struct cs_slice slice;
    cs_node_slice(w->graph, w->node, &slice, NULL);
    for (int a = 0; a < 2; a++) {
        if (slice.step[2 + a] != 1)
            unsafe(w);
        shift(t, a, -(double)slice.start[2 + a]);
    }
}

// ---- Operators that are local along channels only -------------------------------------------

static bool along_channels(const struct walk *w, int64_t fallback)
{
    int axis = 0;
    return cs_node_axis(w->node, fallback, 4, &axis, NULL) == 0 && axis < 2;
}

static void walk_concat(struct walk *w, struct track *t)
{
    if (!along_channels(w, 1))
        unsafe(w);
    walk_pointwise(w, t);
}

static void walk_split(struct walk *w, struct track *t)
{
    (void)t;
    if (!along_channels(w, 0))
        unsafe(w);
}

static void walk_softmax(struct walk *w, struct track *t)
{
    int first, last;
    (void)t;
    if (cs_node_softmax(w->graph, w->node, &first, &last, NULL) < 0 || last >= 2)
        unsafe(w);
}

static void walk_reduce(struct walk *w, struct track *t)
{
    struct cs_reduce reduce;
    cs_node_reduce(w->graph, w->node, &reduce, NULL);
    if (reduce.axes[2] || reduce.axes[3] || !reduce.keep) {
        unsafe(w);
        t->spatial = false;
    }
}

// Repeats along channels are local.
static void walk_repeat(struct walk *w, struct track *t)
{
    const struct cs_shape *in = &cs_node_input(w->graph, w->node, 0)->shape;
    const struct cs_shape *out = &cs_node_output(w->graph, w->node, 0)->shape;
    (void)t;
    if (out->rank != 4 || in->dim[2] != out->dim[2] || in->dim[3] != out->dim[3])
        unsafe(w);
}

// The position of the greatest channel.
static void walk_arg(struct walk *w, struct track *t)
{
    int axis = 0;
    if (cs_node_axis(w->node, 0, 4, &axis, NULL) < 0 || axis >= 2 ||
        cs_node_int(w->node, "keepdims", 1) == 0) {
        unsafe(w);
        t->spatial = false;
    }
}

static void walk_norm(struct walk *w, struct track *t)
{
    (void)t;
    unsafe(w);
}

static void walk_anything(struct walk *w, struct track *t)
{
    unsafe(w);
    t->spatial = false;
}

// ---- The walk ------------------------------------------------------------------------------

// Each gets the track of input 0, which is spatial, and makes that of the outputs.
static const struct {
    const char *ops[20];
    void (*walk)(struct walk *w, struct track *t);
} walks[] = {
    {{"Conv", "MaxPool", "AveragePool", NULL}, walk_window},
    {{"ConvTranspose", NULL}, walk_transposed},
    {{"Resize", "Upsample", NULL}, walk_resize},
    {{"DepthToSpace", NULL}, walk_depth_to_space},
    {{"SpaceToDepth", NULL}, walk_space_to_depth},
    {{"Pad", NULL}, walk_pad},
    {{"Slice", NULL}, walk_slice},
    {{"Concat", NULL}, walk_concat},
    {{"Split", "Gather", NULL}, walk_split},
    {{"Softmax", NULL}, walk_softmax},
    {{"ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum", "ReduceProd", "ReduceL2", NULL},
     walk_reduce},
    {{"ArgMax", "ArgMin", NULL}, walk_arg},
    {{"Expand", "Tile", NULL}, walk_repeat},
    {{"InstanceNormalization", "GroupNormalization", NULL}, walk_norm},
    {{"Relu", "LeakyRelu", "Elu",   "Sigmoid", "HardSigmoid", "HardSwish", "Softplus",
      "Tanh", "Erf",       "Gelu",  "Mish",    "Exp",         "Log",       "Sqrt",
      "Abs",  "Neg",       "Floor", "Ceil",    "Clip",        NULL},
     walk_pointwise},
    {{"Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual", "And", "Or", "Xor", "Not", NULL},
     walk_pointwise},
    {{"PRelu", "Add", "Sub", "Mul", "Div", "Pow", "Mod", "Max", "Min", "Sum", "Mean", "Where",
      "Identity", "Dropout", "Cast", "Sign", "Swish", NULL},
     walk_pointwise},
};

static void walk_node(struct walk *w)
{
    struct track t = {0};
    void (*visit)(struct walk *, struct track *) = walk_anything;
    bool spatial = false;
    for (int i = 0; i < w->node->input_count; i++)
        spatial |= input_track(w, i) && input_track(w, i)->spatial;
    if (!spatial)
        return; // what constants and whole-image values become
    for (size_t i = 0; i < sizeof walks / sizeof *walks; i++)
        if (cs_node_is(w->node, walks[i].ops))
            visit = walks[i].walk;
    bool batch_norm = strcmp(w->node->op, "BatchNormalization") == 0;
    bool joins = visit == walk_pointwise || visit == walk_concat;
    t = *input_track(w, 0);
    for (int i = 1; !joins && i < w->node->input_count; i++)
        if (input_track(w, i) && input_track(w, i)->spatial)
            unsafe(w); // pixels as weights, indices or parameters
    if (!t.spatial && !joins)
        unsafe(w);
    else if (!batch_norm)
        visit(w, &t);
    const struct cs_value *out = cs_node_output(w->graph, w->node, 0);
    if (t.spatial && out && out->shape.rank != 4) {
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
            stride / gcd(stride, num) * num > MAX_RATIO)
            return cs_node_fail(w->node, err, "the network's total stride is beyond %d", MAX_RATIO);
        w->reach->stride = (int)(stride / gcd(stride, num) * num);
    }
    return 0;
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
