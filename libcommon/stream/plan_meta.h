// SPDX-License-Identifier: MIT
// What a stream says of an item (cs-stream(5)), from the plan of its file.
#ifndef CS_STREAM_PLAN_META_H
#define CS_STREAM_PLAN_META_H

#include "base/meta.h"
#include "image/plan.h"

// Item n's place on the axes of its file, and how many items that gives.
void cs_plan_meta_item(struct cs_meta *begin, const struct cs_plan *plan, uint32_t n);
// Channels, pixel size and conversion: known once the item's page is described (cs_plan_start);
// nothing before.
void cs_plan_meta_page(struct cs_meta *begin, const struct cs_plan *plan);

#endif
