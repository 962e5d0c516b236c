// SPDX-License-Identifier: MIT
// Nodes with inputs, parameters and results in double precision, as tests/golden/ops/ has them,
// run on any backend.
#ifndef TESTS_SUPPORT_GOLDEN_H
#define TESTS_SUPPORT_GOLDEN_H

#include "backend/backend.h"

struct golden_run {
    const char *backend;
    double tolerance;            // of float32, relative to a case's largest value; others are exact
    enum cs_precision precision; // of the plan
    const struct cs_backend *own; // as in opcase.h
};
// Runs all cases of a file, within a test of Check; returns how many there are.
int golden_run(const char *path, const struct golden_run *run);

#endif
