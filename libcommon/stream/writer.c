// SPDX-License-Identifier: MIT
// Writing a stream frame by frame. Header, metadata and payload of a frame go out in one writev;
// where a reader has attached to the shared memory, the payload is copied there first.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "stream/order.h"
#include "stream/shm.h"
#include "stream/stream.h"

enum {
    PIPE_BYTES = 1 << 20,
    ATTACH_MS = 100,       // how long the first payload waits for a reader to attach
    ATTACH_SHM_MS = 10000, // and with --transport shm
};

struct cs_writer {
    int fd;
    enum cs_transport transport;
    uint64_t ring_bytes;
    bool fifo, regular;
    bool closed; // the reader is gone
    int failure; // errno of the first output error
    struct cs_order order;
    struct cs_buf text; // metadata of the current frame
    struct cs_ring ring;
    int64_t attach_until; // milliseconds of the monotonic clock
};

int cs_writer_open(struct cs_writer **writer, int fd, enum cs_transport transport,
                   uint64_t ring_bytes, struct cs_err *err)
{
    struct stat st;
    *writer = NULL;
    if (isatty(fd))
        return cs_fail(err, CS_EUSAGE,
                       "standard output is a terminal: a stream goes to a file or another tool");
    if (fstat(fd, &st) != 0)
        return cs_fail_errno(err, CS_EIO, "standard output");
    if (transport == CS_TRANSPORT_SHM && !S_ISFIFO(st.st_mode))
        return cs_fail(err, CS_EUSAGE, "--transport shm: standard output is not a pipe");
    struct cs_writer *w = cs_xcalloc(1, sizeof *w);
    w->fd = fd;
    w->transport = transport;
    w->ring_bytes = ring_bytes ? ring_bytes : CS_RING_BYTES;
    w->fifo = S_ISFIFO(st.st_mode);
    w->regular = S_ISREG(st.st_mode);
    if (w->fifo)
        fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES); // a wish: the limit of the user may forbid it
    *writer = w;
    return 0;
}

// Write all of the vector, whose entries are used up.
static int write_vector(struct cs_writer *w, struct iovec *part, int parts, struct cs_err *err)
{
    while (parts) {
        if (!part->iov_len) {
            part++;
            parts--;
            continue;
        }
        ssize_t n = writev(w->fd, part, parts);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) { // somebody else's O_NONBLOCK on the shared description
            struct pollfd ready = {.fd = w->fd, .events = POLLOUT};
            poll(&ready, 1, -1);
            continue;
        }
        if (n < 0) {
            w->failure = errno;
            w->closed = errno == EPIPE;
            return cs_fail_errno(err, CS_EIO, "standard output");
        }
        for (size_t left = (size_t)n; left;) {
            size_t step = left < part->iov_len ? left : part->iov_len;
            part->iov_base = (char *)part->iov_base + step;
            part->iov_len -= step;
            left -= step;
            if (!part->iov_len) {
                part++;
                parts--;
            }
        }
    }
    return 0;
}

// One frame; payload NULL where there is none or where it lies in shared memory.
static int write_frame(struct cs_writer *w, struct cs_frame_header *header,
                       const struct cs_meta *meta, const void *payload, struct cs_err *err)
{
    static const struct cs_meta none;
    uint8_t bytes[CS_FRAME_BYTES];
    if (w->failure) {
        errno = w->failure;
        return cs_fail_errno(err, CS_EIO, "standard output");
    }
    if (!meta)
        meta = &none;
    if (cs_order_next(&w->order, header, meta, err) != 0)
        return -1;
    cs_buf_clear(&w->text);
    cs_meta_write(meta, &w->text);
    if (w->text.len > CS_FRAME_MAX_META)
        return cs_fail(err, CS_ESTREAM, "metadata of %zu bytes, at most %d fit a frame",
                       w->text.len, (int)CS_FRAME_MAX_META);
    header->meta_bytes = (uint32_t)w->text.len;
    cs_frame_encode(header, bytes);
    struct iovec parts[3] = {
        {bytes, sizeof bytes},
        {w->text.data, w->text.len},
        {(void *)(uintptr_t)payload, payload ? (size_t)header->payload_bytes : 0},
    };
    return write_vector(w, parts, 3, err);
}

