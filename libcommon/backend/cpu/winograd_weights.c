// SPDX-License-Identifier: MIT
// Weights of the Winograd convolution: G g G^T in double, rounded once.
#include <string.h>

#include "backend/cpu/winograd.h"

enum { TAPS = 9, LANES = 8 };

size_t cs_winograd_weight_floats(const struct cs_winograd *w)
{
    return (size_t)(w->kernels->points * w->panels * w->depth * w->panel);
}

uint64_t cs_winograd_weight_key(const struct cs_winograd *w)
{
    return UINT64_C(0x77696e6f67720000) + (uint64_t)w->panel * 16 +
           (uint64_t)w->kernels->out; // "winogr"
}

// Row i of G: the powers of point i over the product of its distances to the other finite points,
// of which there are `count`.
static void make_g(int count, double g[CS_WINOGRAD_MAX_IN][3])
{
    static const double six[] = {0, 0.625, -0.625, 1.5, -1.5}, four[] = {0, 1, -1};
    const double *points = count == 5 ? six : four;
    for (int i = 0; i < count; i++) {
        double distances = 1;
        for (int k = 0; k < count; k++)
            distances *= k == i ? 1 : points[i] - points[k];
        g[i][0] = 1 / distances;
        g[i][1] = points[i] / distances;
        g[i][2] = points[i] * points[i] / distances;
    }
    g[count][0] = g[count][1] = 0;
    g[count][2] = 1;
}

// LANES kernels, tap by tap, to their points; `step` floats between points.
static void transform(int in, double g[CS_WINOGRAD_MAX_IN][3], double taps[TAPS][LANES], float *to,
                      int64_t step)
{
    for (int r = 0; r < in; r++) {
        double row[3][LANES];
        for (int c = 0; c < 3; c++)
            for (int i = 0; i < LANES; i++)
                row[c][i] =
                    g[r][0] * taps[c][i] + g[r][1] * taps[3 + c][i] + g[r][2] * taps[6 + c][i];
        for (int c = 0; c < in; c++, to += step)
            for (int i = 0; i < LANES; i++)
                to[i] = (float)(g[c][0] * row[0][i] + g[c][1] * row[1][i] + g[c][2] * row[2][i]);
    }
}

void cs_winograd_pack(const struct cs_winograd *w, const float *weights, float *packed)
{
    int64_t ins = w->shape.in_channels, outs = w->shape.out_channels;
    int64_t parts = w->panel / LANES, step = w->panels * w->depth * w->panel;
    double g[CS_WINOGRAD_MAX_IN][3];
    make_g(w->kernels->in - 1, g);
    for (int64_t p = 0; p < w->panels * parts; p++) {
        for (int64_t c = 0; c < w->depth; c++) {
            double taps[TAPS][LANES] = {{0}};
            int64_t out = p * LANES;
            for (int i = 0; c < ins && i < LANES && out + i < outs; i++)
                for (int t = 0; t < TAPS; t++)
                    taps[t][i] = (double)weights[((out + i) * ins + c) * TAPS + t];
            int64_t row = p / parts * w->depth + c;
            transform(w->kernels->in, g, taps, packed + row * w->panel + p % parts * LANES, step);
        }
    }
}
