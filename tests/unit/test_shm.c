// SPDX-License-Identifier: MIT
// Shared memory between a writer and a reader (stream/shm.h): the offer, and every reason for
// either to do without it. The ring itself is in test_ring.c.
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "stream/shm.h"
#include "stream/stream.h"
#include "suite.h"

// ---- The offer -----------------------------------------------------------------------------

struct hop {
    struct cs_ring ring;
    struct cs_meta head;
    int fds[2];
};

static void hop_init(struct hop *hop)
{
    struct cs_err err = {0};
    memset(hop, 0, sizeof *hop);
    ck_assert_int_eq(pipe(hop->fds), 0);
    ck_assert_int_eq(cs_ring_init(&hop->ring, 1 << 20, &err), 0);
    ck_assert_int_eq(cs_ring_offer(&hop->ring, hop->fds[1], &hop->head, &err), 0);
}

static void hop_release(struct hop *hop)
{
    cs_ring_release(&hop->ring);
    cs_meta_release(&hop->head);
    close(hop->fds[0]);
    close(hop->fds[1]);
}

// Offer something else than the hop's own and expect to be refused without the writer being told.
static void refused(struct hop *hop, long pid, int memfd, int credit, uint64_t bytes,
                    const char *nonce, const char *says)
{
    struct cs_attach attach;
    struct cs_err err = {0};
    char own[2 * CS_SHM_NONCE + 1];
    for (int i = 0; i < CS_SHM_NONCE; i++)
        snprintf(own + 2 * i, 3, "%02x", hop->ring.map[i]);
    cs_meta_setf(&hop->head, CS_KEY_SHM, "%ld,%d,%d,%llu,%s", pid, memfd, credit,
                 (unsigned long long)bytes, nonce ? nonce : own);
    int fds = suite_open_files();
    ck_assert_msg(cs_attach_init(&attach, hop->fds[0], &hop->head, &err) == -1, "%s", says);
    ck_assert_msg(strstr(err.text, says), "'%s' lacks '%s'", err.text, says);
    ck_assert_ptr_null(attach.map);
    ck_assert_int_eq(suite_open_files(), fds);
    ck_assert_int_eq(cs_ring_credits(&hop->ring, &err), 0);
    ck_assert(!hop->ring.attached);
}

START_TEST(core_offer)
{
    struct hop hop;
    struct cs_attach attach;
    struct cs_err err = {0};
    hop_init(&hop);
    ck_assert_msg(cs_attach_init(&attach, hop.fds[0], &hop.head, &err) == 0, "%s", err.text);
    ck_assert_int_eq(cs_ring_credits(&hop.ring, &err), 0);
    ck_assert(hop.ring.attached);
    // Pixels are read where the writer put them, and are given back once.
    uint64_t offset = cs_ring_take(&hop.ring, 5);
    memcpy(hop.ring.map + offset, "hello", 5);
    ck_assert_mem_eq(cs_attach_hold(&attach, offset, 5, &err), "hello", 5);
    cs_attach_give_back(&attach);
    cs_attach_give_back(&attach);
    ck_assert_int_eq(cs_ring_credits(&hop.ring, &err), 0);
    ck_assert_uint_eq(hop.ring.released, 1);
    // The area outlives its writer for those who hold it.
    hop_release(&hop);
    ck_assert_mem_eq(cs_attach_hold(&attach, offset, 5, &err), "hello", 5);
    cs_attach_give_back(&attach); // no SIGPIPE
    cs_attach_release(&attach);
    cs_attach_release(&attach);
}
END_TEST

