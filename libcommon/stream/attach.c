// SPDX-License-Identifier: MIT
// The reader's side of shared memory. The offer is only text that somebody wrote into a stream:
// it is followed when the stream arrives through the very FIFO that it names, and believed when
// what /proc shows is a sealed area of the promised size with the promised nonce.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/num.h"
#include "stream/frame.h"
#include "stream/shm.h"

struct offer {
    int64_t pid, memfd, credit, bytes;
    unsigned char nonce[CS_SHM_NONCE];
};

// "a,b,c": the number before the next comma; *at moves behind it.
static int next_number(char **at, int64_t max, int64_t *value, struct cs_err *err)
{
    char *text = strsep(at, ",");
    return cs_num_int(text ? text : "", 0, max, "offer of shared memory", value, err);
}

static int parse_nonce(const char *hex, unsigned char *nonce, struct cs_err *err)
{
    static const char digits[] = "0123456789abcdef";
    if (!hex || strlen(hex) != 2 * CS_SHM_NONCE || strspn(hex, digits) != 2 * CS_SHM_NONCE)
        return cs_fail(err, CS_ESTREAM, "offer of shared memory: no nonce");
    for (int i = 0; i < CS_SHM_NONCE; i++)
        nonce[i] = (unsigned char)((strchr(digits, hex[2 * i]) - digits) << 4 |
                                   (strchr(digits, hex[2 * i + 1]) - digits));
    return 0;
}

static int parse_offer(const char *text, struct offer *offer, struct cs_err *err)
{
    char *copy = cs_xstrdup(text), *at = copy;
    int failed = next_number(&at, INT32_MAX, &offer->pid, err) ||
                 next_number(&at, INT32_MAX, &offer->memfd, err) ||
                 next_number(&at, INT32_MAX, &offer->credit, err) ||
                 next_number(&at, (int64_t)CS_SHM_MAX_BYTES, &offer->bytes, err) ||
                 parse_nonce(at, offer->nonce, err);
    free(copy);
    if (!failed && (uint64_t)offer->bytes < CS_SHM_MIN_BYTES)
        return cs_fail(err, CS_ESTREAM, "offer of shared memory: %lld bytes",
                       (long long)offer->bytes);
    return failed ? -1 : 0;
}

// Is in_fd the FIFO that the writer wrote to? With tee or ssh in between it is not.
static int check_pipe(int in_fd, const char *text, struct cs_err *err)
{
    struct stat st;
    char own[64];
    if (fstat(in_fd, &st) != 0 || !S_ISFIFO(st.st_mode))
        return cs_fail(err, CS_ESTREAM, "the stream does not come through a pipe");
    snprintf(own, sizeof own, "%llu,%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    if (strcmp(text, own) != 0)
        return cs_fail(err, CS_ESTREAM, "the stream comes through another pipe than offered");
    return 0;
}

// Open descriptor n of the process, if it is what its link should say: /proc may show any file.
static int open_theirs(const struct offer *offer, int64_t n, const char *link_start, int flags,
                       struct cs_err *err)
{
    char path[64], link[64] = "";
    snprintf(path, sizeof path, "/proc/%lld/fd/%lld", (long long)offer->pid, (long long)n);
    if (readlink(path, link, sizeof link - 1) < 0)
        return cs_fail_errno(err, CS_ESTREAM, "%s", path);
    if (strncmp(link, link_start, strlen(link_start)) != 0)
        return cs_fail(err, CS_ESTREAM, "%s is not what was offered", path);
    int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return fd < 0 ? cs_fail_errno(err, CS_ESTREAM, "%s", path) : fd;
}

static int map_area(struct cs_attach *attach, const struct offer *offer, struct cs_err *err)
{
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
    struct stat st;
    int fd = open_theirs(offer, offer->memfd, "/memfd:cellstream", O_RDONLY, err);
    if (fd < 0)
        return -1;
    void *map = MAP_FAILED;
    if (fstat(fd, &st) == 0 && st.st_size == offer->bytes &&
        (fcntl(fd, F_GET_SEALS) & seals) == seals)
        map = mmap(NULL, (size_t)offer->bytes, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (map == MAP_FAILED)
        return cs_fail(err, CS_ESTREAM, "the shared memory is not as offered");
    attach->map = map;
    attach->bytes = (uint64_t)offer->bytes;
    madvise(map, attach->bytes, MADV_DONTFORK);
    if (memcmp(map, offer->nonce, CS_SHM_NONCE) != 0)
        return cs_fail(err, CS_ESTREAM, "the shared memory belongs to another stream");
    return 0;
}

// Write-only, the credit pipe would raise SIGPIPE once the writer is gone.
static int open_credit(struct cs_attach *attach, const struct offer *offer, struct cs_err *err)
{
    const uint64_t attached = 0;
    struct stat st;
    attach->credit = open_theirs(offer, offer->credit, "pipe:[", O_RDWR, err);
    if (attach->credit < 0)
        return -1;
    if (fstat(attach->credit, &st) != 0 || !S_ISFIFO(st.st_mode) ||
        write(attach->credit, &attached, sizeof attached) != sizeof attached)
        return cs_fail(err, CS_ESTREAM, "the credit pipe is not as offered");
    return 0;
}

int cs_attach_init(struct cs_attach *attach, int in_fd, const struct cs_meta *head,
                   struct cs_err *err)
{
    struct offer offer;
    const char *shm = cs_meta_get(head, CS_KEY_SHM), *pipe = cs_meta_get(head, CS_KEY_PIPE);
    *attach = (struct cs_attach){.credit = -1};
    if (!shm || !pipe)
        return cs_fail(err, CS_ESTREAM, "the stream offers no shared memory");
    if (check_pipe(in_fd, pipe, err) == 0 && parse_offer(shm, &offer, err) == 0 &&
        map_area(attach, &offer, err) == 0 && open_credit(attach, &offer, err) == 0)
        return 0;
    cs_attach_release(attach);
    return -1;
}

const void *cs_attach_hold(struct cs_attach *attach, uint64_t offset, uint64_t bytes,
                           struct cs_err *err)
{
    if (!attach->map) {
        cs_fail(err, CS_ESTREAM, "a payload in shared memory that is not attached");
        return NULL;
    }
    if (offset < CS_SHM_FIRST || offset > attach->bytes || bytes > attach->bytes - offset) {
        cs_fail(err, CS_ESTREAM, "a payload beyond the shared memory");
        return NULL;
    }
    attach->held = true;
    return attach->map + offset;
}

void cs_attach_give_back(struct cs_attach *attach)
{
    if (!attach->held)
        return;
    attach->held = false;
    attach->released++;
    // A full pipe cannot be (see CS_SHM_INFLIGHT), a lost writer does not care.
    ssize_t ignored = write(attach->credit, &attach->released, sizeof attach->released);
    (void)ignored;
}

void cs_attach_release(struct cs_attach *attach)
{
    if (!attach->map)
        return;
    munmap((void *)(uintptr_t)attach->map, attach->bytes);
    if (attach->credit >= 0)
        close(attach->credit);
    *attach = (struct cs_attach){0};
}
