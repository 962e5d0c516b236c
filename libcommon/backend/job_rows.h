// SPDX-License-Identifier: MIT
// The loops over pixels of cs_job_finish, compiled for several instruction sets (struct cs_kernels
// has them). All tables give the same bits: none contracts a product and a sum.
#ifndef CS_BACKEND_JOB_ROWS_H
#define CS_BACKEND_JOB_ROWS_H

#include <stddef.h>
#include <stdint.h>

// Values of a row lie `step` floats apart; results lie one behind the other.
struct cs_job_rows {
    void (*take)(float *out, const float *value, ptrdiff_t step, int64_t count);
    void (*sigmoid)(float *out, const float *value, ptrdiff_t step, int64_t count);
    // Of the channel `value` among those at all, all + stride_c ...; an overflow to infinity
    // gives 0.
    void (*softmax)(float *out, const float *value, const float *all, int channels,
                    ptrdiff_t stride_c, ptrdiff_t step, int64_t count);
    // Clamped to 0..1, times 255 or 65535, rounded to the nearest, halves to even; NaN gives 0.
    void (*to_u8)(uint8_t *out, const float *value, int64_t count);
    void (*to_u16)(uint16_t *out, const float *value, int64_t count);
    // How many are NaN or infinite.
    int64_t (*count_nonfinite)(const float *value, ptrdiff_t step, int64_t count);
};

extern const struct cs_job_rows cs_job_rows_plain, cs_job_rows_avx2, cs_job_rows_avx512;

#endif
