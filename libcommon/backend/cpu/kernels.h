// SPDX-License-Identifier: MIT
// Vector kernels on contiguous floats: one table an instruction set, chosen once at run time. The
// bodies are one source (kernels_body.h) compiled three times. A table gives the same bits in every
// run; tables differ in the order of some additions. Kernels know no threads: callers share the
// work out.
#ifndef CS_BACKEND_CPU_KERNELS_H
#define CS_BACKEND_CPU_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/cpu/finish.h"
#include "base/err.h"

struct cs_job_rows;
struct cs_winograd_kernels;

enum {
    CS_KERNEL_MAX_TAPS = 256,
    CS_KERNEL_DEPTH = 256, // of a matrix product's tile
    CS_KERNEL_TILE = 384,  // floats of the largest tile
    CS_POINTWISE_VECTORS = 4,
    CS_POINTWISE_NARROW = 4, // columns
};

// Functions of one value. alpha and beta: as the ONNX operator of that name has them; Clip min and
// max.
enum cs_unary {
    CS_UNARY_IDENTITY,
    CS_UNARY_RELU,
    CS_UNARY_LEAKY_RELU,
    CS_UNARY_CLIP,
    CS_UNARY_HARD_SIGMOID,
    CS_UNARY_HARD_SWISH,
    CS_UNARY_SIGMOID,
    CS_UNARY_SILU,
    CS_UNARY_TANH,
    CS_UNARY_ELU,
    CS_UNARY_SOFTPLUS,
    CS_UNARY_GELU,
    CS_UNARY_GELU_TANH,
    CS_UNARY_ERF,
    CS_UNARY_MISH,
    CS_UNARY_EXP,
    CS_UNARY_LOG,
    CS_UNARY_SQRT,
    CS_UNARY_ABS,
    CS_UNARY_NEG,
    CS_UNARY_FLOOR,
    CS_UNARY_CEIL,
    CS_UNARY_COUNT,
};

enum cs_binary {
    CS_BINARY_ADD,
    CS_BINARY_SUB,
    CS_BINARY_MUL,
    CS_BINARY_DIV,
    CS_BINARY_MAX,
    CS_BINARY_MIN,
    CS_BINARY_POW,
    CS_BINARY_PRELU, // a below zero times b
    CS_BINARY_COUNT,
};

// One value a channel each.
struct cs_affine {
    const float *offset, *scale, *shift;
};

// Windows side by side, all inside the image: of each the maximum over row_count x columns taps.
struct cs_max_row {
    float *dst;
    const float *const *rows; // the first window's first tap in each row
    int row_count, columns;
    int64_t tap, window; // floats from tap to tap in a row, and from window to window
    int64_t pixels, channels;
    const struct cs_affine *map; // values are mapped first, as in max_of_affine; NULL: not
    float slope;
};

// Samples of a row that make one of another, and their weights.
struct cs_taps {
    int count;
    const int32_t *at;
    const float *weight;
};

// Some input channels of a 1x1 convolution: pixels are `step` floats apart.
struct cs_pointwise_part {
    const float *a;
    int64_t step, depth;
};

// c = finish(sum over parts + bias + add).
struct cs_pointwise_tile {
    const struct cs_pointwise_part *parts;
    int part_count;
    bool chained;      // one sum over all parts; else that of each part is added up apart
    const float *b;    // one row of `vectors` registers an input channel
    const float *bias; // of as many channels
    int64_t columns;   // of them to store
    float *c;
    const float *add; // as c, which it may be; or NULL
    int64_t step;     // of c and add, from pixel to pixel
    struct cs_finish finish;
    bool stream; // past the caches: c and step are multiples of a register
    // NULL, or to them are added, of whole registers of channels, the sums over the tile's pixels
    // of y and y * y before the activation. Squares are summed round the tile's mean.
    double *sum, *square;
};

struct cs_pointwise_kernel {
    int rows;
    void (*tile[3])(const struct cs_pointwise_tile *tile); // of `rows`, 4 and 1 pixels
};

// Of few output channels and parts of whole registers of input channels.
struct cs_pointwise_narrow {
    const struct cs_pointwise_part *parts;
    int part_count;
    const float *b;    // of each register of input channels one of each column
    const float *bias; // one register: lane l that of column l % columns
    int64_t pixels;
    int columns; // at most CS_POINTWISE_NARROW
    float *c;
    const float *add; // as c, which it may be; or NULL
    struct cs_finish finish;
};

