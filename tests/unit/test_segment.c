// SPDX-License-Identifier: MIT
// Masks, distance transform, morphology and objects against plain loops over all pixels.
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "planes.h"
#include "segment/edt.h"
#include "segment/morph.h"
#include "segment/objects.h"
#include "suite.h"

static const struct cs_scratch memory = {0, NULL};
static const int dx[8] = {0, -1, 1, 0, -1, 1, -1, 1}, dy[8] = {-1, 0, 0, 1, -1, -1, 1, 1};

static size_t pixels(const struct cs_image *image)
{
    return (size_t)image->width * image->height;
}

START_TEST(threshold_is_strict_and_exact)
{
    struct cs_err err = {0};
    struct cs_image p, mask;
    static const double levels[] = {0, 0.25, 0.5, 0.6, 1.0 / 3, 0.999, 1};
    double t = levels[_i];
    ck_assert_int_eq(cs_image_init(&p, 65536, 1, 1, CS_U16, 0, NULL, &err), 0);
    for (uint32_t v = 0; v < 65536; v++)
        ((uint16_t *)p.data)[v] = (uint16_t)v;
    ck_assert_int_eq(cs_mask_threshold(&mask, &p, 0, t, &memory, &err), 0);
    for (uint32_t v = 0; v < 65536; v++)
        ck_assert_int_eq(((uint8_t *)mask.data)[v], v / 65535.0 > t);
    cs_image_release(&mask);
    cs_image_release(&p);
    // The second of two channels.
    ck_assert_int_eq(cs_image_init(&p, 256, 1, 2, CS_U8, 0, NULL, &err), 0);
    for (uint32_t v = 0; v < 256; v++)
        ((uint8_t *)p.data)[2 * v + 1] = (uint8_t)v;
    ck_assert_int_eq(cs_mask_threshold(&mask, &p, 1, t, &memory, &err), 0);
    for (uint32_t v = 0; v < 256; v++)
        ck_assert_int_eq(((uint8_t *)mask.data)[v], v / 255.0 > t);
    cs_image_release(&mask);
    ck_assert_int_eq(cs_mask_threshold(&mask, &p, 2, t, &memory, &err), -1);
    cs_image_release(&p);
}
END_TEST

START_TEST(threshold_of_floats)
{
    struct cs_err err = {0};
    struct cs_image p, mask, relief;
    const float values[] = {-1, 0, 0.5f, 0.50000006f, NAN, INFINITY, 1};
    const uint8_t above[] = {0, 0, 0, 1, 0, 1, 1};
    const uint16_t steps[] = {0, 0, 32768, 32768, 0, 65535, 65535};
    ck_assert_int_eq(cs_image_init(&p, 7, 1, 1, CS_F32, 0, NULL, &err), 0);
    memcpy(p.data, values, sizeof values);
    ck_assert_int_eq(cs_mask_threshold(&mask, &p, 0, 0.5, &memory, &err), 0);
    ck_assert_mem_eq(mask.data, above, sizeof above);
    ck_assert_int_eq(cs_relief_channel(&relief, &p, 0, &memory, &err), 0);
    ck_assert_mem_eq(relief.data, steps, sizeof steps);
    cs_image_release(&relief);
    cs_image_release(&mask);
    p.dtype = CS_I32;
    ck_assert_int_eq(cs_mask_threshold(&mask, &p, 0, 0.5, &memory, &err), -1);
    cs_image_release(&p);
}
END_TEST

// Squared distance to the nearest pixel of the wanted kind by looking at all.
static uint32_t nearest(const struct cs_image *mask, uint32_t x, uint32_t y, bool foreground)
{
    uint64_t best = CS_EDT_FAR;
    for (uint32_t v = 0; v < mask->height; v++)
        for (uint32_t u = 0; u < mask->width; u++) {
            if ((((uint8_t *)mask->data)[(size_t)v * mask->width + u] != 0) != foreground)
                continue;
            int64_t a = (int64_t)u - x, b = (int64_t)v - y;
            if ((uint64_t)(a * a + b * b) < best)
                best = (uint64_t)(a * a + b * b);
        }
    return (uint32_t)best;
}

