// SPDX-License-Identifier: MIT
// What this processor reaches at best: fp32 multiply-adds by independent chains of them in
// registers, and copying of blocks larger than the caches. Each is the best of several rounds of
// about a tenth of a second: what else runs on the machine only ever makes it slower.
#include "backend/cpu/peak.h"

#include <immintrin.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum {
    CHAINS = 12, // enough to hide four cycles of latency on two ports, few enough to fit
    ROUNDS = 5,
};
static const long steps = 20000000;
static const size_t copy_bytes = (size_t)128 << 20;

#define DEFINE_PEAK(name, isa, vec, add, splat, step)                                              \
    __attribute__((target(isa), noinline)) static float name(long rounds)                          \
    {                                                                                              \
        vec acc[CHAINS], a = splat(1.0001F), b = splat(0.9999F);                                   \
        for (int k = 0; k < CHAINS; k++)                                                           \
            acc[k] = splat((float)k);                                                              \
        for (long i = 0; i < rounds; i++) {                                                        \
            _Pragma("GCC unroll 12") for (int k = 0; k < CHAINS; k++) acc[k] = step;               \
            __asm__ volatile("" : "+x"(a), "+x"(b));                                               \
        }                                                                                          \
        vec sum = acc[0];                                                                          \
        for (int k = 1; k < CHAINS; k++)                                                           \
            sum = add(sum, acc[k]);                                                                \
        return ((const float *)&sum)[0];                                                           \
    }

DEFINE_PEAK(peak_avx512, "avx512f", __m512, _mm512_add_ps, _mm512_set1_ps,
            _mm512_fmadd_ps(acc[k], a, b))
DEFINE_PEAK(peak_avx2, "avx2,fma", __m256, _mm256_add_ps, _mm256_set1_ps,
            _mm256_fmadd_ps(acc[k], a, b))
DEFINE_PEAK(peak_sse2, "sse2", __m128, _mm_add_ps, _mm_set1_ps,
            _mm_add_ps(_mm_mul_ps(acc[k], a), b))

// Of all threads together.
static double flops_once(bool cpu_time)
{
    int avx512 = __builtin_cpu_supports("avx512f");
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    double lanes = avx512 ? 16 : avx2 ? 8 : 4;
    volatile float sink = 0; // the chains are not to be optimised away
    int threads = 1;
    double start = cs_clock_of(cpu_time);
#pragma omp parallel
    {
#pragma omp single
        threads = omp_get_num_threads();
        float value = avx512 ? peak_avx512(steps) : avx2 ? peak_avx2(steps) : peak_sse2(steps);
#pragma omp critical
        sink += value;
    }
    return 2 * lanes * CHAINS * (double)steps * threads / (cs_clock_of(cpu_time) - start);
}

static double copy_once(bool cpu_time, char *to, const char *from)
{
    double start = cs_clock_of(cpu_time);
#pragma omp parallel
    {
        size_t part = copy_bytes / (size_t)omp_get_num_threads();
        size_t first = part * (size_t)omp_get_thread_num();
        memcpy(to + first, from + first, part);
    }
    return 2 * (double)copy_bytes / (cs_clock_of(cpu_time) - start);
}

void cs_cpu_peak(bool cpu_time, struct cs_peak *peak)
{
    char *from = malloc(copy_bytes), *to = malloc(copy_bytes);
    *peak = (struct cs_peak){0};
    for (int round = 0; round < ROUNDS; round++) {
        double flops = flops_once(cpu_time);
        peak->flops = flops > peak->flops ? flops : peak->flops;
    }
    if (from && to) {
        memset(from, 1, copy_bytes);
        memset(to, 1, copy_bytes);
        for (int round = 0; round < 2 * ROUNDS; round++) {
            double bytes = copy_once(cpu_time, to, from);
            peak->bytes = bytes > peak->bytes ? bytes : peak->bytes;
        }
    }
    free(from);
    free(to);
}
