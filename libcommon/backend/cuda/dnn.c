// SPDX-License-Identifier: MIT
// Method: one descriptor a tensor, operator and operation, chained by virtual tensors in fp32; the
// order convolution, addition, bias, activation is the one that cuDNN has precompiled engines for,
// and so is that of scale, shift, ReLU (whose result is fp16), convolution, sums.
#include "backend/cuda/dnn.h"

#include <cuda_runtime_api.h>
#include <cudnn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
    ALIGNMENT = 16,
    MAX_OWNED = 32,   // descriptors of one graph
    MAX_CONFIGS = 64, // engines that heuristics name at once
    MAX_NOTES = 32,
    MAX_WORKSPACE = 512 << 20,
};

// Attributes that cuDNN has from 9.8 on.
#if CUDNN_VERSION >= 90800
#define PLAN_DEVICE       CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP
#define HEURISTICS_DEVICE CUDNN_ATTR_ENGINEHEUR_DEVICEPROP
#else
#define PLAN_DEVICE       CUDNN_ATTR_EXECUTION_PLAN_HANDLE // never asked for
#define HEURISTICS_DEVICE CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH
#endif

// Names of tensors within a graph.
enum { X = 1, W, Y, ADD, BIAS, SCALE, SHIFT, SUMS, SQUARES, VIRTUAL };

struct cs_cuda_dnn {
    cudnnHandle_t handle;            // NULL: engines are for `device`
    cudnnBackendDescriptor_t device; // NULL: they are for the handle's
};

