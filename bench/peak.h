// SPDX-License-Identifier: MIT
// The floor of every benchmark: what this processor reaches in fp32 multiply-adds, measured by
// independent chains of them in registers, on as many OpenMP threads as the caller has set.
#ifndef CS_BENCH_PEAK_H
#define CS_BENCH_PEAK_H

#include <immintrin.h>
#include <omp.h>
#include <time.h>

enum { PEAK_CHAINS = 12 }; // enough to hide four cycles of latency on two ports, few enough to fit

#define DEFINE_PEAK(name, isa, vec, zero, splat, step)                                             \
    __attribute__((target(isa), noinline)) static float name(long rounds)                          \
    {                                                                                              \
        vec acc[PEAK_CHAINS], a = splat(1.0001F), b = splat(0.9999F);                              \
        for (int k = 0; k < PEAK_CHAINS; k++)                                                      \
            acc[k] = splat((float)k);                                                              \
        for (long i = 0; i < rounds; i++) {                                                        \
            _Pragma("GCC unroll 12") for (int k = 0; k < PEAK_CHAINS; k++) acc[k] = step;          \
            __asm__ volatile("" : "+x"(a), "+x"(b));                                               \
        }                                                                                          \
        vec sum = acc[0];                                                                          \
        for (int k = 1; k < PEAK_CHAINS; k++)                                                      \
            sum = zero(sum, acc[k]);                                                               \
        return ((const float *)&sum)[0];                                                           \
    }

DEFINE_PEAK(peak_avx512, "avx512f", __m512, _mm512_add_ps, _mm512_set1_ps,
            _mm512_fmadd_ps(acc[k], a, b))
DEFINE_PEAK(peak_avx2, "avx2,fma", __m256, _mm256_add_ps, _mm256_set1_ps,
            _mm256_fmadd_ps(acc[k], a, b))
DEFINE_PEAK(peak_sse2, "sse2", __m128, _mm_add_ps, _mm_set1_ps,
            _mm_add_ps(_mm_mul_ps(acc[k], a), b))

// Seconds by the wall clock, or of processor time of the whole process: with one thread the latter
// tells on a busy machine what an idle one would take.
static double bench_now(int cpu_time)
{
    struct timespec now;
    clock_gettime(cpu_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

// GFLOP/s of all threads together; best of several rounds of about 0.1 s.
static double peak_gflops(int cpu_time)
{
    int avx512 = __builtin_cpu_supports("avx512f");
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    double lanes = avx512 ? 16 : avx2 ? 8 : 4, best = 0;
    const long rounds = 20000000;
    for (int repeat = 0; repeat < 5; repeat++) {
        volatile float sink = 0;
        int threads = 1;
        double start = bench_now(cpu_time);
#pragma omp parallel
        {
#pragma omp single
            threads = omp_get_num_threads();
            float value = avx512 ? peak_avx512(rounds)
                          : avx2 ? peak_avx2(rounds)
                                 : peak_sse2(rounds);
#pragma omp critical
            sink += value;
        }
        double seconds = bench_now(cpu_time) - start;
        double gflops = 2 * lanes * PEAK_CHAINS * (double)rounds * threads / seconds / 1e9;
        best = gflops > best ? gflops : best;
    }
    return best;
}

#endif
