// SPDX-License-Identifier: MIT
// Constant evaluation: what exporters leave of size arithmetic. Integers are computed as int64,
// float32 as double and rounded once. Folded results are bounded, since a few bytes of a model
// can ask for any number of elements.
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "graph/infer.h"
#include "graph/move.h"

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
    return at->node->outputs[0] >= 0 && at->node->fusion.add < 0 && !at->node->fusion.activation;
}

// Memory for output i; NULL with an error when the model asks for too much.
static void *make_room(struct cs_infer *at, const struct cs_value *value, int64_t input_elements)
{
    int64_t elements = cs_shape_elements(&value->shape);
    int64_t most = input_elements > MAX_GROWTH ? input_elements : MAX_GROWTH;
    size_t left = MAX_FOLDED_BYTES - at->graph->folded_bytes, bytes = cs_type_bytes(value->type);
    if (elements < 0 || elements > most || (size_t)elements > left / bytes) {
        cs_node_fail(at->node, at->err, "a constant result is too large");
        return NULL;
    }
    at->graph->folded_bytes += (size_t)elements * bytes;
    return cs_arena_alloc(&at->graph->arena, (size_t)elements + 1, bytes);
}

int cs_fold_node(struct cs_infer *at, const struct cs_operator *op, bool *folded)
{
    const void *inputs[CS_MAX_NODE_IO];
    void *outputs[CS_MAX_NODE_IO];
    int64_t elements = 0;
    *folded = false;
    if (!all_constant(at))
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
            return -1;
    }
    if (op->fold(at, inputs, outputs) < 0)
        return -1;
    for (int i = 0; i < at->node->output_count; i++)
        if (outputs[i])
            at->graph->values[at->node->outputs[i]].data = outputs[i];
    *folded = true;
    return 0;
}

// ---- Elements ------------------------------------------------------------------------------

static int64_t load_int(enum cs_type type, const void *data, int64_t i)
{
    switch (type) {
    case CS_TYPE_I64:
        return ((const int64_t *)data)[i];
    case CS_TYPE_I32:
        return ((const int32_t *)data)[i];
    case CS_TYPE_BOOL:
        return ((const unsigned char *)data)[i] != 0;
    case CS_TYPE_F32: {
        float value = ((const float *)data)[i];
        return value >= -9.2e18f && value <= 9.2e18f ? (int64_t)value : 0;
    }
    case CS_TYPE_NONE:
        break;
    }
    return 0;
}

static double load_real(enum cs_type type, const void *data, int64_t i)
{
    return type == CS_TYPE_F32 ? (double)((const float *)data)[i] : (double)load_int(type, data, i);
}

static void store_int(enum cs_type type, void *data, int64_t i, int64_t value)
{
    if (type == CS_TYPE_I64)
        ((int64_t *)data)[i] = value;
    else if (type == CS_TYPE_I32)
        ((int32_t *)data)[i] = (int32_t)value;
    else
        ((unsigned char *)data)[i] = value != 0;
}

// Index into a tensor that is broadcast to `shape`, for the element with flat index `flat`.
static int64_t broadcast_index(const struct cs_shape *shape, const struct cs_shape *in,
                               int64_t flat)
{
    int64_t index = 0, stride = 1;
    for (int d = shape->rank - 1, lead = shape->rank - in->rank; d >= lead; d--) {
        int64_t at = flat % shape->dim[d], size = in->dim[d - lead];
        flat /= shape->dim[d];
        index += size == 1 ? 0 : at * stride;
        stride *= size;
    }
    return index;
}

// ---- Operators -----------------------------------------------------------------------------

int cs_fold_move(struct cs_infer *at, const void *const *inputs, void *const *outputs)
{
    cs_move_run(at->graph, at->node, inputs, outputs);
    return 0;
}

