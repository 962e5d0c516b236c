// SPDX-License-Identifier: MIT
// Which nodes run side by side. A node that is too small for all threads to be worth their meeting
// joins others that need nothing of it (the branches of an HRNet): a wave. Each thread has its list
// of pieces of a wave, whole steps and parts of steps, so that all have about the same to do; one
// that is through with its own takes over what others have not begun. Threads meet once a wave.
// With one thread, or where nodes are large, a wave is one node, and nodes keep their order, which
// is the best for the caches.
//
// Nodes are taken in the graph's order, each to the first wave behind those of its operands that is
// open (list scheduling, Graham 1969). All of that is decided when the plan is made and follows
// from sizes and the number of threads; results depend on none of it, nor on who does what. The
// memory plan keeps all tensors of a wave apart (graph.h, times).
#include "backend/cpu/waves.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/params.h"

// Work is counted in multiplications and additions at a core's peak, whatever that is.
static const double small = 4e8; // of a node that may join others
static const double of_direct = 1 / 0.7;
static const double of_winograd[] = {1 / 2.8, 1 / 1.7}; // of direct's: tiles of 4x4, of 2x2
static const double of_weight = 3;                      // a byte, where they are transformed
static const double of_byte = 6;                        // read or written, of other nodes
static const double of_step = 1e5;

// ---- When nodes run --------------------------------------------------------------------------

// Whether the node has no step of its own (late.c).
static bool is_left_out(const struct cs_plan *plan, const struct cs_node *node)
{
    const struct cs_cpu_late *late = &plan->late[node->outputs[0]];
    return late->joined || late->chained || late->gated || late->mapped;
}

static double work_of(const struct cs_plan *plan, const struct cs_node *node)
{
    const struct cs_graph *graph = plan->graph;
    double elements = 0, out = 0;
    for (int i = 0; i < node->input_count; i++) {
        const struct cs_value *in = cs_node_input(graph, node, i);
        elements += in && !in->data ? (double)cs_shape_elements(&in->shape) : 0;
    }
    for (int i = 0; i < node->output_count; i++)
        out += node->outputs[i] >= 0
                   ? (double)cs_shape_elements(&graph->values[node->outputs[i]].shape)
                   : 0;
    const struct cs_value *weights = cs_node_input(graph, node, 1);
    bool conv = (strcmp(node->op, "Conv") == 0 || strcmp(node->op, "ConvTranspose") == 0) &&
                weights && weights->shape.rank == 4 && cs_cpu_op_of(graph, node);
    if (!conv)
        return of_step + of_byte * (elements + out) * sizeof(float);
    // Of a transposed convolution each input meets all of an input channel's weights.
    const int64_t *dim = weights->shape.dim;
    bool transposed = strcmp(node->op, "ConvTranspose") == 0;
    double products = (transposed ? elements : out) * (double)(dim[1] * dim[2] * dim[3]);
    struct cs_winograd w;
    if (!cs_cpu_conv_is_winograd(plan, node, &w))
        return of_step + 2 * products * of_direct;
    return of_step + 2 * products * of_winograd[w.kernels->smaller == NULL] +
           (double)cs_winograd_weight_floats(&w) * sizeof(float) * of_weight;
}

static bool is_reduction(const struct cs_node *node)
{
    static const char *const names[] = {"ReduceMean", "ReduceMax", "GlobalAveragePool",
                                        "GlobalMaxPool"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(node->op, names[i]) == 0)
            return true;
    return false;
}

// The last wave that the node needs something of, or -1: what it reads, and of a reduction one that
// makes its result on the way (cpu.h, taken).
static int last_needed(const struct cs_graph *graph, int n, const int *times)
{
    const struct cs_node *node = &graph->nodes[n];
    int last = -1;
    for (int i = -1; i < node->input_count; i++) {
        int value = i < 0 ? node->fusion.add : node->inputs[i];
        int producer = value >= 0 ? graph->values[value].producer : -1;
        last = producer >= 0 && times[producer] > last ? times[producer] : last;
    }
    for (int k = 0; k < n && is_reduction(node); k++)
        if (is_reduction(&graph->nodes[k]) && graph->nodes[k].inputs[0] == node->inputs[0])
            last = times[k] > last ? times[k] : last;
    return last;
}

