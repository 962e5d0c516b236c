// SPDX-License-Identifier: MIT
// cuDNN's part of the stub: descriptors as lists of attributes, four engines of which two must not
// be taken unless asked for, and plain loops with double sums that run a plan's operations.
#include "stub.h"

#include <cudnn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/cuda.h"
#include "image/image.h"

enum { MAX_ATTRIBUTES = 12, MAX_VALUES = 8, NAMES = 32, WORKSPACE = 4096 };

// In the order in which heuristics name them.
enum engine { ENGINE_TF32, ENGINE_CHANCE, ENGINE_PRECOMPILED, ENGINE_COMPILED, ENGINES };

struct attribute {
    cudnnBackendAttributeName_t name;
    int64_t count;
    union {
        int64_t i;
        double d;
        float f;
        int32_t e; // of enums
        bool b;
        void *p;
    } values[MAX_VALUES];
};

struct descriptor {
    cudnnBackendDescriptorType_t type;
    bool final;
    struct attribute attributes[MAX_ATTRIBUTES];
    int count;
    enum engine engine; // of engines and their configurations
};

struct cudnnContext {
    cudaStream_t stream;
};

// ---- Handles, errors ---------------------------------------------------------------------

size_t cudnnGetVersion(void)
{
    return CUDNN_VERSION;
}

const char *cudnnGetErrorString(cudnnStatus_t status)
{
    return status == CUDNN_STATUS_SUCCESS ? "success" : "a failure of the stub";
}

void cudnnGetLastErrorString(char *message, size_t size)
{
    snprintf(message, size, "%s", "");
}

cudnnStatus_t cudnnCreate(cudnnHandle_t *handle)
{
    if (stub_fails())
        return CUDNN_STATUS_NOT_INITIALIZED;
    *handle = calloc(1, sizeof **handle);
    stub_hold(1);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle)
{
    free(handle);
    stub_hold(-1);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream)
{
    handle->stream = stream;
    return stub_fails() ? CUDNN_STATUS_BAD_PARAM : CUDNN_STATUS_SUCCESS;
}

// ---- Descriptors -------------------------------------------------------------------------

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                           cudnnBackendDescriptor_t *made)
{
    if (stub_fails())
        return CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
    struct descriptor *d = calloc(1, sizeof *d);
    d->type = type;
    *made = d;
    stub_hold(1);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t d)
{
    free(d);
    stub_hold(-1);
    return CUDNN_STATUS_SUCCESS;
}

static size_t value_bytes(cudnnBackendAttributeType_t type)
{
    switch (type) {
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_DOUBLE:
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
        return 8;
    case CUDNN_TYPE_BOOLEAN:
        return 1;
    default:
        return 4; // enums and floats
    }
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count,
                                       const void *values)
{
    struct descriptor *d = descriptor;
    if (stub_fails() || d->final || d->count == MAX_ATTRIBUTES || count > MAX_VALUES)
        return CUDNN_STATUS_BAD_PARAM;
    struct attribute *a = &d->attributes[d->count++];
    a->name = name;
    a->count = count;
    for (int64_t i = 0; i < count; i++)
        memcpy(&a->values[i], (const char *)values + (size_t)i * value_bytes(type),
               value_bytes(type));
    return CUDNN_STATUS_SUCCESS;
}

static const struct attribute *find(const struct descriptor *d, cudnnBackendAttributeName_t name)
{
    for (int i = 0; i < d->count; i++)
        if (d->attributes[i].name == name)
            return &d->attributes[i];
    return NULL;
}

static struct descriptor *child(const struct descriptor *d, cudnnBackendAttributeName_t name)
{
    const struct attribute *a = find(d, name);
    return a ? a->values[0].p : NULL;
}

static const struct attribute *mode_of(const struct descriptor *operation,
                                       cudnnBackendAttributeName_t name)
{
    return find(child(operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR), name);
}

static bool is_pointwise(const struct descriptor *operation)
{
    return operation->type == CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR;
}

static bool is_sums(const struct descriptor *operation)
{
    return operation->type == CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR;
}

static int64_t number(const struct descriptor *tensor, cudnnBackendAttributeName_t name, int i)
{
    return find(tensor, name)->values[i].i;
}

