// SPDX-License-Identifier: MIT
// Reading a stream frame by frame. Payloads of the pipe are read straight into their place;
// payloads in shared memory are handed out where they lie.
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/mem.h"
#include "stream/order.h"
#include "stream/reader.h"
#include "stream/shm.h"
#include "stream/stream.h"

enum {
    DROP_BYTES = 64 << 10, // unwanted payload is read in pieces of this
    LINGER_MS = 1000,      // how long END waits for the end of a pipe
};

struct cs_reader {
    int fd;
    char *name;
    struct cs_order order;
    struct cs_meta head, end, meta;
    struct cs_buf text;  // metadata of the current frame as it came
    void *buffer;        // payload of the current frame where it came through the pipe
    size_t buffer_bytes; // allocated
    struct cs_attach shm;
    struct cs_err broken; // after the first error every call returns it again
};

static int truncated(const struct cs_reader *r, const char *where, struct cs_err *err)
{
    return cs_fail(err, CS_ESTREAM, "the stream ends %s, in or after item %llu", where,
                   (unsigned long long)(r->order.items ? r->order.items - 1 : 0));
}

// All `bytes` or an error.
static int read_all(struct cs_reader *r, void *data, size_t bytes, const char *where,
                    struct cs_err *err)
{
    ssize_t n = cs_read_full(r->fd, data, bytes, err);
    if (n < 0)
        return -1;
    return (size_t)n == bytes ? 0 : truncated(r, where, err);
}

static int read_header(struct cs_reader *r, struct cs_frame_header *header, struct cs_err *err)
{
    uint8_t bytes[CS_FRAME_BYTES];
    ssize_t n = cs_read_full(r->fd, bytes, sizeof bytes, err);
    if (n < 0)
        return -1;
    if (!r->order.headed && n == 0)
        return cs_fail(err, CS_ESTREAM, "empty, where a stream should be");
    if (!r->order.headed && memcmp(bytes, "CSF", n < 3 ? (size_t)n : 3) != 0)
        return cs_fail(err, CS_ESTREAM, "not a stream of CellStream");
    if (n == 0)
        return truncated(r, "without END", err);
    if (n < CS_FRAME_BYTES)
        return truncated(r, "within a frame header", err);
    return cs_frame_decode(bytes, header, err);
}

static int read_meta(struct cs_reader *r, const struct cs_frame_header *header, struct cs_err *err)
{
    cs_meta_clear(&r->meta);
    cs_buf_clear(&r->text);
    if (!header->meta_bytes)
        return 0;
    char *text = cs_buf_reserve(&r->text, header->meta_bytes);
    if (read_all(r, text, header->meta_bytes, "within metadata", err) != 0)
        return -1;
    return cs_meta_parse(&r->meta, text, header->meta_bytes, err);
}

static int check_crc(const struct cs_frame_header *header, uint32_t crc, struct cs_err *err)
{
    if (crc != header->payload_crc)
        return cs_fail(err, CS_ESTREAM, "item %llu: a band with a wrong checksum",
                       (unsigned long long)header->item);
    return 0;
}

static int buffer_reserve(struct cs_reader *r, size_t bytes, struct cs_err *err)
{
    if (r->buffer_bytes >= bytes)
        return 0;
    free(r->buffer);
    r->buffer_bytes = 0;
    // Not cs_alloc, which would touch every page of what is overwritten at once.
    if (posix_memalign(&r->buffer, 64, bytes) != 0) {
        r->buffer = NULL;
        return cs_fail(err, CS_ENOMEM, "no memory for a band of %zu bytes", bytes);
    }
    r->buffer_bytes = bytes;
    return 0;
}

static int drop_inline(struct cs_reader *r, const struct cs_frame_header *header,
                       struct cs_err *err)
{
    uint64_t left = header->payload_bytes;
    uLong crc = 0;
    if (buffer_reserve(r, DROP_BYTES, err) != 0)
        return -1;
    while (left) {
        size_t n = left < DROP_BYTES ? (size_t)left : DROP_BYTES;
        if (read_all(r, r->buffer, n, "within a payload", err) != 0)
            return -1;
        if (header->flags & CS_FRAME_CRC)
            crc = crc32_z(crc, r->buffer, n);
        left -= n;
    }
    return header->flags & CS_FRAME_CRC ? check_crc(header, (uint32_t)crc, err) : 0;
}

// A payload of no interest, wherever it lies.
static int drop_payload(struct cs_reader *r, const struct cs_frame_header *header,
                        struct cs_err *err)
{
    if (!(header->flags & CS_FRAME_SHM))
        return drop_inline(r, header, err);
    return cs_attach_hold(&r->shm, header->shm_offset, header->payload_bytes, err) ? 0 : -1;
}

static int read_shared(struct cs_reader *r, struct cs_frame *frame, void *wanted,
                       struct cs_err *err)
{
    const struct cs_frame_header *header = &frame->header;
    size_t bytes = (size_t)header->payload_bytes;
    const void *payload = cs_attach_hold(&r->shm, header->shm_offset, bytes, err);
    if (!payload)
        return -1;
    frame->payload = payload;
    if (wanted)
        frame->payload = memcpy(wanted, payload, bytes);
    if (header->flags & CS_FRAME_CRC)
        return check_crc(header, (uint32_t)crc32_z(0, payload, bytes), err);
    return 0;
}

