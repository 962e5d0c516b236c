// SPDX-License-Identifier: MIT
// Streams for the tests of libcommon/stream: items that follow from their number, streams spelled
// frame by frame, and files in memory.
#ifndef TESTS_SUPPORT_STREAMCASE_H
#define TESTS_SUPPORT_STREAMCASE_H

#include "base/buf.h"
#include "stream/stream.h"

// Writes a stream of items and closes fd.
struct streamcase {
    int fd;
    enum cs_transport transport;
    uint64_t ring_bytes; // of shared memory; 0: as many as are usual
    uint32_t items, width, height;
    struct cs_err err; // result
};
void *streamcase_run(void *streamcase); // main of a thread

// Item n of it: an image plane of a type and size that vary with n, every third with labels, every
// fourth failed.
void streamcase_item(struct cs_item *item, uint32_t n, uint32_t width, uint32_t height);

// A stream of five items as a regular file holds it, with checksums.
void streamcase_written(struct cs_buf *out);

// A stream in short: H HEAD, B BEGIN, 0-9 one row "abcdefgh" of an image plane of 4 rows, D DONE
// ok, X DONE failed, N DONE without status, E END, F and G END with a status, w a row of another
// width, l a row of the labels plane, s a skippable frame, u an unknown one, + the next item's
// number.
void streamcase_compose(struct cs_buf *out, const char *script);

// A file in memory that is read from its start: the descriptor.
int streamcase_file(const void *bytes, size_t len);
// Read all frames and close fd: the last result, -1 or 0.
int streamcase_read(int fd, struct cs_err *err);

#endif
