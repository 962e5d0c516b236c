// SPDX-License-Identifier: MIT
// Two passes: distances along columns, then along each row the lower envelope of the parabolas
// that these stand for. Integers throughout, so the result is exact.
// A. Meijster, J. Roerdink, W. Hesselink, "A general algorithm for computing distance transforms
// in linear time", Mathematical Morphology and its Applications (2000); the same envelope is in
// P. Felzenszwalb, D. Huttenlocher, "Distance transforms of sampled functions" (2004/2012).
#include "segment/edt.h"

#include <stdlib.h>

enum { FAR_ROWS = 65535 }; // its square still fits 32 bits

static uint32_t one_further(uint32_t rows)
{
    return rows < FAR_ROWS ? rows + 1 : FAR_ROWS;
}

// g = rows to the nearest target in the same column, FAR_ROWS at most.
static void along_columns(uint32_t *g, const struct cs_image *mask, enum cs_edt_to target)
{
    const uint8_t *m = mask->data;
    size_t width = mask->width, n = width * mask->height;
    for (size_t i = 0; i < n; i++) {
        if ((m[i] != 0) == (target == CS_EDT_TO_FOREGROUND))
            g[i] = 0;
        else
            g[i] = i < width ? FAR_ROWS : one_further(g[i - width]);
    }
    for (size_t i = n; i-- > 0;) {
        uint32_t below = i + width < n ? one_further(g[i + width]) : FAR_ROWS;
        if (below < g[i])
            g[i] = below;
    }
}

// One parabola of the envelope: centre, squared height there, first column where it is lowest.
struct parabola {
    int64_t centre, height, from;
};

static int64_t value_at(const struct parabola *p, int64_t x)
{
    return (x - p->centre) * (x - p->centre) + p->height;
}

static void along_row(uint32_t *row, uint32_t width, struct parabola *envelope)
{
    int64_t q = -1;
    for (uint32_t x = 0; x < width; x++) {
        if (row[x] >= FAR_ROWS)
            continue;
        struct parabola p = {x, (int64_t)row[x] * row[x], 0};
        while (q >= 0 && value_at(&envelope[q], envelope[q].from) > value_at(&p, envelope[q].from))
            q--;
        if (q >= 0) {
            // The last column where the earlier parabola is not above the new one.
            const struct parabola *e = &envelope[q];
            int64_t last = (p.centre * p.centre - e->centre * e->centre + p.height - e->height) /
                           (2 * (p.centre - e->centre));
            p.from = last + 1;
        }
        if (p.from < width)
            envelope[++q] = p;
    }
    if (q < 0) {
        for (uint32_t x = 0; x < width; x++)
            row[x] = CS_EDT_FAR;
        return;
    }
    for (uint32_t x = width; x-- > 0;) {
        int64_t d = value_at(&envelope[q], x);
        row[x] = d < CS_EDT_FAR ? (uint32_t)d : CS_EDT_FAR;
        if (envelope[q].from == x && q > 0)
            q--;
    }
}

int cs_edt_squared(struct cs_image *squared, const struct cs_image *mask, enum cs_edt_to target,
                   const struct cs_scratch *scratch, struct cs_err *err)
{
    struct parabola *envelope = cs_alloc(mask->width, sizeof *envelope, "distance transform", err);
    if (!envelope)
        return -1;
    int status = cs_image_init(squared, mask->width, mask->height, 1, CS_U32, scratch->spill_bytes,
                               scratch->dir, err);
    if (status == 0) {
        along_columns(squared->data, mask, target);
        for (uint32_t y = 0; y < mask->height; y++)
            along_row((uint32_t *)squared->data + (size_t)y * mask->width, mask->width, envelope);
    }
    free(envelope);
    return status;
}
