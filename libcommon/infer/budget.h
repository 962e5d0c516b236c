// SPDX-License-Identifier: MIT
// The memory of a run (--memory), shared out: three quarters for the worker process, a quarter for
// the images on their way. An image that exceeds the quarter travels alone, in the scratch folder.
//
// On a device with memory of its own the worker's share is what that device may use, and half of
// --memory is for images.
//
// What a plane will need is estimated from the plans of a small one and, where that is much, of one
// as large as tiles are, so that batches and tiles follow from sizes alone; the session holds the
// worker to its share by what is really there.
#ifndef CS_INFER_BUDGET_H
#define CS_INFER_BUDGET_H

#include "infer/batcher.h"

void cs_budget_init(struct cs_recipe *recipe, uint64_t memory);
// CS_ENOMEM when not even one small plane would fit.
int cs_budget_check(const struct cs_recipe *recipe, struct cs_err *err);

// The slots, at most the recipe's, that can each run `count` planes of this size; 0: none.
int cs_budget_slots(const struct cs_recipe *recipe, int count, uint32_t width, uint32_t height);
// CS_ENOMEM: what a plane of this size needs, and what --memory would do; `also`: what else would,
// or "". Returns -1.
int cs_budget_refuse(const struct cs_recipe *recipe, uint32_t width, uint32_t height,
                     const char *also, struct cs_err *err);

#endif