int *cs_cpu_time_nodes(const struct cs_plan *plan)
{
    const struct cs_graph *graph = plan->graph;
    int *times = cs_xcalloc((size_t)graph->node_count + 1, sizeof *times), waves = 0;
    bool *open = cs_xcalloc((size_t)graph->node_count + 1, sizeof *open);
    bool alone = plan->network->device->threads == 1;
    for (int n = 0; n < graph->node_count; n++) {
        const struct cs_node *node = &graph->nodes[n];
        int last = last_needed(graph, n, times), band = cs_cpu_band_start_of(plan, n);
        if (band >= 0) { // its nodes are computed together, by all threads
            times[n] = band < n ? times[band] : waves++;
            continue;
        }
        if (last >= 0 && node->output_count > 0 && node->outputs[0] >= 0 &&
            is_left_out(plan, node)) {
            times[n] = last;
            continue;
        }
        bool joins = !alone && work_of(plan, node) < small;
        int wave = joins ? last + 1 : waves;
        while (wave < waves && !open[wave])
            wave++;
        open[wave] = joins;
        waves = wave < waves ? waves : wave + 1;
        times[n] = wave;
    }
    free(open);
    return times;
}

// ---- Waves -----------------------------------------------------------------------------------

// A step while they are put in order.
struct place {
    int time, rank, index; // rank: which of its node's steps
};

static int by_time(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->time != y->time)
        return x->time - y->time;
    return x->rank != y->rank ? x->rank - y->rank : x->index - y->index;
}

// Steps sorted; returns what each one's wave is told by.
static struct place *sort_steps(struct cs_plan *plan, const int *times)
{
    size_t count = (size_t)plan->step_count;
    struct place *places = cs_xcalloc(count + 1, sizeof *places);
    struct cs_cpu_step *steps = cs_xcalloc(count + 1, sizeof *steps);
    for (int i = 0; i < plan->step_count; i++) {
        bool same = i > 0 && plan->steps[i].node == plan->steps[i - 1].node;
        int node = (int)(plan->steps[i].node - plan->graph->nodes);
        places[i] = (struct place){times[node], same ? places[i - 1].rank + 1 : 0, i};
        plan->steps[i].work = work_of(plan, plan->steps[i].node);
    }
    qsort(places, count, sizeof *places, by_time);
    for (int i = 0; i < plan->step_count; i++)
        steps[i] = plan->steps[places[i].index];
    free(plan->steps);
    plan->steps = steps;
    plan->step_capacity = plan->step_count + 1;
    return places;
}

// The steps of a wave, shared out.
struct share {
    const struct cs_cpu_step *steps;
    struct cs_cpu_wave *wave;
    int threads;
    double *load; // of each thread
    int *owner;   // of each whole step
    int piece_count;
};

static int least_loaded(const struct share *s)
{
    int least = 0;
    for (int t = 1; t < s->threads; t++)
        least = s->load[t] < s->load[least] ? t : least;
    return least;
}

// Whole steps first, the longest first, each to the thread with the least.
static double share_whole(struct share *s)
{
    const struct cs_cpu_wave *w = s->wave;
    double all = 0;
    for (int i = 0; i < w->count; i++) {
        s->owner[i] = -1;
        all += s->steps[i].work;
    }
    for (;;) {
        int longest = -1;
        for (int i = 0; i < w->count; i++)
            if (!s->steps[i].part && s->owner[i] < 0 &&
                (longest < 0 || s->steps[i].work > s->steps[longest].work))
                longest = i;
        if (longest < 0)
            return all / s->threads;
        s->owner[longest] = least_loaded(s);
        s->load[s->owner[longest]] += s->steps[longest].work;
    }
}

enum { GOES = 6 }; // in which a thread does its fair share, so that others can take over the rest

