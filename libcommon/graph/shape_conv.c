// SPDX-License-Identifier: MIT
// Shapes of operators over N, C and axes of space: convolutions, pools, resizing, normalisation.
#include "graph/infer.h"

static struct cs_shape space_shape(int64_t n, int64_t c, int space, const int64_t *sizes)
{
    struct cs_shape shape = {2 + space, {n, c}};
    for (int i = 0; i < space; i++)
        shape.dim[2 + i] = sizes[i];
    return shape;
}

static int weights_are_float(struct cs_infer *at)
{
    if (cs_infer_input(at, 1)->type != CS_TYPE_F32)
        return cs_node_fail(at->node, at->err, "weights must be float32");
    return 0;
}

int cs_infer_conv(struct cs_infer *at)
{
    struct cs_window window;
    if (cs_node_window(at->graph, at->node, &window, at->err) < 0 || weights_are_float(at) < 0)
        return -1;
    const struct cs_shape *in = &cs_infer_input(at, 0)->shape;
    const struct cs_shape *weight = &cs_infer_input(at, 1)->shape; // (out, in / group, kh, kw)
    int64_t group = window.group;
    if (in->dim[1] % group != 0 || weight->dim[0] % group != 0 ||
        in->dim[1] / group != weight->dim[1] || weight->dim[0] < 1)
        return cs_node_fail(at->node, at->err,
                            "%lld channels do not fit weights of %lldx%lld in %lld groups",
                            (long long)in->dim[1], (long long)weight->dim[0],
                            (long long)weight->dim[1], (long long)group);
    if (cs_infer_vector(at, 2, weight->dim[0], "the bias") < 0)
        return -1;
    struct cs_shape out = space_shape(in->dim[0], weight->dim[0], window.space, window.out);
    cs_infer_set(at, 0, CS_TYPE_F32, &out);
    return 0;
}

int cs_infer_conv_transpose(struct cs_infer *at)
{
    struct cs_window window;
    if (cs_node_window(at->graph, at->node, &window, at->err) < 0 || weights_are_float(at) < 0)
        return -1;
    const struct cs_shape *in = &cs_infer_input(at, 0)->shape;
    const struct cs_shape *weight = &cs_infer_input(at, 1)->shape; // (in, out / group, kh, kw)
    if (in->dim[1] != weight->dim[0] || in->dim[1] % window.group != 0 || weight->dim[1] < 1)
        return cs_node_fail(at->node, at->err, "%lld channels do not fit weights of %lldx%lld",
                            (long long)in->dim[1], (long long)weight->dim[0],
                            (long long)weight->dim[1]);
    int64_t channels;
    if (__builtin_mul_overflow(weight->dim[1], window.group, &channels))
        return cs_node_fail(at->node, at->err, "too many channels");
    if (cs_infer_vector(at, 2, channels, "the bias") < 0)
        return -1;
    struct cs_shape out = space_shape(in->dim[0], channels, window.space, window.out);
    cs_infer_set(at, 0, CS_TYPE_F32, &out);
    return 0;
}

int cs_infer_pool(struct cs_infer *at)
{
    struct cs_window window;
    if (cs_node_window(at->graph, at->node, &window, at->err) < 0)
        return -1;
    const struct cs_shape *in = &cs_infer_input(at, 0)->shape;
    for (int i = 0; i < window.space; i++)
        if (window.pad_begin[i] >= window.kernel[i] || window.pad_end[i] >= window.kernel[i])
            return cs_node_fail(at->node, at->err, "pads are as large as the kernel");
    struct cs_shape out = space_shape(in->dim[0], in->dim[1], window.space, window.out);
    cs_infer_set(at, 0, CS_TYPE_F32, &out);
    cs_infer_set(at, 1, CS_TYPE_I64, &out); // indices of MaxPool
    return 0;
}

