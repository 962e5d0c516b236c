// SPDX-License-Identifier: MIT
// From sums over pixels to the map that normalises them: op_norm.c takes its own sums, and the
// convolutions of ours and a resize gather them while they store (late.c).
#ifndef CS_BACKEND_CPU_NORM_H
#define CS_BACKEND_CPU_NORM_H

#include "backend/cpu/cpu.h"

struct cs_cpu_norm {
    int64_t batch, pixels, channels, group_channels;
    const float *weight, *bias; // one for every so many channels, or NULL
    int64_t every;              // 1; channels of a group for GroupNormalization before opset 21
    double epsilon;
};
// Of an InstanceNormalization, GroupNormalization or BatchNormalization.
void cs_cpu_norm_init(struct cs_cpu_norm *norm, const struct cs_graph *graph,
                      const struct cs_node *node);

// The map from x to (x - mean) / sqrt(variance + epsilon) * weight + bias as offset, scale, shift,
// `channels` apart in f: the nearest float to the mean is subtracted first, so that a large mean
// costs no digit, and what it lacks goes into the shift.
void cs_cpu_norm_map(const struct cs_cpu_norm *norm, double mean, double variance, int64_t c,
                     float *f);

// Maps of all images, 3 * channels floats each, from chunks' sums, which are added in order. Of
// each image and chunk `step` sums over pixels of x, then of x * x. totals: 2 * channels an image.
// Shares the work among the threads of the parallel region that calls it, all of them.
void cs_cpu_norm_combine(const struct cs_cpu_norm *norm, const double *sums, int64_t chunks,
                         int64_t step, double *totals, float *maps);

#endif
