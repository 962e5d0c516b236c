// SPDX-License-Identifier: MIT
// An engine: the convolution is described (dnn_graph.c), cuDNN's heuristics name configurations for
// it, best first, and the first that the rules allow and that makes a plan is taken.
#include "backend/cuda/dnn.h"

#include <cuda_runtime_api.h>
#include <cudnn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/dnn_graph.h"
#include "base/mem.h"

enum {
    MAX_CONFIGS = 64, // engines that heuristics name at once
    MAX_NOTES = 32,
    MAX_WORKSPACE = 512 << 20, // bytes
};

// Attributes that cuDNN has from 9.8 on.
#if CUDNN_VERSION >= 90800
#define PLAN_DEVICE       CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP
#define HEURISTICS_DEVICE CUDNN_ATTR_ENGINEHEUR_DEVICEPROP
#else
#define PLAN_DEVICE       CUDNN_ATTR_EXECUTION_PLAN_HANDLE // never asked for
#define HEURISTICS_DEVICE CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH
#endif

struct cs_cuda_dnn {
    cudnnHandle_t handle;            // NULL: engines are for `device`
    cudnnBackendDescriptor_t device; // NULL: they are for the handle's
};

struct cs_cuda_engine {
    struct cs_cuda_dnn_graph graph;
    cudnnBackendDescriptor_t config, plan; // made from it, and from that; NULL: not yet
    int64_t workspace;                     // bytes
    bool add, bias, mapped, measured;
};

// ---- Handles -----------------------------------------------------------------------------

void cs_cuda_dnn_text(char *text, size_t size)
{
    size_t version = cudnnGetVersion(); // 91900
    snprintf(text, size, "cuDNN %zu.%zu.%zu", version / 10000, version % 10000 / 100,
             version % 100);
}

static int check(cudnnStatus_t status, const char *what, struct cs_err *err)
{
    if (status == CUDNN_STATUS_SUCCESS)
        return 0;
    char last[256] = "";
    cudnnGetLastErrorString(last, sizeof last);
    last[strcspn(last, "\n")] = '\0';
    bool memory = status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED ||
                  status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
    return cs_fail(err, memory ? CS_ENOMEM : CS_EDEVICE, "cuDNN: %s: %s%s%s", what,
                   cudnnGetErrorString(status), *last ? ": " : "", last);
}

int cs_cuda_dnn_open(struct cs_cuda_dnn **dnn, void *stream, struct cs_err *err)
{
    struct cs_cuda_dnn *made = cs_xcalloc(1, sizeof *made);
    if (cudnnGetVersion() / 10000 != CUDNN_MAJOR) {
        free(made);
        return cs_fail(err, CS_EDEVICE, "cuda: cuDNN %d is needed, there is version %zu",
                       CUDNN_MAJOR, cudnnGetVersion());
    }
    cudnnStatus_t status = cudnnCreate(&made->handle);
    if (status == CUDNN_STATUS_SUCCESS && stream)
        status = cudnnSetStream(made->handle, stream);
    if (check(status, "making a handle", err) != 0) {
        cs_cuda_dnn_close(made);
        return -1;
    }
    *dnn = made;
    return 0;
}

int cs_cuda_dnn_describe(struct cs_cuda_dnn **dnn, const char *properties, struct cs_err *err)
{
#if CUDNN_VERSION >= 90800
    struct cs_cuda_dnn *made = cs_xcalloc(1, sizeof *made);
    cudnnStatus_t status =
        cudnnBackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &made->device);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendSetAttribute(made->device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                                          CUDNN_TYPE_CHAR, (int64_t)strlen(properties), properties);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendFinalize(made->device);
    if (check(status, "describing a device", err) != 0) {
        cs_cuda_dnn_close(made);
        return -1;
    }
    *dnn = made;
    return 0;
#else
    (void)dnn, (void)properties;
    return cs_fail(err, CS_EDEVICE, "cuDNN 9.8 is needed to plan without a device");
#endif
}

void cs_cuda_dnn_close(struct cs_cuda_dnn *dnn)
{
    if (!dnn)
        return;
    if (dnn->handle)
        cudnnDestroy(dnn->handle);
    if (dnn->device)
        cudnnBackendDestroyDescriptor(dnn->device);
    free(dnn);
}

// ---- Choosing an engine ------------------------------------------------------------------

static bool has_note(const int *notes, int64_t count, int note)
{
    for (int64_t i = 0; i < count && i < MAX_NOTES; i++)
        if (notes[i] == note)
            return true;
    return false;
}

