// SPDX-License-Identifier: MIT
// Outlines of the objects of a label image, along pixel edges.
//
// Convention: vertices are pixel corners in image coordinates, x to the right and y down; pixel
// (x, y) is the square from (x, y) to (x + 1, y + 1), so the area of a polygon is its number of
// pixels. Outer rings run clockwise as seen on the screen, holes counterclockwise: the object is on
// the right hand. (With y read upwards that is the order of RFC 7946, outer rings
// counterclockwise.) Vertices are at turns only; the first is not repeated at the end.
//
// An object is all pixels of one label. Each of its 4-connected parts is one polygon, with one
// outer ring and its holes; pixels that touch at a corner only are different polygons, or a hole
// that touches a ring at one point. So no ring meets itself, and the polygons of an object are a
// valid MultiPolygon in the sense of OGC Simple Features. Islands in holes are polygons.
#ifndef CS_SHAPE_CONTOURS_H
#define CS_SHAPE_CONTOURS_H

#include "shape/regions.h"

struct cs_point {
    int32_t x, y;
};

struct cs_ring {
    size_t first; // index into points
    uint32_t count;
    uint32_t polygon;
    bool hole;
};

struct cs_polygon {
    size_t first; // index into rings: the outer ring, then the holes
    uint32_t count;
    uint32_t component; // of the regions
};

// Zero-initialise; release with cs_contours_release.
struct cs_contours {
    struct cs_point *points;
    size_t point_count, point_capacity;
    struct cs_ring *rings;
    size_t ring_count, ring_capacity;
    struct cs_polygon *polygons; // by object, then in raster order
    size_t polygon_count, polygon_capacity;
    size_t *object_start; // polygons of object o: object_start[o] to object_start[o + 1] - 1
};

// Linear in the number of pixels. CS_ENOMEM.
int cs_contours_trace(struct cs_contours *contours, const struct cs_regions *regions,
                      struct cs_err *err);
// Of objects first to end - 1 only: they are objects 0, 1, 2... of the contours. An object that is
// larger than spill_bytes is traced in scratch_dir (mem.h).
int cs_contours_trace_some(struct cs_contours *contours, const struct cs_regions *regions,
                           uint32_t first, uint32_t end, size_t spill_bytes,
                           const char *scratch_dir, struct cs_err *err);
void cs_contours_release(struct cs_contours *contours);

// Twice the area of a ring: positive for outer rings, negative for holes.
int64_t cs_ring_area2(const struct cs_point *points, size_t count);

#endif
