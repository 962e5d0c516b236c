// SPDX-License-Identifier: MIT
// The vector kernels, compiled once for each instruction set by the file that defines KERNELS and
// includes this. Vectors are the compiler's own.
//
// Statistics are summed in double: on memory-bound passes that costs nothing, and E[x^2] - mean^2
// then loses no digit that a float result could show.
//
// Fewer channels than lanes are handled by widening: an array of pixels of C channels is also an
// array of pixels of lcm(C, WIDTH) channels, whose channel j is channel j % C.
#include <math.h>
#include <stddef.h>
#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "backend/cpu/kernels.h"
#include "backend/cpu/winograd.h"
#include "backend/job_rows.h"
#include "backend/vecmath.h"

// WIDTH is the number of floats in a register; 16, 8 or 4.
enum { MAX_WIDE = 15 * WIDTH, DOUBLES = WIDTH / 2 };

typedef float vec __attribute__((vector_size(4 * WIDTH)));
typedef float vec_at __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));
typedef float half_at __attribute__((vector_size(2 * WIDTH), aligned(4), may_alias));
typedef int32_t mask __attribute__((vector_size(4 * WIDTH)));
typedef double wide_double __attribute__((vector_size(4 * WIDTH)));

#define LOAD(p)     (*(const vec_at *)(p))
#define STORE(p, v) (*(vec_at *)(p) = (v))
// m ? a : b, lane by lane; C has no ?: for vectors.
#define SELECT(m, a, b) ((vec)(((mask)(a) & (m)) | ((mask)(b) & ~(m))))
#define NANS            ((vec){0} + NAN)
// The larger and the smaller, lane by lane, where either is NaN, b: one instruction on x86. a * b +
// c, rounded once where there is an instruction for it. A store past the caches, to whole
// registers' addresses.
#if defined(__x86_64__) && WIDTH == 16
#define LARGER(a, b)          ((vec)_mm512_max_ps(a, b))
#define SMALLER(a, b)         ((vec)_mm512_min_ps(a, b))
#define MULTIPLY_ADD(a, b, c) ((vec)_mm512_fmadd_ps(a, b, c))
#define STREAM(p, v)          _mm512_stream_ps(p, v)
#elif defined(__x86_64__) && WIDTH == 8
#define LARGER(a, b)          ((vec)_mm256_max_ps(a, b))
#define SMALLER(a, b)         ((vec)_mm256_min_ps(a, b))
#define MULTIPLY_ADD(a, b, c) ((vec)_mm256_fmadd_ps(a, b, c))
#define STREAM(p, v)          _mm256_stream_ps(p, v)
#elif defined(__x86_64__)
#define LARGER(a, b)          ((vec)_mm_max_ps(a, b))
#define SMALLER(a, b)         ((vec)_mm_min_ps(a, b))
#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#define STREAM(p, v)          _mm_stream_ps(p, v)
#else
#define LARGER(a, b)          SELECT((a) > (b), a, b)
#define SMALLER(a, b)         SELECT((a) < (b), a, b)
#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#define STREAM(p, v)          STORE(p, v)
#endif

typedef float quad __attribute__((vector_size(16)));
typedef float quad_at __attribute__((vector_size(16), aligned(4), may_alias));
#define LOAD4(p)      (*(const quad_at *)(p))
#define ALWAYS_INLINE static inline __attribute__((always_inline))
// Of a loop whose destination may be a source: an iteration reads and writes one place.
#ifdef __clang__
#define INDEPENDENT
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

// lcm(channels, WIDTH) for channels < WIDTH.
static int64_t wide_of(int64_t channels)
{
    int64_t wide = channels;
    while (wide % WIDTH)
        wide += channels;
    return wide;
}

// ---- Moments -----------------------------------------------------------------------------

// `blocks` registers of doubles at once, so that their sums stay in registers.
ALWAYS_INLINE void moments_block(const float *src, int64_t pixels, int64_t stride, int blocks,
                                 double *sum, double *square)
{
    wide_double s[8], q[8];
    for (int b = 0; b < blocks; b++)
        s[b] = q[b] = (wide_double){0};
    for (int64_t i = 0; i < pixels; i++, src += stride) {
        for (int b = 0; b < blocks; b++) {
            wide_double x =
                __builtin_convertvector(*(const half_at *)(src + DOUBLES * b), wide_double);
            s[b] += x;
            q[b] += x * x;
        }
    }
    memcpy(sum, s, (size_t)blocks * sizeof *s);
    memcpy(square, q, (size_t)blocks * sizeof *q);
}

static void moments_wide(const float *src, int64_t pixels, int64_t channels, double *sum,
                         double *square)
{
    int64_t c = 0;
#if WIDTH == 16 // 32 registers
    for (; c + 8 * DOUBLES <= channels; c += 8 * DOUBLES)
        moments_block(src + c, pixels, channels, 8, sum + c, square + c);
#endif
    for (; c + 4 * DOUBLES <= channels; c += 4 * DOUBLES)
        moments_block(src + c, pixels, channels, 4, sum + c, square + c);
    for (; c + DOUBLES <= channels; c += DOUBLES)
        moments_block(src + c, pixels, channels, 1, sum + c, square + c);
    for (; c < channels; c++) {
        double s = 0, q = 0;
        for (int64_t i = 0; i < pixels; i++) {
            double x = (double)src[i * channels + c];
            s += x;
            q += x * x;
        }
        sum[c] = s;
        square[c] = q;
    }
}