int cs_infer_global_pool(struct cs_infer *at)
{
    struct cs_shape out = cs_infer_input(at, 0)->shape;
    if (out.rank < 3)
        return cs_node_fail(at->node, at->err, "input must have 3 dimensions or more (N,C,...)");
    for (int d = 2; d < out.rank; d++)
        out.dim[d] = 1;
    cs_infer_set(at, 0, CS_TYPE_F32, &out);
    return 0;
}

int cs_infer_resize(struct cs_infer *at)
{
    struct cs_resize resize;
    if (cs_node_resize(at->graph, at->node, &resize, at->err) < 0)
        return -1;
    const struct cs_shape *in = &cs_infer_input(at, 0)->shape;
    struct cs_shape out = space_shape(in->dim[0], in->dim[1], resize.space, resize.out);
    cs_infer_set(at, 0, CS_TYPE_F32, &out);
    return 0;
}

int cs_infer_batch_norm(struct cs_infer *at)
{
    static const char *const what[] = {"", "the scale", "the shift", "the mean", "the variance"};
    const struct cs_shape *in = &cs_infer_input(at, 0)->shape;
    if (in->rank < 2)
        return cs_node_fail(at->node, at->err, "input has no channels");
    if (cs_node_int(at->node, "training_mode", 0) != 0)
        return cs_node_fail(at->node, at->err, "was exported in training mode");
    for (int i = 1; i <= 4; i++)
        if (cs_infer_vector(at, i, in->dim[1], what[i]) < 0)
            return -1;
    return cs_infer_same(at);
}

int cs_infer_instance_norm(struct cs_infer *at)
{
    const struct cs_shape *in = &cs_infer_input(at, 0)->shape;
    if (in->rank < 3)
        return cs_node_fail(at->node, at->err, "input must have 3 dimensions or more");
    if (cs_infer_vector(at, 1, in->dim[1], "the scale") < 0 ||
        cs_infer_vector(at, 2, in->dim[1], "the shift") < 0)
        return -1;
    return cs_infer_same(at);
}

int cs_infer_group_norm(struct cs_infer *at)
{
    const struct cs_shape *in = &cs_infer_input(at, 0)->shape;
    int64_t groups = cs_node_int(at->node, "num_groups", 0);
    if (in->rank < 3 || groups < 1 || in->dim[1] % groups != 0)
        return cs_node_fail(at->node, at->err, "%lld groups do not fit the input",
                            (long long)groups);
    // Opset 18 has one scale a group, 21 one a channel.
    int64_t scales = at->graph->opset < 21 ? groups : in->dim[1];
    if (cs_infer_vector(at, 1, scales, "the scale") < 0 ||
        cs_infer_vector(at, 2, scales, "the shift") < 0)
        return -1;
    return cs_infer_same(at);
}

int cs_infer_layer_norm(struct cs_infer *at)
{
    const struct cs_shape *in = &cs_infer_input(at, 0)->shape;
    int axis;
    if (cs_node_axis(at->node, -1, in->rank, &axis, at->err) < 0)
        return -1;
    for (int i = 1; i <= 2; i++) {
        const struct cs_value *value = cs_infer_input(at, i);
        if (!value)
            continue;
        bool fits = value->type == CS_TYPE_F32 && value->shape.rank == in->rank - axis;
        for (int d = 0; fits && d < value->shape.rank; d++)
            fits = value->shape.dim[d] == in->dim[axis + d];
        if (!fits)
            return cs_node_fail(at->node, at->err, "scale or shift has another shape");
    }
    for (int d = axis; d < in->rank; d++)
        if (in->dim[d] == 0)
            return cs_node_fail(at->node, at->err, "normalises nothing");
    struct cs_shape statistics = *in; // mean and reciprocal deviation, on request
    for (int d = axis; d < in->rank; d++)
        statistics.dim[d] = 1;
    cs_infer_set(at, 1, CS_TYPE_F32, &statistics);
    cs_infer_set(at, 2, CS_TYPE_F32, &statistics);
    return cs_infer_same(at);
}
