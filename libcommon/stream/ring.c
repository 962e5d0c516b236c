// SPDX-License-Identifier: MIT
// The writer's side of shared memory. Payloads are contiguous and are given back in the order in
// which they were sent, so the free space is at most two runs: behind the newest payload up to the
// oldest (or the end), and, when the newest lies behind the oldest, from the start to the oldest.
// Memory is reserved as it is first needed, and what was used before is used again before that: a
// reader that keeps up costs few pages, which stay in the processor's cache.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "stream/frame.h"
#include "stream/shm.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum { PAGE = 4096, STEP = 1 << 20 };

// fallocate on a memfd would take all the memory there is before it fails: ask first.
static int check_memory(uint64_t bytes, struct cs_err *err)
{
    struct sysinfo info;
    if (sysinfo(&info) == 0 && bytes > (uint64_t)info.totalram * info.mem_unit / 4)
        return cs_fail(err, CS_ENOMEM, "a ring of %llu bytes is more than a quarter of the memory",
                       (unsigned long long)bytes);
    return 0;
}

// Memory up to offset `end` at least, reserved before it is touched, so that a full machine is an
// error here and no SIGBUS later.
static int reserve(struct cs_ring *ring, uint64_t end)
{
    uint64_t grown = (end + STEP - 1) / STEP * STEP;
    grown = grown < ring->bytes ? grown : ring->bytes;
    if (grown <= ring->reserved)
        return 0;
    if (fallocate(ring->memfd, 0, (off_t)ring->reserved, (off_t)(grown - ring->reserved)) != 0)
        return -1;
    // At once instead of page by page; Linux before 5.14 does not know it.
    madvise(ring->map + ring->reserved, grown - ring->reserved, MADV_POPULATE_WRITE);
    ring->reserved = grown;
    return 0;
}

static int make_area(struct cs_ring *ring, uint64_t bytes, struct cs_err *err)
{
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
    ring->memfd = memfd_create("cellstream", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (ring->memfd < 0)
        return cs_fail_errno(err, CS_EIO, "shared memory");
    if (ftruncate(ring->memfd, (off_t)bytes) != 0)
        return cs_fail_errno(err, CS_ENOMEM, "shared memory of %llu bytes",
                             (unsigned long long)bytes);
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ring->memfd, 0);
    if (map == MAP_FAILED)
        return cs_fail_errno(err, CS_ENOMEM, "shared memory of %llu bytes",
                             (unsigned long long)bytes);
    ring->map = map;
    ring->bytes = ring->limit = bytes;
    ring->next = CS_SHM_FIRST;
    madvise(map, bytes, MADV_DONTFORK); // a worker process has no business here
    if (reserve(ring, STEP) != 0)
        return cs_fail_errno(err, CS_ENOMEM, "shared memory of %llu bytes",
                             (unsigned long long)bytes);
    if (fcntl(ring->memfd, F_ADD_SEALS, seals) != 0)
        return cs_fail_errno(err, CS_EIO, "seals of shared memory");
    if (getrandom(map, CS_SHM_NONCE, 0) != CS_SHM_NONCE)
        return cs_fail_errno(err, CS_EIO, "random bytes");
    return 0;
}

int cs_ring_init(struct cs_ring *ring, uint64_t bytes, struct cs_err *err)
{
    int credit[2] = {-1, -1};
    *ring = (struct cs_ring){.opened = true, .memfd = -1};
    if (bytes < CS_SHM_MIN_BYTES)
        bytes = CS_SHM_MIN_BYTES;
    if (bytes > CS_SHM_MAX_BYTES)
        bytes = CS_SHM_MAX_BYTES;
    bytes = (bytes + PAGE - 1) & ~(uint64_t)(PAGE - 1);
    int result = check_memory(bytes, err);
    if (result == 0)
        result = make_area(ring, bytes, err);
    if (result == 0 && pipe2(credit, O_CLOEXEC | O_NONBLOCK) != 0)
        result = cs_fail_errno(err, CS_EIO, "credit pipe");
    ring->credit_read = credit[0];
    ring->credit_write = credit[1]; // kept open: no end of file before and after the reader's
    if (result != 0)
        cs_ring_release(ring);
    return result;
}

