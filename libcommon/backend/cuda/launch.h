// SPDX-License-Identifier: MIT
// Kernels of the operators, as functions of kernels.h's kind: any strides, so any layout and any
// slice; loads and stores of 16 bytes where the innermost axis and the addresses allow them.
// Results are the same bits in every run: no sum depends on the order in which blocks run.
//
// Each says its floor: the bytes that must be read and written, which is what it may be measured
// against. A kernel has at most CS_CUDA_MAX_ITEMS items: vectors of 8, 4 or 1 elements, pixels of a
// convolution, tiles of a resize; what has more is cudaErrorInvalidValue.
#ifndef CS_BACKEND_CUDA_LAUNCH_H
#define CS_BACKEND_CUDA_LAUNCH_H

#include <stdbool.h>

#include "backend/cuda/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

#define CS_CUDA_MAX_ITEMS INT32_MAX
enum { CS_CUDA_SPACE = 3, CS_CUDA_CHUNKS = 256, CS_CUDA_SUMS = 1 << 21 };

// ---- Element by element (element.cu) --------------------------------------------------------

// The numbers of functions with parameters are alpha and beta, as in ONNX; of a clip its limits.
enum cs_cuda_function {
    CS_FN_IDENTITY,
    CS_FN_RELU,
    CS_FN_LEAKY_RELU,
    CS_FN_CLIP,
    CS_FN_SIGMOID,
    CS_FN_HARD_SIGMOID,
    CS_FN_HARD_SWISH,
    CS_FN_SWISH,
    CS_FN_TANH,
    CS_FN_ELU,
    CS_FN_GELU,
    CS_FN_GELU_TANH,
    CS_FN_SOFTPLUS,
    CS_FN_ERF,
    CS_FN_MISH,
    CS_FN_EXP,
    CS_FN_LOG,
    CS_FN_SQRT,
    CS_FN_ABS,
    CS_FN_NEG,
    CS_FN_SIGN,
    CS_FN_FLOOR,
    CS_FN_CEIL,
    CS_FN_NOT, // of integers and booleans
};
struct cs_cuda_activation {
    enum cs_cuda_function function;
    float alpha, beta;
};

enum cs_cuda_operation {
    CS_EL_FIRST, // the first operand alone
    CS_EL_ADD,
    CS_EL_SUB,
    CS_EL_MUL,
    CS_EL_DIV, // sets the fault where an integer is divided by 0
    CS_EL_POW,
    CS_EL_MOD,   // the divisor's sign; fault as for CS_EL_DIV
    CS_EL_FMOD,  // the dividend's sign; fault as for CS_EL_DIV
    CS_EL_SLOPE, // a < 0 ? a * b : a
    CS_EL_MAX,
    CS_EL_MIN,
    CS_EL_EQUAL,
    CS_EL_GREATER,
    CS_EL_LESS,
    CS_EL_GREATER_EQUAL,
    CS_EL_LESS_EQUAL,
    CS_EL_AND,
    CS_EL_OR,
    CS_EL_XOR,
    CS_EL_WHERE,  // a ? b : c
    CS_EL_AFFINE, // a * b + c
    CS_EL_CLIP,   // max(b, min(c, a)) of integers
};

// out = activation(operation(in...) * share). In float32 if one of the operands is a float, else in
// int64, without share. Operands have the output's rank; an axis of theirs that is 1 is repeated.
// May write over an operand in its own place.
// Floor: the bytes of the operands, each once, and of the output.
struct cs_cuda_element {
    enum cs_cuda_operation operation;
    struct cs_cuda_tensor in[3], out;
    float share;
    struct cs_cuda_activation activation;
    uint32_t *fault; // set to 1; may be NULL
};
int cs_cuda_element_launch(void *stream, const struct cs_cuda_element *element);

// ---- Movement (move.cu) -----------------------------------------------------------------------

// Every element becomes `value`. Floor: the output's bytes.
int cs_cuda_set_all(void *stream, const struct cs_cuda_tensor *out, double value);

// Row-major order of one tensor's axes to that of the other's, as many elements of the same type.
// Floor: both tensors' bytes.
int cs_cuda_reshape(void *stream, const struct cs_cuda_tensor *from,
                    const struct cs_cuda_tensor *to);

enum cs_cuda_pad_mode {
    CS_CUDA_PAD_CONSTANT,
    CS_CUDA_PAD_REFLECT, // without repeating the edge
    CS_CUDA_PAD_EDGE,
    CS_CUDA_PAD_WRAP, // any number of times: also a tensor repeated
};
// out[i] = in[i - begin], or what the mode says outside of it. `value`: one element of in's type,
// without data 0 or, of floats, `number`. Floor: both tensors' bytes.
struct cs_cuda_pad {
    struct cs_cuda_tensor in, out, value;
    int64_t begin[CS_CUDA_MAX_RANK];
    enum cs_cuda_pad_mode mode;
    float number;
};
int cs_cuda_pad_launch(void *stream, const struct cs_cuda_pad *pad);

