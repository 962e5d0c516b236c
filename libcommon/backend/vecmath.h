// SPDX-License-Identifier: MIT
// Elementary functions that compilers can vectorise: no branches, no errno, no table. Results
// depend on the instruction set only through fused multiply-add.
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

// Nearest integer, halves to even; |x| below 2^22. Adding 1.5 x 2^23 leaves no fraction bits.
static inline float cs_round_even(float x)
{
    return (x + 12582912.0f) - 12582912.0f;
}

// e^x, relative error below 2e-7 where the result is normal: x = n ln 2 + r, Taylor series of
// degree 7 in r (remainder 5e-9 for |r| <= ln 2 / 2), then 2^n in two factors so that results
// from 2^-149 up and the overflow to infinity come out right. NaN stays NaN.
static inline float cs_expf(float x)
{
    x = x > 89.0f ? 89.0f : x;
    x = x < -104.0f ? -104.0f : x;
    float shifted = x * 1.44269504f + 12582912.0f;
    uint32_t n = cs_bits_of_float(shifted) - 0x4b400000u;
    float nf = shifted - 12582912.0f;
    // ln 2 in two parts: the first has 9 bits, so that n times it is exact.
    float r = (x - nf * 0.693359375f) + nf * 2.12194440e-4f;
    float p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    uint32_t half = (n + 512) / 2 - 256; // n / 2 rounded down; n is -150..128
    return p * cs_float_of_bits((half + 127) << 23) * cs_float_of_bits((n - half + 127) << 23);
}

static inline float cs_sigmoidf(float x)
{
    return 1.0f / (1.0f + cs_expf(-x));
}

#endif
