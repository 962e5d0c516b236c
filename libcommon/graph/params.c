// SPDX-License-Identifier: MIT
// Resolved parameters of operators that move, reduce or clip; windows and resizing are in
// window.c and resize.c.
#include "graph/params.h"

#include <float.h>
#include <limits.h>
#include <string.h>

int cs_node_const_ints(const struct cs_graph *graph, const struct cs_node *node, int i, int max,
                       int64_t *out, int *count, struct cs_err *err)
{
    const struct cs_value *value = cs_node_input(graph, node, i);
    *count = -1;
    if (!value)
        return 0;
    if (value->type != CS_TYPE_I64 && value->type != CS_TYPE_I32)
        return cs_node_fail(node, err, "input %d must be of integers", i);
    if (!value->data)
        return cs_node_fail(node, err, "input %d depends on the image's pixels", i);
    int64_t elements = cs_shape_elements(&value->shape);
    if (value->shape.rank > 1 || elements > max)
        return cs_node_fail(node, err, "input %d must be a list of at most %d integers", i, max);
    *count = (int)elements;
    for (int k = 0; k < *count; k++)
        out[k] = value->type == CS_TYPE_I64 ? ((const int64_t *)value->data)[k]
                                            : ((const int32_t *)value->data)[k];
    return 0;
}

int cs_node_const_float(const struct cs_graph *graph, const struct cs_node *node, int i,
                        float fallback, float *out, struct cs_err *err)
{
    const struct cs_value *value = cs_node_input(graph, node, i);
    *out = fallback;
    if (!value)
        return 0;
    if (value->type != CS_TYPE_F32 || !value->data || cs_shape_elements(&value->shape) != 1)
        return cs_node_fail(node, err, "input %d must be one constant float32", i);
    *out = *(const float *)value->data;
    return 0;
}

int cs_node_axis(const struct cs_node *node, int64_t fallback, int limit, int *axis,
                 struct cs_err *err)
{
    int64_t given = cs_node_int(node, "axis", fallback);
    if (given < -limit || given >= limit)
        return cs_node_fail(node, err, "axis %lld is outside a rank of %d", (long long)given,
                            limit);
    *axis = (int)(given < 0 ? given + limit : given);
    return 0;
}

int cs_node_axes(const struct cs_graph *graph, const struct cs_node *node, int i, int rank,
                 bool axes[CS_MAX_RANK], bool *given, struct cs_err *err)
{
    int64_t list[CS_MAX_RANK];
    int count = -1;
    const struct cs_attr *attr = cs_node_attr(node, "axes");
    memset(axes, 0, CS_MAX_RANK * sizeof *axes);
    if (attr) {
        if (attr->kind != CS_ATTR_INTS || attr->count > CS_MAX_RANK)
            return cs_node_fail(node, err, "attribute axes must be a short list of integers");
        count = attr->count;
        memcpy(list, attr->ints, (size_t)count * sizeof *list);
    } else if (i >= 0 && cs_node_const_ints(graph, node, i, CS_MAX_RANK, list, &count, err) < 0) {
        return -1;
    }
    *given = count >= 0;
    for (int k = 0; k < count; k++) {
        if (list[k] < -rank || list[k] >= rank)
            return cs_node_fail(node, err, "axis %lld is outside a rank of %d", (long long)list[k],
                                rank);
        int64_t axis = list[k] < 0 ? list[k] + rank : list[k];
        if (axes[axis])
            return cs_node_fail(node, err, "axis %lld is named twice", (long long)list[k]);
        axes[axis] = true;
    }
    return 0;
}

bool cs_shape_broadcast(const struct cs_shape *a, const struct cs_shape *b, struct cs_shape *out)
{
    out->rank = a->rank > b->rank ? a->rank : b->rank;
    for (int i = 1; i <= out->rank; i++) {
        int64_t of_a = i <= a->rank ? a->dim[a->rank - i] : 1;
        int64_t of_b = i <= b->rank ? b->dim[b->rank - i] : 1;
        if (of_a != of_b && of_a != 1 && of_b != 1)
            return false;
        out->dim[out->rank - i] = of_a == 1 ? of_b : of_a;
    }
    return true;
}

