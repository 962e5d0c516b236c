// SPDX-License-Identifier: MIT
// Postprocessing of an item as its rows come. Opening and closing work on a window of rows with as
// many more on both sides as they look at, so that the rows in the middle are those of the whole
// plane.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "segment/morph.h"
#include "segment/post_plan.h"

enum { BAND_BYTES = 4 << 20 };

struct cs_post_run {
    const struct cs_post *post;
    struct cs_post_plan plan;
    struct cs_parts parts;
    struct cs_image shape; // of the probabilities
    struct cs_scratch scratch;
    struct cs_sweep *sweep;
    uint32_t next_row; // that comes

    // Rows [window_first, next_row) of mask and relief, where the mask is opened or closed.
    struct cs_image mask, relief;
    uint32_t window_first, window_rows;
    uint32_t margin; // rows that opening and closing look at
    uint32_t swept;  // rows that the sweep has

    // Rows of labels that are final while their type is not: spans one row after the other.
    struct cs_sweep_span *held;
    size_t held_count, held_capacity;
    uint32_t *held_rows; // spans of each
    uint32_t held_row_count, held_row_capacity;
    bool wide; // labels are u32, and nothing is held

    struct cs_image band; // being filled
    uint32_t band_first, band_rows;
    cs_post_band_fn *give;
    void *context;
};

// ---- Labels out ----------------------------------------------------------------------------

static int give_band(struct cs_post_run *r, struct cs_err *err)
{
    if (!r->band_rows)
        return 0;
    struct cs_image part = r->band;
    part.height = r->band_rows;
    int status = r->give(&part, r->band_first, r->context, err);
    r->band_first += r->band_rows;
    r->band_rows = 0;
    return status;
}

static int put_row(struct cs_post_run *r, const struct cs_sweep_span *spans, uint32_t count,
                   struct cs_err *err)
{
    enum cs_dtype dtype = r->wide ? CS_U32 : CS_U16;
    uint32_t width = r->shape.width;
    if (!r->band.data) {
        uint64_t row = (uint64_t)width * cs_dtype_bytes(dtype);
        uint32_t rows = row < BAND_BYTES ? (uint32_t)(BAND_BYTES / row) : 1;
        rows = rows < r->shape.height ? rows : r->shape.height;
        if (cs_image_init(&r->band, width, rows, 1, dtype, 0, NULL, err) != 0)
            return -1;
    }
    size_t at = (size_t)r->band_rows * width;
    memset((char *)r->band.data + at * cs_dtype_bytes(dtype), 0, width * cs_dtype_bytes(dtype));
    for (uint32_t k = 0; k < count; k++) {
        uint32_t id = spans[k].id;
        if (r->wide)
            for (uint32_t x = spans[k].first; x < spans[k].end; x++)
                ((uint32_t *)r->band.data)[at + x] = id;
        else
            for (uint32_t x = spans[k].first; x < spans[k].end; x++)
                ((uint16_t *)r->band.data)[at + x] = (uint16_t)id;
    }
    return ++r->band_rows < r->band.height ? 0 : give_band(r, err);
}

static int put_held(struct cs_post_run *r, struct cs_err *err)
{
    const struct cs_sweep_span *spans = r->held;
    for (uint32_t y = 0; y < r->held_row_count; y++) {
        if (put_row(r, spans, r->held_rows[y], err) != 0)
            return -1;
        if (spans) // none at all: no span in any row
            spans += r->held_rows[y];
    }
    free(r->held);
    free(r->held_rows);
    r->held = NULL;
    r->held_rows = NULL;
    r->held_row_count = 0;
    return 0;
}

static void hold_row(struct cs_post_run *r, const struct cs_sweep_span *spans, uint32_t count)
{
    if (r->held_count + count > r->held_capacity) {
        r->held_capacity = r->held_capacity + r->held_capacity / 2 + count + 1024;
        r->held = cs_xrealloc(r->held, r->held_capacity, sizeof *r->held);
    }
    if (r->held_row_count == r->held_row_capacity) {
        r->held_row_capacity = r->held_row_capacity + r->held_row_capacity / 2 + 1024;
        r->held_rows = cs_xrealloc(r->held_rows, r->held_row_capacity, sizeof *r->held_rows);
    }
    if (count)
        memcpy(r->held + r->held_count, spans, count * sizeof *spans);
    r->held_count += count;
    r->held_rows[r->held_row_count++] = count;
}

static int on_row(uint32_t y, const struct cs_sweep_span *spans, uint32_t count, void *context,
                  struct cs_err *err)
{
    struct cs_post_run *r = context;
    (void)y;
    for (uint32_t k = 0; !r->wide && k < count; k++)
        r->wide = spans[k].id > UINT16_MAX;
    if (!r->wide) {
        hold_row(r, spans, count);
        return 0;
    }
    return put_held(r, err) != 0 ? -1 : put_row(r, spans, count, err);
}

