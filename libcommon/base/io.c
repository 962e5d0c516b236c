// SPDX-License-Identifier: MIT
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

// After a failed transfer: may it be tried again? A pipe is non-blocking where another process
// that shares it has made it so.
static bool try_again(int fd, short events)
{
    if (errno == EAGAIN) {
        struct pollfd ready = {.fd = fd, .events = events};
        poll(&ready, 1, -1);
        return true;
    }
    return errno == EINTR;
}

ssize_t cs_read_full(int fd, void *data, size_t bytes, struct cs_err *err)
{
    size_t done = 0;
    while (done < bytes) {
        ssize_t n = read(fd, (char *)data + done, bytes - done);
        if (n == 0)
            break;
        if (n < 0 && try_again(fd, POLLIN))
            continue;
        if (n < 0)
            return cs_fail_errno(err, CS_EIO, "read");
        done += (size_t)n;
    }
    return (ssize_t)done;
}

int cs_write_full(int fd, const void *data, size_t bytes, struct cs_err *err)
{
    size_t done = 0;
    while (done < bytes) {
        ssize_t n = write(fd, (const char *)data + done, bytes - done);
        if (n < 0 && try_again(fd, POLLOUT))
            continue;
        if (n < 0)
            return cs_fail_errno(err, CS_EIO, "write");
        done += (size_t)n;
    }
    return 0;
}

int cs_read_file(const char *path, size_t max_bytes, struct cs_buf *out, struct cs_err *err)
{
    enum { CHUNK = 1 << 16 };
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cs_fail_errno(err, CS_EIO, "%s", path);
    for (;;) {
        ssize_t n = cs_read_full(fd, cs_buf_reserve(out, CHUNK), CHUNK, err);
        if (n < 0) {
            close(fd);
            return cs_err_context(err, "%s", path);
        }
        out->len += (size_t)n;
        out->data[out->len] = '\0';
        if (out->len > max_bytes) {
            close(fd);
            return cs_fail(err, CS_EINPUT, "%s: larger than %zu bytes", path, max_bytes);
        }
        if (n < CHUNK)
            break;
    }
    close(fd);
    return 0;
}

int cs_make_parents(const char *path, struct cs_err *err)
{
    char *copy = cs_xstrdup(path);
    for (char *slash = *copy ? strchr(copy + 1, '/') : NULL; slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(copy, 0777) != 0 && errno != EEXIST) {
            cs_fail_errno(err, CS_EIO, "%s", copy);
            free(copy);
            return -1;
        }
        *slash = '/';
    }
    free(copy);
    return 0;
}

int cs_output_name_check(const char *name, struct cs_err *err)
{
    if (!name)
        return cs_fail(err, CS_EINPUT, "no output name");
    for (const char *at = name;; at++) {
        size_t len = strcspn(at, "/");
        if (len > 240)
            return cs_fail(err, CS_EINPUT,
                           "output name '%.40s...': a part of it has over 240 bytes", at);
        if (len == 0 || (len == 2 && strncmp(at, "..", 2) == 0))
            return cs_fail(err, CS_EINPUT, "output name '%.200s' is not a path below the folder",
                           name);
        at += len;
        if (!*at)
            return 0;
    }
}

int cs_outfile_open(struct cs_outfile *out, const char *path, struct cs_err *err)
{
    *out = (struct cs_outfile){0};
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    if (!*name)
        return cs_fail(err, CS_EIO, "'%s' names no file", path);
    if (cs_make_parents(path, err) != 0)
        return -1;
    out->path = cs_xstrdup(path);
    out->temporary =
        cs_xasprintf("%.*s.%.200s.tmp-%ld", (int)(name - path), path, name, (long)getpid());
    out->file = fopen(out->temporary, "wbe");
    if (!out->file) {
        cs_fail_errno(err, CS_EIO, "%s", path);
        cs_outfile_abort(out);
        return -1;
    }
    return 0;
}

int cs_outfile_commit(struct cs_outfile *out, int sync, struct cs_err *err)
{
    int failed = fflush(out->file) != 0 || ferror(out->file);
    if (!failed && sync)
        failed = fsync(fileno(out->file)) != 0;
    int saved = errno;
    FILE *file = out->file;
    out->file = NULL;
    if (fclose(file) != 0 && !failed) {
        failed = 1;
        saved = errno;
    }
    if (!failed && rename(out->temporary, out->path) != 0) {
        failed = 1;
        saved = errno;
    }
    if (failed) {
        errno = saved;
        cs_fail_errno(err, CS_EIO, "%s", out->path);
        cs_outfile_abort(out);
        return -1;
    }
    free(out->temporary);
    out->temporary = NULL;
    cs_outfile_abort(out);
    return 0;
}

void cs_outfile_abort(struct cs_outfile *out)
{
    if (out->file)
        fclose(out->file);
    if (out->temporary)
        unlink(out->temporary);
    free(out->temporary);
    free(out->path);
    *out = (struct cs_outfile){0};
}