// ---- Slice ---------------------------------------------------------------------------------

struct slice_lists {
    int64_t starts[CS_MAX_RANK], ends[CS_MAX_RANK], axes[CS_MAX_RANK], steps[CS_MAX_RANK];
    int start_count, end_count, axis_count, step_count;
};

static int attr_list(const struct cs_node *node, const char *name, int64_t *out, int *count,
                     struct cs_err *err)
{
    const struct cs_attr *attr = cs_node_attr(node, name);
    *count = -1;
    if (!attr)
        return 0;
    if (attr->kind != CS_ATTR_INTS || attr->count > CS_MAX_RANK)
        return cs_node_fail(node, err, "attribute %s must be a short list of integers", name);
    *count = attr->count;
    memcpy(out, attr->ints, (size_t)attr->count * sizeof *out);
    return 0;
}

// Attributes before opset 10, inputs since.
static int slice_lists_get(const struct cs_graph *graph, const struct cs_node *node,
                           struct slice_lists *lists, struct cs_err *err)
{
    lists->step_count = -1;
    if (node->input_count == 1)
        return attr_list(node, "starts", lists->starts, &lists->start_count, err) < 0 ||
                       attr_list(node, "ends", lists->ends, &lists->end_count, err) < 0 ||
                       attr_list(node, "axes", lists->axes, &lists->axis_count, err) < 0
                   ? -1
                   : 0;
    enum { MAX = CS_MAX_RANK };
    return cs_node_const_ints(graph, node, 1, MAX, lists->starts, &lists->start_count, err) < 0 ||
                   cs_node_const_ints(graph, node, 2, MAX, lists->ends, &lists->end_count, err) <
                       0 ||
                   cs_node_const_ints(graph, node, 3, MAX, lists->axes, &lists->axis_count, err) <
                       0 ||
                   cs_node_const_ints(graph, node, 4, MAX, lists->steps, &lists->step_count, err) <
                       0
               ? -1
               : 0;
}

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

// One axis by ONNX's rules: negative counts from the end, then everything is clamped, the step too:
// one that leads past the axis may be of any size.
static void slice_axis(struct cs_slice *slice, int axis, int64_t size, int64_t start, int64_t end,
                       int64_t step)
{
    slice->start[axis] = 0;
    slice->step[axis] = 1;
    slice->count[axis] = 0;
    if (size == 0)
        return;
    step = clamp(step, -size, size);
    slice->step[axis] = step;
    if (start < 0)
        start = start < -size ? -1 : start + size;
    if (end < 0)
        end = end < -size ? -1 : end + size;
    if (step > 0) {
        start = clamp(start, 0, size);
        end = clamp(end, 0, size);
        slice->count[axis] = end > start ? (end - start - 1) / step + 1 : 0;
    } else {
        start = clamp(start, 0, size - 1);
        end = clamp(end, -1, size - 1);
        slice->count[axis] = start > end ? (start - end - 1) / -step + 1 : 0;
    }
    slice->start[axis] = start;
}

