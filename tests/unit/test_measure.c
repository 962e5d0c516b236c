// SPDX-License-Identifier: MIT
// Measurements against their definitions, pixel by pixel, on random label images; a few whose
// values are known; intensities. The values of scikit-image are in tests/cli/polygonize-golden.sh.
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "planes.h"
#include "shape/measure.h"
#include "suite.h"

static const int dx[8] = {0, -1, 1, 0, -1, 1, -1, 1}, dy[8] = {-1, 0, 0, 1, -1, -1, 1, 1};

// The label image of one test, and the object looked at.
static struct cs_image image;
static uint32_t label;

static bool in(int64_t x, int64_t y)
{
    return x >= 0 && y >= 0 && x < image.width && y < image.height &&
           cs_plane_at(&image, (size_t)y * image.width + (size_t)x) == label;
}

static bool at_border(int64_t x, int64_t y)
{
    return in(x, y) && !(in(x - 1, y) && in(x + 1, y) && in(x, y - 1) && in(x, y + 1));
}

// Parts of object (8-connected) or of background in a frame round the image.
static int64_t count_parts(bool object, int connectivity, int64_t *pixels)
{
    int64_t w = image.width + 2, h = image.height + 2, parts = 0, top;
    uint8_t *seen = calloc((size_t)(w * h), 1);
    int64_t *stack = malloc((size_t)(w * h) * sizeof *stack);
    for (int64_t s = 0; s < w * h; s++) {
        if (seen[s] || in(s % w - 1, s / w - 1) != object)
            continue;
        parts++;
        seen[s] = 1;
        stack[0] = s;
        for (top = 1; top > 0;) {
            int64_t i = stack[--top];
            // The first part of the background is the outside.
            *pixels += parts > 1;
            for (int d = 0; d < connectivity; d++) {
                int64_t x = i % w + dx[d], y = i / w + dy[d];
                if (x < 0 || y < 0 || x >= w || y >= h || seen[y * w + x] ||
                    in(x - 1, y - 1) != object)
                    continue;
                seen[y * w + x] = 1;
                stack[top++] = y * w + x;
            }
        }
    }
    free(seen);
    free(stack);
    return parts;
}

static void check_topology(const struct cs_measures *m)
{
    int64_t ignored = 0, in_holes = 0;
    int64_t parts = count_parts(true, 8, &ignored);
    int64_t holes = count_parts(false, 4, &ignored) - 1;
    count_parts(false, 8, &in_holes);
    ck_assert_int_eq(m->euler_number, parts - holes);
    ck_assert_uint_eq(m->area_filled, m->area + (uint64_t)in_holes);
}

static void check_outline(const struct cs_measures *m)
{
    double perimeter = 0, crossings[4] = {0};
    static const int lines[4][2] = {{1, 0}, {0, 1}, {1, 1}, {1, -1}};
    for (int64_t y = 0; y < image.height; y++)
        for (int64_t x = 0; x < image.width; x++) {
            for (int k = 0; k < 4; k++)
                crossings[k] += in(x, y) && !in(x + lines[k][0], y + lines[k][1]);
            if (!at_border(x, y))
                continue;
            int code = 1;
            for (int d = 0; d < 8; d++)
                code += (d < 4 ? 2 : 10) * at_border(x + dx[d], y + dy[d]);
            if (code == 5 || code == 7 || code == 15 || code == 17 || code == 25 || code == 27)
                perimeter += 1;
            else if (code == 21 || code == 33)
                perimeter += sqrt(2);
            else if (code == 13 || code == 23)
                perimeter += (1 + sqrt(2)) / 2;
        }
    double crofton =
        M_PI / 4 * (crossings[0] + crossings[1] + (crossings[2] + crossings[3]) / sqrt(2));
    ck_assert_double_eq_tol(m->perimeter, perimeter, 1e-9);
    ck_assert_double_eq_tol(m->perimeter_crofton, crofton, 1e-9);
}

static void check_moments(const struct cs_measures *m)
{
    double n = 0, x1 = 0, y1 = 0, xx = 0, yy = 0, xy = 0;
    for (int64_t y = 0; y < image.height; y++)
        for (int64_t x = 0; x < image.width; x++)
            if (in(x, y)) {
                n++;
                x1 += (double)x;
                y1 += (double)y;
            }
    for (int64_t y = 0; y < image.height; y++)
        for (int64_t x = 0; x < image.width; x++)
            if (in(x, y)) {
                double u = (double)x - x1 / n, v = (double)y - y1 / n;
                xx += u * u / n;
                yy += v * v / n;
                xy += u * v / n;
            }
    double root = hypot((xx - yy) / 2, xy), mean = (xx + yy) / 2;
    ck_assert_uint_eq(m->area, (uint64_t)n);
    ck_assert_double_eq_tol(m->centroid[0], y1 / n, 1e-9);
    ck_assert_double_eq_tol(m->centroid[1], x1 / n, 1e-9);
    ck_assert_double_eq_tol(m->axis_major_length, 4 * sqrt(mean + root), 1e-6);
    ck_assert_double_eq_tol(m->axis_minor_length, 4 * sqrt(fmax(0, mean - root)), 1e-6);
    if (root > 1e-6 * mean) // the direction in which the variance is largest, from the row axis
        ck_assert_double_eq_tol(cos(2 * m->orientation) * (yy - xx) +
                                    2 * sin(2 * m->orientation) * xy,
                                2 * root, 1e-6 * mean);
}

