// SPDX-License-Identifier: MIT
// Matrix products on the backend "cpu", in the shapes of attention and of linear layers: time and
// the part of this processor's fp32 peak, measured in the same run on the same threads.
//
//     product [THREADS]
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/cpu/backend_cpu.h"
#include "backend/cpu/peak.h"
#include "base/mem.h"
#include "opcase.h"

// A: batch x rows x depth; B: batch x depth x columns, or constant: depth x columns.
static const struct shape {
    const char *what;
    int64_t batch, rows, depth, columns;
    bool constant;
} shapes[] = {
    {"square", 1, 1024, 1024, 1024, false},
    {"queries x keys, reduced", 1, 16384, 32, 256, false},
    {"weights x values, reduced", 1, 16384, 256, 32, false},
    {"queries x keys, 8 heads", 8, 1024, 64, 1024, false},
    {"weights x values, 8 heads", 8, 1024, 1024, 64, false},
    {"queries x keys, 7 x 7 windows", 192, 49, 32, 49, false},
    {"weights x values, 7 x 7 windows", 192, 49, 49, 32, false},
    {"linear, wider", 1, 4096, 256, 1024, true},
    {"linear, narrower", 1, 4096, 1024, 256, true},
    {"linear, 196 tokens", 1, 196, 768, 3072, true},
    {"linear, 4 rows", 1, 4, 2048, 1000, true},
};

struct loaded {
    struct opcase c;
    struct cs_graph graph;
    struct cs_device *device;
    struct cs_network *network;
    struct cs_plan *plan;
    struct cs_slot *slot;
};

static int load(struct loaded *l, const struct shape *s, int threads, struct cs_err *err)
{
    const struct cs_backend *cpu = &cs_backend_cpu;
    const struct cs_device_options options = {.threads = threads};
    opcase_init(&l->c, 17, 1);
    opcase_input(&l->c, SHAPE(s->batch, s->rows, s->depth));
    if (s->constant)
        opcase_weight(&l->c, SHAPE(s->depth, s->columns));
    else
        opcase_input(&l->c, SHAPE(s->batch, s->depth, s->columns));
    opcase_node(&l->c, "MatMul", 1);
    return cs_graph_infer(&l->c.graph, l->c.shapes, &l->graph, err) < 0 ||
                   cpu->device_open(&options, &l->device, err) < 0 ||
                   cpu->network_open(l->device, &l->network, err) < 0 ||
                   cpu->plan_open(l->network, &l->graph, CS_FP32, false, &l->plan, err) < 0 ||
                   cpu->slot_open(l->network, &l->plan, 1, &l->slot, err) < 0
               ? -1
               : 0;
}

static void unload(struct loaded *l)
{
    const struct cs_backend *cpu = &cs_backend_cpu;
    cpu->slot_close(l->slot);
    cpu->plan_close(l->plan);
    cpu->network_close(l->network);
    cpu->device_close(l->device);
    cs_graph_release(&l->graph);
    opcase_release(&l->c);
}

// Best of several runs of the product's step alone.
static int measure(const struct shape *s, int threads, double peak, struct cs_err *err)
{
    struct loaded l = {.device = NULL};
    struct cs_profile step;
    double best = 1e9, flops = 0;
    if (load(&l, s, threads, err) < 0)
        return -1;
    float *out = cs_xcalloc((size_t)(s->batch * s->rows * s->columns), sizeof *out);
    const void *const inputs[] = {l.c.data[0], l.c.data[1]};
    void *const outputs[] = {out};
    int result = 0;
    for (int round = 0; round < 25 && result == 0; round++) {
        cs_backend_cpu.profile_start(l.plan, threads == 1);
        result = cs_backend_cpu.run_tensors(l.slot, l.plan, inputs, outputs, err);
        if (cs_backend_cpu.profile_step(l.plan, 1, &step) && step.seconds < best)
            best = step.seconds;
        flops = step.flops;
    }
    if (result == 0)
        printf("%-32s %4d x %5d x %4d x %4d %9.3f ms %5.1f %% of peak\n", s->what, (int)s->batch,
               (int)s->rows, (int)s->depth, (int)s->columns, best * 1e3, 100 * flops / best / peak);
    free(out);
    unload(&l);
    return result;
}

int main(int argc, char **argv)
{
    struct cs_err err = {0};
    int threads = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 1;
    if (argc > 2 || threads < 1 || threads > 1024) {
        fprintf(stderr, "usage: product [THREADS]\n");
        return 2;
    }
    omp_set_num_threads(threads);
    struct cs_peak peak;
    cs_cpu_peak(threads == 1, &peak);
    printf("fp32 peak %.0f GFLOP/s, %d threads\n", peak.flops / 1e9, threads);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (measure(&shapes[i], threads, peak.flops, &err) < 0) {
            fprintf(stderr, "product: %s\n", err.text);
            return 1;
        }
    return 0;
}