// Shared memory that cannot be had is no error, unless it was asked for.
static int offer_ring(struct cs_writer *w, struct cs_meta *head, struct cs_err *err)
{
    if (!w->fifo || w->transport == CS_TRANSPORT_PIPE)
        return 0;
    if (cs_ring_init(&w->ring, w->ring_bytes, err) != 0)
        return w->transport == CS_TRANSPORT_SHM ? cs_err_context(err, "--transport shm") : 0;
    return cs_ring_offer(&w->ring, w->fd, head, err);
}

int cs_writer_head(struct cs_writer *writer, const struct cs_meta *head, struct cs_err *err)
{
    struct cs_frame_header header = {.kind = CS_FRAME_HEAD};
    struct cs_meta meta = {0};
    cs_meta_copy(&meta, head);
    cs_meta_remove(&meta, CS_KEY_SHM); // an upstream offer is not ours to pass on
    cs_meta_remove(&meta, CS_KEY_PIPE);
    int result = offer_ring(writer, &meta, err);
    if (result == 0)
        result = write_frame(writer, &header, &meta, NULL, err);
    writer->attach_until =
        cs_clock_ms() + (writer->transport == CS_TRANSPORT_SHM ? ATTACH_SHM_MS : ATTACH_MS);
    cs_meta_release(&meta);
    return result;
}

int cs_writer_begin(struct cs_writer *writer, const struct cs_meta *begin, struct cs_err *err)
{
    struct cs_frame_header header = {.kind = CS_FRAME_BEGIN, .item = writer->order.items};
    return write_frame(writer, &header, begin, NULL, err);
}

// Number of the item that is open.
static uint64_t open_item(const struct cs_writer *w)
{
    return w->order.items ? w->order.items - 1 : 0;
}

// Take in credits, after waiting for one at most timeout_ms (-1: as long as it takes).
static int await_credit(struct cs_writer *w, int timeout_ms, struct cs_err *err)
{
    if (cs_ring_wait(&w->ring, w->fd, timeout_ms) < 0) {
        w->closed = true;
        w->failure = errno = EPIPE;
        return cs_fail_errno(err, CS_EIO, "standard output");
    }
    if (cs_ring_credits(&w->ring, err) != 0) {
        w->failure = EIO;
        return -1;
    }
    return 0;
}

// Has the reader attached? The first payloads wait for it a while.
static int await_attached(struct cs_writer *w, struct cs_err *err)
{
    for (int64_t left = 0; !w->ring.attached && left >= 0;) {
        left = w->attach_until - cs_clock_ms();
        if (await_credit(w, left > 0 ? (int)left : 0, err) != 0)
            return -1;
    }
    if (!w->ring.attached && w->transport == CS_TRANSPORT_SHM)
        return cs_fail(err, CS_EIO, "--transport shm: no reader attached within %d s",
                       ATTACH_SHM_MS / 1000);
    return 0;
}

// Copy a payload into the shared memory: *offset says where, or 0 when it goes inline.
static int place_shared(struct cs_writer *w, const void *payload, size_t bytes, uint64_t *offset,
                        struct cs_err *err)
{
    *offset = 0;
    if (bytes > cs_ring_most(&w->ring))
        return 0;
    if (await_attached(w, err) != 0 || cs_ring_credits(&w->ring, err) != 0)
        return -1;
    if (!w->ring.attached)
        return 0;
    while (!(*offset = cs_ring_take(&w->ring, bytes))) {
        if (bytes > cs_ring_most(&w->ring)) // the ring could not grow
            return 0;
        if (await_credit(w, -1, err) != 0)
            return -1;
    }
    memcpy(w->ring.map + *offset, payload, bytes);
    return 0;
}

