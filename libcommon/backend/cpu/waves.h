// SPDX-License-Identifier: MIT
// Steps that run side by side: how they are laid out when a plan is made (waves.c), and how they
// run (waves_run.c).
#ifndef CS_BACKEND_CPU_WAVES_H
#define CS_BACKEND_CPU_WAVES_H

#include <stdatomic.h>

#include "backend/cpu/cpu.h"

// Parts [begin, end) of a step, of which so many are done in one go; a step that has none is one.
struct cs_cpu_piece {
    int step;
    int64_t begin, end, at_once;
};

struct cs_cpu_wave {
    int first, count; // steps
    // Meant for thread t are pieces[starts[t]] to pieces[starts[t + 1]]. NULL: one step, or a band,
    // which shares itself out.
    struct cs_cpu_piece *pieces;
    int first_piece; // its number among those of all waves
    int *starts;
    size_t thread_bytes; // of scratch; behind those of all threads lies what steps share
};

// When each node runs; the caller frees it. Needs plan->late.
int *cs_cpu_time_nodes(const struct cs_plan *plan);
// Put the plan's steps in order, with `time` of their nodes, and into waves; work out what scratch
// that takes. Once, when all steps are there.
void cs_cpu_make_waves(struct cs_plan *plan, const int *times);

// Where a slot's threads are; the slot owns the arrays. Between runs everything is left to do.
struct cs_cpu_waves_state {
    _Atomic int64_t *left;            // parts of each step that are left to do
    _Atomic int64_t *next;            // part of each piece that nobody has taken
    _Atomic int arrived;              // threads that are through with the wave
    _Atomic unsigned wave;            // counts up when all are
    struct cs_dnn_binding **bindings; // of each step, NULL without oneDNN
};
// Once, before the first run.
void cs_cpu_init_waves(const struct cs_plan *plan, struct cs_cpu_waves_state *state);
int cs_cpu_run_waves(struct cs_plan *plan, const struct cs_cpu_run *run,
                     struct cs_cpu_waves_state *state, struct cs_err *err);

#endif