static int on_part(struct cs_sweep *sweep, const struct cs_sweep_part *part, void *context,
                   struct cs_err *err)
{
    struct cs_post_run *r = context;
    return cs_parts_put(&r->parts, sweep, part, err);
}

// ---- Rows in -------------------------------------------------------------------------------

static int sweep_rows(struct cs_post_run *r, const struct cs_image *mask,
                      const struct cs_image *relief, uint32_t first, uint32_t rows,
                      struct cs_err *err)
{
    size_t width = r->shape.width;
    for (uint32_t y = first; y < first + rows; y++)
        if (cs_sweep_row(r->sweep, (const uint8_t *)mask->data + y * width,
                         relief->data ? (const uint16_t *)relief->data + y * width : NULL,
                         err) != 0)
            return -1;
    r->swept += rows;
    return 0;
}

// The mask opened and closed, in a copy.
static int clean(struct cs_post_run *r, struct cs_image *copy, struct cs_err *err)
{
    const struct cs_post *post = r->post;
    if (cs_image_init(copy, r->shape.width, r->next_row - r->window_first, 1, CS_U8,
                      r->scratch.spill_bytes, r->scratch.dir, err) != 0)
        return -1;
    memcpy(copy->data, r->mask.data, cs_image_bytes(copy));
    if (post->open_px > 0 && cs_morph_open(copy, post->open_px, &r->scratch, err) != 0)
        return -1;
    return post->close_px > 0 ? cs_morph_close(copy, post->close_px, &r->scratch, err) : 0;
}

// The window's mask as the sweep gets it, and the relief to go with it.
static int finish_window(struct cs_post_run *r, struct cs_image *mask, struct cs_image *relief,
                         struct cs_err *err)
{
    if (clean(r, mask, err) != 0)
        return -1;
    if (r->plan.distance)
        return cs_relief_distance(relief, mask, &r->scratch, err);
    *relief = r->relief;
    return 0;
}

// Sweep the rows of the full window that see all they need, and keep those that others need.
static int turn_window(struct cs_post_run *r, struct cs_err *err)
{
    struct cs_image copy = {0}, relief = {0};
    bool last = r->next_row == r->shape.height;
    uint32_t end = last ? r->next_row : r->next_row - r->margin;
    int status = finish_window(r, &copy, &relief, err);
    if (status == 0)
        status = sweep_rows(r, &copy, &relief, r->swept - r->window_first, end - r->swept, err);
    cs_image_release(&copy);
    if (r->plan.distance)
        cs_image_release(&relief);
    if (status != 0 || last)
        return status;
    uint32_t first = end > r->margin ? end - r->margin : 0;
    size_t width = r->shape.width, from = (first - r->window_first) * width;
    size_t count = (r->next_row - first) * width;
    memmove(r->mask.data, (uint8_t *)r->mask.data + from, count);
    if (r->relief.data)
        memmove(r->relief.data, (uint16_t *)r->relief.data + from, count * sizeof(uint16_t));
    r->window_first = first;
    return 0;
}

static int fill_window(struct cs_post_run *r, const struct cs_image *mask,
                       const struct cs_image *relief, struct cs_err *err)
{
    size_t width = r->shape.width;
    for (uint32_t y = 0; y < mask->height; y++) {
        size_t at = (r->next_row - r->window_first) * width;
        memcpy((uint8_t *)r->mask.data + at, (uint8_t *)mask->data + y * width, width);
        if (relief->data)
            memcpy((uint16_t *)r->relief.data + at, (uint16_t *)relief->data + y * width,
                   width * sizeof(uint16_t));
        r->next_row++;
        if ((r->next_row - r->window_first == r->window_rows || r->next_row == r->shape.height) &&
            turn_window(r, err) != 0)
            return -1;
    }
    return 0;
}

static int take_relief(struct cs_post_run *r, const struct cs_image *band, struct cs_image *relief,
                       struct cs_err *err)
{
    static const struct cs_scratch memory;
    if (r->plan.relief < 0)
        return 0;
    return r->post->split == CS_SPLIT_BOUNDARY
               ? cs_relief_boundary(relief, band, r->plan.foreground, (uint16_t)r->plan.relief,
                                    &memory, err)
               : cs_relief_channel(relief, band, (uint16_t)r->plan.relief, &memory, err);
}

int cs_post_rows(struct cs_post_run *r, const void *samples, uint32_t rows, struct cs_err *err)
{
    static const struct cs_scratch memory;
    struct cs_image mask = {0}, relief = {0}, band = r->shape;
    band.height = rows;
    band.data = (void *)(uintptr_t)samples;
    int status =
        cs_mask_threshold(&mask, &band, r->plan.foreground, r->post->threshold, &memory, err);
    if (status == 0)
        status = take_relief(r, &band, &relief, err);
    if (status == 0 && r->margin) {
        status = fill_window(r, &mask, &relief, err);
    } else if (status == 0) {
        r->next_row += rows;
        status = sweep_rows(r, &mask, &relief, 0, rows, err);
    }
    cs_image_release(&mask);
    cs_image_release(&relief);
    return status;
}

