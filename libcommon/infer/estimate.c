// SPDX-License-Identifier: MIT
#include "infer/estimate.h"

#include <string.h>

#include "backend/cuda/memory.h"

static size_t type_bytes(enum cs_precision precision)
{
    return precision == CS_FP16 ? 2 : 4;
}

// Inputs of a node that are its weights.
static bool takes_weights(const struct cs_node *node, int input)
{
    static const char *const ops[] = {"Conv", "ConvTranspose", "MatMul", "Gemm", NULL};
    for (const char *const *op = ops; *op; op++)
        if (strcmp(*op, node->op) == 0)
            return input == 1;
    return false;
}

static size_t weight_bytes(const struct cs_graph *graph, enum cs_precision precision)
{
    size_t total = 0;
    for (int n = 0; n < graph->node_count; n++) {
        const struct cs_node *node = &graph->nodes[n];
        for (int i = 0; i < node->input_count; i++) {
            const struct cs_value *v = cs_node_input(graph, node, i);
            if (!v || !v->data || v->type != CS_TYPE_F32)
                continue;
            total += (size_t)cs_shape_elements(&v->shape) *
                     (takes_weights(node, i) ? type_bytes(precision) : sizeof(float));
        }
    }
    return total;
}

int cs_estimate_cuda(const struct cs_graph *graph, enum cs_precision precision,
                     struct cs_memory_use *use, struct cs_err *err)
{
    struct cs_cuda_memory memory;
    if (cs_cuda_memory_plan(graph, precision, &memory, err) != 0)
        return -1;
    *use = (struct cs_memory_use){.weights = weight_bytes(graph, precision),
                                  .arena = memory.arena_bytes,
                                  .workspace = CS_ESTIMATE_WORKSPACE};
    cs_cuda_memory_release(&memory);
    return 0;
}
