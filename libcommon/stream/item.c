// SPDX-License-Identifier: MIT
// Whole items: the bands of each plane put together on reading, cut again on writing. Planes of
// the last item are used again where the next item's have the same size, which is the rule in a
// run over one plate: no page is faulted in or zeroed twice.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stream/reader.h"
#include "stream/stream.h"

struct assembly {
    struct cs_item *item;
    const struct cs_item_limits *limits;
    struct cs_big spare[CS_PLANE_COUNT];
    struct cs_err why; // code set: the item has failed here, its bands are dropped
};

static int plane_init(struct assembly *a, const struct cs_frame_header *h)
{
    struct cs_image *plane = &a->item->planes[h->plane];
    struct cs_big *spare = &a->spare[h->plane];
    *plane = (struct cs_image){
        .width = h->width, .height = h->height, .channels = h->channels, .dtype = h->dtype};
    size_t bytes = cs_image_bytes(plane);
    if (!bytes || (a->limits->max_bytes && bytes > a->limits->max_bytes))
        return cs_fail(&a->why, CS_ENOMEM, "%s plane of %u x %u x %u %s is larger than the limit",
                       cs_plane_name(h->plane), h->width, h->height, h->channels,
                       cs_dtype_name(h->dtype));
    if (spare->data && spare->bytes == bytes) {
        plane->block = *spare;
        plane->data = spare->data;
        *spare = (struct cs_big){0};
        return 0;
    }
    if (cs_image_init(plane, h->width, h->height, h->channels, h->dtype, a->limits->spill_bytes,
                      a->limits->scratch_dir, &a->why) != 0) {
        a->why.code = CS_ENOMEM; // a full scratch folder is no broken image
        return -1;
    }
    return 0;
}

static void *place_band(void *context, const struct cs_frame_header *header)
{
    struct assembly *a = context;
    struct cs_image *plane = &a->item->planes[header->plane];
    if (a->why.code == CS_OK && a->limits->loose >> header->plane & 1) {
        *plane = (struct cs_image){.width = header->width,
                                   .height = header->height,
                                   .channels = header->channels,
                                   .dtype = (enum cs_dtype)header->dtype};
        return CS_PLACE_STAY;
    }
    if (a->why.code != CS_OK || (header->first_row == 0 && plane_init(a, header) != 0))
        return NULL;
    size_t at = (size_t)header->first_row * cs_image_row_bytes(plane);
    cs_big_forget(&plane->block, 0, at);
    return (char *)plane->data + at;
}

static void release_planes(struct cs_item *item)
{
    for (int i = 0; i < CS_PLANE_COUNT; i++)
        cs_image_release(&item->planes[i]);
}

// Empty the item, but keep its ordinary memory for the next one.
static void recycle(struct assembly *a)
{
    for (int i = 0; i < CS_PLANE_COUNT; i++) {
        struct cs_image *plane = &a->item->planes[i];
        if (plane->block.data && !plane->block.mapped) {
            a->spare[i] = plane->block;
            plane->block = (struct cs_big){0};
        }
    }
    cs_item_release(a->item);
}

static void show_band(struct assembly *a, const struct cs_frame *frame)
{
    const struct cs_item_limits *l = a->limits;
    if (!((l->loose | l->shown) >> frame->header.plane & 1) || a->why.code != CS_OK)
        return;
    if (l->band(a->item, &frame->header, frame->payload, l->context, &a->why) != 0 &&
        a->why.code == CS_OK)
        a->why.code = CS_EINPUT;
}

// Frames up to DONE. 1, 0 at END, -1.
static int read_frames(struct cs_reader *reader, struct assembly *a, struct cs_err *err)
{
    struct cs_frame frame;
    for (;;) {
        int result = cs_reader_next_into(reader, &frame, place_band, a, err);
        if (result != 1)
            return result;
        if (frame.header.kind == CS_FRAME_BEGIN) {
            a->item->number = frame.header.item;
            cs_meta_copy(&a->item->begin, &frame.meta);
        } else if (frame.header.kind == CS_FRAME_DATA) {
            if (frame.header.first_row + frame.header.rows == frame.header.height)
                a->item->complete |= 1u << frame.header.plane;
            show_band(a, &frame);
        } else if (frame.header.kind == CS_FRAME_DONE) {
            cs_meta_copy(&a->item->done, &frame.meta);
            return 1;
        }
    }
}