START_TEST(distances)
{
    struct cs_err err = {0};
    struct cs_image mask, d;
    uint64_t seed = (uint64_t)_i + 100;
    planes_random_mask(&mask, 1 + planes_random(&seed) % 40, 1 + planes_random(&seed) % 40, _i * 6,
                       _i % 4, seed);
    for (int to = CS_EDT_TO_BACKGROUND; to <= CS_EDT_TO_FOREGROUND; to++) {
        ck_assert_int_eq(cs_edt_squared(&d, &mask, (enum cs_edt_to)to, &memory, &err), 0);
        for (uint32_t y = 0; y < mask.height; y++)
            for (uint32_t x = 0; x < mask.width; x++)
                ck_assert_uint_eq(((uint32_t *)d.data)[(size_t)y * mask.width + x],
                                  nearest(&mask, x, y, to == CS_EDT_TO_FOREGROUND));
        cs_image_release(&d);
    }
    cs_image_release(&mask);
}
END_TEST

// Dilation, or erosion as dilation of the complement, pixel by pixel; outside is neutral.
static void disc(uint8_t *out, const uint8_t *in, int w, int h, double radius, bool erode)
{
    int r = (int)radius;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            bool hit = false;
            for (int v = -r; v <= r; v++)
                for (int u = -r; u <= r; u++)
                    if (u * u + v * v <= radius * radius && x + u >= 0 && y + v >= 0 && x + u < w &&
                        y + v < h)
                        hit |= (in[(y + v) * w + x + u] != 0) != erode;
            out[y * w + x] = hit != erode;
        }
}

START_TEST(opening_and_closing)
{
    enum { W = 35, H = 29, M = 5, LARGE_W = W + 2 * M, LARGE_H = H + 2 * M };
    struct cs_err err = {0};
    struct cs_image mask, copy;
    uint64_t seed = (uint64_t)_i + 7;
    double radius = 0.5 + 0.7 * (_i % 6);
    planes_random_mask(&mask, W, H, 50, 1 + _i % 3, seed);
    planes_random_mask(&copy, W, H, 50, 1 + _i % 3, seed);
    const uint8_t *before = copy.data, *after = mask.data;
    bool open = _i % 2;
    static uint8_t one[LARGE_W * LARGE_H], two[LARGE_W * LARGE_H], three[LARGE_W * LARGE_H];
    int w = open ? W : LARGE_W, h = open ? H : LARGE_H, m = open ? 0 : M;
    memset(one, 0, sizeof one);
    for (int y = 0; y < H; y++)
        memcpy(one + (y + m) * w + m, before + y * W, W);
    disc(two, one, w, h, radius, open);
    disc(three, two, w, h, radius, !open);
    ck_assert_int_eq(open ? cs_morph_open(&mask, radius, &memory, &err)
                          : cs_morph_close(&mask, radius, &memory, &err),
                     0);
    for (int y = 0; y < H; y++)
        ck_assert_mem_eq(after + y * W, three + (y + m) * w + m, W);
    for (size_t i = 0; i < W * H; i++) // an opening shrinks, a closing grows
        ck_assert(open ? after[i] <= before[i] : after[i] >= before[i]);
    cs_image_release(&mask);
    cs_image_release(&copy);
}
END_TEST

static void check_fill(const char *const *before, const char *const *after, int connectivity,
                       enum cs_dtype dtype)
{
    struct cs_err err = {0};
    struct cs_image got, expected;
    planes_draw(&got, dtype, before);
    planes_draw(&expected, dtype, after);
    ck_assert_int_eq(cs_morph_fill_holes(&got, connectivity, &memory, &err), 0);
    ck_assert_mem_eq(got.data, expected.data, cs_image_bytes(&got));
    cs_image_release(&got);
    cs_image_release(&expected);
}

