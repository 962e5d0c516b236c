// SPDX-License-Identifier: MIT
// The run of a plan's waves: one parallel region for all waves in a row that have pieces. A thread
// takes parts of its own pieces by a counter that all can see, then of others' pieces, and meets
// the others at a barrier that spins, then yields, then sleeps. Who does what depends on time, what
// comes out does not: parts write apart, and the one that does a step's last part finishes it.
#include <omp.h>
#include <sched.h>
#include <time.h>

#include "backend/cpu/waves.h"
#include "base/clock.h"

// ---- Threads meet ----------------------------------------------------------------------------

enum { PAUSES = 200, YIELD_MICROSECONDS = 200, NAP_NANOSECONDS = 20000 };

static void breathe(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

// Waking a thread that sleeps takes as long as many a wave, and one that spins starves whatever
// else wants its processor, the very threads it waits for among it. So it offers its processor to
// others, and sleeps only after a while.
static void wait_for(const _Atomic unsigned *wave, unsigned before)
{
    for (int i = 0; i < PAUSES; i++) {
        if (atomic_load_explicit(wave, memory_order_acquire) != before)
            return;
        breathe();
    }
    double start = cs_clock_seconds();
    while (atomic_load_explicit(wave, memory_order_acquire) == before) {
        if (cs_clock_seconds() - start < YIELD_MICROSECONDS * 1e-6)
            sched_yield();
        else
            nanosleep(&(struct timespec){.tv_nsec = NAP_NANOSECONDS}, NULL);
    }
}

static void meet(struct cs_cpu_waves_state *state, int threads)
{
    unsigned before = atomic_load_explicit(&state->wave, memory_order_relaxed);
    if (atomic_fetch_add(&state->arrived, 1) + 1 < threads) {
        wait_for(&state->wave, before);
        return;
    }
    atomic_store_explicit(&state->arrived, 0, memory_order_relaxed);
    atomic_store_explicit(&state->wave, before + 1, memory_order_release);
}

// ---- Running ---------------------------------------------------------------------------------

// A pass.
struct running {
    struct cs_plan *plan;
    const struct cs_cpu_run *run;
    struct cs_cpu_waves_state *state;
    double now; // of the profile
    struct cs_err *err;
    _Atomic int result;
};

static int run_whole(const struct running *r, int index, const struct cs_cpu_run *run,
                     struct cs_err *err)
{
    const struct cs_cpu_step *step = &r->plan->steps[index];
    int result = step->op ? cs_dnn_run(r->state->bindings[index], err) : step->run(step, run, err);
    if (result == 0 || step->kernel) // the plain loops name the node themselves
        return result;
    return cs_err_context(err, "node %s (%s)", step->node->name, step->node->op);
}

static void run_parts(struct running *r, int index, const struct cs_cpu_run *run, int64_t begin,
                      int64_t end)
{
    const struct cs_cpu_step *step = &r->plan->steps[index];
    _Atomic int64_t *left = &r->state->left[index];
    step->part(step, run, begin, end);
    if (atomic_fetch_sub(left, end - begin) != end - begin)
        return;
    atomic_store(left, step->parts);
    if (step->finish)
        step->finish(step, run);
}

// Parts [begin, end) of a step, or all of it.
static void run_some(struct running *r, int index, struct cs_cpu_run *run, int64_t begin,
                     int64_t end)
{
    double *busy = r->plan->busy, start = busy ? cs_clock_seconds() : 0;
    struct cs_err err = {0};
    run->shared = r->run->scratch + r->plan->steps[index].shared;
    if (r->plan->steps[index].part) {
        run_parts(r, index, run, begin, end);
    } else if (run_whole(r, index, run, &err) != 0) {
        int none = 0;
        if (atomic_compare_exchange_strong(&r->result, &none, -1) && r->err)
            *r->err = err;
    }
    if (busy) {
        double spent = cs_clock_seconds() - start;
#pragma omp atomic
        busy[index] += spent;
    }
}

// What is left of a piece, until nothing is. *last: the step that the thread was at.
static void run_piece(struct running *r, const struct cs_cpu_wave *w, int k, struct cs_cpu_run *run,
                      int *last)
{
    const struct cs_cpu_piece *piece = &w->pieces[k];
    _Atomic int64_t *next = &r->state->next[w->first_piece + k];
    while (r->result == 0 && atomic_load_explicit(next, memory_order_relaxed) < piece->end) {
        int64_t begin = atomic_fetch_add(next, piece->at_once), end = begin + piece->at_once;
        if (begin >= piece->end)
            return;
        run->again = *last == piece->step;
        *last = piece->step;
        run_some(r, piece->step, run, begin, end < piece->end ? end : piece->end);
    }
}

static void rewind_pieces(const struct cs_plan *plan, const struct cs_cpu_wave *w,
                          struct cs_cpu_waves_state *state)
{
    int count = w->pieces ? w->starts[plan->network->device->threads] : 0;
    for (int k = 0; k < count; k++)
        atomic_store_explicit(&state->next[w->first_piece + k], w->pieces[k].begin,
                              memory_order_relaxed);
}

void cs_cpu_init_waves(const struct cs_plan *plan, struct cs_cpu_waves_state *state)
{
    for (int i = 0; i < plan->step_count; i++)
        state->left[i] = plan->steps[i].parts;
    for (int i = 0; i < plan->wave_count; i++)
        rewind_pieces(plan, &plan->waves[i], state);
}

// The wave's time among its steps, by how long threads worked on them.
static void share_time(struct running *r, const struct cs_cpu_wave *w)
{
    double then = cs_cpu_profile_now(r->plan), all = 0, *busy = r->plan->busy;
    for (int i = w->first; i < w->first + w->count; i++)
        all += busy[i];
    for (int i = w->first; i < w->first + w->count; i++) {
        r->plan->seconds[i + 1] += (then - r->now) * (all > 0 ? busy[i] / all : 1.0 / w->count);
        busy[i] = 0;
    }
    r->now = then;
}

// One thread's part of a wave: its own pieces, then those of others, from their ends.
static void run_wave(struct running *r, const struct cs_cpu_wave *w, int thread,
                     struct cs_cpu_run *run)
{
    int lists = r->plan->network->device->threads, last = -1;
    run->scratch = r->run->scratch + (size_t)thread * w->thread_bytes;
    for (int k = w->starts[thread]; k < w->starts[thread + 1]; k++)
        run_piece(r, w, k, run, &last);
    for (int i = 1; i < lists; i++) {
        int other = (thread + i) % lists;
        for (int k = w->starts[other + 1] - 1; k >= w->starts[other]; k--)
            run_piece(r, w, k, run, &last);
    }
}

// Waves [first, end), which have pieces. A thread that fails goes on meeting the others.
static void run_pieces(struct running *r, int first, int end)
{
    int lists = r->plan->network->device->threads;
#pragma omp parallel num_threads(lists)
    {
        struct cs_cpu_run run = *r->run;
        int thread = omp_get_thread_num(), threads = omp_get_num_threads();
        for (int wave = first; wave < end; wave++) {
            const struct cs_cpu_wave *w = &r->plan->waves[wave];
            run_wave(r, w, thread, &run);
            meet(r->state, threads);
            if (thread == 0)
                rewind_pieces(r->plan, w, r->state);
            if (thread == 0 && r->plan->seconds)
                share_time(r, w);
        }
    }
}

static void run_alone(struct running *r, const struct cs_cpu_wave *w)
{
    if (r->plan->steps[w->first].band) {
        cs_cpu_run_band(r->plan, r->plan->steps[w->first].band, r->run);
        r->now = cs_cpu_profile_now(r->plan);
        return;
    }
    struct cs_cpu_run run = *r->run;
    run.shared = run.scratch + r->plan->steps[w->first].shared;
    r->result = run_whole(r, w->first, &run, r->err);
    r->now = cs_cpu_profile_add(r->plan, w->first + 1, r->now);
}

int cs_cpu_run_waves(struct cs_plan *plan, const struct cs_cpu_run *run,
                     struct cs_cpu_waves_state *state, struct cs_err *err)
{
    struct running r = {
        .plan = plan, .run = run, .state = state, .err = err, .now = cs_cpu_profile_now(plan)};
    for (int i = 0, end; r.result == 0 && i < plan->wave_count; i = end) {
        for (end = i; end < plan->wave_count && plan->waves[end].pieces;)
            end++;
        if (end > i)
            run_pieces(&r, i, end);
        else
            run_alone(&r, &plan->waves[end++]);
    }
    if (r.result != 0)
        cs_cpu_init_waves(plan, state);
    return r.result;
}
