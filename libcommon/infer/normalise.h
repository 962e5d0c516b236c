// SPDX-License-Identifier: MIT
// A package's preprocessing on one image: statistics of the whole image become, for each channel
// of the network, one scale and shift and one clamp, which the backend applies (backend/job.h).
// Percentiles are those of numpy (linear interpolation between order statistics), exact for every
// sample type that a job carries.
#ifndef CS_INFER_NORMALISE_H
#define CS_INFER_NORMALISE_H

#include "backend/job.h"
#include "model/package.h"

// Whether the steps can be expressed at all; CS_EMODEL names the step that cannot. Asked once at
// load, so that no image fails for it. `channels`: of the network's input.
int cs_normalise_check(const struct cs_tensor_spec *input, int channels, struct cs_err *err);

// The activation that the package's postprocessing asks for. binarize stays to cs-postprocess:
// *threshold is its threshold, NAN without. CS_EMODEL names a step that is not supported here.
int cs_postprocessing_check(const struct cs_tensor_spec *output, enum cs_activation *activation,
                            double *threshold, struct cs_err *err);

// Which image channel each channel of the network reads: fills job->from. CS_EINPUT when the
// image's channels do not fit the network's.
int cs_normalise_channels(const struct cs_package *package, int channels, int image_channels,
                          struct cs_job *job, struct cs_err *err);

// Statistics of the image that the job describes (pixels, size, dtype, from): fills scale, shift,
// low and high. CS_EINPUT for samples that are not finite.
int cs_normalise_job(const struct cs_tensor_spec *input, int channels, struct cs_job *job,
                     struct cs_err *err);

// Sample types of jobs: u8, u16 and f32. Others are converted to f32 (64-bit and 32-bit samples
// round to 24 bits).
enum cs_dtype cs_job_dtype(enum cs_dtype dtype);
// Copy all samples of the image to `out` in the job's type.
void cs_job_convert(const struct cs_image *image, void *out);

#endif
