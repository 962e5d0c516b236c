// SPDX-License-Identifier: MIT
// The operators of the CUDA backend. The first entry that supports a node runs it.
#include "backend/cuda/call.h"

const struct cs_cuda_op *const cs_cuda_tables[] = {
    cs_cuda_direct_ops,  // convolutions that cuDNN is not good at
    cs_cuda_conv_ops,    // cuDNN's
    cs_cuda_product_ops, // also convolutions that neither takes
    cs_cuda_element_ops, cs_cuda_move_ops,   cs_cuda_reduce_ops,
    cs_cuda_norm_ops,    cs_cuda_resize_ops, NULL,
};
