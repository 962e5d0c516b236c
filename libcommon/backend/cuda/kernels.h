// SPDX-License-Identifier: MIT
// Kernels of the backend "cuda" as C sees them. Each function puts work on a stream and returns at
// once; none allocates, waits or looks at the device's memory from the host, so that all of them
// can be captured into a CUDA graph. They return what cudaGetLastError says of the launch, as int:
// 0 is success. `stream` is a cudaStream_t.
//
// Sums, means and statistics are taken in fp32 whatever the tensors are, in an order that depends
// on shapes alone. This header is read by C and by nvcc.
#ifndef CS_BACKEND_CUDA_KERNELS_H
#define CS_BACKEND_CUDA_KERNELS_H

#include <stdint.h>

#include "backend/job_area.h"

#ifdef __cplusplus
extern "C" {
#endif

enum cs_cuda_type { CS_CUDA_F32, CS_CUDA_F16, CS_CUDA_I64, CS_CUDA_I32, CS_CUDA_BOOL };
enum { CS_CUDA_MAX_RANK = 8, CS_CUDA_COUNTERS = 4096 };

// A tensor on the device. Dimensions and strides in logical (ONNX) order, strides in elements: a
// plane of images has N, C, H, W with stride 1 at C, and a stride at W that may exceed C where it
// is a slice of a concatenation or padded. Addresses are aligned to 16 bytes but for slices.
struct cs_cuda_tensor {
    void *data; // NULL: omitted
    enum cs_cuda_type type;
    int rank;
    int64_t dim[CS_CUDA_MAX_RANK], stride[CS_CUDA_MAX_RANK];
};

// A job (backend/job.h) on the device. Addresses in `job` are the device's: `pixels` holds the
// window of the image that the job needs, dense, `out` the job's part of the maps, dense.
// A job of width 0 stands for a missing image.
struct cs_cuda_job {
    struct cs_job job;                  // nonfinite: 0 before, counted by the kernel
    struct cs_job_area window;          // of the image: what was sent up
    struct cs_job_area behind;          // of the outputs' planes: what counts for the part
    int32_t beyond[CS_JOB_MAX_OUTPUTS]; // 0 before; set where a value is below 0 or above 1
};

// Fill the network's input: batch, channels and plane are the tensor's, as many jobs as it has
// images. Missing images and channels between C and the stride of W become 0. As cs_job_prepare.
int cs_cuda_prepare(void *stream, const struct cs_cuda_job *jobs,
                    const struct cs_cuda_tensor *input);
// From planes to maps, the first `count` outputs of the graph; a tensor of rank other than 4 has
// no planes. `batch` jobs, on the device and as the host staged them, for their sizes. As
// cs_job_finish.
int cs_cuda_finish(void *stream, struct cs_cuda_job *jobs, const struct cs_cuda_job *staged,
                   int batch, const struct cs_cuda_tensor *planes, int count);

// dst = src, element by element, converted to dst's type; a dimension of 1 in src is broadcast.
// Both have the same rank.
int cs_cuda_copy(void *stream, const struct cs_cuda_tensor *src, const struct cs_cuda_tensor *dst);

#ifdef __cplusplus
}
#endif

#endif
