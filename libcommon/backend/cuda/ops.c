// SPDX-License-Identifier: MIT
// The operators of the CUDA backend: cuDNN's first, then those of our own kernels.
#include "backend/cuda/call.h"

const struct cs_cuda_op *const cs_cuda_tables[] = {
    cs_cuda_conv_ops, cs_cuda_element_ops, cs_cuda_move_ops, cs_cuda_reduce_ops, NULL,
};
