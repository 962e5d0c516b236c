// SPDX-License-Identifier: MIT
// Inside of shape inference: the table of operators that the engine knows. An operator's `infer`
// checks its inputs and sets type and shape of every output; when all inputs are constants, the
// evaluators of eval.h compute them. See infer.c for the driver.
#ifndef CS_GRAPH_INFER_H
#define CS_GRAPH_INFER_H

#include "graph/graph.h"
#include "graph/params.h"

struct cs_infer {
    struct cs_graph *graph; // concrete, complete up to this node
    struct cs_node *node;
    struct cs_err *err;
};

struct cs_operator {
    const char *name;
    int min_inputs, max_inputs, max_outputs;
    unsigned types; // of input 0: bits 1 << enum cs_type
    int (*infer)(struct cs_infer *at);
};
const struct cs_operator *cs_operator_find(const char *name); // NULL: unknown

// ---- Help for the infer functions -----------------------------------------------------------

static inline const struct cs_value *cs_infer_input(const struct cs_infer *at, int i)
{
    return cs_node_input(at->graph, at->node, i);
}
// Set output i; does nothing for an omitted one.
void cs_infer_set(struct cs_infer *at, int i, enum cs_type type, const struct cs_shape *shape);
int cs_infer_same(struct cs_infer *at); // output 0 is like input 0
// Input i, if given, must be a vector of `count` float32; `what` names it.
int cs_infer_vector(struct cs_infer *at, int i, int64_t count, const char *what);
// Type and shape of one node's outputs; *folded: they became constants and the node may go.
int cs_infer_node(struct cs_infer *at, bool *folded);
// Constant evaluation (fold.c): replaces the outputs by constants if every input is one and there
// is an evaluator for the operator.
int cs_fold_node(struct cs_infer *at, bool *folded);

// ---- The operators, by family ---------------------------------------------------------------

int cs_infer_conv(struct cs_infer *at);
int cs_infer_conv_transpose(struct cs_infer *at);
int cs_infer_pool(struct cs_infer *at);
int cs_infer_global_pool(struct cs_infer *at);
int cs_infer_resize(struct cs_infer *at);
int cs_infer_batch_norm(struct cs_infer *at);
int cs_infer_instance_norm(struct cs_infer *at);
int cs_infer_group_norm(struct cs_infer *at);
int cs_infer_layer_norm(struct cs_infer *at);

int cs_infer_broadcast(struct cs_infer *at);
int cs_infer_variadic(struct cs_infer *at);
int cs_infer_compare(struct cs_infer *at);
int cs_infer_pow(struct cs_infer *at);
int cs_infer_where(struct cs_infer *at);
int cs_infer_prelu(struct cs_infer *at);
int cs_infer_clip(struct cs_infer *at);
int cs_infer_softmax(struct cs_infer *at);
int cs_infer_matmul(struct cs_infer *at);
int cs_infer_gemm(struct cs_infer *at);
int cs_infer_reduce(struct cs_infer *at);
int cs_infer_arg(struct cs_infer *at);

int cs_infer_shape(struct cs_infer *at);
int cs_infer_reshape(struct cs_infer *at);
int cs_infer_flatten(struct cs_infer *at);
int cs_infer_squeeze(struct cs_infer *at);
int cs_infer_unsqueeze(struct cs_infer *at);
int cs_infer_transpose(struct cs_infer *at);
int cs_infer_concat(struct cs_infer *at);
int cs_infer_split(struct cs_infer *at);
int cs_infer_slice(struct cs_infer *at);
int cs_infer_gather(struct cs_infer *at);
int cs_infer_gather_nd(struct cs_infer *at);
int cs_infer_scatter_nd(struct cs_infer *at);
int cs_infer_pad(struct cs_infer *at);
int cs_infer_expand(struct cs_infer *at);
int cs_infer_tile(struct cs_infer *at);
int cs_infer_cast(struct cs_infer *at);
int cs_infer_dropout(struct cs_infer *at);
int cs_infer_constant_of_shape(struct cs_infer *at);
int cs_infer_range(struct cs_infer *at);
int cs_infer_depth_to_space(struct cs_infer *at);
int cs_infer_space_to_depth(struct cs_infer *at);

#endif
