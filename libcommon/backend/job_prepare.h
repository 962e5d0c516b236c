// SPDX-License-Identifier: MIT
// The first half of a job on the CPU: decoded pixels to the network's input planes.
#ifndef CS_BACKEND_JOB_PREPARE_H
#define CS_BACKEND_JOB_PREPARE_H

#include <stddef.h>

#include "backend/job.h"

// Fill net_channels planes of net_width x net_height floats: placement, channel choice,
// normalisation (job.h). The sample of column x, row y and channel c goes to
// dst[x * stride_x + y * stride_y + c * stride_c]: any layout, padded or not.
//
// Normalisation comes before the resize and the clamp after it: both are linear up to the clamp.
// 32- and 64-bit samples are normalised in double, so that a large offset costs no contrast.
// Rows are shared out among the OpenMP threads of the caller; the result does not depend on
// their number. Allocates nothing. net_channels is at most CS_JOB_MAX_CHANNELS; the image and the
// plane are not empty.
void cs_job_prepare(const struct cs_job *job, float *dst, int net_width, int net_height,
                    int net_channels, ptrdiff_t stride_x, ptrdiff_t stride_y, ptrdiff_t stride_c);

#endif
