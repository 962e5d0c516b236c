// SPDX-License-Identifier: MIT
// A node whose inputs are all constants becomes one: Identity over shared weights, Unsqueeze of a
// scale, arithmetic that an exporter left. Works before shapes are known, since constants have
// theirs.
#include "graph/eval.h"
#include "graph/infer.h"
#include "graph/passes.h"

bool cs_fold_constants_match(const struct cs_graph *graph, const struct cs_node *node)
{
    const struct cs_operator *op = cs_operator_find(node->op);
    if (!op || !cs_evaluator_find(node->op) || node->input_count == 0 ||
        node->input_count < op->min_inputs)
        return false;
    for (int i = 0; i < node->input_count; i++) {
        const struct cs_value *value = cs_node_input(graph, node, i);
        if (value && !value->data)
            return false;
    }
    return true;
}

int cs_fold_constants_apply(struct cs_graph *graph, struct cs_node *node, struct cs_err *err)
{
    struct cs_infer at = {graph, node, err};
    bool folded;
    if (cs_infer_node(&at, &folded) < 0)
        return -1;
    if (folded)
        cs_pass_drop(graph, node);
    return 0;
}
