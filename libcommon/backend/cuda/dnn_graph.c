// SPDX-License-Identifier: MIT
// One descriptor a tensor, operator and operation, chained by virtual tensors in fp32; the order
// convolution, addition, bias, activation is the one that cuDNN has precompiled engines for, and
// so is that of scale, shift, ReLU (whose result is fp16), convolution, sums.
#include "backend/cuda/dnn_graph.h"

#include <assert.h>

enum { ALIGNMENT = 16 }; // bytes, of every tensor in memory

// A graph while it is described: the first failure stays, and what follows is skipped.
struct builder {
    struct cs_cuda_dnn_graph *graph;
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
    if (made) {
        assert(b->graph->count < CS_CUDA_DNN_DESCRIPTORS);
        b->graph->descriptors[b->graph->count++] = made;
    }
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
    bool is_virtual = name >= CS_CUDA_DNN_VIRTUAL;
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
            i < 2 ? vector(b, CUDNN_DATA_HALF, i ? CS_CUDA_DNN_SHIFT : CS_CUDA_DNN_SCALE, conv->x)
                  : NULL;
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
              vector(b, CUDNN_DATA_FLOAT, CS_CUDA_DNN_SUMS, conv->y));
    set_child(b, d, CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC,
              vector(b, CUDNN_DATA_FLOAT, CS_CUDA_DNN_SQUARES, conv->y));
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
    cudnnBackendDescriptor_t x = tensor(b, type, CS_CUDA_DNN_X, conv->x, conv->x_stride);
    cudnnBackendDescriptor_t w = tensor(b, type, CS_CUDA_DNN_W, conv->w, w_stride);
    if (conv->mapped)
        x = add_map(b, conv, x);
    cudnnBackendDescriptor_t last =
        tensor(b, left ? CUDNN_DATA_FLOAT : type, left ? b->next++ : CS_CUDA_DNN_Y, conv->y,
               conv->y_stride);
    add_convolution(b, conv, x, w, last);
    for (int stage = 0; stage < 3; stage++) {
        const bool there[] = {conv->add, conv->bias, act};
        if (!there[stage])
            continue;
        left--;
        cudnnBackendDescriptor_t operand =
            stage == 0   ? tensor(b, type, CS_CUDA_DNN_ADD, conv->y, conv->add_stride)
            : stage == 1 ? vector(b, type, CS_CUDA_DNN_BIAS, conv->y)
                         : NULL;
        cudnnBackendDescriptor_t out =
            tensor(b, left ? CUDNN_DATA_FLOAT : type, left ? b->next++ : CS_CUDA_DNN_Y, conv->y,
                   conv->y_stride);
        add_pointwise(b, stage < 2 ? pointwise(b, CUDNN_POINTWISE_ADD) : activation(b, conv), last,
                      operand, out);
        last = out;
    }
    if (conv->measured)
        add_sums(b, conv, last);
}

cudnnStatus_t cs_cuda_dnn_graph_init(struct cs_cuda_dnn_graph *graph, cudnnHandle_t handle,
                                     const struct cs_cuda_dnn_conv *conv)
{
    struct builder b = {.graph = graph, .next = CS_CUDA_DNN_VIRTUAL};
    *graph = (struct cs_cuda_dnn_graph){.count = 0};
    describe(&b, conv);
    graph->whole = create(&b, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    if (handle)
        set(&b, graph->whole, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
    set(&b, graph->whole, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
        b.operation_count, b.operations);
    finalize(&b, graph->whole);
    return b.status;
}

void cs_cuda_dnn_graph_release(struct cs_cuda_dnn_graph *graph)
{
    for (int i = graph->count - 1; i >= 0; i--)
        cudnnBackendDestroyDescriptor(graph->descriptors[i]);
    *graph = (struct cs_cuda_dnn_graph){.count = 0};
}