START_TEST(limits_offer_refused)
{
    struct hop hop;
    struct cs_attach attach;
    struct cs_err err = {0};
    hop_init(&hop);
    long me = getpid();
    int area = hop.ring.memfd, credit = hop.ring.credit_read;
    uint64_t bytes = hop.ring.bytes;

    // A process that is gone, and one whose descriptors are others (a PID used again).
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0);
    refused(&hop, child, area, credit, bytes, NULL, "No such file");
    refused(&hop, getppid(), area, credit, bytes, NULL, "/proc/");
    // The right process, the wrong descriptors.
    refused(&hop, me, hop.fds[0], credit, bytes, NULL, "is not what was offered");
    refused(&hop, me, area, area, bytes, NULL, "is not what was offered");
    refused(&hop, me, 250, credit, bytes, NULL, "No such file");
    // Another size, another nonce, no nonce.
    refused(&hop, me, area, credit, bytes + 4096, NULL, "not as offered");
    refused(&hop, me, area, credit, bytes / 2, NULL, "not as offered");
    refused(&hop, me, area, credit, 0, NULL, "0 bytes");
    refused(&hop, me, area, credit, bytes,
            "0000000000000000000000000000000000000000000000000000000000000000", "another stream");
    refused(&hop, me, area, credit, bytes, "", "no nonce");
    refused(&hop, me, area, credit, bytes, "00", "no nonce");
    refused(&hop, me, area, credit, bytes,
            "xx00000000000000000000000000000000000000000000000000000000000000", "no nonce");
    // An area of that name without the seals, whose owner could pull it away.
    int bare = memfd_create("cellstream", MFD_ALLOW_SEALING);
    ck_assert_int_eq(ftruncate(bare, (off_t)bytes), 0);
    ck_assert_int_eq(pwrite(bare, hop.ring.map, CS_SHM_NONCE, 0), CS_SHM_NONCE);
    refused(&hop, me, bare, credit, bytes, NULL, "not as offered");
    close(bare);
    // Texts that are no offer.
    static const char *const texts[] = {
        "",         ",",       "1",          "1,2",
        "1,2,3",    "1,2,3,4", "-1,2,3,4,5", "1,2,3,99999999999999999999,00",
        "a,b,c,d,e"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        cs_meta_set(&hop.head, CS_KEY_SHM, texts[i]);
        ck_assert_int_eq(cs_attach_init(&attach, hop.fds[0], &hop.head, &err), -1);
    }
    hop_release(&hop);
}
END_TEST

// A sound offer that arrives through another pipe, or through none.
START_TEST(limits_offer_other_pipe)
{
    struct hop hop;
    struct cs_attach attach;
    struct cs_err err = {0};
    int other[2];
    hop_init(&hop);
    ck_assert_int_eq(pipe(other), 0);
    ck_assert_int_eq(cs_attach_init(&attach, other[0], &hop.head, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "another pipe"));
    int file = memfd_create("test", 0);
    ck_assert_int_eq(cs_attach_init(&attach, file, &hop.head, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "not come through a pipe"));
    cs_meta_remove(&hop.head, CS_KEY_PIPE);
    ck_assert_int_eq(cs_attach_init(&attach, hop.fds[0], &hop.head, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "offers no"));
    close(other[0]);
    close(other[1]);
    close(file);
    hop_release(&hop);
}
END_TEST

START_TEST(limits_hold_outside)
{
    struct hop hop;
    struct cs_attach attach = {0};
    struct cs_err err = {0};
    ck_assert_ptr_null(cs_attach_hold(&attach, CS_SHM_FIRST, 1, &err));
    hop_init(&hop);
    ck_assert_int_eq(cs_attach_init(&attach, hop.fds[0], &hop.head, &err), 0);
    uint64_t most = attach.bytes;
    ck_assert_ptr_nonnull(cs_attach_hold(&attach, CS_SHM_FIRST, most - CS_SHM_FIRST, &err));
    ck_assert_ptr_null(cs_attach_hold(&attach, CS_SHM_FIRST, most - CS_SHM_FIRST + 1, &err));
    ck_assert_ptr_null(cs_attach_hold(&attach, 0, 1, &err));
    ck_assert_ptr_null(cs_attach_hold(&attach, most, 1, &err));
    ck_assert_ptr_null(cs_attach_hold(&attach, UINT64_MAX - 63, 128, &err));
    ck_assert_int_eq(err.code, CS_ESTREAM);
    cs_attach_release(&attach);
    hop_release(&hop);
}
END_TEST

// ---- Whole streams -------------------------------------------------------------------------

enum { WIDTH = 100, HEIGHT = 400 };

struct source {
    int fd;
    enum cs_transport transport;
    uint64_t ring_bytes;
    int items;
    struct cs_err err;
    bool closed;
};

