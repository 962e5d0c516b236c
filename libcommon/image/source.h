// SPDX-License-Identifier: MIT
// An image file that is open: its codec, its pages, and what its description says they mean.
#ifndef CS_IMAGE_SOURCE_H
#define CS_IMAGE_SOURCE_H

#include "image/codec.h"
#include "image/layout.h"

struct cs_source {
    const struct cs_codec *codec;
    void *file; // of the codec
    int fd;
    char *folder; // with a slash at its end, or empty; owned; NULL: the file has no name
    uint64_t bytes;
    struct cs_room room; // for all that reading the file takes
    int64_t mtime_ns;
    uint32_t pages;
    struct cs_layout layout;
    // CS_OK, or why the description's axes are of no use; the pages can be read all the same.
    struct cs_err layout_err;
    bool intensities; // the samples are measured values whatever the palette says
};

// Open a file; "-" is standard input. What cannot be sought in (a pipe) is copied to an unlinked
// file in $TMPDIR first. room: NULL no limit. CS_EIO: cannot be read; CS_EINPUT: no image of a
// known format; CS_ENOMEM: beyond the room. Messages do not name the file. Close also after a
// failure.
int cs_source_open(struct cs_source *source, const char *path, const struct cs_room *room,
                   struct cs_err *err);
// The same of a regular file without a name, which is taken over.
int cs_source_open_fd(struct cs_source *source, int fd, const struct cs_room *room,
                      struct cs_err *err);
// Another file of the set: its pages, without axes; `taken` of the source's room is not for it.
// Messages name it. CS_EINPUT, CS_EIO, CS_ENOMEM.
int cs_source_open_other(struct cs_source *other, const struct cs_source *source, uint32_t file,
                         uint64_t taken, struct cs_err *err);
void cs_source_close(struct cs_source *source); // accepts a zeroed struct

#endif
