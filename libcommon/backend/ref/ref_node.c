// SPDX-License-Identifier: MIT
// The table of operators that are float32 alone, and one node's run: the others are the evaluators
// of graph/eval.h.
#include <stdio.h>
#include <string.h>

#include "backend/ref/ref_kernels.h"
#include "graph/eval.h"

static const struct {
    const char *op;
    void (*run)(const struct cs_ref_call *);
} kernels[] = {
    {"Conv", cs_ref_conv},
    {"ConvTranspose", cs_ref_conv_transpose},
    {"MaxPool", cs_ref_pool},
    {"AveragePool", cs_ref_pool},
    {"GlobalMaxPool", cs_ref_global_pool},
    {"GlobalAveragePool", cs_ref_global_pool},
    {"BatchNormalization", cs_ref_batch_norm},
    {"InstanceNormalization", cs_ref_group_norm},
    {"GroupNormalization", cs_ref_group_norm},
    {"LayerNormalization", cs_ref_layer_norm},
    {"Resize", cs_ref_resize},
    {"Upsample", cs_ref_resize},
    {"Softmax", cs_ref_softmax},
    {"MatMul", cs_ref_matmul},
    {"Gemm", cs_ref_gemm},
    {"FusedAttention", cs_ref_attention},
};

static void (*find_kernel(const char *op))(const struct cs_ref_call *)
{
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
        if (strcmp(kernels[i].op, op) == 0)
            return kernels[i].run;
    return NULL;
}

bool cs_ref_supports(const struct cs_graph *graph, const struct cs_node *node, char *why,
                     size_t why_size)
{
    const struct cs_value *out = cs_node_output(graph, node, 0);
    const char *activation = node->fusion.activation;
    if (!find_kernel(node->op) && !cs_evaluator_find(node->op))
        snprintf(why, why_size, "the operator has no kernel");
    else if (activation && !cs_function_find(activation))
        snprintf(why, why_size, "fused activation %s is unknown", activation);
    else if (cs_node_fuses(node) && (!out || out->type != CS_TYPE_F32))
        snprintf(why, why_size, "fused nodes must make float32");
    else
        return true;
    return false;
}

// Whether anything is to be made: empty tensors have no memory.
static bool makes_something(const struct cs_ref_call *call)
{
    for (int i = 0; i < call->node->output_count; i++)
        if (call->out[i])
            return true;
    return false;
}

// The call with an address for empty inputs, so that loops may count from it.
static struct cs_ref_call with_addresses(const struct cs_ref_call *call)
{
    static const int64_t nothing;
    struct cs_ref_call whole = *call;
    for (int i = 0; i < call->node->input_count; i++)
        if (call->node->inputs[i] >= 0 && !whole.in[i])
            whole.in[i] = &nothing;
    return whole;
}

int cs_ref_run(const struct cs_ref_call *call, struct cs_err *err)
{
    void (*kernel)(const struct cs_ref_call *) = find_kernel(call->node->op);
    const struct cs_evaluator *evaluator = cs_evaluator_find(call->node->op);
    const struct cs_ref_call whole = with_addresses(call);
    const struct cs_eval at = {call->graph, call->node, whole.in, whole.out};
    if (!makes_something(call))
        return 0;
    if (!kernel && evaluator->check && evaluator->check(&at, err) < 0)
        return -1;
    if (kernel)
        kernel(&whole);
    else
        evaluator->run(&at);
    if (cs_node_fuses(call->node))
        cs_ref_fusion(&whole);
    return 0;
}
