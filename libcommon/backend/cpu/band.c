// SPDX-License-Identifier: MIT
// Bands at work (band.h): windows that slide down a thread's rows.
#include "backend/cpu/band.h"

#include <omp.h>
#include <string.h>

#include "backend/cpu/band_rows.h"
#include "backend/cpu/cpu.h"
#include "base/clock.h"

// One thread on some rows of one image.
struct slide {
    const struct cs_cpu_band *band;
    struct cs_cpu_band_state state;
    int64_t first[CS_CPU_BAND_NODES]; // of the rows that a window holds
    int64_t image;
    char *memory;
    double *seconds; // of each node; NULL while no profile is taken
    bool cpu_time;
};

// Make room for rows up to `end`: what nobody reads any more leaves the window.
static float *slide_window(struct slide *s, int i, int64_t end)
{
    const struct cs_cpu_band_node *n = &s->band->nodes[i];
    float *window = (float *)(void *)(s->memory + n->window);
    int64_t keep = cs_cpu_band_keep(s->band, &s->state, i), done = s->state.done[i];
    if (keep == done || end - s->first[i] > n->window_rows) {
        memmove(window, window + (keep - s->first[i]) * n->row_floats,
                (size_t)((done - keep) * n->row_floats) * sizeof *window);
        s->first[i] = keep;
    }
    return window;
}

static void run_node(struct slide *s, int i, const struct cs_cpu_step *step, struct cs_cpu_run *run)
{
    const struct cs_cpu_band_node *n = &s->band->nodes[i];
    int64_t begin = s->state.done[i], end = s->state.target[i];
    double start = s->seconds ? cs_clock_of(s->cpu_time) : 0;
    if (begin >= end)
        return;
    if (!n->kept) {
        // Row 0 of image 0 would lie here.
        intptr_t before = (intptr_t)(s->image * n->rows) * (intptr_t)n->row_floats;
        float *window = slide_window(s, i, end);
        before += (intptr_t)s->first[i] * (intptr_t)n->row_floats;
        run->windows[i] = (float *)((intptr_t)window - before * (intptr_t)sizeof(float));
    }
    step->rows(step, run, s->image, begin, end);
    s->state.done[i] = end;
    if (s->seconds)
        s->seconds[i] += cs_clock_of(s->cpu_time) - start;
}

// Rows [begin, end) of the last node's output, of one image.
static void run_rows(struct slide *s, const struct cs_cpu_step *steps, struct cs_cpu_run *run,
                     int64_t begin, int64_t end)
{
    const struct cs_cpu_band *band = s->band;
    cs_cpu_band_start(band, begin, &s->state);
    memcpy(s->first, s->state.done, sizeof s->first);
    for (int64_t at = begin; at < end;) {
        at = at + band->rows < end ? at + band->rows : end;
        cs_cpu_band_advance(band, at, &s->state);
        for (int i = 0; i < band->count; i++)
            run_node(s, i, &steps[i], run);
    }
}

void cs_cpu_run_band(struct cs_plan *plan, const struct cs_cpu_band *band,
                     const struct cs_cpu_run *run)
{
    const struct cs_cpu_step *steps = plan->steps + band->step;
    double seconds[CS_CPU_BAND_NODES] = {0}, all = 0, start = cs_cpu_profile_now(plan);
    int threads = plan->network->device->threads;
#pragma omp parallel
    // Each share once, however many threads there are.
    for (int t = omp_get_thread_num(); t < threads; t += omp_get_num_threads()) {
        struct cs_cpu_run mine = *run;
        char *memory = run->scratch + (size_t)t * band->thread_bytes;
        struct slide slide = {.band = band,
                              .memory = memory,
                              .seconds = plan->seconds && t == 0 ? seconds : NULL,
                              .cpu_time = plan->cpu_time};
        struct cs_cpu_band_share share = cs_cpu_band_share_of(band, t, threads);
        mine.scratch = memory + band->window_bytes;
        while (cs_cpu_band_next(band, &share)) {
            slide.image = share.image;
            run_rows(&slide, steps, &mine, share.begin, share.end);
        }
    }
    if (!plan->seconds)
        return;
    // The band's time among its nodes, as the first thread had it.
    for (int i = 0; i < band->count; i++)
        all += seconds[i];
    double spent = cs_cpu_profile_now(plan) - start;
    for (int i = 0; i < band->count && all > 0; i++)
        plan->seconds[band->step + i + 1] += spent * seconds[i] / all;
}
