// SPDX-License-Identifier: MIT
// Matrix products and softmax.
#include <math.h>

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

// Shapes with vectors as rows (left) and columns (right).
static void as_matrices(const struct cs_ref_call *call, struct cs_shape *a, struct cs_shape *b,
                        struct cs_shape *out)
{
    *a = *cs_ref_in_shape(call, 0);
    *b = *cs_ref_in_shape(call, 1);
    *out = *cs_ref_out_shape(call, 0);
    bool row = a->rank == 1, column = b->rank == 1;
    if (row)
        *a = (struct cs_shape){2, {1, a->dim[0]}};
    if (column)
        *b = (struct cs_shape){2, {b->dim[0], 1}};
    if (row && !column) // the row goes before the columns
        out->dim[out->rank] = out->dim[out->rank - 1];
    if (row)
        out->dim[out->rank++ - !column] = 1;
    if (column)
        out->dim[out->rank++] = 1;
}

void cs_ref_matmul(const struct cs_ref_call *call)
{
    struct cs_shape a, b, out;
    as_matrices(call, &a, &b, &out);
    int64_t rows = out.dim[out.rank - 2], columns = out.dim[out.rank - 1], batches = 1;
    int64_t inner = a.dim[a.rank - 1];
    for (int d = 0; d < out.rank - 2; d++)
        batches *= out.dim[d];
#pragma omp parallel for collapse(2)
    for (int64_t n = 0; n < batches; n++)
        for (int64_t r = 0; r < rows; r++) {
            const float *left = (const float *)call->in[0] + batch_offset(&out, &a, n) + r * inner;
            const float *right = (const float *)call->in[1] + batch_offset(&out, &b, n);
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
