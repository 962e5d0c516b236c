// SPDX-License-Identifier: MIT
// The second half of a job on the CPU: the network's output planes to finished maps.
#ifndef CS_BACKEND_JOB_FINISH_H
#define CS_BACKEND_JOB_FINISH_H

#include <stddef.h>

#include "backend/job.h"

// Activation (softmax runs over all net_channels), placement back, quantisation; writes the job's
// part of its map and sets job->nonfinite. The value of column x, row y and channel c is
// src[x * stride_x + y * stride_y + c * stride_c].
//
// Quantised values are clamped to 0..1 and rounded to the nearest step, halves to even; NaN
// becomes 0. job->nonfinite counts the raw values of the channels in out_from: those of the part
// for CS_PLACE_COPY, those of the whole plane otherwise. CS_ACT_LOGITS looks at all channels of the
// plane.
//
// Rows are shared out among the OpenMP threads of the caller; the result does not depend on
// their number. Allocates nothing. The part lies in the map and, for CS_PLACE_COPY, in the plane.
void cs_job_finish(struct cs_job *job, const float *src, int net_width, int net_height,
                   int net_channels, ptrdiff_t stride_x, ptrdiff_t stride_y, ptrdiff_t stride_c);

#endif
