// SPDX-License-Identifier: MIT
// cs-model bench: where the time of an image goes, beside what the device could do at best. The
// floor of a step is the longer of its multiplications at the fp32 peak and its tensors' bytes at
// the bandwidth of a copy, both measured here and now; "of floor" is that over the time it took.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "infer/device.h"
#include "infer/trial.h"
#include "verbs.h"

enum { MIN_RUNS = 3, MOST_NODES = 20 };

// A line: a class of steps, or one node. Sums of one batch.
struct line {
    char what[96];
    const struct cs_node *node;
    double seconds, flops, bytes, floor;
};

struct table {
    struct line *lines;
    int count;
};

static struct line *line_of(struct table *table, const struct cs_node *node, const char *what)
{
    for (int i = 0; i < table->count; i++)
        if (node ? table->lines[i].node == node : strcmp(table->lines[i].what, what) == 0)
            return &table->lines[i];
    table->lines = cs_xrealloc(table->lines, (size_t)table->count + 1, sizeof *table->lines);
    struct line *line = &table->lines[table->count++];
    *line = (struct line){.node = node};
    snprintf(line->what, sizeof line->what, "%s", what);
    return line;
}

static void add(struct line *line, double seconds, double flops, double bytes, double floor)
{
    line->seconds += seconds;
    line->flops += flops;
    line->bytes += bytes;
    line->floor += floor;
}

// ---- What a step is ----------------------------------------------------------------------

static double bytes_of(const struct cs_value *value)
{
    int64_t count = value ? cs_shape_elements(&value->shape) : 0;
    return count > 0 ? (double)count * (double)cs_type_bytes(value->type) : 0;
}

// Each tensor that the node reads or writes, once.
static double node_bytes(const struct cs_graph *graph, const struct cs_node *node)
{
    double bytes = 0;
    for (int i = 0; i < node->input_count; i++)
        bytes += bytes_of(cs_node_input(graph, node, i));
    for (int i = 0; i < node->output_count; i++)
        bytes += bytes_of(cs_node_output(graph, node, i));
    if (node->fusion.add >= 0)
        bytes += bytes_of(&graph->values[node->fusion.add]);
    return bytes;
}

// "Conv 3x3", "Conv 3x3 grouped", "Relu".
static void class_of(const struct cs_graph *graph, const struct cs_node *node, char *text,
                     size_t size)
{
    const struct cs_value *weights = cs_node_input(graph, node, 1);
    bool conv = strcmp(node->op, "Conv") == 0 || strcmp(node->op, "ConvTranspose") == 0;
    if (conv && weights && weights->shape.rank == 4)
        snprintf(text, size, "%s %lldx%lld%s", node->op, (long long)weights->shape.dim[2],
                 (long long)weights->shape.dim[3],
                 cs_node_int(node, "group", 1) > 1 ? " grouped" : "");
    else
        snprintf(text, size, "%s", node->op);
}

static double floor_of(const struct cs_peak *peak, double flops, double bytes)
{
    double compute = peak->flops > 0 ? flops / peak->flops : 0;
    double memory = peak->bytes > 0 ? bytes / peak->bytes : 0;
    return compute > memory ? compute : memory;
}

// A job's part beside the network's nodes.
static bool is_of_images(const char *what)
{
    return strcmp(what, "prepare") == 0 || strcmp(what, "finish") == 0;
}

// A part of a batch that the device takes as one (backend.h).
static bool is_of_batch(const char *what)
{
    return strcmp(what, "upload") == 0 || strcmp(what, "compute") == 0 ||
           strcmp(what, "download") == 0 || strcmp(what, "wait") == 0;
}

// Pixels and network plane in front, the network's planes and the maps behind.
static double job_bytes(const struct cs_trial_facts *t, int batch, bool prepare)
{
    const struct cs_graph *graph = cs_session_graph(t->session);
    double pixels = (double)batch * t->width * t->height, bytes = 0;
    if (prepare)
        return bytes_of(&graph->values[graph->inputs[0]]) + pixels;
    for (int i = 0; i < graph->output_count; i++)
        bytes += bytes_of(&graph->values[graph->outputs[i]]);
    return bytes + 2 * pixels * t->info->maps;
}

// ---- Measuring ---------------------------------------------------------------------------

static int time_batches(struct cs_trial *trial, double least, double *seconds, int *runs,
                        struct cs_err *err)
{
    double start = cs_clock_seconds();
    *runs = 0;
    do {
        if (cs_trial_run(trial, err) != 0)
            return -1;
        *seconds = cs_clock_seconds() - start;
    } while (++*runs < MIN_RUNS || *seconds < least);
    *seconds /= *runs;
    return 0;
}