// Of scale, shift, ReLU, convolution and sums; or of the last two: fp16, channels in eights, sums
// of what is dense, for one image.
static bool is_late(const struct attribute *ops)
{
    static const int modes[] = {CUDNN_POINTWISE_MUL, CUDNN_POINTWISE_ADD, CUDNN_POINTWISE_RELU_FWD};
    const struct descriptor *conv = ops->values[ops->count - 2].p;
    if ((ops->count != 2 && ops->count != 5) ||
        conv->type != CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR)
        return false;
    for (int64_t i = 0; i + 2 < ops->count; i++)
        if (mode_of(ops->values[i].p, CUDNN_ATTR_POINTWISE_MODE)->values[0].e != modes[i])
            return false;
    const struct descriptor *x = child(conv, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X);
    const struct descriptor *y = child(conv, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y);
    int64_t channels = number(y, CUDNN_ATTR_TENSOR_DIMENSIONS, 1);
    return number(x, CUDNN_ATTR_TENSOR_DIMENSIONS, 1) % 8 == 0 && channels % 8 == 0 &&
           number(y, CUDNN_ATTR_TENSOR_DIMENSIONS, 0) == 1 &&
           number(y, CUDNN_ATTR_TENSOR_STRIDES, 3) == channels &&
           find(x, CUDNN_ATTR_TENSOR_DATA_TYPE)->values[0].e == CUDNN_DATA_HALF;
}

// Precompiled engines know convolution, addition, bias and ReLU in this order, an addition only
// with a bias, and only ReLU itself; and parts of norms.
static bool is_precompiled(const struct descriptor *graph)
{
    const struct attribute *ops = find(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS);
    int additions = 0;
    if (is_sums(ops->values[ops->count - 1].p))
        return is_late(ops);
    for (int64_t i = 1; i < ops->count; i++) {
        const struct descriptor *op = ops->values[i].p;
        if (mode_of(op, CUDNN_ATTR_POINTWISE_MODE)->values[0].e == CUDNN_POINTWISE_ADD) {
            const struct descriptor *b = child(op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC);
            bool bias = find(b, CUDNN_ATTR_TENSOR_DIMENSIONS)->values[3].i == 1;
            if (additions == 1 && !bias)
                return false;
            additions += bias ? 0 : 1;
        } else if (mode_of(op, CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE) ||
                   mode_of(op, CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP)) {
            return false;
        }
    }
    const struct descriptor *first = ops->values[0].p;
    return ops->count == 1 || first->type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR;
}

