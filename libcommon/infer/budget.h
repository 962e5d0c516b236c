// SPDX-License-Identifier: MIT
// The memory of a run (--memory), shared out: three quarters for the worker process, a quarter for
// the images on their way. An image that exceeds the quarter travels alone, and what it has is
// taken from the worker's share.
//
// On a device with memory of its own the worker's share is what that device may use, and half of
// --memory is for images.
//
// What a plane will need is estimated from the plan of a small one, so that batches and tiles
// follow from sizes alone; the session holds the worker to its share by what is really there.
#ifndef CS_INFER_BUDGET_H
#define CS_INFER_BUDGET_H

#include "infer/batcher.h"

void cs_budget_init(struct cs_recipe *recipe, uint64_t memory);
// CS_ENOMEM when not even one small plane would fit.
int cs_budget_check(const struct cs_recipe *recipe, struct cs_err *err);

// Bytes of planes that an item may have.
uint64_t cs_budget_item(const struct cs_recipe *recipe);
// Bytes for the worker beside an image of so many bytes; maps are those that it will get.
// CS_ENOMEM when nothing can be computed beside it.
int cs_budget_beside(const struct cs_recipe *recipe, uint32_t width, uint32_t height, size_t pixels,
                     size_t maps, uint64_t *budget, struct cs_err *err);
// The slots, at most the recipe's, that can each run `count` planes of this size; 0: none.
int cs_budget_slots(const struct cs_recipe *recipe, uint64_t budget, int count, uint32_t width,
                    uint32_t height);
// CS_ENOMEM: what a plane of this size needs, and what --memory would do; `also`: what else would,
// or "". Returns -1.
int cs_budget_refuse(const struct cs_recipe *recipe, uint64_t budget, uint32_t width,
                     uint32_t height, const char *also, struct cs_err *err);

#endif
