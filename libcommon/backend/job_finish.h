// SPDX-License-Identifier: MIT
// The second half of a job on the CPU: the network's output planes to finished maps.
#ifndef CS_BACKEND_JOB_FINISH_H
#define CS_BACKEND_JOB_FINISH_H

#include <stddef.h>

#include "backend/job.h"
#include "graph/graph.h"

// One output: the value of image n, column x, row y and channel c is data[n * stride_n +
// x * stride_x + y * stride_y + c * stride_c]. data NULL: the output has no planes.
struct cs_job_plane {
    const float *data;
    int images, width, height, channels;
    ptrdiff_t stride_n, stride_x, stride_y, stride_c;
};
// Of a value N, C, H, W of floats, with its strides in that order (NULL: dense row-major); without
// planes otherwise.
struct cs_job_plane cs_job_plane_of(const struct cs_value *value, const void *data,
                                    const int64_t *stride);

// Activation (softmax runs over all channels of the output), placement back, quantisation; writes
// the job's part of its maps and sets job->nonfinite. planes: image 0 of each is the job's.
//
// Quantised values are clamped to 0..1 and rounded to the nearest step, halves to even; NaN
// becomes 0. job->nonfinite counts the raw values of the channels in out_from, in the part's area
// of the plane (cs_job_plane_area). CS_ACT_LOGITS looks at all channels of the plane.
//
// Rows are shared out among the OpenMP threads of the caller; the result does not depend on
// their number. Allocates nothing. The part lies in the map, its area in the planes.
void cs_job_finish(struct cs_job *job, const struct cs_job_plane *planes);

// The first n jobs of a batch; planes: of the first `count` outputs of the graph. CS_EMODEL where a
// job asks for an image or a channel that its output has not.
int cs_job_finish_batch(struct cs_job *jobs, int n, const struct cs_job_plane *planes, int count,
                        struct cs_err *err);

#endif