static void *run_source(void *context)
{
    struct source *s = context;
    struct cs_writer *writer = NULL;
    struct cs_meta head = {0};
    struct cs_item item = {0};
    if (cs_writer_open(&writer, s->fd, s->transport, s->ring_bytes, &s->err) == 0 &&
        cs_writer_head(writer, &head, &s->err) == 0) {
        int n = 0;
        cs_image_init(&item.planes[0], WIDTH, HEIGHT, 1, CS_U8, 0, NULL, NULL);
        cs_meta_set(&item.done, CS_KEY_STATUS, "ok");
        do
            memset(item.planes[0].data, n, WIDTH * HEIGHT);
        while (cs_item_write(writer, &item, 1, &s->err) == 0 && ++n < s->items);
        if (n == s->items)
            cs_writer_end(writer, 0, NULL, &s->err);
        s->closed = cs_writer_closed(writer);
    }
    cs_item_release(&item);
    cs_writer_close(writer);
    close(s->fd);
    return NULL;
}

// Read everything; *shared counts the frames that came in shared memory.
static void drain(int fd, int items, const char *arrives, int *shared)
{
    struct cs_reader *reader = NULL;
    struct cs_frame frame;
    struct cs_err err = {0};
    int result, n = 0;
    *shared = 0;
    ck_assert_msg(cs_reader_open(&reader, fd, "test", CS_TRANSPORT_AUTO, &err) == 0, "%s",
                  err.text);
    ck_assert_str_eq(cs_reader_transport(reader), arrives);
    while ((result = cs_reader_next(reader, &frame, &err)) == 1) {
        if (frame.header.kind != CS_FRAME_DATA)
            continue;
        unsigned char expected[WIDTH * HEIGHT];
        memset(expected, n, sizeof expected);
        ck_assert_mem_eq(frame.payload, expected, sizeof expected);
        *shared += (frame.header.flags & CS_FRAME_SHM) != 0;
        n++;
    }
    ck_assert_msg(result == 0, "%s", err.text);
    ck_assert_int_eq(n, items);
    cs_reader_close(reader);
}

static int start(struct source *s, pthread_t *thread)
{
    int fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    s->fd = fds[1];
    pthread_create(thread, NULL, run_source, s);
    return fds[0];
}

// A payload of 40,000 bytes against rings whose half is just enough, and just not.
START_TEST(limits_half_the_ring)
{
    for (int fits = 0; fits < 2; fits++) {
        struct source s = {.transport = CS_TRANSPORT_SHM, .items = 50};
        pthread_t thread;
        int shared;
        s.ring_bytes = (fits ? 21 : 20) * 4096;
        int fd = start(&s, &thread);
        drain(fd, 50, "shm", &shared);
        pthread_join(thread, NULL);
        ck_assert_int_eq(shared, fits ? 50 : 0);
        ck_assert_msg(s.err.code == CS_OK, "%s", s.err.text);
        close(fd);
    }
}
END_TEST

// The writer waits 100 ms, then sends inline, and takes to shared memory when the reader comes.
START_TEST(core_late_reader)
{
    struct source s = {.transport = CS_TRANSPORT_AUTO, .items = 400};
    pthread_t thread;
    int shared;
    int fd = start(&s, &thread);
    for (int waiting = 0; waiting < WIDTH * HEIGHT; usleep(10000)) // a payload in the pipe
        ck_assert_int_eq(ioctl(fd, FIONREAD, &waiting), 0);
    drain(fd, 400, "shm", &shared);
    pthread_join(thread, NULL);
    ck_assert_int_gt(shared, 300);
    ck_assert_int_lt(shared, 400);
    ck_assert_msg(s.err.code == CS_OK, "%s", s.err.text);
    close(fd);
}
END_TEST

