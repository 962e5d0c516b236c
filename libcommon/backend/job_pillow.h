// SPDX-License-Identifier: MIT
// CS_PLACE_PILLOW's half of job_prepare.h.
#ifndef CS_BACKEND_JOB_PILLOW_H
#define CS_BACKEND_JOB_PILLOW_H

#include <stddef.h>

#include "backend/job.h"

// As cs_job_prepare, which calls it. Samples are CS_U8, CS_U16 or CS_F32; no channel is a mean.
void cs_job_pillow(const struct cs_job *job, float *dst, int net_width, int net_height,
                   int net_channels, ptrdiff_t stride_x, ptrdiff_t stride_y, ptrdiff_t stride_c);

#endif
