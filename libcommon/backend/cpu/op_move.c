// SPDX-License-Identifier: MIT
// Operators that only move values: each is one or more strided copies.
//
// Reshape counts elements in ONNX's order on both sides. Both shapes are cut into their common
// factors, (4,6) and (8,3) having none: then the copy goes element by element.
#include <stdio.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "backend/order.h"
#include "graph/params.h"

struct move {
    struct cs_cpu_place src, dst;
    int64_t src_offset, dst_offset;
    struct cs_nd nd;
};

static int run_move(const struct cs_cpu_step *step, const struct cs_cpu_run *run,
                    struct cs_err *err)
{
    (void)err;
    const struct move *move = step->params;
    float *base[] = {cs_cpu_at(run, move->dst) + move->dst_offset,
                     cs_cpu_at(run, move->src) + move->src_offset};
    cs_nd_copy(&move->nd, base);
    return 0;
}

// Whether both lie at the same place already (share.c).
static bool is_view(const struct cs_plan *plan, int from, int to)
{
    return !plan->graph->values[from].data && plan->memory.offset[from] == plan->memory.offset[to];
}

// A copy of a box of `shape`: strides and offsets of both sides given, in the same order.
static void add_move(struct cs_plan *plan, const struct cs_node *node, int from, int to,
                     const struct cs_shape *shape, const int64_t *dst_stride, int64_t dst_offset,
                     const int64_t *src_stride, int64_t src_offset)
{
    if (cs_shape_elements(shape) == 0 || is_view(plan, from, to))
        return;
    struct move *move = cs_cpu_params(plan, sizeof *move);
    move->src = cs_cpu_place_of(plan, from);
    move->dst = cs_cpu_place_of(plan, to);
    move->src_offset = src_offset;
    move->dst_offset = dst_offset;
    cs_nd_init(&move->nd, shape);
    cs_nd_add(&move->nd, dst_stride);
    cs_nd_add(&move->nd, src_stride);
    cs_nd_simplify(&move->nd);
    cs_cpu_add_step(plan, node, run_move, move);
}

static const struct cs_shape *shape_of(const struct cs_plan *plan, int value)
{
    return &plan->graph->values[value].shape;
}

static int build_concat(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    int axis, out = node->outputs[0];
    int64_t dst[CS_MAX_RANK], src[CS_MAX_RANK], at = 0;
    if (cs_node_axis(node, 1, shape_of(plan, out)->rank, &axis, err) != 0)
        return -1;
    if (plan->late[out].joined) // its readers read the parts
        return 0;
    cs_cpu_strides_of(plan, out, dst);
    for (int i = 0; i < node->input_count; i++) {
        const struct cs_shape *shape = shape_of(plan, node->inputs[i]);
        cs_cpu_strides_of(plan, node->inputs[i], src);
        add_move(plan, node, node->inputs[i], out, shape, dst, at * dst[axis], src, 0);
        at += shape->dim[axis];
    }
    return 0;
}

static int build_split(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    int axis, in = node->inputs[0];
    int64_t dst[CS_MAX_RANK], src[CS_MAX_RANK], at = 0;
    if (cs_node_axis(node, 0, shape_of(plan, in)->rank, &axis, err) != 0)
        return -1;
    cs_cpu_strides_of(plan, in, src);
    for (int i = 0; i < node->output_count; i++) {
        const struct cs_shape *shape = shape_of(plan, node->outputs[i]);
        cs_cpu_strides_of(plan, node->outputs[i], dst);
        if (plan->graph->values[node->outputs[i]].uses > 0)
            add_move(plan, node, in, node->outputs[i], shape, dst, 0, src, at * src[axis]);
        at += shape->dim[axis];
    }
    return 0;
}

static int build_slice(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    int in = node->inputs[0], out = node->outputs[0];
    int64_t dst[CS_MAX_RANK], src[CS_MAX_RANK], offset = 0;
    struct cs_slice slice;
    if (cs_node_slice(plan->graph, node, &slice, err) != 0)
        return -1;
    cs_cpu_strides_of(plan, in, src);
    cs_cpu_strides_of(plan, out, dst);
    for (int d = 0; d < shape_of(plan, in)->rank; d++) {
        offset += slice.start[d] * src[d];
        src[d] *= slice.step[d];
    }
    add_move(plan, node, in, out, shape_of(plan, out), dst, 0, src, offset);
    return 0;
}

