// SPDX-License-Identifier: MIT
// The driver of shape inference and its table of operators. Nodes are visited once, in order; a
// node whose inputs are all constants is computed on the spot (fold.c), so that the integer
// arithmetic by which exporters compute sizes disappears.
#include "graph/infer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// The fields of an entry for operators of one kind.
#define FLOAT_OP(op, inputs, infer) op, inputs, inputs, 1, CS_OPERANDS_FLOAT, infer, NULL
#define FLOAT_UNARY(op)             op, 1, 1, 1, CS_OPERANDS_FLOAT, cs_infer_same, NULL
#define UNARY_OP(op)                op, 1, 1, 1, CS_OPERANDS_ANY, cs_infer_same, cs_fold_unary
#define BINARY_OP(op, infer)        op, 2, 2, 1, CS_OPERANDS_ANY, infer, cs_fold_binary
#define REDUCE_OP(op)               op, 1, 2, 1, CS_OPERANDS_ANY, cs_infer_reduce, cs_fold_reduce
#define VARIADIC_OP(op)                                                                            \
    op, 1, CS_MAX_NODE_IO, 1, CS_OPERANDS_ANY, cs_infer_variadic, cs_fold_variadic

#define MOVE_OP(op, least, most, infer) op, least, most, 1, CS_OPERANDS_ANY, infer, cs_fold_move

// Sorted by family; looked up by name.
static const struct cs_operator operators[] = {
    {"Conv", 2, 3, 1, CS_OPERANDS_FLOAT, cs_infer_conv, NULL},
    {"ConvTranspose", 2, 3, 1, CS_OPERANDS_FLOAT, cs_infer_conv_transpose, NULL},
    {FLOAT_OP("MaxPool", 1, cs_infer_pool)},
    {FLOAT_OP("AveragePool", 1, cs_infer_pool)},
    {FLOAT_OP("GlobalAveragePool", 1, cs_infer_global_pool)},
    {FLOAT_OP("GlobalMaxPool", 1, cs_infer_global_pool)},
    {"Resize", 1, 4, 1, CS_OPERANDS_FLOAT, cs_infer_resize, NULL},
    {FLOAT_OP("Upsample", 2, cs_infer_resize)},
    {"BatchNormalization", 5, 5, 5, CS_OPERANDS_FLOAT, cs_infer_batch_norm, NULL},
    {FLOAT_OP("InstanceNormalization", 3, cs_infer_instance_norm)},
    {FLOAT_OP("GroupNormalization", 3, cs_infer_group_norm)},
    {"LayerNormalization", 2, 3, 3, CS_OPERANDS_FLOAT, cs_infer_layer_norm, NULL},

    {FLOAT_UNARY("Relu")},
    {FLOAT_UNARY("LeakyRelu")},
    {FLOAT_UNARY("Elu")},
    {FLOAT_UNARY("Sigmoid")},
    {FLOAT_UNARY("HardSigmoid")},
    {FLOAT_UNARY("HardSwish")},
    {FLOAT_UNARY("Softplus")},
    {FLOAT_UNARY("Tanh")},
    {FLOAT_UNARY("Erf")},
    {FLOAT_UNARY("Gelu")},
    {FLOAT_UNARY("Mish")},
    {UNARY_OP("Exp")},
    {UNARY_OP("Log")},
    {UNARY_OP("Sqrt")},
    {UNARY_OP("Abs")},
    {UNARY_OP("Neg")},
    {UNARY_OP("Floor")},
    {UNARY_OP("Ceil")},
    {"Clip", 1, 3, 1, CS_OPERANDS_FLOAT, cs_infer_clip, NULL},
    {FLOAT_OP("PRelu", 2, cs_infer_prelu)},
    {FLOAT_OP("Softmax", 1, cs_infer_softmax)},
    {BINARY_OP("Add", cs_infer_broadcast)},
    {BINARY_OP("Sub", cs_infer_broadcast)},
    {BINARY_OP("Mul", cs_infer_broadcast)},
    {BINARY_OP("Div", cs_infer_broadcast)},
    {BINARY_OP("Pow", cs_infer_broadcast)},
    {BINARY_OP("Mod", cs_infer_broadcast)},
    {VARIADIC_OP("Max")},
    {VARIADIC_OP("Min")},
    {VARIADIC_OP("Sum")},
    {VARIADIC_OP("Mean")},
    {BINARY_OP("Equal", cs_infer_compare)},
    {BINARY_OP("Greater", cs_infer_compare)},
    {BINARY_OP("Less", cs_infer_compare)},
    {"Where", 3, 3, 1, CS_OPERANDS_ANY, cs_infer_where, cs_fold_where},
    {FLOAT_OP("MatMul", 2, cs_infer_matmul)},
    {"Gemm", 2, 3, 1, CS_OPERANDS_FLOAT, cs_infer_gemm, NULL},
    {REDUCE_OP("ReduceMean")},
    {REDUCE_OP("ReduceMax")},
    {REDUCE_OP("ReduceMin")},
    {REDUCE_OP("ReduceSum")},
    {REDUCE_OP("ReduceProd")},
    {"ReduceL2", 1, 2, 1, CS_OPERANDS_FLOAT, cs_infer_reduce, NULL},

    {"Shape", 1, 1, 1, CS_OPERANDS_ANY, cs_infer_shape, cs_fold_shape},
    {MOVE_OP("Identity", 1, 1, cs_infer_same)},
    {"Dropout", 1, 3, 2, CS_OPERANDS_ANY, cs_infer_dropout, cs_fold_move},
    {MOVE_OP("Reshape", 2, 2, cs_infer_reshape)},
    {MOVE_OP("Flatten", 1, 1, cs_infer_flatten)},
    {MOVE_OP("Squeeze", 1, 2, cs_infer_squeeze)},
    {MOVE_OP("Unsqueeze", 1, 2, cs_infer_unsqueeze)},
    {MOVE_OP("Transpose", 1, 1, cs_infer_transpose)},
    {MOVE_OP("Concat", 1, CS_MAX_NODE_IO, cs_infer_concat)},
    {"Split", 1, 2, CS_MAX_NODE_IO, CS_OPERANDS_ANY, cs_infer_split, cs_fold_move},
    {MOVE_OP("Slice", 1, 5, cs_infer_slice)},
    {MOVE_OP("Gather", 2, 2, cs_infer_gather)},
    {MOVE_OP("Pad", 1, 4, cs_infer_pad)},
    {MOVE_OP("Expand", 2, 2, cs_infer_expand)},
    {MOVE_OP("Tile", 2, 2, cs_infer_tile)},
    {MOVE_OP("DepthToSpace", 1, 1, cs_infer_depth_to_space)},
    {MOVE_OP("SpaceToDepth", 1, 1, cs_infer_space_to_depth)},
    {"Cast", 1, 1, 1, CS_OPERANDS_ANY, cs_infer_cast, cs_fold_cast},
    {"ConstantOfShape", 1, 1, 1, CS_OPERANDS_ANY, cs_infer_constant_of_shape,
     cs_fold_constant_of_shape},
    {"Range", 3, 3, 1, CS_OPERANDS_ANY, cs_infer_range, cs_fold_range},
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

// Elements of one activation: what any machine could hold, so that sizes in bytes never overflow.
static const int64_t MAX_ELEMENTS = INT64_C(1) << 38;

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
    int64_t elements = cs_shape_elements(shape);
    if (!fits || elements < 1 || elements > MAX_ELEMENTS)
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
    if (op->operands == CS_OPERANDS_FLOAT && type != CS_TYPE_F32)
        return cs_node_fail(node, at->err, "%s is not supported here", cs_type_name(type));
    return 0;
}

