// SPDX-License-Identifier: MIT
// What passes moved into a node: an addition and an activation, on its finished output.
#include "backend/ref/ref_kernels.h"
#include "graph/eval.h"

void cs_ref_fusion(const struct cs_ref_call *call)
{
    const struct cs_fusion *fusion = &call->node->fusion;
    const struct cs_shape *shape = cs_ref_out_shape(call, 0);
    float *out = call->out[0];
    if (fusion->add >= 0) {
        struct cs_dense mine = {CS_TYPE_F32, shape, out};
        struct cs_dense other = {CS_TYPE_F32, &call->graph->values[fusion->add].shape, call->add};
        cs_eval_add(mine, other, CS_TYPE_F32, shape, out);
    }
    if (fusion->activation)
        cs_eval_map(cs_function_find(fusion->activation), out, out, cs_shape_elements(shape),
                    (double)fusion->alpha, (double)fusion->beta);
}
