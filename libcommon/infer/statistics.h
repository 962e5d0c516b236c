// SPDX-License-Identifier: MIT
// Order statistics, mean and standard deviation of the samples that some channels of a network
// read from an image. Exact whatever the size: full histograms of integers, radix selection of
// floats. An image channel that several network channels read counts as often.
#ifndef CS_INFER_STATISTICS_H
#define CS_INFER_STATISTICS_H

#include "backend/job.h"

struct cs_statistics {
    uint64_t total;  // samples, repetitions included
    uint64_t repeat; // how often each stored sample counts
    uint64_t *bins;  // integers: count of each sum over `divisor` channels; floats: of the upper
                     // 16 bits of the sort key
    size_t bin_count;
    double divisor;
    const float *values; // floats: the stored samples
    float *owned;
    size_t value_count;
};

// Over the network channels first .. first + count - 1. The job's pixels are borrowed.
// CS_EINPUT for samples that are not finite, CS_ENOMEM. Release with cs_statistics_release.
int cs_statistics_init(struct cs_statistics *s, const struct cs_job *job, int first, int count,
                       struct cs_err *err);
void cs_statistics_release(struct cs_statistics *s); // accepts a zeroed struct

// numpy.percentile(samples, percentile), linear interpolation.
double cs_statistics_percentile(const struct cs_statistics *s, double percentile);
// Mean and standard deviation (of the population, numpy.std).
void cs_statistics_moments(const struct cs_statistics *s, double *mean, double *std);

#endif
