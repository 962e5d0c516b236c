// SPDX-License-Identifier: MIT
#include "stream/relay.h"

#include <unistd.h>

#include "stream/reader.h"

static int rewind_and_open(struct cs_reader **reader, int fd, struct cs_err *err)
{
    *reader = NULL;
    if (lseek(fd, 0, SEEK_SET) != 0)
        return cs_fail_errno(err, CS_EIO, "scratch folder");
    return cs_reader_open(reader, fd, "the decoder's stream", CS_TRANSPORT_PIPE, err);
}

static int check_end(const struct cs_reader *reader, uint32_t items, struct cs_err *err)
{
    const char *reason = cs_meta_get(cs_reader_end(reader), CS_KEY_REASON);
    if (cs_meta_get(cs_reader_end(reader), CS_KEY_EXIT))
        return cs_fail(err, CS_EINPUT, "the decoder's stream ended early: %s",
                       reason ? reason : "no reason given");
    return items ? 0 : cs_fail(err, CS_EINPUT, "the decoder's stream has no items");
}

static void *nowhere(void *context, const struct cs_frame_header *header)
{
    (void)context, (void)header;
    return NULL;
}

int cs_relay_check(int fd, const struct cs_room *room, uint32_t *items, struct cs_err *err)
{
    struct cs_reader *reader;
    struct cs_frame frame;
    int result = rewind_and_open(&reader, fd, err) == 0 ? 1 : -1;
    *items = 0;
    while (result > 0 && (result = cs_reader_next_into(reader, &frame, nowhere, NULL, err)) > 0) {
        if (frame.header.kind == CS_FRAME_BEGIN)
            ++*items;
        if (*items > CS_RELAY_MAX_ITEMS)
            result = cs_fail(err, CS_EINPUT, "the decoder's stream has more than %d items",
                             CS_RELAY_MAX_ITEMS);
        else if (frame.header.kind == CS_FRAME_DATA && frame.header.plane != CS_PLANE_IMAGE)
            result = cs_fail(err, CS_EINPUT, "the decoder's stream holds more than images");
        else if (cs_room_check(room, frame.header.payload_bytes, "a band of the decoder's stream",
                               err) != 0)
            result = -1;
    }
    if (result == 0)
        result = check_end(reader, *items, err);
    // One item's fault, not that of this program's input.
    if (result != 0 && err && err->code == CS_ESTREAM)
        err->code = CS_EINPUT;
    cs_reader_close(reader);
    return result;
}

static int pass_frame(const struct cs_relay *relay, const struct cs_frame *frame, uint32_t *count,
                      struct cs_writer *writer, struct cs_err *err)
{
    const struct cs_frame_header *h = &frame->header;
    struct cs_image shape = {
        .width = h->width, .height = h->height, .channels = h->channels, .dtype = h->dtype};
    struct cs_meta begin = {0};
    switch (h->kind) {
    case CS_FRAME_BEGIN:
        cs_meta_copy(&begin, &frame->meta);
        relay->begin(&begin, (*count)++, relay->context);
        int result = cs_writer_begin(writer, &begin, err);
        cs_meta_release(&begin);
        return result;
    case CS_FRAME_DATA:
        return cs_writer_data(writer, (enum cs_plane)h->plane, &shape, h->first_row, h->rows,
                              frame->payload, err);
    default:
        if (relay->done)
            relay->done(&frame->meta, relay->context);
        return cs_writer_done(writer, &frame->meta, err);
    }
}

int cs_relay_run(const struct cs_relay *relay, int fd, struct cs_writer *writer, struct cs_err *err)
{
    struct cs_reader *reader;
    struct cs_frame frame;
    uint32_t count = 0;
    int result = rewind_and_open(&reader, fd, err) == 0 ? 1 : -1;
    while (result > 0 && (result = cs_reader_next(reader, &frame, err)) > 0)
        if (pass_frame(relay, &frame, &count, writer, err) != 0)
            result = -1;
    cs_reader_close(reader);
    return result;
}
