// SPDX-License-Identifier: MIT
// Operators that only move elements: most are copies between tensors whose strides are chosen here.
#include <string.h>

#include "backend/cuda/call.h"
#include "backend/order.h"

// ---- Help ----------------------------------------------------------------------------------

// The part of a tensor from `first` on along an axis.
static struct cs_cuda_tensor part_of(const struct cs_cuda_tensor *whole, int axis, int64_t first,
                                     int64_t count)
{
    struct cs_cuda_tensor part = *whole;
    part.data = (char *)whole->data +
                first * whole->stride[axis] * (int64_t)cs_cuda_type_bytes(whole->type);
    part.dim[axis] = count;
    return part;
}

static struct cs_shape shape_of(const struct cs_cuda_tensor *tensor)
{
    struct cs_shape shape = {.rank = tensor->rank};
    memcpy(shape.dim, tensor->dim, sizeof shape.dim);
    return shape;
}

static int build_first(struct cs_plan *plan, const struct cs_node *node, cs_cuda_step_run *run,
                       struct cs_err *err)
{
    return cs_cuda_build_call(plan, node, (struct cs_cuda_inputs){.unread = ~1ULL}, run, err);
}

static int build_all(struct cs_plan *plan, const struct cs_node *node, cs_cuda_step_run *run,
                     struct cs_err *err)
{
    return cs_cuda_build_call(plan, node, (struct cs_cuda_inputs){0}, run, err);
}

// ---- Shapes --------------------------------------------------------------------------------

// Axes that both shapes can be cut into make it a copy.
static int run_reshape(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                       struct cs_err *err)
{
    struct cs_cuda_tensor from = cs_cuda_in(step, run, 0), to = cs_cuda_out(step, run, 0);
    struct cs_cuda_tensor a = from, b = to;
    struct cs_shape in = shape_of(&from), out = shape_of(&to), common;
    (void)err;
    if (!to.data || to.data == from.data) // a view
        return 0;
    if (!cs_common_factors(&in, from.stride, &out, to.stride, &common, a.stride, b.stride))
        return cs_cuda_reshape(run->stream, &from, &to);
    a.rank = b.rank = common.rank;
    memcpy(a.dim, common.dim, sizeof a.dim);
    memcpy(b.dim, common.dim, sizeof b.dim);
    return cs_cuda_copy(run->stream, &a, &b);
}

static int build_reshape(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    return build_first(plan, node, run_reshape, err);
}

static int run_transpose(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                         struct cs_err *err)
{
    const struct cs_cuda_call *call = cs_cuda_call_of(step);
    struct cs_cuda_tensor in = cs_cuda_in(step, run, 0), out = cs_cuda_out(step, run, 0);
    struct cs_cuda_tensor turned = in;
    int perm[CS_MAX_RANK];
    if (!out.data || out.data == in.data)
        return 0;
    if (cs_node_perm(call->graph, call->node, perm, err) < 0)
        return -1;
    for (int d = 0; d < in.rank; d++) {
        turned.dim[d] = in.dim[perm[d]];
        turned.stride[d] = in.stride[perm[d]];
    }
    return cs_cuda_copy(run->stream, &turned, &out);
}

static int build_transpose(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    return build_first(plan, node, run_transpose, err);
}

// Also of a tensor whose axes are repeated.
static int run_expand(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                      struct cs_err *err)
{
    struct cs_cuda_tensor in = cs_cuda_in(step, run, 0), out = cs_cuda_out(step, run, 0);
    (void)err;
    return out.data ? cs_cuda_copy(run->stream, &in, &out) : 0;
}

static int build_expand(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    return build_first(plan, node, run_expand, err);
}

// ---- Parts ---------------------------------------------------------------------------------

// Parts that were made where they belong need no copy.
static int run_concat(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                      struct cs_err *err)
{
    struct cs_cuda_tensor out = cs_cuda_out(step, run, 0);
    int axis, failed = 0;
    int64_t first = 0;
    if (cs_node_axis(step->node, 1, out.rank, &axis, err) < 0)
        return -1;
    for (int i = 0; out.data && i < step->node->input_count && !failed; i++) {
        struct cs_cuda_tensor in = cs_cuda_in(step, run, i);
        struct cs_cuda_tensor part = part_of(&out, axis, first, in.dim[axis]);
        if (in.data && in.data != part.data)
            failed = cs_cuda_copy(run->stream, &in, &part);
        first += cs_cuda_call_of(step)->graph->values[step->node->inputs[i]].shape.dim[axis];
    }
    return failed;
}

static int build_concat(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    return build_all(plan, node, run_concat, err);
}

