// SPDX-License-Identifier: MIT
// What the parameters of postprocessing mean for one item: inside this folder only.
#ifndef CS_SEGMENT_POST_PLAN_H
#define CS_SEGMENT_POST_PLAN_H

#include "segment/part.h"
#include "segment/postprocess.h"

struct cs_post_plan {
    uint16_t foreground; // map that is thresholded
    int relief;          // map that is flooded, or of boundaries; -1: none
    bool distance;       // the flood is that of the mask's distance transform
    struct cs_part_rule rule;
};

// CS_EINPUT: no such map, an area in um2 without a pixel size.
int cs_post_plan(const struct cs_post *post, const struct cs_post_item *item,
                 struct cs_post_plan *plan, struct cs_err *err);

#endif