int cs_node_slice(const struct cs_graph *graph, const struct cs_node *node, struct cs_slice *slice,
                  struct cs_err *err)
{
    const struct cs_shape *shape = &cs_node_input(graph, node, 0)->shape;
    struct slice_lists lists;
    if (slice_lists_get(graph, node, &lists, err) < 0)
        return -1;
    if (lists.start_count < 0 || lists.end_count != lists.start_count ||
        (lists.axis_count >= 0 && lists.axis_count != lists.start_count) ||
        (lists.step_count >= 0 && lists.step_count != lists.start_count) ||
        lists.start_count > shape->rank)
        return cs_node_fail(node, err, "starts, ends, axes and steps do not fit together");
    for (int i = 0; i < shape->rank; i++) {
        slice->start[i] = 0;
        slice->step[i] = 1;
        slice->count[i] = shape->dim[i];
    }
    bool seen[CS_MAX_RANK] = {false};
    for (int k = 0; k < lists.start_count; k++) {
        int64_t axis = lists.axis_count >= 0 ? lists.axes[k] : k;
        int64_t step = lists.step_count >= 0 ? lists.steps[k] : 1;
        axis = axis < 0 ? axis + shape->rank : axis;
        if (axis < 0 || axis >= shape->rank || seen[axis])
            return cs_node_fail(node, err, "an axis is outside the rank or named twice");
        if (step == 0 || step < -INT32_MAX)
            return cs_node_fail(node, err, "step %lld is not possible", (long long)step);
        seen[axis] = true;
        slice_axis(slice, (int)axis, shape->dim[axis], lists.starts[k], lists.ends[k], step);
    }
    return 0;
}

// ---- Pad, Transpose ------------------------------------------------------------------------

static int pad_mode(const struct cs_node *node, enum cs_pad_mode *mode, struct cs_err *err)
{
    static const char *const names[] = {"constant", "reflect", "edge", "wrap"};
    const char *given = cs_node_string(node, "mode", "constant");
    for (int i = 0; i < 4; i++)
        if (strcmp(given, names[i]) == 0) {
            *mode = (enum cs_pad_mode)i;
            return 0;
        }
    return cs_node_fail(node, err, "mode \"%.40s\" is not supported", given);
}

static int pad_value(const struct cs_graph *graph, const struct cs_node *node, struct cs_pads *pads,
                     struct cs_err *err)
{
    const struct cs_value *value = cs_node_input(graph, node, 2);
    if (!value)
        return 0;
    if (cs_shape_elements(&value->shape) != 1 || value->type != cs_node_input(graph, node, 0)->type)
        return cs_node_fail(node, err, "the value must be one %s",
                            cs_type_name(cs_node_input(graph, node, 0)->type));
    if (value->type == CS_TYPE_F32 && value->data)
        pads->value = *(const float *)value->data;
    else
        pads->value_input = 2;
    return 0;
}

// The flat list of pads (begins, then ends) and the axes that it speaks of.
static int pad_list(const struct cs_graph *graph, const struct cs_node *node, int rank,
                    int64_t list[2 * CS_MAX_RANK], int64_t axes[CS_MAX_RANK], int *axis_count,
                    struct cs_pads *pads, struct cs_err *err)
{
    int count = -1;
    *axis_count = -1;
    if (graph->opset < 11) {
        const struct cs_attr *attr = cs_node_attr(node, "pads");
        count = attr && attr->kind == CS_ATTR_INTS ? attr->count : -1;
        if (count > 2 * rank)
            return cs_node_fail(node, err, "more pads than axes");
        if (count > 0)
            memcpy(list, attr->ints, (size_t)count * sizeof *list);
        pads->value = cs_node_float(node, "value", 0);
    } else if (cs_node_const_ints(graph, node, 1, 2 * CS_MAX_RANK, list, &count, err) < 0 ||
               pad_value(graph, node, pads, err) < 0 ||
               cs_node_const_ints(graph, node, 3, CS_MAX_RANK, axes, axis_count, err) < 0) {
        return -1;
    }
    int expected = *axis_count >= 0 ? *axis_count : rank;
    if (count != 2 * expected)
        return cs_node_fail(node, err, "%d pads for %d axes", count, expected);
    return 0;
}

