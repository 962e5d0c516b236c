// SPDX-License-Identifier: MIT
#include "graph/local.h"

#include <math.h>
#include <string.h>

#include "graph/params.h"
#include "graph/passes.h"

struct visit {
    const struct cs_graph *graph;
    const struct cs_node *node;
    struct cs_local *local;
};

static void scale(struct cs_local *local, int a, int64_t num, int64_t den)
{
    int64_t x = num, y = den;
    while (y) {
        int64_t rest = x % y;
        x = y;
        y = rest;
    }
    local->axis[a].num = num / x;
    local->axis[a].den = den / x;
}

static void not_local(struct cs_local *local, bool plane)
{
    local->local = local->cuttable = false;
    local->plane = plane;
}

// Whether somebody reads an output beside the first: positions, for one.
static bool has_more_outputs(const struct visit *v)
{
    for (int i = 1; i < v->node->output_count; i++)
        if (v->node->outputs[i] >= 0 && v->graph->values[v->node->outputs[i]].uses > 0)
            return true;
    return false;
}

// ---- Windows --------------------------------------------------------------------------------

static void visit_window(struct visit *v)
{
    struct cs_window win;
    const struct cs_shape *in = &cs_node_input(v->graph, v->node, 0)->shape;
    bool pool = strstr(v->node->op, "Pool") != NULL;
    bool same = strncmp(cs_node_string(v->node, "auto_pad", ""), "SAME", 4) == 0;
    cs_node_window(v->graph, v->node, &win, NULL);
    v->local->cuttable = !has_more_outputs(v);
    for (int a = 0; a < 2; a++) {
        struct cs_local_axis *axis = &v->local->axis[a];
        if (pool && win.kernel[a] >= in->dim[2 + a] && in->dim[2 + a] > 1)
            not_local(v->local, true);
        if (same && win.stride[a] > 1) // pads follow from the size
            v->local->cuttable = false;
        axis->num = win.stride[a];
        axis->low = -win.pad_begin[a];
        axis->high = (win.kernel[a] - 1) * win.dilation[a] - win.pad_begin[a];
    }
}

// Output o takes from inputs i with i * stride + k * dilation - pad = o.
static void visit_transposed(struct visit *v)
{
    struct cs_window win;
    const struct cs_node *node = v->node;
    const struct cs_shape *in = &cs_node_input(v->graph, node, 0)->shape;
    cs_node_window(v->graph, node, &win, NULL);
    v->local->cuttable = !cs_node_attr(node, "output_shape") &&
                         strncmp(cs_node_string(node, "auto_pad", ""), "SAME", 4) != 0;
    for (int a = 0; a < 2; a++) {
        struct cs_local_axis *axis = &v->local->axis[a];
        int64_t reach = (win.kernel[a] - 1) * win.dilation[a], stride = win.stride[a];
        axis->den = stride;
        axis->low = win.pad_begin[a] - reach + stride - 1;
        axis->high = win.pad_begin[a];
        // What is cut off at its ends must be no more than what comes from beyond a cut.
        int64_t end = (in->dim[2 + a] - 1) * stride - win.pad_begin[a] + stride;
        v->local->cuttable =
            v->local->cuttable && reach + 1 - win.pad_begin[a] >= stride && win.out[a] >= end;
    }
}

// ---- Resizing -------------------------------------------------------------------------------

// Pixels that lie differently between those of the operand; no network has a factor beyond that.
enum { MOST_PHASES = 1024 };

// The window that holds those of all phases.
static void resize_phases(const struct cs_resize *r, int a, struct cs_local_axis *axis)
{
    int64_t middle = r->out[a] / axis->den / 2;
    for (int64_t p = 0; p < axis->den; p++) {
        struct cs_resize_taps taps = cs_resize_taps(r, a, middle * axis->den + p);
        int64_t first = taps.first - middle * axis->num, last = first + taps.count - 1;
        int64_t low = axis->den * (first + 1) - 1 - p * axis->num;
        int64_t high = axis->den * last - p * axis->num;
        axis->low = p == 0 || low < axis->low ? low : axis->low;
        axis->high = p == 0 || high > axis->high ? high : axis->high;
    }
}

