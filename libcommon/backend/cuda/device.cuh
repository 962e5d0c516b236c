// SPDX-License-Identifier: MIT
// What all kernels share on the device: vectors of samples, index arithmetic, functions of one
// element, sums of a warp and a block. The same source is compiled for the host by the tests.
#ifndef CS_BACKEND_CUDA_DEVICE_CUH
#define CS_BACKEND_CUDA_DEVICE_CUH

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "backend/cuda/launch.h"

namespace cs {

constexpr int WARP = 32;
constexpr unsigned ALL = 0xffffffffU;

// ---- Division by a number that is known before the launch
// ---------------------------------------- Granlund and Montgomery, Division by Invariant Integers
// using Multiplication (1994); for 31 bits.

struct divisor {
    uint32_t by, magic, shift;
};

inline divisor divisor_of(int64_t by)
{
    by = by > 0 ? by : 1; // of an empty axis, which nobody asks for
    divisor d = {(uint32_t)by, 0, 0};
    while (((uint64_t)1 << d.shift) < (uint64_t)by)
        d.shift++;
    d.magic = (uint32_t)((((uint64_t)1 << 32) * (((uint64_t)1 << d.shift) - (uint64_t)by)) /
                             (uint64_t)by +
                         1);
    return d;
}

__device__ __forceinline__ uint32_t divide(uint32_t n, const divisor &d)
{
    return (__umulhi(n, d.magic) + n) >> d.shift;
}

// ---- Samples -------------------------------------------------------------------------------

// N samples side by side, loaded and stored by instructions of up to 16 bytes.
template <typename T, int N> struct alignas(sizeof(T) * N > 16 ? 16 : sizeof(T) * N) vec {
    T v[N];
};

template <int N> struct reals {
    float v[N];
};

template <int N> __device__ __forceinline__ reals<N> load(const float *p)
{
    const vec<float, N> raw = *reinterpret_cast<const vec<float, N> *>(p);
    reals<N> r;
#pragma unroll
    for (int i = 0; i < N; i++)
        r.v[i] = raw.v[i];
    return r;
}

template <int N> __device__ __forceinline__ reals<N> load(const __half *p)
{
    const vec<__half, N> raw = *reinterpret_cast<const vec<__half, N> *>(p);
    reals<N> r;
#pragma unroll
    for (int i = 0; i < N; i++)
        r.v[i] = __half2float(raw.v[i]);
    return r;
}

template <int N> __device__ __forceinline__ void store(float *p, const reals<N> &r)
{
    vec<float, N> raw;
#pragma unroll
    for (int i = 0; i < N; i++)
        raw.v[i] = r.v[i];
    *reinterpret_cast<vec<float, N> *>(p) = raw;
}

template <int N> __device__ __forceinline__ void store(__half *p, const reals<N> &r)
{
    vec<__half, N> raw;
#pragma unroll
    for (int i = 0; i < N; i++)
        raw.v[i] = __float2half_rn(r.v[i]);
    *reinterpret_cast<vec<__half, N> *>(p) = raw;
}

// float32 or float16, known at the launch only: the same branch for all threads.
template <int N> __device__ __forceinline__ reals<N> load(const void *p, int type, int64_t at)
{
    return type == CS_CUDA_F16 ? load<N>(static_cast<const __half *>(p) + at)
                               : load<N>(static_cast<const float *>(p) + at);
}

template <int N>
__device__ __forceinline__ void store(void *p, int type, int64_t at, const reals<N> &r)
{
    if (type == CS_CUDA_F16)
        store<N>(static_cast<__half *>(p) + at, r);
    else
        store<N>(static_cast<float *>(p) + at, r);
}

__device__ __forceinline__ float load_real(const void *p, int type, int64_t at)
{
    return load<1>(p, type, at).v[0];
}

__device__ __forceinline__ void store_real(void *p, int type, int64_t at, float value)
{
    store<1>(p, type, at, reals<1>{{value}});
}

// ---- Functions of one element --------------------------------------------------------------

__device__ __forceinline__ float softplus(float x)
{
    return x > 30 ? x : log1pf(expf(x));
}

inline __device__ float apply(int function, float x, float a, float b)
{
    switch (function) {
    case CS_FN_RELU:
        return x > 0 || isnan(x) ? x : 0;
    case CS_FN_LEAKY_RELU:
        return x < 0 ? a * x : x;
    case CS_FN_CLIP: // b wins where the limits cross
        return isnan(x) ? x : fminf(fmaxf(x, a), b);
    case CS_FN_SIGMOID:
        return 1 / (1 + expf(-x));
    case CS_FN_HARD_SIGMOID:
        return isnan(x) ? x : fmaxf(0, fminf(1, a * x + b));
    case CS_FN_HARD_SWISH:
        return isnan(x) ? x : x * fmaxf(0, fminf(1, x / 6 + 0.5F));
    case CS_FN_SWISH:
        return x / (1 + expf(-a * x));
    case CS_FN_TANH:
        return tanhf(x);
    case CS_FN_ELU:
        return x < 0 ? a * expm1f(x) : x;
    case CS_FN_GELU: // the complement keeps digits where the sum would cancel
        return 0.5F * x * erfcf(-0.70710678F * x);
    case CS_FN_GELU_TANH:
        return 0.5F * x * (1 + tanhf(0.79788456F * (x + 0.044715F * x * x * x)));
    case CS_FN_SOFTPLUS:
        return softplus(x);
    case CS_FN_ERF:
        return erff(x);
    case CS_FN_MISH:
        return x * tanhf(softplus(x));
    case CS_FN_EXP:
        return expf(x);
    case CS_FN_LOG:
        return logf(x);
    case CS_FN_SQRT:
        return sqrtf(x);
    case CS_FN_ABS:
        return fabsf(x);
    case CS_FN_NEG:
        return -x;
    case CS_FN_SIGN:
        return isnan(x) ? x : static_cast<float>((x > 0) - (x < 0));
    case CS_FN_FLOOR:
        return floorf(x);
    case CS_FN_CEIL:
        return ceilf(x);
    default:
        return x;
    }
}

// Most networks use the first two, which are cheap enough to be done without a call.
template <int N> __device__ __forceinline__ void activate(reals<N> &r, const cs_cuda_activation &f)
{
    if (f.function == CS_FN_IDENTITY)
        return;
#pragma unroll
    for (int i = 0; i < N; i++)
        r.v[i] = f.function == CS_FN_RELU ? (r.v[i] > 0 || isnan(r.v[i]) ? r.v[i] : 0)
                                          : apply(f.function, r.v[i], f.alpha, f.beta);
}

// ---- Samples that cannot be ----------------------------------------------------------------

__device__ __forceinline__ void set_fault(uint32_t *fault)
{
    if (fault)
        atomicExch(fault, 1U);
}

// ---- Blocks that wait for others -----------------------------------------------------------

// Whether this block is the last of `blocks` to come here, which resets the counter. What every
// thread of the others wrote before is seen by every thread of the last behind it: the fences of
// one thread hold for those that are with it at the barriers.
__device__ __forceinline__ bool is_last(uint32_t *counter, uint32_t blocks)
{
    __shared__ uint32_t before;
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        before = atomicAdd(counter, 1U);
        if (before == blocks - 1)
            *counter = 0;
        __threadfence();
    }
    __syncthreads();
    return before == blocks - 1;
}

// ---- Launching -----------------------------------------------------------------------------

template <typename... Parameters, typename... Arguments>
inline int launch(void *stream, dim3 blocks, int threads, void (*kernel)(Parameters...),
                  const Arguments &...arguments)
{
    cudaLaunchConfig_t config = {};
    config.gridDim = blocks;
    config.blockDim = dim3(static_cast<unsigned>(threads));
    config.stream = static_cast<cudaStream_t>(stream);
    return static_cast<int>(cudaLaunchKernelEx(&config, kernel, arguments...));
}

inline int64_t blocks_for(int64_t items, int64_t threads)
{
    return (items + threads - 1) / threads;
}

} // namespace cs

#endif
