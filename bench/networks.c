// SPDX-License-Identifier: MIT
// Networks alone on the CPU: time of one image, and the part of this processor's fp32 peak, which
// is measured in the same run on the same threads.
//
//     networks [-t N] [-r N] [-c] [-p] [-i] FILE.onnx[:SIZE]...
//
// Inputs are 1 x C x SIZE x SIZE (1024) of seeded noise. -p prints a line a step. -i waits for a
// line on standard input before each run and answers with its milliseconds, for bench/rivals.
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/opt.h"
#include "netrun.h"

static int64_t threads, runs = 7;
static bool per_step, interactive, cpu_time;

static const struct cs_opt options[] = {
    {'t', "threads", CS_OPT_INT, &threads, "N", "threads (default: all)", .min = 1, .max = 1024},
    {'r', "runs", CS_OPT_INT, &runs, "N", "timed runs, of which the median counts (7)", .min = 1,
     .max = 1000},
    {'c', "cpu-time", CS_OPT_FLAG, &cpu_time, NULL,
     "processor time instead of elapsed, for one thread on a busy machine", .choices = NULL},
    {'p', "profile", CS_OPT_FLAG, &per_step, NULL, "print the time of every step", .choices = NULL},
    {'i', "interactive", CS_OPT_FLAG, &interactive, NULL, "one run for each line read",
     .choices = NULL},
    {0},
};
static const struct cs_tool tool = {"networks", "[OPTION]... FILE.onnx[:SIZE]...",
                                    "time networks on the CPU", options};

struct bench {
    struct netrun run;
    float *input, *outputs[CS_MAX_NODE_IO];
    int output_count;
};

static int channels_of(const char *path, int64_t *channels, struct cs_err *err)
{
    struct cs_graph graph;
    struct cs_onnx *file;
    if (cs_onnx_read(path, &graph, &file, err) != 0)
        return -1;
    const struct cs_shape *shape = &graph.values[graph.inputs[0]].shape;
    if (shape->rank == 4 && shape->dim[1] > 0)
        *channels = shape->dim[1];
    cs_graph_release(&graph);
    cs_onnx_free(file);
    return 0;
}

static int load(struct bench *b, const char *path, int64_t size, struct cs_err *err)
{
    struct cs_shape shape = {4, {1, 3, size, size}};
    if (channels_of(path, &shape.dim[1], err) != 0 ||
        netrun_open(&b->run, path, "cpu", &shape, 1, (int)threads, err) != 0)
        return -1;
    int64_t count = cs_shape_elements(&shape);
    b->input = cs_xcalloc((size_t)count, sizeof *b->input);
    b->output_count = b->run.concrete.output_count;
    if (b->output_count > CS_MAX_NODE_IO)
        return cs_fail(err, CS_EMODEL, "%s: %d outputs", path, b->output_count);
    for (int i = 0; i < b->output_count; i++)
        b->outputs[i] =
            cs_xcalloc((size_t)cs_shape_elements(netrun_output_shape(&b->run, i)), sizeof(double));
    uint64_t seed = 1;
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        b->input[i] = (float)(seed >> 40) / 8388608.0F - 1;
    }
    return 0;
}

static void unload(struct bench *b)
{
    netrun_close(&b->run);
    free(b->input);
    for (int i = 0; i < b->output_count; i++)
        free(b->outputs[i]);
}

static int run_once(struct bench *b, double *seconds, struct cs_err *err)
{
    double start = cs_clock_of(cpu_time);
    if (netrun_run(&b->run, (const float *const *)&b->input, b->outputs, err) != 0)
        return -1;
    *seconds = cs_clock_of(cpu_time) - start;
    return 0;
}

static double total_flops(const struct bench *b)
{
    struct cs_profile step;
    double flops = 0;
    for (int i = 0; b->run.backend->profile_step(b->run.plan, i, &step); i++)
        flops += step.flops;
    return flops;
}

static void print_steps(const struct bench *b, int64_t count)
{
    struct cs_profile line;
    for (int i = 0; b->run.backend->profile_step(b->run.plan, i, &line); i++) {
        char shape[96];
        if (!line.node) // of images, which there are none of here
            continue;
        double ms = line.seconds / (double)count * 1e3;
        cs_shape_text(&cs_node_output(&b->run.concrete, line.node, 0)->shape, shape, sizeof shape);
        printf("  %4d %-22s %-24s %-20s %9.3f ms", i, line.node->op, shape, line.kernel, ms);
        printf(line.flops > 0 ? " %8.1f GFLOP/s\n" : "\n", line.flops / ms / 1e6);
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int measure(struct bench *b, const char *name, int64_t size, struct cs_err *err)
{
    double *seconds = cs_xcalloc((size_t)runs, sizeof *seconds), unused;
    struct cs_peak before, after;
    b->run.backend->peak(b->run.device, cpu_time, &before);
    int result = run_once(b, &unused, err); // warm up
    b->run.backend->profile_start(b->run.plan, cpu_time);
    for (int64_t i = 0; result == 0 && i < runs; i++)
        result = run_once(b, &seconds[i], err);
    b->run.backend->peak(b->run.device, cpu_time, &after);
    if (result == 0) {
        double peak = (after.flops > before.flops ? after.flops : before.flops) / 1e9;
        qsort(seconds, (size_t)runs, sizeof *seconds, by_value);
        double median = seconds[runs / 2], flops = total_flops(b);
        struct cs_memory_use memory = b->run.backend->plan_memory(b->run.plan);
        printf("%-24s %5lld %10.2f ms (best %.2f) %8.1f GFLOP %7.0f GFLOP/s, %4.1f %% of %.0f; "
               "arena %zu MB, weights %zu MB\n",
               name, (long long)size, median * 1e3, seconds[0] * 1e3, flops / 1e9,
               flops / median / 1e9, 100 * flops / median / 1e9 / peak, peak, memory.arena >> 20,
               memory.weights >> 20);
        if (per_step)
            print_steps(b, runs);
    }
    free(seconds);
    return result;
}

static int serve(struct bench *b, struct cs_err *err)
{
    char line[16];
    double seconds;
    while (fgets(line, sizeof line, stdin)) {
        if (run_once(b, &seconds, err) != 0)
            return -1;
        printf("%.3f\n", seconds * 1e3);
        fflush(stdout);
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct cs_err err = {0};
    if (cs_limit_spinning()) // as in cs-infer's worker
        execv("/proc/self/exe", argv);
    int first, parsed = cs_opt_parse(&tool, argc, argv, &first, &err);
    if (parsed != 0)
        return parsed > 0 ? 0 : cs_opt_die(&tool, &err);
    if (threads == 0)
        threads = cs_usable_threads();
    omp_set_num_threads((int)threads);
    for (int i = first; i < argc; i++) {
        struct bench b = {0};
        int64_t size = 1024;
        char *colon = strrchr(argv[i], ':');
        int result = 0;
        if (colon) {
            *colon = '\0';
            result = cs_num_int(colon + 1, 1, 16384, "size", &size, &err);
        }
        if (result == 0)
            result = load(&b, argv[i], size, &err);
        const char *slash = strrchr(argv[i], '/');
        if (result == 0)
            result = interactive ? serve(&b, &err)
                                 : measure(&b, slash ? slash + 1 : argv[i], size, &err);
        unload(&b);
        if (result != 0)
            return cs_opt_die(&tool, &err);
    }
    return 0;
}
