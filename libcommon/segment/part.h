// SPDX-License-Identifier: MIT
// One connected component of a mask after the other becomes objects: split, holes filled, small
// ones dropped. Linear in its runs and pixels, whatever its shape.
#ifndef CS_SEGMENT_PART_H
#define CS_SEGMENT_PART_H

#include "segment/flood.h"
#include "segment/sweep.h"

struct cs_object_filter {
    uint64_t min_area, max_area; // px; max_area 0: no limit
    bool clear_border;           // drop objects with a pixel on the image's edge
};

struct cs_part_rule {
    uint32_t width, height; // of the image
    int connectivity;       // 4 or 8
    bool split;             // by a flood of the relief (flood.h)
    uint32_t depth, least_peak;
    // Give each hole to its object: background that does not touch the image's edge and borders on
    // one label only. Where nothing is split, what lies in a hole becomes part of the object.
    // Connectivity 8 means that holes are 4-connected, 4 that they are 8-connected.
    bool fill_holes;
    struct cs_object_filter filter;
    struct cs_scratch scratch;
};

// Memory for one component after the other. Zero-initialise but for the rule; release with
// cs_parts_release.
struct cs_parts {
    struct cs_part_rule rule;
    struct cs_flood flood;
    struct cs_big runs, tables;
};

// Put the objects of a component to its sweep. CS_ENOMEM, CS_EIO.
int cs_parts_put(struct cs_parts *parts, struct cs_sweep *sweep, const struct cs_sweep_part *part,
                 struct cs_err *err);
void cs_parts_release(struct cs_parts *parts);

#endif