struct cs_cuda_engine {
    cudnnBackendDescriptor_t owned[MAX_OWNED]; // what the plan was made from, in order
    int owned_count;
    cudnnBackendDescriptor_t plan;
    int64_t workspace;
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

// ---- Describing --------------------------------------------------------------------------

// A graph while it is described: the first failure stays, and what follows is skipped.
struct builder {
    struct cs_cuda_engine *engine;
    cudnnStatus_t status;
    cudnnBackendDescriptor_t operations[5];
    int64_t operation_count;
    int64_t next; // name of the next virtual tensor
};

static cudnnBackendDescriptor_t create(struct builder *b, cudnnBackendDescriptorType_t type)
{
    cudnnBackendDescriptor_t made = NULL;
    if (b->status == CUDNN_STATUS_SUCCESS)
        b->status = cudnnBackendCreateDescriptor(type, &made);
    if (made)
        b->engine->owned[b->engine->owned_count++] = made;
    return made;
}

static void set(struct builder *b, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                cudnnBackendAttributeType_t type, int64_t count, const void *values)
{
    if (b->status == CUDNN_STATUS_SUCCESS)
        b->status = cudnnBackendSetAttribute(d, name, type, count, values);
}

static void set_int(struct builder *b, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                    int64_t value)
{
    set(b, d, name, CUDNN_TYPE_INT64, 1, &value);
}

static void set_type(struct builder *b, cudnnBackendDescriptor_t d,
                     cudnnBackendAttributeName_t name, cudnnDataType_t value)
{
    set(b, d, name, CUDNN_TYPE_DATA_TYPE, 1, &value);
}

static void set_child(struct builder *b, cudnnBackendDescriptor_t d,
                      cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t child)
{
    set(b, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &child);
}

static void finalize(struct builder *b, cudnnBackendDescriptor_t d)
{
    if (b->status == CUDNN_STATUS_SUCCESS)
        b->status = cudnnBackendFinalize(d);
}

static cudnnBackendDescriptor_t tensor(struct builder *b, cudnnDataType_t type, int64_t name,
                                       const int64_t dim[4], const int64_t stride[4])
{
    bool is_virtual = name >= VIRTUAL;
    cudnnBackendDescriptor_t t = create(b, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    set_type(b, t, CUDNN_ATTR_TENSOR_DATA_TYPE, type);
    set(b, t, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dim);
    set(b, t, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, stride);
    set_int(b, t, CUDNN_ATTR_TENSOR_UNIQUE_ID, name);
    set_int(b, t, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, ALIGNMENT);
    if (is_virtual)
        set(b, t, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual);
    finalize(b, t);
    return t;
}

static cudnnBackendDescriptor_t window(struct builder *b, const struct cs_cuda_dnn_conv *conv)
{
    cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    cudnnBackendDescriptor_t d = create(b, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    set_type(b, d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT);
    set(b, d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    set_int(b, d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 2);
    set(b, d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, conv->pad_begin);
    set(b, d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, conv->pad_end);
    set(b, d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, conv->stride);
    set(b, d, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, conv->dilation);
    finalize(b, d);
    return d;
}

static void add_operation(struct builder *b, cudnnBackendDescriptor_t operation)
{
    finalize(b, operation);
    b->operations[b->operation_count++] = operation;
}

// The names of the attributes in the order x, w, y, window, alpha, beta.
static void add_convolution(struct builder *b, const struct cs_cuda_dnn_conv *conv,
                            cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t w,
                            cudnnBackendDescriptor_t y)
{
    static const cudnnBackendAttributeName_t names[2][6] = {
        {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    };
    const cudnnBackendAttributeName_t *name = names[conv->transposed];
    cudnnBackendDescriptor_t d =
        create(b, conv->transposed ? CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR
                                   : CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
    float one = 1, zero = 0;
    set_child(b, d, name[0], x);
    set_child(b, d, name[1], w);
    set_child(b, d, name[2], y);
    set_child(b, d, name[3], window(b, conv));
    set(b, d, name[4], CUDNN_TYPE_FLOAT, 1, &one);
    set(b, d, name[5], CUDNN_TYPE_FLOAT, 1, &zero);
    add_operation(b, d);
}

static cudnnBackendDescriptor_t pointwise(struct builder *b, cudnnPointwiseMode_t mode)
{
    cudnnBackendDescriptor_t d = create(b, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    set(b, d, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    set_type(b, d, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT);
    return d;
}

// operand NULL: a function of one value.
static void add_pointwise(struct builder *b, cudnnBackendDescriptor_t function,
                          cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t operand,
                          cudnnBackendDescriptor_t y)
{
    cudnnBackendDescriptor_t d = create(b, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    finalize(b, function);
    set_child(b, d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, function);
    set_child(b, d, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    if (operand)
        set_child(b, d, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, operand);
    set_child(b, d, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    add_operation(b, d);
}

static cudnnBackendDescriptor_t activation(struct builder *b, const struct cs_cuda_dnn_conv *conv)
{
    cudnnBackendDescriptor_t d = pointwise(b, CUDNN_POINTWISE_RELU_FWD);
    double low = conv->low, high = conv->high, slope = conv->slope;
    if (conv->activation == CS_CUDA_CONV_CLIP) {
        set(b, d, CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP, CUDNN_TYPE_DOUBLE, 1, &low);
        set(b, d, CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, CUDNN_TYPE_DOUBLE, 1, &high);
    } else if (conv->slope != 0) {
        set(b, d, CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE, CUDNN_TYPE_DOUBLE, 1, &slope);
    }
    return d;
}

// One number a channel of a tensor of these dimensions.
static cudnnBackendDescriptor_t vector(struct builder *b, cudnnDataType_t type, int64_t name,
                                       const int64_t of[4])
{
    const int64_t dim[] = {1, of[1], 1, 1}, stride[] = {of[1], 1, of[1], of[1]};
    return tensor(b, type, name, dim, stride);
}

static cudnnBackendDescriptor_t add_map(struct builder *b, const struct cs_cuda_dnn_conv *conv,
                                        cudnnBackendDescriptor_t x)
{
    static const cudnnPointwiseMode_t modes[] = {CUDNN_POINTWISE_MUL, CUDNN_POINTWISE_ADD,
                                                 CUDNN_POINTWISE_RELU_FWD};
    for (int i = 0; i < 3; i++) {
        cudnnBackendDescriptor_t operand =
            i < 2 ? vector(b, CUDNN_DATA_HALF, i ? SHIFT : SCALE, conv->x) : NULL;
        cudnnBackendDescriptor_t out = tensor(b, i < 2 ? CUDNN_DATA_FLOAT : CUDNN_DATA_HALF,
                                              b->next++, conv->x, conv->x_stride);
        add_pointwise(b, pointwise(b, modes[i]), x, operand, out);
        x = out;
    }
    return x;
}

static void add_sums(struct builder *b, const struct cs_cuda_dnn_conv *conv,
                     cudnnBackendDescriptor_t y)
{
    cudnnGenStatsMode_t mode = CUDNN_GENSTATS_SUM_SQSUM;
    cudnnBackendDescriptor_t d = create(b, CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR);
    set(b, d, CUDNN_ATTR_OPERATION_GENSTATS_MODE, CUDNN_TYPE_GENSTATS_MODE, 1, &mode);
    set_type(b, d, CUDNN_ATTR_OPERATION_GENSTATS_MATH_PREC, CUDNN_DATA_FLOAT);
    set_child(b, d, CUDNN_ATTR_OPERATION_GENSTATS_XDESC, y);
    set_child(b, d, CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC,
              vector(b, CUDNN_DATA_FLOAT, SUMS, conv->y));
    set_child(b, d, CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC,
              vector(b, CUDNN_DATA_FLOAT, SQUARES, conv->y));
    add_operation(b, d);
}

// The operations, each with its result in a virtual tensor but for the last, which makes y.
static void describe(struct builder *b, const struct cs_cuda_dnn_conv *conv)
{
    cudnnDataType_t type = conv->half ? CUDNN_DATA_HALF : CUDNN_DATA_FLOAT;
    const int64_t w_stride[] = {conv->w[1] * conv->w[2] * conv->w[3], 1, conv->w[3] * conv->w[1],
                                conv->w[1]};
    bool act = conv->activation != CS_CUDA_CONV_PLAIN;
    int left = conv->add + conv->bias + act; // operations that follow
    cudnnBackendDescriptor_t x = tensor(b, type, X, conv->x, conv->x_stride);
    cudnnBackendDescriptor_t w = tensor(b, type, W, conv->w, w_stride);
    if (conv->mapped)
        x = add_map(b, conv, x);
    cudnnBackendDescriptor_t last =
        tensor(b, left ? CUDNN_DATA_FLOAT : type, left ? b->next++ : Y, conv->y, conv->y_stride);
    add_convolution(b, conv, x, w, last);
    for (int stage = 0; stage < 3; stage++) {
        const bool there[] = {conv->add, conv->bias, act};
        if (!there[stage])
            continue;
        left--;
        cudnnBackendDescriptor_t operand = stage == 0
                                               ? tensor(b, type, ADD, conv->y, conv->add_stride)
                                           : stage == 1 ? vector(b, type, BIAS, conv->y)
                                                        : NULL;
        cudnnBackendDescriptor_t out = tensor(b, left ? CUDNN_DATA_FLOAT : type,
                                              left ? b->next++ : Y, conv->y, conv->y_stride);
        add_pointwise(b, stage < 2 ? pointwise(b, CUDNN_POINTWISE_ADD) : activation(b, conv), last,
                      operand, out);
        last = out;
    }
    if (conv->measured)
        add_sums(b, conv, last);
}

static cudnnBackendDescriptor_t operation_graph(struct builder *b, const struct cs_cuda_dnn *dnn)
{
    cudnnBackendDescriptor_t d = create(b, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    if (dnn->handle)
        set(b, d, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &dnn->handle);
    set(b, d, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, b->operation_count,
        b->operations);
    finalize(b, d);
    return d;
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
                   cudnnBackendDescriptor_t graph, const struct cs_cuda_dnn_conv *conv,
                   cudnnBackendHeurMode_t mode)
{
    cudnnBackendDescriptor_t configs[MAX_CONFIGS] = {NULL};
    int made_count = 0;
    while (made_count < MAX_CONFIGS &&
           cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &configs[made_count]) ==
               CUDNN_STATUS_SUCCESS)
        made_count++;
    int64_t count = made_count == MAX_CONFIGS ? list_configs(dnn, graph, mode, configs) : 0;
    for (int64_t i = 0; i < count && !made->plan; i++)
        if (is_allowed(configs[i], conv) && try_config(made, dnn, configs[i])) {
            made->owned[made->owned_count++] = configs[i];
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
    struct builder b = {.engine = made, .next = VIRTUAL};
    made->add = conv->add;
    made->bias = conv->bias;
    made->mapped = conv->mapped;
    made->measured = conv->measured;
    describe(&b, conv);
    cudnnBackendDescriptor_t graph = operation_graph(&b, dnn);
    if (check(b.status, "describing a convolution", err) != 0) {
        cs_cuda_engine_free(made);
        return -1;
    }
    if (!choose(made, dnn, graph, conv, CUDNN_HEUR_MODE_A) &&
        !choose(made, dnn, graph, conv, CUDNN_HEUR_MODE_FALLBACK)) {
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
    for (int i = engine->owned_count - 1; i >= 0; i--)
        cudnnBackendDestroyDescriptor(engine->owned[i]);
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
        {true, X, d->x},
        {true, W, d->w},
        {true, Y, d->y},
        {engine->add, ADD, d->add},
        {engine->bias, BIAS, d->bias},
        {engine->mapped, SCALE, d->scale},
        {engine->mapped, SHIFT, d->shift},
        {engine->measured, SUMS, d->sums},
        {engine->measured, SQUARES, d->squares},
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
