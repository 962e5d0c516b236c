// SPDX-License-Identifier: MIT
// The installed cuDNN is asked for engines for GPUs that are not here, known by their properties:
// every convolution of the bundled networks, and of those in the folder CELLSTREAM_NETWORKS, gets
// one that was compiled before, in each precision. Weights go to the stub's memory; nothing runs.
// What a plan computes and moves is printed, of each step with SHOW_STEPS=1.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/late.h"
#include "model/onnx.h"
#include "suite.h"

// Properties by cuDNN's names, of an H100 SXM and an RTX A5000.
#define COMMON                                                                                     \
    "\"maxGridSize\":[2147483647,65535,65535],\"maxBlockSize\":[1024,1024,64],"                    \
    "\"regsPerBlock\":65536,\"warpSize\":32,\"maxSharedMemoryPerBlock\":49152,"                    \
    "\"reservedSharedMemoryPerBlock\":1024,\"maxRegistersPerSM\":65536,"                           \
    "\"maxThreadsPerBlock\":1024,\"isTccDriver\":0,\"supportCoopLaunch\":1,"                       \
    "\"driverVer\":13000,\"cudaDeviceId\":0,"
static const char *const devices[] = {
    "{" COMMON
    "\"deviceName\":\"NVIDIA H100 80GB HBM3\",\"deviceVer\":900,\"multiProcessorCount\":132,"
    "\"smClockRateKHz\":1980000,\"memClockRateKHz\":2619000,\"l2CacheSize\":52428800,"
    "\"maxSharedMemoryPerBlockOptin\":232448,\"maxSharedMemoryPerSM\":233472,"
    "\"pciDeviceId\":9008,\"maxCtasPerSM\":32,\"maxThreadsPerSM\":2048,"
    "\"totalGlobalMem\":85000000000}",
    "{" COMMON "\"deviceName\":\"NVIDIA RTX A5000\",\"deviceVer\":860,\"multiProcessorCount\":64,"
    "\"smClockRateKHz\":1695000,\"memClockRateKHz\":8001000,\"l2CacheSize\":6291456,"
    "\"maxSharedMemoryPerBlockOptin\":101376,\"maxSharedMemoryPerSM\":102400,"
    "\"pciDeviceId\":8753,\"maxCtasPerSM\":16,\"maxThreadsPerSM\":1536,"
    "\"totalGlobalMem\":25000000000}",
};
static const enum cs_precision precisions[] = {CS_FP32, CS_TF32, CS_FP16};
enum { DEVICES = 2, PRECISIONS = 3, SIDE = 256, LARGE_SIDE = 1024 };

// ---- What was asked for (the linker puts this in between) -----------------------------------

static int precompiled, compiled, measured, mapped;

int __real_cs_cuda_engine_new(struct cs_cuda_dnn *dnn, const struct cs_cuda_dnn_conv *conv,
                              struct cs_cuda_engine **engine, struct cs_err *err);
int __wrap_cs_cuda_engine_new(struct cs_cuda_dnn *dnn, const struct cs_cuda_dnn_conv *conv,
                              struct cs_cuda_engine **engine, struct cs_err *err);
int __wrap_cs_cuda_engine_new(struct cs_cuda_dnn *dnn, const struct cs_cuda_dnn_conv *conv,
                              struct cs_cuda_engine **engine, struct cs_err *err)
{
    int result = __real_cs_cuda_engine_new(dnn, conv, engine, err);
    precompiled += result == 0 && !conv->compiled;
    compiled += result == 0 && conv->compiled;
    measured += result == 0 && conv->measured;
    mapped += result == 0 && conv->mapped;
    return result;
}

// ---- Plans -------------------------------------------------------------------------------

static void show_step(const struct cs_graph *graph, const struct cs_cuda_step *step)
{
    const struct cs_shape *shape = &graph->values[step->node->outputs[0]].shape;
    printf("  %s\t", step->node->op);
    for (int d = 0; d < shape->rank; d++)
        printf("%s%" PRId64, d ? "x" : "", shape->dim[d]);
    printf("\t%.2f GFLOP\t%.1f MB\n", step->flops / 1e9, step->bytes / 1e6);
}

static void plan_graph(const struct cs_graph *graph, int device, enum cs_precision precision,
                       const char *name)
{
    struct cs_err err = {0};
    struct cs_device d = {.capability = 90};
    struct cs_network *network;
    struct cs_plan *plan;
    double flops = 0, bytes = 0;
    precompiled = compiled = measured = mapped = 0;
    ck_assert_msg(cs_cuda_dnn_describe(&d.dnn, devices[device], &err) == 0, "%s", err.text);
    ck_assert_int_eq(cs_cuda_network_open(&d, &network, &err), 0);
    ck_assert_msg(cs_cuda_plan_open(network, graph, precision, false, &plan, &err) == 0, "%s: %s",
                  name, err.text);
    ck_assert_msg(compiled == 0, "%s in %s: %d of %d engines are compiled at run time", name,
                  cs_precision_name(precision), compiled, compiled + precompiled);
    ck_assert_int_gt(precompiled, 0);
    for (int i = 0; i < plan->step_count; i++) {
        flops += plan->steps[i].flops;
        bytes += plan->steps[i].bytes;
        if (getenv("SHOW_STEPS"))
            show_step(graph, &plan->steps[i]);
    }
    printf("%s, device %d, %s: %d engines, %d with sums, %d of them with a norm before; "
           "workspace %.1f MiB, arena %.1f MiB; %d steps, %.0f GFLOP, %.2f GB\n",
           name, device, cs_precision_name(precision), precompiled, measured, mapped,
           (double)plan->scratch_bytes / (1 << 20), (double)plan->memory.arena_bytes / (1 << 20),
           plan->step_count, flops / 1e9, bytes / 1e9);
    cs_cuda_plan_close(plan);
    cs_cuda_network_close(network);
    cs_cuda_dnn_close(d.dnn);
}

