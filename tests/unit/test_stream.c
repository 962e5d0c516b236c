// SPDX-License-Identifier: MIT
// The reader (stream/stream.h): both transports, the order of frames, cut and damaged streams.
#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "streamcase.h"
#include "suite.h"

// ---- A stream from a thread ----------------------------------------------------------------

static void check_same_plane(const struct cs_image *a, const struct cs_image *b)
{
    ck_assert_uint_eq(a->width, b->width);
    ck_assert_uint_eq(a->height, b->height);
    ck_assert_uint_eq(a->channels, b->channels);
    ck_assert_uint_eq(a->dtype, b->dtype);
    ck_assert_int_eq(!a->data, !b->data);
    if (a->data)
        ck_assert_mem_eq(a->data, b->data, cs_image_bytes(a));
}

static void check_items(int fd, const struct streamcase *s, enum cs_transport transport,
                        const char *arrives)
{
    struct cs_reader *reader = NULL;
    struct cs_err err = {0};
    struct cs_item item = {0}, expected = {0};
    uint32_t n = 0;
    int result;
    ck_assert_msg(cs_reader_open(&reader, fd, "test", transport, &err) == 0, "%s", err.text);
    ck_assert_str_eq(cs_reader_transport(reader), arrives);
    ck_assert_str_eq(cs_meta_get(cs_reader_head(reader), "prov.cs-source"), CS_VERSION " a=1");
    ck_assert_ptr_null(cs_meta_get(cs_reader_head(reader), CS_KEY_SHM));
    for (; (result = cs_item_read(reader, &item, NULL, &err)) == 1; n++) {
        streamcase_item(&expected, n, s->width, s->height);
        ck_assert_uint_eq(item.number, n);
        ck_assert_str_eq(cs_meta_get(&item.begin, CS_KEY_SOURCE),
                         cs_meta_get(&expected.begin, CS_KEY_SOURCE));
        ck_assert_int_eq(cs_item_failed(&item), n % 4 == 3);
        for (int p = 0; p < CS_PLANE_COUNT; p++)
            check_same_plane(&item.planes[p], &expected.planes[p]);
    }
    ck_assert_msg(result == 0, "%s", err.text);
    ck_assert_uint_eq(n, s->items);
    ck_assert_int_eq(cs_reader_status(reader), n == 0 ? 3 : n > 3);
    cs_item_release(&item);
    cs_item_release(&expected);
    cs_reader_close(reader);
}

static void round_trip(struct streamcase s, enum cs_transport reads, const char *arrives)
{
    int fds[2];
    pthread_t thread;
    ck_assert_int_eq(pipe(fds), 0);
    s.fd = fds[1];
    pthread_create(&thread, NULL, streamcase_run, &s);
    check_items(fds[0], &s, reads, arrives);
    pthread_join(thread, NULL);
    ck_assert_msg(s.err.code == CS_OK, "%s", s.err.text);
    close(fds[0]);
}

START_TEST(core_round_trip)
{
    const uint64_t rings[] = {0, 64 << 10, 300 << 10};
    for (uint32_t size = 1; size < 800; size = size * 5 + 3) {
        struct streamcase s = {.items = 13, .width = size, .height = size / 2 + 1};
        s.transport = CS_TRANSPORT_PIPE;
        round_trip(s, CS_TRANSPORT_AUTO, "pipe");
        s.transport = CS_TRANSPORT_AUTO;
        round_trip(s, CS_TRANSPORT_PIPE, "pipe");
        for (int i = 0; i < 3; i++) {
            s.ring_bytes = rings[i];
            s.transport = CS_TRANSPORT_SHM;
            round_trip(s, CS_TRANSPORT_AUTO, "shm");
        }
    }
}
END_TEST

START_TEST(core_many_small)
{
    struct streamcase s = {.items = 3000, .width = 3, .height = 2, .transport = CS_TRANSPORT_SHM};
    round_trip(s, CS_TRANSPORT_SHM, "shm");
    s = (struct streamcase){.items = 0, .transport = CS_TRANSPORT_PIPE};
    round_trip(s, CS_TRANSPORT_AUTO, "pipe");
}
END_TEST

// Somebody else may have made the shared description of the pipe non-blocking.
START_TEST(core_nonblocking)
{
    struct streamcase s = {
        .items = 200, .width = 200, .height = 200, .transport = CS_TRANSPORT_PIPE};
    int fds[2];
    pthread_t thread;
    ck_assert_int_eq(pipe2(fds, O_NONBLOCK), 0);
    s.fd = fds[1];
    pthread_create(&thread, NULL, streamcase_run, &s);
    check_items(fds[0], &s, CS_TRANSPORT_AUTO, "pipe");
    pthread_join(thread, NULL);
    ck_assert_msg(s.err.code == CS_OK, "%s", s.err.text);
    close(fds[0]);
}
END_TEST

// ---- Streams in memory ---------------------------------------------------------------------

static int read_script(const char *script, struct cs_err *err)
{
    struct cs_buf bytes = {0};
    streamcase_compose(&bytes, script);
    int result = streamcase_read(streamcase_file(bytes.data, bytes.len), err);
    cs_buf_release(&bytes);
    return result;
}

