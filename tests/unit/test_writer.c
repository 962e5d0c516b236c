// SPDX-License-Identifier: MIT
// The writer (stream/stream.h): what it refuses to write, and outputs that are closed or full.
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "streamcase.h"
#include "suite.h"

START_TEST(limits_writer_order)
{
    struct cs_writer *writer;
    struct cs_meta meta = {0};
    struct cs_err err = {0};
    struct cs_image plane = {.width = 4, .height = 2, .channels = 1, .dtype = CS_U8};
    const char rows[8] = "";
    int fd = memfd_create("test", 0);
    ck_assert_int_eq(cs_writer_open(&writer, fd, CS_TRANSPORT_AUTO, 0, &err), 0);
    ck_assert_int_eq(cs_writer_begin(writer, &meta, &err), -1);
    ck_assert_int_eq(cs_writer_head(writer, &meta, &err), 0);
    ck_assert_int_eq(cs_writer_data(writer, CS_PLANE_IMAGE, &plane, 0, 1, rows, &err), -1);
    ck_assert_int_eq(cs_writer_begin(writer, &meta, &err), 0);
    ck_assert_int_eq(cs_writer_data(writer, CS_PLANE_IMAGE, &plane, 1, 1, rows, &err), -1);
    ck_assert_int_eq(cs_writer_data(writer, CS_PLANE_IMAGE, &plane, 0, 1, rows, &err), 0);
    ck_assert_int_eq(cs_writer_done(writer, &meta, &err), -1);
    cs_meta_set(&meta, CS_KEY_STATUS, "ok");
    ck_assert_int_eq(cs_writer_done(writer, &meta, &err), -1); // the plane is not complete
    plane.width = 0;
    ck_assert_int_eq(cs_writer_data(writer, CS_PLANE_IMAGE, &plane, 1, 1, rows, &err), -1);
    plane.width = 0xffffffff;
    ck_assert_int_eq(cs_writer_data(writer, CS_PLANE_IMAGE, &plane, 1, 1, rows, &err), -1);
    // An early end closes the item as failed, and all of it reads well.
    ck_assert_int_eq(cs_writer_end(writer, 5, "no device", &err), 0);
    ck_assert_int_eq(cs_writer_begin(writer, &meta, &err), -1);
    cs_writer_close(writer);

    struct cs_reader *reader;
    struct cs_item item = {0};
    lseek(fd, 0, SEEK_SET);
    ck_assert_int_eq(cs_reader_open(&reader, fd, "test", CS_TRANSPORT_AUTO, &err), 0);
    ck_assert_int_eq(cs_item_read(reader, &item, NULL, &err), 1);
    ck_assert(cs_item_failed(&item));
    ck_assert_str_eq(cs_meta_get(&item.done, CS_KEY_ERROR_TEXT), "no device");
    ck_assert_int_eq(cs_item_read(reader, &item, NULL, &err), 0);
    ck_assert_int_eq(cs_reader_status(reader), 5);
    ck_assert_str_eq(cs_meta_get(cs_reader_end(reader), CS_KEY_REASON), "no device");
    cs_item_release(&item);
    cs_reader_close(reader);
    cs_meta_release(&meta);
    close(fd);
}
END_TEST

START_TEST(limits_metadata)
{
    struct cs_writer *writer;
    struct cs_meta meta = {0};
    struct cs_err err = {0};
    int fd = memfd_create("test", 0);
    char *text = calloc(1, CS_FRAME_MAX_META + 1);
    memset(text, 'x', CS_FRAME_MAX_META);
    ck_assert_int_eq(cs_writer_open(&writer, fd, CS_TRANSPORT_AUTO, 0, &err), 0);
    cs_meta_set(&meta, "key", text);
    ck_assert_int_eq(cs_writer_head(writer, &meta, &err), -1);
    ck_assert_int_eq(err.code, CS_ESTREAM);
    cs_writer_close(writer);

    // Exactly the most: "key=" and a newline are 5 bytes.
    text[CS_FRAME_MAX_META - 5] = '\0';
    cs_meta_set(&meta, "key", text);
    ck_assert_int_eq(cs_writer_open(&writer, fd, CS_TRANSPORT_AUTO, 0, &err), 0);
    ck_assert_int_eq(cs_writer_head(writer, &meta, &err), 0);
    ck_assert_int_eq(cs_writer_end(writer, 0, NULL, &err), 0);
    cs_writer_close(writer);
    lseek(fd, 0, SEEK_SET);
    ck_assert_int_eq(streamcase_read(fd, &err), 0);
    cs_meta_release(&meta);
    free(text);
}
END_TEST

START_TEST(limits_closed_output)
{
    struct cs_writer *writer;
    struct cs_meta meta = {0};
    struct cs_err err = {0};
    int fds[2];
    signal(SIGPIPE, SIG_IGN);
    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_int_eq(cs_writer_open(&writer, fds[1], CS_TRANSPORT_AUTO, 0, &err), 0);
    ck_assert_int_eq(cs_writer_head(writer, &meta, &err), 0);
    ck_assert(!cs_writer_closed(writer));
    close(fds[0]);
    ck_assert_int_eq(cs_writer_begin(writer, &meta, &err), -1);
    ck_assert_int_eq(err.code, CS_EIO);
    ck_assert_int_eq(errno, EPIPE);
    ck_assert(cs_writer_closed(writer));
    ck_assert_int_eq(cs_writer_end(writer, 0, NULL, &err), -1);
    cs_writer_close(writer);
    cs_writer_close(NULL);
    close(fds[1]);

    int full = open("/dev/full", O_WRONLY);
    ck_assert_int_eq(cs_writer_open(&writer, full, CS_TRANSPORT_AUTO, 0, &err), 0);
    ck_assert_int_eq(cs_writer_head(writer, &meta, &err), -1);
    ck_assert_int_eq(errno, ENOSPC);
    ck_assert(!cs_writer_closed(writer));
    cs_writer_close(writer);
    close(full);
}
END_TEST

// A disk that fills up at any byte: the write that meets it fails, and so do all later ones.
START_TEST(limits_full_anywhere)
{
    struct cs_buf bytes = {0};
    struct rlimit limit;
    streamcase_written(&bytes);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    for (size_t len = 0; len < bytes.len; len += 1 + len % 7) {
        struct streamcase s = {.fd = memfd_create("test", 0), .items = 5, .width = 5, .height = 4};
        int fd = dup(s.fd);
        limit.rlim_cur = len;
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        streamcase_run(&s);
        limit.rlim_cur = limit.rlim_max;
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        ck_assert_int_eq(s.err.code, CS_EIO);
        ck_assert_str_eq(s.err.text, "standard output: File too large");
        ck_assert_int_eq(lseek(fd, 0, SEEK_END), (off_t)len);
        close(fd);
    }
    cs_buf_release(&bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("writer");
    TCase *limits = tcase_create("limits");
    tcase_add_test(limits, limits_writer_order);
    tcase_add_test(limits, limits_metadata);
    tcase_add_test(limits, limits_closed_output);
    tcase_add_test(limits, limits_full_anywhere);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
