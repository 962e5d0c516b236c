// SPDX-License-Identifier: MIT
// What becomes of the works of a run that is over: done, run again, waiting for the device's word,
// or given up, with their images. All by the first thread.
#ifndef CS_INFER_WORKS_H
#define CS_INFER_WORKS_H

#include "infer/pipeline.h"
#include "infer/retry.h"

// The worker computed this run. Works whose values are not finite are run once more, carefully.
void cs_works_done(struct cs_pipeline *pipeline, struct cs_lane *lane,
                   const struct cs_flight *flight, const struct cs_wire_done *done);
// It did not: each work is run again, in smaller runs or alone, or its image fails with `why`.
void cs_works_failed(struct cs_pipeline *pipeline, struct cs_lane *lane,
                     const struct cs_flight *flight, const struct cs_failure *failure,
                     const struct cs_err *why);
// The device works: the images at which it failed too often are at fault.
void cs_works_give_up(struct cs_pipeline *pipeline, const struct cs_lane *lane);
// The device did not work: what failed there last is not the images' fault.
void cs_works_forgive(struct cs_pipeline *pipeline, const struct cs_lane *lane);

#endif
