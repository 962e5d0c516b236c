// SPDX-License-Identifier: MIT
// The ring of shared memory (stream/shm.h): where payloads lie, when there is no memory, and that
// nobody else can change it.
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "planes.h"
#include "stream/shm.h"
#include "suite.h"

static void give_back(struct cs_ring *ring, uint64_t released)
{
    struct cs_err err = {0};
    ck_assert_int_eq(write(ring->credit_write, &released, sizeof released), sizeof released);
    ck_assert_msg(cs_ring_credits(ring, &err) == 0, "%s", err.text);
}

// Against a plain list of what is in flight: payloads never overlap, lie inside, and the largest
// one that the ring admits always finds room when all was given back.
START_TEST(core_ring_allocation)
{
    struct cs_ring ring;
    struct cs_err err = {0};
    uint64_t begin[CS_SHM_INFLIGHT], end[CS_SHM_INFLIGHT], seed = 7;
    uint64_t oldest = 0, newest = 0, refused = 0, wrapped = 0;
    ck_assert_int_eq(cs_ring_init(&ring, 256 << 10, &err), 0);
    for (int step = 0; step < 20000; step++) {
        uint64_t bytes = 1 + planes_random(&seed) % (step % 3 ? 9000 : cs_ring_most(&ring));
        uint64_t offset = cs_ring_take(&ring, bytes);
        if (offset) {
            ck_assert_uint_eq(offset % 64, 0);
            ck_assert_uint_ge(offset, CS_SHM_FIRST);
            ck_assert_uint_le(offset + bytes, ring.bytes);
            for (uint64_t i = oldest; i < newest; i++)
                ck_assert(offset + bytes <= begin[i % CS_SHM_INFLIGHT] ||
                          end[i % CS_SHM_INFLIGHT] <= offset);
            wrapped += newest > oldest && offset < begin[(newest - 1) % CS_SHM_INFLIGHT];
            begin[newest % CS_SHM_INFLIGHT] = offset;
            end[newest++ % CS_SHM_INFLIGHT] = offset + bytes;
        } else {
            ck_assert_uint_gt(newest, oldest);
            refused++;
        }
        if (oldest < newest && (!offset || planes_random(&seed) % 2)) {
            oldest += 1 + planes_random(&seed) % (newest - oldest);
            give_back(&ring, oldest);
        }
    }
    ck_assert_uint_gt(refused, 100);
    ck_assert_uint_gt(wrapped, 100);
    give_back(&ring, newest);
    ck_assert_uint_ne(cs_ring_take(&ring, cs_ring_most(&ring)), 0);
    ck_assert_uint_ne(cs_ring_take(&ring, cs_ring_most(&ring) - 64), 0);
    cs_ring_release(&ring);
}
END_TEST

START_TEST(limits_ring_smallest)
{
    struct cs_ring ring;
    struct cs_err err = {0};
    ck_assert_int_eq(cs_ring_init(&ring, 0, &err), 0);
    ck_assert_uint_eq(ring.bytes, CS_SHM_MIN_BYTES);
    cs_ring_release(&ring);
    ck_assert_int_eq(cs_ring_init(&ring, CS_SHM_MIN_BYTES + 1, &err), 0);
    ck_assert_uint_eq(ring.bytes, CS_SHM_MIN_BYTES + 4096);
    cs_ring_release(&ring);
    cs_ring_release(&ring);
}
END_TEST

START_TEST(limits_ring_inflight)
{
    struct cs_ring ring;
    struct cs_err err = {0};
    ck_assert_int_eq(cs_ring_init(&ring, 1 << 20, &err), 0);
    for (int i = 0; i < CS_SHM_INFLIGHT; i++)
        ck_assert_uint_ne(cs_ring_take(&ring, 1), 0);
    ck_assert_uint_eq(cs_ring_take(&ring, 1), 0);
    give_back(&ring, 1);
    ck_assert_uint_ne(cs_ring_take(&ring, 1), 0);
    ck_assert_uint_eq(cs_ring_take(&ring, 1), 0);
    cs_ring_release(&ring);
}
END_TEST

START_TEST(limits_ring_false_credits)
{
    for (uint64_t wrong = 4; wrong < 6; wrong++) {
        struct cs_ring ring;
        struct cs_err err = {0};
        ck_assert_int_eq(cs_ring_init(&ring, 1 << 20, &err), 0);
        for (int i = 0; i < 3; i++)
            ck_assert_uint_ne(cs_ring_take(&ring, 1), 0);
        give_back(&ring, 2);
        uint64_t counts[2] = {wrong == 4 ? wrong : 1, 3};
        ck_assert_int_eq(write(ring.credit_write, counts, sizeof counts), sizeof counts);
        ck_assert_int_eq(cs_ring_credits(&ring, &err), -1);
        ck_assert_int_eq(err.code, CS_ESTREAM);
        cs_ring_release(&ring);
    }
}
END_TEST

