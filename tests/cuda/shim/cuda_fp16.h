// SPDX-License-Identifier: MIT
// binary16 for the host: stored as its bits, rounded to nearest, ties to even.
#ifndef SHIM_CUDA_FP16_H
#define SHIM_CUDA_FP16_H

#include <math.h>
#include <stdint.h>
#include <string.h>

struct __half {
    uint16_t bits;
};

inline float __half2float(__half h)
{
    int exponent = h.bits >> 10 & 31, fraction = h.bits & 1023;
    float size = exponent == 31  ? (fraction ? NAN : INFINITY)
                 : exponent == 0 ? ldexpf((float)fraction, -24)
                                 : ldexpf((float)(1024 + fraction), exponent - 25);
    return h.bits & 0x8000 ? -size : size;
}

inline __half __float2half_rn(float x)
{
    float size = fabsf(x);
    uint16_t sign = signbit(x) ? 0x8000 : 0;
    if (isnan(x))
        return __half{0x7fff};
    if (size >= 65520)
        return __half{(uint16_t)(sign | 0x7c00)};
    int exponent;
    frexpf(size, &exponent);
    exponent = size > 0 ? exponent : -20;
    int last = exponent < -13 ? -24 : exponent - 11; // of the significand's last bit
    uint16_t steps = (uint16_t)rintf(ldexpf(size, -last));
    if (exponent < -13) // steps of 2^-24: also the bits of what becomes the least normal number
        return __half{(uint16_t)(sign | steps)};
    return __half{(uint16_t)(sign | (((exponent + 13) << 10) + steps))};
}

#endif
