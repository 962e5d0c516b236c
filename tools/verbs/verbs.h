// SPDX-License-Identifier: MIT
// The verbs of cs-model, one a file. Each prints its result to standard output, one subject a
// line, fields separated by tabs, and returns 0, or -1 with the error.
#ifndef MODEL_VERBS_H
#define MODEL_VERBS_H

#include "base/err.h"
#include "model/package.h"

struct model_options {
    const char *device; // NULL: not said
    const char *size;   // "WIDTHxHEIGHT", NULL: not said
    const char *cache;  // NULL: $CELLSTREAM_CACHE
    double tolerance;
    double seconds;                // of a measurement
    int64_t slots, batch, threads; // 0: not said
    uint64_t memory;               // plan: limit of the run; 0: none
    int compat;                    // plan: 1: hub
    int conv;                      // bench: 1: direct
    // package: choices of cs-model's table; NULL or 0: not said
    const char *output, *name, *describe, *license, *normalise, *maps, *activation, *post, *test;
    int input_channels, fit;
    int64_t stride;
    double pixel_um;
};

// The two numbers of --size.
int model_size(const char *size, uint32_t *width, uint32_t *height, struct cs_err *err);

int model_info(const struct model_options *options, const struct cs_package *p, struct cs_err *err);
int model_hash(const struct model_options *options, const struct cs_package *p, struct cs_err *err);
int model_check(const struct model_options *options, const struct cs_package *p,
                struct cs_err *err);
int model_plan(const struct model_options *options, const struct cs_package *p, struct cs_err *err);
int model_bench(const struct model_options *options, const struct cs_package *p,
                struct cs_err *err);
int model_tune(const struct model_options *options, const struct cs_package *p, struct cs_err *err);

// Wrap a bare ONNX file into a package.
int model_package(const struct model_options *options, const char *onnx, struct cs_err *err);

#endif
