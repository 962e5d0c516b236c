// SPDX-License-Identifier: MIT
// Erosion and dilation by a disc are thresholds of the exact distance transform; opening and
// closing are two of them. Holes are components of background runs.
#include "segment/morph.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "image/runs.h"
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

// What a region of background borders on.
enum { OWNER_NONE = 0, OWNER_OPEN = UINT32_MAX }; // no plane has a label of UINT32_MAX objects

static void meet(uint32_t *owner, uint32_t value)
{
    if (!value || *owner == value)
        return;
    *owner = *owner == OWNER_NONE ? value : OWNER_OPEN;
}

static void meet_row(uint32_t *owner, const struct cs_image *labels, uint32_t y, uint32_t first,
                     uint32_t end)
{
    size_t row = (size_t)y * labels->width;
    for (uint32_t x = first; x < end; x++)
        meet(owner, cs_plane_at(labels, row + x));
}

static void find_owners(uint32_t *owner, const struct cs_image *labels, const struct cs_runs *holes,
                        uint32_t reach)
{
    for (size_t i = 0; i < holes->count; i++) {
        const struct cs_run *run = &holes->items[i];
        uint32_t *o = &owner[run->component];
        if (run->row == 0 || run->row + 1 == labels->height || run->first == 0 ||
            run->end == labels->width) {
            *o = OWNER_OPEN;
            continue;
        }
        meet_row(o, labels, run->row - 1, run->first - reach, run->end + reach);
        meet_row(o, labels, run->row + 1, run->first - reach, run->end + reach);
        meet_row(o, labels, run->row, run->first - 1, run->first);
        meet_row(o, labels, run->row, run->end, run->end + 1);
    }
}

static void fill_run(struct cs_image *labels, const struct cs_run *run, uint32_t value)
{
    size_t row = (size_t)run->row * labels->width;
    for (uint32_t x = run->first; x < run->end; x++) {
        if (labels->dtype == CS_U8)
            ((uint8_t *)labels->data)[row + x] = (uint8_t)value;
        else if (labels->dtype == CS_U16)
            ((uint16_t *)labels->data)[row + x] = (uint16_t)value;
        else
            ((uint32_t *)labels->data)[row + x] = value;
    }
}

int cs_morph_fill_holes(struct cs_image *labels, int connectivity, const struct cs_scratch *scratch,
                        struct cs_err *err)
{
    struct cs_runs holes = {0};
    struct cs_big owners = {0};
    int status = cs_runs_find(&holes, labels, CS_RUNS_BACKGROUND, connectivity == 8 ? 4 : 8,
                              scratch->spill_bytes, scratch->dir, err);
    if (status == 0)
        status = cs_big_init(&owners, ((size_t)holes.components + 1) * sizeof(uint32_t),
                             scratch->spill_bytes, scratch->dir, err);
    if (status == 0) {
        uint32_t *owner = owners.data;
        find_owners(owner, labels, &holes, connectivity == 8 ? 0 : 1);
        for (size_t i = 0; i < holes.count; i++) {
            uint32_t value = owner[holes.items[i].component];
            if (value != OWNER_NONE && value != OWNER_OPEN)
                fill_run(labels, &holes.items[i], value);
        }
    }
    cs_big_release(&owners);
    cs_runs_release(&holes);
    return status;
}
