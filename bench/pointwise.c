// SPDX-License-Identifier: MIT
// 1x1 convolutions alone, as the backend "cpu" has them beside oneDNN's, interleaved in one run:
// time, gain, and the part of the floor, which is this processor's fp32 peak. Shapes of U-Nets,
// HRNet and the bundled models.
//
//     pointwise [THREADS [IN OUT HEIGHT WIDTH]...]
//
// With one thread processor time is measured, else elapsed time.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/backend_cpu.h"
#include "backend/cpu/dnn.h"
#include "base/clock.h"
#include "base/mem.h"
#include "layers.h"
#include "opcase.h"

enum { LEAST_ROUNDS = 5, MOST_ROUNDS = 200 };

// In, out, height, width.
static const int64_t layers[][4] = {
    {128, 64, 1024, 1024}, {64, 1, 1024, 1024}, {64, 128, 512, 512}, {128, 256, 256, 256},
    {512, 256, 256, 256},  {512, 1024, 64, 64}, {64, 256, 256, 256}, {256, 64, 256, 256},
    {48, 720, 256, 256},   {384, 720, 32, 32},  {720, 1, 256, 256},  {96, 48, 128, 128},
    {192, 96, 64, 64},     {384, 48, 32, 32},   {64, 256, 64, 64},   {256, 64, 64, 64},
    {96, 48, 32, 32},      {384, 192, 8, 8},    {16, 32, 256, 256},  {16, 2, 512, 512},
    {32, 16, 256, 256},    {96, 48, 64, 64},    {160, 96, 32, 32},   {160, 256, 16, 16},
};

struct bench {
    struct opcase c;
    struct cs_graph graph;
    struct cs_device *device;
    struct cs_network *network;
    struct cs_plan *plan;
    struct cs_slot *slot;
    float *src, *dst, *out;
    float *packed, *scratch; // of oneDNN
    float bias[4096];
    struct cs_dnn_op *op;
    struct cs_dnn_binding *binding;
};

static int load_own(struct bench *b, const int64_t *layer, int threads, struct cs_err *err)
{
    const struct cs_backend *cpu = &cs_backend_cpu;
    const struct cs_device_options options = {.threads = threads};
    opcase_init(&b->c, 17, 1);
    int values[] = {opcase_input(&b->c, SHAPE(1, layer[0], layer[2], layer[3])),
                    opcase_weight(&b->c, SHAPE(layer[1], layer[0], 1, 1)),
                    opcase_weight(&b->c, SHAPE(layer[1]))};
    opcase_node(&b->c, "Conv", 1);
    int first = b->c.graph.outputs[0];
    for (int i = 0; i < 3; i++) // once more: the first finds the caches full of other things
        opcase_value(&b->c, values[i]);
    opcase_node(&b->c, "Conv", 1);
    opcase_value(&b->c, first);
    opcase_value(&b->c, b->c.graph.outputs[0]);
    opcase_node(&b->c, "Add", 1);
    return cs_graph_infer(&b->c.graph, b->c.shapes, &b->graph, err) < 0 ||
                   cpu->device_open(&options, &b->device, err) < 0 ||
                   cpu->network_open(b->device, &b->network, err) < 0 ||
                   cpu->plan_open(b->network, &b->graph, CS_FP32, false, &b->plan, err) < 0 ||
                   cpu->slot_open(b->network, &b->plan, 1, &b->slot, err) < 0
               ? -1
               : 0;
}