struct cs_kernels {
    const char *name;
    const struct cs_winograd_kernels *winograd; // winograd.h; NULL: none
    const struct cs_job_rows *job_rows;         // job_rows.h

    // sum[c] and square[c] (overwritten): sums over pixels of x and x * x, in double.
    void (*moments)(const float *src, int64_t pixels, int64_t channels, double *sum,
                    double *square);
    // dst = (x - offset[c]) * scale[c] + shift[c] (+ add), below zero times slope (1: no
    // activation). add may be NULL; dst may be src or add.
    void (*affine)(float *dst, const float *src, const float *add, int64_t pixels, int64_t channels,
                   const struct cs_affine *f, float slope);
    // dst[i] = maximum / weighted sum over taps of src[tap][i]; NaN wins the maximum.
    void (*max_of)(float *dst, const float *const *src, int taps, int64_t count);
    // The maximum of values that `affine` maps first; the slope is not negative.
    void (*max_of_affine)(float *dst, const float *const *src, int taps, int64_t count,
                          const struct cs_affine *f, float slope);
    void (*max_row)(const struct cs_max_row *row);
    void (*sum_of)(float *dst, const float *const *src, const float *weight, int taps,
                   int64_t count);
    // dst's pixel i = sum over taps[i] of weight * row's pixel (+ add's pixel i). add may be NULL,
    // or dst.
    void (*blend)(float *dst, const float *row, const float *add, const struct cs_taps *taps,
                  int64_t pixels, int64_t channels);
    // dst[c] = maximum (or minimum, max 0) over pixels; NaN wins.
    void (*extremes)(float *dst, const float *src, int64_t pixels, int64_t channels, int max);
    // dst = src * channel[c] * pixel[i].
    void (*gate)(float *dst, const float *src, const float *channel, const float *pixel,
                 int64_t pixels, int64_t channels);
    // Mean and maximum over channels of src * channel[c], of each pixel; NaN wins.
    void (*gated_pool)(float *mean, float *maximum, const float *src, const float *channel,
                       int64_t pixels, int64_t channels);
    // Reductions of one row.
    double (*row_sum)(const float *src, int64_t count);
    float (*row_max)(const float *src, int64_t count);
    // Of `count` values, `step` floats apart. dst may be src.
    void (*softmax)(float *dst, const float *src, int64_t count, int64_t step);
    // dst = (x - mean) / sqrt(variance + epsilon) * scale[i] + shift[i], of one row; dst may be
    // src, shift NULL.
    void (*layer_norm)(float *dst, const float *src, int64_t count, const float *scale,
                       const float *shift, double epsilon);
    // A tile of a matrix product, c = a x b, or c += a x b: rows of a are a_step floats apart,
    // those of c c_step, those of b tile_columns. At most tile_rows rows.
    void (*product_tile)(float *c, int64_t c_step, const float *a, int64_t a_step, const float *b,
                         int64_t depth, int rows, int adding);
    int tile_rows, tile_columns;
    int width; // floats of a register
    // By registers of output channels, from 1 on; NULL from where there are too few registers.
    const struct cs_pointwise_kernel *pointwise[CS_POINTWISE_VECTORS];
    void (*narrow)(const struct cs_pointwise_narrow *block);
    void (*unary[CS_UNARY_COUNT])(float *dst, const float *src, int64_t count, float alpha,
                                  float beta);
    // dst[i] = f(a[i * a_step], b[i * b_step]); dst may be a or b.
    void (*binary[CS_BINARY_COUNT])(float *dst, const float *a, const float *b, int64_t count,
                                    int64_t a_step, int64_t b_step);
};

extern const struct cs_kernels cs_kernels_plain, cs_kernels_avx2, cs_kernels_avx512;

// The name of the best table that may be used ("plain", "avx2", "avx512"), from the environment
// variable CELLSTREAM_ISA; NULL where there is no limit.
const char *cs_isa_limit(void);
// The best for this processor within the limit. NULL and CS_EUSAGE where the limit is none of
// these.
const struct cs_kernels *cs_kernels_pick(struct cs_err *err);

#endif