// No memory: with `auto` no offer is made, with `shm` that is an error; so is an output that is
// no pipe.
START_TEST(limits_transport)
{
    struct source s = {.transport = CS_TRANSPORT_AUTO, .items = 3, .ring_bytes = CS_SHM_MAX_BYTES};
    struct cs_reader *reader;
    struct cs_err err = {0};
    pthread_t thread;
    int shared, fd = start(&s, &thread);
    drain(fd, 3, "pipe", &shared);
    pthread_join(thread, NULL);
    close(fd);
    ck_assert_int_eq(shared, 0);

    fd = start(&s, &thread);
    ck_assert_int_eq(cs_reader_open(&reader, fd, "test", CS_TRANSPORT_SHM, &err), -1);
    ck_assert_int_eq(err.code, CS_EUSAGE);
    ck_assert_ptr_nonnull(strstr(err.text, "offers no shared memory"));
    signal(SIGPIPE, SIG_IGN);
    close(fd);
    pthread_join(thread, NULL);

    s = (struct source){.transport = CS_TRANSPORT_SHM, .ring_bytes = CS_SHM_MAX_BYTES};
    fd = start(&s, &thread);
    pthread_join(thread, NULL);
    ck_assert_int_eq(s.err.code, CS_ENOMEM);
    close(fd);
    s = (struct source){.fd = memfd_create("test", 0), .transport = CS_TRANSPORT_SHM};
    run_source(&s);
    ck_assert_int_eq(s.err.code, CS_EUSAGE);
}
END_TEST

// The reader goes away: with the ring full, when the writer waits for credit, and with room left,
// when it writes. Either way it ends, and knows why.
START_TEST(limits_reader_gone)
{
    signal(SIGPIPE, SIG_IGN);
    for (int full = 0; full < 2; full++) {
        struct source s = {.transport = CS_TRANSPORT_SHM, .items = 1000000};
        struct cs_reader *reader;
        struct cs_frame frame;
        struct cs_err err = {0};
        pthread_t thread;
        s.ring_bytes = full ? 128 << 10 : 32 << 20;
        int fd = start(&s, &thread);
        ck_assert_int_eq(cs_reader_open(&reader, fd, "test", CS_TRANSPORT_SHM, &err), 0);
        for (int i = 0; i < 10; i++)
            ck_assert_int_eq(cs_reader_next(reader, &frame, &err), 1);
        if (full)
            usleep(200000);
        close(fd);
        pthread_join(thread, NULL);
        ck_assert(s.closed);
        ck_assert_int_eq(s.err.code, CS_EIO);
        cs_reader_close(reader);
    }
}
END_TEST

// A frame in shared memory that nobody attached to.
START_TEST(limits_unattached_frame)
{
    struct cs_frame_header h[] = {
        {.kind = CS_FRAME_HEAD},
        {.kind = CS_FRAME_BEGIN},
        {.kind = CS_FRAME_DATA,
         .flags = CS_FRAME_SHM,
         .payload_bytes = 4,
         .width = 4,
         .height = 1,
         .rows = 1,
         .channels = 1,
         .dtype = CS_U8,
         .shm_offset = CS_SHM_FIRST},
    };
    struct cs_reader *reader;
    struct cs_frame frame;
    struct cs_err err = {0};
    int fd = memfd_create("test", 0);
    for (size_t i = 0; i < sizeof h / sizeof *h; i++) {
        uint8_t bytes[CS_FRAME_BYTES];
        cs_frame_encode(&h[i], bytes);
        ck_assert_int_eq(cs_write_full(fd, bytes, sizeof bytes, &err), 0);
    }
    lseek(fd, 0, SEEK_SET);
    ck_assert_int_eq(cs_reader_open(&reader, fd, "test", CS_TRANSPORT_AUTO, &err), 0);
    ck_assert_int_eq(cs_reader_next(reader, &frame, &err), 1);
    ck_assert_int_eq(cs_reader_next(reader, &frame, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "not attached"));
    cs_reader_close(reader);
    close(fd);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shm");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_test(core, core_offer);
    tcase_add_test(core, core_late_reader);
    tcase_add_test(limits, limits_offer_refused);
    tcase_add_test(limits, limits_offer_other_pipe);
    tcase_add_test(limits, limits_hold_outside);
    tcase_add_test(limits, limits_half_the_ring);
    tcase_add_test(limits, limits_transport);
    tcase_add_test(limits, limits_reader_gone);
    tcase_add_test(limits, limits_unattached_frame);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
