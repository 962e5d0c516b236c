// SPDX-License-Identifier: MIT
// Shapes of operators over single elements with broadcasting, of products and of reductions.
#include "graph/infer.h"

static int broadcast_two(struct cs_infer *at, int a, int b, struct cs_shape *out)
{
    const struct cs_value *first = cs_infer_input(at, a), *second = cs_infer_input(at, b);
    char text[2][128];
    if (first->type != second->type)
        return cs_node_fail(at->node, at->err, "inputs are %s and %s", cs_type_name(first->type),
                            cs_type_name(second->type));
    if (!cs_shape_broadcast(&first->shape, &second->shape, out)) {
        cs_shape_text(&first->shape, text[0], sizeof text[0]);
        cs_shape_text(&second->shape, text[1], sizeof text[1]);
        return cs_node_fail(at->node, at->err, "shapes %s and %s do not fit", text[0], text[1]);
    }
    return 0;
}

int cs_infer_broadcast(struct cs_infer *at)
{
    struct cs_shape out;
    if (broadcast_two(at, 0, 1, &out) < 0)
        return -1;
    cs_infer_set(at, 0, cs_infer_input(at, 0)->type, &out);
    return 0;
}

// The exponent may be of another type.
int cs_infer_pow(struct cs_infer *at)
{
    const struct cs_value *base = cs_infer_input(at, 0), *exponent = cs_infer_input(at, 1);
    struct cs_shape out;
    if (exponent->type == CS_TYPE_BOOL || !cs_shape_broadcast(&base->shape, &exponent->shape, &out))
        return cs_node_fail(at->node, at->err, "the exponent's type or shape does not fit");
    cs_infer_set(at, 0, base->type, &out);
    return 0;
}

int cs_infer_variadic(struct cs_infer *at)
{
    const struct cs_value *first = cs_infer_input(at, 0);
    struct cs_shape out = first->shape, both;
    for (int i = 1; i < at->node->input_count; i++) {
        const struct cs_value *next = cs_infer_input(at, i);
        if (!next || next->type != first->type || !cs_shape_broadcast(&out, &next->shape, &both))
            return cs_node_fail(at->node, at->err, "input %d has another type or shape", i);
        out = both;
    }
    cs_infer_set(at, 0, first->type, &out);
    return 0;
}

int cs_infer_compare(struct cs_infer *at)
{
    struct cs_shape out;
    if (broadcast_two(at, 0, 1, &out) < 0)
        return -1;
    cs_infer_set(at, 0, CS_TYPE_BOOL, &out);
    return 0;
}

int cs_infer_where(struct cs_infer *at)
{
    struct cs_shape values, out;
    if (cs_infer_input(at, 0)->type != CS_TYPE_BOOL)
        return cs_node_fail(at->node, at->err, "the condition must be of type bool");
    if (broadcast_two(at, 1, 2, &values) < 0)
        return -1;
    if (!cs_shape_broadcast(&cs_infer_input(at, 0)->shape, &values, &out))
        return cs_node_fail(at->node, at->err, "the condition's shape does not fit");
    cs_infer_set(at, 0, cs_infer_input(at, 1)->type, &out);
    return 0;
}

int cs_infer_prelu(struct cs_infer *at)
{
    struct cs_shape out;
    if (broadcast_two(at, 0, 1, &out) < 0)
        return -1;
    if (!cs_shape_equal(&out, &cs_infer_input(at, 0)->shape))
        return cs_node_fail(at->node, at->err, "the slope does not fit the input");
    return cs_infer_same(at);
}

int cs_infer_clip(struct cs_infer *at)
{
    enum cs_type type = cs_infer_input(at, 0)->type;
    for (int i = 1; i <= 2; i++) {
        const struct cs_value *limit = cs_infer_input(at, i);
        if (limit && (limit->type != type || cs_shape_elements(&limit->shape) != 1))
            return cs_node_fail(at->node, at->err, "a limit is not one %s", cs_type_name(type));
    }
    return cs_infer_same(at);
}

int cs_infer_softmax(struct cs_infer *at)
{
    int first, last;
    if (cs_node_softmax(at->graph, at->node, &first, &last, at->err) < 0)
        return -1;
    return cs_infer_same(at);
}

