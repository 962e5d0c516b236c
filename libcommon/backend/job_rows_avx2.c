// SPDX-License-Identifier: MIT
// The loops of cs_job_finish for processors with AVX2.
#define ROWS cs_job_rows_avx2
#include "backend/job_rows_body.h"
