// SPDX-License-Identifier: MIT
// What a network needs on a CUDA device, without one. Activations lie where the backend will have
// them (backend/cuda/memory.h); parameters of norms and biases are counted in fp32. Libraries'
// workspace is an allowance; the driver's own context is not counted.
#ifndef CS_INFER_ESTIMATE_H
#define CS_INFER_ESTIMATE_H

#include "backend/backend.h"

enum { CS_ESTIMATE_WORKSPACE = 64 << 20 }; // one slot

// `graph` is concrete and has gone through the passes of fusion; fp32, TF32 or fp16.
// Buffers are left 0. CS_ENOMEM for activations beyond the address space.
int cs_estimate_cuda(const struct cs_graph *graph, enum cs_precision precision,
                     struct cs_memory_use *use, struct cs_err *err);

#endif
