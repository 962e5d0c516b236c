// SPDX-License-Identifier: MIT
// Measurements of the objects of a label image, from the raster, with the names and definitions of
// scikit-image's regionprops (0.26). Lengths in pixels; pixel centres have whole coordinates.
#ifndef CS_SHAPE_MEASURE_H
#define CS_SHAPE_MEASURE_H

#include "shape/regions.h"

struct cs_measures {
    uint32_t label;
    uint64_t area, area_bbox, area_convex, area_filled;
    uint32_t bbox[4];   // first row, first column, last row + 1, last column + 1
    double centroid[2]; // row, column
    double axis_major_length, axis_minor_length, eccentricity, orientation;
    double equivalent_diameter_area, extent, feret_diameter_max, perimeter, perimeter_crofton,
        solidity;
    int64_t euler_number;
};

struct cs_intensity {
    double mean, min, max;
};

// Zero-initialise; release with cs_measure_table_release.
struct cs_measure_table {
    uint32_t first, count;          // objects of the regions, in their order: from `first` on
    struct cs_measures *items;      // count of them
    uint16_t channels;              // 0 where no image was given
    struct cs_intensity *intensity; // count x channels
};

// image: of the same size, any type; NULL: no intensities. Linear in the number of pixels.
// CS_EINPUT: sizes differ; CS_ENOMEM.
int cs_measure_objects(struct cs_measure_table *table, const struct cs_regions *regions,
                       const struct cs_image *image, struct cs_err *err);
// Of objects first to end - 1 only.
int cs_measure_some(struct cs_measure_table *table, const struct cs_regions *regions,
                    const struct cs_image *image, uint32_t first, uint32_t end, struct cs_err *err);
void cs_measure_table_release(struct cs_measure_table *table);

// ---- The parts, for one object each ------------------------------------------------------------

// Area of the convex hull as scikit-image counts it, pixels whose centre lies in the hull of all
// pixels' edge midpoints, and the largest distance between two edge midpoints of that hull image.
// `work` holds cs_hull_work_bytes of the object.
struct cs_hull {
    uint64_t area;
    double feret_max;
};
size_t cs_hull_work_bytes(uint32_t rows);
void cs_hull_measure(struct cs_hull *hull, const struct cs_run *runs, const uint32_t *order,
                     size_t count, void *work);

// Pixels of holes: background that no 8-connected way leads out of. work: count + 1 words.
uint64_t cs_holes_area(const struct cs_run *runs, const uint32_t *order, size_t count,
                       uint32_t *work);

#endif
