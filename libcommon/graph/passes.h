// SPDX-License-Identifier: MIT
// Inside of the passes: one file a rewrite, each with "does it match" and "apply".
#ifndef CS_GRAPH_PASSES_H
#define CS_GRAPH_PASSES_H

#include "graph/graph.h"

struct cs_pass {
    const char *name;
    enum cs_pass_set set; // the first set that has it
    bool (*match)(const struct cs_graph *graph, const struct cs_node *node);
    // Called where match said yes. The graph stays valid for cs_graph_finish.
    int (*apply)(struct cs_graph *graph, struct cs_node *node, struct cs_err *err);
};
extern const struct cs_pass cs_passes[]; // ends with a NULL name
// One pass over all nodes; *count rewrites were made.
int cs_pass_run(const struct cs_pass *pass, struct cs_graph *graph, int *count, struct cs_err *err);

// ---- Help for the rewrites ------------------------------------------------------------------

bool cs_node_is(const struct cs_node *node, const char *const *ops); // list ends with NULL
// The node that makes input i if nobody else reads that value; NULL otherwise.
struct cs_node *cs_pass_sole_producer(const struct cs_graph *graph, const struct cs_node *node,
                                      int i);
// The node of this operator, without fusions, that makes the value; NULL otherwise, also for -1.
const struct cs_node *cs_pass_maker(const struct cs_graph *graph, int value, const char *op);
// Everybody who reads `from` reads `to` instead, outputs of the graph included.
void cs_pass_replace(struct cs_graph *graph, int from, int to);
// `host` makes output 0 of `node`, which is dropped.
void cs_pass_take_output(struct cs_graph *graph, struct cs_node *host, struct cs_node *node);
// The nodes from index `from` to the last go before the one at index `to`.
void cs_pass_move(struct cs_graph *graph, int from, int to);
void cs_pass_drop(struct cs_graph *graph, struct cs_node *node);
// The node becomes another operator of these values, without attributes, with the same output.
void cs_pass_become(struct cs_graph *graph, struct cs_node *node, const char *op, const int *inputs,
                    int input_count);

// ---- The rewrites ---------------------------------------------------------------------------

bool cs_fold_constants_match(const struct cs_graph *graph, const struct cs_node *node);
int cs_fold_constants_apply(struct cs_graph *graph, struct cs_node *node, struct cs_err *err);
bool cs_remove_identity_match(const struct cs_graph *graph, const struct cs_node *node);
int cs_remove_identity_apply(struct cs_graph *graph, struct cs_node *node, struct cs_err *err);
bool cs_fold_batchnorm_match(const struct cs_graph *graph, const struct cs_node *node);
int cs_fold_batchnorm_apply(struct cs_graph *graph, struct cs_node *node, struct cs_err *err);
bool cs_global_pool_match(const struct cs_graph *graph, const struct cs_node *node);
int cs_global_pool_apply(struct cs_graph *graph, struct cs_node *node, struct cs_err *err);
bool cs_spelled_function_match(const struct cs_graph *graph, const struct cs_node *node);
int cs_spelled_function_apply(struct cs_graph *graph, struct cs_node *node, struct cs_err *err);
bool cs_layer_norm_match(const struct cs_graph *graph, const struct cs_node *node);
int cs_layer_norm_apply(struct cs_graph *graph, struct cs_node *node, struct cs_err *err);
bool cs_group_norm_match(const struct cs_graph *graph, const struct cs_node *node);
int cs_group_norm_apply(struct cs_graph *graph, struct cs_node *node, struct cs_err *err);
bool cs_attention_match(const struct cs_graph *graph, const struct cs_node *node);
int cs_attention_apply(struct cs_graph *graph, struct cs_node *node, struct cs_err *err);
bool cs_lift_resize_match(const struct cs_graph *graph, const struct cs_node *node);
int cs_lift_resize_apply(struct cs_graph *graph, struct cs_node *node, struct cs_err *err);
bool cs_fuse_add_match(const struct cs_graph *graph, const struct cs_node *node);
int cs_fuse_add_apply(struct cs_graph *graph, struct cs_node *node, struct cs_err *err);
bool cs_fuse_activation_match(const struct cs_graph *graph, const struct cs_node *node);
int cs_fuse_activation_apply(struct cs_graph *graph, struct cs_node *node, struct cs_err *err);

#endif