START_TEST(holes)
{
    const char *mask[] = {"11111..", "1...1..", "1.1.1..", "1...1..", "11111..", NULL};
    const char *full[] = {"11111..", "11111..", "11111..", "11111..", "11111..", NULL};
    check_fill(mask, full, 8, CS_U8);
    check_fill(mask, full, 4, CS_U8);
    // Closed for objects of 8-connected pixels, open for those of 4-connected ones.
    const char *ring[] = {".....", "..1..", ".1.1.", "..1..", ".....", NULL};
    const char *disk[] = {".....", "..1..", ".111.", "..1..", ".....", NULL};
    check_fill(ring, disk, 8, CS_U8);
    check_fill(ring, ring, 4, CS_U8);
    // Labels: a gap between two objects stays, and so does an open bay at the edge.
    const char *two[] = {"111222", "1.12.2", "1..222", "111222", "3.3...", NULL};
    const char *out[] = {"111222", "1.1222", "1..222", "111222", "3.3...", NULL};
    check_fill(two, out, 8, CS_U32);
    check_fill(two, out, 8, CS_U16);
}
END_TEST

// The definition of cs_objects_split over the whole plane, with component names in an array and
// the next pixel found by looking at all.
static uint32_t split_slowly(uint32_t *labels, const uint8_t *mask, const uint16_t *relief, int w,
                             int h, uint32_t depth, uint32_t least_peak, int connectivity)
{
    int n = w * h, *basin = malloc((size_t)n * sizeof *basin); // named by their peaks
    for (int i = 0; i < n; i++)
        basin[i] = -1;
    for (;;) {
        int next = -1, best = -1, high = -1;
        for (int i = 0; i < n; i++)
            if (mask[i] && basin[i] < 0 && (next < 0 || relief[i] > relief[next]))
                next = i;
        if (next < 0)
            break;
        for (int d = 0; d < connectivity; d++) {
            int x = next % w + dx[d], y = next / w + dy[d], j = y * w + x;
            if (x < 0 || y < 0 || x >= w || y >= h || basin[j] < 0)
                continue;
            int b = basin[j];
            if (best < 0 || relief[j] > relief[best] || (relief[j] == relief[best] && j < best))
                best = j;
            if (high < 0 || relief[b] > relief[high] || (relief[b] == relief[high] && b < high))
                high = b;
        }
        if (best < 0) {
            basin[next] = next;
            continue;
        }
        for (int d = 0; d < connectivity; d++) {
            int x = next % w + dx[d], y = next / w + dy[d], j = y * w + x;
            if (x < 0 || y < 0 || x >= w || y >= h || basin[j] < 0 || basin[j] == high)
                continue;
            int b = basin[j];
            if ((uint32_t)(relief[b] - relief[next]) < depth || relief[b] < least_peak)
                for (int k = 0; k < n; k++)
                    basin[k] = basin[k] == b ? high : basin[k];
        }
        basin[next] = basin[best];
    }
    uint32_t names = 0, *name = calloc((size_t)n, sizeof *name);
    for (int i = 0; i < n; i++) {
        if (basin[i] >= 0 && !name[basin[i]])
            name[basin[i]] = ++names;
        labels[i] = basin[i] >= 0 ? name[basin[i]] : 0;
    }
    free(basin);
    free(name);
    return names;
}

