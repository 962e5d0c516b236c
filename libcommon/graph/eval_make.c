// SPDX-License-Identifier: MIT
// Operators that make tensors out of parameters: Shape, ConstantOfShape, Range. Shape inference
// knows the sizes of their results from constants only, so that they are always folded.
#include <string.h>

#include "graph/element.h"
#include "graph/eval.h"

static void run_shape(const struct cs_eval *at)
{
    const struct cs_shape *shape = &cs_node_input(at->graph, at->node, 0)->shape;
    int64_t start = cs_node_int(at->node, "start", 0);
    int64_t count = cs_node_output(at->graph, at->node, 0)->shape.dim[0];
    start = start < 0 ? start + shape->rank : start;
    start = start < 0 ? 0 : start > shape->rank ? shape->rank : start;
    if (count)
        memcpy(at->out[0], shape->dim + start, (size_t)count * sizeof *shape->dim);
}

static void run_constant_of_shape(const struct cs_eval *at)
{
    const struct cs_value *out = cs_node_output(at->graph, at->node, 0);
    double real = (double)cs_node_float(at->node, "value", 0);
    int64_t integer = cs_node_int(at->node, "value", 0), count = cs_shape_elements(&out->shape);
    for (int64_t i = 0; i < count; i++) {
        if (out->type == CS_TYPE_F32)
            cs_store_reals(out->type, at->out[0], i, 1, &real);
        else
            cs_store_integers(out->type, at->out[0], i, 1, &integer);
    }
}

static void run_range(const struct cs_eval *at)
{
    const struct cs_value *out = cs_node_output(at->graph, at->node, 0);
    double start, step;
    int64_t first, delta;
    cs_load_reals(out->type, at->in[0], 0, 0, 1, &start);
    cs_load_reals(out->type, at->in[2], 0, 0, 1, &step);
    cs_load_integers(out->type, at->in[0], 0, 0, 1, &first);
    cs_load_integers(out->type, at->in[2], 0, 0, 1, &delta);
    for (int64_t i = 0; i < out->shape.dim[0]; i++) {
        double real = start + (double)i * step;
        int64_t integer = (int64_t)((uint64_t)first + (uint64_t)i * (uint64_t)delta);
        if (out->type == CS_TYPE_F32)
            cs_store_reals(out->type, at->out[0], i, 1, &real);
        else
            cs_store_integers(out->type, at->out[0], i, 1, &integer);
    }
}

const struct cs_evaluator cs_eval_makers[] = {
    {"Shape", run_shape, NULL},
    {"ConstantOfShape", run_constant_of_shape, NULL},
    {"Range", run_range, NULL},
    {NULL, NULL, NULL},
};
