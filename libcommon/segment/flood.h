// SPDX-License-Identifier: MIT
// Splitting one connected component of a mask by a persistence watershed on a relief: the pixels
// are taken in decreasing relief, equal ones in raster order. A pixel without neighbours among
// those taken starts a basin, whose peak it is. Otherwise, of the basins that it touches, the one
// with the highest peak (of equal peaks the first in raster order) takes in each other one whose
// peak rises less than `depth` above the pixel, or is less than `least_peak`; then the pixel joins
// the basin of its highest neighbour (of equal neighbours the first in raster order). What is
// separate in the end is an object.
#ifndef CS_SEGMENT_FLOOD_H
#define CS_SEGMENT_FLOOD_H

#include "segment/mask.h"

// Pixels [first, end) of a row, and the relief at them.
struct cs_flood_run {
    uint32_t row, first, end;
    const uint16_t *relief;
};

// Memory that one component after the other is flooded in. Zero-initialise; release with
// cs_flood_release.
struct cs_flood {
    int connectivity;           // 4 or 8
    uint32_t depth, least_peak; // in steps of the relief
    struct cs_scratch scratch;
    struct cs_big pixels,
        cells; // arrays of an entry a pixel; the grid, zero between two components
};

// The runs of one component, in raster order; names: one a pixel, in the same order, 1..*count in
// raster order of each object's first pixel; borrowed until the next call. CS_ENOMEM, CS_EIO.
int cs_flood_part(struct cs_flood *flood, const struct cs_flood_run *runs, size_t run_count,
                  const uint32_t **names, uint32_t *count, struct cs_err *err);
void cs_flood_release(struct cs_flood *flood);

#endif
