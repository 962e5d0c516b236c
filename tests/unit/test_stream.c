// SPDX-License-Identifier: MIT
// Reader, writer and items: both transports, the order of frames, cut and damaged streams.
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/io.h"
#include "stream/stream.h"
#include "suite.h"

// ---- A stream from a thread ----------------------------------------------------------------

struct source {
    int fd;
    enum cs_transport transport;
    uint64_t ring_bytes;
    uint32_t items, width, height;
    struct cs_err err;
};

static void fill(struct cs_image *image, uint32_t seed)
{
    unsigned char *bytes = image->data;
    size_t count = cs_image_bytes(image);
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        bytes[i] = (unsigned char)(seed >> 24);
    }
}

// Item n: an image plane of a type and size that vary with n, every third with labels, every
// fourth failed.
static void make_item(struct cs_item *item, uint32_t n, uint32_t width, uint32_t height)
{
    static const enum cs_dtype types[] = {CS_U8, CS_U16, CS_F32};
    struct cs_err why = {CS_EINPUT, "asked to fail"};
    cs_item_release(item);
    cs_meta_setf(&item->begin, CS_KEY_SOURCE, "line %u\nwith \\", n);
    cs_meta_set(&item->done, CS_KEY_STATUS, "ok");
    if (n % 4 == 3) {
        cs_item_fail(item, "source", &why);
        return;
    }
    ck_assert_int_eq(cs_image_init(&item->planes[CS_PLANE_IMAGE], width + n % 2, height, 1 + n % 3,
                                   types[n % 3], 0, NULL, &why),
                     0);
    fill(&item->planes[CS_PLANE_IMAGE], n);
    if (n % 3 == 0) {
        ck_assert_int_eq(
            cs_image_init(&item->planes[CS_PLANE_LABELS], width, height, 1, CS_U32, 0, NULL, &why),
            0);
        fill(&item->planes[CS_PLANE_LABELS], n + 1000);
    }
}

static int write_items(struct cs_writer *writer, const struct source *s, struct cs_err *err)
{
    struct cs_meta head = {0};
    struct cs_item item = {0};
    cs_prov_add(&head, "cs-source", "a=1");
    int result = cs_writer_head(writer, &head, err);
    for (uint32_t n = 0; n < s->items && result == 0; n++) {
        make_item(&item, n, s->width, s->height);
        result = cs_item_write(writer, &item, 7, err);
    }
    if (result == 0)
        result = cs_writer_end(writer, 0, NULL, err);
    cs_item_release(&item);
    cs_meta_release(&head);
    return result;
}

static void *run_source(void *context)
{
    struct source *s = context;
    struct cs_writer *writer = NULL;
    if (cs_writer_open(&writer, s->fd, s->transport, s->ring_bytes, &s->err) == 0)
        write_items(writer, s, &s->err);
    cs_writer_close(writer);
    close(s->fd);
    return NULL;
}

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