// Scales, or a size for each axis, which can be changed with the operand's.
static bool has_plain_sizes(const struct visit *v)
{
    const struct cs_value *sizes = cs_node_input(v->graph, v->node, 3);
    const char *policy = cs_node_string(v->node, "keep_aspect_ratio_policy", "stretch");
    if (strcmp(v->node->op, "Resize") != 0 || !sizes || cs_shape_elements(&sizes->shape) == 0)
        return true;
    return cs_shape_elements(&sizes->shape) == 4 && !cs_node_attr(v->node, "axes") &&
           strcmp(policy, "stretch") == 0;
}

static void visit_resize(struct visit *v)
{
    struct cs_resize r;
    cs_node_resize(v->graph, v->node, &r, NULL);
    v->local->cuttable = has_plain_sizes(v) && r.coord != CS_COORD_HALF_PIXEL_SYMMETRIC;
    for (int a = 0; a < 2; a++) {
        struct cs_local_axis *axis = &v->local->axis[a];
        bool whole = r.length[a] == (double)r.out[a];
        if (r.in[a] == r.out[a])
            continue;
        scale(v->local, a, r.in[a], r.out[a]);
        if (r.coord == CS_COORD_ALIGN_CORNERS || r.coord == CS_COORD_CROP ||
            (r.coord == CS_COORD_HALF_PIXEL_SYMMETRIC && !whole))
            not_local(v->local, true); // positions are counted from the plane's end too
        // Taps around the source coordinate, which lies within a pixel of its place.
        double radius = r.mode == CS_RESIZE_CUBIC ? 2 : r.mode == CS_RESIZE_LINEAR ? 1 : 0;
        if (r.antialias && r.scale[a] < 1)
            radius = ceil(radius / r.scale[a]);
        axis->low = -(int64_t)radius * axis->den - 1;
        axis->high = (int64_t)(radius + 1) * axis->den + axis->num - axis->den;
        bool enlarges = axis->num == 1;
        bool exact = whole && (enlarges || axis->den == 1) && axis->den <= MOST_PHASES;
        if (exact && r.in[a] > 2 * (int64_t)(radius + 1) && v->local->local)
            resize_phases(&r, a, axis);
        else
            v->local->cuttable = false;
        if (r.coord == CS_COORD_PYTORCH_HALF_PIXEL && !enlarges) // one pixel is an exception
            v->local->cuttable = false;
    }
}

static void visit_depth_to_space(struct visit *v)
{
    v->local->axis[0].den = v->local->axis[1].den = cs_node_int(v->node, "blocksize", 1);
}

static void visit_space_to_depth(struct visit *v)
{
    int64_t block = cs_node_int(v->node, "blocksize", 1);
    for (int a = 0; a < 2; a++)
        v->local->axis[a] = (struct cs_local_axis){.num = block, .den = 1, .high = block - 1};
}

// ---- Pads and slices ------------------------------------------------------------------------

static void visit_pad(struct visit *v)
{
    struct cs_pads pads;
    cs_node_pads(v->graph, v->node, &pads, NULL);
    if (pads.mode == CS_PAD_WRAP)
        not_local(v->local, true);
    for (int a = 0; a < 2; a++) {
        struct cs_local_axis *axis = &v->local->axis[a];
        int64_t begin = pads.begin[2 + a], end = pads.end[2 + a];
        axis->low = axis->high = -begin;
        axis->edge = pads.mode == CS_PAD_CONSTANT ? 0 : (begin > end ? begin : end) + 1;
        if (begin < 0 || end < 0)
            v->local->cuttable = false;
    }
}

static void visit_slice(struct visit *v)
{
    struct cs_slice slice;
    cs_node_slice(v->graph, v->node, &slice, NULL);
    for (int a = 0; a < 2; a++) {
        const struct cs_shape *in = &cs_node_input(v->graph, v->node, 0)->shape;
        v->local->axis[a].low = v->local->axis[a].high = slice.start[2 + a];
        if (slice.step[2 + a] != 1)
            not_local(v->local, true);
        if (slice.start[2 + a] != 0 || slice.count[2 + a] != in->dim[2 + a])
            v->local->cuttable = false;
    }
}

// ---- Operators that are local along channels only -------------------------------------------

static bool along_channels(const struct visit *v, int64_t fallback)
{
    int axis = 0;
    return cs_node_axis(v->node, fallback, 4, &axis, NULL) == 0 && axis < 2;
}

static void visit_pointwise(struct visit *v)
{
    v->local->joins = true;
}

