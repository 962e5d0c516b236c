// SPDX-License-Identifier: MIT
// The device: what is there, why it cannot be used, its memory.
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/dnn.h"
#include "backend/cuda/inside.h"
#include "base/mem.h"
#include "base/num.h"

enum { LEAST_CAPABILITY = 75 };

// ---- Errors ------------------------------------------------------------------------------

int cs_cuda_check(int code, const char *what, struct cs_err *err)
{
    if (code == cudaSuccess)
        return 0;
    cudaGetLastError(); // errors that are not sticky are over with this
    return cs_fail(err, code == cudaErrorMemoryAllocation ? CS_ENOMEM : CS_EDEVICE,
                   "cuda: %s: %s (%s)", what, cudaGetErrorString((cudaError_t)code),
                   cudaGetErrorName((cudaError_t)code));
}

static int fail_driver(cudaError_t code, struct cs_err *err)
{
    int driver = 0, runtime = 0;
    cudaGetLastError();
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    if (driver == 0)
        return cs_fail(err, CS_EDEVICE, "cuda: there is no NVIDIA driver (libcuda.so.1)");
    if (code == cudaErrorInsufficientDriver)
        return cs_fail(err, CS_EDEVICE,
                       "cuda: the NVIDIA driver is too old: it is for CUDA %d.%d, this build needs "
                       "%d.%d",
                       driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    if (code == cudaErrorNoDevice)
        return cs_fail(err, CS_EDEVICE, "cuda: the NVIDIA driver shows no GPU to this process");
    return cs_cuda_check((int)code, "asking for devices", err);
}

int cs_cuda_device_count(int *count, struct cs_err *err)
{
    cudaError_t code = cudaGetDeviceCount(count);
    if (code == cudaSuccess && *count > 0)
        return 0;
    *count = 0;
    return fail_driver(code == cudaSuccess ? cudaErrorNoDevice : code, err);
}

// ---- Memory ------------------------------------------------------------------------------

void *cs_cuda_alloc(size_t bytes, const char *what, struct cs_err *err)
{
    void *memory = NULL;
    cudaError_t code = cudaMalloc(&memory, bytes ? bytes : 1);
    if (code == cudaErrorMemoryAllocation) {
        size_t left = 0, total = 0;
        char need[CS_SIZE_TEXT], rest[CS_SIZE_TEXT];
        cudaGetLastError();
        cudaMemGetInfo(&left, &total);
        cs_size_text(bytes, need);
        cs_size_text(left, rest);
        cs_fail(err, CS_ENOMEM, "cuda: %s need %s, the GPU has %s left", what, need, rest);
        return NULL;
    }
    return cs_cuda_check((int)code, what, err) == 0 ? memory : NULL;
}

void cs_cuda_free(void *memory)
{
    if (memory)
        cudaFree(memory);
}

void *cs_cuda_alloc_pinned(size_t bytes, const char *what, struct cs_err *err)
{
    void *memory = NULL;
    cudaError_t code = cudaMallocHost(&memory, bytes ? bytes : 1);
    return cs_cuda_check((int)code, what, err) == 0 ? memory : NULL;
}

void cs_cuda_free_pinned(void *memory)
{
    if (memory)
        cudaFreeHost(memory);
}

// ---- Device ------------------------------------------------------------------------------

int cs_cuda_use(const struct cs_device *device, struct cs_err *err)
{
    return cs_cuda_check((int)cudaSetDevice(device->index), "choosing the device", err);
}

static int ask(struct cs_device *d, struct cs_err *err)
{
    struct cudaDeviceProp about;
    int driver = 0;
    if (cs_cuda_check((int)cudaGetDeviceProperties(&about, d->index), "asking the device", err))
        return -1;
    cudaDriverGetVersion(&driver);
    d->capability = 10 * about.major + about.minor;
    if (d->capability < LEAST_CAPABILITY)
        return cs_fail(err, CS_EDEVICE, "cuda:%d: %s has compute capability %d.%d, 7.5 is needed",
                       d->index, about.name, about.major, about.minor);
    char memory[CS_SIZE_TEXT], dnn[64];
    cs_size_text(about.totalGlobalMem, memory);
    cs_cuda_dnn_text(dnn, sizeof dnn);
    snprintf(d->text, sizeof d->text, "cuda:%d: %.100s, %s, driver for CUDA %d.%d, %s", d->index,
             about.name, memory, driver / 1000, driver % 1000 / 10, dnn);
    return 0;
}

int cs_cuda_device_open(const struct cs_device_options *options, struct cs_device **device,
                        struct cs_err *err)
{
    int count;
    int64_t index = 0;
    if (options && options->detail && *options->detail &&
        cs_num_int(options->detail, 0, INT32_MAX, "cuda: number of the GPU", &index, err) != 0)
        return -1;
    if (cs_cuda_device_count(&count, err) != 0)
        return -1;
    if (index >= count)
        return cs_fail(err, CS_EDEVICE, "cuda:%d: there %s %d GPU%s, counted from 0", (int)index,
                       count == 1 ? "is" : "are", count, count == 1 ? "" : "s");
    struct cs_device *made = cs_xcalloc(1, sizeof *made);
    made->index = (int)index;
    // Threads sleep while they wait for the device: the CPU has images to decode.
    cudaError_t code = cudaSetDevice(made->index);
    if (code == cudaSuccess)
        code = cudaSetDeviceFlags(cudaDeviceScheduleBlockingSync);
    if (cs_cuda_check((int)code, "choosing the device", err) != 0 || ask(made, err) != 0 ||
        cs_cuda_dnn_open(&made->dnn, NULL, err) != 0) {
        free(made);
        return -1;
    }
    *device = made;
    return 0;
}

int cs_cuda_device_memory(const struct cs_device *device, uint64_t *left, uint64_t *total,
                          struct cs_err *err)
{
    size_t rest = 0, all = 0;
    int result = cs_cuda_use(device, err);
    if (result == 0)
        result = cs_cuda_check((int)cudaMemGetInfo(&rest, &all), "asking for memory", err);
    *left = rest;
    *total = all;
    return result;
}

int cs_cuda_memory_pin(struct cs_device *device, void *data, size_t bytes, struct cs_err *err)
{
    return cs_cuda_use(device, err) != 0
               ? -1
               : cs_cuda_check((int)cudaHostRegister(data, bytes, cudaHostRegisterDefault),
                               "pinning shared memory", err);
}

void cs_cuda_memory_unpin(struct cs_device *device, void *data)
{
    if (cs_cuda_use(device, NULL) == 0)
        cs_cuda_check((int)cudaHostUnregister(data), "", NULL);
}

// Errors of a kernel or of the hardware stay: every later call returns them too.
bool cs_cuda_device_lost(const struct cs_device *device)
{
    uint64_t left, total;
    return cs_cuda_device_memory(device, &left, &total, NULL) != 0;
}

void cs_cuda_device_close(struct cs_device *device)
{
    if (!device)
        return;
    cs_cuda_dnn_close(device->dnn);
    free(device);
}
