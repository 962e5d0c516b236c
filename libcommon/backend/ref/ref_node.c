// SPDX-License-Identifier: MIT
// The table of operators in plain loops, and one node's run.
#include <stdio.h>
#include <string.h>

#include "backend/ref/ref_kernels.h"
#include "graph/move.h"

static const struct {
    const char *op;
    void (*run)(const struct cs_ref_call *);
} kernels[] = {
    {"Conv", cs_ref_conv},
    {"ConvTranspose", cs_ref_conv_transpose},
    {"MaxPool", cs_ref_max_pool},
    {"AveragePool", cs_ref_average_pool},
    {"GlobalMaxPool", cs_ref_global_pool},
    {"GlobalAveragePool", cs_ref_global_pool},
    {"BatchNormalization", cs_ref_batch_norm},
    {"InstanceNormalization", cs_ref_group_norm},
    {"GroupNormalization", cs_ref_group_norm},
    {"LayerNormalization", cs_ref_layer_norm},
    {"Resize", cs_ref_resize},
    {"Upsample", cs_ref_resize},
    {"Clip", cs_ref_clip},
    {"PRelu", cs_ref_prelu},
    {"Add", cs_ref_binary},
    {"Sub", cs_ref_binary},
    {"Mul", cs_ref_binary},
    {"Div", cs_ref_binary},
    {"Pow", cs_ref_binary},
    {"Max", cs_ref_variadic},
    {"Min", cs_ref_variadic},
    {"Sum", cs_ref_variadic},
    {"Mean", cs_ref_variadic},
    {"Mod", cs_ref_binary},
    {"Softmax", cs_ref_softmax},
    {"MatMul", cs_ref_matmul},
    {"Gemm", cs_ref_gemm},
    {"ReduceMean", cs_ref_reduce},
    {"ReduceMax", cs_ref_reduce},
    {"ReduceMin", cs_ref_reduce},
    {"ReduceSum", cs_ref_reduce},
    {"ReduceProd", cs_ref_reduce},
    {"ReduceL2", cs_ref_reduce},
};

static void (*find_kernel(const char *op))(const struct cs_ref_call *)
{
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
        if (strcmp(kernels[i].op, op) == 0)
            return kernels[i].run;
    if (cs_move_knows(op))
        return cs_ref_move;
    return cs_ref_find_activation(op) ? cs_ref_activation : NULL;
}

bool cs_ref_supports(const struct cs_graph *graph, const struct cs_node *node, char *why,
                     size_t why_size)
{
    (void)graph;
    if (!find_kernel(node->op)) {
        snprintf(why, why_size, "the operator has no kernel");
        return false;
    }
    const char *activation = node->fusion.activation;
    if (activation && !cs_ref_find_activation(activation)) {
        snprintf(why, why_size, "fused activation %s is unknown", activation);
        return false;
    }
    return true;
}

int cs_ref_run(const struct cs_ref_call *call, struct cs_err *err)
{
    (void)err;
    find_kernel(call->node->op)(call);
    if (call->node->fusion.add >= 0 || call->node->fusion.activation)
        cs_ref_fusion(call);
    return 0;
}