static int load_dnn(struct bench *b, const int64_t *layer, struct cs_dnn *dnn, struct cs_err *err)
{
    const struct cs_dnn_conv conv = {.batch = 1,
                                     .in_channels = layer[0],
                                     .out_channels = layer[1],
                                     .groups = 1,
                                     .in = {layer[2], layer[3]},
                                     .out = {layer[2], layer[3]},
                                     .kernel = {1, 1},
                                     .stride = {1, 1},
                                     .dilation = {1, 1},
                                     .bias = true};
    if (cs_dnn_conv_new(dnn, &conv, &b->op, err) != 0)
        return -1;
    size_t pixels = (size_t)(layer[2] * layer[3]);
    b->src = cs_alloc(pixels * (size_t)layer[0], sizeof *b->src, "input", err);
    b->dst = cs_alloc(pixels * (size_t)layer[1], sizeof *b->dst, "output", err);
    b->packed = cs_alloc(cs_dnn_op_weight_bytes(b->op), 1, "weights", err);
    b->scratch = cs_alloc(cs_dnn_op_scratch_bytes(b->op) + 1, 1, "scratch", err);
    if (!b->src || !b->dst || !b->packed || !b->scratch)
        return -1;
    for (size_t i = 0; i < pixels * (size_t)layer[0]; i++)
        b->src[i] = ((const float *)b->c.data[0])[i];
    const struct cs_dnn_memory at = {b->src, b->packed, b->bias, b->dst, b->scratch};
    return cs_dnn_op_pack(b->op, b->c.graph.values[1].data, b->packed, err) != 0 ||
                   cs_dnn_bind(b->op, &at, &b->binding, err) != 0
               ? -1
               : 0;
}

static void release(struct bench *b)
{
    const struct cs_backend *cpu = &cs_backend_cpu;
    cs_dnn_unbind(b->binding);
    cs_dnn_op_free(b->op);
    cpu->slot_close(b->slot);
    cpu->plan_close(b->plan);
    cpu->network_close(b->network);
    cpu->device_close(b->device);
    cs_graph_release(&b->graph);
    opcase_release(&b->c);
    free(b->src);
    free(b->dst);
    free(b->packed);
    free(b->scratch);
    free(b->out);
}

// Best of interleaved rounds: [0] oneDNN, [1] ours.
static int measure(struct bench *b, bool cpu_time, double best[2], struct cs_err *err)
{
    const void *const inputs[] = {b->c.data[0]};
    void *const outputs[] = {b->out};
    struct cs_profile step;
    double spent = 0;
    best[0] = best[1] = 1e9;
    for (int round = 0; round < MOST_ROUNDS && (round < LEAST_ROUNDS || spent < 0.2); round++) {
        // Twice: the first shows what the other left in the caches.
        for (int again = 0; again < 2; again++) {
            double start = cs_clock_of(cpu_time);
            if (cs_dnn_run(b->binding, err) != 0)
                return -1;
            double seconds = cs_clock_of(cpu_time) - start;
            best[0] = round && seconds < best[0] ? seconds : best[0];
            spent += seconds;
        }
        for (int again = 0; again < 2; again++) {
            cs_backend_cpu.profile_start(b->plan, cpu_time);
            if (cs_backend_cpu.run_tensors(b->slot, b->plan, inputs, outputs, err) != 0)
                return -1;
            if (!cs_backend_cpu.profile_step(b->plan, 2, &step))
                return cs_fail(err, CS_EDEVICE, "no step");
            best[1] = round && step.seconds < best[1] ? step.seconds : best[1];
        }
    }
    return 0;
}

static int bench_layer(const int64_t *layer, struct cs_dnn *dnn, int threads, double peak,
                       struct cs_err *err)
{
    struct bench b = {.device = NULL};
    double best[2];
    b.out = cs_alloc((size_t)(layer[1] * layer[2] * layer[3]), sizeof *b.out, "output", err);
    int result = b.out ? load_own(&b, layer, threads, err) : -1;
    if (result == 0)
        result = load_dnn(&b, layer, dnn, err);
    if (result == 0)
        result = measure(&b, threads == 1, best, err);
    if (result == 0) {
        double flops = 2.0 * (double)(layer[0] * layer[1]) * (double)(layer[2] * layer[3]);
        printf("%5d to %4d, %4d x %4d %9.3f ms %9.3f ms  gain %4.2f  %4.1f %% of peak\n",
               (int)layer[0], (int)layer[1], (int)layer[2], (int)layer[3], best[0] * 1e3,
               best[1] * 1e3, best[0] / best[1], 100 * flops / peak / best[1]);
    }
    release(&b);
    return result;
}

int main(int argc, char **argv)
{
    const struct layers all = {"pointwise", "oneDNN, ours", layers, sizeof layers / sizeof *layers,
                               bench_layer};
    return layers_main(&all, argc, argv);
}