static const struct descriptor *graph_of(const struct descriptor *config)
{
    return child(config, CUDNN_ATTR_ENGINE_OPERATION_GRAPH);
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor)
{
    struct descriptor *d = descriptor;
    if (stub_fails() || d->final)
        return CUDNN_STATUS_BAD_PARAM;
    if (d->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) {
        const struct descriptor *config = child(d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
        if (!config || !config->final)
            return CUDNN_STATUS_BAD_PARAM;
        if (config->engine != ENGINE_COMPILED && !is_precompiled(graph_of(config)))
            return CUDNN_STATUS_NOT_SUPPORTED;
    }
    d->final = true;
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t list_engines(const struct descriptor *heuristics, int64_t room, int64_t *count,
                                  void **configs)
{
    *count = room < ENGINES ? room : ENGINES;
    for (int64_t i = 0; i < *count; i++) {
        struct descriptor *config = configs[i];
        void *graph = child(heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
        config->engine = (enum engine)i;
        cudnnStatus_t status = cudnnBackendSetAttribute(config, CUDNN_ATTR_ENGINE_OPERATION_GRAPH,
                                                        CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph);
        if (status != CUDNN_STATUS_SUCCESS)
            return status;
        config->final = true;
    }
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendGetAttribute(const cudnnBackendDescriptor_t descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t room,
                                       int64_t *count, void *values)
{
    const struct descriptor *d = descriptor;
    (void)type;
    if (stub_fails() || (!d->final && d->type != CUDNN_BACKEND_ENGINE_DESCRIPTOR))
        return CUDNN_STATUS_BAD_PARAM;
    *count = 1;
    switch (name) {
    case CUDNN_ATTR_ENGINEHEUR_RESULTS:
        return list_engines(d, room, count, values);
    case CUDNN_ATTR_ENGINECFG_ENGINE:
        (*(struct descriptor **)values)->engine = d->engine;
        return CUDNN_STATUS_SUCCESS;
    case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE:
        *count = d->engine <= ENGINE_CHANCE;
        *(int32_t *)values = d->engine == ENGINE_TF32 ? CUDNN_NUMERICAL_NOTE_TENSOR_CORE
                                                      : CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
        return CUDNN_STATUS_SUCCESS;
    case CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE:
        *count = d->engine == ENGINE_COMPILED;
        *(int32_t *)values = CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;
        return CUDNN_STATUS_SUCCESS;
    case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE:
        *(int64_t *)values = WORKSPACE;
        return CUDNN_STATUS_SUCCESS;
    default:
        return CUDNN_STATUS_NOT_SUPPORTED;
    }
}

// ---- Running -----------------------------------------------------------------------------

// A plan with its addresses by name; virtual tensors get memory while it runs.
struct execution {
    const struct descriptor *graph;
    void *data[NAMES];
    void *workspace;
};

struct tensor {
    void *data;
    bool half;
    int64_t dim[4], stride[4];
};

static int64_t name_of(const struct descriptor *t)
{
    return find(t, CUDNN_ATTR_TENSOR_UNIQUE_ID)->values[0].i;
}

static struct tensor tensor_of(struct execution *e, const struct descriptor *t)
{
    struct tensor made;
    int64_t last = 0, name = name_of(t);
    made.half = find(t, CUDNN_ATTR_TENSOR_DATA_TYPE)->values[0].e == CUDNN_DATA_HALF;
    for (int i = 0; i < 4; i++) {
        made.dim[i] = find(t, CUDNN_ATTR_TENSOR_DIMENSIONS)->values[i].i;
        made.stride[i] = find(t, CUDNN_ATTR_TENSOR_STRIDES)->values[i].i;
        last += (made.dim[i] - 1) * made.stride[i];
    }
    if (find(t, CUDNN_ATTR_TENSOR_IS_VIRTUAL) && !e->data[name])
        e->data[name] = calloc((size_t)last + 1, sizeof(float));
    made.data = e->data[name];
    return made;
}

static int64_t place(const struct tensor *t, int64_t n, int64_t c, int64_t y, int64_t x)
{
    return n * t->stride[0] + c * t->stride[1] + y * t->stride[2] + x * t->stride[3];
}

static double get(const struct tensor *t, int64_t at)
{
    return t->half ? cs_half_to_float(((const uint16_t *)t->data)[at])
                   : ((const float *)t->data)[at];
}

static void set(const struct tensor *t, int64_t at, double value)
{
    if (t->half)
        ((uint16_t *)t->data)[at] = cs_cuda_half((float)value);
    else
        ((float *)t->data)[at] = (float)value;
}

struct window {
    int64_t pad[2], stride[2], dilation[2];
};

static struct window window_of(const struct descriptor *d)
{
    struct window w;
    for (int i = 0; i < 2; i++) {
        w.pad[i] = find(d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS)->values[i].i;
        w.stride[i] = find(d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES)->values[i].i;
        w.dilation[i] = find(d, CUDNN_ATTR_CONVOLUTION_DILATIONS)->values[i].i;
    }
    return w;
}

// One output of a convolution.
static double convolve(const struct tensor *x, const struct tensor *f, const struct window *w,
                       int64_t n, int64_t k, int64_t oy, int64_t ox, int64_t outs)
{
    int64_t groups = x->dim[1] / f->dim[1], first = k / (outs / groups) * f->dim[1];
    double sum = 0;
    for (int64_t r = 0; r < f->dim[2]; r++)
        for (int64_t s = 0; s < f->dim[3]; s++) {
            int64_t iy = oy * w->stride[0] - w->pad[0] + r * w->dilation[0];
            int64_t ix = ox * w->stride[1] - w->pad[1] + s * w->dilation[1];
            if (iy < 0 || ix < 0 || iy >= x->dim[2] || ix >= x->dim[3])
                continue;
            for (int64_t c = 0; c < f->dim[1]; c++)
                sum += get(x, place(x, n, first + c, iy, ix)) * get(f, place(f, k, c, r, s));
        }
    return sum;
}

// One output of the gradient of a convolution by its input: dy has K channels, the output `ins`.
static double gradient(const struct tensor *dy, const struct tensor *f, const struct window *w,
                       int64_t n, int64_t c, int64_t iy, int64_t ix, int64_t ins)
{
    int64_t groups = ins / f->dim[1], share = f->dim[0] / groups, first = c / f->dim[1] * share;
    double sum = 0;
    for (int64_t r = 0; r < f->dim[2]; r++)
        for (int64_t s = 0; s < f->dim[3]; s++) {
            int64_t oy = iy + w->pad[0] - r * w->dilation[0];
            int64_t ox = ix + w->pad[1] - s * w->dilation[1];
            if (oy < 0 || ox < 0 || oy % w->stride[0] || ox % w->stride[1] ||
                oy / w->stride[0] >= dy->dim[2] || ox / w->stride[1] >= dy->dim[3])
                continue;
            for (int64_t k = first; k < first + share; k++)
                sum += get(dy, place(dy, n, k, oy / w->stride[0], ox / w->stride[1])) *
                       get(f, place(f, k, c % f->dim[1], r, s));
        }
    return sum;
}

static void run_convolution(struct execution *e, const struct descriptor *op, bool forward)
{
    static const cudnnBackendAttributeName_t names[2][4] = {
        {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC},
    };
    const cudnnBackendAttributeName_t *name = names[forward];
    struct tensor x = tensor_of(e, child(op, name[0])), f = tensor_of(e, child(op, name[1]));
    struct tensor y = tensor_of(e, child(op, name[2]));
    struct window w = window_of(child(op, name[3]));
#pragma omp parallel for collapse(2)
    for (int64_t n = 0; n < y.dim[0]; n++)
        for (int64_t k = 0; k < y.dim[1]; k++)
            for (int64_t i = 0; i < y.dim[2]; i++)
                for (int64_t j = 0; j < y.dim[3]; j++)
                    set(&y, place(&y, n, k, i, j),
                        forward ? convolve(&x, &f, &w, n, k, i, j, y.dim[1])
                                : gradient(&x, &f, &w, n, k, i, j, y.dim[1]));
}

static double option(const struct descriptor *op, cudnnBackendAttributeName_t name, double absent)
{
    const struct attribute *a = mode_of(op, name);
    return a ? a->values[0].d : absent;
}

static void run_pointwise(struct execution *e, const struct descriptor *op)
{
    const struct descriptor *operand = child(op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC);
    struct tensor x = tensor_of(e, child(op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC));
    struct tensor y = tensor_of(e, child(op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC));
    struct tensor b = operand ? tensor_of(e, operand) : x;
    double low = option(op, CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP, 0);
    double high = option(op, CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, 1e300);
    double slope = option(op, CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE, 0);
    bool times = mode_of(op, CUDNN_ATTR_POINTWISE_MODE)->values[0].e == CUDNN_POINTWISE_MUL;
    for (int64_t n = 0; n < y.dim[0]; n++)
        for (int64_t c = 0; c < y.dim[1]; c++)
            for (int64_t i = 0; i < y.dim[2]; i++)
                for (int64_t j = 0; j < y.dim[3]; j++) {
                    double v = get(&x, place(&x, n, c, i, j));
                    double by = get(&b, place(&b, b.dim[0] == 1 ? 0 : n, c, b.dim[2] == 1 ? 0 : i,
                                              b.dim[3] == 1 ? 0 : j));
                    if (operand)
                        v = times ? v * by : v + by;
                    else
                        v = v > high ? high : v < low ? low + slope * (v - low) : v;
                    set(&y, place(&y, n, c, i, j), v);
                }
}

static void run_sums(struct execution *e, const struct descriptor *op)
{
    struct tensor x = tensor_of(e, child(op, CUDNN_ATTR_OPERATION_GENSTATS_XDESC));
    struct tensor sums = tensor_of(e, child(op, CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC));
    struct tensor squares = tensor_of(e, child(op, CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC));
    stub_note_sums();
    for (int64_t c = 0; c < x.dim[1]; c++) {
        double sum = 0, square = 0;
        for (int64_t i = 0; i < x.dim[2]; i++)
            for (int64_t j = 0; j < x.dim[3]; j++) {
                double v = get(&x, place(&x, 0, c, i, j));
                sum += v;
                square += v * v;
            }
        set(&sums, c, sum);
        set(&squares, c, square);
    }
}

static void run_plan(const void *closure)
{
    struct execution e = *(const struct execution *)closure;
    const struct execution given = e;
    const struct attribute *ops = find(e.graph, CUDNN_ATTR_OPERATIONGRAPH_OPS);
    memset(e.workspace, 0x5a, WORKSPACE); // it is really there
    for (int64_t i = 0; i < ops->count; i++) {
        const struct descriptor *op = ops->values[i].p;
        if (is_pointwise(op))
            run_pointwise(&e, op);
        else if (is_sums(op))
            run_sums(&e, op);
        else
            run_convolution(&e, op,
                            op->type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
    }
    for (int i = 0; i < NAMES; i++)
        if (e.data[i] != given.data[i])
            free(e.data[i]);
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                  cudnnBackendDescriptor_t pack)
{
    const struct descriptor *config = child(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
    const struct attribute *names = find(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    const struct attribute *data = find(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    struct execution e = {.graph = graph_of(config),
                          .workspace = child(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE)};
    if (stub_fails() || !((struct descriptor *)pack)->final || !e.workspace)
        return CUDNN_STATUS_BAD_PARAM;
    for (int64_t i = 0; i < names->count; i++) {
        if (!data->values[i].p || (uintptr_t)data->values[i].p % 16)
            return CUDNN_STATUS_BAD_PARAM;
        e.data[names->values[i].i] = data->values[i].p;
    }
    return stub_launch(handle->stream, run_plan, &e, sizeof e) == 0 ? CUDNN_STATUS_SUCCESS
                                                                    : CUDNN_STATUS_EXECUTION_FAILED;
}