START_TEST(splitting)
{
    enum { W = 31, H = 23 };
    struct cs_err err = {0};
    struct cs_image mask, relief, labels;
    uint64_t seed = (uint64_t)_i + 55;
    uint32_t expected[W * H], count;
    planes_random_mask(&mask, W, H, 60, 1 + _i % 3, seed);
    if (_i % 5 == 1) // thin slanted lines, much smaller than their boxes
        for (int k = 0; k < W * H; k++)
            ((uint8_t *)mask.data)[k] = (k % W + k / W) % 7 == 0;
    if (_i % 4 == 0) {
        ck_assert_int_eq(cs_relief_distance(&relief, &mask, &memory, &err), 0);
    } else {
        ck_assert_int_eq(cs_image_init(&relief, W, H, 1, CS_U16, 0, NULL, &err), 0);
        for (size_t i = 0; i < W * H; i++) // few values: many ties
            ((uint16_t *)relief.data)[i] =
                (uint16_t)(planes_random(&seed) % 9 * (_i % 3 ? 1 : 700));
    }
    uint32_t depth = _i % 5 * (_i % 3 ? 1 : 400), least = _i % 7;
    int connectivity = _i % 2 ? 4 : 8;
    uint32_t names =
        split_slowly(expected, mask.data, relief.data, W, H, depth, least, connectivity);
    ck_assert_int_eq(cs_objects_split(&labels, &count, &mask, &relief, depth, least, connectivity,
                                      &memory, &err),
                     0);
    ck_assert_uint_eq(count, names);
    ck_assert_mem_eq(labels.data, expected, sizeof expected);
    cs_image_release(&labels);
    // A depth beyond all relief leaves the connected components.
    struct cs_image whole;
    uint32_t parts;
    ck_assert_int_eq(
        cs_objects_split(&labels, &count, &mask, &relief, 70000, 0, connectivity, &memory, &err),
        0);
    ck_assert_int_eq(cs_objects_label(&whole, &parts, &mask, connectivity, &memory, &err), 0);
    ck_assert_uint_eq(count, parts);
    ck_assert_mem_eq(labels.data, whole.data, cs_image_bytes(&whole));
    cs_image_release(&whole);
    cs_image_release(&labels);
    cs_image_release(&relief);
    cs_image_release(&mask);
}
END_TEST

START_TEST(two_discs)
{
    struct cs_err err = {0};
    struct cs_image mask, relief, labels;
    uint32_t count;
    ck_assert_int_eq(cs_image_init(&mask, 60, 40, 1, CS_U8, 0, NULL, &err), 0);
    for (int y = 0; y < 40; y++)
        for (int x = 0; x < 60; x++)
            ((uint8_t *)mask.data)[y * 60 + x] =
                hypot(x - 20, y - 20) <= 12 || hypot(x - 39, y - 20) <= 12;
    ck_assert_int_eq(cs_relief_distance(&relief, &mask, &memory, &err), 0);
    ck_assert_int_eq(
        cs_objects_split(&labels, &count, &mask, &relief, CS_RELIEF_STEPS_PX, 0, 8, &memory, &err),
        0);
    ck_assert_uint_eq(count, 2);
    const uint32_t *l = labels.data;
    ck_assert_uint_eq(l[20 * 60 + 10], 1);
    ck_assert_uint_eq(l[20 * 60 + 50], 2);
    cs_image_release(&labels);
    cs_image_release(&relief);
    cs_image_release(&mask);
}
END_TEST

static void check_filter(const char *const *before, const char *const *after,
                         struct cs_object_filter filter, uint32_t count, uint32_t left)
{
    struct cs_err err = {0};
    struct cs_image got, expected;
    planes_draw(&got, CS_U32, before);
    planes_draw(&expected, CS_U32, after);
    ck_assert_int_eq(cs_objects_filter(&got, &count, &filter, &err), 0);
    ck_assert_uint_eq(count, left);
    ck_assert_mem_eq(got.data, expected.data, cs_image_bytes(&got));
    cs_objects_narrow(&got, count);
    ck_assert_int_eq(got.dtype, CS_U16);
    for (size_t i = 0; i < pixels(&got); i++)
        ck_assert_uint_eq(((uint16_t *)got.data)[i], ((uint32_t *)expected.data)[i]);
    cs_image_release(&got);
    cs_image_release(&expected);
}

START_TEST(filters)
{
    const char *all[] = {"4......", "..2.11.", ".22.11.", "...3...", "......5", NULL};
    const char *renamed[] = {"1......", "..2.33.", ".22.33.", "...4...", "......5", NULL};
    const char *large[] = {".......", "..1.22.", ".11.22.", ".......", ".......", NULL};
    const char *small[] = {"1......", "..2....", ".22....", "...3...", "......4", NULL};
    const char *inner[] = {".......", "..1.22.", ".11.22.", "...3...", ".......", NULL};
    check_filter(all, renamed, (struct cs_object_filter){0}, 5, 5);
    check_filter(all, large, (struct cs_object_filter){.min_area = 3}, 5, 2);
    check_filter(all, small, (struct cs_object_filter){.max_area = 3}, 5, 4);
    check_filter(all, inner, (struct cs_object_filter){.clear_border = true}, 5, 3);
}
END_TEST