int cs_fold_shape(struct cs_infer *at, const void *const *inputs, void *const *outputs)
{
    (void)inputs;
    const struct cs_shape *shape = &cs_infer_input(at, 0)->shape;
    int64_t start = cs_node_int(at->node, "start", 0);
    int64_t count = cs_node_output(at->graph, at->node, 0)->shape.dim[0];
    start = start < 0 ? start + shape->rank : start;
    start = start < 0 ? 0 : start > shape->rank ? shape->rank : start;
    if (count)
        memcpy(outputs[0], shape->dim + start, (size_t)count * sizeof *shape->dim);
    return 0;
}

int cs_fold_cast(struct cs_infer *at, const void *const *inputs, void *const *outputs)
{
    const struct cs_value *in = cs_infer_input(at, 0);
    enum cs_type type = cs_node_output(at->graph, at->node, 0)->type;
    for (int64_t i = 0, count = cs_shape_elements(&in->shape); i < count; i++) {
        if (type == CS_TYPE_F32)
            ((float *)outputs[0])[i] = (float)load_real(in->type, inputs[0], i);
        else if (type == CS_TYPE_BOOL)
            store_int(type, outputs[0], i, load_real(in->type, inputs[0], i) != 0);
        else
            store_int(type, outputs[0], i, load_int(in->type, inputs[0], i));
    }
    return 0;
}

// Wraps around on overflow, as integers of tensors do; division by zero is the caller's to refuse.
static int64_t binary_int(const char *op, int64_t a, int64_t b)
{
    uint64_t x = (uint64_t)a, y = (uint64_t)b;
    if (strcmp(op, "Add") == 0)
        return (int64_t)(x + y);
    if (strcmp(op, "Sub") == 0)
        return (int64_t)(x - y);
    if (strcmp(op, "Mul") == 0)
        return (int64_t)(x * y);
    if (strcmp(op, "Div") == 0)
        return b == -1 ? (int64_t)(0 - x) : a / b;
    if (strcmp(op, "Max") == 0)
        return a > b ? a : b;
    if (strcmp(op, "Min") == 0)
        return a < b ? a : b;
    if (strcmp(op, "Equal") == 0)
        return a == b;
    if (strcmp(op, "Greater") == 0)
        return a > b;
    if (strcmp(op, "Less") == 0)
        return a < b;
    if (strcmp(op, "Mod") == 0) // sign of the divisor, as in Python
        return b == -1 ? 0 : a % b != 0 && (a % b < 0) != (b < 0) ? a % b + b : a % b;
    if (strcmp(op, "fmod") == 0) // sign of the dividend, as in C
        return b == -1 ? 0 : a % b;
    double power = pow((double)a, (double)b);
    return fabs(power) < 9.2e18 ? (int64_t)power : 0;
}

static double binary_real(const char *op, double a, double b)
{
    if (strcmp(op, "Add") == 0)
        return a + b;
    if (strcmp(op, "Sub") == 0)
        return a - b;
    if (strcmp(op, "Mul") == 0)
        return a * b;
    if (strcmp(op, "Div") == 0)
        return a / b;
    if (strcmp(op, "Max") == 0)
        return a > b || isnan(a) ? a : b;
    if (strcmp(op, "Min") == 0)
        return a < b || isnan(a) ? a : b;
    if (strcmp(op, "Equal") == 0)
        return a == b;
    if (strcmp(op, "Greater") == 0)
        return a > b;
    if (strcmp(op, "Less") == 0)
        return a < b;
    if (strcmp(op, "fmod") == 0)
        return fmod(a, b);
    if (strcmp(op, "Mod") == 0) {
        double rest = fmod(a, b);
        return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
    }
    return pow(a, b);
}

