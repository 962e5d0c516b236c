// SPDX-License-Identifier: MIT
// Bytes a second from one process to another: inline through the pipe, through shared memory, and
// as whole items, beside the floor of the same run, which is one copy of the same bytes in one
// process. Best of several rounds. The reader looks at one byte of each cache line, so that all
// pixels are really there; "unread" leaves that out.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "stream/stream.h"

enum { WIDTH = 1024, HEIGHT = 1024, CHANNELS = 3, FRAME = WIDTH * HEIGHT * CHANNELS, ROUNDS = 5 };

static int frames = 600;
static volatile unsigned sink;

static void fail(const struct cs_err *err)
{
    fprintf(stderr, "bench: %s\n", err->text);
    exit(1);
}

static void write_all(int fd, enum cs_transport transport)
{
    struct cs_writer *writer;
    struct cs_meta head = {0}, done = {0};
    struct cs_err err = {0};
    struct cs_image image;
    cs_meta_set(&done, CS_KEY_STATUS, "ok");
    if (cs_image_init(&image, WIDTH, HEIGHT, CHANNELS, CS_U8, 0, NULL, &err) != 0 ||
        cs_writer_open(&writer, fd, transport, 0, &err) != 0 ||
        cs_writer_head(writer, &head, &err) != 0)
        fail(&err);
    memset(image.data, 7, FRAME);
    for (int i = 0; i < frames; i++)
        if (cs_writer_begin(writer, &head, &err) != 0 ||
            cs_writer_data(writer, CS_PLANE_IMAGE, &image, 0, HEIGHT, image.data, &err) != 0 ||
            cs_writer_done(writer, &done, &err) != 0)
            fail(&err);
    if (cs_writer_end(writer, 0, NULL, &err) != 0)
        fail(&err);
    cs_writer_close(writer);
    cs_image_release(&image);
    cs_meta_release(&done);
}

static void look(const void *data)
{
    const unsigned char *bytes = data;
    unsigned sum = 0;
    for (size_t i = 0; i < FRAME; i += 64)
        sum += bytes[i];
    sink = sum;
}

enum mode { UNREAD, IN_PLACE, ITEMS };

static double read_all(int fd, enum cs_transport transport, enum mode mode)
{
    struct cs_reader *reader;
    struct cs_frame frame;
    struct cs_item item = {0};
    struct cs_err err = {0};
    int result;
    if (cs_reader_open(&reader, fd, "pipe", transport, &err) != 0)
        fail(&err);
    double start = cs_clock_seconds();
    if (mode == ITEMS)
        while ((result = cs_item_read(reader, &item, NULL, &err)) == 1)
            look(item.planes[CS_PLANE_IMAGE].data);
    else
        while ((result = cs_reader_next(reader, &frame, &err)) == 1)
            if (frame.payload && mode == IN_PLACE)
                look(frame.payload);
    double seconds = cs_clock_seconds() - start;
    if (result != 0)
        fail(&err);
    cs_item_release(&item);
    cs_reader_close(reader);
    return seconds;
}

static double hop(enum cs_transport transport, enum mode mode)
{
    int fds[2];
    if (pipe(fds) != 0)
        exit(1);
    pid_t child = fork();
    if (child == 0) {
        close(fds[0]);
        write_all(fds[1], transport);
        _exit(0);
    }
    close(fds[1]);
    double seconds = read_all(fds[0], transport, mode);
    close(fds[0]);
    waitpid(child, NULL, 0);
    return seconds;
}

// The same bytes copied from one frame to places all over an area as large as the ring.
static double copy(void)
{
    enum { AREA = 64 << 20, PLACES = AREA / FRAME };
    char *from = malloc(FRAME), *to = malloc(AREA);
    if (!from || !to)
        exit(1);
    memset(from, 7, FRAME);
    memset(to, 0, AREA);
    double start = cs_clock_seconds();
    for (int i = 0; i < frames; i++) {
        memcpy(to + (size_t)(i % PLACES) * FRAME, from, FRAME);
        sink = (unsigned char)to[(size_t)(i % PLACES) * FRAME + (size_t)i];
    }
    double seconds = cs_clock_seconds() - start;
    free(from);
    free(to);
    return seconds;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        enum cs_transport transport;
        enum mode mode;
    } cases[] = {
        {"pipe, in place", CS_TRANSPORT_PIPE, IN_PLACE},
        {"pipe, items", CS_TRANSPORT_PIPE, ITEMS},
        {"shm, unread", CS_TRANSPORT_SHM, UNREAD},
        {"shm, in place", CS_TRANSPORT_SHM, IN_PLACE},
        {"shm, items", CS_TRANSPORT_SHM, ITEMS},
    };
    enum { CASES = sizeof cases / sizeof *cases };
    double best[CASES + 1];
    if (argc > 1)
        frames = (int)strtol(argv[1], NULL, 10);
    for (int i = 0; i <= CASES; i++)
        best[i] = 1e9;
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i <= CASES; i++) {
            double seconds = i == CASES ? copy() : hop(cases[i].transport, cases[i].mode);
            best[i] = seconds < best[i] ? seconds : best[i];
        }
    double bytes = (double)FRAME * frames;
    printf("%d frames of %d x %d x %d, best of %d rounds\n", frames, WIDTH, HEIGHT, CHANNELS,
           ROUNDS);
    printf("%-16s %6.2f GB/s\n", "one copy", bytes / best[CASES] * 1e-9);
    for (int i = 0; i < CASES; i++)
        printf("%-16s %6.2f GB/s  %.2f of one copy\n", cases[i].name, bytes / best[i] * 1e-9,
               best[CASES] / best[i]);
    return 0;
}
