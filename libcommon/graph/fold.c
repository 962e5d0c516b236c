// SPDX-License-Identifier: MIT
// Constant evaluation: what exporters leave of size arithmetic. Folded results are bounded, since a
// few bytes of a model can ask for any number of elements.
#include <stdint.h>
#include <string.h>

#include "graph/eval.h"
#include "graph/infer.h"

// Bytes of all folded results of a graph, and elements of one that grows beyond its inputs.
static const size_t MAX_FOLDED_BYTES = (size_t)1 << 29;
static const int64_t MAX_GROWTH = INT64_C(1) << 20;

static bool all_constant(const struct cs_infer *at)
{
    if (strcmp(at->node->op, "Shape") == 0) // known from the tensor's shape alone
        return at->node->outputs[0] >= 0;
    for (int i = 0; i < at->node->input_count; i++) {
        const struct cs_value *value = cs_infer_input(at, i);
        if (value && !value->data)
            return false;
    }
    return at->node->outputs[0] >= 0 && !cs_node_fuses(at->node);
}

// Memory for an output; NULL when the model asks for too much.
static void *make_room(struct cs_infer *at, const struct cs_value *value, int64_t input_elements)
{
    int64_t elements = cs_shape_elements(&value->shape);
    int64_t most = input_elements > MAX_GROWTH ? input_elements : MAX_GROWTH;
    size_t left = MAX_FOLDED_BYTES - at->graph->folded_bytes, bytes = cs_type_bytes(value->type);
    if (elements < 0 || elements > most || (size_t)elements > left / bytes)
        return NULL;
    at->graph->folded_bytes += (size_t)elements * bytes;
    return cs_arena_alloc(&at->graph->arena, (size_t)elements + 1, bytes);
}

int cs_fold_node(struct cs_infer *at, bool *folded)
{
    const void *inputs[CS_MAX_NODE_IO];
    void *outputs[CS_MAX_NODE_IO];
    int64_t elements = 0;
    const struct cs_evaluator *evaluator = cs_evaluator_find(at->node->op);
    *folded = false;
    if (!evaluator || !all_constant(at))
        return 0;
    for (int i = 0; i < at->node->input_count; i++) {
        const struct cs_value *value = cs_infer_input(at, i);
        inputs[i] = value ? value->data : NULL;
        elements += value ? cs_shape_elements(&value->shape) : 0;
    }
    for (int i = 0; i < at->node->output_count; i++) {
        const struct cs_value *value = cs_node_output(at->graph, at->node, i);
        outputs[i] = NULL;
        if (!value || value->type == CS_TYPE_NONE)
            continue;
        outputs[i] = make_room(at, value, elements);
        if (!outputs[i])
            return 0; // stays a node, which runs
    }
    const struct cs_eval call = {at->graph, at->node, inputs, outputs};
    if (evaluator->check && evaluator->check(&call, at->err) < 0)
        return -1;
    evaluator->run(&call);
    for (int i = 0; i < at->node->output_count; i++)
        if (outputs[i])
            at->graph->values[at->node->outputs[i]].data = outputs[i];
    *folded = true;
    return 0;
}
