// SPDX-License-Identifier: MIT
// Steps of our own kernels.
#include "backend/cuda/call.h"

#include <string.h>

int cs_cuda_build_packed(struct cs_plan *plan, const struct cs_node *node,
                         struct cs_cuda_inputs inputs, const struct cs_cuda_tensor *packed,
                         cs_cuda_step_run *run, struct cs_err *err)
{
    size_t count = (size_t)node->input_count;
    struct cs_cuda_call *call = cs_cuda_params(plan, sizeof *call + count * sizeof *call->in);
    call->graph = cs_cuda_graph(plan);
    call->node = node;
    for (int i = 0; i < node->input_count; i++) {
        struct cs_cuda_operand *operand = &call->in[i];
        int value = inputs.unread >> i & 1 ? -1 : node->inputs[i];
        const struct cs_value *v = value < 0 ? NULL : &call->graph->values[value];
        operand->value = -1;
        if (v && v->data && inputs.exact >> i & 1
                ? cs_cuda_constant(plan, value, CS_CUDA_F32, &operand->tensor, err) < 0
                : v && cs_cuda_operand(plan, value, operand, err) < 0)
            return -1;
    }
    if (packed)
        call->in[1].tensor = *packed;
    call->add.value = -1;
    if (node->fusion.add >= 0 && cs_cuda_operand(plan, node->fusion.add, &call->add, err) < 0)
        return -1;
    cs_cuda_add_step(plan, node, run, call);
    return 0;
}

int cs_cuda_build_call(struct cs_plan *plan, const struct cs_node *node,
                       struct cs_cuda_inputs inputs, cs_cuda_step_run *run, struct cs_err *err)
{
    return cs_cuda_build_packed(plan, node, inputs, NULL, run, err);
}

struct cs_cuda_tensor cs_cuda_in(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                                 int i)
{
    const struct cs_cuda_call *call = cs_cuda_call_of(step);
    return i < call->node->input_count ? cs_cuda_operand_at(run, &call->in[i])
                                       : (struct cs_cuda_tensor){.data = NULL};
}

struct cs_cuda_tensor cs_cuda_out(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                                  int i)
{
    const struct cs_node *node = step->node;
    return i < node->output_count && node->outputs[i] >= 0 ? cs_cuda_at(run, node->outputs[i])
                                                           : (struct cs_cuda_tensor){.data = NULL};
}

struct cs_cuda_tensor cs_cuda_added(const struct cs_cuda_step *step, const struct cs_cuda_run *run)
{
    return cs_cuda_operand_at(run, &cs_cuda_call_of(step)->add);
}

struct cs_cuda_activation cs_cuda_fused(const struct cs_node *node)
{
    struct cs_cuda_activation function = {.function = CS_FN_IDENTITY};
    if (node->fusion.activation && cs_cuda_function_of(node->fusion.activation, &function)) {
        function.alpha = node->fusion.alpha;
        function.beta = node->fusion.beta;
    }
    return function;
}
