// SPDX-License-Identifier: MIT
// The first thread's part of the pipeline: batches to the worker processes, one a device, and what
// becomes of them.
#ifndef CS_INFER_FLIGHTS_H
#define CS_INFER_FLIGHTS_H

#include "infer/pipeline.h"

int cs_flights_init(struct cs_pipeline *pipeline, struct cs_err *err);
void cs_flights_release(struct cs_pipeline *pipeline);
// End what is over its time, replace a worker that is gone, ask a device whether it works, and
// hand out works until every slot has a run. *wait_ms: when to come again if nothing happens
// before. -1: all devices are lost.
int cs_flights_tend(struct cs_pipeline *pipeline, int *wait_ms, struct cs_err *err);
// The lane's worker has something to say, or has died.
int cs_flights_hear(struct cs_pipeline *pipeline, struct cs_lane *lane, struct cs_err *err);

#endif