// The steps of the profile as classes, and as nodes.
static void collect(const struct cs_trial_facts *t, int batch, int runs, const struct cs_peak *peak,
                    struct table *classes, struct table *nodes)
{
    const struct cs_graph *graph = cs_session_graph(t->session);
    const struct cs_node *before = NULL;
    struct cs_profile step;
    for (int i = 0; cs_session_profile_step(t->session, i, &step); i++) {
        double seconds = step.seconds / runs, bytes, floor;
        char text[96];
        if (!step.node) {
            bytes = is_of_images(step.kernel) ? job_bytes(t, batch, i == 0) : step.bytes;
            add(line_of(classes, NULL, step.kernel), seconds, step.flops, bytes,
                floor_of(peak, step.flops, bytes));
            continue;
        }
        // A node of several steps moves its tensors once.
        bytes = step.node == before ? 0 : node_bytes(graph, step.node);
        before = step.node;
        floor = floor_of(peak, step.flops, bytes);
        class_of(graph, step.node, text, sizeof text);
        add(line_of(classes, NULL, text), seconds, step.flops, bytes, floor);
        add(line_of(nodes, step.node, text), seconds, step.flops, bytes, floor);
    }
}

// ---- Printing ----------------------------------------------------------------------------

static int by_time(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    return (x->seconds < y->seconds) - (x->seconds > y->seconds);
}

static void print_numbers(const struct line *line, double whole, int batch)
{
    printf("\t%.3f\t%.1f", line->seconds / batch * 1e3, 100 * line->seconds / whole);
    if (line->flops > 0)
        printf("\t%.0f", line->flops / line->seconds / 1e9);
    else
        printf("\t-");
    if (line->bytes > 0)
        printf("\t%.1f", line->bytes / line->seconds / 1e9);
    else
        printf("\t-");
    if (line->floor > 0)
        printf("\t%.0f\n", 100 * line->floor / line->seconds);
    else
        printf("\t-\n");
}

static void print_profile(const struct cs_trial_facts *t, struct table *classes,
                          struct table *nodes, double whole, int batch)
{
    const struct cs_graph *graph = cs_session_graph(t->session);
    printf("stage\twhat\tms\t%% of time\tGFLOP/s\tGB/s\t%% of floor\n");
    for (int i = 0; i < classes->count; i++) {
        struct line *line = &classes->lines[i];
        printf("%s\t%s",
               is_of_images(line->what)  ? "images"
               : is_of_batch(line->what) ? "batch"
                                         : "network",
               line->what);
        print_numbers(line, whole, batch);
    }
    if (!cs_log_shows(CS_LOG_INFO))
        return;
    if (nodes->count)
        qsort(nodes->lines, (size_t)nodes->count, sizeof *nodes->lines, by_time);
    for (int i = 0; i < nodes->count && i < MOST_NODES; i++) {
        struct line *line = &nodes->lines[i];
        char shape[96];
        cs_shape_text(&cs_node_output(graph, line->node, 0)->shape, shape, sizeof shape);
        printf("node\t%s %s %s", line->what, shape, line->node->name);
        print_numbers(line, whole, batch);
    }
}

static int bench(struct cs_trial *trial, const struct model_options *o, struct cs_err *err)
{
    struct cs_trial_facts t = cs_trial_facts(trial);
    struct table classes = {.lines = NULL}, nodes = {.lines = NULL};
    struct cs_peak peak = {0};
    double seconds, rate;
    int batch = o->batch ? (int)o->batch : 1, slots = o->slots ? (int)o->slots : 1, runs;
    batch = batch < t.info->max_batch ? batch : t.info->max_batch;
    if (cs_trial_prepare(trial, batch, CS_FP32, err) != 0)
        return -1;
    printf("device\t%s\nimages\t%ux%u, planes %ux%u, batch %d, %d slot%s of %d thread%s\n",
           t.info->device_text, t.width, t.height, t.plane_width, t.plane_height, batch, slots,
           slots == 1 ? "" : "s", t.threads, t.threads == 1 ? "" : "s");
    if (cs_session_peak(t.session, &peak))
        printf("floor\t%.0f GFLOP/s, %.1f GB/s (a slot alone)\n", peak.flops / 1e9,
               peak.bytes / 1e9);
    bool profile = cs_session_profile_start(t.session);
    if (time_batches(trial, o->seconds, &seconds, &runs, err) != 0)
        return -1;
    if (profile) {
        collect(&t, batch, runs, &peak, &classes, &nodes);
        print_profile(&t, &classes, &nodes, seconds, batch);
    }
    free(classes.lines);
    free(nodes.lines);
    printf("statistics\t%.3f ms an image, in the reader's thread\n", t.draft_seconds * 1e3);
    printf("slot\t%.3f ms an image alone\n", seconds / batch * 1e3);
    if (cs_trial_rate(trial, slots, o->seconds, &rate, err) != 0)
        return -1;
    printf("total\t%.2f images/s\n", rate);
    return 0;
}

int model_bench(const struct model_options *options, const struct cs_package *p, struct cs_err *err)
{
    struct cs_trial *trial;
    struct cs_device_choice choice;
    struct cs_trial_options o = {.threads = (int)options->threads,
                                 .slots = options->slots ? (int)options->slots : 1,
                                 .direct = options->conv == 1};
    if ((options->size && model_size(options->size, &o.width, &o.height, err) != 0) ||
        cs_device_choose(options->device ? options->device : "auto", &choice, err) != 0)
        return -1;
    o.backend = choice.backend;
    o.detail = choice.detail;
    if (cs_trial_open(&trial, p, &o, err) != 0)
        return -1;
    int result = bench(trial, options, err);
    cs_trial_close(trial);
    return result;
}
