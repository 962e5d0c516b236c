// SPDX-License-Identifier: MIT
// Resize and Upsample: sizes or scales, coordinate conventions, and what changed between opsets
// (9: Upsample; 10: Resize with floor and asymmetric coordinates; 11: conventions named; 13: sizes
// without roi; 18: axes, antialias, aspect ratio).
#include <math.h>
#include <string.h>

#include "graph/params.h"

struct choice {
    const char *name;
    int value;
};

static int choose(const struct cs_node *node, const char *attr, const char *fallback,
                  const struct choice *choices, int *value, struct cs_err *err)
{
    const char *given = cs_node_string(node, attr, fallback);
    for (; choices->name; choices++)
        if (strcmp(given, choices->name) == 0) {
            *value = choices->value;
            return 0;
        }
    return cs_node_fail(node, err, "%s \"%.40s\" is not supported", attr, given);
}

static int resize_modes(const struct cs_graph *graph, const struct cs_node *node,
                        struct cs_resize *resize, struct cs_err *err)
{
    static const struct choice modes[] = {{"nearest", CS_RESIZE_NEAREST},
                                          {"linear", CS_RESIZE_LINEAR},
                                          {"bilinear", CS_RESIZE_LINEAR},
                                          {NULL, 0}};
    static const struct choice coords[] = {{"half_pixel", CS_COORD_HALF_PIXEL},
                                           {"pytorch_half_pixel", CS_COORD_PYTORCH_HALF_PIXEL},
                                           {"align_corners", CS_COORD_ALIGN_CORNERS},
                                           {"asymmetric", CS_COORD_ASYMMETRIC},
                                           {NULL, 0}};
    static const struct choice nearest[] = {{"round_prefer_floor", CS_ROUND_PREFER_FLOOR},
                                            {"round_prefer_ceil", CS_ROUND_PREFER_CEIL},
                                            {"floor", CS_ROUND_FLOOR},
                                            {"ceil", CS_ROUND_CEIL},
                                            {NULL, 0}};
    int mode, coord = CS_COORD_ASYMMETRIC, round = CS_ROUND_FLOOR;
    if (choose(node, "mode", "nearest", modes, &mode, err) < 0)
        return -1;
    bool old = graph->opset < 11 || strcmp(node->op, "Upsample") == 0;
    if (!old &&
        (choose(node, "coordinate_transformation_mode", "half_pixel", coords, &coord, err) < 0 ||
         choose(node, "nearest_mode", "round_prefer_floor", nearest, &round, err) < 0))
        return -1;
    if (cs_node_int(node, "antialias", 0) != 0)
        return cs_node_fail(node, err, "antialias is not supported");
    if (strcmp(cs_node_string(node, "keep_aspect_ratio_policy", "stretch"), "stretch") != 0)
        return cs_node_fail(node, err, "keep_aspect_ratio_policy is not supported");
    resize->mode = (enum cs_resize_mode)mode;
    resize->coord = (enum cs_resize_coord)coord;
    resize->nearest = (enum cs_resize_nearest)round;
    return 0;
}

// Scales of all axes, 1 where the model does not speak of one. *count -1: no scales.
static int resize_scales(const struct cs_graph *graph, const struct cs_node *node, int input,
                         double scale[CS_MAX_RANK], int *count, struct cs_err *err)
{
    const struct cs_value *value = cs_node_input(graph, node, input);
    *count = -1;
    if (!value || cs_shape_elements(&value->shape) == 0)
        return 0;
    int64_t elements = cs_shape_elements(&value->shape);
    if (value->type != CS_TYPE_F32 || !value->data || elements > CS_MAX_RANK)
        return cs_node_fail(node, err, "scales must be a short constant list of float32");
    *count = (int)elements;
    for (int i = 0; i < *count; i++) {
        scale[i] = (double)((const float *)value->data)[i];
        if (!(scale[i] > 0 && scale[i] <= 4096))
            return cs_node_fail(node, err, "scale %g is out of range", scale[i]);
    }
    return 0;
}

