// SPDX-License-Identifier: MIT
// One connected component of a mask becomes objects: split, holes filled, small ones dropped.
#ifndef CS_SEGMENT_PART_H
#define CS_SEGMENT_PART_H

#include "segment/objects.h"
#include "segment/sweep.h"

struct cs_part_rule {
    uint32_t width, height; // of the image
    int connectivity;
    bool split;
    bool distance; // on the distance to the background; else on the relief that the runs bring
    uint32_t depth, least_peak;
    bool fill_holes;
    struct cs_object_filter filter;
    struct cs_scratch scratch;
};

// Splits as cs_objects_split does over the whole plane, and fills holes as cs_morph_fill_holes
// does: of the mask where nothing is split (what lies in a hole becomes part of the object), else
// of each label. CS_ENOMEM, CS_EIO.
int cs_part_objects(struct cs_sweep *sweep, const struct cs_sweep_part *part,
                    const struct cs_part_rule *rule, struct cs_err *err);

#endif
