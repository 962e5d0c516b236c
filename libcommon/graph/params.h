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

// Index 0 is height, 1 is width. auto_pad is resolved into pads.
struct cs_window {
    int64_t kernel[2], stride[2], dilation[2];
    int64_t pad_begin[2], pad_end[2]; // for ConvTranspose: what is cut off
    int64_t out[2];                   // height and width of the output
    int64_t group;
    bool count_include_pad; // AveragePool
};
int cs_node_window(const struct cs_graph *graph, const struct cs_node *node,
                   struct cs_window *window, struct cs_err *err);

// ---- Resize, Upsample -----------------------------------------------------------------------

enum cs_resize_mode { CS_RESIZE_NEAREST, CS_RESIZE_LINEAR };
enum cs_resize_coord {
    CS_COORD_HALF_PIXEL,
    CS_COORD_PYTORCH_HALF_PIXEL,
    CS_COORD_ALIGN_CORNERS,
    CS_COORD_ASYMMETRIC,
};
enum cs_resize_nearest {
    CS_ROUND_PREFER_FLOOR,
    CS_ROUND_PREFER_CEIL,
    CS_ROUND_FLOOR,
    CS_ROUND_CEIL
};

struct cs_resize {
    enum cs_resize_mode mode;
    enum cs_resize_coord coord;
    enum cs_resize_nearest nearest;
    int64_t in[2], out[2]; // height, width
    double scale[2];       // out / in, as the model gives it
};
int cs_node_resize(const struct cs_graph *graph, const struct cs_node *node,
                   struct cs_resize *resize, struct cs_err *err);
// Where output index `at` of axis 0 or 1 lies in the input, not clamped.
double cs_resize_source(const struct cs_resize *resize, int axis, int64_t at);
// The input index that CS_RESIZE_NEAREST takes, clamped.
int64_t cs_resize_pick(const struct cs_resize *resize, int axis, int64_t at);

// ---- Data movement --------------------------------------------------------------------------

struct cs_slice { // for every axis of the input
    int64_t start[CS_MAX_RANK], step[CS_MAX_RANK], count[CS_MAX_RANK];
};
int cs_node_slice(const struct cs_graph *graph, const struct cs_node *node, struct cs_slice *slice,
                  struct cs_err *err);

enum cs_pad_mode { CS_PAD_CONSTANT, CS_PAD_REFLECT, CS_PAD_EDGE, CS_PAD_WRAP };
struct cs_pads {
    enum cs_pad_mode mode;
    float value;
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
int cs_node_clip(const struct cs_graph *graph, const struct cs_node *node, float *low, float *high,
                 struct cs_err *err);
// Softmax runs over axes first..last (before opset 13 over all axes from `axis` on).
int cs_node_softmax(const struct cs_graph *graph, const struct cs_node *node, int *first, int *last,
                    struct cs_err *err);
// The two shapes' numpy broadcast; false when they do not fit.
bool cs_shape_broadcast(const struct cs_shape *a, const struct cs_shape *b, struct cs_shape *out);

#endif
