// SPDX-License-Identifier: MIT
// A benchmark of single convolutions: PROGRAM [THREADS [IN OUT HEIGHT WIDTH]...].
#ifndef TESTS_SUPPORT_LAYERS_H
#define TESTS_SUPPORT_LAYERS_H

#include "backend/cpu/dnn.h"

struct layers {
    const char *name, *columns; // of the program; what its lines compare
    const int64_t (*layer)[4];  // in, out, height, width: those measured if none is named
    int count;
    // Measures one layer and prints its line. peak: FLOP/s of the threads.
    int (*measure)(const int64_t *layer, struct cs_dnn *dnn, int threads, double peak,
                   struct cs_err *err);
};
// What main returns.
int layers_main(const struct layers *layers, int argc, char **argv);

#endif
