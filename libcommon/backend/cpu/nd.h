// SPDX-License-Identifier: MIT
// Loops over tensors with strides: every element-wise operator, copy, slice and transposition is
// one of these. A loop is simplified once, when a plan is made, and shared out among the OpenMP
// threads when it runs.
#ifndef CS_BACKEND_CPU_ND_H
#define CS_BACKEND_CPU_ND_H

#include <stddef.h>
#include <stdint.h>

#include "graph/graph.h"

enum { CS_ND_OPERANDS = 4 };

// Strides in elements, dimensions in logical (ONNX) order. Operand 0 is written.
struct cs_nd {
    int rank, operands;
    int64_t dim[CS_MAX_RANK];
    int64_t stride[CS_ND_OPERANDS][CS_MAX_RANK];
    size_t bytes[CS_ND_OPERANDS]; // of an element; 0: a float's
};

// Strides of a dense tensor: row-major, or with axis 1 innermost (of rank 3 and up).
void cs_nd_dense(const struct cs_shape *shape, bool channels_last, int64_t stride[CS_MAX_RANK]);

// Where the element of this index, counted in ONNX's order, lies: its offset in elements.
int64_t cs_nd_place(const struct cs_shape *shape, const int64_t *stride, int64_t index);

// Start a loop over `shape`; then add operands, then simplify.
void cs_nd_init(struct cs_nd *nd, const struct cs_shape *shape);
// An operand with one stride a dimension of the loop.
void cs_nd_add(struct cs_nd *nd, const int64_t *stride);
// An operand of another type is passed as if it were floats: fn knows better.
// An operand of another shape that is broadcast to the loop's as ONNX does.
void cs_nd_add_broadcast(struct cs_nd *nd, const struct cs_shape *shape, const int64_t *stride);
// Order the dimensions by the written operand's strides and merge what can be merged; the result
// has rank >= 1.
void cs_nd_simplify(struct cs_nd *nd);

// One run of the innermost dimension: ptr[k] advances by stride[k].
typedef void cs_nd_fn(float *const *ptr, int64_t count, const int64_t *stride, const void *context);
// base[0] is written, the others are only read. Calls of fn come from several threads.
void cs_nd_run(const struct cs_nd *nd, float *const *base, cs_nd_fn *fn, const void *context);

// Copies base[1] to base[0].
void cs_nd_copy(const struct cs_nd *nd, float *const *base);

#endif
