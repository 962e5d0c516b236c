// SPDX-License-Identifier: MIT
// 3x3 convolutions alone, by Winograd's method beside oneDNN's direct one, interleaved in one run:
// time, gain, and the part of the floor, which is a quarter of the direct multiplications at this
// processor's fp32 peak. cs_winograd_pays follows from this table.
//
//     winograd [THREADS [IN OUT HEIGHT WIDTH]...]
//
// With one thread processor time is measured, else elapsed time.
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "backend/backend.h"
#include "backend/cpu/dnn.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/winograd.h"
#include "layers.h"

enum { LEAST_ROUNDS = 5, MOST_ROUNDS = 200 };

// In, out, height, width: layers of U-Nets and HRNet; small planes; few channels.
static const int64_t layers[][4] = {
    {64, 64, 1024, 1024}, {128, 64, 1024, 1024}, {64, 64, 512, 512},   {128, 128, 512, 512},
    {128, 128, 256, 256}, {256, 256, 256, 256},  {256, 256, 128, 128}, {512, 512, 128, 128},
    {512, 512, 64, 64},   {1024, 1024, 64, 64},  {48, 48, 256, 256},   {96, 96, 128, 128},
    {192, 192, 64, 64},   {384, 384, 32, 32},    {48, 48, 64, 64},     {96, 96, 32, 32},
    {192, 192, 16, 16},   {384, 384, 8, 8},      {48, 48, 16, 16},     {64, 64, 8, 8},
    {128, 128, 8, 8},     {256, 256, 8, 8},      {256, 256, 12, 12},   {256, 256, 16, 16},
    {512, 512, 8, 8},     {512, 512, 12, 12},    {512, 512, 16, 16},   {1024, 1024, 16, 16},
    {128, 128, 16, 16},   {128, 128, 20, 20},    {3, 64, 512, 512},    {1, 64, 512, 512},
    {3, 16, 512, 512},    {1, 8, 512, 512},      {16, 16, 512, 512},   {16, 1, 512, 512},
    {8, 8, 512, 512},     {32, 32, 256, 256},    {32, 2, 256, 256},    {64, 1, 256, 256},
    {64, 2, 256, 256},    {16, 48, 256, 256},    {64, 16, 128, 128},   {64, 32, 128, 128},
};

struct bench {
    struct cs_winograd_shape shape;
    struct cs_winograd w;
    struct cs_winograd_run run;
    float *src, *weights, *packed, *direct_packed, *bias, *dst, *scratch;
    char *direct_scratch;
    struct cs_dnn_op *op;
    struct cs_dnn_binding *binding;
};

static void *memory(size_t bytes)
{
    size_t page = (size_t)2 << 20;
    bytes = (bytes + page) / page * page;
    void *got = aligned_alloc(page, bytes);
    if (!got)
        abort();
    madvise(got, bytes, MADV_HUGEPAGE);
    memset(got, 0, bytes);
    return got;
}

static float *noise(size_t count)
{
    float *values = memory(count * sizeof *values);
    uint32_t seed = 1;
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525 + 1013904223;
        values[i] = (float)(seed >> 8) / 8388608.0F - 1;
    }
    return values;
}

static void init_winograd(struct bench *b, const struct cs_winograd_kernels *kernels, int threads)
{
    struct cs_winograd_caches caches = cs_winograd_find_caches();
    cs_winograd_plan(&b->w, kernels, &b->shape, threads, &caches);
    b->packed = memory(cs_winograd_weight_floats(&b->w) * sizeof *b->packed);
    b->scratch = memory((size_t)threads * cs_winograd_scratch_bytes(&b->w));
    cs_winograd_pack(&b->w, b->weights, b->packed);
    b->run =
        (struct cs_winograd_run){.sources = {{.src = b->src, .channels = b->shape.in_channels}},
                                 .source_count = 1,
                                 .packed = b->packed,
                                 .bias = b->bias,
                                 .dst = b->dst,
                                 .scratch = b->scratch,
                                 .finish = {.kind = CS_FINISH_CLAMP, .high = 1e30F}};
}

