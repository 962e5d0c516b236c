// SPDX-License-Identifier: MIT
// A convolution with what goes before and behind it as a graph of cuDNN's operations: inside of
// the engines (dnn.c), which are chosen for one.
#ifndef CS_BACKEND_CUDA_DNN_GRAPH_H
#define CS_BACKEND_CUDA_DNN_GRAPH_H

#include <cudnn.h>

#include "backend/cuda/dnn.h"

// Names of tensors within a graph; from VIRTUAL on those that are never in memory.
enum {
    CS_CUDA_DNN_X = 1,
    CS_CUDA_DNN_W,
    CS_CUDA_DNN_Y,
    CS_CUDA_DNN_ADD,
    CS_CUDA_DNN_BIAS,
    CS_CUDA_DNN_SCALE,
    CS_CUDA_DNN_SHIFT,
    CS_CUDA_DNN_SUMS,
    CS_CUDA_DNN_SQUARES,
    CS_CUDA_DNN_VIRTUAL,
};

enum { CS_CUDA_DNN_DESCRIPTORS = 32 };

struct cs_cuda_dnn_graph {
    cudnnBackendDescriptor_t descriptors[CS_CUDA_DNN_DESCRIPTORS]; // of all parts, as they came
    int count;
    cudnnBackendDescriptor_t whole; // the last of them, which the others are part of
};
// handle: NULL where engines are for a device that is only described. The first error of cuDNN;
// release in any case.
cudnnStatus_t cs_cuda_dnn_graph_init(struct cs_cuda_dnn_graph *graph, cudnnHandle_t handle,
                                     const struct cs_cuda_dnn_conv *conv);
void cs_cuda_dnn_graph_release(struct cs_cuda_dnn_graph *graph); // accepts a zeroed struct

#endif