// out[o] = in[sum over o's axes of in_stride, plus sum over k of index k * axis_stride[k]], index k
// of o being indices[sum over o's axes of index_stride, plus k * tuple_stride], counted from the
// end where negative; one outside is cut to the edge and sets the fault. Strides 0 where an axis
// does not count. Floor: what is read and the output.
struct cs_cuda_gather {
    struct cs_cuda_tensor in, indices, out;
    int64_t in_stride[CS_CUDA_MAX_RANK], index_stride[CS_CUDA_MAX_RANK];
    int depth; // indices of a tuple
    int64_t axis_stride[CS_CUDA_MAX_RANK], axis_size[CS_CUDA_MAX_RANK], tuple_stride;
    uint32_t *fault;
};
int cs_cuda_gather_launch(void *stream, const struct cs_cuda_gather *gather);

// The slices of `out` that `count` tuples of dense indices name become those of `updates`, one
// after the other; axes of a slice are out's last, of updates also. One thread an element of a
// slice goes through all tuples. Floor: the updates, twice.
struct cs_cuda_scatter {
    struct cs_cuda_tensor out, indices, updates;
    int depth;
    uint32_t *fault;
};
int cs_cuda_scatter_launch(void *stream, const struct cs_cuda_scatter *scatter);

// ---- Pools (pool.cu) --------------------------------------------------------------------------

// Axes of space are the last CS_CUDA_SPACE of five (N, C, D, H, W); missing ones have 1 element.
struct cs_cuda_window {
    int64_t kernel[3], stride[3], dilation[3], pad_begin[3], pad_end[3];
};
// The tensors have rank 5. `indices` (int64, of max pools): where the greatest is in the dense
// row-major input, or with by_columns in one whose planes are transposed; without data: not wanted.
// Floor: input and output.
struct cs_cuda_pool {
    struct cs_cuda_tensor in, out, indices;
    struct cs_cuda_window window;
    bool mean, count_pads, by_columns;
};
int cs_cuda_pool_launch(void *stream, const struct cs_cuda_pool *pool);

// ---- Sums over axes (reduce.cu) -----------------------------------------------------------------

enum cs_cuda_reduction {
    CS_RED_MEAN,
    CS_RED_MAX,
    CS_RED_MIN,
    CS_RED_SUM,
    CS_RED_PRODUCT,
    CS_RED_LENGTH, // the square root of the sum of squares
};
// out has the input's rank, with 1 element on the axes that are reduced. Floats in float32, others
// in int64. A sum is split over blocks where outputs are few, into scratch of CS_CUDA_CHUNKS floats
// an output but never more than CS_CUDA_SUMS, twice that for two kinds, and put together by the
// last block to end. Floor: the input.
struct cs_cuda_reduce {
    struct cs_cuda_tensor in, out;
    enum cs_cuda_reduction kind;
    struct cs_cuda_activation activation;
    struct cs_cuda_tensor second; // of floats: another kind of the same axes; no data: none
    enum cs_cuda_reduction second_kind;
    struct cs_cuda_activation second_activation;
    void *scratch;
    uint32_t *counters;
};
int cs_cuda_reduce_launch(void *stream, const struct cs_cuda_reduce *reduce);
// The index (int64) of the greatest or least along the axis of which out has 1 element; of equals
// the first or the last; a NaN before all. Floor: the input.
int cs_cuda_arg(void *stream, const struct cs_cuda_tensor *in, const struct cs_cuda_tensor *out,
                bool least, bool last);

// ---- Rows (rows.cu) -----------------------------------------------------------------------------

// Rows along the axes first..last of both tensors, which have the same dimensions.
// Softmax: floor input and output.
struct cs_cuda_rows {
    struct cs_cuda_tensor in, out;
    int first, last;
};
int cs_cuda_softmax(void *stream, const struct cs_cuda_rows *rows);
// LayerNormalization: (x - mean) / sqrt(variance + epsilon) * scale + shift, over the axes from
// `first` to the last; scale and shift repeated where an axis of theirs is 1; shift, mean and
// factor may be without data; mean and factor have 1 element on the axes of a row. Two passes over
// the deviations. Floor: input and output.
struct cs_cuda_layer_norm {
    struct cs_cuda_rows rows;
    struct cs_cuda_tensor scale, shift, mean, factor;
    float epsilon;
};
int cs_cuda_layer_norm_launch(void *stream, const struct cs_cuda_layer_norm *norm);

// ---- Norms over space (norm.cu) -----------------------------------------------------------------

