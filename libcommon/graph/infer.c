// SPDX-License-Identifier: MIT
// The driver of shape inference and its table of operators. Nodes are visited once, in order; a
// node whose inputs are all constants is computed on the spot (fold.c), so that the integer
// arithmetic by which exporters compute sizes disappears.
#include "graph/infer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// Types of input 0.
enum {
    FLOATS = 1 << CS_TYPE_F32,
    BOOLS = 1 << CS_TYPE_BOOL,
    NUMBERS = FLOATS | 1 << CS_TYPE_I64 | 1 << CS_TYPE_I32,
    ANY = NUMBERS | BOOLS,
};

// The fields of an entry for operators of one kind.
#define FUNCTION_OP(op, types)          op, 1, 1, 1, types, cs_infer_same
#define BINARY_OP(op)                   op, 2, 2, 1, NUMBERS, cs_infer_broadcast
#define COMPARE_OP(op, types)           op, 2, 2, 1, types, cs_infer_compare
#define VARIADIC_OP(op)                 op, 1, CS_MAX_NODE_IO, 1, NUMBERS, cs_infer_variadic
#define REDUCE_OP(op, types)            op, 1, 2, 1, types, cs_infer_reduce
#define MOVE_OP(op, least, most, infer) op, least, most, 1, ANY, infer

// Sorted by family; looked up by name.
static const struct cs_operator operators[] = {
    {"Conv", 2, 3, 1, FLOATS, cs_infer_conv},
    {"ConvTranspose", 2, 3, 1, FLOATS, cs_infer_conv_transpose},
    {"MaxPool", 1, 1, 2, FLOATS, cs_infer_pool},
    {"AveragePool", 1, 1, 1, FLOATS, cs_infer_pool},
    {"GlobalAveragePool", 1, 1, 1, FLOATS, cs_infer_global_pool},
    {"GlobalMaxPool", 1, 1, 1, FLOATS, cs_infer_global_pool},
    {"Resize", 1, 4, 1, FLOATS, cs_infer_resize},
    {"Upsample", 2, 2, 1, FLOATS, cs_infer_resize},
    {"BatchNormalization", 5, 5, 5, FLOATS, cs_infer_batch_norm},
    {"InstanceNormalization", 3, 3, 1, FLOATS, cs_infer_instance_norm},
    {"GroupNormalization", 3, 3, 1, FLOATS, cs_infer_group_norm},
    {"LayerNormalization", 2, 3, 3, FLOATS, cs_infer_layer_norm},

    {FUNCTION_OP("Relu", NUMBERS)},
    {FUNCTION_OP("LeakyRelu", FLOATS)},
    {FUNCTION_OP("Elu", FLOATS)},
    {FUNCTION_OP("Sigmoid", FLOATS)},
    {FUNCTION_OP("HardSigmoid", FLOATS)},
    {FUNCTION_OP("HardSwish", FLOATS)},
    {FUNCTION_OP("Swish", FLOATS)},
    {FUNCTION_OP("Softplus", FLOATS)},
    {FUNCTION_OP("Tanh", FLOATS)},
    {FUNCTION_OP("Erf", FLOATS)},
    {FUNCTION_OP("Gelu", FLOATS)},
    {FUNCTION_OP("Mish", FLOATS)},
    {FUNCTION_OP("Exp", FLOATS)},
    {FUNCTION_OP("Log", FLOATS)},
    {FUNCTION_OP("Sqrt", FLOATS)},
    {FUNCTION_OP("Abs", NUMBERS)},
    {FUNCTION_OP("Neg", NUMBERS)},
    {FUNCTION_OP("Sign", NUMBERS)},
    {FUNCTION_OP("Floor", FLOATS)},
    {FUNCTION_OP("Ceil", FLOATS)},
    {FUNCTION_OP("Not", BOOLS)},
    {"Clip", 1, 3, 1, NUMBERS, cs_infer_clip},
    {"PRelu", 2, 2, 1, FLOATS, cs_infer_prelu},
    {"Softmax", 1, 1, 1, FLOATS, cs_infer_softmax},
    {BINARY_OP("Add")},
    {BINARY_OP("Sub")},
    {BINARY_OP("Mul")},
    {BINARY_OP("Div")},
    {BINARY_OP("Mod")},
    {"Pow", 2, 2, 1, NUMBERS, cs_infer_pow},
    {VARIADIC_OP("Max")},
    {VARIADIC_OP("Min")},
    {VARIADIC_OP("Sum")},
    {VARIADIC_OP("Mean")},
    {COMPARE_OP("Equal", ANY)},
    {COMPARE_OP("Greater", NUMBERS)},
    {COMPARE_OP("Less", NUMBERS)},
    {COMPARE_OP("GreaterOrEqual", NUMBERS)},
    {COMPARE_OP("LessOrEqual", NUMBERS)},
    {COMPARE_OP("And", BOOLS)},
    {COMPARE_OP("Or", BOOLS)},
    {COMPARE_OP("Xor", BOOLS)},
    {"Where", 3, 3, 1, BOOLS, cs_infer_where},
    {"MatMul", 2, 2, 1, FLOATS, cs_infer_matmul},
    {"Gemm", 2, 3, 1, FLOATS, cs_infer_gemm},
    {REDUCE_OP("ReduceMean", NUMBERS)},
    {REDUCE_OP("ReduceMax", ANY)},
    {REDUCE_OP("ReduceMin", ANY)},
    {REDUCE_OP("ReduceSum", NUMBERS)},
    {REDUCE_OP("ReduceProd", NUMBERS)},
    {REDUCE_OP("ReduceL2", NUMBERS)},
    {"ArgMax", 1, 1, 1, NUMBERS, cs_infer_arg},
    {"ArgMin", 1, 1, 1, NUMBERS, cs_infer_arg},

    {"Shape", 1, 1, 1, ANY, cs_infer_shape},
    {MOVE_OP("Identity", 1, 1, cs_infer_same)},
    {"Dropout", 1, 3, 2, FLOATS, cs_infer_dropout},
    {MOVE_OP("Reshape", 2, 2, cs_infer_reshape)},
    {MOVE_OP("Flatten", 1, 1, cs_infer_flatten)},
    {MOVE_OP("Squeeze", 1, 2, cs_infer_squeeze)},
    {MOVE_OP("Unsqueeze", 1, 2, cs_infer_unsqueeze)},
    {MOVE_OP("Transpose", 1, 1, cs_infer_transpose)},
    {MOVE_OP("Concat", 1, CS_MAX_NODE_IO, cs_infer_concat)},
    {"Split", 1, 2, CS_MAX_NODE_IO, ANY, cs_infer_split},
    {MOVE_OP("Slice", 1, 5, cs_infer_slice)},
    {MOVE_OP("Gather", 2, 2, cs_infer_gather)},
    {MOVE_OP("GatherND", 2, 2, cs_infer_gather_nd)},
    {MOVE_OP("ScatterND", 3, 3, cs_infer_scatter_nd)},
    {MOVE_OP("Pad", 1, 4, cs_infer_pad)},
    {MOVE_OP("Expand", 2, 2, cs_infer_expand)},
    {MOVE_OP("Tile", 2, 2, cs_infer_tile)},
    {MOVE_OP("DepthToSpace", 1, 1, cs_infer_depth_to_space)},
    {MOVE_OP("SpaceToDepth", 1, 1, cs_infer_space_to_depth)},
    {"Cast", 1, 1, 1, ANY, cs_infer_cast},
    {"ConstantOfShape", 1, 1, 1, ANY, cs_infer_constant_of_shape},
    {"Range", 3, 3, 1, NUMBERS, cs_infer_range},
};

