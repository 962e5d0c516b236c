// SPDX-License-Identifier: MIT
// Between the files of the plan.
#ifndef CS_IMAGE_PLAN_INSIDE_H
#define CS_IMAGE_PLAN_INSIDE_H

#include "image/plan.h"

// The positions on an axis (t, z or c) at which the series has any plane, in order. Caller frees.
uint32_t *cs_plan_present(const struct cs_series *s, char axis, uint32_t *count);
// Fill plan->channels and plan->rgb (plan_channels.c). CS_EINPUT: no such channel, or a choice that
// the user did not make.
int cs_plan_choose_channels(struct cs_plan *plan, const struct cs_pick *pick, struct cs_err *err);

#endif
