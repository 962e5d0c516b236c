// SPDX-License-Identifier: MIT
// Which rows the nodes of a band (band.h) compute when: while it is planned and while it runs.
#ifndef CS_BACKEND_CPU_BAND_ROWS_H
#define CS_BACKEND_CPU_BAND_ROWS_H

#include "backend/cpu/band.h"

enum { CS_CPU_BAND_UNIT = 4 }; // rows of the last node's output that a thread gets together

// Of each node: rows before `done` are there or not needed, those up to `target` come next.
struct cs_cpu_band_state {
    int64_t done[CS_CPU_BAND_NODES], target[CS_CPU_BAND_NODES];
};
// Before row `begin` of the last node; then for rows up to `end` of it.
void cs_cpu_band_start(const struct cs_cpu_band *band, int64_t begin,
                       struct cs_cpu_band_state *state);
void cs_cpu_band_advance(const struct cs_cpu_band *band, int64_t end,
                         struct cs_cpu_band_state *state);
// The first of the node's rows that rows not yet done need.
int64_t cs_cpu_band_keep(const struct cs_cpu_band *band, const struct cs_cpu_band_state *state,
                         int node);

// A thread's rows, image by image.
struct cs_cpu_band_share {
    int64_t unit, last;        // still to come
    int64_t image, begin, end; // rows of the last node's output
};
struct cs_cpu_band_share cs_cpu_band_share_of(const struct cs_cpu_band *band, int thread,
                                              int threads);
// False when there are no more.
bool cs_cpu_band_next(const struct cs_cpu_band *band, struct cs_cpu_band_share *share);

#endif
