// SPDX-License-Identifier: MIT
// The frame header: its bytes, and what is refused.
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "stream/frame.h"
#include "suite.h"

static struct cs_frame_header band(void)
{
    return (struct cs_frame_header){
        .kind = CS_FRAME_DATA,
        .flags = CS_FRAME_SHM | CS_FRAME_CRC,
        .item = 0x0102030405060708,
        .payload_bytes = (uint64_t)300 * 20 * 3 * 2,
        .meta_bytes = 77,
        .width = 300,
        .height = 1000,
        .first_row = 40,
        .rows = 20,
        .channels = 3,
        .dtype = CS_U16,
        .plane = CS_PLANE_LABELS,
        .shm_offset = 4096 + 64,
        .payload_crc = 0xdeadbeef,
    };
}

static int reread(const struct cs_frame_header *in, struct cs_frame_header *out, struct cs_err *err)
{
    uint8_t bytes[CS_FRAME_BYTES];
    cs_frame_encode(in, bytes);
    return cs_frame_decode(bytes, out, err);
}

START_TEST(core_bytes)
{
    // Written out by hand from cs-stream(5).
    static const uint8_t expected[60] = {
        'C', 'S', 'F', '1', 3,  0, 3, 0, 8,    7,    6, 5, 4,    3, 2, 1, 0xa0, 0x8c, 0,    0,
        0,   0,   0,   0,   77, 0, 0, 0, 44,   1,    0, 0, 0xe8, 3, 0, 0, 40,   0,    0,    0,
        20,  0,   0,   0,   3,  0, 2, 2, 0x40, 0x10, 0, 0, 0,    0, 0, 0, 0xef, 0xbe, 0xad, 0xde};
    struct cs_frame_header header = band(), again;
    struct cs_err err;
    uint8_t bytes[CS_FRAME_BYTES];
    cs_frame_encode(&header, bytes);
    ck_assert_mem_eq(bytes, expected, sizeof expected);
    uint32_t crc = (uint32_t)crc32(0, bytes, 60);
    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq(bytes[60 + i], crc >> 8 * i & 255);
    ck_assert_int_eq(cs_frame_decode(bytes, &again, &err), 0);
    ck_assert_uint_eq(again.kind, header.kind);
    ck_assert_uint_eq(again.flags, header.flags);
    ck_assert_uint_eq(again.item, header.item);
    ck_assert_uint_eq(again.payload_bytes, header.payload_bytes);
    ck_assert_uint_eq(again.meta_bytes, header.meta_bytes);
    ck_assert_uint_eq(again.width, header.width);
    ck_assert_uint_eq(again.height, header.height);
    ck_assert_uint_eq(again.first_row, header.first_row);
    ck_assert_uint_eq(again.rows, header.rows);
    ck_assert_uint_eq(again.channels, header.channels);
    ck_assert_uint_eq(again.dtype, header.dtype);
    ck_assert_uint_eq(again.plane, header.plane);
    ck_assert_uint_eq(again.shm_offset, header.shm_offset);
    ck_assert_uint_eq(again.payload_crc, header.payload_crc);
}
END_TEST

START_TEST(core_names)
{
    ck_assert_str_eq(cs_plane_name(CS_PLANE_IMAGE), "image");
    ck_assert_str_eq(cs_plane_name(CS_PLANE_PROBABILITY), "probability");
    ck_assert_str_eq(cs_plane_name(CS_PLANE_LABELS), "labels");
    ck_assert_str_eq(cs_plane_name(CS_PLANE_COUNT), "?");
}
END_TEST