// Lists name all axes, or (opset 18) those of attribute "axes": map[k] is the axis of entry k.
static int resize_axes(const struct cs_node *node, int rank, int count, int map[CS_MAX_RANK],
                       struct cs_err *err)
{
    const struct cs_attr *attr = cs_node_attr(node, "axes");
    if (attr && attr->kind != CS_ATTR_INTS)
        return cs_node_fail(node, err, "attribute axes must be a list of integers");
    if (count != (attr ? attr->count : rank))
        return cs_node_fail(node, err, "%d sizes or scales for a rank of %d", count, rank);
    for (int k = 0; k < count; k++) {
        int64_t axis = attr ? attr->ints[k] : k;
        axis = axis < 0 ? axis + rank : axis;
        if (axis < 0 || axis >= rank)
            return cs_node_fail(node, err, "an axis is outside the rank");
        map[k] = (int)axis;
    }
    return 0;
}

int cs_node_resize(const struct cs_graph *graph, const struct cs_node *node,
                   struct cs_resize *resize, struct cs_err *err)
{
    const struct cs_value *in = cs_node_input(graph, node, 0);
    bool old = graph->opset < 11 || strcmp(node->op, "Upsample") == 0;
    double scales[CS_MAX_RANK];
    int64_t sizes[CS_MAX_RANK];
    int scale_count, size_count = -1, map[CS_MAX_RANK];
    *resize = (struct cs_resize){0};
    if (!in || in->shape.rank != 4)
        return cs_node_fail(node, err, "input must have 4 dimensions (N,C,H,W)");
    if (resize_modes(graph, node, resize, err) < 0 ||
        resize_scales(graph, node, old ? 1 : 2, scales, &scale_count, err) < 0 ||
        (!old && cs_node_const_ints(graph, node, 3, CS_MAX_RANK, sizes, &size_count, err) < 0))
        return -1;
    bool sized = size_count > 0;
    if (sized == (scale_count > 0))
        return cs_node_fail(node, err, "needs either scales or sizes");
    if (resize_axes(node, 4, sized ? size_count : scale_count, map, err) < 0)
        return -1;
    for (int i = 0; i < 2; i++) {
        resize->in[i] = resize->out[i] = in->shape.dim[2 + i];
        resize->scale[i] = 1;
    }
    for (int k = 0; k < (sized ? size_count : scale_count); k++) {
        int64_t before = in->shape.dim[map[k]];
        int64_t after = sized ? sizes[k] : (int64_t)floor((double)before * scales[k]);
        if (after < 1 || after > INT32_MAX)
            return cs_node_fail(node, err, "size %lld is out of range", (long long)after);
        if (map[k] < 2 && after != before)
            return cs_node_fail(node, err, "resizes other axes than height and width");
        if (map[k] < 2)
            continue;
        resize->out[map[k] - 2] = after;
        resize->scale[map[k] - 2] = sized ? (double)after / (double)before : scales[k];
    }
    return 0;
}

double cs_resize_source(const struct cs_resize *resize, int axis, int64_t at)
{
    double x = (double)at, in = (double)resize->in[axis], out = (double)resize->out[axis];
    switch (resize->coord) {
    case CS_COORD_PYTORCH_HALF_PIXEL:
        if (resize->out[axis] == 1)
            return 0;
        break;
    case CS_COORD_ALIGN_CORNERS:
        return resize->out[axis] == 1 ? 0 : x * (in - 1) / (out - 1);
    case CS_COORD_ASYMMETRIC:
        return x / resize->scale[axis];
    case CS_COORD_HALF_PIXEL:
        break;
    }
    return (x + 0.5) / resize->scale[axis] - 0.5;
}

int64_t cs_resize_pick(const struct cs_resize *resize, int axis, int64_t at)
{
    double x = cs_resize_source(resize, axis, at), picked = floor(x);
    switch (resize->nearest) {
    case CS_ROUND_PREFER_FLOOR:
        picked = ceil(x - 0.5);
        break;
    case CS_ROUND_PREFER_CEIL:
        picked = floor(x + 0.5);
        break;
    case CS_ROUND_CEIL:
        picked = ceil(x);
        break;
    case CS_ROUND_FLOOR:
        break;
    }
    double last = (double)(resize->in[axis] - 1);
    return (int64_t)(picked < 0 ? 0 : picked > last ? last : picked);
}
