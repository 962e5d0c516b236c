// SPDX-License-Identifier: MIT
// The objects of a label image: all pixels of one label are one object, connected or not.
#ifndef CS_SHAPE_REGIONS_H
#define CS_SHAPE_REGIONS_H

#include "image/runs.h"

// Zero-initialise; release with cs_regions_release. Objects are numbered 0, 1, 2... by ascending
// label; labels may have gaps and any value.
struct cs_regions {
    uint32_t width, height;       // of the label image
    struct cs_runs runs;          // components: 4-connected pixels of one label
    uint32_t count;               // of objects
    uint32_t *label;              // of each object
    uint32_t *object_of;          // each component
    struct cs_run_groups objects; // the runs of each object
};

// Pixels [left, right) of rows [top, bottom).
struct cs_extent {
    uint32_t top, bottom, left, right;
};

// labels: one channel of u8, u16 or u32. CS_EINPUT, CS_ENOMEM, CS_EIO.
int cs_regions_init(struct cs_regions *regions, const struct cs_image *labels, size_t spill_bytes,
                    const char *scratch_dir, struct cs_err *err);
// The same in bands, in order, from a zeroed struct; cs_regions_finish after the last one.
int cs_regions_add(struct cs_regions *regions, const struct cs_image *band, uint32_t first_row,
                   size_t spill_bytes, const char *scratch_dir, struct cs_err *err);
int cs_regions_finish(struct cs_regions *regions, size_t spill_bytes, const char *scratch_dir,
                      struct cs_err *err);
// The k-th run of an object.
static inline const struct cs_run *cs_region_run(const struct cs_regions *r, uint32_t object,
                                                 size_t k)
{
    return &r->runs.items[r->objects.order[r->objects.start[object] + k]];
}
size_t cs_region_runs(const struct cs_regions *regions, uint32_t object); // how many
struct cs_extent cs_region_extent(const struct cs_regions *regions, uint32_t object);
// Objects before this one will not be looked at any more: their pages may go (cs_big_forget).
void cs_regions_forget(const struct cs_regions *regions, uint32_t object);
void cs_regions_release(struct cs_regions *regions);

#endif
