// SPDX-License-Identifier: MIT
// The vector kernels for processors with AVX-512 (F, BW, DQ, VL).
#define KERNELS          cs_kernels_avx512
#define WIDTH            16
#define KERNELS_NAME     "avx512"
#define KERNELS_WINOGRAD &cs_winograd_avx512
#define KERNELS_JOB_ROWS &cs_job_rows_avx512
#include "backend/cpu/kernels_body.h"