static int read_inline(struct cs_reader *r, const struct cs_frame_header *header, void *place,
                       struct cs_err *err)
{
    size_t bytes = (size_t)header->payload_bytes;
    if (read_all(r, place, bytes, "within a payload", err) != 0)
        return -1;
    if (header->flags & CS_FRAME_CRC)
        return check_crc(header, (uint32_t)crc32_z(0, place, bytes), err);
    return 0;
}

// The payload of a DATA frame, to where it is wanted.
static int read_payload(struct cs_reader *r, struct cs_frame *frame, cs_place_fn *place,
                        void *context, struct cs_err *err)
{
    const struct cs_frame_header *header = &frame->header;
    void *wanted = place ? place(context, header) : NULL;
    if (place && !wanted)
        return drop_payload(r, header, err);
    if (wanted == CS_PLACE_STAY)
        wanted = NULL;
    if (header->flags & CS_FRAME_SHM)
        return read_shared(r, frame, wanted, err);
    if (!wanted) {
        if (buffer_reserve(r, (size_t)header->payload_bytes, err) != 0)
            return -1;
        wanted = r->buffer;
    }
    frame->payload = wanted;
    return read_inline(r, header, wanted, err);
}

// Two streams one after the other are no stream: what follows END must not vanish silently. A
// writer closes its pipe soon after END; one that lingers is not waited for.
static int check_nothing_follows(struct cs_reader *r, struct cs_err *err)
{
    struct stat st;
    if (fstat(r->fd, &st) != 0 || !(S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode)))
        return 0;
    struct pollfd ready = {.fd = r->fd, .events = POLLIN};
    if (S_ISFIFO(st.st_mode) && poll(&ready, 1, LINGER_MS) != 1)
        return 0;
    char byte;
    if (read(r->fd, &byte, 1) == 1)
        return cs_fail(err, CS_ESTREAM, "bytes after END: two streams joined?");
    return 0;
}

static int next_frame(struct cs_reader *r, struct cs_frame *frame, cs_place_fn *place,
                      void *context, struct cs_err *err)
{
    struct cs_frame_header *header = &frame->header;
    for (;;) {
        cs_attach_give_back(&r->shm);
        if (read_header(r, header, err) != 0 || read_meta(r, header, err) != 0)
            return -1;
        if (!(header->kind & CS_FRAME_SKIPPABLE))
            break;
        if (drop_payload(r, header, err) != 0)
            return -1;
    }
    if (cs_order_next(&r->order, header, &r->meta, err) != 0)
        return -1;
    if (header->kind == CS_FRAME_DATA && read_payload(r, frame, place, context, err) != 0)
        return -1;
    if (header->kind == CS_FRAME_END) {
        cs_meta_copy(&r->end, &r->meta);
        return check_nothing_follows(r, err);
    }
    return 1;
}

int cs_reader_next_into(struct cs_reader *reader, struct cs_frame *frame, cs_place_fn *place,
                        void *context, struct cs_err *err)
{
    *frame = (struct cs_frame){0};
    int result = -1;
    if (reader->broken.code == CS_OK) {
        result = next_frame(reader, frame, place, context, &reader->broken);
        if (result < 0)
            cs_err_context(&reader->broken, "%s", reader->name);
    }
    if (result < 0) {
        if (err)
            *err = reader->broken;
        return -1;
    }
    frame->meta = reader->meta;
    return result;
}

int cs_reader_next(struct cs_reader *reader, struct cs_frame *frame, struct cs_err *err)
{
    return cs_reader_next_into(reader, frame, NULL, NULL, err);
}

int cs_reader_open(struct cs_reader **reader, int fd, const char *name, enum cs_transport transport,
                   struct cs_err *err)
{
    struct cs_reader *r = cs_xcalloc(1, sizeof *r);
    struct cs_frame frame;
    *reader = NULL;
    r->fd = fd;
    r->name = cs_xstrdup(name);
    struct cs_err why;
    int result = cs_reader_next(r, &frame, err);
    if (result > 0 && transport != CS_TRANSPORT_PIPE &&
        cs_attach_init(&r->shm, fd, &frame.meta, &why) != 0 && transport == CS_TRANSPORT_SHM)
        result = cs_fail(err, CS_EUSAGE, "%s: --transport shm: %s", name, why.text);
    if (result < 0) {
        cs_reader_close(r);
        return -1;
    }
    cs_meta_copy(&r->head, &frame.meta);
    cs_meta_remove(&r->head, CS_KEY_SHM);
    cs_meta_remove(&r->head, CS_KEY_PIPE);
    *reader = r;
    return 0;
}

const struct cs_meta *cs_reader_head(const struct cs_reader *reader)
{
    return &reader->head;
}

const struct cs_meta *cs_reader_end(const struct cs_reader *reader)
{
    return &reader->end;
}

int cs_reader_status(const struct cs_reader *reader)
{
    int64_t status;
    // The order check has seen END: its numbers are in range.
    cs_meta_int(&reader->end, CS_KEY_EXIT, 0, 255, 0, &status, NULL);
    if (status)
        return (int)status;
    return reader->order.failed ? 1 : reader->order.items ? 0 : cs_err_status(CS_ENOINPUT);
}

const char *cs_reader_transport(const struct cs_reader *reader)
{
    return reader->shm.map ? "shm" : "pipe";
}

void cs_reader_close(struct cs_reader *reader)
{
    if (!reader)
        return;
    cs_attach_give_back(&reader->shm);
    cs_attach_release(&reader->shm);
    cs_meta_release(&reader->head);
    cs_meta_release(&reader->end);
    cs_meta_release(&reader->meta);
    cs_buf_release(&reader->text);
    free(reader->buffer);
    free(reader->name);
    free(reader);
}