struct corner {
    int64_t x, y;
};

// The midpoints of the edges of a set of pixels, in doubled coordinates.
static size_t midpoints(struct corner *out, const uint8_t *set)
{
    size_t n = 0;
    for (int64_t y = 0; y < image.height; y++)
        for (int64_t x = 0; x < image.width; x++)
            if (set[y * image.width + x])
                for (int d = 0; d < 4; d++)
                    out[n++] = (struct corner){2 * x + dx[d], 2 * y + dy[d]};
    return n;
}

static int64_t cross(struct corner a, struct corner b, struct corner c)
{
    return (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x);
}

// A point is in the hull when no line through two points of the set has it strictly on the one side
// and all points on the other: gift wrapping, then all edges.
static size_t wrap(struct corner *hull, const struct corner *points, size_t n)
{
    size_t start = 0, count = 0;
    for (size_t i = 1; i < n; i++)
        if (points[i].y < points[start].y ||
            (points[i].y == points[start].y && points[i].x < points[start].x))
            start = i;
    size_t at = start;
    do {
        size_t next = at ? 0 : 1;
        for (size_t i = 0; i < n; i++) {
            int64_t c = cross(points[at], points[next], points[i]);
            int64_t here = llabs(points[i].x - points[at].x) + llabs(points[i].y - points[at].y);
            int64_t best =
                llabs(points[next].x - points[at].x) + llabs(points[next].y - points[at].y);
            if (c < 0 || (c == 0 && here > best))
                next = i;
        }
        hull[count++] = points[at];
        at = next;
    } while ((points[at].x != points[start].x || points[at].y != points[start].y) && count < n);
    return count;
}

static void check_hull(const struct cs_measures *m)
{
    size_t pixels = (size_t)image.width * image.height, n, h;
    uint8_t *set = calloc(pixels, 1);
    struct corner *points = malloc((4 * pixels + 1) * sizeof *points);
    struct corner *hull = malloc((4 * pixels + 1) * sizeof *hull);
    uint64_t area = 0;
    int64_t far = 0;
    for (size_t i = 0; i < pixels; i++)
        set[i] = in((int64_t)(i % image.width), (int64_t)(i / image.width));
    n = midpoints(points, set);
    h = wrap(hull, points, n);
    for (size_t i = 0; i < pixels; i++) {
        struct corner p = {2 * (int64_t)(i % image.width), 2 * (int64_t)(i / image.width)};
        bool inside = true;
        for (size_t k = 0; k < h; k++)
            inside &= cross(hull[k], hull[(k + 1) % h], p) >= 0;
        set[i] = inside;
        area += inside;
    }
    n = midpoints(points, set);
    h = wrap(hull, points, n);
    for (size_t i = 0; i < h; i++)
        for (size_t j = 0; j < i; j++) {
            int64_t x = hull[i].x - hull[j].x, y = hull[i].y - hull[j].y;
            far = x * x + y * y > far ? x * x + y * y : far;
        }
    ck_assert_uint_eq(m->area_convex, area);
    ck_assert_double_eq_tol(m->feret_diameter_max, sqrt((double)far) / 2, 1e-9);
    free(set);
    free(points);
    free(hull);
}

START_TEST(definitions)
{
    struct cs_err err = {0};
    struct cs_regions regions;
    struct cs_measure_table table;
    uint64_t seed = (uint64_t)_i + 31;
    planes_random_mask(&image, 1 + planes_random(&seed) % 32, 1 + planes_random(&seed) % 32,
                       25 + _i % 6 * 11, _i % 4, seed);
    uint8_t *l = image.data;
    for (size_t i = 0; i < (size_t)image.width * image.height; i++)
        l[i] = l[i] ? (uint8_t)(_i % 2 ? 9 : 1 + 100 * (planes_random(&seed) % 2)) : 0;
    ck_assert_int_eq(cs_regions_init(&regions, &image, 0, NULL, &err), 0);
    ck_assert_int_eq(cs_measure_objects(&table, &regions, NULL, &err), 0);
    for (uint32_t o = 0; o < table.count; o++) {
        const struct cs_measures *m = &table.items[o];
        label = m->label;
        check_moments(m);
        check_topology(m);
        check_outline(m);
        check_hull(m);
        ck_assert_double_eq(m->extent, (double)m->area / (double)m->area_bbox);
        ck_assert_double_eq(m->solidity, (double)m->area / (double)m->area_convex);
    }
    cs_measure_table_release(&table);
    cs_regions_release(&regions);
    cs_image_release(&image);
}
END_TEST