static void add_piece(struct share *s, int step, int64_t begin, int64_t end, double fair)
{
    const struct cs_cpu_step *of = &s->steps[step];
    double at_once = of->part ? fair / GOES * (double)of->parts / of->work : 1;
    int64_t least = of->at_once > 1 ? of->at_once : 1;
    struct cs_cpu_piece *piece = &s->wave->pieces[s->piece_count++];
    *piece = (struct cs_cpu_piece){s->wave->first + step, begin, end, least};
    if (at_once > (double)least)
        piece->at_once =
            at_once < (double)(end - begin) ? (int64_t)at_once / least * least : end - begin;
    if (s->threads == 1)
        piece->at_once = end - begin;
}

// Then each thread in turn is filled up with parts to its fair share, so that it gets few steps.
static void share_parts(struct share *s, double fair)
{
    struct cs_cpu_wave *w = s->wave;
    int step = 0;
    int64_t done = 0; // of the step
    for (int t = 0; t < s->threads; t++) {
        w->starts[t] = s->piece_count;
        for (int i = 0; i < w->count; i++)
            if (s->owner[i] == t)
                add_piece(s, i, 0, 1, fair);
        while (step < w->count) {
            const struct cs_cpu_step *from = &s->steps[step];
            double each = from->parts > 0 ? from->work / (double)from->parts : 0;
            int64_t left = from->part ? from->parts - done : 0, take = left;
            if (t + 1 < s->threads && left > 0) {
                double room = (fair - s->load[t]) / each + 0.5;
                take = room < 1 ? 0 : room < (double)left ? (int64_t)room : left;
            }
            if (take > 0)
                add_piece(s, step, done, done + take, fair);
            s->load[t] += (double)take * each;
            done += take;
            if (take < left)
                break;
            step++;
            done = 0;
        }
    }
    w->starts[s->threads] = s->piece_count;
}

static void share_out(struct cs_plan *plan, struct cs_cpu_wave *w)
{
    int threads = plan->network->device->threads;
    struct share s = {.steps = plan->steps + w->first, .wave = w, .threads = threads};
    s.load = cs_xcalloc((size_t)threads, sizeof *s.load);
    s.owner = cs_xcalloc((size_t)w->count, sizeof *s.owner);
    w->starts = cs_cpu_params(plan, (size_t)(threads + 1) * sizeof *w->starts);
    w->pieces = cs_cpu_params(plan, (size_t)(w->count + threads) * sizeof *w->pieces);
    w->first_piece = plan->piece_count;
    share_parts(&s, share_whole(&s));
    plan->piece_count += s.piece_count;
    free(s.load);
    free(s.owner);
}

static size_t round_line(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

// Scratch of all threads, then what each step shares.
static void place_scratch(struct cs_plan *plan, struct cs_cpu_wave *w)
{
    for (int i = w->first; i < w->first + w->count; i++) {
        size_t bytes = round_line(plan->steps[i].scratch_bytes);
        w->thread_bytes = bytes > w->thread_bytes ? bytes : w->thread_bytes;
    }
    size_t threads = w->pieces ? (size_t)plan->network->device->threads : 1;
    size_t end = threads * w->thread_bytes;
    for (int i = w->first; i < w->first + w->count; i++) {
        plan->steps[i].shared = end;
        end += round_line(plan->steps[i].shared_bytes);
    }
    plan->scratch_bytes = end > plan->scratch_bytes ? end : plan->scratch_bytes;
}

void cs_cpu_make_waves(struct cs_plan *plan, const int *times)
{
    struct place *places = sort_steps(plan, times);
    cs_cpu_finish_bands(plan);
    plan->waves = cs_xcalloc((size_t)plan->step_count + 1, sizeof *plan->waves);
    for (int i = 0; i < plan->step_count;) {
        struct cs_cpu_wave *w = &plan->waves[plan->wave_count++];
        w->first = i;
        while (i < plan->step_count && places[i].time == places[w->first].time &&
               places[i].rank == places[w->first].rank)
            i++;
        w->count = i - w->first;
        const struct cs_cpu_step *step = &plan->steps[w->first];
        if (!step->band && (w->count > 1 || step->part))
            share_out(plan, w);
        place_scratch(plan, w);
    }
    free(places);
}