const struct cs_operator *cs_operator_find(const char *name)
{
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (strcmp(operators[i].name, name) == 0)
            return &operators[i];
    return NULL;
}

// ---- Help for the infer functions ----------------------------------------------------------

void cs_infer_set(struct cs_infer *at, int i, enum cs_type type, const struct cs_shape *shape)
{
    if (i >= at->node->output_count || at->node->outputs[i] < 0)
        return;
    struct cs_value *value = &at->graph->values[at->node->outputs[i]];
    value->type = type;
    value->shape = *shape;
}

int cs_infer_same(struct cs_infer *at)
{
    const struct cs_value *in = cs_infer_input(at, 0);
    cs_infer_set(at, 0, in->type, &in->shape);
    return 0;
}

int cs_infer_vector(struct cs_infer *at, int i, int64_t count, const char *what)
{
    const struct cs_value *value = cs_infer_input(at, i);
    if (!value)
        return 0;
    if (value->type != CS_TYPE_F32 || value->shape.rank != 1 || value->shape.dim[0] != count)
        return cs_node_fail(at->node, at->err, "%s must be a vector of %lld float32", what,
                            (long long)count);
    return 0;
}

// ---- The driver ----------------------------------------------------------------------------

static void copy_graph(const struct cs_graph *from, struct cs_graph *to)
{
    cs_graph_init(to, from->opset);
    for (int v = 0; v < from->value_count; v++) {
        const struct cs_value *value = &from->values[v];
        int copy = cs_graph_add_value(to, value->name, value->type, &value->shape);
        to->values[copy].data = value->data;
        to->values[copy].in_file = value->in_file;
    }
    for (int n = 0; n < from->node_count; n++) {
        const struct cs_node *node = &from->nodes[n];
        struct cs_node *copy =
            cs_graph_add_node(to, node->op, node->name, node->inputs, node->input_count,
                              node->outputs, node->output_count);
        copy->fusion = node->fusion;
        cs_node_copy_attrs(to, copy, node);
    }
    for (int i = 0; i < from->input_count; i++)
        cs_graph_add_input(to, from->inputs[i]);
    for (int i = 0; i < from->output_count; i++)
        cs_graph_add_output(to, from->outputs[i]);
}

