// SPDX-License-Identifier: MIT
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"

// The end of a stream without its END tells the stages behind; what was being written keeps its
// temporary name.
void cs_out_of_memory(void)
{
    cs_log(CS_LOG_ERROR, "out of memory");
    _exit(cs_err_status(CS_ENOMEM));
}

static void *or_end(void *block)
{
    if (!block)
        cs_out_of_memory();
    return block;
}

void *cs_xmalloc(size_t bytes)
{
    return or_end(malloc(bytes ? bytes : 1));
}

void *cs_xcalloc(size_t count, size_t bytes)
{
    return or_end(calloc(count ? count : 1, bytes ? bytes : 1));
}

void *cs_xrealloc(void *old, size_t count, size_t bytes)
{
    return or_end(reallocarray(old, count ? count : 1, bytes ? bytes : 1));
}

char *cs_xstrdup(const char *text)
{
    return or_end(strdup(text));
}

char *cs_xstrndup(const char *text, size_t max)
{
    return or_end(strndup(text, max));
}

char *cs_xasprintf(const char *fmt, ...)
{
    va_list ap;
    char *text = NULL;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    return or_end(n < 0 ? NULL : text);
}

bool cs_mul_size(size_t a, size_t b, size_t *product)
{
    return !__builtin_mul_overflow(a, b, product);
}

bool cs_mul4_size(size_t a, size_t b, size_t c, size_t d, size_t *product)
{
    return cs_mul_size(a, b, product) && cs_mul_size(*product, c, product) &&
           cs_mul_size(*product, d, product);
}

void *cs_alloc(size_t count, size_t bytes, const char *what, struct cs_err *err)
{
    size_t total;
    void *block = NULL;
    if (!cs_mul_size(count, bytes, &total) || total > SIZE_MAX - 64) {
        cs_fail(err, CS_ENOMEM, "%s: %zu x %zu bytes is beyond the address space", what, count,
                bytes);
        return NULL;
    }
    total = (total + 63) & ~(size_t)63;
    if (posix_memalign(&block, 64, total ? total : 64) != 0) {
        cs_fail(err, CS_ENOMEM, "%s: no memory for %zu bytes", what, total);
        return NULL;
    }
    memset(block, 0, total);
    return block;
}

static const char *scratch_folder(const char *dir)
{
    if (!dir)
        dir = getenv("TMPDIR");
    return dir && *dir ? dir : "/tmp";
}

int cs_scratch_open(const char *dir, struct cs_err *err)
{
    dir = scratch_folder(dir);
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) { // not every file system knows O_TMPFILE
        char *path = cs_xasprintf("%s/cellstream.XXXXXX", dir);
        fd = mkostemp(path, O_CLOEXEC);
        if (fd >= 0)
            unlink(path);
        free(path);
    }
    return fd < 0 ? cs_fail_errno(err, CS_EIO, "scratch folder %s", dir) : fd;
}

int cs_file_reserve(int fd, size_t bytes)
{
    return posix_fallocate(fd, 0, (off_t)bytes);
}

static int map_scratch(struct cs_big *big, const char *dir, struct cs_err *err)
{
    int fd = cs_scratch_open(dir, err);
    if (fd < 0)
        return -1;
    int failure = cs_file_reserve(fd, big->bytes);
    if (failure) {
        close(fd);
        errno = failure;
        return cs_fail_errno(err, CS_EIO, "scratch folder %s: %zu bytes", scratch_folder(dir),
                             big->bytes);
    }
    void *map = mmap(NULL, big->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map == MAP_FAILED)
        return cs_fail_errno(err, CS_ENOMEM, "mapping %zu bytes of scratch", big->bytes);
    big->data = map;
    big->mapped = true;
    return 0;
}

int cs_big_init(struct cs_big *big, size_t bytes, size_t spill_bytes, const char *scratch_dir,
                struct cs_err *err)
{
    *big = (struct cs_big){.bytes = bytes};
    if (spill_bytes && bytes > spill_bytes)
        return map_scratch(big, scratch_dir, err);
    big->data = cs_alloc(1, bytes, "large block", err);
    return big->data ? 0 : -1;
}

int cs_big_grow(struct cs_big *big, size_t bytes, size_t spill_bytes, const char *scratch_dir,
                struct cs_err *err)
{
    enum { PART = 16 << 20 };
    struct cs_big more;
    if (bytes <= big->bytes)
        return 0;
    size_t wanted = bytes > SIZE_MAX / 2 ? bytes : bytes + bytes / (bytes >> 30 ? 8 : 2);
    if (cs_big_init(&more, wanted, spill_bytes, scratch_dir, err) != 0)
        return -1;
    for (size_t at = 0; at < big->bytes; at += PART) {
        size_t n = big->bytes - at < PART ? big->bytes - at : PART;
        memcpy((char *)more.data + at, (const char *)big->data + at, n);
        cs_big_forget(big, at, at + n);
        cs_big_forget(&more, at, at + n);
    }
    cs_big_release(big);
    *big = more;
    return 0;
}

void cs_big_release(struct cs_big *big)
{
    if (big->mapped)
        munmap(big->data, big->bytes);
    else
        free(big->data);
    *big = (struct cs_big){0};
}

void cs_shared_forget(void *map, size_t from, size_t end)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    from = (from + page - 1) / page * page;
    end = end / page * page;
    if (from < end)
        madvise((char *)map + from, end - from, MADV_DONTNEED);
}

void cs_big_forget(const struct cs_big *big, size_t from, size_t end)
{
    if (big->mapped)
        cs_shared_forget(big->data, from, end);
}
