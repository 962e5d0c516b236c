// SPDX-License-Identifier: MIT
// Resize and Upsample: sizes or scales, coordinate conventions, filters, and what changed between
// opsets (9: Upsample; 10: Resize with floor and asymmetric coordinates; 11: conventions named; 13:
// sizes without roi; 18: axes, antialias, aspect ratio; 19: symmetric half pixels).
//
// The cubic filter is that of Keys (1981); antialiasing widens a filter by the factor of shrinking.
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

static const struct choice modes[] = {{"nearest", CS_RESIZE_NEAREST},
                                      {"linear", CS_RESIZE_LINEAR},
                                      {"bilinear", CS_RESIZE_LINEAR},
                                      {"cubic", CS_RESIZE_CUBIC},
                                      {NULL, 0}};
static const struct choice coords[] = {{"half_pixel", CS_COORD_HALF_PIXEL},
                                       {"half_pixel_symmetric", CS_COORD_HALF_PIXEL_SYMMETRIC},
                                       {"pytorch_half_pixel", CS_COORD_PYTORCH_HALF_PIXEL},
                                       {"align_corners", CS_COORD_ALIGN_CORNERS},
                                       {"asymmetric", CS_COORD_ASYMMETRIC},
                                       {"tf_crop_and_resize", CS_COORD_CROP},
                                       {NULL, 0}};
static const struct choice roundings[] = {{"round_prefer_floor", CS_ROUND_PREFER_FLOOR},
                                          {"round_prefer_ceil", CS_ROUND_PREFER_CEIL},
                                          {"floor", CS_ROUND_FLOOR},
                                          {"ceil", CS_ROUND_CEIL},
                                          {NULL, 0}};
enum policy { STRETCH, NOT_LARGER, NOT_SMALLER };
static const struct choice policies[] = {
    {"stretch", STRETCH}, {"not_larger", NOT_LARGER}, {"not_smaller", NOT_SMALLER}, {NULL, 0}};

static bool is_old(const struct cs_graph *graph, const struct cs_node *node)
{
    return graph->opset < 11 || strcmp(node->op, "Upsample") == 0;
}

static int resize_modes(const struct cs_graph *graph, const struct cs_node *node,
                        struct cs_resize *resize, struct cs_err *err)
{
    int mode, coord = CS_COORD_ASYMMETRIC, round = CS_ROUND_FLOOR;
    if (choose(node, "mode", "nearest", modes, &mode, err) < 0)
        return -1;
    if (!is_old(graph, node) &&
        (choose(node, "coordinate_transformation_mode", "half_pixel", coords, &coord, err) < 0 ||
         choose(node, "nearest_mode", "round_prefer_floor", roundings, &round, err) < 0))
        return -1;
    resize->mode = (enum cs_resize_mode)mode;
    resize->coord = (enum cs_resize_coord)coord;
    resize->nearest = (enum cs_resize_nearest)round;
    resize->antialias = cs_node_int(node, "antialias", 0) != 0;
    resize->exclude_outside = cs_node_int(node, "exclude_outside", 0) != 0;
    resize->cubic = (double)cs_node_float(node, "cubic_coeff_a", -0.75f);
    resize->extrapolation = (double)cs_node_float(node, "extrapolation_value", 0);
    return 0;
}

// ---- Sizes ---------------------------------------------------------------------------------

// What the inputs say: one entry an axis of the input, or (opset 18) of attribute "axes".
struct request {
    int count, map[CS_MAX_RANK]; // entries, and the axis of each
    bool sized;                  // sizes; else scales
    int64_t size[CS_MAX_RANK];
    double scale[CS_MAX_RANK];
    float region[2 * CS_MAX_RANK]; // firsts, then lasts
};

// A constant list of float32; *count -1: omitted or empty.
static int float_list(const struct cs_graph *graph, const struct cs_node *node, int i, int max,
                      float *out, int *count, struct cs_err *err)
{
    const struct cs_value *value = cs_node_input(graph, node, i);
    *count = -1;
    if (!value || cs_shape_elements(&value->shape) == 0)
        return 0;
    int64_t elements = cs_shape_elements(&value->shape);
    if (value->type != CS_TYPE_F32 || !value->data || elements > max)
        return cs_node_fail(node, err, "input %d must be a short constant list of float32", i);
    *count = (int)elements;
    memcpy(out, value->data, (size_t)elements * sizeof *out);
    return 0;
}

