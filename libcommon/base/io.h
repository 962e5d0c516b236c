// SPDX-License-Identifier: MIT
// Safe reading and writing: whole transfers, output files that appear only when complete.
#ifndef CS_BASE_IO_H
#define CS_BASE_IO_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

// Read until `bytes` are there or the file ends. Returns what was read, -1 with CS_EIO.
ssize_t cs_read_full(int fd, void *data, size_t bytes, struct cs_err *err);
int cs_write_full(int fd, const void *data, size_t bytes, struct cs_err *err);

// A whole file, at most max_bytes of it (CS_EINPUT if larger, CS_EIO if unreadable).
int cs_read_file(const char *path, size_t max_bytes, struct cs_buf *out, struct cs_err *err);

// mkdir -p of everything before the last slash of path.
int cs_make_parents(const char *path, struct cs_err *err);

// Whether a name that came from outside is a relative path that stays below its folder, each part
// short enough for a file system. CS_EINPUT; NULL is no name.
int cs_output_name_check(const char *name, struct cs_err *err);

// An output file that has its final name only when it is complete: written as ".NAME.tmp-PID"
// beside it, NAME cut to 200 bytes, and renamed by cs_outfile_commit. Without a commit nothing is
// left behind.
struct cs_outfile {
    FILE *file;
    char *path, *temporary; // owned
};
int cs_outfile_open(struct cs_outfile *out, const char *path, struct cs_err *err);
// Flush, check, close, rename. sync: also fsync before the rename.
int cs_outfile_commit(struct cs_outfile *out, int sync, struct cs_err *err);
// Accepts a zeroed or committed struct.
void cs_outfile_abort(struct cs_outfile *out);

#endif