static void visit_concat(struct visit *v)
{
    v->local->joins = true;
    if (!along_channels(v, 1))
        not_local(v->local, true);
}

static void visit_split(struct visit *v)
{
    if (!along_channels(v, 0))
        not_local(v->local, true);
}

static void visit_softmax(struct visit *v)
{
    int first, last;
    if (cs_node_softmax(v->graph, v->node, &first, &last, NULL) < 0 || last >= 2)
        not_local(v->local, true);
}

static void visit_reduce(struct visit *v)
{
    struct cs_reduce reduce;
    cs_node_reduce(v->graph, v->node, &reduce, NULL);
    if (reduce.axes[2] || reduce.axes[3] || !reduce.keep)
        not_local(v->local, false);
}

// Repeats along channels are local; their numbers name height and width too.
static void visit_repeat(struct visit *v)
{
    const struct cs_shape *in = &cs_node_input(v->graph, v->node, 0)->shape;
    const struct cs_shape *out = &cs_node_output(v->graph, v->node, 0)->shape;
    if (out->rank != 4 || in->dim[2] != out->dim[2] || in->dim[3] != out->dim[3])
        not_local(v->local, true);
    v->local->cuttable = false;
}

// The position of the greatest channel.
static void visit_arg(struct visit *v)
{
    int axis = 0;
    if (cs_node_axis(v->node, 0, 4, &axis, NULL) < 0 || axis >= 2 ||
        cs_node_int(v->node, "keepdims", 1) == 0)
        not_local(v->local, false);
}

static void visit_norm(struct visit *v)
{
    not_local(v->local, true);
}

static void visit_same(struct visit *v)
{
    (void)v;
}

// ---- The table ------------------------------------------------------------------------------

static const struct {
    const char *ops[20];
    void (*visit)(struct visit *v);
} visits[] = {
    {{"Conv", "MaxPool", "AveragePool", NULL}, visit_window},
    {{"ConvTranspose", NULL}, visit_transposed},
    {{"Resize", "Upsample", NULL}, visit_resize},
    {{"DepthToSpace", NULL}, visit_depth_to_space},
    {{"SpaceToDepth", NULL}, visit_space_to_depth},
    {{"Pad", NULL}, visit_pad},
    {{"Slice", NULL}, visit_slice},
    {{"Concat", NULL}, visit_concat},
    {{"Split", "Gather", NULL}, visit_split},
    {{"Softmax", NULL}, visit_softmax},
    {{"ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum", "ReduceProd", "ReduceL2", NULL},
     visit_reduce},
    {{"ArgMax", "ArgMin", NULL}, visit_arg},
    {{"Expand", "Tile", NULL}, visit_repeat},
    {{"BatchNormalization", NULL}, visit_same},
    {{"InstanceNormalization", "GroupNormalization", NULL}, visit_norm},
    {{"Relu", "LeakyRelu", "Elu",   "Sigmoid", "HardSigmoid", "HardSwish", "Softplus",
      "Tanh", "Erf",       "Gelu",  "Mish",    "Exp",         "Log",       "Sqrt",
      "Abs",  "Neg",       "Floor", "Ceil",    "Clip",        NULL},
     visit_pointwise},
    {{"Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual", "And", "Or", "Xor", "Not", NULL},
     visit_pointwise},
    {{"PRelu", "Add", "Sub", "Mul", "Div", "Pow", "Mod", "Max", "Min", "Sum", "Mean", "Where",
      "Identity", "Dropout", "Cast", "Sign", "Swish", NULL},
     visit_pointwise},
};

struct cs_local cs_node_local(const struct cs_graph *graph, const struct cs_node *node)
{
    const struct cs_local_axis same = {.num = 1, .den = 1};
    struct cs_local local = {.axis = {same, same}, .local = true, .plane = true, .cuttable = true};
    struct visit visit = {graph, node, &local};
    const struct cs_value *first = cs_node_input(graph, node, 0);
    for (size_t i = 0; i < sizeof visits / sizeof *visits; i++) {
        if (!cs_node_is(node, visits[i].ops))
            continue;
        bool joins = visits[i].visit == visit_pointwise || visits[i].visit == visit_concat;
        if (!joins && (!first || first->shape.rank != 4))
            break;
        visits[i].visit(&visit);
        return local;
    }
    not_local(&local, false);
    return local;
}