int cs_fold_binary(struct cs_infer *at, const void *const *inputs, void *const *outputs)
{
    const struct cs_value *a = cs_infer_input(at, 0), *b = cs_infer_input(at, 1);
    const struct cs_value *out = cs_node_output(at->graph, at->node, 0);
    const char *op = at->node->op;
    bool divides = strcmp(op, "Div") == 0 || strcmp(op, "Mod") == 0;
    if (strcmp(op, "Mod") == 0 && cs_node_int(at->node, "fmod", 0) != 0)
        op = "fmod";
    for (int64_t i = 0, count = cs_shape_elements(&out->shape); i < count; i++) {
        int64_t of_a = broadcast_index(&out->shape, &a->shape, i);
        int64_t of_b = broadcast_index(&out->shape, &b->shape, i);
        if (a->type == CS_TYPE_F32) {
            double value = binary_real(op, load_real(a->type, inputs[0], of_a),
                                       load_real(b->type, inputs[1], of_b));
            if (out->type == CS_TYPE_F32)
                ((float *)outputs[0])[i] = (float)value;
            else
                store_int(out->type, outputs[0], i, value != 0);
            continue;
        }
        int64_t right = load_int(b->type, inputs[1], of_b);
        if (divides && right == 0)
            return cs_node_fail(at->node, at->err, "divides by zero");
        store_int(out->type, outputs[0], i,
                  binary_int(op, load_int(a->type, inputs[0], of_a), right));
    }
    return 0;
}

int cs_fold_variadic(struct cs_infer *at, const void *const *inputs, void *const *outputs)
{
    const struct cs_value *out = cs_node_output(at->graph, at->node, 0);
    const char *op = at->node->op;
    bool sums = strcmp(op, "Sum") == 0 || strcmp(op, "Mean") == 0;
    int n = at->node->input_count;
    double share = strcmp(op, "Mean") == 0 ? n : 1;
    for (int64_t i = 0, count = cs_shape_elements(&out->shape); i < count; i++) {
        double real = 0;
        int64_t integer = 0;
        for (int k = 0; k < n; k++) {
            int64_t from = broadcast_index(&out->shape, &cs_infer_input(at, k)->shape, i);
            double next = load_real(out->type, inputs[k], from);
            int64_t whole = load_int(out->type, inputs[k], from);
            real = k ? binary_real(sums ? "Add" : op, real, next) : next;
            integer = k ? binary_int(sums ? "Add" : op, integer, whole) : whole;
        }
        if (out->type == CS_TYPE_F32)
            ((float *)outputs[0])[i] = (float)(real / share);
        else
            store_int(out->type, outputs[0], i, integer / (int64_t)share);
    }
    return 0;
}

static double unary_real(const char *op, double x)
{
    if (strcmp(op, "Exp") == 0)
        return exp(x);
    if (strcmp(op, "Log") == 0)
        return log(x);
    if (strcmp(op, "Sqrt") == 0)
        return sqrt(x);
    if (strcmp(op, "Floor") == 0)
        return floor(x);
    if (strcmp(op, "Ceil") == 0)
        return ceil(x);
    return strcmp(op, "Abs") == 0 ? fabs(x) : -x;
}

int cs_fold_unary(struct cs_infer *at, const void *const *inputs, void *const *outputs)
{
    const struct cs_value *in = cs_infer_input(at, 0);
    const char *op = at->node->op;
    for (int64_t i = 0, count = cs_shape_elements(&in->shape); i < count; i++) {
        if (in->type == CS_TYPE_F32) {
            ((float *)outputs[0])[i] = (float)unary_real(op, load_real(in->type, inputs[0], i));
            continue;
        }
        int64_t value = load_int(in->type, inputs[0], i);
        bool negates = strcmp(op, "Neg") == 0 || (strcmp(op, "Abs") == 0 && value < 0);
        if (!negates && strcmp(op, "Abs") != 0)
            return cs_node_fail(at->node, at->err, "integers are not supported");
        store_int(in->type, outputs[0], i, negates ? (int64_t)(0 - (uint64_t)value) : value);
    }
    return 0;
}

