// SPDX-License-Identifier: MIT
// Morphology of masks by a disc. Linear time whatever the radius.
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

#endif