// A vector is a row on the left and a column on the right, and its axis goes away.
int cs_infer_matmul(struct cs_infer *at)
{
    const struct cs_value *first = cs_infer_input(at, 0), *second = cs_infer_input(at, 1);
    struct cs_shape a = first->shape, b = second->shape, out;
    bool row = a.rank == 1, column = b.rank == 1;
    if (second->type != CS_TYPE_F32 || a.rank < 1 || b.rank < 1)
        return cs_node_fail(at->node, at->err, "inputs must be float32 matrices");
    if (row)
        a = (struct cs_shape){2, {1, a.dim[0]}};
    if (column)
        b = (struct cs_shape){2, {b.dim[0], 1}};
    int64_t rows = a.dim[a.rank - 2], inner = a.dim[a.rank - 1];
    int64_t columns = b.dim[b.rank - 1];
    if (inner != b.dim[b.rank - 2])
        return cs_node_fail(at->node, at->err, "%lld columns do not fit %lld rows",
                            (long long)inner, (long long)b.dim[b.rank - 2]);
    a.dim[a.rank - 2] = a.dim[a.rank - 1] = b.dim[b.rank - 2] = b.dim[b.rank - 1] = 1;
    if (!cs_shape_broadcast(&a, &b, &out))
        return cs_node_fail(at->node, at->err, "the batches do not fit");
    out.rank -= 2;
    if (!row)
        out.dim[out.rank++] = rows;
    if (!column)
        out.dim[out.rank++] = columns;
    cs_infer_set(at, 0, CS_TYPE_F32, &out);
    return 0;
}

int cs_infer_gemm(struct cs_infer *at)
{
    const struct cs_value *a = cs_infer_input(at, 0), *b = cs_infer_input(at, 1);
    const struct cs_value *c = cs_infer_input(at, 2);
    bool turn_a = cs_node_int(at->node, "transA", 0) != 0;
    bool turn_b = cs_node_int(at->node, "transB", 0) != 0;
    if (a->shape.rank != 2 || b->shape.rank != 2 || b->type != CS_TYPE_F32)
        return cs_node_fail(at->node, at->err, "inputs must be float32 matrices");
    if (a->shape.dim[!turn_a] != b->shape.dim[turn_b])
        return cs_node_fail(at->node, at->err, "the matrices do not fit");
    struct cs_shape out = {2, {a->shape.dim[turn_a], b->shape.dim[!turn_b]}}, both;
    if (c && (c->type != CS_TYPE_F32 || !cs_shape_broadcast(&out, &c->shape, &both) ||
              !cs_shape_equal(&out, &both)))
        return cs_node_fail(at->node, at->err, "the third input does not fit");
    cs_infer_set(at, 0, CS_TYPE_F32, &out);
    return 0;
}

static void set_reduced(struct cs_infer *at, enum cs_type type, const bool *axes, bool keep)
{
    const struct cs_shape *in = &cs_infer_input(at, 0)->shape;
    struct cs_shape out = {0, {0}};
    for (int d = 0; d < in->rank; d++) {
        if (!axes[d])
            out.dim[out.rank++] = in->dim[d];
        else if (keep)
            out.dim[out.rank++] = 1;
    }
    cs_infer_set(at, 0, type, &out);
}

int cs_infer_reduce(struct cs_infer *at)
{
    struct cs_reduce reduce;
    if (cs_node_reduce(at->graph, at->node, &reduce, at->err) < 0)
        return -1;
    set_reduced(at, cs_infer_input(at, 0)->type, reduce.axes, reduce.keep);
    return 0;
}

int cs_infer_arg(struct cs_infer *at)
{
    const struct cs_shape *in = &cs_infer_input(at, 0)->shape;
    bool axes[CS_MAX_RANK] = {false};
    int axis;
    if (cs_node_axis(at->node, 0, in->rank, &axis, at->err) < 0)
        return -1;
    if (in->dim[axis] == 0)
        return cs_node_fail(at->node, at->err, "axis %d is empty", axis);
    axes[axis] = true;
    set_reduced(at, CS_TYPE_I64, axes, cs_node_int(at->node, "keepdims", 1) != 0);
    return 0;
}