int cs_ring_offer(const struct cs_ring *ring, int out_fd, struct cs_meta *head, struct cs_err *err)
{
    struct stat st;
    char nonce[2 * CS_SHM_NONCE + 1];
    if (fstat(out_fd, &st) != 0)
        return cs_fail_errno(err, CS_EIO, "standard output");
    for (int i = 0; i < CS_SHM_NONCE; i++)
        snprintf(nonce + 2 * i, 3, "%02x", ring->map[i]);
    cs_meta_setf(head, CS_KEY_SHM, "%ld,%d,%d,%llu,%s", (long)getpid(), ring->memfd,
                 ring->credit_read, (unsigned long long)ring->bytes, nonce);
    cs_meta_setf(head, CS_KEY_PIPE, "%llu,%llu", (unsigned long long)st.st_dev,
                 (unsigned long long)st.st_ino);
    return 0;
}

uint64_t cs_ring_most(const struct cs_ring *ring)
{
    return ring->map ? (ring->limit - CS_SHM_FIRST) / 2 : 0;
}

int cs_ring_credits(struct cs_ring *ring, struct cs_err *err)
{
    uint64_t counts[64];
    for (;;) {
        ssize_t n = read(ring->credit_read, counts, sizeof counts);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return 0;
        if (n <= 0)
            return cs_fail_errno(err, CS_EIO, "credit pipe");
        ring->attached = true;
        for (size_t i = 0; i < (size_t)n / sizeof *counts; i++) {
            if (counts[i] > ring->sent || counts[i] < ring->released || n % sizeof *counts)
                return cs_fail(err, CS_ESTREAM, "the reader gave back frames that it never had");
            ring->released = counts[i];
        }
    }
}

// Where `bytes` fit. The area grows rather than that the payloads turn back to its start, unless a
// half of what is reserved is free there: the reader keeps up. 0: nowhere now.
static uint64_t find_room(const struct cs_ring *ring, uint64_t bytes)
{
    if (ring->sent == ring->released)
        return ring->limit - CS_SHM_FIRST >= bytes ? CS_SHM_FIRST : 0;
    uint64_t oldest = ring->inflight[ring->released % CS_SHM_INFLIGHT];
    if (ring->next <= oldest)
        return oldest - ring->next >= bytes ? ring->next : 0;
    uint64_t before = oldest - CS_SHM_FIRST;
    bool keeps_up = before >= bytes && before >= ring->reserved / 2;
    if (ring->limit - ring->next >= bytes && (!keeps_up || ring->reserved - ring->next >= bytes))
        return ring->next;
    return before >= bytes ? CS_SHM_FIRST : 0;
}

uint64_t cs_ring_take(struct cs_ring *ring, uint64_t bytes)
{
    bytes = (bytes + 63) & ~(uint64_t)63;
    if (ring->sent - ring->released == CS_SHM_INFLIGHT)
        return 0;
    uint64_t begin = find_room(ring, bytes);
    if (begin && reserve(ring, begin + bytes) != 0) {
        ring->limit = ring->reserved; // no memory: go on with what there is
        begin = find_room(ring, bytes);
    }
    if (!begin)
        return 0;
    ring->inflight[ring->sent++ % CS_SHM_INFLIGHT] = begin;
    ring->next = begin + bytes;
    return begin;
}

int cs_ring_wait(const struct cs_ring *ring, int out_fd, int timeout_ms)
{
    struct pollfd ready[2] = {{.fd = ring->credit_read, .events = POLLIN}, {.fd = out_fd}};
    int n = poll(ready, 2, timeout_ms);
    if (n == 0)
        return 0;
    return n > 0 && ready[1].revents & (POLLERR | POLLNVAL) ? -1 : 1;
}

void cs_ring_release(struct cs_ring *ring)
{
    if (ring->map)
        munmap(ring->map, ring->bytes);
    if (ring->opened) {
        const int fds[] = {ring->memfd, ring->credit_read, ring->credit_write};
        for (int i = 0; i < 3; i++)
            if (fds[i] >= 0)
                close(fds[i]);
    }
    *ring = (struct cs_ring){0};
}
