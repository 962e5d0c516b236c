// SPDX-License-Identifier: MIT
// Objects: from a mask to a plane of labels, and the filters that work on whole objects.
#ifndef CS_SEGMENT_OBJECTS_H
#define CS_SEGMENT_OBJECTS_H

#include "segment/mask.h"

// Label the connected components of a mask (connectivity 4 or 8) with 1..*count in raster order
// of each component's first pixel. Initialises labels (u32): release with cs_image_release.
int cs_objects_label(struct cs_image *labels, uint32_t *count, const struct cs_image *mask,
                     int connectivity, const struct cs_scratch *scratch, struct cs_err *err);

// Label a mask and split touching objects by a persistence watershed on the relief (u16, same
// size): the mask's pixels are taken in decreasing relief, equal ones in raster order. A pixel
// without neighbours among those taken starts a component, whose peak it is. Otherwise, of the
// components that it touches, the one with the highest peak (of equal peaks the first in raster
// order) takes in each other one whose peak rises less than `depth` above the pixel, or is less
// than `least_peak`; then the pixel joins the component of its highest neighbour (of equal
// neighbours the first in raster order). What is separate in the end is an object.
// depth and least_peak are in steps of the relief. Labels as above.
int cs_objects_split(struct cs_image *labels, uint32_t *count, const struct cs_image *mask,
                     const struct cs_image *relief, uint32_t depth, uint32_t least_peak,
                     int connectivity, const struct cs_scratch *scratch, struct cs_err *err);

struct cs_object_filter {
    uint64_t min_area, max_area; // px; max_area 0: no limit
    bool clear_border;           // drop objects with a pixel on the image's edge
};

// Drop objects and number the rest 1..*count in raster order of their first pixels.
int cs_objects_filter(struct cs_image *labels, uint32_t *count,
                      const struct cs_object_filter *filter, struct cs_err *err);

// Labels of type u32 become u16 in place when count <= 65535.
void cs_objects_narrow(struct cs_image *labels, uint32_t count);

#endif
