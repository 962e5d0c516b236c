// SPDX-License-Identifier: MIT
// The loops of cs_job_finish for any processor.
#define ROWS cs_job_rows_plain
#include "backend/job_rows_body.h"
