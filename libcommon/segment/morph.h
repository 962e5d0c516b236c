// SPDX-License-Identifier: MIT
// Morphology of masks by a disc, and holes. Linear time whatever the radius.
#ifndef CS_SEGMENT_MORPH_H
#define CS_SEGMENT_MORPH_H

#include "segment/mask.h"

// Opening and closing, in place, by the disc of all offsets with dx^2 + dy^2 <= radius^2. What is
// outside the image does not count as background when opening, so that an object is not opened
// from the image's edge, nor as an object when closing.
int cs_morph_open(struct cs_image *mask, double radius, const struct cs_scratch *scratch,
                  struct cs_err *err);
int cs_morph_close(struct cs_image *mask, double radius, const struct cs_scratch *scratch,
                   struct cs_err *err);

// Give each hole to its object: a connected region of zeros that does not touch the image's edge
// and borders on pixels of one value only takes that value. For a mask this fills all that is
// enclosed; for labels a gap between several objects stays open. `connectivity` is that of the
// objects: 8 means holes are 4-connected, 4 that they are 8-connected. Types u8, u16, u32.
int cs_morph_fill_holes(struct cs_image *labels, int connectivity, const struct cs_scratch *scratch,
                        struct cs_err *err);

#endif
