// SPDX-License-Identifier: MIT
// A picture for people: the image, contrast-stretched to 8 bits, with the outline of each object.
#ifndef CS_IMAGE_OVERLAY_H
#define CS_IMAGE_OVERLAY_H

#include "base/err.h"
#include "image/image.h"

// *rgb becomes an 8-bit RGB image of the same size; caller releases it. Three channels are shown
// as colour, one as grey, any other number as the grey mean. The darkest 1 % of the samples become
// black, the brightest 0.2 % white. Outlines lie inside their objects; objects that touch have
// different colours. labels: one channel of an unsigned type, of the image's size (CS_EINPUT
// otherwise); NULL for no outlines.
int cs_overlay_draw(const struct cs_image *image, const struct cs_image *labels,
                    struct cs_image *rgb, struct cs_err *err);

#endif
