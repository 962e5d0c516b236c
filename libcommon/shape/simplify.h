// SPDX-License-Identifier: MIT
// Outlines with fewer vertices, still without crossings.
#ifndef CS_SHAPE_SIMPLIFY_H
#define CS_SHAPE_SIMPLIFY_H

#include "shape/contours.h"

// Leave out vertices of each object's rings, those that form the smallest triangles first, as long
// as
// - every vertex left out lies at most tolerance_px from the edge that replaces it,
// - the triangle of a vertex and its neighbours holds no other vertex of the object, nor does the
//   edge that replaces it exist already (between two points where rings touch),
// - a ring keeps 4 vertices.
// The second rule keeps rings from crossing themselves or each other: an edge can only come into
// the triangle with a vertex. Points where rings touch stay. CS_ENOMEM leaves contours as they are.
int cs_contours_simplify(struct cs_contours *contours, uint32_t objects, double tolerance_px,
                         struct cs_err *err);

#endif