static int check_outputs(const struct cs_infer *at, bool folded)
{
    if (!folded && cs_shape_elements(&cs_infer_input(at, 0)->shape) == 0)
        return cs_node_fail(at->node, at->err, "input 0 is empty");
    for (int i = 0; i < at->node->output_count; i++) {
        const struct cs_value *value = cs_node_output(at->graph, at->node, i);
        if (!value || folded)
            continue;
        if (value->type == CS_TYPE_NONE && value->uses > 0)
            return cs_node_fail(at->node, at->err, "output %d is not supported", i);
        if (value->type == CS_TYPE_NONE)
            continue;
        int64_t elements = cs_shape_elements(&value->shape);
        if (elements < 1 || elements > MAX_ELEMENTS)
            return cs_node_fail(at->node, at->err, "output %d is empty or too large", i);
        if (value->type != CS_TYPE_F32)
            return cs_node_fail(at->node, at->err, "%s that depends on pixels is not supported",
                                cs_type_name(value->type));
    }
    return 0;
}

int cs_infer_node(struct cs_infer *at, bool *folded)
{
    const struct cs_operator *op = cs_operator_find(at->node->op);
    *folded = false;
    if (check_node(at, op) < 0 || op->infer(at) < 0)
        return -1;
    if (op->fold && cs_fold_node(at, op, folded) < 0)
        return -1;
    return check_outputs(at, *folded);
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
