// SPDX-License-Identifier: MIT
// The parameters of operators, resolved: attributes, the constant inputs that replaced them in
// later opsets, defaults, negative axes and automatic padding become plain numbers here, once, for
// shape inference and for every backend. All functions read a node of a concrete graph (the first
// input's shape is known) and fail with CS_EMODEL "node NAME (Op): reason".
#ifndef CS_GRAPH_PARAMS_H
#define CS_GRAPH_PARAMS_H

#include "graph/graph.h"

// Integers of constant input i. *count is -1 when the input is omitted. At most `max` of them.
int cs_node_const_ints(const struct cs_graph *graph, const struct cs_node *node, int i, int max,
                       int64_t *out, int *count, struct cs_err *err);
// One float32 of constant input i (a scalar or one element); `fallback` when omitted.
int cs_node_const_float(const struct cs_graph *graph, const struct cs_node *node, int i,
                        float fallback, float *out, struct cs_err *err);
// Attribute "axis" or its fallback as 0 <= *axis < limit; negative counts from `limit`.
int cs_node_axis(const struct cs_node *node, int64_t fallback, int limit, int *axis,
                 struct cs_err *err);
// A set of axes from attribute "axes" or constant input i (-1: the attribute alone).
// *given false: neither is there; the set is empty then.
int cs_node_axes(const struct cs_graph *graph, const struct cs_node *node, int i, int rank,
                 bool axes[CS_MAX_RANK], bool *given, struct cs_err *err);

// ---- Windows: Conv, ConvTranspose, MaxPool, AveragePool -------------------------------------

enum { CS_MAX_SPACE = 3 };

// Axes of space are those behind N and C: index 0 is height and 1 is width for planes; lines have
// one, volumes three. auto_pad is resolved into pads.
struct cs_window {
    int space; // axes
    int64_t kernel[CS_MAX_SPACE], stride[CS_MAX_SPACE], dilation[CS_MAX_SPACE];
    // For ConvTranspose: what is cut off; pad_end is negative where more is added than that.
    int64_t pad_begin[CS_MAX_SPACE], pad_end[CS_MAX_SPACE];
    int64_t out[CS_MAX_SPACE]; // sizes of the output
    int64_t group;
    bool count_include_pad; // AveragePool
};
int cs_node_window(const struct cs_graph *graph, const struct cs_node *node,
                   struct cs_window *window, struct cs_err *err);

// ---- Resize, Upsample -----------------------------------------------------------------------

enum cs_resize_mode { CS_RESIZE_NEAREST, CS_RESIZE_LINEAR, CS_RESIZE_CUBIC };
enum cs_resize_coord {
    CS_COORD_HALF_PIXEL,
    CS_COORD_HALF_PIXEL_SYMMETRIC,
    CS_COORD_PYTORCH_HALF_PIXEL,
    CS_COORD_ALIGN_CORNERS,
    CS_COORD_ASYMMETRIC,
    CS_COORD_CROP, // "tf_crop_and_resize": a region is stretched; outside is `extrapolation`
};
enum cs_resize_nearest {
    CS_ROUND_PREFER_FLOOR,
    CS_ROUND_PREFER_CEIL,
    CS_ROUND_FLOOR,
    CS_ROUND_CEIL
};

// Axes of space as in cs_window.
struct cs_resize {
    enum cs_resize_mode mode;
    enum cs_resize_coord coord;
    enum cs_resize_nearest nearest;
    bool antialias;       // when shrinking: the filter is widened
    bool exclude_outside; // samples outside have no weight; else the edge is repeated
    double cubic;         // coefficient of the cubic filter
    double extrapolation;
    int space;
    int64_t in[CS_MAX_SPACE], out[CS_MAX_SPACE];
    double scale[CS_MAX_SPACE];     // out / in, as the model gives it
    double length[CS_MAX_SPACE];    // in * scale, which need not be whole
    double region[CS_MAX_SPACE][2]; // first and last sample, as fractions of the axis
};
int cs_node_resize(const struct cs_graph *graph, const struct cs_node *node,
                   struct cs_resize *resize, struct cs_err *err);
// Where output index `at` of an axis lies in the input, not clamped.
double cs_resize_source(const struct cs_resize *resize, int axis, int64_t at);
// The input index that CS_RESIZE_NEAREST takes, clamped.
int64_t cs_resize_pick(const struct cs_resize *resize, int axis, int64_t at);

// The filter of one output index on one axis: weights of `count` samples from `first` on, which may
// lie outside the input (then they stand for its edge).
struct cs_resize_taps {
    bool outside; // of the region's input: the result is `extrapolation`
    int64_t first, count;
    double source, share; // where it lies; what all weights are multiplied by
};
struct cs_resize_taps cs_resize_taps(const struct cs_resize *resize, int axis, int64_t at);
double cs_resize_weight(const struct cs_resize *resize, const struct cs_resize_taps *taps, int axis,
                        int64_t sample);

// ---- Data movement --------------------------------------------------------------------------

struct cs_slice { // for every axis of the input
    int64_t start[CS_MAX_RANK], step[CS_MAX_RANK], count[CS_MAX_RANK];
};
int cs_node_slice(const struct cs_graph *graph, const struct cs_node *node, struct cs_slice *slice,
                  struct cs_err *err);

enum cs_pad_mode { CS_PAD_CONSTANT, CS_PAD_REFLECT, CS_PAD_EDGE, CS_PAD_WRAP };
struct cs_pads {
    enum cs_pad_mode mode;
    float value;     // of the constant mode, if it is known and float32
    int value_input; // the input that holds it otherwise; -1
    int64_t begin[CS_MAX_RANK], end[CS_MAX_RANK]; // negative: cut off (constant mode only)
};
int cs_node_pads(const struct cs_graph *graph, const struct cs_node *node, struct cs_pads *pads,
                 struct cs_err *err);
// Output axis i is input axis perm[i].
int cs_node_perm(const struct cs_graph *graph, const struct cs_node *node, int perm[CS_MAX_RANK],
                 struct cs_err *err);

// ---- Others ---------------------------------------------------------------------------------

struct cs_reduce {
    bool axes[CS_MAX_RANK];
    bool keep;
};
int cs_node_reduce(const struct cs_graph *graph, const struct cs_node *node,
                   struct cs_reduce *reduce, struct cs_err *err);
// Limits that are constant float32; other limits are an error.
int cs_node_clip(const struct cs_graph *graph, const struct cs_node *node, float *low, float *high,
                 struct cs_err *err);
// Softmax runs over axes first..last (before opset 13 over all axes from `axis` on).
int cs_node_softmax(const struct cs_graph *graph, const struct cs_node *node, int *first, int *last,
                    struct cs_err *err);
// The two shapes' numpy broadcast; false when they do not fit.
bool cs_shape_broadcast(const struct cs_shape *a, const struct cs_shape *b, struct cs_shape *out);

#endif
