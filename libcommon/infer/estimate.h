// SPDX-License-Identifier: MIT
// What a network would need on a CUDA device, from its graph alone: no device is asked, and nothing
// was measured. Activations and weights lie channels last, their channels padded to multiples of 8
// as tensor cores want them; parameters of norms and biases stay fp32. Libraries' workspace is an
// allowance; the driver's own context is not counted.
#ifndef CS_INFER_ESTIMATE_H
#define CS_INFER_ESTIMATE_H

#include "backend/backend.h"

enum { CS_ESTIMATE_WORKSPACE = 64 << 20 }; // one slot

// `graph` is concrete and has gone through the passes of fusion; fp32 or a type of two bytes.
// Buffers are left 0. CS_ENOMEM for activations beyond the address space.
int cs_estimate_cuda(const struct cs_graph *graph, enum cs_precision precision,
                     struct cs_memory_use *use, struct cs_err *err);

#endif