static void moments(const float *src, int64_t pixels, int64_t channels, double *sum, double *square)
{
    if (channels >= WIDTH) {
        moments_wide(src, pixels, channels, sum, square);
        return;
    }
    double wide_sum[MAX_WIDE], wide_square[MAX_WIDE];
    int64_t wide = wide_of(channels), whole = pixels * channels / wide;
    moments_wide(src, whole, wide, wide_sum, wide_square);
    for (int64_t c = 0; c < channels; c++) {
        sum[c] = square[c] = 0;
        for (int64_t j = c; j < wide; j += channels) {
            sum[c] += wide_sum[j];
            square[c] += wide_square[j];
        }
        for (int64_t i = whole * wide + c; i < pixels * channels; i += channels) {
            double x = (double)src[i];
            sum[c] += x;
            square[c] += x * x;
        }
    }
}

// ---- Affine ------------------------------------------------------------------------------

enum slope { SLOPE_ONE, SLOPE_ZERO, SLOPE_OTHER }; // zero apart: 0 x infinity is not 0

ALWAYS_INLINE void affine_pixels(float *dst, const float *src, const float *add, int64_t pixels,
                                 int64_t channels, const struct cs_affine *f, float slope,
                                 enum slope kind, int adding)
{
    for (int64_t i = 0; i < pixels; i++) {
        int64_t c = 0;
        for (; c + WIDTH <= channels; c += WIDTH) {
            vec y = (LOAD(src + c) - LOAD(f->offset + c)) * LOAD(f->scale + c) + LOAD(f->shift + c);
            if (adding)
                y += LOAD(add + c);
            if (kind == SLOPE_ZERO)
                y = LARGER((vec){0}, y);
            else if (kind == SLOPE_OTHER)
                y = SELECT(y < 0, y * slope, y);
            STORE(dst + c, y);
        }
        for (; c < channels; c++) {
            float y = (src[c] - f->offset[c]) * f->scale[c] + f->shift[c];
            if (adding)
                y += add[c];
            dst[c] = y < 0 && kind != SLOPE_ONE ? (kind == SLOPE_ZERO ? 0 : y * slope) : y;
        }
        src += channels;
        dst += channels;
        if (adding)
            add += channels;
    }
}

static void affine_wide(float *dst, const float *src, const float *add, int64_t pixels,
                        int64_t channels, const struct cs_affine *f, float slope)
{
#define AFFINE(kind, adding) affine_pixels(dst, src, add, pixels, channels, f, slope, kind, adding)
    if (slope == 1)
        add ? AFFINE(SLOPE_ONE, 1) : AFFINE(SLOPE_ONE, 0);
    else if (slope == 0)
        add ? AFFINE(SLOPE_ZERO, 1) : AFFINE(SLOPE_ZERO, 0);
    else
        add ? AFFINE(SLOPE_OTHER, 1) : AFFINE(SLOPE_OTHER, 0);
#undef AFFINE
}

static void affine(float *dst, const float *src, const float *add, int64_t pixels, int64_t channels,
                   const struct cs_affine *f, float slope)
{
    if (channels >= WIDTH) {
        affine_wide(dst, src, add, pixels, channels, f, slope);
        return;
    }
    float offset[MAX_WIDE], scale[MAX_WIDE], shift[MAX_WIDE];
    const struct cs_affine wide_f = {offset, scale, shift};
    int64_t wide = wide_of(channels), whole = pixels * channels / wide;
    for (int64_t j = 0; j < wide; j++) {
        offset[j] = f->offset[j % channels];
        scale[j] = f->scale[j % channels];
        shift[j] = f->shift[j % channels];
    }
    affine_wide(dst, src, add, whole, wide, &wide_f, slope);
    int64_t done = whole * wide;
    affine_wide(dst + done, src + done, add ? add + done : NULL, pixels - done / channels, channels,
                f, slope);
}

// ---- Extremes ----------------------------------------------------------------------------

// The larger one; NaN when either is.
ALWAYS_INLINE float larger(float a, float b)
{
    return b > a || b != b ? b : a;
}

ALWAYS_INLINE float smaller(float a, float b)
{
    return b < a || b != b ? b : a;
}

ALWAYS_INLINE void extreme_block(float *dst, const float *src, int64_t pixels, int64_t stride,
                                 int blocks, int max)
{
    vec best[4];
    mask nan[4];
    for (int b = 0; b < blocks; b++) {
        best[b] = LOAD(src + b * WIDTH);
        nan[b] = best[b] != best[b];
    }
    for (int64_t i = 1; i < pixels; i++) {
        src += stride;
        for (int b = 0; b < blocks; b++) {
            vec x = LOAD(src + b * WIDTH);
            nan[b] |= x != x;
            best[b] = max ? LARGER(best[b], x) : SMALLER(best[b], x);
        }
    }
    for (int b = 0; b < blocks; b++)
        STORE(dst + b * WIDTH, SELECT(nan[b], NANS, best[b]));
}