// Any one bit that changes is noticed.
START_TEST(limits_every_bit)
{
    struct cs_frame_header header = band(), again;
    struct cs_err err;
    uint8_t bytes[CS_FRAME_BYTES];
    cs_frame_encode(&header, bytes);
    for (int bit = 0; bit < 8 * CS_FRAME_BYTES; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert_int_eq(cs_frame_decode(bytes, &again, &err), -1);
        ck_assert_int_eq(err.code, CS_ESTREAM);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    ck_assert_int_eq(cs_frame_decode(bytes, &again, &err), 0);
}
END_TEST

// One field of a sound band set to a value that it must not have.
#define REFUSES(change, says)                                                                      \
    do {                                                                                           \
        struct cs_frame_header h = band(), out;                                                    \
        struct cs_err err = {0};                                                                   \
        change;                                                                                    \
        ck_assert_int_eq(reread(&h, &out, &err), -1);                                              \
        ck_assert_int_eq(err.code, CS_ESTREAM);                                                    \
        ck_assert_msg(strstr(err.text, says), "'%s' lacks '%s'", err.text, says);                  \
    } while (0)

START_TEST(limits_band)
{
    REFUSES(h.kind = 6, "unknown kind 6");
    REFUSES(h.kind = 0, "unknown kind 0");
    REFUSES(h.flags |= 4, "unknown flags");
    REFUSES(h.payload_bytes = CS_FRAME_MAX_PAYLOAD + 1, "bytes of payload");
    REFUSES(h.meta_bytes = CS_FRAME_MAX_META + 1, "bytes of metadata");
    REFUSES(h.shm_offset = 0, "offset 0");
    REFUSES(h.shm_offset = 4100, "offset 4100");
    REFUSES(h.flags &= ~CS_FRAME_SHM, "offset 4160");
    REFUSES(h.flags &= ~CS_FRAME_CRC, "checksum");
    REFUSES(h.dtype = 0, "sample type 0");
    REFUSES(h.dtype = 12, "sample type 12");
    REFUSES(h.dtype = 255, "sample type 255");
    REFUSES(h.plane = CS_PLANE_COUNT, "unknown plane");
    REFUSES(h.width = 0, "without samples");
    REFUSES(h.channels = 0, "without samples");
    REFUSES(h.rows = 0, "without samples");
    REFUSES(h.first_row = 981, "981+20 in a plane of 1000");
    REFUSES(h.first_row = 0xffffffff, "in a plane of 1000");
    REFUSES(h.rows = 0xffffffff, "in a plane of 1000");
    REFUSES(h.payload_bytes--, "bytes");
    REFUSES(h.width = 301, "301x20x3");
    // A product that is right only modulo 2^64.
    REFUSES(h.width = h.height = h.rows = 0xffffffff; h.channels = 65535; h.first_row = 0;
            h.payload_bytes = (uint64_t)0xffffffff * 0xffffffff * 65535 * 2 & 0x3fffffff, "bytes");
}
END_TEST

START_TEST(limits_plain)
{
    for (uint16_t kind = CS_FRAME_HEAD; kind <= CS_FRAME_END; kind++) {
        struct cs_frame_header plain = {.kind = kind, .meta_bytes = CS_FRAME_MAX_META}, out;
        struct cs_err err;
        if (kind == CS_FRAME_DATA)
            continue;
        ck_assert_int_eq(reread(&plain, &out, &err), 0);
        struct cs_frame_header wrong[8];
        for (int i = 0; i < 8; i++)
            wrong[i] = plain;
        wrong[0].payload_bytes = 1;
        wrong[1].width = 1;
        wrong[2].height = 1;
        wrong[3].rows = 1;
        wrong[4].channels = 1;
        wrong[5].dtype = 1;
        wrong[6].plane = 1;
        wrong[7].flags = CS_FRAME_CRC;
        for (int i = 0; i < 8; i++)
            ck_assert_int_eq(reread(&wrong[i], &out, &err), -1);
    }
    REFUSES(h = (struct cs_frame_header){.kind = CS_FRAME_HEAD}; h.item = 1, "fields");
}
END_TEST

// A kind of the future passes when it says that it may.
START_TEST(limits_skippable)
{
    struct cs_frame_header h = {.kind = CS_FRAME_SKIPPABLE | 9, .payload_bytes = 5, .width = 7};
    struct cs_frame_header out;
    struct cs_err err;
    ck_assert_int_eq(reread(&h, &out, &err), 0);
    ck_assert_uint_eq(out.payload_bytes, 5);
    h.payload_bytes = CS_FRAME_MAX_PAYLOAD + 1;
    ck_assert_int_eq(reread(&h, &out, &err), -1);
}
END_TEST

START_TEST(limits_version)
{
    struct cs_frame_header h = band(), out;
    struct cs_err err;
    uint8_t bytes[CS_FRAME_BYTES];
    cs_frame_encode(&h, bytes);
    bytes[3] = '2';
    ck_assert_int_eq(cs_frame_decode(bytes, &out, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "another version"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("frame");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_test(core, core_bytes);
    tcase_add_test(core, core_names);
    tcase_add_test(limits, limits_every_bit);
    tcase_add_test(limits, limits_band);
    tcase_add_test(limits, limits_plain);
    tcase_add_test(limits, limits_skippable);
    tcase_add_test(limits, limits_version);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
