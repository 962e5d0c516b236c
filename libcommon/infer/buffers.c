// SPDX-License-Identifier: MIT
#include "infer/buffers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"

// What stays mapped between images; larger buffers are given back.
static const size_t keep_bytes = (size_t)64 << 20;

void cs_buffers_init(struct cs_buffers *pool)
{
    *pool = (struct cs_buffers){.count = 0};
    pthread_mutex_init(&pool->lock, NULL);
}

static void drop_memory(struct cs_buffer *buffer)
{
    if (buffer->data)
        munmap(buffer->data, buffer->bytes);
    if (buffer->fd >= 0)
        close(buffer->fd);
    buffer->data = NULL;
    buffer->bytes = 0;
    buffer->fd = -1;
    buffer->scratch = false;
    buffer->generation++;
}

void cs_buffers_release(struct cs_buffers *pool)
{
    for (int i = 0; i < pool->count; i++) {
        drop_memory(pool->all[i]);
        free(pool->all[i]);
    }
    pthread_mutex_destroy(&pool->lock);
    pool->count = 0;
}

static int make_memory(struct cs_buffers *pool, struct cs_buffer *buffer, size_t bytes,
                       bool scratch, struct cs_err *err)
{
    // A little more than asked for, so that images of nearly one size share buffers.
    size_t unit = bytes < (1 << 20) ? 1 << 16 : 1 << 20;
    if (bytes > SIZE_MAX / 2)
        return cs_fail(err, CS_ENOMEM, "image of %zu bytes", bytes);
    bytes = (bytes + unit - 1) / unit * unit;
    drop_memory(buffer);
    if (scratch) {
        if ((buffer->fd = cs_scratch_open(pool->scratch_dir, err)) < 0) {
            if (err)
                err->code = CS_ENOMEM; // a full disk is no broken image
            return -1;
        }
    } else {
        buffer->fd = memfd_create("cellstream-image", MFD_CLOEXEC);
    }
    buffer->scratch = scratch;
    int failure = buffer->fd < 0 ? errno : cs_file_reserve(buffer->fd, bytes);
    void *data = MAP_FAILED;
    if (!failure) {
        data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, buffer->fd, 0);
        failure = data == MAP_FAILED ? errno : 0;
    }
    if (failure) {
        drop_memory(buffer);
        return cs_fail(err, CS_ENOMEM, "no %s for an image of %zu bytes: %s",
                       scratch ? "scratch" : "memory", bytes, strerror(failure));
    }
    buffer->data = data;
    buffer->bytes = bytes;
    return 0;
}

// The smallest free buffer that is large enough, else any free one, else NULL.
static struct cs_buffer *find_free(struct cs_buffers *pool, size_t bytes)
{
    struct cs_buffer *fitting = NULL, *any = NULL;
    for (int i = 0; i < pool->count; i++) {
        struct cs_buffer *b = pool->all[i];
        if (b->used)
            continue;
        if (b->bytes >= bytes && !b->scratch && (!fitting || b->bytes < fitting->bytes))
            fitting = b;
        any = b;
    }
    return fitting ? fitting : any;
}

struct cs_buffer *cs_buffer_acquire(struct cs_buffers *pool, size_t bytes, bool scratch,
                                    struct cs_err *err)
{
    pthread_mutex_lock(&pool->lock);
    struct cs_buffer *buffer = find_free(pool, bytes);
    if (!buffer && pool->count < CS_MAX_BUFFERS) {
        buffer = cs_xcalloc(1, sizeof *buffer);
        buffer->fd = -1;
        buffer->id = pool->count;
        pool->all[pool->count++] = buffer;
    }
    if (!buffer)
        cs_fail(err, CS_ENOMEM, "more than %d images on their way", CS_MAX_BUFFERS);
    else if ((scratch || buffer->bytes < bytes) &&
             make_memory(pool, buffer, bytes, scratch, err) != 0)
        buffer = NULL;
    if (buffer)
        buffer->used = 1;
    pthread_mutex_unlock(&pool->lock);
    return buffer;
}

bool cs_buffer_stays(const struct cs_buffer *buffer)
{
    return buffer->bytes <= keep_bytes && !buffer->scratch;
}

void cs_buffer_release(struct cs_buffers *pool, struct cs_buffer *buffer)
{
    if (!buffer)
        return;
    pthread_mutex_lock(&pool->lock);
    if (!cs_buffer_stays(buffer))
        drop_memory(buffer);
    buffer->used = 0;
    pthread_mutex_unlock(&pool->lock);
}

void cs_buffer_discard(struct cs_buffer *buffer, size_t from, size_t end)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    from = (from + page - 1) / page * page;
    end = end / page * page;
    // A file system that cannot do it keeps what it has until the end.
    if (buffer->scratch && from < end)
        fallocate(buffer->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from,
                  (off_t)(end - from));
}
