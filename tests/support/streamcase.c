// SPDX-License-Identifier: MIT
#include "streamcase.h"

#include <check.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"

static void fill(struct cs_image *image, uint32_t seed)
{
    unsigned char *bytes = image->data;
    size_t count = cs_image_bytes(image);
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        bytes[i] = (unsigned char)(seed >> 24);
    }
}

void streamcase_item(struct cs_item *item, uint32_t n, uint32_t width, uint32_t height)
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

static int write_items(struct cs_writer *writer, const struct streamcase *s, struct cs_err *err)
{
    struct cs_meta head = {0};
    struct cs_item item = {0};
    cs_prov_add(&head, "cs-source", "a=1");
    int result = cs_writer_head(writer, &head, err);
    for (uint32_t n = 0; n < s->items && result == 0; n++) {
        streamcase_item(&item, n, s->width, s->height);
        result = cs_item_write(writer, &item, 7, err);
    }
    if (result == 0)
        result = cs_writer_end(writer, 0, NULL, err);
    cs_item_release(&item);
    cs_meta_release(&head);
    return result;
}

void *streamcase_run(void *streamcase)
{
    struct streamcase *s = streamcase;
    struct cs_writer *writer = NULL;
    if (cs_writer_open(&writer, s->fd, s->transport, s->ring_bytes, &s->err) == 0)
        write_items(writer, s, &s->err);
    cs_writer_close(writer);
    close(s->fd);
    return NULL;
}

void streamcase_written(struct cs_buf *out)
{
    int fd = memfd_create("test", 0);
    struct streamcase s = {.fd = dup(fd), .items = 5, .width = 5, .height = 4};
    streamcase_run(&s);
    ck_assert_msg(s.err.code == CS_OK, "%s", s.err.text);
    size_t len = (size_t)lseek(fd, 0, SEEK_END);
    lseek(fd, 0, SEEK_SET);
    ck_assert_int_eq(cs_read_full(fd, cs_buf_reserve(out, len), len, NULL), (ssize_t)len);
    out->len = len;
    close(fd);
}

int streamcase_file(const void *bytes, size_t len)
{
    int fd = memfd_create("test", 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(cs_write_full(fd, bytes, len, NULL), 0);
    ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

int streamcase_read(int fd, struct cs_err *err)
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

void streamcase_compose(struct cs_buf *out, const char *script)
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