int cs_post_end(struct cs_post_run *r, uint32_t *count, struct cs_err *err)
{
    return cs_sweep_end(r->sweep, count, err) != 0 || put_held(r, err) != 0 ||
                   give_band(r, err) != 0
               ? -1
               : 0;
}

// ---- Open, close ---------------------------------------------------------------------------

// Opening looks twice its radius far, closing likewise, one after the other; and the relief of
// distances has a largest value.
static int open_window(struct cs_post_run *r, struct cs_err *err)
{
    enum { LEAST_ROWS = 256, MARGINS = 6 };
    r->margin = 2 * ((uint32_t)ceil(r->post->open_px) + (uint32_t)ceil(r->post->close_px));
    if (r->plan.distance)
        r->margin += CS_RELIEF_FAR_PX;
    if (!r->margin)
        return 0;
    r->margin++;
    r->window_rows = LEAST_ROWS + MARGINS * r->margin;
    if (r->window_rows > r->shape.height)
        r->window_rows = r->shape.height;
    size_t spill = r->scratch.spill_bytes;
    if (cs_image_init(&r->mask, r->shape.width, r->window_rows, 1, CS_U8, spill, r->scratch.dir,
                      err) != 0)
        return -1;
    return r->plan.relief < 0 ? 0
                              : cs_image_init(&r->relief, r->shape.width, r->window_rows, 1, CS_U16,
                                              spill, r->scratch.dir, err);
}

int cs_post_open(struct cs_post_run **run, const struct cs_post *post,
                 const struct cs_post_item *item, const struct cs_scratch *scratch,
                 cs_post_band_fn *give, void *context, struct cs_err *err)
{
    struct cs_post_run *r = *run = cs_xcalloc(1, sizeof *r);
    r->post = post;
    r->shape = *item->probability;
    r->shape.data = NULL;
    r->scratch = *scratch;
    r->give = give;
    r->context = context;
    if (cs_post_plan(post, item, &r->plan, err) != 0)
        return -1;
    r->parts.rule = r->plan.rule;
    r->parts.rule.scratch = *scratch;
    struct cs_sweep_how how = {.width = r->shape.width,
                               .height = r->shape.height,
                               .connectivity = post->connectivity,
                               .relief = r->plan.rule.split,
                               .bits = r->plan.rule.split && r->plan.rule.fill_holes,
                               .scratch = *scratch,
                               .part = on_part,
                               .row = on_row,
                               .context = r};
    return cs_sweep_open(&r->sweep, &how, err) != 0 ? -1 : open_window(r, err);
}

void cs_post_close(struct cs_post_run *r)
{
    if (!r)
        return;
    cs_sweep_close(r->sweep);
    cs_parts_release(&r->parts);
    cs_image_release(&r->mask);
    cs_image_release(&r->relief);
    cs_image_release(&r->band);
    free(r->held);
    free(r->held_rows);
    free(r);
}

// ---- A whole plane -------------------------------------------------------------------------

struct whole {
    struct cs_image *labels;
    uint32_t height;
    const struct cs_scratch *scratch;
};

static int take_band(const struct cs_image *band, uint32_t first_row, void *context,
                     struct cs_err *err)
{
    struct whole *w = context;
    if (!w->labels->data && cs_image_init(w->labels, band->width, w->height, 1, band->dtype,
                                          w->scratch->spill_bytes, w->scratch->dir, err) != 0)
        return -1;
    memcpy((char *)w->labels->data + first_row * cs_image_row_bytes(band), band->data,
           cs_image_bytes(band));
    return 0;
}

int cs_post_apply(const struct cs_post *post, const struct cs_post_item *item,
                  struct cs_image *labels, uint32_t *count, const struct cs_scratch *scratch,
                  struct cs_err *err)
{
    const struct cs_image *plane = item->probability;
    struct whole whole = {labels, plane->height, scratch};
    struct cs_post_run *run = NULL;
    size_t row = cs_image_row_bytes(plane);
    uint32_t rows = row < BAND_BYTES ? (uint32_t)(BAND_BYTES / row) : 1;
    *labels = (struct cs_image){0};
    int status = cs_post_open(&run, post, item, scratch, take_band, &whole, err);
    for (uint32_t y = 0; y < plane->height && status == 0; y += rows) {
        rows = rows < plane->height - y ? rows : plane->height - y;
        status = cs_post_rows(run, (const char *)plane->data + y * row, rows, err);
    }
    if (status == 0)
        status = cs_post_end(run, count, err);
    cs_post_close(run);
    if (status != 0)
        cs_image_release(labels);
    return status;
}
