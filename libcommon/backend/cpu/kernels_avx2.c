// SPDX-License-Identifier: MIT
// The vector kernels for processors with AVX2.
#define KERNELS          cs_kernels_avx2
#define WIDTH            8
#define KERNELS_NAME     "avx2"
#define KERNELS_WINOGRAD &cs_winograd_avx2
#define KERNELS_JOB_ROWS &cs_job_rows_avx2
#include "backend/cpu/kernels_body.h"