// Of N, C and any axes of space: (x - mean) * factor * scale + shift [+ add], activated. Input,
// output and addend are of one type, float32 or fp16. Scale and shift are vectors, one number a
// channel or a group. Statistics of a group of C / groups channels of an image: Welford's running
// mean and squares in float32, parts joined as Chan, Golub and LeVeque (1979) do, in an order that
// depends on shapes alone.
// Floor: the input twice and the output, once where an image's plane is small or sums are given;
// add.
struct cs_cuda_norm {
    struct cs_cuda_tensor in, out, add, scale, shift; // add: of out's shape; no data: none
    // BatchNormalization: given, vectors of C; no data: computed.
    struct cs_cuda_tensor mean, variance;
    // Of each image and channel the sum and, `pitch` behind it, that of squares; an image has
    // 2 * pitch. NULL: computed. Of one channel a group.
    const float *sums;
    int64_t pitch;
    // Of an addend that is to be normalised first, cs_cuda_norm_map's of float32; NULL: it is not.
    const float *add_map;
    int64_t groups;
    float epsilon;
    struct cs_cuda_activation activation;
    float *scratch; // cs_cuda_norm_floats of them
    uint32_t *counters;
};
size_t cs_cuda_norm_floats(int64_t images, int64_t channels);
int cs_cuda_norm_launch(void *stream, const struct cs_cuda_norm *norm);
// What a norm with given sums comes to, out = in * scale + shift: for each image and channel the
// scale, and `pitch` behind it the shift, which makes good what the scale is rounded by at the
// mean. Both are float32 or fp16. Floor: nothing worth the name.
int cs_cuda_norm_map(void *stream, const struct cs_cuda_norm *norm, enum cs_cuda_type type,
                     void *map);

// ---- Products (product.cu) ----------------------------------------------------------------------

// out = activation(alpha * a b + beta * bias + add): matrices in the last two axes, the axes before
// repeated where they are 1 or missing; bias and add as well, over out. Sums in float32; of
// matrices of fp16 by tensor cores. Floor: the three matrices, or 2 M N K operations at the rate of
// the type.
struct cs_cuda_matmul {
    struct cs_cuda_tensor a, b, out; // of rank 2 and more
    struct cs_cuda_tensor bias, add; // no data: none
    float alpha, beta;
    struct cs_cuda_activation activation;
};
int cs_cuda_matmul_launch(void *stream, const struct cs_cuda_matmul *matmul);

// out = activation(conv(in, weights) + bias + add), or the transposed convolution, of volumes (rank
// 5). Weights in ONNX's axes (out, in / groups, ...), transposed (in, out / groups, ...). The plain
// kernel for any window. Floor: input, weights and output, or the multiplications at the rate of
// float32.
struct cs_cuda_conv {
    struct cs_cuda_tensor in, weights, out;
    struct cs_cuda_tensor bias, add; // no data: none; bias: a vector
    struct cs_cuda_window window;
    int64_t groups;
    bool transposed;
    struct cs_cuda_activation activation;
};
int cs_cuda_conv_launch(void *stream, const struct cs_cuda_conv *conv);
// One input channel and one output channel a group (conv.cu). Neighbouring channels a thread: in,
// out, add and weights, which have the channels innermost.
int cs_cuda_depthwise_launch(void *stream, const struct cs_cuda_conv *conv);
// At most CS_CUDA_FEW output channels, one group: lanes of a warp share a pixel's sum (conv.cu).
// Weights with the input channels innermost.
enum { CS_CUDA_FEW = 4 };
int cs_cuda_few_launch(void *stream, const struct cs_cuda_conv *conv);

// ---- Resize (resize.cu) -------------------------------------------------------------------------

// The modes of ONNX with the numbers of graph/params.h, which says what they mean.
enum cs_cuda_resize_mode { CS_CUDA_NEAREST, CS_CUDA_LINEAR, CS_CUDA_CUBIC };
enum cs_cuda_resize_coord {
    CS_CUDA_HALF_PIXEL,
    CS_CUDA_HALF_PIXEL_SYMMETRIC,
    CS_CUDA_PYTORCH_HALF_PIXEL,
    CS_CUDA_ALIGN_CORNERS,
    CS_CUDA_ASYMMETRIC,
    CS_CUDA_CROP,
};
enum cs_cuda_resize_nearest {
    CS_CUDA_PREFER_FLOOR,
    CS_CUDA_PREFER_CEIL,
    CS_CUDA_FLOOR,
    CS_CUDA_CEIL,
};
// Of volumes (rank 5): out = activation(resize(in) + add). Where samples lie is worked out in
// double as on the CPU, once for each column and row of a block's tile; sums are float32.
// Floor: input and output, and add.
struct cs_cuda_resize {
    struct cs_cuda_tensor in, out, add; // add: no data: none
    enum cs_cuda_resize_mode mode;
    enum cs_cuda_resize_coord coord;
    enum cs_cuda_resize_nearest nearest;
    bool antialias, exclude_outside;
    double cubic, extrapolation;
    double scale[CS_CUDA_SPACE], length[CS_CUDA_SPACE], region[CS_CUDA_SPACE][2];
    struct cs_cuda_activation activation;
};
int cs_cuda_resize_launch(void *stream, const struct cs_cuda_resize *resize);

// ---- Attention (attention.cu) -------------------------------------------------------------------

// out = softmax(scale * q k + mask) v: matrices in the last two axes, k as (depth, keys); the axes
// before as in out. The mask is repeated where an axis of it is 1 or missing; no data: none. The
// matrix of rows x keys is never in memory. Floor: 2 rows keys (depth + columns) operations at the
// rate of the type.
struct cs_cuda_attention {
    struct cs_cuda_tensor q, k, v, mask, out;
    float scale;
};
int cs_cuda_attention_launch(void *stream, const struct cs_cuda_attention *attention);

#ifdef __cplusplus
}
#endif

#endif