// Rings in rings: boxes that hold each other. Work over boxes
// would be 500 times the work over pixels, and the time limit of the test too short for it.
START_TEST(nested_boxes)
{
    enum { SIDE = 2000 };
    struct cs_err err = {0};
    struct cs_image mask, relief, labels;
    uint32_t count;
    ck_assert_int_eq(cs_image_init(&mask, SIDE, SIDE, 1, CS_U8, 0, NULL, &err), 0);
    ck_assert_int_eq(cs_image_init(&relief, SIDE, SIDE, 1, CS_U16, 0, NULL, &err), 0);
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            int edge = x < y ? x : y, other = SIDE - 1 - (x > y ? x : y);
            ((uint8_t *)mask.data)[y * SIDE + x] = (edge < other ? edge : other) % 2 == 0;
        }
    ck_assert_int_eq(cs_objects_split(&labels, &count, &mask, &relief, 1, 0, 4, &memory, &err), 0);
    ck_assert_uint_eq(count, SIDE / 4);
    cs_image_release(&labels);
    cs_image_release(&relief);
    cs_image_release(&mask);
}
END_TEST

START_TEST(more_objects_than_16_bits)
{
    struct cs_err err = {0};
    struct cs_image mask, labels;
    uint32_t count;
    ck_assert_int_eq(cs_image_init(&mask, 800, 400, 1, CS_U8, 0, NULL, &err), 0);
    for (size_t y = 0; y < 400; y += 2)
        for (size_t x = 0; x < 800; x += 2)
            ((uint8_t *)mask.data)[y * 800 + x] = 1;
    ck_assert_int_eq(cs_objects_label(&labels, &count, &mask, 8, &memory, &err), 0);
    ck_assert_uint_eq(count, 80000);
    cs_objects_narrow(&labels, count);
    ck_assert_int_eq(labels.dtype, CS_U32);
    ck_assert_uint_eq(((uint32_t *)labels.data)[398 * 800 + 798], 80000);
    cs_image_release(&labels);
    cs_image_release(&mask);
}
END_TEST

START_TEST(spilled)
{
    struct cs_err err = {0};
    struct cs_image mask, relief, labels, other;
    uint32_t count, again;
    static const struct cs_scratch disk = {1, NULL};
    planes_random_mask(&mask, 90, 70, 60, 2, 5);
    ck_assert_int_eq(cs_relief_distance(&relief, &mask, &disk, &err), 0);
    ck_assert_int_eq(cs_objects_split(&labels, &count, &mask, &relief, 16, 0, 8, &memory, &err), 0);
    ck_assert_int_eq(cs_objects_split(&other, &again, &mask, &relief, 16, 0, 8, &disk, &err), 0);
    ck_assert(other.block.mapped && !labels.block.mapped);
    ck_assert_uint_eq(count, again);
    ck_assert_mem_eq(labels.data, other.data, cs_image_bytes(&labels));
    cs_image_release(&other);
    static const struct cs_scratch nowhere = {1, "/nonexistent"};
    ck_assert_int_eq(cs_objects_split(&other, &again, &mask, &relief, 16, 0, 8, &nowhere, &err),
                     -1);
    cs_image_release(&labels);
    cs_image_release(&relief);
    cs_image_release(&mask);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("segment");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_loop_test(core, threshold_is_strict_and_exact, 0, 7);
    tcase_add_test(core, threshold_of_floats);
    tcase_add_loop_test(core, distances, 0, 17);
    tcase_add_loop_test(core, opening_and_closing, 0, 12);
    tcase_add_test(core, holes);
    tcase_add_loop_test(core, splitting, 0, 60);
    tcase_add_test(core, two_discs);
    tcase_add_test(core, filters);
    tcase_add_test(limits, nested_boxes);
    tcase_add_test(limits, more_objects_than_16_bits);
    tcase_add_test(limits, spilled);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
