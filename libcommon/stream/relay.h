// SPDX-License-Identifier: MIT
// A whole stream that lies in a file becomes items of another: what a decoder of the user's wrote
// as a cs-stream (image/decoder.h).
#ifndef CS_STREAM_RELAY_H
#define CS_STREAM_RELAY_H

#include "image/room.h"
#include "stream/stream.h"

enum { CS_RELAY_MAX_ITEMS = 1 << 20 };

// Read the stream in fd (a regular file, from its start) to its end, so that it is known to be
// whole, and count its items. CS_EINPUT: it is broken, cut short or ended early, has no items or
// too many, or holds planes other than images. CS_ENOMEM: a band beyond the room.
int cs_relay_check(int fd, const struct cs_room *room, uint32_t *items, struct cs_err *err);

struct cs_relay {
    // The metadata of item n as the stream has it, to be made that of the output.
    void (*begin)(struct cs_meta *begin, uint32_t n, void *context);
    // The item is complete; for a log of failures. May be NULL.
    void (*done)(const struct cs_meta *done, void *context);
    void *context;
};
// Write the items of a stream that was checked. -1: the output failed, or the file has changed.
int cs_relay_run(const struct cs_relay *relay, int fd, struct cs_writer *writer,
                 struct cs_err *err);

#endif