static int run_split(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                     struct cs_err *err)
{
    struct cs_cuda_tensor in = cs_cuda_in(step, run, 0);
    int axis, failed = 0;
    int64_t first = 0;
    if (cs_node_axis(step->node, 0, in.rank, &axis, err) < 0)
        return -1;
    for (int i = 0; i < step->node->output_count && !failed; i++) {
        const struct cs_graph *graph = cs_cuda_call_of(step)->graph;
        struct cs_cuda_tensor out = cs_cuda_out(step, run, i);
        int64_t count = graph->values[step->node->outputs[i]].shape.dim[axis];
        struct cs_cuda_tensor part = part_of(&in, axis, first, count);
        if (out.data)
            failed = cs_cuda_copy(run->stream, &part, &out);
        first += count;
    }
    return failed;
}

static int build_split(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    return build_first(plan, node, run_split, err);
}

static int run_slice(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                     struct cs_err *err)
{
    const struct cs_cuda_call *call = cs_cuda_call_of(step);
    struct cs_cuda_tensor part = cs_cuda_in(step, run, 0), out = cs_cuda_out(step, run, 0);
    struct cs_slice slice;
    if (!out.data)
        return 0;
    if (cs_node_slice(call->graph, call->node, &slice, err) < 0)
        return -1;
    for (int d = 0; d < part.rank; d++) {
        part = part_of(&part, d, slice.start[d], slice.count[d]);
        part.stride[d] *= slice.step[d];
    }
    return cs_cuda_copy(run->stream, &part, &out);
}

static int build_slice(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    return build_first(plan, node, run_slice, err);
}

// ---- Pad, Tile -----------------------------------------------------------------------------

static int run_pad(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                   struct cs_err *err)
{
    static const enum cs_cuda_pad_mode modes[] = {[CS_PAD_CONSTANT] = CS_CUDA_PAD_CONSTANT,
                                                  [CS_PAD_REFLECT] = CS_CUDA_PAD_REFLECT,
                                                  [CS_PAD_EDGE] = CS_CUDA_PAD_EDGE,
                                                  [CS_PAD_WRAP] = CS_CUDA_PAD_WRAP};
    const struct cs_cuda_call *call = cs_cuda_call_of(step);
    struct cs_cuda_pad pad = {.in = cs_cuda_in(step, run, 0), .out = cs_cuda_out(step, run, 0)};
    struct cs_pads pads;
    if (!pad.out.data)
        return 0;
    if (cs_node_pads(call->graph, call->node, &pads, err) < 0)
        return -1;
    pad.mode = modes[pads.mode];
    pad.number = pads.value;
    if (pads.value_input >= 0)
        pad.value = cs_cuda_in(step, run, pads.value_input);
    memcpy(pad.begin, pads.begin, sizeof pad.begin);
    // An empty input has no memory: all is padding.
    memcpy(pad.in.dim, cs_node_input(call->graph, call->node, 0)->shape.dim, sizeof pad.in.dim);
    return cs_cuda_pad_launch(run->stream, &pad);
}

// Input 1 are the pads, input 3 the axes.
static int build_pad(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    return cs_cuda_build_call(plan, node, (struct cs_cuda_inputs){.unread = 2 | 8}, run_pad, err);
}

static int run_tile(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                    struct cs_err *err)
{
    struct cs_cuda_pad pad = {
        .in = cs_cuda_in(step, run, 0), .out = cs_cuda_out(step, run, 0), .mode = CS_CUDA_PAD_WRAP};
    (void)err;
    return pad.out.data ? cs_cuda_pad_launch(run->stream, &pad) : 0;
}

static int build_tile(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    return build_first(plan, node, run_tile, err);
}

// ---- Blocks --------------------------------------------------------------------------------

// Both sides as n, c, h, block row, w, block column. Deep channels are (b, b, C) in mode DCR, (C,
// b, b) in mode CRD.
static int run_blocks(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                      struct cs_err *err)
{
    bool to_space = strcmp(step->node->op, "DepthToSpace") == 0;
    bool crd = strcmp(cs_node_string(step->node, "mode", "DCR"), "CRD") == 0;
    struct cs_cuda_tensor in = cs_cuda_in(step, run, 0), out = cs_cuda_out(step, run, 0);
    struct cs_cuda_tensor deep = to_space ? in : out, wide = to_space ? out : in;
    int64_t block = cs_node_int(step->node, "blocksize", 1), channels = wide.dim[1];
    (void)err;
    if (!out.data)
        return 0;
    const int64_t *d = deep.stride, *w = wide.stride;
    const int64_t dims[6] = {deep.dim[0], channels, deep.dim[2], block, deep.dim[3], block};
    const int64_t in_deep[6] = {d[0], crd ? block * block * d[1] : d[1],
                                d[2], crd ? block * d[1] : block * channels * d[1],
                                d[3], crd ? d[1] : channels * d[1]};
    const int64_t in_wide[6] = {w[0], w[1], block * w[2], w[2], block * w[3], w[3]};
    deep.rank = wide.rank = 6;
    memcpy(deep.dim, dims, sizeof dims);
    memcpy(wide.dim, dims, sizeof dims);
    memcpy(deep.stride, in_deep, sizeof in_deep);
    memcpy(wide.stride, in_wide, sizeof in_wide);
    return cs_cuda_copy(run->stream, to_space ? &deep : &wide, to_space ? &wide : &deep);
}

