// SPDX-License-Identifier: MIT
// Norms that convolutions do a part of: a plane that a convolution makes need not be read again for
// its statistics, nor be read and written for a norm that the next convolution can apply as it
// loads, or the next norm as it adds. cuDNN has what this needs for fp16, for one image at a time
// and, of norms before a convolution, where ReLU follows them.
#ifndef CS_BACKEND_CUDA_LATE_H
#define CS_BACKEND_CUDA_LATE_H

#include "backend/cuda/dnn.h"
#include "backend/cuda/inside.h"

struct cs_cuda_late { // of a value
    size_t sums, map; // in kept memory, as cs_cuda_sums and cs_cuda_map have them
    enum cs_cuda_type map_type;
    size_t early;                  // cs_cuda_early's
    struct cs_cuda_engine *engine; // for who reads the value instead of its map, until it has it
};
enum { CS_CUDA_NOT_LATE = 0 }; // nothing lies at the start of kept memory

void cs_cuda_late_init(struct cs_plan *plan);
void cs_cuda_late_release(struct cs_plan *plan);

// The engine for this convolution with the sums of its result, and with the map of its operand
// where that is not made; its bias does nothing that the norm would not take back. The engine is
// for one image. NULL: it is a convolution like others.
struct cs_cuda_engine *cs_cuda_late_engine(struct cs_plan *plan, const struct cs_node *conv);

// op_conv.c: the convolution without bias and what follows it.
int cs_cuda_describe_conv(const struct cs_plan *plan, const struct cs_node *node,
                          struct cs_cuda_dnn_conv *conv, struct cs_err *err);

#endif
