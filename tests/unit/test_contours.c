// SPDX-License-Identifier: MIT
// Outlines: drawn cases with known rings, and properties on random label images: the polygons of an
// object fill exactly its pixels, no ring meets itself, and simplified rings do not cross.
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "planes.h"
#include "shape/contours.h"
#include "shape/simplify.h"
#include "suite.h"

struct traced {
    struct cs_image labels;
    struct cs_regions regions;
    struct cs_contours contours;
};

static void trace(struct traced *t)
{
    struct cs_err err = {0};
    ck_assert_int_eq(cs_regions_init(&t->regions, &t->labels, 0, NULL, &err), 0);
    ck_assert_int_eq(cs_contours_trace(&t->contours, &t->regions, &err), 0);
}

static void release(struct traced *t)
{
    cs_contours_release(&t->contours);
    cs_regions_release(&t->regions);
    cs_image_release(&t->labels);
}

// The polygons of one object: rings a polygon, as "3,1": a ring and two holes, then one ring.
static void check_shape(const struct traced *t, uint32_t object, const char *expected)
{
    char text[64] = "";
    const struct cs_contours *c = &t->contours;
    for (size_t p = c->object_start[object]; p < c->object_start[object + 1]; p++) {
        size_t len = strlen(text);
        snprintf(text + len, sizeof text - len, "%s%u", len ? "," : "", c->polygons[p].count);
    }
    ck_assert_str_eq(text, expected);
}

static void check_drawn(const char *const *rows, const char *const *shapes)
{
    struct traced t = {0};
    planes_draw(&t.labels, CS_U16, rows);
    trace(&t);
    for (uint32_t o = 0; o < t.regions.count; o++)
        check_shape(&t, o, shapes[o]);
    release(&t);
}

START_TEST(one_pixel)
{
    struct traced t = {0};
    const char *rows[] = {"...", "..7", NULL};
    planes_draw(&t.labels, CS_U8, rows);
    trace(&t);
    ck_assert_uint_eq(t.regions.count, 1);
    ck_assert_uint_eq(t.regions.label[0], 7);
    ck_assert_uint_eq(t.contours.point_count, 4);
    const struct cs_point expected[] = {{2, 1}, {3, 1}, {3, 2}, {2, 2}};
    ck_assert_mem_eq(t.contours.points, expected, sizeof expected);
    release(&t);
}
END_TEST

START_TEST(nesting)
{
    // A hole; an island in it, and another object beside the island.
    const char *hole[] = {"111", "1.1", "111", NULL};
    check_drawn(hole, (const char *[]){"2"});
    const char *island[] = {"1111111", "1.....1", "1.1.2.1", "1.....1", "1111111", NULL};
    check_drawn(island, (const char *[]){"2,1", "1"});
    // An island in a hole of an island in a hole.
    const char *deep[] = {"1111111", "1.....1", "1.111.1", "1.1.1.1",
                          "1.111.1", "1.....1", "1111111", NULL};
    check_drawn(deep, (const char *[]){"2,2"});
    // Another object fills the hole.
    const char *filled[] = {"111", "121", "111", NULL};
    check_drawn(filled, (const char *[]){"2", "1"});
}
END_TEST

START_TEST(corners)
{
    // Pixels that touch at a corner are two polygons.
    const char *pair[] = {"1.", ".1", NULL};
    check_drawn(pair, (const char *[]){"1,1"});
    // A ring closed over a corner: its hole touches the outer ring at one point.
    const char *closed[] = {"111", "1.1", "11.", NULL};
    check_drawn(closed, (const char *[]){"2"});
    // Two holes that touch each other.
    const char *holes[] = {"1111", "1.11", "11.1", "1111", NULL};
    check_drawn(holes, (const char *[]){"3"});
    // A diamond of four pixels is four polygons without a hole.
    const char *diamond[] = {".1.", "1.1", ".1.", NULL};
    check_drawn(diamond, (const char *[]){"1,1,1,1"});
    // The first corner of a walk is met twice.
    const char *first[] = {"..11", ".1.1", ".111", NULL};
    check_drawn(first, (const char *[]){"2"});
}
END_TEST

// Is the centre of a pixel inside, by the crossings of a ray with all edges of the object?
static bool covers(const struct cs_contours *c, uint32_t object, int x, int y)
{
    bool inside = false;
    for (size_t p = c->object_start[object]; p < c->object_start[object + 1]; p++)
        for (uint32_t r = 0; r < c->polygons[p].count; r++) {
            const struct cs_ring *ring = &c->rings[c->polygons[p].first + r];
            for (uint32_t i = 0; i < ring->count; i++) {
                struct cs_point a = c->points[ring->first + i];
                struct cs_point b = c->points[ring->first + (i + 1) % ring->count];
                if (a.x == b.x && a.x > x && (a.y <= y) != (b.y <= y))
                    inside = !inside;
            }
        }
    return inside;
}

