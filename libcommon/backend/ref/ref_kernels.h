// SPDX-License-Identifier: MIT
// Inside of backend "ref": the kernels, one function a family of operators. Plain loops with sums
// in double: every kernel says what the operator means and nothing else; threads share out
// independent outputs and change no result.
#ifndef CS_BACKEND_REF_REF_KERNELS_H
#define CS_BACKEND_REF_REF_KERNELS_H

#include "backend/ref/ref.h"
#include "graph/params.h"

static inline const struct cs_shape *cs_ref_in_shape(const struct cs_ref_call *call, int i)
{
    return &cs_node_input(call->graph, call->node, i)->shape;
}
static inline const struct cs_shape *cs_ref_out_shape(const struct cs_ref_call *call, int i)
{
    return &cs_node_output(call->graph, call->node, i)->shape;
}

// Kernels by family. They allocate nothing.
void cs_ref_conv(const struct cs_ref_call *call);
void cs_ref_conv_transpose(const struct cs_ref_call *call);
void cs_ref_pool(const struct cs_ref_call *call);
void cs_ref_global_pool(const struct cs_ref_call *call);
void cs_ref_batch_norm(const struct cs_ref_call *call);
void cs_ref_group_norm(const struct cs_ref_call *call); // also InstanceNormalization
void cs_ref_layer_norm(const struct cs_ref_call *call);
void cs_ref_resize(const struct cs_ref_call *call);
void cs_ref_softmax(const struct cs_ref_call *call);
void cs_ref_matmul(const struct cs_ref_call *call);
void cs_ref_gemm(const struct cs_ref_call *call);
void cs_ref_attention(const struct cs_ref_call *call); // FusedAttention of the passes
// The fusion of the node, on its finished output 0.
void cs_ref_fusion(const struct cs_ref_call *call);

// Lines and planes as volumes of depth and height 1: the node's window and a tensor's sizes.
void cs_ref_window(const struct cs_ref_call *call, struct cs_window *window);
void cs_ref_space(const struct cs_shape *shape, int64_t sizes[CS_MAX_SPACE]);

#endif