static bool is_allowed(cudnnBackendDescriptor_t config, const struct cs_cuda_dnn_conv *conv)
{
    static const int never[] = {CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS,
                                CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION,
                                CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC};
    static const int transforms[] = {CUDNN_NUMERICAL_NOTE_FFT, CUDNN_NUMERICAL_NOTE_WINOGRAD,
                                     CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4,
                                     CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6,
                                     CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13};
    int numeric[MAX_NOTES], behaviour[MAX_NOTES];
    int64_t numeric_count = 0, behaviour_count = 0, found = 0;
    cudnnBackendDescriptor_t engine = NULL;
    bool allowed =
        cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine) ==
            CUDNN_STATUS_SUCCESS &&
        cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                 1, &found, &engine) == CUDNN_STATUS_SUCCESS &&
        cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                 CUDNN_TYPE_NUMERICAL_NOTE, MAX_NOTES, &numeric_count,
                                 numeric) == CUDNN_STATUS_SUCCESS &&
        cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE,
                                 MAX_NOTES, &behaviour_count, behaviour) == CUDNN_STATUS_SUCCESS;
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        allowed = allowed && !has_note(numeric, numeric_count, never[i]);
    for (size_t i = 0; conv->direct && i < sizeof transforms / sizeof *transforms; i++)
        allowed = allowed && !has_note(numeric, numeric_count, transforms[i]);
    if (!conv->half && !conv->tensor_cores)
        allowed = allowed && !has_note(numeric, numeric_count, CUDNN_NUMERICAL_NOTE_TENSOR_CORE);
    if (!conv->compiled)
        allowed = allowed &&
                  !has_note(behaviour, behaviour_count, CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION);
    if (engine)
        cudnnBackendDestroyDescriptor(engine);
    return allowed;
}

// Say for which device a descriptor is.
static bool set_device(const struct cs_cuda_dnn *dnn, cudnnBackendDescriptor_t d,
                       cudnnBackendAttributeName_t handle, cudnnBackendAttributeName_t device)
{
    return cudnnBackendSetAttribute(d, dnn->device ? device : handle,
                                    dnn->device ? CUDNN_TYPE_BACKEND_DESCRIPTOR : CUDNN_TYPE_HANDLE,
                                    1, dnn->device ? (const void *)&dnn->device : &dnn->handle) ==
           CUDNN_STATUS_SUCCESS;
}

// Make the plan of one engine; false where cuDNN does not want to, or needs too much memory.
static bool try_config(struct cs_cuda_engine *made, const struct cs_cuda_dnn *dnn,
                       cudnnBackendDescriptor_t config)
{
    int64_t found = 0;
    cudnnBackendDescriptor_t plan = NULL;
    if (cudnnBackendCreateDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &plan) ==
            CUDNN_STATUS_SUCCESS &&
        set_device(dnn, plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, PLAN_DEVICE) &&
        cudnnBackendSetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG,
                                 CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                 &config) == CUDNN_STATUS_SUCCESS &&
        cudnnBackendFinalize(plan) == CUDNN_STATUS_SUCCESS &&
        cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64,
                                 1, &found, &made->workspace) == CUDNN_STATUS_SUCCESS &&
        made->workspace <= MAX_WORKSPACE) {
        made->plan = plan;
        return true;
    }
    if (plan)
        cudnnBackendDestroyDescriptor(plan);
    return false;
}

static int64_t list_configs(const struct cs_cuda_dnn *dnn, cudnnBackendDescriptor_t graph,
                            cudnnBackendHeurMode_t mode, cudnnBackendDescriptor_t *configs)
{
    cudnnBackendDescriptor_t heuristics = NULL;
    int64_t count = 0;
    bool listed =
        cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &heuristics) ==
            CUDNN_STATUS_SUCCESS &&
        cudnnBackendSetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH,
                                 CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                 &graph) == CUDNN_STATUS_SUCCESS &&
        (!dnn->device ||
         cudnnBackendSetAttribute(heuristics, HEURISTICS_DEVICE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                  &dnn->device) == CUDNN_STATUS_SUCCESS) &&
        cudnnBackendSetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1,
                                 &mode) == CUDNN_STATUS_SUCCESS &&
        cudnnBackendFinalize(heuristics) == CUDNN_STATUS_SUCCESS &&
        cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                 CUDNN_TYPE_BACKEND_DESCRIPTOR, MAX_CONFIGS, &count,
                                 configs) == CUDNN_STATUS_SUCCESS;
    if (heuristics)
        cudnnBackendDestroyDescriptor(heuristics);
    return listed ? count : 0;
}