static void plan_file(const char *path, int64_t side, int device, enum cs_precision precision)
{
    struct cs_graph graph, concrete;
    struct cs_onnx *file;
    struct cs_err err = {0};
    ck_assert_msg(cs_onnx_read(path, &graph, &file, &err) == 0, "%s", err.text);
    struct cs_shape shape = graph.values[graph.inputs[0]].shape;
    shape.dim[0] = 1;
    for (int d = 2; d < 4; d++)
        shape.dim[d] = shape.dim[d] > 0 ? shape.dim[d] : side;
    ck_assert_msg(cs_graph_run_passes(&graph, CS_PASSES_ALGEBRA, &err) == 0 &&
                      cs_graph_infer(&graph, &shape, &concrete, &err) == 0 &&
                      cs_graph_run_passes(&concrete, CS_PASSES_FUSION, &err) == 0,
                  "%s", err.text);
    plan_graph(&concrete, device, precision, strrchr(path, '/') + 1);
    cs_graph_release(&concrete);
    cs_graph_release(&graph);
    cs_onnx_free(file);
}

START_TEST(bundled)
{
    static const char *const names[] = {"nuclei", "spheroid"};
    char path[4096];
    for (int m = 0; m < 2; m++) {
        snprintf(path, sizeof path, "%s/%s/%s.onnx", getenv("CELLSTREAM_MODEL_PATH"), names[m],
                 names[m]);
        plan_file(path, SIDE, _i / PRECISIONS, precisions[_i % PRECISIONS]);
    }
}
END_TEST

// Convolutions that do a part of norms: with the sums of their result alone, and with their operand
// scaled, shifted and cut by ReLU besides.
START_TEST(late)
{
    static const int64_t cases[][5] = {// channels, outputs, side, kernel, stride
                                       {8, 64, 1024, 3, 1},  {64, 64, 1024, 3, 1},
                                       {48, 48, 256, 3, 1},  {64, 256, 256, 1, 1},
                                       {256, 64, 256, 1, 1}, {48, 96, 256, 3, 2}};
    struct cs_cuda_dnn *dnn;
    struct cs_err err = {0};
    ck_assert_msg(cs_cuda_dnn_describe(&dnn, devices[_i], &err) == 0, "%s", err.text);
    for (int i = 0; i < 12; i++) {
        const int64_t *s = cases[i / 2], in = s[2], out = in / s[4], pad = s[3] / 2;
        const struct cs_cuda_dnn_conv conv = {.half = true,
                                              .measured = true,
                                              .mapped = i % 2,
                                              .x = {1, s[0], in, in},
                                              .x_stride = {s[0] * in * in, 1, s[0] * in, s[0]},
                                              .y = {1, s[1], out, out},
                                              .y_stride = {s[1] * out * out, 1, s[1] * out, s[1]},
                                              .w = {s[1], s[0], s[3], s[3]},
                                              .pad_begin = {pad, pad},
                                              .pad_end = {pad, pad},
                                              .stride = {s[4], s[4]},
                                              .dilation = {1, 1}};
        struct cs_cuda_engine *engine;
        ck_assert_msg(cs_cuda_engine_new(dnn, &conv, &engine, &err) == 0, "case %d: %s", i,
                      err.text);
        ck_assert_uint_lt(cs_cuda_engine_workspace(engine), 16 << 20);
        cs_cuda_engine_free(engine);
    }
    cs_cuda_dnn_close(dnn);
}
END_TEST

START_TEST(large)
{
    static const char *const names[] = {"unet", "cbam_resunet", "hrnet"};
    char path[4096];
    const char *folder = getenv("CELLSTREAM_NETWORKS");
    for (int m = 0; folder && m < 3; m++) {
        snprintf(path, sizeof path, "%s/%s.onnx", folder, names[m]);
        plan_file(path, LARGE_SIDE, _i / PRECISIONS, precisions[_i % PRECISIONS]);
    }
}
END_TEST

int main(void)
{
    struct cs_cuda_dnn *dnn = NULL;
    struct cs_err err = {0};
    if (cs_cuda_dnn_describe(&dnn, devices[0], &err) != 0) {
        printf("%s\n", err.text);
        return 77;
    }
    cs_cuda_dnn_close(dnn);
    Suite *suite = suite_create("cuda plans");
    TCase *core = tcase_create("core");
    tcase_add_loop_test(core, bundled, 0, DEVICES * PRECISIONS);
    tcase_add_loop_test(core, late, 0, DEVICES);
    tcase_add_loop_test(core, large, 0, DEVICES * PRECISIONS);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
