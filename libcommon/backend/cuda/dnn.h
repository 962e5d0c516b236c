// SPDX-License-Identifier: MIT
// Convolutions by cuDNN 9, through its graph interface ("backend" C API): the operations of a
// convolution with what follows it are described as a graph, cuDNN's heuristics name engines for
// it, and the first that the rules below allow becomes an engine of ours.
//
// fp32 takes no engine that uses tensor cores (that is TF32), none rounds its inputs or sums to
// less than the plan's type, none depends on chance, and engines compiled at run time come last.
#ifndef CS_BACKEND_CUDA_DNN_H
#define CS_BACKEND_CUDA_DNN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct cs_cuda_dnn;    // a handle: for one stream, in one thread at a time
struct cs_cuda_engine; // of one convolution; used with any handle of the same device

void cs_cuda_dnn_text(char *text, size_t size); // "cuDNN 9.19.0"
// stream: cudaStream_t, NULL for a handle that only makes engines.
int cs_cuda_dnn_open(struct cs_cuda_dnn **dnn, void *stream, struct cs_err *err);
// A handle that makes engines for a GPU that need not be here, known by its properties as cuDNN
// writes them (JSON). They cannot run. CS_EDEVICE before cuDNN 9.8.
int cs_cuda_dnn_describe(struct cs_cuda_dnn **dnn, const char *properties, struct cs_err *err);
void cs_cuda_dnn_close(struct cs_cuda_dnn *dnn); // accepts NULL

// y = activation(x * w + add + bias). Sizes in the order N, C, H, W and strides in elements, as of
// struct cs_cuda_tensor; w is K, C / groups, R, S, dense with C innermost. A transposed
// convolution has no add, bias or activation; its w is K = x's channels, C = y's / groups.
//
// Parts of norms, with no add, bias or activation, in fp16 alone. `mapped`: what is convolved is
// ReLU(x * scale + shift), made while it is loaded; scale and shift are fp16, one a channel of x.
// `measured`: also the sums of each channel of y and of its squares over N, H and W, in fp32.
struct cs_cuda_dnn_conv {
    bool half;         // samples of x, w, add, y and bias are fp16, else fp32
    bool tensor_cores; // fp32: TF32 is allowed
    bool direct;       // no Winograd, no Fourier transform
    bool compiled;     // engines that cuDNN compiles at run time are allowed
    bool transposed, add, bias;
    bool mapped, measured;
    int64_t x[4], x_stride[4], y[4], y_stride[4], w[4], add_stride[4];
    int64_t pad_begin[2], pad_end[2], stride[2], dilation[2];
    enum { CS_CUDA_CONV_PLAIN, CS_CUDA_CONV_RELU, CS_CUDA_CONV_CLIP } activation;
    float slope, low, high; // of RELU below 0; of CLIP
};

// CS_EDEVICE where cuDNN has no engine that the rules allow.
int cs_cuda_engine_new(struct cs_cuda_dnn *dnn, const struct cs_cuda_dnn_conv *conv,
                       struct cs_cuda_engine **engine, struct cs_err *err);
void cs_cuda_engine_free(struct cs_cuda_engine *engine); // accepts NULL
size_t cs_cuda_engine_workspace(const struct cs_cuda_engine *engine);
// Addresses of the device; those that the convolution has not are not looked at.
struct cs_cuda_dnn_data {
    const void *x, *w, *add, *bias, *scale, *shift;
    void *y, *sums, *squares, *workspace;
};
// Puts the work on the handle's stream.
int cs_cuda_engine_run(struct cs_cuda_dnn *dnn, const struct cs_cuda_engine *engine,
                       const struct cs_cuda_dnn_data *data, struct cs_err *err);

#endif