static int write_band(struct cs_writer *w, struct cs_frame_header *header, const void *samples,
                      struct cs_err *err)
{
    size_t bytes = (size_t)header->payload_bytes;
    if (w->regular) {
        header->flags |= CS_FRAME_CRC;
        header->payload_crc = (uint32_t)crc32_z(0, samples, bytes);
    }
    if (place_shared(w, samples, bytes, &header->shm_offset, err) != 0)
        return -1;
    if (header->shm_offset) {
        header->flags |= CS_FRAME_SHM;
        samples = NULL;
    }
    return write_frame(w, header, NULL, samples, err);
}

int cs_writer_data(struct cs_writer *writer, enum cs_plane plane, const struct cs_image *shape,
                   uint32_t first_row, uint32_t rows, const void *samples, struct cs_err *err)
{
    size_t row_bytes = cs_image_row_bytes(shape);
    if (!row_bytes || row_bytes > CS_FRAME_MAX_PAYLOAD)
        return cs_fail(err, CS_ESTREAM, "a row of %u x %u samples does not fit a frame",
                       shape->width, shape->channels);
    const uint32_t most = (uint32_t)(CS_FRAME_MAX_PAYLOAD / row_bytes);
    for (uint32_t done = 0; done < rows;) {
        uint32_t step = rows - done < most ? rows - done : most;
        const char *from = (const char *)samples + (size_t)done * row_bytes;
        struct cs_frame_header header = {
            .kind = CS_FRAME_DATA,
            .item = open_item(writer),
            .payload_bytes = step * row_bytes,
            .width = shape->width,
            .height = shape->height,
            .first_row = first_row + done,
            .rows = step,
            .channels = shape->channels,
            .dtype = (uint8_t)shape->dtype,
            .plane = (uint8_t)plane,
        };
        if (write_band(writer, &header, from, err) != 0)
            return -1;
        done += step;
    }
    return 0;
}

int cs_writer_done(struct cs_writer *writer, const struct cs_meta *done, struct cs_err *err)
{
    struct cs_frame_header header = {.kind = CS_FRAME_DONE, .item = open_item(writer)};
    return write_frame(writer, &header, done, NULL, err);
}

// An item that was begun when the stream ends early is a failed one.
static int close_open_item(struct cs_writer *w, const char *reason, struct cs_err *err)
{
    struct cs_meta done = {0};
    cs_meta_set(&done, CS_KEY_STATUS, "failed");
    cs_meta_set(&done, CS_KEY_ERROR_CODE, "UNKNOWN");
    cs_meta_set(&done, CS_KEY_ERROR_STAGE, program_invocation_short_name);
    cs_meta_set(&done, CS_KEY_ERROR_TEXT, reason ? reason : "the stream ended within this item");
    int result = cs_writer_done(w, &done, err);
    cs_meta_release(&done);
    return result;
}

// File servers tell of a full disk when a file is closed, which the end of a process does unheard.
static int flush_file(struct cs_writer *w, struct cs_err *err)
{
    int copy = w->regular ? fcntl(w->fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (copy < 0 || close(copy) == 0)
        return 0;
    w->failure = errno;
    return cs_fail_errno(err, CS_EIO, "standard output");
}

int cs_writer_end(struct cs_writer *writer, int status, const char *reason, struct cs_err *err)
{
    if (writer->order.open && close_open_item(writer, reason, err) != 0)
        return -1;
    struct cs_frame_header header = {.kind = CS_FRAME_END, .item = writer->order.items};
    struct cs_meta end = {0};
    cs_meta_setf(&end, CS_KEY_FAILED, "%llu", (unsigned long long)writer->order.failed);
    if (status)
        cs_meta_setf(&end, CS_KEY_EXIT, "%d", status);
    if (reason)
        cs_meta_set(&end, CS_KEY_REASON, reason);
    int result = write_frame(writer, &header, &end, NULL, err);
    cs_meta_release(&end);
    return result == 0 ? flush_file(writer, err) : result;
}

bool cs_writer_broken(const struct cs_writer *writer)
{
    return writer->failure != 0;
}

bool cs_writer_closed(const struct cs_writer *writer)
{
    return writer->closed;
}

void cs_writer_close(struct cs_writer *writer)
{
    if (!writer)
        return;
    cs_ring_release(&writer->ring);
    cs_buf_release(&writer->text);
    free(writer);
}
