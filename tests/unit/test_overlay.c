// SPDX-License-Identifier: MIT
// image/overlay.h: stretch, outlines, different colours for objects that touch.
#include <check.h>
#include <math.h>
#include <string.h>

#include "image/overlay.h"
#include "suite.h"

static struct cs_image make(uint32_t width, uint32_t height, uint16_t channels, enum cs_dtype dtype)
{
    struct cs_image image;
    struct cs_err err;
    ck_assert_int_eq(cs_image_init(&image, width, height, channels, dtype, 0, NULL, &err), 0);
    return image;
}

static const uint8_t *pixel(const struct cs_image *rgb, uint32_t x, uint32_t y)
{
    return (const uint8_t *)rgb->data + 3 * ((size_t)y * rgb->width + x);
}

START_TEST(stretch_ends_at_black_and_white)
{
    struct cs_image image = make(100, 100, 1, CS_U16), rgb;
    struct cs_err err;
    for (int i = 0; i < 10000; i++)
        ((uint16_t *)image.data)[i] = (uint16_t)(1000 + i);
    ck_assert_int_eq(cs_overlay_draw(&image, NULL, &rgb, &err), 0);
    ck_assert_int_eq(pixel(&rgb, 0, 0)[0], 0);
    ck_assert_int_eq(pixel(&rgb, 0, 1)[0], 0); // 1 %
    ck_assert_int_gt(pixel(&rgb, 0, 2)[0], 0); // 2 %
    ck_assert_int_eq(pixel(&rgb, 99, 99)[1], 255);
    ck_assert_int_lt(pixel(&rgb, 0, 99)[2], 255);  // 99 %
    ck_assert_int_eq(pixel(&rgb, 50, 50)[0], 128); // (5050 - 100) / (9980 - 100) of 255 = 127.8
    cs_image_release(&image);
    cs_image_release(&rgb);
}
END_TEST

START_TEST(flat_and_nan_images_are_black)
{
    struct cs_image image = make(4, 4, 1, CS_F32), rgb;
    struct cs_err err;
    for (int i = 0; i < 16; i++)
        ((float *)image.data)[i] = i % 2 ? NAN : 7;
    ck_assert_int_eq(cs_overlay_draw(&image, NULL, &rgb, &err), 0);
    for (int i = 0; i < 48; i++)
        ck_assert_int_eq(((uint8_t *)rgb.data)[i], 0);
    cs_image_release(&image);
    cs_image_release(&rgb);
}
END_TEST

START_TEST(outline_lies_inside_its_object)
{
    struct cs_image image = make(8, 8, 1, CS_U8), labels = make(8, 8, 1, CS_U16), rgb;
    struct cs_err err;
    for (int y = 2; y < 6; y++)
        for (int x = 2; x < 6; x++)
            ((uint16_t *)labels.data)[8 * y + x] = 1;
    ck_assert_int_eq(cs_overlay_draw(&image, &labels, &rgb, &err), 0);
    for (uint32_t y = 0; y < 8; y++)
        for (uint32_t x = 0; x < 8; x++) {
            bool inside = x >= 2 && x < 6 && y >= 2 && y < 6;
            bool edge = inside && (x == 2 || x == 5 || y == 2 || y == 5);
            ck_assert_int_eq(pixel(&rgb, x, y)[1] != 0, edge);
        }
    cs_image_release(&image);
    cs_image_release(&labels);
    cs_image_release(&rgb);
}
END_TEST

START_TEST(touching_objects_differ_in_colour)
{
    // A checkerboard of 2 x 2 objects whose labels are chosen to ask for one colour all over.
    struct cs_image image = make(40, 40, 1, CS_U8), labels = make(40, 40, 1, CS_U32), rgb;
    struct cs_err err;
    for (uint32_t y = 0; y < 40; y++)
        for (uint32_t x = 0; x < 40; x++)
            ((uint32_t *)labels.data)[40 * y + x] = y < 20 ? 8 * (x / 2 + 1) : 8 * (x / 2 + 21);
    ck_assert_int_eq(cs_overlay_draw(&image, &labels, &rgb, &err), 0);
    for (uint32_t x = 1; x < 39; x += 2)
        ck_assert_mem_ne(pixel(&rgb, x, 5), pixel(&rgb, x + 1, 5), 3);
    ck_assert_mem_ne(pixel(&rgb, 7, 19), pixel(&rgb, 7, 20), 3);
    cs_image_release(&image);
    cs_image_release(&labels);
    cs_image_release(&rgb);
}
END_TEST

START_TEST(odd_input_is_refused_or_survived)
{
    struct cs_image image = make(6, 6, 2, CS_I16), labels = make(6, 5, 1, CS_U16), rgb;
    struct cs_err err;
    ck_assert_int_eq(cs_overlay_draw(&image, &labels, &rgb, &err), -1);
    ck_assert_int_eq(err.code, CS_EINPUT);
    cs_image_release(&labels);
    labels = make(6, 6, 1, CS_F32);
    ck_assert_int_eq(cs_overlay_draw(&image, &labels, &rgb, &err), -1);
    cs_image_release(&labels);
    labels = make(6, 6, 1, CS_U64);
    ((uint64_t *)labels.data)[7] = UINT64_MAX;
    ((uint64_t *)labels.data)[8] = 37;
    ck_assert_int_eq(cs_overlay_draw(&image, &labels, &rgb, &err), 0);
    ck_assert_mem_ne(pixel(&rgb, 1, 1), pixel(&rgb, 0, 0), 3);
    cs_image_release(&image);
    cs_image_release(&labels);
    cs_image_release(&rgb);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("image/overlay");
    TCase *core = tcase_create("core");
    tcase_add_test(core, stretch_ends_at_black_and_white);
    tcase_add_test(core, outline_lies_inside_its_object);
    tcase_add_test(core, touching_objects_differ_in_colour);
    suite_add_tcase(suite, core);
    TCase *limits = tcase_create("limits");
    tcase_add_test(limits, flat_and_nan_images_are_black);
    tcase_add_test(limits, odd_input_is_refused_or_survived);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
