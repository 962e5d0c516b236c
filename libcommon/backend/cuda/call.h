// SPDX-License-Identifier: MIT
// Steps of our own kernels: a node with the tensors it reads and makes. Steps run only when a slot
// opens, so that a step works out there what its kernels need, from the node itself.
#ifndef CS_BACKEND_CUDA_CALL_H
#define CS_BACKEND_CUDA_CALL_H

#include "backend/cuda/cuda.h"
#include "backend/cuda/launch.h"
#include "graph/params.h"

struct cs_cuda_call {
    const struct cs_graph *graph;
    const struct cs_node *node;
    struct cs_cuda_operand add; // of the node's fusion
    struct cs_cuda_operand in[];
};

// Bits of inputs that the step does not read on the device (shapes, axes), and of constants that
// stay float32 whatever the plan's type is.
struct cs_cuda_inputs {
    uint64_t unread, exact;
};
typedef int cs_cuda_step_run(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                             struct cs_err *err);
// `packed`: what the step reads for input 1 instead of it; NULL for most.
int cs_cuda_build_packed(struct cs_plan *plan, const struct cs_node *node,
                         struct cs_cuda_inputs inputs, const struct cs_cuda_tensor *packed,
                         cs_cuda_step_run *run, struct cs_err *err);
int cs_cuda_build_call(struct cs_plan *plan, const struct cs_node *node,
                       struct cs_cuda_inputs inputs, cs_cuda_step_run *run, struct cs_err *err);

static inline const struct cs_cuda_call *cs_cuda_call_of(const struct cs_cuda_step *step)
{
    return step->params;
}
// Of a step made by cs_cuda_build_call; without data where omitted, not wanted or empty.
struct cs_cuda_tensor cs_cuda_in(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                                 int i);
struct cs_cuda_tensor cs_cuda_out(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                                  int i);
struct cs_cuda_tensor cs_cuda_added(const struct cs_cuda_step *step, const struct cs_cuda_run *run);
struct cs_cuda_activation cs_cuda_fused(const struct cs_node *node);
// The function of this operator or fused activation, with ONNX's parameters by default.
bool cs_cuda_function_of(const char *op, struct cs_cuda_activation *function);
// Lines and planes as volumes of depth and height 1: rank 5.
struct cs_cuda_tensor cs_cuda_volume(const struct cs_cuda_tensor *tensor);
struct cs_cuda_window cs_cuda_window_of(const struct cs_window *window);

// Tables of ops.c, one a file, each ended by a NULL name.
extern const struct cs_cuda_op cs_cuda_element_ops[], cs_cuda_move_ops[], cs_cuda_reduce_ops[],
    cs_cuda_norm_ops[], cs_cuda_direct_ops[], cs_cuda_product_ops[], cs_cuda_resize_ops[];

#endif
