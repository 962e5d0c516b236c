// SPDX-License-Identifier: MIT
// Memory that cs-infer and its worker process share: each image on its way has one buffer, its
// pixels in front and its maps behind. A buffer is a memfd: it needs no name, dies with the two
// processes, and survives the worker, so that what was in flight can be given to another one.
// Buffers are used again; large ones are handed back to the system.
// An image that is too large for memory has an unlinked file in the scratch folder instead, of
// which both processes hold only the pages that they work on.
#ifndef CS_INFER_BUFFERS_H
#define CS_INFER_BUFFERS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { CS_MAX_BUFFERS = 1024 };

struct cs_buffer {
    int id; // index in the pool, names it to the worker
    int fd; // -1: none now
    void *data;
    size_t bytes;
    bool scratch;        // a file, not memory
    uint32_t generation; // changes whenever another memory is behind the id
    int used;
};

// The pool. Acquire and release may be called from different threads.
struct cs_buffers {
    pthread_mutex_t lock;
    struct cs_buffer *all[CS_MAX_BUFFERS];
    int count;
    const char *scratch_dir; // as for cs_scratch_open
};

void cs_buffers_init(struct cs_buffers *pool);
void cs_buffers_release(struct cs_buffers *pool);
// A buffer of at least `bytes`, contents undefined; scratch: a file. CS_ENOMEM.
struct cs_buffer *cs_buffer_acquire(struct cs_buffers *pool, size_t bytes, bool scratch,
                                    struct cs_err *err);
// Bytes [from, end) of a scratch buffer will not be read any more: their pages and their place on
// the disk are given back. Does nothing to memory.
void cs_buffer_discard(struct cs_buffer *buffer, size_t from, size_t end);
// Whether its memory stays, for other images, when it is released: worth while to prepare.
bool cs_buffer_stays(const struct cs_buffer *buffer);
void cs_buffer_release(struct cs_buffers *pool, struct cs_buffer *buffer); // accepts NULL

#endif
