// SPDX-License-Identifier: MIT
// The part of CUDA C++ that kernels of libcommon/backend/cuda/ use, for a compiler of the host: the
// very same sources then run as plain functions (shim.cpp).
//
// Threads of a block are coroutines on one thread of the system; they change at barriers only.
// What that can show: wrong numbers, samples read or written outside (AddressSanitizer), vectors at
// odd addresses (UndefinedBehaviorSanitizer), barriers that not all threads reach, and barriers
// that are missing, since the order of the threads may be turned round (shim.h); with
// ThreadSanitizer (make races) also two threads of a block that touch the same memory with no
// barrier between, whatever comes of it. What it cannot: speed, registers, races between blocks,
// and the device's own rounding of exp, erf and the like.
#ifndef SHIM_CUDA_RUNTIME_H
#define SHIM_CUDA_RUNTIME_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "shim.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__    __attribute__((noinline))
#define __restrict__ __restrict
#define __grid_constant__
#define __launch_bounds__(...)
// One block runs at a time, so that memory of a block is memory of the function.
#define __shared__ static

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c)
    {
    }
};
struct uint3 {
    unsigned x, y, z;
};
#ifdef __SANITIZE_THREAD__ // the scheduler writes them beside the threads
uint3 shim_thread(), shim_block();
#define threadIdx shim_thread()
#define blockIdx  shim_block()
#else
extern uint3 threadIdx, blockIdx;
#endif
extern dim3 blockDim, gridDim;

enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorInvalidConfiguration = 9 };
struct CUstream_st;
typedef CUstream_st *cudaStream_t;
struct cudaLaunchConfig_t {
    dim3 gridDim, blockDim;
    size_t dynamicSmemBytes;
    cudaStream_t stream;
    void *attrs;
    unsigned numAttrs;
};

// Whether the grid is within the limits of devices.
bool shim_is_possible(const cudaLaunchConfig_t *config);
// Runs `body(context)` for every thread of the grid.
void shim_run(const cudaLaunchConfig_t *config, void (*body)(void *), void *context);

// ---- Inside of kernels ---------------------------------------------------------------------

void __syncthreads();
void __syncwarp(unsigned mask = 0xffffffffU);
// The value that lane `from` of the warp has; every thread of the warp calls it.
uint64_t shim_exchange(uint64_t value, unsigned from);

template <typename T> T shim_shuffle(T value, unsigned from)
{
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = shim_exchange(bits, from);
    memcpy(&value, &bits, sizeof value);
    return value;
}

inline unsigned shim_lane()
{
    return threadIdx.x % 32;
}

template <typename T> T __shfl_xor_sync(unsigned, T value, int mask, int = 32)
{
    return shim_shuffle(value, shim_lane() ^ (unsigned)mask);
}

template <typename T> T __shfl_sync(unsigned, T value, int from, int width = 32)
{
    return shim_shuffle(value, shim_lane() / (unsigned)width * (unsigned)width +
                                   (unsigned)from % (unsigned)width);
}

template <typename T> T __shfl_down_sync(unsigned, T value, unsigned by, int width = 32)
{
    unsigned lane = shim_lane(), last = lane / (unsigned)width * (unsigned)width + (unsigned)width;
    return shim_shuffle(value, lane + by < last ? lane + by : lane);
}

inline unsigned __umulhi(unsigned a, unsigned b)
{
    return (unsigned)(((uint64_t)a * b) >> 32);
}

inline void __threadfence()
{
}

inline unsigned atomicAdd(unsigned *at, unsigned value)
{
    return __atomic_fetch_add(at, value, __ATOMIC_RELAXED);
}

inline unsigned long long atomicAdd(unsigned long long *at, unsigned long long value)
{
    return __atomic_fetch_add(at, value, __ATOMIC_RELAXED);
}

inline unsigned atomicExch(unsigned *at, unsigned value)
{
    return __atomic_exchange_n(at, value, __ATOMIC_RELAXED);
}

inline int atomicOr(int *at, int value)
{
    return __atomic_fetch_or(at, value, __ATOMIC_RELAXED);
}

template <typename T> T min(T a, T b)
{
    return b < a ? b : a;
}

template <typename T> T max(T a, T b)
{
    return a < b ? b : a;
}

// ---- Launching -----------------------------------------------------------------------------

// Puts run(closure), of which `bytes` are copied, on the stream: of the runtime's stub. A
// cudaError_t.
extern "C" int stub_launch(void *stream, void (*run)(const void *closure), const void *closure,
                           size_t bytes);

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *config, void (*kernel)(Parameters...),
                               Arguments &&...arguments)
{
    cudaLaunchConfig_t grid = *config;
    if (!shim_is_possible(&grid))
        return cudaErrorInvalidConfiguration;
    auto work = [=]() {
        auto body = [&]() { kernel(arguments...); };
        using body_type = decltype(body);
        shim_run(
            &grid, [](void *context) { (*static_cast<body_type *>(context))(); }, &body);
    };
    using work_type = decltype(work);
    return (cudaError_t)stub_launch(
        grid.stream, [](const void *closure) { (*static_cast<const work_type *>(closure))(); },
        &work, sizeof work);
}

#endif