// No memory: more than a quarter of the machine's, a limit on what may be allocated or mapped, no
// descriptors. Nothing is left open.
START_TEST(limits_ring_no_memory)
{
    struct cs_ring ring;
    struct cs_err err = {0};
    int fds = suite_open_files();
    ck_assert_int_eq(cs_ring_init(&ring, CS_SHM_MAX_BYTES, &err), -1);
    ck_assert_int_eq(err.code, CS_ENOMEM);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {1 << 20, 1 << 20}, files;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(cs_ring_init(&ring, 2 << 20, &err), -1);
    ck_assert_int_eq(err.code, CS_ENOMEM);
    ck_assert_ptr_null(ring.map);
    ck_assert_int_eq(suite_open_files(), fds);
    getrlimit(RLIMIT_NOFILE, &files);
    int lowest = dup(0);
    close(lowest);
    files.rlim_cur = (rlim_t)lowest + 1; // the area, but no credit pipe
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
    ck_assert_int_eq(cs_ring_init(&ring, 1 << 20, &err), -1);
    ck_assert_ptr_null(ring.map);
    ck_assert_int_eq(suite_open_files(), fds);
    cs_ring_release(&ring);
}
END_TEST

// The machine fills up while the ring is in use: what it has goes on, larger payloads go inline.
START_TEST(limits_ring_cannot_grow)
{
    struct cs_ring ring;
    struct cs_err err = {0};
    ck_assert_int_eq(cs_ring_init(&ring, 16 << 20, &err), 0);
    uint64_t most = cs_ring_most(&ring), half = 1 << 20;
    ck_assert_uint_lt(ring.reserved, ring.bytes);
    ck_assert_uint_ne(cs_ring_take(&ring, half), 0);
    ck_assert_uint_ne(cs_ring_take(&ring, half), 0);
    uint64_t reserved = ring.reserved;
    int area = ring.memfd;
    ring.memfd = -1; // the system refuses
    ck_assert_uint_eq(cs_ring_take(&ring, most), 0);
    ck_assert_uint_eq(ring.reserved, reserved);
    ck_assert_uint_lt(cs_ring_most(&ring), most);
    give_back(&ring, 2);
    uint64_t offset = cs_ring_take(&ring, half);
    ck_assert_uint_ne(offset, 0);
    memset(ring.map + offset, 1, half); // memory that is there
    give_back(&ring, 3);
    ck_assert_uint_ne(cs_ring_take(&ring, cs_ring_most(&ring)), 0);
    ring.memfd = area;
    cs_ring_release(&ring);
}
END_TEST

// A reader that keeps up is served from the first megabytes of a large ring.
START_TEST(core_ring_reuses)
{
    struct cs_ring ring;
    struct cs_err err = {0};
    ck_assert_int_eq(cs_ring_init(&ring, 64 << 20, &err), 0);
    for (uint64_t i = 1; i < 100; i++) {
        ck_assert_uint_ne(cs_ring_take(&ring, 700000), 0);
        ck_assert_uint_ne(cs_ring_take(&ring, 700000), 0);
        give_back(&ring, 2 * i - 1); // one is always with the reader
    }
    ck_assert_uint_le(ring.reserved, 4 << 20);
    give_back(&ring, ring.sent);
    for (int i = 0; i < 60; i++) // one that lags does not stop the writer
        ck_assert_uint_ne(cs_ring_take(&ring, 700000), 0);
    ck_assert_uint_gt(ring.reserved, 32 << 20);
    cs_ring_release(&ring);
}
END_TEST

// ---- The seals -----------------------------------------------------------------------------

// Whoever finds the area through /proc, even to write, can change nothing of it.
START_TEST(core_seals)
{
    struct cs_ring ring;
    struct cs_err err = {0};
    char path[64];
    ck_assert_int_eq(cs_ring_init(&ring, 1 << 20, &err), 0);
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)getpid(), ring.memfd);
    int fd = open(path, O_RDWR);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, 4096), -1);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(ftruncate(fd, 2 << 20), -1);
    ck_assert_int_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
    ck_assert_int_eq(write(fd, "x", 1), -1);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_ptr_eq(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    void *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(map, MAP_FAILED);
    ck_assert_int_eq(mprotect(map, 4096, PROT_READ | PROT_WRITE), -1);
    memset(ring.map + CS_SHM_FIRST, 1, 100); // its owner still writes
    munmap(map, 4096);
    close(fd);
    cs_ring_release(&ring);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ring");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_test(core, core_ring_allocation);
    tcase_add_test(core, core_ring_reuses);
    tcase_add_test(core, core_seals);
    tcase_add_test(limits, limits_ring_smallest);
    tcase_add_test(limits, limits_ring_inflight);
    tcase_add_test(limits, limits_ring_false_credits);
    tcase_add_test(limits, limits_ring_no_memory);
    tcase_add_test(limits, limits_ring_cannot_grow);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
