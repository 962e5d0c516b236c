// SPDX-License-Identifier: MIT
// Small kernels that show what the shim does, for its own test.
#include "selftest.h"

#include "cuda_fp16.h"
#include "cuda_runtime.h"

namespace {

constexpr unsigned SIZE = SHIM_SIZE;

// Every thread reads what another has written, with a barrier between or without one.
__global__ void turn_kernel(float *data, bool barrier)
{
    __shared__ float held[SIZE];
    held[threadIdx.x] = data[threadIdx.x];
    if (barrier)
        __syncthreads();
    data[threadIdx.x] = held[SIZE - 1 - threadIdx.x];
}

__global__ void sum_kernel(float *data)
{
    float sum = data[threadIdx.x];
    for (int by = 16; by > 0; by /= 2)
        sum += __shfl_xor_sync(0xffffffffU, sum, by);
    data[threadIdx.x] = sum;
}

__global__ void leave_kernel()
{
    if (threadIdx.x % 2 == 0)
        __syncthreads();
}

cudaLaunchConfig_t one_block()
{
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(1);
    config.blockDim = dim3(SIZE);
    return config;
}

} // namespace

void shim_turn(float *data, bool barrier)
{
    cudaLaunchConfig_t config = one_block();
    cudaLaunchKernelEx(&config, turn_kernel, data, barrier);
}

void shim_sum(float *data)
{
    cudaLaunchConfig_t config = one_block();
    cudaLaunchKernelEx(&config, sum_kernel, data);
}

void shim_leave(void)
{
    cudaLaunchConfig_t config = one_block();
    cudaLaunchKernelEx(&config, leave_kernel);
}

float shim_half_to_float(unsigned short bits)
{
    return __half2float(__half{bits});
}

unsigned short shim_half_of_float(float value)
{
    return __float2half_rn(value).bits;
}