int cs_item_read(struct cs_reader *reader, struct cs_item *item,
                 const struct cs_item_limits *limits, struct cs_err *err)
{
    static const struct cs_item_limits none;
    struct assembly a = {.item = item, .limits = limits ? limits : &none};
    recycle(&a);
    int result = read_frames(reader, &a, err);
    for (int i = 0; i < CS_PLANE_COUNT; i++)
        cs_big_release(&a.spare[i]);
    if (result == 1 && a.why.code != CS_OK && !cs_item_failed(item))
        cs_item_fail(item, a.limits->stage, &a.why);
    if (result != 1 || cs_item_failed(item))
        release_planes(item);
    return result;
}

int cs_plane_write(struct cs_writer *writer, enum cs_plane kind, const struct cs_image *plane,
                   struct cs_err *err)
{
    size_t row_bytes = cs_image_row_bytes(plane);
    uint32_t rows = 1;
    if (row_bytes && row_bytes < CS_BAND_BYTES)
        rows = (uint32_t)(CS_BAND_BYTES / row_bytes);
    for (uint32_t y = 0; y < plane->height; y += rows) {
        if (rows > plane->height - y)
            rows = plane->height - y;
        if (cs_writer_data(writer, kind, plane, y, rows,
                           (const char *)plane->data + (size_t)y * row_bytes, err) != 0)
            return -1;
        cs_big_forget(&plane->block, 0, (size_t)y * row_bytes);
    }
    return 0;
}

// BEGIN, unless it is out, and planes that are not.
static int write_planes(struct cs_writer *writer, struct cs_item *item, unsigned planes,
                        struct cs_err *err)
{
    if (!item->begun && cs_writer_begin(writer, &item->begin, err) != 0)
        return -1;
    item->begun = true;
    for (int i = 0; i < CS_PLANE_COUNT && !cs_item_failed(item); i++) {
        if (!(planes & ~item->written & 1u << i) || !item->planes[i].data)
            continue;
        item->written |= 1u << i;
        if (cs_plane_write(writer, i, &item->planes[i], err) != 0)
            return -1;
    }
    return 0;
}

int cs_item_emit(struct cs_item *item, enum cs_plane plane, const struct cs_image *shape,
                 uint32_t first_row, uint32_t rows, const void *samples, struct cs_err *err)
{
    if (!item->writer)
        return 0;
    item->written |= 1u << plane;
    if (!item->begun && write_planes(item->writer, item, item->keep & item->complete, err) != 0)
        return -1;
    return cs_writer_data(item->writer, plane, shape, first_row, rows, samples, err);
}

int cs_item_write(struct cs_writer *writer, struct cs_item *item, unsigned keep, struct cs_err *err)
{
    int status = write_planes(writer, item, keep, err);
    item->begun = false; // it can be written again
    item->written = 0;
    return status != 0 ? -1 : cs_writer_done(writer, &item->done, err);
}

bool cs_item_failed(const struct cs_item *item)
{
    const char *status = cs_meta_get(&item->done, CS_KEY_STATUS);
    return status && strcmp(status, "failed") == 0;
}

void cs_item_fail(struct cs_item *item, const char *stage, const struct cs_err *why)
{
    cs_meta_set(&item->done, CS_KEY_STATUS, "failed");
    cs_meta_set(&item->done, CS_KEY_ERROR_CODE, cs_err_item_code(why->code));
    cs_meta_set(&item->done, CS_KEY_ERROR_STAGE, stage ? stage : program_invocation_short_name);
    cs_meta_set(&item->done, CS_KEY_ERROR_TEXT, why->text);
}

void cs_item_release(struct cs_item *item)
{
    cs_meta_release(&item->begin);
    cs_meta_release(&item->done);
    release_planes(item);
    item->number = 0;
    item->begun = false;
    item->complete = item->written = 0;
}