int cs_fold_where(struct cs_infer *at, const void *const *inputs, void *const *outputs)
{
    const struct cs_value *choice = cs_infer_input(at, 0);
    const struct cs_value *out = cs_node_output(at->graph, at->node, 0);
    size_t bytes = cs_type_bytes(out->type);
    for (int64_t i = 0, count = cs_shape_elements(&out->shape); i < count; i++) {
        int64_t which = broadcast_index(&out->shape, &choice->shape, i);
        int from = ((const unsigned char *)inputs[0])[which] ? 1 : 2;
        int64_t index = broadcast_index(&out->shape, &cs_infer_input(at, from)->shape, i);
        memcpy((char *)outputs[0] + i * (int64_t)bytes,
               (const char *)inputs[from] + index * (int64_t)bytes, bytes);
    }
    return 0;
}

int cs_fold_constant_of_shape(struct cs_infer *at, const void *const *inputs, void *const *outputs)
{
    (void)inputs;
    const struct cs_value *out = cs_node_output(at->graph, at->node, 0);
    for (int64_t i = 0, count = cs_shape_elements(&out->shape); i < count; i++) {
        if (out->type == CS_TYPE_F32)
            ((float *)outputs[0])[i] = cs_node_float(at->node, "value", 0);
        else
            store_int(out->type, outputs[0], i, cs_node_int(at->node, "value", 0));
    }
    return 0;
}

int cs_fold_range(struct cs_infer *at, const void *const *inputs, void *const *outputs)
{
    int64_t count = cs_node_output(at->graph, at->node, 0)->shape.dim[0];
    int64_t start = *(const int64_t *)inputs[0], step = *(const int64_t *)inputs[2];
    for (int64_t i = 0; i < count; i++)
        ((int64_t *)outputs[0])[i] = start + i * step;
    return 0;
}

// ---- Reductions of integers and float32 ----------------------------------------------------

struct accumulator {
    double real;
    int64_t integer;
};

static void accumulate(const char *op, struct accumulator *sum, double real, int64_t integer,
                       bool first)
{
    if (first) {
        *sum = (struct accumulator){real, integer};
        return;
    }
    const char *step = strcmp(op, "ReduceMax") == 0    ? "Max"
                       : strcmp(op, "ReduceMin") == 0  ? "Min"
                       : strcmp(op, "ReduceProd") == 0 ? "Mul"
                                                       : "Add";
    sum->real = binary_real(step, sum->real, real);
    sum->integer = binary_int(step, sum->integer, integer);
}

int cs_fold_reduce(struct cs_infer *at, const void *const *inputs, void *const *outputs)
{
    const struct cs_value *in = cs_infer_input(at, 0);
    const struct cs_value *out = cs_node_output(at->graph, at->node, 0);
    int64_t count = cs_shape_elements(&in->shape), results = cs_shape_elements(&out->shape);
    struct cs_reduce reduce;
    struct cs_shape kept = in->shape; // the output with reduced axes of size 1
    if (cs_node_reduce(at->graph, at->node, &reduce, at->err) < 0)
        return -1;
    if (count == 0 || in->type == CS_TYPE_BOOL)
        return cs_node_fail(at->node, at->err, "reduces nothing, or bool");
    for (int d = 0; d < kept.rank; d++)
        if (reduce.axes[d])
            kept.dim[d] = 1;
    struct accumulator *sums = cs_arena_alloc(&at->graph->arena, (size_t)results, sizeof *sums);
    bool *seen = cs_arena_alloc(&at->graph->arena, (size_t)results, sizeof *seen);
    for (int64_t i = 0; i < count; i++) {
        int64_t k = broadcast_index(&in->shape, &kept, i);
        accumulate(at->node->op, &sums[k], load_real(in->type, inputs[0], i),
                   load_int(in->type, inputs[0], i), !seen[k]);
        seen[k] = true;
    }
    int64_t share = strcmp(at->node->op, "ReduceMean") == 0 ? count / results : 1;
    for (int64_t k = 0; k < results; k++) {
        if (out->type == CS_TYPE_F32)
            ((float *)outputs[0])[k] = (float)(sums[k].real / (double)share);
        else
            store_int(out->type, outputs[0], k, sums[k].integer / share);
    }
    return 0;
}
