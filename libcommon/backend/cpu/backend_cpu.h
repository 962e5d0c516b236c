// SPDX-License-Identifier: MIT
// The backend "cpu", and the times of the steps of its plans for benchmarks.
#ifndef CS_BACKEND_CPU_BACKEND_CPU_H
#define CS_BACKEND_CPU_BACKEND_CPU_H

#include <stdbool.h>

#include "backend/backend.h"

extern const struct cs_backend cs_backend_cpu;

struct cs_cpu_profile {
    const struct cs_node *node;
    const char *kernel; // oneDNN's name of its kernel, "own" for ours, "plain" for those of "ref"
    double seconds;     // sum over the runs since cs_cpu_profile_start
    double flops;       // multiplications plus additions of one run; 0 where memory decides
};

// Sum up from zero from now on: elapsed time, or the process's processor time. One slot at a time
// may run the plan.
void cs_cpu_profile_start(struct cs_plan *plan, bool cpu_time);
// Line i, in the order of execution; false behind the last or when no profile is taken.
bool cs_cpu_profile_line(const struct cs_plan *plan, int i, struct cs_cpu_profile *line);

#endif