static void check_rings(const struct cs_contours *c, const struct cs_ring *ring, bool hole)
{
    const struct cs_point *p = c->points + ring->first;
    ck_assert(ring->hole == hole);
    ck_assert(hole ? cs_ring_area2(p, ring->count) < 0 : cs_ring_area2(p, ring->count) > 0);
    for (uint32_t i = 0; i < ring->count; i++) {
        struct cs_point q = p[(i + 1) % ring->count], s = p[(i + 2) % ring->count];
        ck_assert((p[i].x == q.x) != (p[i].y == q.y)); // along an axis
        ck_assert((p[i].x == q.x) == (q.y == s.y));    // and a turn at each vertex
        for (uint32_t j = i + 1; j < ring->count; j++)
            ck_assert(p[i].x != p[j].x || p[i].y != p[j].y);
    }
}

static void random_labels(struct traced *t, int i)
{
    uint64_t seed = (uint64_t)i + 900;
    planes_random_mask(&t->labels, 2 + planes_random(&seed) % 40, 2 + planes_random(&seed) % 40,
                       30 + i % 5 * 12, i % 4, seed);
    uint8_t *l = t->labels.data;
    if (i % 3 == 0)
        for (size_t k = 0; k < (size_t)t->labels.width * t->labels.height; k++)
            l[k] = l[k] ? (uint8_t)(1 + 50 * (planes_random(&seed) % 3)) : 0;
    trace(t);
}

START_TEST(random_images)
{
    struct traced t = {0};
    random_labels(&t, _i);
    const struct cs_contours *c = &t.contours;
    for (uint32_t o = 0; o < t.regions.count; o++) {
        int64_t area2 = 0, pixels = 0;
        for (size_t p = c->object_start[o]; p < c->object_start[o + 1]; p++)
            for (uint32_t r = 0; r < c->polygons[p].count; r++) {
                const struct cs_ring *ring = &c->rings[c->polygons[p].first + r];
                check_rings(c, ring, r > 0);
                area2 += cs_ring_area2(c->points + ring->first, ring->count);
            }
        for (uint32_t y = 0; y < t.labels.height; y++)
            for (uint32_t x = 0; x < t.labels.width; x++) {
                size_t i = (size_t)y * t.labels.width + x;
                bool in = cs_plane_at(&t.labels, i) == t.regions.label[o];
                ck_assert(covers(c, o, (int)x, (int)y) == in);
                pixels += in;
            }
        ck_assert_int_eq(area2, 2 * pixels);
    }
    release(&t);
}
END_TEST

START_TEST(types_agree)
{
    struct traced a = {0}, b = {0};
    struct cs_err err = {0};
    random_labels(&a, 3);
    ck_assert_int_eq(cs_image_init(&b.labels, a.labels.width, a.labels.height, 1,
                                   _i ? CS_U16 : CS_U32, 0, NULL, &err),
                     0);
    for (size_t i = 0; i < (size_t)a.labels.width * a.labels.height; i++) {
        uint32_t value = ((uint8_t *)a.labels.data)[i] * 400u;
        if (_i)
            ((uint16_t *)b.labels.data)[i] = (uint16_t)value;
        else
            ((uint32_t *)b.labels.data)[i] = value;
    }
    trace(&b);
    ck_assert_uint_eq(a.contours.point_count, b.contours.point_count);
    ck_assert_mem_eq(a.contours.points, b.contours.points,
                     a.contours.point_count * sizeof *a.contours.points);
    release(&a);
    release(&b);
}
END_TEST

// ---- Simplification ------------------------------------------------------------------------

static int64_t cross(struct cs_point a, struct cs_point b, struct cs_point c)
{
    return ((int64_t)b.x - a.x) * (c.y - a.y) - ((int64_t)b.y - a.y) * (c.x - a.x);
}

static bool on_segment(struct cs_point p, struct cs_point a, struct cs_point b)
{
    return cross(a, b, p) == 0 && ((p.x - a.x) * (p.x - b.x) <= 0) &&
           ((p.y - a.y) * (p.y - b.y) <= 0);
}

static bool same(struct cs_point a, struct cs_point b)
{
    return a.x == b.x && a.y == b.y;
}

static int turn(int64_t v)
{
    return v < 0 ? -1 : v > 0;
}

// Two edges meet elsewhere than in an end of both.
static bool edges_clash(struct cs_point a, struct cs_point b, struct cs_point c, struct cs_point d)
{
    if ((same(a, c) && same(b, d)) || (same(a, d) && same(b, c)))
        return true;
    if (turn(cross(a, b, c)) * turn(cross(a, b, d)) < 0 &&
        turn(cross(c, d, a)) * turn(cross(c, d, b)) < 0)
        return true;
    return (on_segment(a, c, d) && !same(a, c) && !same(a, d)) ||
           (on_segment(b, c, d) && !same(b, c) && !same(b, d)) ||
           (on_segment(c, a, b) && !same(c, a) && !same(c, b)) ||
           (on_segment(d, a, b) && !same(d, a) && !same(d, b));
}