static int build_transpose(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    int in = node->inputs[0], out = node->outputs[0], perm[CS_MAX_RANK];
    int64_t dst[CS_MAX_RANK], src[CS_MAX_RANK], permuted[CS_MAX_RANK];
    if (cs_node_perm(plan->graph, node, perm, err) != 0)
        return -1;
    cs_cpu_strides_of(plan, in, src);
    cs_cpu_strides_of(plan, out, dst);
    for (int d = 0; d < shape_of(plan, in)->rank; d++)
        permuted[d] = src[perm[d]];
    add_move(plan, node, in, out, shape_of(plan, out), dst, 0, permuted, 0);
    return 0;
}

static int build_expand(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    (void)err;
    int in = node->inputs[0], out = node->outputs[0];
    const struct cs_shape *from = shape_of(plan, in), *to = shape_of(plan, out);
    int64_t dst[CS_MAX_RANK], src[CS_MAX_RANK], wide[CS_MAX_RANK];
    cs_cpu_strides_of(plan, in, src);
    cs_cpu_strides_of(plan, out, dst);
    int lead = to->rank - from->rank;
    for (int d = 0; d < to->rank; d++)
        wide[d] = d < lead || from->dim[d - lead] == 1 ? 0 : src[d - lead];
    add_move(plan, node, in, out, to, dst, 0, wide, 0);
    return 0;
}

// One index, or few: a copy each.
static bool gather_supports(const struct cs_graph *graph, const struct cs_node *node, char *why,
                            size_t why_size)
{
    const struct cs_value *indices = cs_node_input(graph, node, 1);
    if (indices->type == CS_TYPE_I64 && indices->data && cs_shape_elements(&indices->shape) <= 64)
        return true;
    snprintf(why, why_size, "indices are many or computed");
    return false;
}

static int build_gather(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    int in = node->inputs[0], out = node->outputs[0], axis;
    const struct cs_value *indices = cs_node_input(plan->graph, node, 1);
    const int64_t *index = indices->data;
    int64_t dst[CS_MAX_RANK], src[CS_MAX_RANK], place[CS_MAX_RANK];
    struct cs_shape slab = *shape_of(plan, in);
    if (cs_node_axis(node, 0, slab.rank, &axis, err) != 0)
        return -1;
    int64_t size = slab.dim[axis];
    cs_cpu_strides_of(plan, in, src);
    cs_cpu_strides_of(plan, out, dst);
    slab.dim[axis] = 1;
    // The output's axes are the input's before the axis, those of the indices, and the input's
    // rest.
    for (int d = 0; d < slab.rank; d++)
        place[d] = d == axis ? 0 : dst[d < axis ? d : d - 1 + indices->shape.rank];
    for (int64_t i = 0; i < cs_shape_elements(&indices->shape); i++) {
        int64_t from = index[i] < 0 ? index[i] + size : index[i];
        int64_t to = cs_nd_place(&indices->shape, dst + axis, i);
        add_move(plan, node, in, out, &slab, place, to, src, from * src[axis]);
    }
    return 0;
}

// ---- Reshape -----------------------------------------------------------------------------

struct reshape {
    struct cs_cpu_place src, dst;
    struct cs_shape from, to;
    int64_t src_stride[CS_MAX_RANK], dst_stride[CS_MAX_RANK], count;
};

static int run_reshape(const struct cs_cpu_step *step, const struct cs_cpu_run *run,
                       struct cs_err *err)
{
    (void)err;
    const struct reshape *r = step->params;
    const float *src = cs_cpu_at(run, r->src);
    float *dst = cs_cpu_at(run, r->dst);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < r->count; i++)
        dst[cs_nd_place(&r->to, r->dst_stride, i)] = src[cs_nd_place(&r->from, r->src_stride, i)];
    return 0;
}

