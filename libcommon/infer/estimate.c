// SPDX-License-Identifier: MIT
#include "infer/estimate.h"

#include <string.h>

enum { CHANNELS = 8 };

static size_t type_bytes(enum cs_precision precision)
{
    return precision == CS_FP16 || precision == CS_BF16 ? 2 : 4;
}

// Elements with the dimensions `first` to `first + count - 1` padded.
static size_t padded_elements(const struct cs_shape *shape, int first, int count)
{
    size_t total = 1;
    for (int d = 0; d < shape->rank; d++) {
        size_t n = (size_t)shape->dim[d];
        if (d >= first && d < first + count)
            n = (n + CHANNELS - 1) / CHANNELS * CHANNELS;
        total *= n;
    }
    return total;
}

static size_t activation_bytes(const struct cs_graph *graph, int value, void *context)
{
    const struct cs_value *v = &graph->values[value];
    int64_t plain = cs_shape_elements(&v->shape);
    if (plain <= 0)
        return 0;
    if (v->type != CS_TYPE_F32)
        return (size_t)plain * cs_type_bytes(v->type);
    size_t bytes = type_bytes(*(const enum cs_precision *)context);
    return v->shape.rank == 4 ? padded_elements(&v->shape, 1, 1) * bytes : (size_t)plain * bytes;
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
            total += takes_weights(node, i)
                         ? padded_elements(&v->shape, 0, 2) * type_bytes(precision)
                         : (size_t)cs_shape_elements(&v->shape) * sizeof(float);
        }
    }
    return total;
}

int cs_estimate_cuda(const struct cs_graph *graph, enum cs_precision precision,
                     struct cs_memory_use *use, struct cs_err *err)
{
    struct cs_memory_plan plan;
    if (cs_memory_plan_make(graph, activation_bytes, &precision, &plan, err) != 0)
        return -1;
    *use = (struct cs_memory_use){.weights = weight_bytes(graph, precision),
                                  .arena = plan.arena_bytes,
                                  .workspace = CS_ESTIMATE_WORKSPACE};
    cs_memory_plan_release(&plan);
    return 0;
}