static void check_clear(const struct cs_contours *c, size_t first, size_t end)
{
    for (size_t r = first; r < end; r++)
        for (uint32_t i = 0; i < c->rings[r].count; i++)
            for (size_t q = r; q < end; q++)
                for (uint32_t j = q == r ? i + 1 : 0; j < c->rings[q].count; j++) {
                    const struct cs_point *p = c->points + c->rings[r].first;
                    const struct cs_point *s = c->points + c->rings[q].first;
                    ck_assert(!edges_clash(p[i], p[(i + 1) % c->rings[r].count], s[j],
                                           s[(j + 1) % c->rings[q].count]));
                }
}

static double distance(struct cs_point p, struct cs_point a, struct cs_point b)
{
    double ux = b.x - a.x, uy = b.y - a.y, vx = p.x - a.x, vy = p.y - a.y;
    double t = fmin(1, fmax(0, (ux * vx + uy * vy) / (ux * ux + uy * uy)));
    return hypot(vx - t * ux, vy - t * uy);
}

// Every vertex of the first ring is near some edge of the second.
static void check_near(const struct cs_contours *c, const struct cs_ring *ring,
                       const struct cs_contours *d, const struct cs_ring *less, double tolerance)
{
    for (uint32_t i = 0; i < ring->count; i++) {
        double best = INFINITY;
        for (uint32_t j = 0; j < less->count; j++)
            best = fmin(best, distance(c->points[ring->first + i], d->points[less->first + j],
                                       d->points[less->first + (j + 1) % less->count]));
        ck_assert_double_le(best, tolerance + 1e-9);
    }
}

START_TEST(simplified)
{
    struct cs_err err = {0};
    struct traced t = {0}, plain = {0};
    double tolerance = 0.5 + _i % 6 * 0.6;
    random_labels(&t, _i);
    random_labels(&plain, _i);
    ck_assert_int_eq(cs_contours_simplify(&t.contours, t.regions.count, tolerance, &err), 0);
    ck_assert_uint_eq(t.contours.ring_count, plain.contours.ring_count);
    ck_assert_uint_le(t.contours.point_count, plain.contours.point_count);
    for (size_t r = 0; r < t.contours.ring_count; r++) {
        ck_assert_uint_ge(t.contours.rings[r].count, 4);
        check_near(&plain.contours, &plain.contours.rings[r], &t.contours, &t.contours.rings[r],
                   tolerance);
        int64_t area2 =
            cs_ring_area2(t.contours.points + t.contours.rings[r].first, t.contours.rings[r].count);
        ck_assert(t.contours.rings[r].hole ? area2 < 0 : area2 > 0);
    }
    for (uint32_t o = 0; o < t.regions.count; o++) {
        size_t a = t.contours.object_start[o], b = t.contours.object_start[o + 1] - 1;
        check_clear(&t.contours, t.contours.polygons[a].first,
                    t.contours.polygons[b].first + t.contours.polygons[b].count);
    }
    release(&t);
    release(&plain);
}
END_TEST

START_TEST(simplified_disc)
{
    struct cs_err err = {0};
    struct traced t = {0};
    ck_assert_int_eq(cs_image_init(&t.labels, 200, 200, 1, CS_U8, 0, NULL, &err), 0);
    for (int y = 0; y < 200; y++)
        for (int x = 0; x < 200; x++)
            ((uint8_t *)t.labels.data)[y * 200 + x] = hypot(x - 100, y - 100) < 80;
    trace(&t);
    size_t before = t.contours.point_count;
    ck_assert_int_eq(cs_contours_simplify(&t.contours, 1, 1, &err), 0);
    ck_assert_uint_lt(t.contours.point_count * 5, before);
    double area = (double)cs_ring_area2(t.contours.points, t.contours.rings[0].count) / 2;
    ck_assert_double_eq_tol(area, M_PI * 80 * 80, 0.01 * M_PI * 80 * 80);
    release(&t);
}
END_TEST

START_TEST(empty)
{
    struct cs_err err = {0};
    struct traced t = {0};
    const char *rows[] = {"...", NULL};
    planes_draw(&t.labels, CS_U32, rows);
    trace(&t);
    ck_assert_uint_eq(t.regions.count, 0);
    ck_assert_uint_eq(t.contours.polygon_count, 0);
    ck_assert_int_eq(cs_contours_simplify(&t.contours, 0, 1, &err), 0);
    release(&t);
    // Any value is a label.
    planes_draw(&t.labels, CS_U32, rows);
    ((uint32_t *)t.labels.data)[1] = UINT32_MAX;
    trace(&t);
    ck_assert_uint_eq(t.regions.label[0], UINT32_MAX);
    check_shape(&t, 0, "1");
    release(&t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("contours");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_test(core, one_pixel);
    tcase_add_test(core, nesting);
    tcase_add_test(core, corners);
    tcase_add_loop_test(core, random_images, 0, 40);
    tcase_add_loop_test(core, types_agree, 0, 2);
    tcase_add_loop_test(core, simplified, 0, 60);
    tcase_add_test(core, simplified_disc);
    tcase_add_test(limits, empty);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