ALWAYS_INLINE void extremes_wide(float *dst, const float *src, int64_t pixels, int64_t channels,
                                 int max)
{
    int64_t c = 0;
    for (; c + 4 * WIDTH <= channels; c += 4 * WIDTH)
        extreme_block(dst + c, src + c, pixels, channels, 4, max);
    for (; c + WIDTH <= channels; c += WIDTH)
        extreme_block(dst + c, src + c, pixels, channels, 1, max);
    for (; c < channels; c++) {
        dst[c] = src[c];
        for (int64_t i = 1; i < pixels; i++)
            dst[c] = max ? larger(dst[c], src[i * channels + c])
                         : smaller(dst[c], src[i * channels + c]);
    }
}

static void extremes(float *dst, const float *src, int64_t pixels, int64_t channels, int max)
{
    int64_t wide = channels < WIDTH ? wide_of(channels) : channels;
    int64_t whole = pixels * channels / wide;
    if (wide == channels || whole == 0) {
        if (max)
            extremes_wide(dst, src, pixels, channels, 1);
        else
            extremes_wide(dst, src, pixels, channels, 0);
        return;
    }
    // Pixels of `wide` channels, then those as pixels of `channels`, then what is left over.
    float best[MAX_WIDE];
    if (max)
        extremes_wide(best, src, whole, wide, 1);
    else
        extremes_wide(best, src, whole, wide, 0);
    extremes_wide(dst, best, wide / channels, channels, max);
    for (int64_t i = whole * wide; i < pixels * channels; i++)
        dst[i % channels] =
            max ? larger(dst[i % channels], src[i]) : smaller(dst[i % channels], src[i]);
}

#include "backend/cpu/kernels_functions_body.h"
#include "backend/cpu/kernels_pointwise_body.h"
#include "backend/cpu/kernels_pointwise_narrow_body.h"
#include "backend/cpu/kernels_pool_body.h"
#include "backend/cpu/kernels_product_body.h"
#include "backend/cpu/kernels_rows_body.h"

const struct cs_kernels KERNELS = {
    .name = KERNELS_NAME,
    .winograd = KERNELS_WINOGRAD,
    .job_rows = KERNELS_JOB_ROWS,
    .moments = moments,
    .affine = affine,
    .max_of = max_of,
    .max_of_affine = max_of_affine,
    .max_row = max_row,
    .sum_of = sum_of,
    .blend = blend,
    .gate = gate,
    .gated_pool = gated_pool,
    .row_sum = row_sum,
    .extremes = extremes,
    .row_max = row_max,
    .softmax = softmax,
    .layer_norm = layer_norm,
    .product_tile = product_tile,
    .tile_rows = TILE_ROWS,
    .tile_columns = 2 * WIDTH,
    .width = WIDTH,
    .pointwise =
        {
            &point_1,
            &point_2,
            &point_3,
#if WIDTH == 16
            &point_4,
#endif
        },
    .narrow = narrow,
    .unary =
        {
            [CS_UNARY_IDENTITY] = unary_identity,
            [CS_UNARY_RELU] = unary_relu,
            [CS_UNARY_LEAKY_RELU] = unary_leaky_relu,
            [CS_UNARY_CLIP] = unary_clip,
            [CS_UNARY_HARD_SIGMOID] = unary_hard_sigmoid,
            [CS_UNARY_HARD_SWISH] = unary_hard_swish,
            [CS_UNARY_SIGMOID] = unary_sigmoid,
            [CS_UNARY_SILU] = unary_silu,
            [CS_UNARY_TANH] = unary_tanh,
            [CS_UNARY_ELU] = unary_elu,
            [CS_UNARY_SOFTPLUS] = unary_softplus,
            [CS_UNARY_GELU] = unary_gelu,
            [CS_UNARY_GELU_TANH] = unary_gelu_tanh,
            [CS_UNARY_ERF] = unary_erf,
            [CS_UNARY_MISH] = unary_mish,
            [CS_UNARY_EXP] = unary_exp,
            [CS_UNARY_LOG] = unary_log,
            [CS_UNARY_SQRT] = unary_sqrt,
            [CS_UNARY_ABS] = unary_abs,
            [CS_UNARY_NEG] = unary_neg,
            [CS_UNARY_FLOOR] = unary_floor,
            [CS_UNARY_CEIL] = unary_ceil,
        },
    .binary =
        {
            [CS_BINARY_ADD] = binary_add,
            [CS_BINARY_SUB] = binary_sub,
            [CS_BINARY_MUL] = binary_mul,
            [CS_BINARY_DIV] = binary_div,
            [CS_BINARY_MAX] = binary_max,
            [CS_BINARY_MIN] = binary_min,
            [CS_BINARY_POW] = binary_pow,
            [CS_BINARY_PRELU] = binary_prelu,
        },
};
