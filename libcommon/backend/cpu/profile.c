// SPDX-License-Identifier: MIT
// Times of a plan's steps: one sum each, for prepare in front and finish behind them.
#include <stdlib.h>

#include "backend/cpu/cpu.h"
#include "base/clock.h"
#include "base/mem.h"

void cs_cpu_profile_start(struct cs_plan *plan, bool cpu_time)
{
    plan->cpu_time = cpu_time;
    free(plan->seconds);
    free(plan->busy);
    plan->busy = cs_xcalloc((size_t)plan->step_count + 1, sizeof *plan->busy);
    plan->seconds = cs_xcalloc((size_t)plan->step_count + 2, sizeof *plan->seconds);
}

bool cs_cpu_profile_step(const struct cs_plan *plan, int i, struct cs_profile *profile)
{
    if (i >= plan->step_count + 2 || !plan->seconds)
        return false;
    *profile = (struct cs_profile){.seconds = plan->seconds[i]};
    if (i == 0 || i == plan->step_count + 1) {
        profile->kernel = i == 0 ? "prepare" : "finish";
        return true;
    }
    const struct cs_cpu_step *step = &plan->steps[i - 1];
    profile->node = step->node;
    profile->kernel = step->kernel ? step->kernel : step->op ? cs_dnn_op_text(step->op) : "own";
    profile->flops = step->flops;
    return true;
}

double cs_cpu_profile_now(const struct cs_plan *plan)
{
    return plan->seconds ? cs_clock_of(plan->cpu_time) : 0;
}

double cs_cpu_profile_add(struct cs_plan *plan, int i, double start)
{
    double now = cs_cpu_profile_now(plan);
    if (plan->seconds)
        plan->seconds[i] += now - start;
    return now;
}
