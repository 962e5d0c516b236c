// SPDX-License-Identifier: MIT
// The records of a folder of results: one manifest a shard, OUT/.cs/NNNN.manifest.jsonl.
#ifndef CS_EXPORT_SEGMENTS_H
#define CS_EXPORT_SEGMENTS_H

#include "base/err.h"

#define CS_SEGMENT_SUFFIX ".manifest.jsonl"

struct cs_segments {
    char **paths; // sorted
    int count;
};

// Those that are there; none where the folder is not. CS_EIO: the folder cannot be listed.
// Release also after a failure.
int cs_segments_list(struct cs_segments *segments, const char *out, struct cs_err *err);
void cs_segments_release(struct cs_segments *segments); // accepts a zeroed struct

#endif
