// SPDX-License-Identifier: MIT
// Erosion and dilation by a disc are thresholds of the exact distance transform; opening and
// closing are two of them.
#include "segment/morph.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "segment/edt.h"

// Keep the mask's pixels that are further than the radius from all zeros.
static int erode(struct cs_image *mask, double radius, const struct cs_scratch *scratch,
                 struct cs_err *err)
{
    struct cs_image squared = {0};
    if (cs_edt_squared(&squared, mask, CS_EDT_TO_BACKGROUND, scratch, err) != 0)
        return -1;
    size_t n = (size_t)mask->width * mask->height;
    const uint32_t *d = squared.data;
    uint8_t *m = mask->data;
    for (size_t i = 0; i < n; i++)
        m[i] = d[i] > radius * radius;
    cs_image_release(&squared);
    return 0;
}

// Add the pixels that are at most the radius away from a pixel of the mask.
static int dilate(struct cs_image *mask, double radius, const struct cs_scratch *scratch,
                  struct cs_err *err)
{
    struct cs_image squared = {0};
    if (cs_edt_squared(&squared, mask, CS_EDT_TO_FOREGROUND, scratch, err) != 0)
        return -1;
    size_t n = (size_t)mask->width * mask->height;
    const uint32_t *d = squared.data;
    uint8_t *m = mask->data;
    for (size_t i = 0; i < n; i++)
        m[i] = d[i] <= radius * radius;
    cs_image_release(&squared);
    return 0;
}

int cs_morph_open(struct cs_image *mask, double radius, const struct cs_scratch *scratch,
                  struct cs_err *err)
{
    if (erode(mask, radius, scratch, err) != 0)
        return -1;
    return dilate(mask, radius, scratch, err);
}

// Copy the small plane into the middle of the large one, or back.
static void copy_part(struct cs_image *large, struct cs_image *small, uint32_t margin, bool back)
{
    for (uint32_t y = 0; y < small->height; y++) {
        uint8_t *a = (uint8_t *)large->data + ((size_t)y + margin) * large->width + margin;
        uint8_t *b = (uint8_t *)small->data + (size_t)y * small->width;
        memcpy(back ? b : a, back ? a : b, small->width);
    }
}

// With a margin of background, so that what grows over the image's edge is seen when it shrinks.
int cs_morph_close(struct cs_image *mask, double radius, const struct cs_scratch *scratch,
                   struct cs_err *err)
{
    struct cs_image large = {0};
    uint32_t margin = (uint32_t)ceil(radius);
    if (margin > (UINT32_MAX - mask->width) / 2 || margin > (UINT32_MAX - mask->height) / 2)
        return cs_fail(err, CS_EINPUT, "closing by %g pixels: too large", radius);
    if (cs_image_init(&large, mask->width + 2 * margin, mask->height + 2 * margin, 1, CS_U8,
                      scratch->spill_bytes, scratch->dir, err) != 0)
        return -1;
    copy_part(&large, mask, margin, false);
    int status = dilate(&large, radius, scratch, err);
    if (status == 0)
        status = erode(&large, radius, scratch, err);
    if (status == 0)
        copy_part(&large, mask, margin, true);
    cs_image_release(&large);
    return status;
}
