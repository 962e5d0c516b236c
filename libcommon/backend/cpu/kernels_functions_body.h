// SPDX-License-Identifier: MIT
// Functions of one value and of two, part of kernels_body.h: loops that the compiler vectorises.

#define DEFINE_UNARY(name, expression)                                                             \
    static void name(float *dst, const float *src, int64_t count, float alpha, float beta)         \
    {                                                                                              \
        (void)alpha;                                                                               \
        (void)beta;                                                                                \
        INDEPENDENT                                                                                \
        for (int64_t i = 0; i < count; i++) {                                                      \
            float x = src[i];                                                                      \
            dst[i] = (expression);                                                                 \
        }                                                                                          \
    }

ALWAYS_INLINE float clip(float x, float low, float high)
{
    x = x < low ? low : x;
    return x > high ? high : x; // NaN stays
}

DEFINE_UNARY(unary_identity, x)
DEFINE_UNARY(unary_relu, x < 0 ? 0 : x)
DEFINE_UNARY(unary_leaky_relu, x < 0 ? x * alpha : x)
DEFINE_UNARY(unary_clip, clip(x, alpha, beta))
DEFINE_UNARY(unary_hard_sigmoid, clip(alpha *x + beta, 0, 1))
DEFINE_UNARY(unary_hard_swish, x *clip(x *(1.0f / 6) + 0.5f, 0, 1))
DEFINE_UNARY(unary_sigmoid, cs_sigmoidf(x))
DEFINE_UNARY(unary_silu, x *cs_sigmoidf(x))
DEFINE_UNARY(unary_tanh, cs_tanhf(x))
DEFINE_UNARY(unary_elu, x < 0 ? alpha * cs_expm1_below(x) : x)
DEFINE_UNARY(unary_softplus, cs_softplusf(x))
DEFINE_UNARY(unary_gelu, cs_geluf(x))
DEFINE_UNARY(unary_gelu_tanh, 0.5f * x * (1 + cs_tanhf(0.797884561f * (x + 0.044715f * x * x * x))))
DEFINE_UNARY(unary_erf, cs_erff(x))
DEFINE_UNARY(unary_mish, cs_mishf(x))
DEFINE_UNARY(unary_exp, cs_expf(x))
DEFINE_UNARY(unary_log, logf(x))
DEFINE_UNARY(unary_sqrt, sqrtf(x))
DEFINE_UNARY(unary_abs, fabsf(x))
DEFINE_UNARY(unary_neg, -x)
DEFINE_UNARY(unary_floor, floorf(x))
DEFINE_UNARY(unary_ceil, ceilf(x))

// ---- Functions of two values -------------------------------------------------------------

#define DEFINE_BINARY(name, expression)                                                            \
    static void name(float *dst, const float *a, const float *b, int64_t count, int64_t a_step,    \
                     int64_t b_step)                                                               \
    {                                                                                              \
        if (a_step == 1 && b_step == 1) {                                                          \
            INDEPENDENT                                                                            \
            for (int64_t i = 0; i < count; i++) {                                                  \
                float x = a[i], y = b[i];                                                          \
                dst[i] = (expression);                                                             \
            }                                                                                      \
        } else if (a_step == 1 && b_step == 0) {                                                   \
            float y = b[0];                                                                        \
            INDEPENDENT                                                                            \
            for (int64_t i = 0; i < count; i++) {                                                  \
                float x = a[i];                                                                    \
                dst[i] = (expression);                                                             \
            }                                                                                      \
        } else if (a_step == 0 && b_step == 1) {                                                   \
            float x = a[0];                                                                        \
            INDEPENDENT                                                                            \
            for (int64_t i = 0; i < count; i++) {                                                  \
                float y = b[i];                                                                    \
                dst[i] = (expression);                                                             \
            }                                                                                      \
        } else {                                                                                   \
            for (int64_t i = 0; i < count; i++) {                                                  \
                float x = a[i * a_step], y = b[i * b_step];                                        \
                dst[i] = (expression);                                                             \
            }                                                                                      \
        }                                                                                          \
    }

DEFINE_BINARY(binary_add, x + y)
DEFINE_BINARY(binary_sub, x - y)
DEFINE_BINARY(binary_mul, x *y)
DEFINE_BINARY(binary_div, x / y)
DEFINE_BINARY(binary_max, x > y || x != x ? x : y)
DEFINE_BINARY(binary_min, x < y || x != x ? x : y)
DEFINE_BINARY(binary_pow, powf(x, y))
DEFINE_BINARY(binary_prelu, x < 0 ? x * y : x)