static int init_direct(struct bench *b, struct cs_dnn *dnn, struct cs_err *err)
{
    const struct cs_winograd_shape *s = &b->shape;
    const struct cs_dnn_conv conv = {.batch = 1,
                                     .in_channels = s->in_channels,
                                     .out_channels = s->out_channels,
                                     .groups = 1,
                                     .in = {s->in[0], s->in[1]},
                                     .out = {s->out[0], s->out[1]},
                                     .kernel = {3, 3},
                                     .stride = {1, 1},
                                     .dilation = {1, 1},
                                     .pad_begin = {1, 1},
                                     .pad_end = {1, 1},
                                     .bias = true,
                                     .activation = CS_DNN_RELU};
    if (cs_dnn_conv_new(dnn, &conv, &b->op, err) != 0)
        return -1;
    b->direct_packed = memory(cs_dnn_op_weight_bytes(b->op));
    b->direct_scratch = memory(cs_dnn_op_scratch_bytes(b->op));
    const struct cs_dnn_memory at = {b->src, b->direct_packed, b->bias, b->dst, b->direct_scratch};
    return cs_dnn_op_pack(b->op, b->weights, b->direct_packed, err) != 0 ||
                   cs_dnn_bind(b->op, &at, &b->binding, err) != 0
               ? -1
               : 0;
}

static void release(struct bench *b)
{
    cs_dnn_unbind(b->binding);
    cs_dnn_op_free(b->op);
    float *all[] = {b->src,  b->weights, b->packed,  b->direct_packed,
                    b->bias, b->dst,     b->scratch, (float *)(void *)b->direct_scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static double now(int threads)
{
    struct timespec t;
    clock_gettime(threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// Parts shared out evenly, as a plan with this layer alone does.
static void run_winograd(const struct cs_winograd *w, const struct cs_winograd_run *run)
{
    if (w->team) {
        cs_winograd_run_team(w, run);
        return;
    }
#pragma omp parallel num_threads(w->threads)
    {
        int64_t t = omp_get_thread_num(), threads = omp_get_num_threads();
        struct cs_winograd_run mine = *run;
        mine.scratch += (size_t)t * cs_winograd_scratch_bytes(w) / sizeof *mine.scratch;
        cs_winograd_run_parts(w, &mine, w->parts * t / threads, w->parts * (t + 1) / threads);
    }
}

// Best of interleaved rounds: [0] direct, [1] Winograd.
static int measure(struct bench *b, int threads, double best[2], struct cs_err *err)
{
    double spent = 0;
    best[0] = best[1] = 1e9;
    for (int round = 0; round < MOST_ROUNDS && (round < LEAST_ROUNDS || spent < 0.2); round++) {
        for (int i = 0; i < 2; i++) {
            // Twice: the first shows what the other left in the caches.
            for (int again = 0; again < 2; again++) {
                double start = now(threads);
                if (i == 0 && cs_dnn_run(b->binding, err) != 0)
                    return -1;
                if (i == 1)
                    run_winograd(&b->w, &b->run);
                double seconds = now(threads) - start;
                spent += seconds;
                best[i] = round && seconds < best[i] ? seconds : best[i];
            }
        }
    }
    return 0;
}

static int bench_layer(const int64_t *layer, struct cs_dnn *dnn, int threads, double peak,
                       struct cs_err *err)
{
    const struct cs_kernels *kernels = cs_kernels_pick(err);
    if (!kernels || !kernels->winograd)
        return kernels ? cs_fail(err, CS_EDEVICE, "this processor has neither AVX-512 nor AVX2")
                       : -1;
    struct bench b = {.shape = {.batch = 1,
                                .in_channels = layer[0],
                                .out_channels = layer[1],
                                .in = {layer[2], layer[3]},
                                .out = {layer[2], layer[3]},
                                .pad_begin = {1, 1}}};
    size_t pixels = (size_t)(layer[2] * layer[3]);
    double best[2];
    b.src = noise(pixels * (size_t)layer[0]);
    b.dst = memory(pixels * (size_t)layer[1] * sizeof *b.dst);
    b.weights = noise((size_t)(layer[0] * layer[1]) * 9);
    b.bias = noise((size_t)layer[1] + 256);
    init_winograd(&b, kernels->winograd, threads);
    int result = init_direct(&b, dnn, err);
    if (result == 0)
        result = measure(&b, threads, best, err);
    if (result == 0) {
        double floor = 4.5 * (double)(pixels * (size_t)(layer[0] * layer[1])) / peak;
        printf("%5d to %4d, %4d x %4d %9.3f ms %9.3f ms  gain %4.2f  %4.1f %% of the floor  %s%s\n",
               (int)layer[0], (int)layer[1], (int)layer[2], (int)layer[3], best[0] * 1e3,
               best[1] * 1e3, best[0] / best[1], 100 * floor / best[1],
               b.w.team ? "team" : "private",
               cs_winograd_pick(kernels->winograd, &b.shape, false) ? "" : ", direct is taken");
    }
    release(&b);
    return result;
}

int main(int argc, char **argv)
{
    const struct layers all = {"winograd", "direct, Winograd", layers,
                               sizeof layers / sizeof *layers, bench_layer};
    return layers_main(&all, argc, argv);
}