START_TEST(core_order)
{
    static const char *const good[] = {
        "HE",      "HB0123D+E",      "HBD+E",           "HBX+E",
        "HB01X+E", "HB0l123D+BlD+E", "HsBs0s123sDs+sE", "HBD+BD+BX+E",
        "HBX+F"};
    static const struct {
        const char *script, *says;
    } bad[] = {
        {"E", "without HEAD"},
        {"BD+E", "without HEAD"},
        {"HHE", "second HEAD"},
        {"HB0123+E", "END before DONE"},
        {"HBB", "BEGIN before DONE"},
        {"H0", "DATA outside an item"},
        {"HD", "DONE outside an item"},
        {"HB012D+E", "ends at row 3 of 4"},
        {"HB0123D+B0D", "ends at row 1 of 4"},
        {"HB1", "row 1 of the image plane where row 0"},
        {"HB00", "row 0 of the image plane where row 1"},
        {"HB02", "row 2"},
        {"HB3", "row 3"},
        {"HB0w", "differ in shape"},
        {"HB01ND", "DONE without a known status"},
        {"HBDBD", "item 0 where item 1 should be"},
        {"H+BD", "item 1 where item 0 should be"},
        {"HB+0", "item 1 where item 0"},
        {"HB+D", "item 1 where item 0"},
        {"HBDE", "END counts 0 items, 1 came"},
        {"H+E", "END counts 1 items, 0 came"},
        {"HBD+F", "END counts 1 failed items, 0 came"},
        {"HBX+BX+F", "END counts 1 failed items, 2 came"},
        {"HG", "END: exit: 256 is not between 0 and 255"},
        {"HBu", "unknown kind 9"},
        {"HEE", "bytes after END"},
        {"HEs", "bytes after END"},
        {"H", "without END"},
        {"HB0123D+", "without END"},
    };
    struct cs_err err = {0};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        ck_assert_msg(read_script(good[i], &err) == 0, "%s: %s", good[i], err.text);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_msg(read_script(bad[i].script, &err) == -1, "%s is accepted", bad[i].script);
        ck_assert_msg(err.code == CS_ESTREAM && strstr(err.text, bad[i].says), "%s: %s",
                      bad[i].script, err.text);
        ck_assert_msg(strncmp(err.text, "test: ", 6) == 0, "%s", err.text);
    }
}
END_TEST

START_TEST(limits_cut_anywhere)
{
    struct cs_buf bytes = {0};
    struct cs_err err;
    streamcase_written(&bytes);
    ck_assert_int_eq(streamcase_read(streamcase_file(bytes.data, bytes.len), &err), 0);
    for (size_t len = 0; len < bytes.len; len++) {
        ck_assert_int_eq(streamcase_read(streamcase_file(bytes.data, len), &err), -1);
        ck_assert_int_eq(err.code, CS_ESTREAM);
    }
    cs_buf_release(&bytes);
}
END_TEST

// Headers and pixels have checksums in a file: no byte of them changes unnoticed.
START_TEST(limits_damage_anywhere)
{
    struct cs_buf bytes = {0};
    struct cs_err err;
    streamcase_written(&bytes);
    for (size_t at = 0; at < bytes.len;) {
        struct cs_frame_header h;
        ck_assert_int_eq(cs_frame_decode((uint8_t *)bytes.data + at, &h, &err), 0);
        size_t meta = at + CS_FRAME_BYTES, end = meta + h.meta_bytes + (size_t)h.payload_bytes;
        for (size_t i = at; i < end; i++) {
            if (i == meta)
                i += h.meta_bytes;
            if (i == end)
                break;
            bytes.data[i] ^= 0x10;
            ck_assert_msg(streamcase_read(streamcase_file(bytes.data, bytes.len), &err) == -1,
                          "byte %zu of %zu", i, bytes.len);
            bytes.data[i] ^= 0x10;
        }
        at = end;
    }
    cs_buf_release(&bytes);
}
END_TEST

// After an error the reader says the same again; after END nothing comes.
START_TEST(limits_sticky)
{
    struct cs_buf bytes = {0};
    struct cs_reader *reader;
    struct cs_frame frame;
    struct cs_err err = {0}, again = {0};
    streamcase_compose(&bytes, "HBB");
    int fd = streamcase_file(bytes.data, bytes.len);
    ck_assert_int_eq(cs_reader_open(&reader, fd, "test", CS_TRANSPORT_AUTO, &err), 0);
    ck_assert_int_eq(cs_reader_next(reader, &frame, &err), 1);
    ck_assert_int_eq(cs_reader_next(reader, &frame, &err), -1);
    ck_assert_int_eq(cs_reader_next(reader, &frame, &again), -1);
    ck_assert_str_eq(err.text, again.text);
    cs_reader_close(reader);
    cs_reader_close(NULL);
    close(fd);
    cs_buf_release(&bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stream");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_test(core, core_round_trip);
    tcase_add_test(core, core_many_small);
    tcase_add_test(core, core_nonblocking);
    tcase_add_test(core, core_order);
    tcase_add_test(limits, limits_cut_anywhere);
    tcase_add_test(limits, limits_damage_anywhere);
    tcase_add_test(limits, limits_sticky);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
