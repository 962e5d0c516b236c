// SPDX-License-Identifier: MIT
// The order of activations in memory: which lie channels last, and which reshapes move nothing.
#ifndef CS_BACKEND_ORDER_H
#define CS_BACKEND_ORDER_H

#include "graph/graph.h"

// One bool a value: channels last (axis 1 innermost), row-major otherwise. Caller frees with
// free().
bool *cs_channels_last(const struct cs_graph *graph);

// Reshapes keep ONNX's order of elements, a transposition the order within axes: whether no element
// of `node` changes its place in memory, both sides being dense.
bool cs_keeps_order(const struct cs_graph *graph, const bool *channels_last,
                    const struct cs_node *node);
// The common factors of both shapes with each side's strides; false when there are none.
bool cs_common_factors(const struct cs_shape *a, const int64_t *a_stride, const struct cs_shape *b,
                       const int64_t *b_stride, struct cs_shape *common, int64_t *a_out,
                       int64_t *b_out);

#endif
