// SPDX-License-Identifier: MIT
// Body of job_rows_*.c, which define ROWS. Loops that compilers vectorise.
#undef __FMA__ // the same bits with every instruction set (vecmath.h)
#include "backend/job_rows.h"
#include "backend/vecmath.h"

static inline void take_step(float *out, const float *value, ptrdiff_t step, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = value[i * step];
}

// Networks have few outputs: with a step that the compiler knows it needs no gathering.
static void take(float *restrict out, const float *restrict value, ptrdiff_t step, int64_t count)
{
    switch (step) {
    case 1:
        take_step(out, value, 1, count);
        return;
    case 2:
        take_step(out, value, 2, count);
        return;
    case 3:
        take_step(out, value, 3, count);
        return;
    default:
        take_step(out, value, step, count);
    }
}

static void sigmoid(float *out, const float *value, ptrdiff_t step, int64_t count)
{
    take(out, value, step, count);
    for (int64_t i = 0; i < count; i++)
        out[i] = cs_sigmoidf(out[i]);
}

// 1 / sum over k of e^(v[k] - v)
static void softmax(float *restrict out, const float *restrict value, const float *restrict all,
                    int channels, ptrdiff_t stride_c, ptrdiff_t step, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = 0;
    for (int k = 0; k < channels; k++) {
        const float *other = all + k * stride_c;
        for (int64_t i = 0; i < count; i++)
            out[i] += cs_expf(other[i * step] - value[i * step]);
    }
    for (int64_t i = 0; i < count; i++)
        out[i] = 1.0f / out[i];
}

static inline float unit(float p)
{
    return p > 0 ? (p < 1 ? p : 1) : 0; // NaN becomes 0
}

static void to_u8(uint8_t *restrict out, const float *restrict value, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = (uint8_t)(int32_t)cs_round_even(unit(value[i]) * 255);
}

static void to_u16(uint16_t *restrict out, const float *restrict value, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = (uint16_t)(int32_t)cs_round_even(unit(value[i]) * 65535);
}

static inline int64_t count_step(const float *value, ptrdiff_t step, int64_t count)
{
    int64_t found = 0;
    for (int64_t i = 0; i < count; i++)
        found += (cs_bits_of_float(value[i * step]) & 0x7f800000u) == 0x7f800000u;
    return found;
}

static int64_t count_nonfinite(const float *value, ptrdiff_t step, int64_t count)
{
    return step == 1   ? count_step(value, 1, count)
           : step == 2 ? count_step(value, 2, count)
                       : count_step(value, step, count);
}

const struct cs_job_rows ROWS = {
    .take = take,
    .sigmoid = sigmoid,
    .softmax = softmax,
    .to_u8 = to_u8,
    .to_u16 = to_u16,
    .count_nonfinite = count_nonfinite,
};
