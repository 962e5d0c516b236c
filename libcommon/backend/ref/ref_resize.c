// SPDX-License-Identifier: MIT
// Resize and Upsample. Every output is the sum over a box of samples, each weighted by the product
// of the axes' filters; the edge is repeated outside.
#include "backend/ref/ref_kernels.h"

enum { AXES = CS_MAX_SPACE };

// The filter of an output index on the last AXES axes of which the first may be missing.
static struct cs_resize_taps taps_at(const struct cs_resize *r, int axis, int64_t at)
{
    int a = axis - (AXES - r->space);
    return a < 0 ? (struct cs_resize_taps){.count = 1, .share = 1} : cs_resize_taps(r, a, at);
}

static double weight_of(const struct cs_resize *r, const struct cs_resize_taps *taps, int axis,
                        int64_t i)
{
    int a = axis - (AXES - r->space);
    return a < 0 ? 1 : cs_resize_weight(r, taps, a, taps->first + i);
}

static int64_t index_of(const struct cs_resize_taps *taps, int64_t i, int64_t size)
{
    int64_t at = taps->first + i;
    return at < 0 ? 0 : at >= size ? size - 1 : at;
}

static double resize_one(const struct cs_resize *r, const int64_t *size, const float *volume,
                         const struct cs_resize_taps *taps)
{
    double sum = 0;
    for (int a = 0; a < AXES; a++)
        if (taps[a].outside)
            return r->extrapolation;
    for (int64_t z = 0; z < taps[0].count; z++)
        for (int64_t y = 0; y < taps[1].count; y++) {
            double weight = weight_of(r, &taps[0], 0, z) * weight_of(r, &taps[1], 1, y), line = 0;
            const float *samples = volume + (index_of(&taps[0], z, size[0]) * size[1] +
                                             index_of(&taps[1], y, size[1])) *
                                                size[2];
            for (int64_t x = 0; x < taps[2].count; x++)
                line +=
                    weight_of(r, &taps[2], 2, x) * (double)samples[index_of(&taps[2], x, size[2])];
            sum += weight * line;
        }
    return sum;
}

void cs_ref_resize(const struct cs_ref_call *call)
{
    const struct cs_shape *in = cs_ref_in_shape(call, 0);
    struct cs_resize r;
    int64_t size[AXES] = {1, 1, 1}, out[AXES] = {1, 1, 1};
    cs_node_resize(call->graph, call->node, &r, NULL);
    for (int a = 0; a < r.space; a++) {
        size[AXES - r.space + a] = r.in[a];
        out[AXES - r.space + a] = r.out[a];
    }
    int64_t volume = size[0] * size[1] * size[2];
#pragma omp parallel for collapse(3)
    for (int64_t p = 0; p < in->dim[0] * in->dim[1]; p++)
        for (int64_t z = 0; z < out[0]; z++)
            for (int64_t y = 0; y < out[1]; y++) {
                float *line = (float *)call->out[0] + ((p * out[0] + z) * out[1] + y) * out[2];
                struct cs_resize_taps taps[AXES] = {taps_at(&r, 0, z), taps_at(&r, 1, y)};
                for (int64_t x = 0; x < out[2]; x++) {
                    taps[2] = taps_at(&r, 2, x);
                    line[x] =
                        (float)resize_one(&r, size, (const float *)call->in[0] + p * volume, taps);
                }
            }
}
