// SPDX-License-Identifier: MIT
// The exact Euclidean distance transform of a mask, in linear time.
#ifndef CS_SEGMENT_EDT_H
#define CS_SEGMENT_EDT_H

#include "segment/mask.h"

enum cs_edt_to { CS_EDT_TO_BACKGROUND, CS_EDT_TO_FOREGROUND };

// The squared distance of each pixel to the centre of the nearest pixel of the mask that is zero
// (or not zero), in square pixels; CS_EDT_FAR where there is none, or where it lies 65535 rows or
// more away. What is outside the image is neither. Initialises squared (u32): release with
// cs_image_release.
#define CS_EDT_FAR UINT32_MAX
int cs_edt_squared(struct cs_image *squared, const struct cs_image *mask, enum cs_edt_to target,
                   const struct cs_scratch *scratch, struct cs_err *err);

#endif