static bool choose(struct cs_cuda_engine *made, const struct cs_cuda_dnn *dnn,
                   const struct cs_cuda_dnn_conv *conv, cudnnBackendHeurMode_t mode)
{
    cudnnBackendDescriptor_t configs[MAX_CONFIGS] = {NULL};
    int made_count = 0;
    while (made_count < MAX_CONFIGS &&
           cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &configs[made_count]) ==
               CUDNN_STATUS_SUCCESS)
        made_count++;
    int64_t count =
        made_count == MAX_CONFIGS ? list_configs(dnn, made->graph.whole, mode, configs) : 0;
    for (int64_t i = 0; i < count && !made->plan; i++)
        if (is_allowed(configs[i], conv) && try_config(made, dnn, configs[i])) {
            made->config = configs[i];
            configs[i] = NULL;
        }
    for (int i = 0; i < made_count; i++)
        if (configs[i])
            cudnnBackendDestroyDescriptor(configs[i]);
    return made->plan != NULL;
}

int cs_cuda_engine_new(struct cs_cuda_dnn *dnn, const struct cs_cuda_dnn_conv *conv,
                       struct cs_cuda_engine **engine, struct cs_err *err)
{
    struct cs_cuda_engine *made = cs_xcalloc(1, sizeof *made);
    made->add = conv->add;
    made->bias = conv->bias;
    made->mapped = conv->mapped;
    made->measured = conv->measured;
    cudnnStatus_t status = cs_cuda_dnn_graph_init(&made->graph, dnn->handle, conv);
    if (check(status, "describing a convolution", err) != 0) {
        cs_cuda_engine_free(made);
        return -1;
    }
    if (!choose(made, dnn, conv, CUDNN_HEUR_MODE_A) &&
        !choose(made, dnn, conv, CUDNN_HEUR_MODE_FALLBACK)) {
        cs_cuda_engine_free(made);
        return cs_fail(err, CS_EDEVICE, "cuDNN has no engine for this convolution");
    }
    *engine = made;
    return 0;
}

void cs_cuda_engine_free(struct cs_cuda_engine *engine)
{
    if (!engine)
        return;
    if (engine->plan)
        cudnnBackendDestroyDescriptor(engine->plan);
    if (engine->config)
        cudnnBackendDestroyDescriptor(engine->config);
    cs_cuda_dnn_graph_release(&engine->graph);
    free(engine);
}

size_t cs_cuda_engine_workspace(const struct cs_cuda_engine *engine)
{
    return engine->workspace > 0 ? (size_t)engine->workspace : 0;
}

// ---- Running -----------------------------------------------------------------------------

int cs_cuda_engine_run(struct cs_cuda_dnn *dnn, const struct cs_cuda_engine *engine,
                       const struct cs_cuda_dnn_data *d, struct cs_err *err)
{
    const struct {
        bool there;
        int64_t name;
        const void *data;
    } all[] = {
        {true, CS_CUDA_DNN_X, d->x},
        {true, CS_CUDA_DNN_W, d->w},
        {true, CS_CUDA_DNN_Y, d->y},
        {engine->add, CS_CUDA_DNN_ADD, d->add},
        {engine->bias, CS_CUDA_DNN_BIAS, d->bias},
        {engine->mapped, CS_CUDA_DNN_SCALE, d->scale},
        {engine->mapped, CS_CUDA_DNN_SHIFT, d->shift},
        {engine->measured, CS_CUDA_DNN_SUMS, d->sums},
        {engine->measured, CS_CUDA_DNN_SQUARES, d->squares},
    };
    enum { MOST = sizeof all / sizeof *all };
    int64_t names[MOST], count = 0;
    const void *data[MOST];
    for (int i = 0; i < MOST; i++)
        if (all[i].there) {
            names[count] = all[i].name;
            data[count++] = all[i].data;
        }
    cudnnBackendDescriptor_t pack = NULL;
    cudnnStatus_t status =
        cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS,
                                          CUDNN_TYPE_INT64, count, names);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS,
                                          CUDNN_TYPE_VOID_PTR, count, data);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE,
                                          CUDNN_TYPE_VOID_PTR, 1, &d->workspace);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendFinalize(pack);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendExecute(dnn->handle, engine->plan, pack);
    if (pack)
        cudnnBackendDestroyDescriptor(pack);
    return check(status, "convolving", err);
}
