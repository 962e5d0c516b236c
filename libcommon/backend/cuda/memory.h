// SPDX-License-Identifier: MIT
// Where a plan's activations lie on a CUDA device. Needs no device, so that what a network takes
// can be said on any machine.
//
// Images lie channels last, the rest row-major (backend/order.h). Three kinds of values share the
// memory of others: results that a kernel writes over its operand, reshapes that move nothing
// (views), and operands of a concatenation of channels, which are made where the concatenation has
// them (slices). Inputs of few channels that only convolutions read are padded with zeros to 16
// bytes a pixel, which tensor cores read.
#ifndef CS_BACKEND_CUDA_MEMORY_H
#define CS_BACKEND_CUDA_MEMORY_H

#include "backend/backend.h"
#include "backend/cuda/kernels.h"

struct cs_cuda_place {
    size_t offset; // from the arena's start; SIZE_MAX: without memory
    int64_t stride[CS_CUDA_MAX_RANK];
    bool view;   // the node that makes it has nothing to do
    bool padded; // channels up to the stride of W are there, and 0
};

struct cs_cuda_memory {
    size_t arena_bytes;
    enum cs_cuda_type real;       // of float32 activations
    struct cs_cuda_place *places; // per value
};

// The graph is concrete and has gone through the passes. CS_ENOMEM for activations beyond the
// address space.
int cs_cuda_memory_plan(const struct cs_graph *graph, enum cs_precision precision,
                        struct cs_cuda_memory *memory, struct cs_err *err);
void cs_cuda_memory_release(struct cs_cuda_memory *memory); // accepts a zeroed struct

// The type that a value's samples have on the device.
enum cs_cuda_type cs_cuda_type_of(const struct cs_value *value, enum cs_cuda_type real);
size_t cs_cuda_type_bytes(enum cs_cuda_type type);
uint16_t cs_cuda_half(float value); // binary16, nearest, ties to even
// Dense strides: row-major, or with axis 1 innermost (of rank 3 and up).
void cs_cuda_dense(const struct cs_shape *shape, bool channels_last, int64_t *stride);

// Whether the node's kernel may write its output over input 0 (or 1, where both are as large as the
// output): it reads every element before it writes the same one.
bool cs_cuda_overwrites(const struct cs_node *node);

#endif
