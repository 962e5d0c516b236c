// SPDX-License-Identifier: MIT
// Planes of images and cuts into tiles: own parts cover the map once, with the halo inside.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "infer/fit.h"
#include "planes.h"
#include "suite.h"

START_TEST(core_planes)
{
    struct cs_fit_rule rule = {
        .kind = CS_FIT_KIND_PAD, .min_height = 32, .min_width = 20, .stride = 16};
    struct cs_err err;
    uint32_t w, h;
    ck_assert_int_eq(cs_fit_plane(&rule, 100, 5, &w, &h, &err), 0);
    ck_assert_uint_eq(w, 112);
    ck_assert_uint_eq(h, 32);
    ck_assert_int_eq(cs_fit_plane(&rule, 64, 48, &w, &h, &err), 0);
    ck_assert_uint_eq(w, 64);
    ck_assert_uint_eq(h, 48);
    rule.kind = CS_FIT_KIND_NATIVE;
    ck_assert_int_eq(cs_fit_plane(&rule, 64, 48, &w, &h, &err), 0);
    ck_assert_int_eq(cs_fit_plane(&rule, 65, 48, &w, &h, &err), -1);
    ck_assert_int_eq(err.code, CS_EINPUT);
    rule = (struct cs_fit_rule){.kind = CS_FIT_KIND_RESIZE, .height = 256, .width = 512};
    ck_assert_int_eq(cs_fit_plane(&rule, 1, 70000, &w, &h, &err), 0);
    ck_assert_uint_eq(w, 512);
    ck_assert_uint_eq(h, 256);
}
END_TEST

// Every pixel of the map in one own part; every own part in its tile and, but for the plane's
// edges, at least a halo away from the tile's.
static void check_tiles(uint32_t pw, uint32_t ph, uint32_t mw, uint32_t mh, uint32_t side,
                        uint32_t halo, uint32_t stride)
{
    uint32_t tw = cs_tile_side(pw, side, halo, stride), th = cs_tile_side(ph, side, halo, stride);
    uint8_t *seen = calloc(mw, mh);
    struct cs_tile *tiles;
    struct cs_err err;
    int count;
    ck_assert_int_eq(cs_tiles_make(pw, ph, mw, mh, tw, th, halo, stride, &tiles, &count, &err), 0);
    for (int i = 0; i < count; i++) {
        const struct cs_tile *t = &tiles[i];
        ck_assert_uint_eq(t->x % stride, 0);
        ck_assert_uint_eq(t->y % stride, 0);
        ck_assert_uint_le(t->x + tw, pw);
        ck_assert_uint_le(t->y + th, ph);
        ck_assert_uint_gt(t->part_width, 0);
        ck_assert_uint_gt(t->part_height, 0);
        if (t->x)
            ck_assert_uint_ge(t->part_x, t->x + halo);
        if (t->y)
            ck_assert_uint_ge(t->part_y, t->y + halo);
        if (t->x + tw < pw)
            ck_assert_uint_le(t->part_x + t->part_width + halo, t->x + tw);
        if (t->y + th < ph)
            ck_assert_uint_le(t->part_y + t->part_height + halo, t->y + th);
        for (uint32_t y = t->part_y; y < t->part_y + t->part_height; y++)
            for (uint32_t x = t->part_x; x < t->part_x + t->part_width; x++)
                seen[(size_t)y * mw + x]++;
    }
    size_t once = 0;
    for (size_t i = 0; i < (size_t)mw * mh; i++)
        once += seen[i] == 1;
    ck_assert_uint_eq(once, (size_t)mw * mh);
    free(tiles);
    free(seen);
}

START_TEST(core_tiles)
{
    uint64_t seed = 3;
    for (int i = 0; i < 120; i++) {
        uint32_t stride = 1U << planes_random(&seed) % 5;
        uint32_t mw = 1 + planes_random(&seed) % 300, mh = 1 + planes_random(&seed) % 300;
        uint32_t pw = (mw + stride - 1) / stride * stride, ph = (mh + stride - 1) / stride * stride;
        check_tiles(pw, ph, mw, mh, 8 + planes_random(&seed) % 120, planes_random(&seed) % 25,
                    stride);
    }
}
END_TEST

START_TEST(core_tile_side)
{
    ck_assert_uint_eq(cs_tile_side(1000, 130, 10, 4), 128);
    ck_assert_uint_eq(cs_tile_side(1000, 10, 10, 4), 28); // 2 x 12 and a stride
    ck_assert_uint_eq(cs_tile_side(64, 512, 10, 4), 64);
    ck_assert_uint_eq(cs_tile_side(16, 10, 10, 4), 16);
}
END_TEST

START_TEST(limits_too_many)
{
    struct cs_tile *tiles;
    struct cs_err err;
    int count;
    ck_assert_int_eq(cs_tiles_make(1 << 20, 4, 1 << 20, 4, 12, 4, 2, 4, &tiles, &count, &err), -1);
    ck_assert_int_eq(err.code, CS_ENOMEM);
}
END_TEST

START_TEST(core_job)
{
    struct cs_fit_rule rule = {.kind = CS_FIT_KIND_RESIZE};
    struct cs_job job = {.out_width = 7, .out_height = 5, .x0 = 3};
    cs_fit_job(&rule, &job);
    ck_assert_int_eq(job.placement, CS_PLACE_SCALE);
    ck_assert_uint_eq(job.part_width, 7);
    ck_assert_uint_eq(job.part_height, 5);
    ck_assert_int_eq(job.x0, 0);
    rule.kind = CS_FIT_KIND_PAD;
    cs_fit_job(&rule, &job);
    ck_assert_int_eq(job.placement, CS_PLACE_COPY);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fit");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_test(core, core_planes);
    tcase_add_test(core, core_tiles);
    tcase_add_test(core, core_tile_side);
    tcase_add_test(core, core_job);
    tcase_add_test(limits, limits_too_many);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
