// SPDX-License-Identifier: MIT
// Items of a stream (stream/stream.h): planes assembled from their bands, within limits of memory;
// lists of planes; where a stream comes from.
#include <check.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "streamcase.h"
#include "suite.h"

// Each item of a stream of 8 bytes a row, under a limit of 31 bytes a plane.
START_TEST(core_item_limits)
{
    const struct cs_item_limits limits = {.max_bytes = 31, .stage = "cs-test"};
    struct cs_buf bytes = {0};
    struct cs_reader *reader;
    struct cs_item item = {0};
    struct cs_err err = {0};
    streamcase_compose(&bytes, "HB0123D+BlD+B01X+E");
    int fd = streamcase_file(bytes.data, bytes.len);
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
    streamcase_written(&bytes);
    for (int damaged = 0; damaged < 2; damaged++) {
        struct cs_reader *reader;
        struct cs_item item = {0};
        int fd = streamcase_file(bytes.data, bytes.len), result;
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
    streamcase_compose(&bytes, "HB0123D+B0l123D+E");
    int fd = streamcase_file(bytes.data, bytes.len);
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
    streamcase_item(&item, 0, 5, 5);
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

int main(void)
{
    Suite *suite = suite_create("item");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_test(core, core_item_limits);
    tcase_add_test(core, core_item_spill);
    tcase_add_test(core, core_item_keep);
    tcase_add_test(core, core_planes_parse);
    tcase_add_test(core, core_provenance);
    tcase_add_test(limits, limits_dropped_checksum);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