static int build_blocks(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    return build_first(plan, node, run_blocks, err);
}

// ---- Choice by index -----------------------------------------------------------------------

// Output axes: the input's before `axis`, the indices', the input's behind it.
static int run_gather(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                      struct cs_err *err)
{
    struct cs_cuda_gather g = {.in = cs_cuda_in(step, run, 0),
                               .indices = cs_cuda_in(step, run, 1),
                               .out = cs_cuda_out(step, run, 0),
                               .depth = 1,
                               .fault = run->fault};
    int axis;
    if (!g.out.data)
        return 0;
    if (cs_node_axis(step->node, 0, g.in.rank, &axis, err) < 0)
        return -1;
    for (int d = 0; d < g.out.rank; d++) {
        int index = d - axis;
        if (d < axis)
            g.in_stride[d] = g.in.stride[d];
        else if (index < g.indices.rank)
            g.index_stride[d] = g.indices.stride[index];
        else
            g.in_stride[d] = g.in.stride[d - g.indices.rank + 1];
    }
    g.axis_stride[0] = g.in.stride[axis];
    g.axis_size[0] = g.in.dim[axis];
    return cs_cuda_gather_launch(run->stream, &g);
}

static int build_gather(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    return build_all(plan, node, run_gather, err);
}

// Output axes: those of the tuples, the first of which the input shares, then those of a slice.
static int run_gather_nd(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                         struct cs_err *err)
{
    struct cs_cuda_gather g = {.in = cs_cuda_in(step, run, 0),
                               .indices = cs_cuda_in(step, run, 1),
                               .out = cs_cuda_out(step, run, 0),
                               .tuple_stride = 1,
                               .fault = run->fault};
    int batch = (int)cs_node_int(step->node, "batch_dims", 0), tuples = g.indices.rank - 1;
    (void)err;
    if (!g.out.data)
        return 0;
    g.depth = (int)g.indices.dim[tuples];
    for (int d = 0; d < g.out.rank; d++) {
        if (d < tuples)
            g.index_stride[d] = g.indices.stride[d];
        g.in_stride[d] = d < batch    ? g.in.stride[d]
                         : d < tuples ? 0
                                      : g.in.stride[batch + g.depth + d - tuples];
    }
    for (int k = 0; k < g.depth; k++) {
        g.axis_stride[k] = g.in.stride[batch + k];
        g.axis_size[k] = g.in.dim[batch + k];
    }
    return cs_cuda_gather_launch(run->stream, &g);
}

static int build_gather_nd(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    return build_all(plan, node, run_gather_nd, err);
}

static int run_scatter_nd(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                          struct cs_err *err)
{
    struct cs_cuda_tensor in = cs_cuda_in(step, run, 0);
    struct cs_cuda_scatter s = {.out = cs_cuda_out(step, run, 0),
                                .indices = cs_cuda_in(step, run, 1),
                                .updates = cs_cuda_in(step, run, 2),
                                .fault = run->fault};
    (void)err;
    if (!s.out.data)
        return 0;
    int failed = cs_cuda_copy(run->stream, &in, &s.out);
    if (failed || !s.updates.data)
        return failed;
    s.depth = (int)s.indices.dim[s.indices.rank - 1];
    return cs_cuda_scatter_launch(run->stream, &s);
}

static int build_scatter_nd(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    return build_all(plan, node, run_scatter_nd, err);
}

const struct cs_cuda_op cs_cuda_move_ops[] = {
    {"Reshape", build_reshape, NULL, false},
    {"Flatten", build_reshape, NULL, false},
    {"Squeeze", build_reshape, NULL, false},
    {"Unsqueeze", build_reshape, NULL, false},
    {"Transpose", build_transpose, NULL, false},
    {"Expand", build_expand, NULL, false},
    {"Concat", build_concat, NULL, false},
    {"Split", build_split, NULL, false},
    {"Slice", build_slice, NULL, false},
    {"Pad", build_pad, NULL, false},
    {"Tile", build_tile, NULL, false},
    {"DepthToSpace", build_blocks, NULL, false},
    {"SpaceToDepth", build_blocks, NULL, false},
    {"Gather", build_gather, NULL, false},
    {"GatherND", build_gather_nd, NULL, false},
    {"ScatterND", build_scatter_nd, NULL, false},
    {NULL, NULL, NULL, false},
};
