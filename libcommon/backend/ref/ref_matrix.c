// SPDX-License-Identifier: MIT
// Matrix products, softmax and reductions.
#include <math.h>
#include <string.h>

#include "backend/ref/ref_kernels.h"

// ---- Products ------------------------------------------------------------------------------

// Offset of batch `flat` of the output in an input whose batch axes broadcast.
static int64_t batch_offset(const struct cs_shape *out, const struct cs_shape *in, int64_t flat)
{
    int64_t index = 0, lead = out->rank - in->rank;
    int64_t stride = in->dim[in->rank - 1] * in->dim[in->rank - 2];
    for (int d = out->rank - 3; d >= lead; d--) {
        int64_t at = flat % out->dim[d], size = in->dim[d - lead];
        flat /= out->dim[d];
        index += size == 1 ? 0 : at * stride;
        stride *= size;
    }
    return index;
}

void cs_ref_matmul(const struct cs_ref_call *call)
{
    const struct cs_shape *a = cs_ref_in_shape(call, 0), *b = cs_ref_in_shape(call, 1);
    const struct cs_shape *out = cs_ref_out_shape(call, 0);
    int64_t rows = out->dim[out->rank - 2], columns = out->dim[out->rank - 1];
    int64_t inner = a->dim[a->rank - 1], batches = cs_shape_elements(out) / (rows * columns);
#pragma omp parallel for collapse(2)
    for (int64_t n = 0; n < batches; n++)
        for (int64_t r = 0; r < rows; r++) {
            const float *left = (const float *)call->in[0] + batch_offset(out, a, n) + r * inner;
            const float *right = (const float *)call->in[1] + batch_offset(out, b, n);
            float *target = (float *)call->out[0] + (n * rows + r) * columns;
            for (int64_t c = 0; c < columns; c++) {
                double sum = 0;
                for (int64_t k = 0; k < inner; k++)
                    sum += (double)left[k] * (double)right[k * columns + c];
                target[c] = (float)sum;
            }
        }
}

void cs_ref_gemm(const struct cs_ref_call *call)
{
    const struct cs_shape *a = cs_ref_in_shape(call, 0), *out = cs_ref_out_shape(call, 0);
    const struct cs_shape *b = cs_ref_in_shape(call, 1);
    const float *left = call->in[0], *right = call->in[1];
    const float *third = call->node->input_count > 2 ? call->in[2] : NULL;
    bool turn_a = cs_node_int(call->node, "transA", 0) != 0;
    bool turn_b = cs_node_int(call->node, "transB", 0) != 0;
    double alpha = (double)cs_node_float(call->node, "alpha", 1);
    double beta = (double)cs_node_float(call->node, "beta", 1);
    int64_t inner = a->dim[!turn_a];
    struct cs_shape c = third ? *cs_ref_in_shape(call, 2) : (struct cs_shape){0};
    int64_t c_rows = c.rank > 1 ? c.dim[0] : 1, c_columns = c.rank > 0 ? c.dim[c.rank - 1] : 1;
#pragma omp parallel for collapse(2)
    for (int64_t y = 0; y < out->dim[0]; y++)
        for (int64_t x = 0; x < out->dim[1]; x++) {
            double sum = 0;
            for (int64_t k = 0; k < inner; k++)
                sum += (double)left[turn_a ? k * a->dim[1] + y : y * inner + k] *
                       (double)right[turn_b ? x * inner + k : k * b->dim[1] + x];
            sum *= alpha;
            if (third)
                sum += beta *
                       (double)third[(c_rows > 1 ? y : 0) * c_columns + (c_columns > 1 ? x : 0)];
            ((float *)call->out[0])[y * out->dim[1] + x] = (float)sum;
        }
}

// ---- Softmax -------------------------------------------------------------------------------

void cs_ref_softmax(const struct cs_ref_call *call)
{
    const struct cs_shape *in = cs_ref_in_shape(call, 0);
    int first, last;
    int64_t outer = 1, count = 1, step = 1;
    cs_node_softmax(call->graph, call->node, &first, &last, NULL);
    for (int d = 0; d < in->rank; d++)
        *(d < first ? &outer : d <= last ? &count : &step) *= in->dim[d];
#pragma omp parallel for collapse(2)
    for (int64_t o = 0; o < outer; o++)
        for (int64_t s = 0; s < step; s++) {
            const float *source = (const float *)call->in[0] + o * count * step + s;
            float *target = (float *)call->out[0] + o * count * step + s;
            double most = -INFINITY, sum = 0;
            for (int64_t i = 0; i < count; i++)
                most = fmax(most, (double)source[i * step]);
            for (int64_t i = 0; i < count; i++)
                sum += exp((double)source[i * step] - most);
            for (int64_t i = 0; i < count; i++)
                target[i * step] = (float)(exp((double)source[i * step] - most) / sum);
        }
}

// ---- Reductions ----------------------------------------------------------------------------

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

static double reduce_step(enum reduction kind, double sum, double x)
{
    switch (kind) {
    case MOST:
        return x > sum || isnan(x) ? x : sum;
    case LEAST:
        return x < sum || isnan(x) ? x : sum;
    case PRODUCT:
        return sum * x;
    case LENGTH:
        return sum + x * x;
    case MEAN:
    case SUM:
        break;
    }
    return sum + x;
}

// The axes of the input, reduced ones apart from kept ones, with their strides.
struct axes {
    int rank;
    int64_t size[CS_MAX_RANK], stride[CS_MAX_RANK], total;
};

static int64_t offset_of(const struct axes *axes, int64_t flat)
{
    int64_t offset = 0;
    for (int d = axes->rank - 1; d >= 0; d--) {
        offset += flat % axes->size[d] * axes->stride[d];
        flat /= axes->size[d];
    }
    return offset;
}

void cs_ref_reduce(const struct cs_ref_call *call)
{
    const struct cs_shape *in = cs_ref_in_shape(call, 0);
    struct axes sets[2] = {{.total = 1}, {.total = 1}}, *kept = &sets[0], *gone = &sets[1];
    struct cs_reduce reduce;
    cs_node_reduce(call->graph, call->node, &reduce, NULL);
    int64_t stride = cs_shape_elements(in);
    for (int d = 0; d < in->rank; d++) {
        struct axes *set = reduce.axes[d] ? gone : kept;
        stride /= in->dim[d];
        set->size[set->rank] = in->dim[d];
        set->stride[set->rank++] = stride;
        set->total *= in->dim[d];
    }
    enum reduction kind = reduction_of(call->node->op);
    double start = kind == MOST ? -INFINITY : kind == LEAST ? INFINITY : kind == PRODUCT ? 1 : 0;
#pragma omp parallel for
    for (int64_t k = 0; k < kept->total; k++) {
        const float *source = (const float *)call->in[0] + offset_of(kept, k);
        double sum = start;
        for (int64_t i = 0; i < gone->total; i++)
            sum = reduce_step(kind, sum, (double)source[offset_of(gone, i)]);
        sum = kind == MEAN ? sum / (double)gone->total : kind == LENGTH ? sqrt(sum) : sum;
        ((float *)call->out[0])[k] = (float)sum;
    }
}
