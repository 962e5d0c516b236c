// SPDX-License-Identifier: MIT
// The loops of cs_job_finish for processors with AVX-512.
#define ROWS cs_job_rows_avx512
#include "backend/job_rows_body.h"