static void measure_drawn(struct cs_measures *m, const char *const *rows)
{
    struct cs_err err = {0};
    struct cs_regions regions;
    struct cs_measure_table table;
    planes_draw(&image, CS_U32, rows);
    ck_assert_int_eq(cs_regions_init(&regions, &image, 0, NULL, &err), 0);
    ck_assert_int_eq(cs_measure_objects(&table, &regions, NULL, &err), 0);
    ck_assert_uint_eq(table.count, 1);
    *m = table.items[0];
    cs_measure_table_release(&table);
    cs_regions_release(&regions);
    cs_image_release(&image);
}

START_TEST(known_values)
{
    struct cs_measures m;
    const char *pixel[] = {"...", ".4.", "...", NULL};
    measure_drawn(&m, pixel);
    ck_assert_uint_eq(m.label, 4);
    ck_assert_uint_eq(m.area_convex, 1);
    ck_assert_double_eq(m.feret_diameter_max, 1);
    ck_assert_double_eq(m.axis_major_length, 0);
    ck_assert_double_eq(m.eccentricity, 0);
    ck_assert_double_eq(m.orientation, -M_PI / 4);
    ck_assert_double_eq(m.perimeter, 0);
    // Along a row: the angle from the row axis is a right one.
    const char *line[] = {"11111", NULL};
    measure_drawn(&m, line);
    ck_assert_double_eq(m.axis_minor_length, 0);
    ck_assert_double_eq(m.eccentricity, 1);
    ck_assert_double_eq_tol(fabs(m.orientation), M_PI / 2, 1e-12);
    ck_assert_double_eq(m.feret_diameter_max, 5);
    ck_assert_uint_eq(m.bbox[3], 5);
    // Down to the right and up to the right.
    const char *down[] = {"1..", ".1.", "..1", NULL}, *up[] = {"..1", ".1.", "1..", NULL};
    measure_drawn(&m, down);
    ck_assert_double_eq_tol(m.orientation, M_PI / 4, 1e-12);
    ck_assert_double_eq(m.axis_minor_length, 0);
    measure_drawn(&m, up);
    ck_assert_double_eq_tol(m.orientation, -M_PI / 4, 1e-12);
    ck_assert_int_eq(m.euler_number, 1);
}
END_TEST

START_TEST(intensities)
{
    static const enum cs_dtype types[] = {CS_U8, CS_U16, CS_F32, CS_I32};
    struct cs_err err = {0};
    struct cs_regions regions;
    struct cs_measure_table table;
    struct cs_image samples;
    const char *rows[] = {"11.2", "1..2", NULL};
    static const int values[8][2] = {{1, 10}, {2, 20}, {0, 0}, {7, 70},
                                     {6, 60}, {0, 0},  {0, 0}, {9, 90}};
    planes_draw(&image, CS_U16, rows);
    ck_assert_int_eq(cs_image_init(&samples, 4, 2, 2, types[_i], 0, NULL, &err), 0);
    for (int i = 0; i < 8; i++)
        for (int c = 0; c < 2; c++) {
            int k = 2 * i + c, v = values[i][c];
            if (types[_i] == CS_U8)
                ((uint8_t *)samples.data)[k] = (uint8_t)v;
            else if (types[_i] == CS_U16)
                ((uint16_t *)samples.data)[k] = (uint16_t)v;
            else if (types[_i] == CS_F32)
                ((float *)samples.data)[k] = (float)v;
            else
                ((int32_t *)samples.data)[k] = v;
        }
    ck_assert_int_eq(cs_regions_init(&regions, &image, 0, NULL, &err), 0);
    ck_assert_int_eq(cs_measure_objects(&table, &regions, &samples, &err), 0);
    ck_assert_uint_eq(table.channels, 2);
    const struct cs_intensity expected[4] = {{3, 1, 6}, {30, 10, 60}, {8, 7, 9}, {80, 70, 90}};
    for (int k = 0; k < 4; k++) {
        ck_assert_double_eq(table.intensity[k].mean, expected[k].mean);
        ck_assert_double_eq(table.intensity[k].min, expected[k].min);
        ck_assert_double_eq(table.intensity[k].max, expected[k].max);
    }
    cs_measure_table_release(&table);
    samples.height = 1;
    ck_assert_int_eq(cs_measure_objects(&table, &regions, &samples, &err), -1);
    ck_assert_int_eq(err.code, CS_EINPUT);
    cs_regions_release(&regions);
    cs_image_release(&samples);
    cs_image_release(&image);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("measure");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_set_timeout(core, 30);
    tcase_add_loop_test(core, definitions, 0, 48);
    tcase_add_test(core, known_values);
    tcase_add_loop_test(limits, intensities, 0, 4);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