static int request_axes(const struct cs_node *node, int rank, struct request *request,
                        struct cs_err *err)
{
    const struct cs_attr *attr = cs_node_attr(node, "axes");
    if (attr && attr->kind != CS_ATTR_INTS)
        return cs_node_fail(node, err, "attribute axes must be a list of integers");
    if (request->count != (attr ? attr->count : rank))
        return cs_node_fail(node, err, "%d sizes or scales for a rank of %d", request->count, rank);
    for (int k = 0; k < request->count; k++) {
        int64_t axis = attr ? attr->ints[k] : k;
        axis = axis < 0 ? axis + rank : axis;
        if (axis < 0 || axis >= rank)
            return cs_node_fail(node, err, "an axis is outside the rank");
        request->map[k] = (int)axis;
    }
    return 0;
}

static int request_read(const struct cs_graph *graph, const struct cs_node *node, int rank,
                        bool cropped, struct request *request, struct cs_err *err)
{
    bool old = is_old(graph, node);
    float scales[CS_MAX_RANK];
    int scale_count, size_count = -1, region_count = -1;
    if (float_list(graph, node, old ? 1 : 2, CS_MAX_RANK, scales, &scale_count, err) < 0 ||
        (!old && cs_node_const_ints(graph, node, 3, CS_MAX_RANK, request->size, &size_count, err)))
        return -1;
    request->sized = size_count > 0;
    if (request->sized == (scale_count > 0))
        return cs_node_fail(node, err, "needs either scales or sizes");
    request->count = request->sized ? size_count : scale_count;
    for (int i = 0; i < scale_count; i++) {
        request->scale[i] = (double)scales[i];
        if (!(scales[i] > 0 && scales[i] <= 4096))
            return cs_node_fail(node, err, "scale %g is out of range", request->scale[i]);
    }
    if (request_axes(node, rank, request, err) < 0)
        return -1;
    if (cropped &&
        (float_list(graph, node, 1, 2 * CS_MAX_RANK, request->region, &region_count, err) < 0 ||
         region_count != 2 * request->count))
        return cs_node_fail(node, err, "roi must be a constant list of two float32 an axis");
    return 0;
}

// One scale for all axes, so that no size is larger, or none smaller, than wanted.
static int keep_aspect(const struct cs_node *node, const struct cs_shape *in,
                       struct request *request, struct cs_err *err)
{
    int policy;
    double scale = 0;
    if (choose(node, "keep_aspect_ratio_policy", "stretch", policies, &policy, err) < 0)
        return -1;
    if (policy == STRETCH || !request->sized)
        return 0;
    for (int k = 0; k < request->count; k++) {
        double one = (double)request->size[k] / (double)in->dim[request->map[k]];
        bool better = policy == NOT_LARGER ? one < scale : one > scale;
        scale = k == 0 || better ? one : scale;
    }
    for (int k = 0; k < request->count; k++) {
        request->scale[k] = scale;
        request->size[k] = (int64_t)floor(scale * (double)in->dim[request->map[k]] + 0.5);
    }
    return 1;
}

static int resize_axis(const struct cs_node *node, const struct cs_shape *in,
                       const struct request *request, int k, bool scaled, struct cs_resize *resize,
                       struct cs_err *err)
{
    int a = request->map[k] - 2;
    int64_t before = in->dim[request->map[k]];
    double first = (double)request->region[k];
    double last = (double)request->region[request->count + k];
    double part = resize->coord == CS_COORD_CROP ? last - first : 1;
    double length = scaled ? (double)before * request->scale[k] : (double)request->size[k];
    double after = request->sized ? (double)request->size[k] : floor(length * part);
    if (!(after >= 1 && after <= INT32_MAX))
        return cs_node_fail(node, err, "size %g is out of range", after);
    if (a < 0 && after != (double)before)
        return cs_node_fail(node, err, "resizes other axes than those of space");
    if (a < 0)
        return 0;
    resize->out[a] = (int64_t)after;
    resize->length[a] = resize->coord == CS_COORD_CROP ? after : length;
    resize->scale[a] = scaled ? request->scale[k] : length / (double)before;
    resize->region[a][0] = first;
    resize->region[a][1] = last;
    return 0;
}