int cs_node_pads(const struct cs_graph *graph, const struct cs_node *node, struct cs_pads *pads,
                 struct cs_err *err)
{
    const struct cs_shape *shape = &cs_node_input(graph, node, 0)->shape;
    int64_t list[2 * CS_MAX_RANK], axes[CS_MAX_RANK];
    int axis_count;
    *pads = (struct cs_pads){.value_input = -1};
    if (pad_mode(node, &pads->mode, err) < 0 ||
        pad_list(graph, node, shape->rank, list, axes, &axis_count, pads, err) < 0)
        return -1;
    int count = axis_count >= 0 ? axis_count : shape->rank;
    for (int k = 0; k < count; k++) {
        int64_t axis = axis_count >= 0 ? axes[k] : k;
        axis = axis < 0 ? axis + shape->rank : axis;
        if (axis < 0 || axis >= shape->rank)
            return cs_node_fail(node, err, "an axis is outside the rank");
        int64_t begin = list[k], end = list[count + k], size = shape->dim[axis];
        int64_t most = pads->mode == CS_PAD_CONSTANT  ? INT32_MAX
                       : size == 0                    ? 0
                       : pads->mode == CS_PAD_REFLECT ? size - 1
                       : pads->mode == CS_PAD_WRAP    ? size
                                                      : INT32_MAX;
        int64_t least = pads->mode == CS_PAD_CONSTANT ? -size : 0;
        if (begin < least || end < least || begin > most || end > most || begin + end < -size)
            return cs_node_fail(node, err, "pads %lld and %lld do not fit %lld samples",
                                (long long)begin, (long long)end, (long long)size);
        pads->begin[axis] = begin;
        pads->end[axis] = end;
    }
    return 0;
}

int cs_node_perm(const struct cs_graph *graph, const struct cs_node *node, int perm[CS_MAX_RANK],
                 struct cs_err *err)
{
    int rank = cs_node_input(graph, node, 0)->shape.rank;
    const struct cs_attr *attr = cs_node_attr(node, "perm");
    bool seen[CS_MAX_RANK] = {false};
    if (attr && (attr->kind != CS_ATTR_INTS || attr->count != rank))
        return cs_node_fail(node, err, "perm must name all %d axes", rank);
    for (int i = 0; i < rank; i++) {
        int64_t axis = attr ? attr->ints[i] : rank - 1 - i;
        if (axis < 0 || axis >= rank || seen[axis])
            return cs_node_fail(node, err, "perm is no permutation");
        seen[axis] = true;
        perm[i] = (int)axis;
    }
    return 0;
}

// ---- Others --------------------------------------------------------------------------------

int cs_node_reduce(const struct cs_graph *graph, const struct cs_node *node,
                   struct cs_reduce *reduce, struct cs_err *err)
{
    int rank = cs_node_input(graph, node, 0)->shape.rank, named = 0;
    bool given;
    if (cs_node_axes(graph, node, 1, rank, reduce->axes, &given, err) < 0)
        return -1;
    for (int i = 0; i < rank; i++)
        named += reduce->axes[i];
    if (named == 0 && cs_node_int(node, "noop_with_empty_axes", 0) == 0)
        memset(reduce->axes, true, (size_t)rank * sizeof *reduce->axes);
    reduce->keep = cs_node_int(node, "keepdims", 1) != 0;
    return 0;
}

int cs_node_clip(const struct cs_graph *graph, const struct cs_node *node, float *low, float *high,
                 struct cs_err *err)
{
    if (graph->opset < 11) {
        *low = cs_node_float(node, "min", -FLT_MAX);
        *high = cs_node_float(node, "max", FLT_MAX);
        return 0;
    }
    return cs_node_const_float(graph, node, 1, -FLT_MAX, low, err) < 0 ||
                   cs_node_const_float(graph, node, 2, FLT_MAX, high, err) < 0
               ? -1
               : 0;
}

int cs_node_softmax(const struct cs_graph *graph, const struct cs_node *node, int *first, int *last,
                    struct cs_err *err)
{
    int rank = cs_node_input(graph, node, 0)->shape.rank;
    if (cs_node_axis(node, graph->opset < 13 ? 1 : -1, rank, first, err) < 0)
        return -1;
    *last = graph->opset < 13 ? rank - 1 : *first;
    return 0;
}
