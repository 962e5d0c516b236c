// SPDX-License-Identifier: MIT
// The objects of a label image: all pixels of one label are one object, connected or not.
#ifndef CS_SHAPE_REGIONS_H
#define CS_SHAPE_REGIONS_H

#include "image/runs.h"

// Zero-initialise; release with cs_regions_release. Objects are numbered 0, 1, 2... by ascending
// label; labels may have gaps and any value.
struct cs_regions {
    const struct cs_image *labels; // borrowed for the lifetime
    struct cs_runs runs;           // components: 4-connected pixels of one label
    uint32_t count;                // of objects
    uint32_t *label;               // of each object
    uint32_t *object_of;           // each component
    struct cs_run_groups objects;  // the runs of each object
};

// labels: one channel of u8, u16 or u32. CS_EINPUT, CS_ENOMEM, CS_EIO.
int cs_regions_init(struct cs_regions *regions, const struct cs_image *labels, size_t spill_bytes,
                    const char *scratch_dir, struct cs_err *err);
void cs_regions_release(struct cs_regions *regions);

#endif
