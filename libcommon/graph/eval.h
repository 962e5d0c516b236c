// SPDX-License-Identifier: MIT
// What operators mean, in plain loops over dense row-major tensors of any type: arithmetic,
// comparison, reductions, choice, movement. Shape inference folds constants with it, and backends
// on the CPU run it. float32 is computed as double and rounded once; integers are computed as int64
// and wrap around, as integers of tensors do.
//
// Nothing here allocates; loops are shared out among OpenMP threads without changing a bit. A loop
// over elements may write over an input of the output's own shape and type.
#ifndef CS_GRAPH_EVAL_H
#define CS_GRAPH_EVAL_H

#include "graph/graph.h"

struct cs_eval {
    const struct cs_graph *graph; // the node went through shape inference
    const struct cs_node *node;
    const void *const *in; // the node's inputs, constants too; NULL where omitted
    void *const *out;      // its outputs; NULL where omitted or not wanted
};

struct cs_evaluator {
    const char *op;
    void (*run)(const struct cs_eval *at);
    // Whether the samples are possible: indices inside, no integer divided by 0. NULL: any are.
    int (*check)(const struct cs_eval *at, struct cs_err *err);
};
const struct cs_evaluator *cs_evaluator_find(const char *op); // NULL: unknown

// ---- Functions of one element ---------------------------------------------------------------

// f(x, alpha, beta): also the activations that passes fuse into other nodes.
struct cs_function {
    const char *name; // of the operator
    double (*real)(double x, double alpha, double beta);
    int64_t (*integer)(int64_t x); // NULL: not for integers
    float alpha, beta;             // defaults of ONNX
};
const struct cs_function *cs_function_find(const char *name); // NULL: unknown

// A tensor as loops over elements see it.
struct cs_dense {
    enum cs_type type;
    const struct cs_shape *shape;
    const void *data;
};
// out[i] = function(in[i]) of float32.
void cs_eval_map(const struct cs_function *function, const float *in, float *out, int64_t count,
                 double alpha, double beta);
// out = a + b, broadcast.
void cs_eval_add(struct cs_dense a, struct cs_dense b, enum cs_type type,
                 const struct cs_shape *shape, void *out);

// ---- Tables, one a file, ended by a NULL name ------------------------------------------------

extern const struct cs_evaluator cs_eval_arithmetic[], cs_eval_functions[], cs_eval_makers[],
    cs_eval_moves[], cs_eval_reductions[];

#endif
