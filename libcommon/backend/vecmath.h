// SPDX-License-Identifier: MIT
// Elementary functions that compilers can vectorise: no branches, no errno, no table. Results
// depend on the instruction set only through fused multiply-add, which is asked for by name: a
// value has the same bits in a vector and alone.
#ifndef CS_BACKEND_VECMATH_H
#define CS_BACKEND_VECMATH_H

#include <stdint.h>
#include <string.h>

static inline float cs_float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t cs_bits_of_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float cs_multiply_add(float a, float b, float c)
{
#ifdef __FMA__
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

// Nearest integer, halves to even; |x| below 2^22. Adding 1.5 x 2^23 leaves no fraction bits.
static inline float cs_round_even(float x)
{
    return (x + 12582912.0f) - 12582912.0f;
}

// x = n ln 2 + r with |r| <= ln 2 / 2, for |x| <= 104: n in 32 bits of two's complement, r, and the
// Taylor series (e^r - 1 - r) / r^2 to the fifth degree, which leaves a remainder of 5e-9 in e^r.
struct cs_exp_parts {
    uint32_t n;
    float r, series;
};

static inline struct cs_exp_parts cs_exp_split(float x)
{
    float shifted = cs_multiply_add(x, 1.44269504f, 12582912.0f);
    float nf = shifted - 12582912.0f;
    // ln 2 in two parts: the first has 9 bits, so that n times it is exact.
    float r = cs_multiply_add(nf, 2.12194440e-4f, cs_multiply_add(nf, -0.693359375f, x));
    float p = 1.0f / 5040;
    p = cs_multiply_add(p, r, 1.0f / 720);
    p = cs_multiply_add(p, r, 1.0f / 120);
    p = cs_multiply_add(p, r, 1.0f / 24);
    p = cs_multiply_add(p, r, 1.0f / 6);
    p = cs_multiply_add(p, r, 0.5f);
    struct cs_exp_parts parts = {cs_bits_of_float(shifted) - 0x4b400000u, r, p};
    return parts;
}

// e^x, relative error below 2e-7 where the result is normal: 2^n e^r, 2^n in two factors so that
// results from 2^-149 up and the overflow to infinity come out right. NaN stays NaN.
static inline float cs_expf(float x)
{
    x = x > 89.0f ? 89.0f : x;
    x = x < -104.0f ? -104.0f : x;
    struct cs_exp_parts e = cs_exp_split(x);
    float p = cs_multiply_add(cs_multiply_add(e.series, e.r, 1.0f), e.r, 1.0f);
    uint32_t half = (e.n + 512) / 2 - 256; // n / 2 rounded down; n is -150..128
    return p * cs_float_of_bits((half + 127) << 23) * cs_float_of_bits((e.n - half + 127) << 23);
}

static inline float cs_sigmoidf(float x)
{
    return 1.0f / (1.0f + cs_expf(-x));
}

// e^x - 1 for x <= 0, relative error below 2e-7: 2^n (e^r - 1) + (2^n - 1).
static inline float cs_expm1_below(float x)
{
    x = x < -30.0f ? -30.0f : x;
    struct cs_exp_parts e = cs_exp_split(x);
    float power = cs_float_of_bits((e.n + 127) << 23);
    float grown = cs_multiply_add(e.series * e.r, e.r, e.r); // e^r - 1
    return cs_multiply_add(power, grown, power - 1.0f);
}

// The coefficients below are minimax polynomials, found by Remez' exchange.

// ln(1 + u) for 0 <= u <= 1, relative error below 1.5e-7.
static inline float cs_log1p_unit(float u)
{
    float p = -0.003244024608f;
    p = cs_multiply_add(p, u, 0.01985145982f);
    p = cs_multiply_add(p, u, -0.05695952952f);
    p = cs_multiply_add(p, u, 0.1060365441f);
    p = cs_multiply_add(p, u, -0.153055923f);
    p = cs_multiply_add(p, u, 0.1967593917f);
    p = cs_multiply_add(p, u, -0.2495413364f);
    p = cs_multiply_add(p, u, 0.3332996242f);
    p = cs_multiply_add(p, u, -0.4999990242f);
    p = cs_multiply_add(p, u, 0.9999999953f);
    return p * u;
}

// ln(1 + e^x).
static inline float cs_softplusf(float x)
{
    float magnitude = x < 0 ? -x : x;
    return (x > 0 ? x : 0) + cs_log1p_unit(cs_expf(-magnitude));
}

// Relative error below 3e-7.
static inline float cs_tanhf(float x)
{
    float magnitude = x < 0 ? -x : x, s = x * x;
    float p = -0.005660789239f;
    p = cs_multiply_add(p, s, 0.02060200794f);
    p = cs_multiply_add(p, s, -0.05372923011f);
    p = cs_multiply_add(p, s, 0.1333132896f);
    p = cs_multiply_add(p, s, -0.3333327832f);
    float small = cs_multiply_add(x * s, p, x);
    float large = 1.0f - 2.0f / (cs_expf(magnitude + magnitude) + 1.0f);
    large = x < 0 ? -large : large;
    return magnitude < 0.625f ? small : large;
}

// 1 - erf(t) for t >= 0, relative error below 1e-6 down to 1e-9: a polynomial in w = 1 / (1 +
// 0.35 t) times w e^(-t t).
static inline float cs_erfc_above(float t)
{
    float w = 1.0f / cs_multiply_add(0.35f, t, 1.0f);
    float p = 0.03840108772f;
    p = cs_multiply_add(p, w, -0.1589284566f);
    p = cs_multiply_add(p, w, 0.1814615838f);
    p = cs_multiply_add(p, w, -0.02770606738f);
    p = cs_multiply_add(p, w, 0.08701905076f);
    p = cs_multiply_add(p, w, 0.1460420579f);
    p = cs_multiply_add(p, w, 0.1511862208f);
    p = cs_multiply_add(p, w, 0.187902397f);
    p = cs_multiply_add(p, w, 0.1971383547f);
    p = cs_multiply_add(p, w, 0.1974837784f);
    return p * w * cs_expf(-t * t);
}

// Relative error below 3e-7.
static inline float cs_erff(float x)
{
    float magnitude = x < 0 ? -x : x, s = x * x;
    float p = 8.513104666e-5f;
    p = cs_multiply_add(p, s, -0.0008175639438f);
    p = cs_multiply_add(p, s, 0.005203859173f);
    p = cs_multiply_add(p, s, -0.02686050847f);
    p = cs_multiply_add(p, s, 0.1128371503f);
    p = cs_multiply_add(p, s, -0.3761263498f);
    p = cs_multiply_add(p, s, 1.128379167f);
    float large = 1.0f - cs_erfc_above(magnitude);
    large = x < 0 ? -large : large;
    return magnitude < 0.9f ? x * p : large;
}

// x times the normal distribution's function, without its cancellation below zero.
static inline float cs_geluf(float x)
{
    float half = 0.5f * cs_erfc_above((x < 0 ? -x : x) * 0.707106781f);
    return x * (x < 0 ? half : 1.0f - half);
}

// x tanh(ln(1 + e^x)): with e = e^x, tanh is n / (n + 2) for n = e (e + 2).
static inline float cs_mishf(float x)
{
    float e = cs_expf(x > 20.0f ? 20.0f : x), n = e * (e + 2.0f);
    return x * (n / (n + 2.0f));
}

#endif
