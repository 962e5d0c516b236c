// SPDX-License-Identifier: MIT
// How many bytes of the device's memory the steps of a node read and write, counted as if caches
// held nothing but what a kernel's floor says they hold (launch.h). It is what a GPU's time is held
// against where multiplications do not decide.
#include <string.h>

#include "backend/cuda/late.h"

enum { CHANNELS = 1, PLANE = 4, SMALL_PLANE = 1024 };

static bool is(const struct cs_node *node, const char *op)
{
    return strcmp(node->op, op) == 0;
}

static double bytes_of(const struct cs_plan *plan, int value)
{
    if (value < 0)
        return 0;
    const struct cs_value *v = &plan->graph->values[value];
    int64_t count = cs_shape_elements(&v->shape);
    return count > 0
               ? (double)count * (double)cs_cuda_type_bytes(cs_cuda_type_of(v, plan->memory.real))
               : 0;
}

// Not made where it lies, as a part of a wider tensor.
static bool is_slice(const struct cs_plan *plan, int value)
{
    const struct cs_shape *shape = &plan->graph->values[value].shape;
    return shape->rank == PLANE && plan->memory.places[value].stride[3] > shape->dim[CHANNELS];
}

// Operands that lie where the concatenation has them cost nothing.
static double of_concat(const struct cs_plan *plan, const struct cs_node *node)
{
    double bytes = 0;
    for (int i = 0; i < node->input_count; i++)
        if (!is_slice(plan, node->inputs[i]))
            bytes += 2 * bytes_of(plan, node->inputs[i]);
    return bytes;
}

// A norm that measures reads its input twice, unless a block has all of the plane.
static double of_norm(const struct cs_plan *plan, const struct cs_node *node)
{
    const struct cs_shape *in = &plan->graph->values[node->inputs[0]].shape;
    double plane = bytes_of(plan, node->inputs[0]);
    int64_t pixels = 1;
    for (int d = 2; d < in->rank; d++)
        pixels *= in->dim[d];
    bool known = is(node, "BatchNormalization") ||
                 plan->late[node->inputs[0]].sums != CS_CUDA_NOT_LATE || pixels <= SMALL_PLANE;
    if (plan->late[node->outputs[0]].map != CS_CUDA_NOT_LATE)
        return 0;
    return (known ? 2 : 3) * plane + bytes_of(plan, node->fusion.add);
}

double cs_cuda_traffic(const struct cs_plan *plan, const struct cs_node *node)
{
    double bytes = bytes_of(plan, node->fusion.add);
    if (is(node, "Concat"))
        return of_concat(plan, node);
    if (is(node, "InstanceNormalization") || is(node, "GroupNormalization") ||
        is(node, "BatchNormalization"))
        return of_norm(plan, node);
    if (plan->late[node->outputs[0]].early) // a copy
        return 2 * bytes_of(plan, node->outputs[0]);
    for (int i = 0; i < node->input_count; i++)
        bytes += bytes_of(plan, node->inputs[i]);
    for (int i = 0; i < node->output_count; i++)
        bytes += bytes_of(plan, node->outputs[i]);
    // Spread over its place by a kernel of ours, or by cuDNN where it is a slice.
    bool twice =
        is(node, "ConvTranspose") || (is(node, "Conv") && is_slice(plan, node->outputs[0]));
    return bytes + (twice ? 2 * bytes_of(plan, node->outputs[0]) : 0);
}
