// SPDX-License-Identifier: MIT
// The vector kernels for any processor.
#define KERNELS          cs_kernels_plain
#define WIDTH            4
#define KERNELS_NAME     "plain"
#define KERNELS_WINOGRAD NULL
#define KERNELS_JOB_ROWS &cs_job_rows_plain
#include "backend/cpu/kernels_body.h"