static int build_reshape(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    (void)err;
    int in = node->inputs[0], out = node->outputs[0];
    const struct cs_shape *from = shape_of(plan, in), *to = shape_of(plan, out);
    int64_t src[CS_MAX_RANK], dst[CS_MAX_RANK], a[CS_MAX_RANK], b[CS_MAX_RANK];
    struct cs_shape common;
    cs_cpu_strides_of(plan, in, src);
    cs_cpu_strides_of(plan, out, dst);
    if (cs_common_factors(from, src, to, dst, &common, a, b)) {
        add_move(plan, node, in, out, &common, b, 0, a, 0);
        return 0;
    }
    struct reshape *reshape = cs_cpu_params(plan, sizeof *reshape);
    *reshape = (struct reshape){.src = cs_cpu_place_of(plan, in),
                                .dst = cs_cpu_place_of(plan, out),
                                .from = *from,
                                .to = *to,
                                .count = cs_shape_elements(to)};
    memcpy(reshape->src_stride, src, sizeof src);
    memcpy(reshape->dst_stride, dst, sizeof dst);
    cs_cpu_add_step(plan, node, run_reshape, reshape);
    return 0;
}

// ---- Depth and space ---------------------------------------------------------------------

// Both directions: the image with blocks is (N, C, H * b, W * b), the other (N, C * b * b, H, W).
static int build_depth_space(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    (void)err;
    bool to_space = strcmp(node->op, "DepthToSpace") == 0;
    bool crd = strcmp(cs_node_string(node, "mode", "DCR"), "CRD") == 0;
    int in = node->inputs[0], out = node->outputs[0];
    int deep = to_space ? in : out, wide = to_space ? out : in;
    int64_t b = cs_node_int(node, "blocksize", 1), d[CS_MAX_RANK], w[CS_MAX_RANK];
    const struct cs_shape *shape = shape_of(plan, deep);
    int64_t channels = shape->dim[1] / (b * b);
    cs_cpu_strides_of(plan, deep, d);
    cs_cpu_strides_of(plan, wide, w);
    const struct cs_shape box = {6, {shape->dim[0], channels, shape->dim[2], b, shape->dim[3], b}};
    const int64_t wide_stride[] = {w[0], w[1], w[2] * b, w[2], w[3] * b, w[3]};
    int64_t deep_stride[] = {d[0], d[1], d[2], d[1] * b * channels, d[3], d[1] * channels};
    if (crd) {
        deep_stride[1] = d[1] * b * b;
        deep_stride[3] = d[1] * b;
        deep_stride[5] = d[1];
    }
    add_move(plan, node, in, out, &box, to_space ? wide_stride : deep_stride, 0,
             to_space ? deep_stride : wide_stride, 0);
    return 0;
}

const struct cs_cpu_op cs_cpu_move_ops[] = {
    {"Concat", build_concat, NULL, false, CS_CPU_OVERWRITES_NOTHING},
    {"Split", build_split, NULL, false, CS_CPU_OVERWRITES_NOTHING},
    {"Slice", build_slice, NULL, false, CS_CPU_OVERWRITES_NOTHING},
    {"Transpose", build_transpose, NULL, false, CS_CPU_VIEWS},
    {"Expand", build_expand, NULL, false, CS_CPU_OVERWRITES_NOTHING},
    {"Reshape", build_reshape, NULL, false, CS_CPU_VIEWS},
    {"Flatten", build_reshape, NULL, false, CS_CPU_VIEWS},
    {"Squeeze", build_reshape, NULL, false, CS_CPU_VIEWS},
    {"Unsqueeze", build_reshape, NULL, false, CS_CPU_VIEWS},
    {"DepthToSpace", build_depth_space, NULL, false, CS_CPU_OVERWRITES_NOTHING},
    {"SpaceToDepth", build_depth_space, NULL, false, CS_CPU_OVERWRITES_NOTHING},
    {"Gather", build_gather, gather_supports, false, CS_CPU_OVERWRITES_NOTHING},
    {0},
};
