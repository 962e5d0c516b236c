// SPDX-License-Identifier: MIT
// The only door to oneDNN, major version 2 or 3: convolutions on dense float tensors, activations
// in N, H, W, C order.
//
// An op is a primitive for fixed sizes, made once a plan. Its scratchpad is the caller's, so that
// any thread may run it. A binding ties an op to the memory of one slot; running it allocates
// nothing of ours. Ops may be run from several threads at once through bindings of their own.
// The number of threads is that of OpenMP at the time of making and of running.
#ifndef CS_BACKEND_CPU_DNN_H
#define CS_BACKEND_CPU_DNN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct cs_dnn;
struct cs_dnn_op;
struct cs_dnn_binding;

// isa: the most that may be used (cs_isa_limit), which stays so in this process; NULL: no limit.
// "plain" is SSE4.1, the least there is.
int cs_dnn_open(struct cs_dnn **dnn, const char *isa, struct cs_err *err);
void cs_dnn_close(struct cs_dnn *dnn); // accepts NULL
// Free what oneDNN keeps of ops that are gone, in case they are made again.
void cs_dnn_forget(void);
// "oneDNN 2.6.3, avx512_core". Static storage.
const char *cs_dnn_text(void);

enum cs_dnn_activation {
    CS_DNN_NONE,
    CS_DNN_RELU, // below zero times alpha
    CS_DNN_SIGMOID,
    CS_DNN_CLIP, // alpha..beta
};

// Convolution. Pairs are height, width.
struct cs_dnn_conv {
    int64_t batch, in_channels, out_channels, groups;
    int64_t in[2], out[2], kernel[2], stride[2], dilation[2], pad_begin[2], pad_end[2];
    bool transposed; // for the planner: no such op is made here
    bool bias;
    bool sum; // the output holds values to which the result is added, before the activation
    enum cs_dnn_activation activation;
    float alpha, beta;
};

// CS_EMODEL with oneDNN's reason. Free with cs_dnn_op_free.
int cs_dnn_conv_new(struct cs_dnn *dnn, const struct cs_dnn_conv *conv, struct cs_dnn_op **op,
                    struct cs_err *err);
void cs_dnn_op_free(struct cs_dnn_op *op); // accepts NULL
size_t cs_dnn_op_scratch_bytes(const struct cs_dnn_op *op);
const char *cs_dnn_op_text(const struct cs_dnn_op *op); // "brgconv:avx512_core", borrowed

// Weights of a convolution in the order that the op wants, shareable by all ops that want the
// same: cs_dnn_op_weight_key is equal for those.
uint64_t cs_dnn_op_weight_key(const struct cs_dnn_op *op);
size_t cs_dnn_op_weight_bytes(const struct cs_dnn_op *op);
int cs_dnn_op_pack(const struct cs_dnn_op *op, const float *weights, void *packed,
                   struct cs_err *err);

// Addresses of everything an op touches; weights are packed ones. All are borrowed until
// cs_dnn_unbind.
struct cs_dnn_memory {
    const void *src, *weights, *bias;
    void *dst, *scratch;
};
int cs_dnn_bind(const struct cs_dnn_op *op, const struct cs_dnn_memory *memory,
                struct cs_dnn_binding **binding, struct cs_err *err);
void cs_dnn_unbind(struct cs_dnn_binding *binding); // accepts NULL
int cs_dnn_run(struct cs_dnn_binding *binding, struct cs_err *err);

#endif
