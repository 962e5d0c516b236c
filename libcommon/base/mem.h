// SPDX-License-Identifier: MIT
// Memory. Small blocks of our own making never fail: the process ends, by cs_out_of_memory alone.
// Sizes that come from outside (a file, a stream, an option) go through cs_alloc or cs_big.
#ifndef CS_BASE_MEM_H
#define CS_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

// Ends the process at once, after one line, with the status of CS_ENOMEM.
void cs_out_of_memory(void) __attribute__((noreturn));

// Never NULL; caller frees with free(). cs_xcalloc zeroes.
void *cs_xmalloc(size_t bytes);
void *cs_xcalloc(size_t count, size_t bytes);
void *cs_xrealloc(void *old, size_t count, size_t bytes);
char *cs_xstrdup(const char *text);
char *cs_xstrndup(const char *text, size_t max);
char *cs_xasprintf(const char *fmt, ...) CS_PRINTF(1, 2);

// *product = a * b; false when it does not fit.
bool cs_mul_size(size_t a, size_t b, size_t *product);
// *product = a * b * c * d; false when it does not fit. For dimensions read from a file.
bool cs_mul4_size(size_t a, size_t b, size_t c, size_t d, size_t *product);

// Zeroed memory of count * bytes, 64-byte aligned; NULL with CS_ENOMEM, `what` in the message.
// Caller frees with free().
void *cs_alloc(size_t count, size_t bytes, const char *what, struct cs_err *err);

// An empty unlinked file in the scratch folder: dir, or $TMPDIR if NULL, else /tmp. Returns its
// descriptor, which the caller closes, or -1 with CS_EIO.
int cs_scratch_open(const char *dir, struct cs_err *err);

// A large block: ordinary memory up to spill_bytes, above that a mapping of an unlinked file in
// the scratch folder, so that an item larger than memory still has a place. Zeroed.
struct cs_big {
    void *data;
    size_t bytes;
    bool mapped;
};

// scratch_dir as for cs_scratch_open. spill_bytes 0: never spill.
// Fails with CS_ENOMEM or CS_EIO (disk full). Release with cs_big_release.
int cs_big_init(struct cs_big *big, size_t bytes, size_t spill_bytes, const char *scratch_dir,
                struct cs_err *err);
// The block with room for at least `bytes`, what it holds kept; more than is asked for, so that
// growing step by step costs linear time. A zeroed struct is an empty block. The rest as above; the
// block is as it was after a failure.
int cs_big_grow(struct cs_big *big, size_t bytes, size_t spill_bytes, const char *scratch_dir,
                struct cs_err *err);
// Accepts a zeroed struct; leaves a zeroed struct.
void cs_big_release(struct cs_big *big);
// Bytes [from, end) of a mapped block will not be used soon: the process lets go of their pages,
// which stay in the file. Does nothing to ordinary memory.
void cs_big_forget(const struct cs_big *big, size_t from, size_t end);

// The same for any shared mapping of a file, in whole pages. It must not be private: that would
// lose what was written.
void cs_shared_forget(void *map, size_t from, size_t end);
// A file of this many bytes with room on the disk (or in memory, for a memfd): what is lacking is
// an error here, not a signal later. 0, or the errno.
int cs_file_reserve(int fd, size_t bytes);

#endif
