// SPDX-License-Identifier: MIT
// Planes of images and cuts into tiles: own parts cover the map once, with the halo inside.
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/job_area.h"
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

// Along one side: the tile in the plane, and the pixels first .. last of the plane in the tile and,
// but for the plane's ends, at least a halo away from the tile's.
static void check_side(uint32_t origin, uint32_t tile, uint32_t plane, uint32_t stride,
                       uint32_t halo, double first, double last)
{
    ck_assert_uint_eq(origin % stride, 0);
    ck_assert_uint_le(origin + tile, plane);
    ck_assert_double_ge(first, origin ? origin + halo : 0);
    ck_assert_double_lt(last, origin + tile < plane ? origin + tile - halo : plane);
}

// The pixels of the plane between which sample i of the map lies: itself where they have one scale.
static double place_of(const struct cs_fit_rule *rule, uint32_t i, uint32_t plane, uint32_t map)
{
    if (rule->kind != CS_FIT_KIND_RESIZE)
        return i;
    return fmin(fmax((i + 0.5) * plane / map - 0.5, 0), plane - 1);
}

// Every pixel of `width` x `height` was counted; once each, where that is asked for.
static void check_cover(const uint8_t *seen, uint32_t width, uint32_t height, bool once)
{
    size_t covered = 0;
    for (size_t i = 0; i < (size_t)width * height; i++)
        covered += once ? seen[i] == 1 : seen[i] > 0;
    ck_assert_uint_eq(covered, (size_t)width * height);
}

static void count_area(uint8_t *seen, uint32_t width, const struct cs_job_area *area)
{
    for (uint32_t y = area->y; y < area->y + area->height; y++)
        for (uint32_t x = area->x; x < area->x + area->width; x++)
            seen[(size_t)y * width + x] |= (uint8_t)(1 << (seen[(size_t)y * width + x] > 0));
}

// Every sample of the map in one own part, every pixel behind the map in the area of one part or
// more; what parts and areas are made of in their tiles, a halo from the edges.
static void check_tiles(const struct cs_fit_rule *rule, uint32_t pw, uint32_t ph, uint32_t mw,
                        uint32_t mh, uint32_t side, uint32_t reach)
{
    uint32_t halo = cs_fit_halo(rule, reach, mw, mh), stride = rule->stride;
    uint32_t tw = cs_tile_side(pw, side, halo, stride), th = cs_tile_side(ph, side, halo, stride);
    bool resize = rule->kind == CS_FIT_KIND_RESIZE;
    uint8_t *map = calloc(mw, mh), *plane = calloc(pw, ph);
    struct cs_tile *tiles;
    struct cs_err err;
    int count;
    ck_assert_int_eq(cs_tiles_make(rule, pw, ph, mw, mh, tw, th, halo, &tiles, &count, &err), 0);
    for (int i = 0; i < count; i++) {
        const struct cs_tile *t = &tiles[i];
        struct cs_job job = {.out_width = mw, .out_height = mh};
        cs_fit_tile(rule, t, &job);
        ck_assert_uint_gt(t->part_width, 0);
        ck_assert_uint_gt(t->part_height, 0);
        check_side(t->x, tw, pw, stride, reach, floor(place_of(rule, t->part_x, pw, mw)),
                   ceil(place_of(rule, t->part_x + t->part_width - 1, pw, mw)));
        check_side(t->y, th, ph, stride, reach, floor(place_of(rule, t->part_y, ph, mh)),
                   ceil(place_of(rule, t->part_y + t->part_height - 1, ph, mh)));
        struct cs_job_area area = cs_job_plane_area(&job, (int)tw, (int)th);
        ck_assert(t->own.begin[0] <= area.y && t->own.end[0] >= area.y + area.height);
        ck_assert(t->own.begin[1] <= area.x && t->own.end[1] >= area.x + area.width);
        check_side(t->y, th, ph, stride, reach, (double)(t->y + t->own.begin[0]),
                   (double)(t->y + t->own.end[0] - 1));
        check_side(t->x, tw, pw, stride, reach, (double)(t->x + t->own.begin[1]),
                   (double)(t->x + t->own.end[1] - 1));
        area.x += t->x;
        area.y += t->y;
        check_side(t->x, tw, pw, stride, reach, area.x, area.x + area.width - 1);
        check_side(t->y, th, ph, stride, reach, area.y, area.y + area.height - 1);
        count_area(map, mw,
                   &(struct cs_job_area){t->part_x, t->part_y, t->part_width, t->part_height});
        count_area(plane, pw, &area);
    }
    check_cover(map, mw, mh, true);
    check_cover(plane, resize ? pw : 0, ph, false);
    free(tiles);
    free(map);
    free(plane);
}

START_TEST(core_tiles)
{
    uint64_t seed = 3;
    for (int i = 0; i < 120; i++) {
        uint32_t stride = 1U << planes_random(&seed) % 5;
        uint32_t mw = 1 + planes_random(&seed) % 300, mh = 1 + planes_random(&seed) % 300;
        uint32_t pw = (mw + stride - 1) / stride * stride, ph = (mh + stride - 1) / stride * stride;
        check_tiles(&(struct cs_fit_rule){.kind = CS_FIT_KIND_PAD, .stride = stride}, pw, ph, mw,
                    mh, 8 + planes_random(&seed) % 120, planes_random(&seed) % 25);
    }
}
END_TEST

// Images at another scale, by factors from 1/64 to 64, their own on each axis.
START_TEST(core_tiles_rescaled)
{
    static const double factors[] = {0.5, 0.37, 1.7, 1.0 / 64, 64, 1, 0.99, 1.01, 2, 3, 0.1, 20};
    enum { FACTORS = sizeof factors / sizeof *factors };
    uint64_t seed = 5;
    for (int i = 0; i < 4 * FACTORS * FACTORS; i++) {
        uint32_t stride = 1U << planes_random(&seed) % 5;
        struct cs_fit_rule rule = {.kind = CS_FIT_KIND_PAD, .stride = stride}, scaled;
        double fx = factors[i % FACTORS], fy = factors[i / FACTORS % FACTORS];
        uint32_t mw = 1 + planes_random(&seed) % (uint32_t)(300 / fmax(fx, 0.3));
        uint32_t mh = 1 + planes_random(&seed) % (uint32_t)(300 / fmax(fy, 0.3));
        uint32_t reach = planes_random(&seed) % 25, side = 8 + planes_random(&seed) % 120;
        struct cs_err err;
        ck_assert_int_eq(cs_fit_rescaled(&rule, mw, mh, fx, fy, &scaled, &err), 0);
        if (scaled.kind == CS_FIT_KIND_RESIZE)
            check_tiles(&scaled, scaled.width, scaled.height, mw, mh, side, reach);
    }
}
END_TEST

START_TEST(core_tile_side)
{
    ck_assert_uint_eq(cs_tile_side(1024, 130, 10, 4), 124); // 10 x 100 and 2 x 12
    ck_assert_uint_eq(cs_tile_side(1028, 130, 10, 4), 128);
    ck_assert_uint_eq(cs_tile_side(129, 128, 10, 4), 80);
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
    struct cs_fit_rule rule = {.kind = CS_FIT_KIND_PAD, .stride = 4};
    ck_assert_int_eq(cs_tiles_make(&rule, 1 << 20, 4, 1 << 20, 4, 12, 4, 2, &tiles, &count, &err),
                     -1);
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
    tcase_add_test(core, core_tiles_rescaled);
    tcase_add_test(core, core_tile_side);
    tcase_add_test(core, core_job);
    tcase_add_test(limits, limits_too_many);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
