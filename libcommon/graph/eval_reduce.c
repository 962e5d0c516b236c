// SPDX-License-Identifier: MIT
// Reductions over any axes: sums, extremes, and where the extremes are. An empty set gives what
// the operation starts from: 0, 1, or an infinity (for integers the limit of the type).
#include <math.h>
#include <string.h>

#include "graph/element.h"
#include "graph/eval.h"
#include "graph/params.h"

enum reduction { MEAN, MOST, LEAST, SUM, PRODUCT, LENGTH };

static enum reduction reduction_of(const char *op)
{
    static const char *const names[] = {"ReduceMean", "ReduceMax",  "ReduceMin",
                                        "ReduceSum",  "ReduceProd", "ReduceL2"};
    int kind = 0;
    while (strcmp(names[kind], op) != 0)
        kind++;
    return (enum reduction)kind;
}

// The axes of the input, reduced ones apart from kept ones, with their strides.
struct axes {
    int rank;
    int64_t size[CS_MAX_RANK], stride[CS_MAX_RANK], total;
};

static void split_axes(const struct cs_shape *in, const bool *reduced, struct axes *kept,
                       struct axes *gone)
{
    int64_t stride = 1;
    kept->rank = gone->rank = 0;
    kept->total = gone->total = 1;
    for (int d = in->rank - 1; d >= 0; d--) {
        struct axes *set = reduced[d] ? gone : kept;
        set->size[set->rank] = in->dim[d];
        set->stride[set->rank++] = stride;
        set->total *= in->dim[d];
        stride *= in->dim[d];
    }
}

// Axes are listed from the last to the first.
static int64_t offset_of(const struct axes *axes, int64_t flat)
{
    int64_t offset = 0;
    for (int d = 0; d < axes->rank; d++) {
        offset += flat % axes->size[d] * axes->stride[d];
        flat /= axes->size[d];
    }
    return offset;
}

static double reduce_real(enum reduction kind, const float *in, const struct axes *gone)
{
    double sum = kind == MOST ? -INFINITY : kind == LEAST ? INFINITY : kind == PRODUCT ? 1 : 0;
    for (int64_t i = 0; i < gone->total; i++) {
        double x = (double)in[offset_of(gone, i)];
        if (kind == MOST)
            sum = x > sum || isnan(x) ? x : sum;
        else if (kind == LEAST)
            sum = x < sum || isnan(x) ? x : sum;
        else if (kind == PRODUCT)
            sum *= x;
        else
            sum += kind == LENGTH ? x * x : x;
    }
    return kind == MEAN ? sum / (double)gone->total : kind == LENGTH ? sqrt(sum) : sum;
}

static int64_t limit_of(enum cs_type type, bool most)
{
    if (type == CS_TYPE_BOOL)
        return most;
    if (type == CS_TYPE_I32)
        return most ? INT32_MAX : INT32_MIN;
    return most ? INT64_MAX : INT64_MIN;
}

static int64_t reduce_integer(enum reduction kind, enum cs_type type, const void *in, int64_t first,
                              const struct axes *gone)
{
    int64_t most = limit_of(type, false), least = limit_of(type, true);
    uint64_t sum = 0, product = 1;
    double squares = 0;
    for (int64_t i = 0; i < gone->total; i++) {
        int64_t x;
        cs_load_integers(type, in, first + offset_of(gone, i), 0, 1, &x);
        most = x > most ? x : most;
        least = x < least ? x : least;
        sum += (uint64_t)x;
        product *= (uint64_t)x;
        squares += (double)x * (double)x;
    }
    switch (kind) {
    case MOST:
        return most;
    case LEAST:
        return least;
    case PRODUCT:
        return (int64_t)product;
    case MEAN:
        return gone->total ? (int64_t)sum / gone->total : 0;
    case LENGTH:
        return squares < 0x1p126 ? (int64_t)sqrt(squares) : INT64_MAX;
    case SUM:
        break;
    }
    return (int64_t)sum;
}

static void run_reduce(const struct cs_eval *at)
{
    const struct cs_value *in = cs_node_input(at->graph, at->node, 0);
    enum reduction kind = reduction_of(at->node->op);
    struct axes kept, gone;
    struct cs_reduce reduce;
    cs_node_reduce(at->graph, at->node, &reduce, NULL);
    split_axes(&in->shape, reduce.axes, &kept, &gone);
#pragma omp parallel for if (kept.total * gone.total > 4096)
    for (int64_t k = 0; k < kept.total; k++) {
        int64_t first = offset_of(&kept, k), integer;
        if (in->type == CS_TYPE_F32) {
            ((float *)at->out[0])[k] =
                (float)reduce_real(kind, (const float *)at->in[0] + first, &gone);
        } else {
            integer = reduce_integer(kind, in->type, at->in[0], first, &gone);
            cs_store_integers(in->type, at->out[0], k, 1, &integer);
        }
    }
}

// ArgMax, ArgMin. double does not hold every int64, so that integers are compared as such.
static void run_arg(const struct cs_eval *at)
{
    const struct cs_value *in = cs_node_input(at->graph, at->node, 0);
    bool most = strcmp(at->node->op, "ArgMax") == 0, reduced[CS_MAX_RANK] = {false};
    bool last = cs_node_int(at->node, "select_last_index", 0) != 0;
    struct axes kept, gone;
    int axis;
    cs_node_axis(at->node, 0, in->shape.rank, &axis, NULL);
    reduced[axis] = true;
    split_axes(&in->shape, reduced, &kept, &gone);
#pragma omp parallel for if (kept.total * gone.total > 4096)
    for (int64_t k = 0; k < kept.total; k++) {
        int64_t best = 0, integer, best_integer = 0;
        double real, best_real = 0;
        for (int64_t i = 0; i < gone.total; i++) {
            int64_t index = offset_of(&kept, k) + offset_of(&gone, i);
            cs_load_reals(in->type, at->in[0], index, 0, 1, &real);
            cs_load_integers(in->type, at->in[0], index, 0, 1, &integer);
            bool is_real = in->type == CS_TYPE_F32;
            bool same = is_real ? real == best_real : integer == best_integer;
            bool more = is_real ? (most ? real > best_real : real < best_real)
                                : (most ? integer > best_integer : integer < best_integer);
            more |= is_real && isnan(real) && !isnan(best_real); // the first NaN wins
            if (i == 0 || more || (same && last)) {
                best = i;
                best_real = real;
                best_integer = integer;
            }
        }
        ((int64_t *)at->out[0])[k] = best;
    }
}

const struct cs_evaluator cs_eval_reductions[] = {
    {"ReduceMean", run_reduce, NULL},
    {"ReduceMax", run_reduce, NULL},
    {"ReduceMin", run_reduce, NULL},
    {"ReduceSum", run_reduce, NULL},
    {"ReduceProd", run_reduce, NULL},
    {"ReduceL2", run_reduce, NULL},
    {"ArgMax", run_arg, NULL},
    {"ArgMin", run_arg, NULL},
    {NULL, NULL, NULL},
};
