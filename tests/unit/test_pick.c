// SPDX-License-Identifier: MIT
// Ranges, crops, names of outputs, conversions: what cs-load decides without a file.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "image/convert.h"
#include "image/inputs.h"
#include "image/pick.h"
#include "suite.h"

static struct cs_err err;

START_TEST(test_ranges)
{
    struct cs_range range;
    ck_assert_int_eq(cs_range_parse(&range, "7", "-z", true, &err), 0);
    ck_assert(range.kind == CS_RANGE_SPAN && range.first == 7 && range.last == 7);
    ck_assert_int_eq(cs_range_parse(&range, "2-5", "-z", true, &err), 0);
    ck_assert(range.first == 2 && range.last == 5);
    ck_assert_int_eq(cs_range_parse(&range, "max", "-z", true, &err), 0);
    ck_assert_int_eq(range.kind, CS_RANGE_MAX);
    ck_assert_int_eq(cs_range_parse(&range, "max", "--time", false, &err), -1);
    static const char *const wrong[] = {"",  "-",     "5-2",         "-1", "1-",
                                        "x", "1-2-3", "99999999999", "1 "};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ck_assert_msg(cs_range_parse(&range, wrong[i], "-z", true, &err) == -1, "%s", wrong[i]);
        ck_assert_int_eq(err.code, CS_EUSAGE);
    }
    struct cs_pick pick = {0};
    ck_assert_int_eq(cs_crop_parse(&pick, "1,2,3,4", &err), 0);
    ck_assert(pick.cropped && pick.crop[0] == 1 && pick.crop[3] == 4);
    ck_assert_int_eq(cs_crop_parse(&pick, "1,2,3", &err), -1);
    ck_assert_int_eq(cs_crop_parse(&pick, "1,2,3,4,5", &err), -1);
    ck_assert_int_eq(cs_crop_parse(&pick, "1,2,0,4", &err), -1);
    struct cs_inputs_options shard = {0};
    ck_assert_int_eq(cs_shard_parse(&shard, "2/3", &err), 0);
    ck_assert(shard.shard == 2 && shard.shards == 3);
    ck_assert_int_eq(cs_shard_parse(&shard, "0/3", &err), -1);
    ck_assert_int_eq(cs_shard_parse(&shard, "4/3", &err), -1);
    ck_assert_int_eq(cs_shard_parse(&shard, "2", &err), -1);
}
END_TEST

START_TEST(test_output_names)
{
    static const char *const names[][2] = {
        {"a.tif", "a"},     {"d.x/a.TIFF", "d.x/a"},    {"a.ome.tif", "a"},
        {"a.b.png", "a.b"}, {"d.x/plain", "d.x/plain"}, {"odd.dat", "odd"},
        {".tif", ".tif"},   {"d/.hidden", "d/.hidden"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *name = cs_output_name(names[i][0]);
        ck_assert_str_eq(name, names[i][1]);
        free(name);
    }
}
END_TEST

// Plan for a page and run it over in; the result's bytes.
static struct cs_conversion convert(const struct cs_page *page, bool intensities, bool raw,
                                    const void *in, size_t pixels, void *out)
{
    struct cs_conversion conversion;
    ck_assert_int_eq(cs_convert_plan(&conversion, page, intensities, raw, &err), 0);
    cs_convert_run(&conversion, in, pixels, out);
    return conversion;
}

START_TEST(test_conversions)
{
    uint8_t out[64], in[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    uint16_t map[3 * 256] = {0}, wide[4] = {0, 1, 1000, 4095}, inverted[4];
    struct cs_page page = {.width = 4, .height = 1, .samples = 1, .dtype = CS_U8, .bits = 4};

    struct cs_conversion c = convert(&page, false, false, in, 16, out);
    ck_assert_str_eq(c.note, "scale");
    ck_assert_uint_eq(out[15], 255);
    ck_assert_uint_eq(out[7], 119);
    c = convert(&page, false, true, in, 16, out); // raw: as it is
    ck_assert_uint_eq(out[15], 15);
    ck_assert(cs_convert_is_identity(&c));
    page.colour = CS_GRAY_INVERTED;
    c = convert(&page, false, false, in, 16, out);
    ck_assert_str_eq(c.note, "scale,invert");
    ck_assert_uint_eq(out[0], 255);
    ck_assert_uint_eq(out[15], 0);

    page.dtype = CS_U16; // 12 bits: kept, but inverted at 12 bits
    page.bits = 12;
    c = convert(&page, false, false, wide, 4, inverted);
    ck_assert_str_eq(c.note, "invert");
    ck_assert_uint_eq(inverted[0], 4095);
    ck_assert_uint_eq(inverted[2], 3095);
    c = convert(&page, true, false, wide, 4, inverted); // measured values stay
    ck_assert_str_eq(c.note, "lut");
    ck_assert_uint_eq(inverted[2], 1000);

    for (int i = 0; i < 16; i++)
        map[i] = map[16 + i] = map[32 + i] = (uint16_t)(i * 4369);
    page = (struct cs_page){
        .samples = 1, .dtype = CS_U8, .bits = 4, .colour = CS_PALETTE, .palette = map};
    c = convert(&page, false, false, in, 16, out);
    ck_assert_uint_eq(c.channels, 1); // a palette of grays
    ck_assert_uint_eq(out[3], 51);
    map[3] = 0;
    c = convert(&page, false, false, in, 16, out);
    ck_assert_uint_eq(c.channels, 3);
    ck_assert(c.rgb);
    ck_assert(out[9] == 0 && out[10] == 51 && out[11] == 51);

    page = (struct cs_page){.samples = 4, .alpha = 1, .dtype = CS_U8, .bits = 8, .colour = CS_RGB};
    c = convert(&page, false, false, in, 4, out);
    ck_assert_str_eq(c.note, "alpha");
    ck_assert_uint_eq(c.channels, 3);
    ck_assert(out[3] == 4 && out[5] == 6 && out[9] == 12);

    page = (struct cs_page){
        .samples = 4, .dtype = CS_U8, .bits = 8, .colour = CS_COLOUR_OTHER, .colour_name = "CMYK"};
    const uint8_t ink[4] = {255, 0, 128, 51};
    c = convert(&page, false, false, ink, 1, out);
    ck_assert(out[0] == 0 && out[1] == 204 && out[2] == 102);
    page.colour_name = "CIELAB";
    ck_assert_int_eq(cs_convert_plan(&c, &page, false, false, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "--raw"));
    ck_assert_int_eq(cs_convert_plan(&c, &page, false, true, &err), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pick");
    TCase *core = tcase_create("core");
    tcase_add_test(core, test_ranges);
    tcase_add_test(core, test_output_names);
    tcase_add_test(core, test_conversions);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
