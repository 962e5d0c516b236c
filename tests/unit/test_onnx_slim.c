// SPDX-License-Identifier: MIT
// model/onnx_slim.h: protobuf's bytes, written by hand.
#include <stdlib.h>
#include <string.h>

#include "model/onnx_slim.h"
#include "suite.h"

// Fields as protobuf has them: number << 3 | type, then a varint or a length and bytes.
#define VERSION "\x08\x08"             // ModelProto.ir_version
#define RAW(n)  "\x4a" n               // TensorProto.raw_data, length first
#define NAME    "\x42\x01w"            // TensorProto.name
#define FIXED   "\x25\x01\x02\x03\x04" // number 4, four bytes
#define WIDE                                                                                       \
    "\x51"                                                                                         \
    "12345678" // number 10, eight bytes

struct bytes {
    const char *data;
    size_t size;
};
#define BYTES(text) ((struct bytes){text, sizeof(text) - 1})

// Makes a slim message and checks it.
static void becomes(struct bytes from, struct bytes expected, const char *const *raws, size_t count)
{
    struct cs_onnx_slim slim;
    struct cs_err err = {0};
    ck_assert_msg(cs_onnx_slim_make(&slim, from.data, from.size, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(slim.message.len, expected.size);
    if (expected.size > 0) // an empty message has no bytes to point at
        ck_assert_mem_eq(slim.message.data, expected.data, expected.size);
    ck_assert_uint_eq(slim.raw_count, count);
    for (size_t i = 0; i < count; i++) {
        if (!raws[i]) {
            ck_assert_ptr_null(slim.raws[i].data);
            continue;
        }
        ck_assert_uint_eq(slim.raws[i].bytes, strlen(raws[i]));
        ck_assert_mem_eq(slim.raws[i].data, raws[i], strlen(raws[i]));
        const char *at = (const char *)slim.raws[i].data; // borrowed, not copied
        ck_assert(at >= from.data && at <= from.data + from.size);
    }
    cs_onnx_slim_release(&slim);
}

START_TEST(core_fields)
{
    // Weights leave; the rest stays in its order, with lengths that fit.
    becomes(BYTES(VERSION "\x3a\x14"
                          "\x2a\x0e" FIXED RAW("\x04"
                                               "abcd") NAME "\x12\x02"
                                                            "gg" VERSION),
            BYTES(VERSION "\x3a\x0e"
                          "\x2a\x08" FIXED NAME "\x12\x02"
                          "gg" VERSION),
            (const char *const[]){"abcd"}, 1);
    // The last of two counts; a tensor may have none; an empty one has.
    becomes(BYTES("\x3a\x12"
                  "\x2a\x07" RAW("\x01"
                                 "a") RAW("\x02"
                                          "bc") "\x2a\x03" NAME "\x2a\x02" RAW("\x00")),
            BYTES("\x3a\x09"
                  "\x2a\x00"
                  "\x2a\x03" NAME "\x2a\x00"),
            (const char *const[]){"bc", NULL, ""}, 3);
    // Graphs in two parts, which protobuf merges.
    becomes(BYTES("\x3a\x05\x2a\x03" RAW("\x01"
                                         "a") "\x3a\x05\x2a\x03" RAW("\x01"
                                                                     "b")),
            BYTES("\x3a\x02\x2a\x00\x3a\x02\x2a\x00"), (const char *const[]){"a", "b"}, 2);
    // raw_data of a node's attribute, and fields of the same numbers elsewhere, are no weights.
    becomes(BYTES("\x3a\x0b\x0a\x09\x2a\x07\x2a\x05" RAW("\x03"
                                                         "abc") "\x2a\x01"
                                                                "x" WIDE),
            BYTES("\x3a\x0b\x0a\x09\x2a\x07\x2a\x05" RAW("\x03"
                                                         "abc") "\x2a\x01"
                                                                "x" WIDE),
            NULL, 0);
    becomes(BYTES(""), BYTES(""), NULL, 0);
}
END_TEST

static void is_refused(struct bytes from)
{
    struct cs_onnx_slim slim;
    struct cs_err err = {0};
    ck_assert_int_eq(cs_onnx_slim_make(&slim, from.data, from.size, &err), -1);
    ck_assert_int_eq(err.code, CS_EMODEL);
    ck_assert_uint_eq(slim.raw_count, 0);
    ck_assert_ptr_null(slim.raws);
}

START_TEST(limits_broken)
{
    is_refused(BYTES("\x08"));             // no value
    is_refused(BYTES("\x3a\x02\x2a"));     // a graph beyond the end
    is_refused(BYTES("\x3a\x02\x2a\x01")); // a tensor beyond its graph
    is_refused(BYTES("\x3a\x05\x2a\x03" RAW("\x02"
                                            "a"))); // samples beyond their tensor
    is_refused(BYTES("\x0b\x0c"));                  // a group
    is_refused(BYTES("\x25\x01\x02\x03"));          // three of four bytes
    is_refused(BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")); // an endless number
    is_refused(BYTES("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")); // a length of 2^64 - 1
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("onnx_slim");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_test(core, core_fields);
    tcase_add_test(limits, limits_broken);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
