// SPDX-License-Identifier: MIT
// The CUDA backend's operators on the host: kernels through the shim, all memory malloc's. A
// backend for opcase.h whose run_tensors works.
#ifndef TESTS_CUDA_HOST_H
#define TESTS_CUDA_HOST_H

#include "backend/backend.h"

extern const struct cs_backend host_cuda;

// How activations of rank 3 and up lie: row-major, channels last, or channels last in pixels that
// are wider than the channels, as in a slice of a concatenation.
enum host_layout { HOST_ROWS, HOST_CHANNELS_LAST, HOST_SLICES, HOST_LAYOUTS };
void host_set_layout(enum host_layout layout);

#endif