int cs_node_resize(const struct cs_graph *graph, const struct cs_node *node,
                   struct cs_resize *resize, struct cs_err *err)
{
    const struct cs_value *in = cs_node_input(graph, node, 0);
    struct request request = {0};
    *resize = (struct cs_resize){0};
    if (!in || in->shape.rank < 3 || in->shape.rank > 2 + CS_MAX_SPACE)
        return cs_node_fail(node, err, "input must have 3 to %d dimensions (N,C,...)",
                            2 + CS_MAX_SPACE);
    resize->space = in->shape.rank - 2;
    for (int i = 0; i < resize->space; i++) {
        resize->in[i] = resize->out[i] = in->shape.dim[2 + i];
        resize->length[i] = (double)resize->in[i];
        resize->scale[i] = resize->region[i][1] = 1;
        if (resize->in[i] < 1)
            return cs_node_fail(node, err, "the input is empty");
    }
    if (resize_modes(graph, node, resize, err) < 0 ||
        request_read(graph, node, in->shape.rank, resize->coord == CS_COORD_CROP, &request, err) <
            0)
        return -1;
    int kept = keep_aspect(node, &in->shape, &request, err);
    if (kept < 0)
        return -1;
    for (int k = 0; k < request.count; k++)
        if (resize_axis(node, &in->shape, &request, k, kept || !request.sized, resize, err) < 0)
            return -1;
    return 0;
}

// ---- Samples -------------------------------------------------------------------------------

double cs_resize_source(const struct cs_resize *resize, int axis, int64_t at)
{
    double x = (double)at, in = (double)resize->in[axis], length = resize->length[axis];
    double first = resize->region[axis][0], last = resize->region[axis][1], offset = 0;
    switch (resize->coord) {
    case CS_COORD_PYTORCH_HALF_PIXEL:
        if (length <= 1)
            return 0;
        break;
    case CS_COORD_ALIGN_CORNERS:
        return length == 1 ? 0 : x * (in - 1) / (length - 1);
    case CS_COORD_ASYMMETRIC:
        return x / resize->scale[axis];
    case CS_COORD_CROP:
        return length <= 1 ? (first + last) / 2 * (in - 1)
                           : (first + x / (length - 1) * (last - first)) * (in - 1);
    case CS_COORD_HALF_PIXEL_SYMMETRIC: // the middle stays in the middle where sizes were cut
        offset = in / 2 * (1 - (double)resize->out[axis] / length);
        break;
    case CS_COORD_HALF_PIXEL:
        break;
    }
    return offset + (x + 0.5) / resize->scale[axis] - 0.5;
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

static double widening(const struct cs_resize *resize, int axis)
{
    return resize->antialias && resize->scale[axis] < 1 ? 1 / resize->scale[axis] : 1;
}

static double filter(const struct cs_resize *resize, double x)
{
    double a = resize->cubic;
    x = fabs(x);
    if (resize->mode != CS_RESIZE_CUBIC)
        return x < 1 ? 1 - x : 0;
    if (x <= 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

double cs_resize_weight(const struct cs_resize *resize, const struct cs_resize_taps *taps, int axis,
                        int64_t sample)
{
    if (resize->mode == CS_RESIZE_NEAREST)
        return 1;
    if (resize->exclude_outside && (sample < 0 || sample >= resize->in[axis]))
        return 0;
    return taps->share * filter(resize, ((double)sample - taps->source) / widening(resize, axis));
}

struct cs_resize_taps cs_resize_taps(const struct cs_resize *resize, int axis, int64_t at)
{
    struct cs_resize_taps taps = {.source = cs_resize_source(resize, axis, at), .share = 1};
    double radius = (resize->mode == CS_RESIZE_CUBIC ? 2 : 1) * widening(resize, axis), sum = 0;
    double last = (double)(resize->in[axis] - 1);
    taps.outside = resize->coord == CS_COORD_CROP && !(taps.source >= 0 && taps.source <= last);
    if (taps.outside)
        return taps;
    if (resize->mode == CS_RESIZE_NEAREST) {
        taps.first = cs_resize_pick(resize, axis, at);
        taps.count = 1;
        return taps;
    }
    taps.first = (int64_t)ceil(taps.source - radius);
    taps.count = (int64_t)floor(taps.source + radius) - taps.first + 1;
    if (!resize->antialias && !resize->exclude_outside)
        return taps;
    for (int64_t i = taps.first; i < taps.first + taps.count; i++)
        sum += cs_resize_weight(resize, &taps, axis, i);
    taps.share = 1 / sum;
    return taps;
}