static int set_input(struct cs_graph *graph, int i, const struct cs_shape *shape,
                     struct cs_err *err)
{
    struct cs_value *value = &graph->values[graph->inputs[i]];
    char wanted[128], given[128];
    cs_shape_text(&value->shape, wanted, sizeof wanted);
    cs_shape_text(shape, given, sizeof given);
    bool fits = value->shape.rank < 0 || value->shape.rank == shape->rank;
    for (int d = 0; fits && d < value->shape.rank; d++)
        fits = value->shape.dim[d] < 0 || value->shape.dim[d] == shape->dim[d];
    if (!fits || cs_shape_elements(shape) < 0)
        return cs_fail(err, CS_EMODEL, "input \"%.100s\" is %s, which %s does not fit", value->name,
                       wanted, given);
    value->shape = *shape;
    return 0;
}

static int check_node(const struct cs_infer *at, const struct cs_operator *op)
{
    const struct cs_node *node = at->node;
    if (!op)
        return cs_node_fail(node, at->err, "the operator is not supported");
    if (node->input_count < op->min_inputs || node->input_count > op->max_inputs ||
        node->output_count < 1 || node->output_count > op->max_outputs)
        return cs_node_fail(node, at->err, "has %d inputs and %d outputs", node->input_count,
                            node->output_count);
    for (int i = 0; i < op->min_inputs; i++)
        if (!cs_infer_input(at, i))
            return cs_node_fail(node, at->err, "input %d is missing", i);
    for (int i = 0; i < node->input_count; i++) {
        const struct cs_value *value = cs_infer_input(at, i);
        if (value && cs_shape_elements(&value->shape) < 0)
            return cs_node_fail(node, at->err, "the shape of input %d is unknown", i);
    }
    enum cs_type type = cs_infer_input(at, 0)->type;
    if (!(op->types >> type & 1))
        return cs_node_fail(node, at->err, "%s tensors are not supported", cs_type_name(type));
    return 0;
}

static int check_outputs(const struct cs_infer *at)
{
    for (int i = 0; i < at->node->output_count; i++) {
        const struct cs_value *value = cs_node_output(at->graph, at->node, i);
        if (!value || (value->type == CS_TYPE_NONE && value->uses == 0))
            continue;
        if (value->type == CS_TYPE_NONE)
            return cs_node_fail(at->node, at->err, "output %d is not supported", i);
        if (cs_shape_elements(&value->shape) < 0)
            return cs_node_fail(at->node, at->err, "output %d is too large", i);
    }
    return 0;
}

int cs_infer_node(struct cs_infer *at, bool *folded)
{
    const struct cs_operator *op = cs_operator_find(at->node->op);
    *folded = false;
    if (check_node(at, op) < 0 || op->infer(at) < 0 || cs_fold_node(at, folded) < 0)
        return -1;
    return *folded ? 0 : check_outputs(at);
}

int cs_graph_infer(const struct cs_graph *graph, const struct cs_shape *input_shapes,
                   struct cs_graph *concrete, struct cs_err *err)
{
    copy_graph(graph, concrete);
    for (int i = 0; i < concrete->input_count; i++)
        if (set_input(concrete, i, &input_shapes[i], err) < 0)
            goto fail;
    if (cs_graph_finish(concrete, err) < 0)
        goto fail;
    int kept = 0;
    for (int n = 0; n < concrete->node_count; n++) {
        struct cs_infer at = {concrete, &concrete->nodes[n], err};
        bool folded;
        if (cs_infer_node(&at, &folded) < 0)
            goto fail;
        if (!folded)
            concrete->nodes[kept++] = concrete->nodes[n];
    }
    concrete->node_count = kept;
    if (cs_graph_finish(concrete, err) < 0)
        goto fail;
    return 0;
fail:
    cs_graph_release(concrete);
    return -1;
}
