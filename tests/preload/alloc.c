// SPDX-License-Identifier: MIT
// Preloaded into a program (LD_PRELOAD), fails its Nth call that asks for memory: blocks of the
// heap, mappings, memory files, threads. Environment:
//     CS_FAULT_N=N or N+    the Nth call alone, or all from the Nth on; each process counts anew
//     CS_FAULT_MARK=FILE    made when a call has failed
// Calls inside of libc that do not leave it (the stack of a thread, a stream's buffer) go by
// unseen. For glibc, whose own names of the functions are used: dlsym itself asks for memory.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

static atomic_long calls;
static long fail_at; // 0: never
static int fail_on;

__attribute__((constructor)) static void read_settings(void)
{
    char *end;
    const char *text = getenv("CS_FAULT_N");
    long n = text ? strtol(text, &end, 10) : 0;
    if (n > 0) {
        fail_on = *end == '+';
        atomic_store(&calls, 0); // from here: what the loader needs is not the program's
        fail_at = n;
    }
}

static int fails(void)
{
    if (!fail_at)
        return 0;
    long n = atomic_fetch_add(&calls, 1) + 1;
    if (n != fail_at && !(fail_on && n > fail_at))
        return 0;
    const char *mark = getenv("CS_FAULT_MARK");
    int fd = mark ? open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0666) : -1;
    if (fd >= 0)
        close(fd);
    errno = ENOMEM;
    return 1;
}

static void *real(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

// ---- The heap ------------------------------------------------------------------------------

void *malloc(size_t bytes)
{
    return fails() ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    return fails() ? NULL : __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes)
{
    return fails() ? NULL : __libc_realloc(old, bytes);
}

void *reallocarray(void *old, size_t count, size_t bytes)
{
    size_t total;
    if (__builtin_mul_overflow(count, bytes, &total)) {
        errno = ENOMEM;
        return NULL;
    }
    return fails() ? NULL : __libc_realloc(old, total);
}

int posix_memalign(void **out, size_t alignment, size_t bytes)
{
    if (fails())
        return ENOMEM;
    *out = __libc_memalign(alignment, bytes);
    return *out ? 0 : ENOMEM;
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    return fails() ? NULL : __libc_memalign(alignment, bytes);
}

void *memalign(size_t alignment, size_t bytes)
{
    return fails() ? NULL : __libc_memalign(alignment, bytes);
}

// ---- Beside the heap -----------------------------------------------------------------------

void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    void *(*next)(void *, size_t, int, int, int, off_t) = real("mmap");
    return fails() ? MAP_FAILED : next(at, bytes, protection, flags, fd, offset);
}

int memfd_create(const char *name, unsigned flags)
{
    int (*next)(const char *, unsigned) = real("memfd_create");
    return fails() ? -1 : next(name, flags);
}

int posix_fallocate(int fd, off_t offset, off_t bytes)
{
    int (*next)(int, off_t, off_t) = real("posix_fallocate");
    return fails() ? ENOSPC : next(fd, offset, bytes);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                   void *context)
{
    int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) =
        real("pthread_create");
    return fails() ? EAGAIN : next(thread, attributes, run, context);
}
