// SPDX-License-Identifier: MIT
// What the runs in an output folder did, read back. Each run of a last stage leaves a segment in
// OUT/.cs: NNNN.manifest.jsonl, one line an item, and NNNN.objects.csv, whose rows the lines point
// to by offset and length. A line that is not finished by a newline did not happen.
#ifndef CS_EXPORT_SEGMENTS_H
#define CS_EXPORT_SEGMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/json_read.h"

enum cs_entry_status { CS_ENTRY_OK, CS_ENTRY_EMPTY, CS_ENTRY_FAILED };

// One line of a manifest.
struct cs_entry {
    const char *image;     // the input as the user named it
    int64_t index, number; // place of the input in its list; number of the item in its run
    enum cs_entry_status status;
    int64_t objects;
    int64_t items;           // that the input gives; 0 where not said
    int64_t bytes, mtime_ns; // of the input; -1 where not said
    const char *xxh3;        // NULL where not said
    int segment;             // index into paths
    int64_t offset, length;  // of the line in its segment, newline included
    const char *rows;        // file of the rows in the table of objects, below OUT; may be NULL
    int64_t rows_offset, rows_bytes;
};

// Zero-initialise; release with cs_segments_release.
struct cs_segments {
    struct cs_entry *entries;
    size_t count;
    char **paths; // of the manifests, in the order of their numbers
    int path_count;
    struct cs_arena arena;
};

// Read every segment of the folder `out`. An input that several runs worked on keeps the lines of
// the last one. Entries are in order of (index, image, number), so that the same results give the
// same order, however many runs it took. CS_EIO, or CS_EINPUT for a line that is none of ours.
int cs_segments_read(struct cs_segments *segments, const char *out, struct cs_err *err);
void cs_segments_release(struct cs_segments *segments);

// The line of an entry: text without newline, and its tree. Both live in the arena.
int cs_segments_line(const struct cs_segments *segments, const struct cs_entry *entry,
                     struct cs_arena *arena, const char **text, const struct cs_json **root,
                     struct cs_err *err);

#endif