static void check_items(int fd, const struct source *s, enum cs_transport transport,
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
        make_item(&expected, n, s->width, s->height);
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

static void round_trip(struct source s, enum cs_transport reads, const char *arrives)
{
    int fds[2];
    pthread_t thread;
    ck_assert_int_eq(pipe(fds), 0);
    s.fd = fds[1];
    pthread_create(&thread, NULL, run_source, &s);
    check_items(fds[0], &s, reads, arrives);
    pthread_join(thread, NULL);
    ck_assert_msg(s.err.code == CS_OK, "%s", s.err.text);
    close(fds[0]);
}

START_TEST(core_round_trip)
{
    const uint64_t rings[] = {0, 64 << 10, 300 << 10};
    for (uint32_t size = 1; size < 800; size = size * 5 + 3) {
        struct source s = {.items = 13, .width = size, .height = size / 2 + 1};
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
    struct source s = {.items = 3000, .width = 3, .height = 2, .transport = CS_TRANSPORT_SHM};
    round_trip(s, CS_TRANSPORT_SHM, "shm");
    s = (struct source){.items = 0, .transport = CS_TRANSPORT_PIPE};
    round_trip(s, CS_TRANSPORT_AUTO, "pipe");
}
END_TEST

// Somebody else may have made the shared description of the pipe non-blocking.
START_TEST(core_nonblocking)
{
    struct source s = {.items = 200, .width = 200, .height = 200, .transport = CS_TRANSPORT_PIPE};
    int fds[2];
    pthread_t thread;
    ck_assert_int_eq(pipe2(fds, O_NONBLOCK), 0);
    s.fd = fds[1];
    pthread_create(&thread, NULL, run_source, &s);
    check_items(fds[0], &s, CS_TRANSPORT_AUTO, "pipe");
    pthread_join(thread, NULL);
    ck_assert_msg(s.err.code == CS_OK, "%s", s.err.text);
    close(fds[0]);
}
END_TEST

// ---- Streams in memory ---------------------------------------------------------------------

static int memory_file(const void *bytes, size_t len)
{
    int fd = memfd_create("test", 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(cs_write_full(fd, bytes, len, NULL), 0);
    ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

// Read all frames: the last result, -1 or 0.
static int read_all(int fd, struct cs_err *err)
{
    struct cs_reader *reader = NULL;
    struct cs_frame frame;
    int result = cs_reader_open(&reader, fd, "test", CS_TRANSPORT_AUTO, err);
    if (result == 0)
        while ((result = cs_reader_next(reader, &frame, err)) == 1)
            ;
    cs_reader_close(reader);
    close(fd);
    return result;
}

static void add_frame(struct cs_buf *out, struct cs_frame_header header, const char *meta,
                      const void *payload)
{
    uint8_t bytes[CS_FRAME_BYTES];
    header.meta_bytes = (uint32_t)strlen(meta);
    cs_frame_encode(&header, bytes);
    cs_buf_add(out, bytes, sizeof bytes);
    cs_buf_adds(out, meta);
    if (payload)
        cs_buf_add(out, payload, (size_t)header.payload_bytes);
}

// A stream in short: H HEAD, B BEGIN, 0-9 one row of an image plane of 4 rows, D DONE ok,
// X DONE failed, N DONE without status, E END, w a row of another width, l a row of the labels
// plane, s a skippable frame, u an unknown one, + the next item's number.
static void compose(struct cs_buf *out, const char *script)
{
    static const char row[8] = "abcdefgh";
    uint64_t item = 0;
    for (; *script; script++) {
        struct cs_frame_header band = {.kind = CS_FRAME_DATA,
                                       .item = item,
                                       .payload_bytes = 8,
                                       .width = 8,
                                       .height = 4,
                                       .rows = 1,
                                       .channels = 1,
                                       .dtype = CS_U8};
        switch (*script) {
        case 'H':
            add_frame(out, (struct cs_frame_header){.kind = CS_FRAME_HEAD}, "tool=test\n", NULL);
            break;
        case 'B':
            add_frame(out, (struct cs_frame_header){.kind = CS_FRAME_BEGIN, .item = item},
                      "source=x\n", NULL);
            break;
        case 'D':
        case 'X':
        case 'N':
            add_frame(out, (struct cs_frame_header){.kind = CS_FRAME_DONE, .item = item},
                      *script == 'D'   ? "status=ok\n"
                      : *script == 'X' ? "status=failed\n"
                                       : "state=ok\n",
                      NULL);
            break;
        case 'F':
        case 'G':
            add_frame(out, (struct cs_frame_header){.kind = CS_FRAME_END, .item = item},
                      *script == 'F' ? "failed=1\n" : "exit=256\n", NULL);
            break;
        case 'E':
            add_frame(out, (struct cs_frame_header){.kind = CS_FRAME_END, .item = item}, "", NULL);
            break;
        case 'w':
            band.width = 4;
            band.channels = 2;
            add_frame(out, band, "", row);
            break;
        case 'l':
            band.plane = CS_PLANE_LABELS;
            band.height = 1;
            add_frame(out, band, "", row);
            break;
        case 's':
        case 'u':
            add_frame(
                out,
                (struct cs_frame_header){.kind = *script == 's' ? 0x8009 : 9, .payload_bytes = 8},
                "k=v\n", row);
            break;
        case '+':
            item++;
            break;
        default:
            band.first_row = (uint32_t)(*script - '0');
            add_frame(out, band, "", row);
        }
    }
}

static int read_script(const char *script, struct cs_err *err)
{
    struct cs_buf bytes = {0};
    compose(&bytes, script);
    int result = read_all(memory_file(bytes.data, bytes.len), err);
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

// A stream written to a regular file, with checksums.
static void written(struct cs_buf *out)
{
    int fd = memfd_create("test", 0);
    struct source s = {.fd = dup(fd), .items = 5, .width = 5, .height = 4};
    run_source(&s);
    ck_assert_msg(s.err.code == CS_OK, "%s", s.err.text);
    size_t len = (size_t)lseek(fd, 0, SEEK_END);
    lseek(fd, 0, SEEK_SET);
    ck_assert_int_eq(cs_read_full(fd, cs_buf_reserve(out, len), len, NULL), (ssize_t)len);
    out->len = len;
    close(fd);
}

START_TEST(limits_cut_anywhere)
{
    struct cs_buf bytes = {0};
    struct cs_err err;
    written(&bytes);
    ck_assert_int_eq(read_all(memory_file(bytes.data, bytes.len), &err), 0);
    for (size_t len = 0; len < bytes.len; len++) {
        ck_assert_int_eq(read_all(memory_file(bytes.data, len), &err), -1);
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
    written(&bytes);
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
            ck_assert_msg(read_all(memory_file(bytes.data, bytes.len), &err) == -1,
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
    compose(&bytes, "HBB");
    int fd = memory_file(bytes.data, bytes.len);
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

// ---- Items ---------------------------------------------------------------------------------

// Each item of a stream of 8 bytes a row, under a limit of 31 bytes a plane.
START_TEST(core_item_limits)
{
    const struct cs_item_limits limits = {.max_bytes = 31, .stage = "cs-test"};
    struct cs_buf bytes = {0};
    struct cs_reader *reader;
    struct cs_item item = {0};
    struct cs_err err = {0};
    compose(&bytes, "HB0123D+BlD+B01X+E");
    int fd = memory_file(bytes.data, bytes.len);
    ck_assert_int_eq(cs_reader_open(&reader, fd, "test", CS_TRANSPORT_AUTO, &err), 0);
    ck_assert_int_eq(cs_item_read(reader, &item, &limits, &err), 1);
    ck_assert(cs_item_failed(&item));
    ck_assert_str_eq(cs_meta_get(&item.done, CS_KEY_ERROR_CODE), "OUT_OF_MEMORY");
    ck_assert_str_eq(cs_meta_get(&item.done, CS_KEY_ERROR_STAGE), "cs-test");
    ck_assert_ptr_null(item.planes[CS_PLANE_IMAGE].data);
    ck_assert_int_eq(cs_item_read(reader, &item, &limits, &err), 1);
    ck_assert(!cs_item_failed(&item));
    ck_assert_mem_eq(item.planes[CS_PLANE_LABELS].data, "abcdefgh", 8);
    ck_assert_int_eq(cs_item_read(reader, &item, &limits, &err), 1);
    ck_assert(cs_item_failed(&item));
    ck_assert_ptr_null(cs_meta_get(&item.done, CS_KEY_ERROR_STAGE));
    ck_assert_int_eq(cs_item_read(reader, &item, &limits, &err), 0);
    ck_assert_int_eq(cs_reader_status(reader), 1);
    cs_item_release(&item);
    cs_reader_close(reader);
    close(fd);
    cs_buf_release(&bytes);
}
END_TEST

// Bands that find no place are checked all the same.
START_TEST(limits_dropped_checksum)
{
    const struct cs_item_limits limits = {.max_bytes = 1};
    struct cs_buf bytes = {0};
    struct cs_err err = {0};
    written(&bytes);
    for (int damaged = 0; damaged < 2; damaged++) {
        struct cs_reader *reader;
        struct cs_item item = {0};
        int fd = memory_file(bytes.data, bytes.len), result;
        ck_assert_int_eq(cs_reader_open(&reader, fd, "test", CS_TRANSPORT_AUTO, &err), 0);
        while ((result = cs_item_read(reader, &item, &limits, &err)) == 1)
            ck_assert(cs_item_failed(&item));
        ck_assert_int_eq(result, damaged ? -1 : 0);
        cs_item_release(&item);
        cs_reader_close(reader);
        close(fd);
        size_t at = 0;
        struct cs_frame_header h = {0};
        while (h.kind != CS_FRAME_DATA) { // the last byte of the first band
            ck_assert_int_eq(cs_frame_decode((uint8_t *)bytes.data + at, &h, &err), 0);
            at += CS_FRAME_BYTES + h.meta_bytes + (size_t)h.payload_bytes;
        }
        bytes.data[at - 1] ^= 1;
    }
    ck_assert_ptr_nonnull(strstr(err.text, "checksum"));
    cs_buf_release(&bytes);
}
END_TEST

// Planes above spill_bytes are mapped files of the scratch folder.
START_TEST(core_item_spill)
{
    struct cs_item_limits limits = {.spill_bytes = 16};
    struct cs_buf bytes = {0};
    struct cs_reader *reader;
    struct cs_item item = {0};
    struct cs_err err = {0};
    compose(&bytes, "HB0123D+B0l123D+E");
    int fd = memory_file(bytes.data, bytes.len);
    ck_assert_int_eq(cs_reader_open(&reader, fd, "test", CS_TRANSPORT_AUTO, &err), 0);
    ck_assert_int_eq(cs_item_read(reader, &item, &limits, &err), 1);
    ck_assert(item.planes[CS_PLANE_IMAGE].block.mapped);
    ck_assert_mem_eq((char *)item.planes[CS_PLANE_IMAGE].data + 24, "abcdefgh", 8);
    ck_assert_int_eq(cs_item_read(reader, &item, &limits, &err), 1);
    ck_assert(!item.planes[CS_PLANE_LABELS].block.mapped);
    cs_item_release(&item);
    cs_reader_close(reader);
    lseek(fd, 0, SEEK_SET);
    limits.scratch_dir = "/nowhere";
    ck_assert_int_eq(cs_reader_open(&reader, fd, "test", CS_TRANSPORT_AUTO, &err), 0);
    ck_assert_int_eq(cs_item_read(reader, &item, &limits, &err), 1);
    ck_assert_str_eq(cs_meta_get(&item.done, CS_KEY_ERROR_CODE), "OUT_OF_MEMORY");
    cs_item_release(&item);
    cs_reader_close(reader);
    close(fd);
    cs_buf_release(&bytes);
}
END_TEST

START_TEST(core_item_keep)
{
    struct cs_item item = {0};
    struct cs_writer *writer;
    struct cs_reader *reader;
    struct cs_meta head = {0};
    struct cs_err err = {0};
    int fd = memfd_create("test", 0);
    make_item(&item, 0, 5, 5);
    ck_assert_int_eq(cs_writer_open(&writer, fd, CS_TRANSPORT_AUTO, 0, &err), 0);
    ck_assert_int_eq(cs_writer_head(writer, &head, &err), 0);
    ck_assert_int_eq(cs_item_write(writer, &item, 1u << CS_PLANE_LABELS, &err), 0);
    ck_assert_int_eq(cs_writer_end(writer, 0, NULL, &err), 0);
    cs_writer_close(writer);
    lseek(fd, 0, SEEK_SET);
    ck_assert_int_eq(cs_reader_open(&reader, fd, "test", CS_TRANSPORT_AUTO, &err), 0);
    ck_assert_int_eq(cs_item_read(reader, &item, NULL, &err), 1);
    ck_assert_ptr_null(item.planes[CS_PLANE_IMAGE].data);
    ck_assert_ptr_nonnull(item.planes[CS_PLANE_LABELS].data);
    cs_item_release(&item);
    cs_reader_close(reader);
    close(fd);
}
END_TEST

START_TEST(core_planes_parse)
{
    unsigned mask;
    struct cs_err err;
    ck_assert_int_eq(cs_planes_parse("image", &mask, &err), 0);
    ck_assert_uint_eq(mask, 1);
    ck_assert_int_eq(cs_planes_parse("labels,image", &mask, &err), 0);
    ck_assert_uint_eq(mask, 5);
    const char *const bad[] = {"", "image,", ",image", "images", "imag", "label", "image labels"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_int_eq(cs_planes_parse(bad[i], &mask, &err), -1);
        ck_assert_int_eq(err.code, CS_EUSAGE);
    }
}
END_TEST

START_TEST(core_provenance)
{
    struct cs_meta head = {0};
    cs_prov_add(&head, "cs-save", NULL);
    cs_prov_add(&head, "cs-save", "as=tif");
    cs_prov_add(&head, "cs-save", "as=png");
    ck_assert_str_eq(cs_meta_get(&head, "prov.cs-save"), CS_VERSION);
    ck_assert_str_eq(cs_meta_get(&head, "prov.cs-save.2"), CS_VERSION " as=tif");
    ck_assert_str_eq(cs_meta_get(&head, "prov.cs-save.3"), CS_VERSION " as=png");
    ck_assert_str_eq(cs_meta_get(&head, CS_KEY_TOOL), "cs-save");
    cs_meta_release(&head);
}
END_TEST

// ---- The writer's own limits ---------------------------------------------------------------

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
    ck_assert_int_eq(read_all(fd, &err), 0);
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
    written(&bytes);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    for (size_t len = 0; len < bytes.len; len += 1 + len % 7) {
        struct source s = {.fd = memfd_create("test", 0), .items = 5, .width = 5, .height = 4};
        int fd = dup(s.fd);
        limit.rlim_cur = len;
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        run_source(&s);
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
    Suite *suite = suite_create("stream");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_test(core, core_round_trip);
    tcase_add_test(core, core_many_small);
    tcase_add_test(core, core_nonblocking);
    tcase_add_test(core, core_order);
    tcase_add_test(core, core_item_limits);
    tcase_add_test(core, core_item_spill);
    tcase_add_test(core, core_item_keep);
    tcase_add_test(core, core_planes_parse);
    tcase_add_test(core, core_provenance);
    tcase_add_test(limits, limits_cut_anywhere);
    tcase_add_test(limits, limits_damage_anywhere);
    tcase_add_test(limits, limits_sticky);
    tcase_add_test(limits, limits_dropped_checksum);
    tcase_add_test(limits, limits_writer_order);
    tcase_add_test(limits, limits_metadata);
    tcase_add_test(limits, limits_closed_output);
    tcase_add_test(limits, limits_full_anywhere);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
