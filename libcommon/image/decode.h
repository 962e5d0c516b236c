// SPDX-License-Identifier: MIT
// The rows of one item of a plan: pages read in bands, converted, cropped, projected along z, and
// their channels put together. Memory follows the band, not the height, except where a page has to
// be decoded whole (see codec.h).
#ifndef CS_IMAGE_DECODE_H
#define CS_IMAGE_DECODE_H

#include "image/plan.h"

struct cs_decode {
    const struct cs_plan *plan;
    struct cs_plan_item item;
    uint32_t next_row;            // of the area that is given out
    uint32_t file, page;          // the codec's current page; CS_NO_PAGE none yet
    struct cs_source other;       // where that is another file of the set
    const struct cs_source *from; // the plan's source, or `other`
    void *stored, *plain;         // one band of a page, before and after the conversion
    double *sums;                 // of a mean
    size_t stored_bytes, plain_bytes, sums_bytes;
    uint32_t most_rows; // that the source's room has space for at once
};

// Item n of the plan (borrowed until the release). The result has the plan's width, height and
// channel_count, and its conversion's dtype. CS_ENOMEM: beyond the source's room.
int cs_decode_init(struct cs_decode *decode, const struct cs_plan *plan, uint32_t n,
                   struct cs_err *err);
// A good number of rows for a band of about `bytes` bytes: whole strips or tiles, and no more than
// there is room for.
uint32_t cs_decode_band_rows(const struct cs_decode *decode, size_t bytes);
// The next rows into out. CS_EINPUT: broken samples, or pages that differ from each other.
// CS_ENOMEM: a page that takes more than the first one, and than there is.
int cs_decode_rows(struct cs_decode *decode, uint32_t rows, void *out, struct cs_err *err);
void cs_decode_release(struct cs_decode *decode); // accepts a zeroed struct

#endif
