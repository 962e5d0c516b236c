// SPDX-License-Identifier: MIT
// FusedAttention (graph/pass_attention.c), row by row. Scores are made anew whenever they are
// needed: a kernel has no memory of its own.
#include <math.h>

#include "backend/ref/ref_kernels.h"

enum { COLUMNS = 64 }; // of the output summed at once

// One row of the scores: q times k, scaled, plus the mask.
struct scores {
    const float *q, *k, *mask;
    int64_t depth, keys;
    double scale;
};

static double score_at(const struct scores *s, int64_t key)
{
    double sum = 0;
    for (int64_t i = 0; i < s->depth; i++)
        sum += (double)s->q[i] * (double)s->k[i * s->keys + key];
    return sum * s->scale + (s->mask ? (double)s->mask[key] : 0);
}

// The row of the mask for matrix `n` and row `r` of the scores.
static const float *mask_row(const struct cs_ref_call *call, int64_t n, int64_t r)
{
    if (call->node->input_count < 4)
        return NULL;
    const struct cs_shape *out = cs_ref_out_shape(call, 0), *mask = cs_ref_in_shape(call, 3);
    int64_t at = 0, stride = mask->dim[mask->rank - 1], flat = n;
    for (int d = out->rank - 2; d >= 0; d--) {
        int64_t index = d == out->rank - 2 ? r : flat % out->dim[d];
        flat = d == out->rank - 2 ? flat : flat / out->dim[d];
        int from = d - (out->rank - mask->rank);
        if (from < 0)
            continue;
        at += mask->dim[from] == 1 ? 0 : index * stride;
        stride *= mask->dim[from];
    }
    return (const float *)call->in[3] + at;
}

static void attend(const struct scores *s, const float *v, int64_t columns, float *out)
{
    double most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < s->keys; j++)
        most = fmax(most, score_at(s, j));
    for (int64_t first = 0; first < columns; first += COLUMNS) {
        int64_t count = columns - first < COLUMNS ? columns - first : COLUMNS;
        double mixed[COLUMNS] = {0};
        sum = 0;
        for (int64_t j = 0; j < s->keys; j++) {
            double share = exp(score_at(s, j) - most);
            sum += share;
            for (int64_t c = 0; c < count; c++)
                mixed[c] += share * (double)v[j * columns + first + c];
        }
        for (int64_t c = 0; c < count; c++)
            out[first + c] = (float)(mixed[c] / sum);
    }
}

void cs_ref_attention(const struct cs_ref_call *call)
{
    const struct cs_shape *q = cs_ref_in_shape(call, 0), *k = cs_ref_in_shape(call, 1);
    const struct cs_shape *out = cs_ref_out_shape(call, 0);
    int64_t rows = out->dim[out->rank - 2], columns = out->dim[out->rank - 1], batch = 1;
    int64_t depth = q->dim[q->rank - 1], keys = k->dim[k->rank - 1];
    double scale = (double)cs_node_float(call->node, "scale", 1);
    for (int d = 0; d < out->rank - 2; d++)
        batch *= out->dim[d];
#pragma omp parallel for collapse(2)
    for (int64_t n = 0; n < batch; n++)
        for (int64_t r = 0; r < rows; r++) {
            const struct scores s = {
                .q = (const float *)call->in[0] + (n * rows + r) * depth,
                .k = (const float *)call->in[1] + n * depth * keys,
                .mask = mask_row(call, n, r),
                .depth = depth,
                .keys = keys,
                .scale = scale,
            };
            attend(&s, (const float *)call->in[2] + n * keys * columns, columns,
                   (float *)call->out[0] + (n * rows + r) * columns);
        }
}
