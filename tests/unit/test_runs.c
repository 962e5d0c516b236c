// SPDX-License-Identifier: MIT
// Runs and components against a flood fill.
#include <check.h>
#include <stdlib.h>

#include "image/runs.h"
#include "planes.h"
#include "suite.h"

// Component numbers from 1 in raster order by flood fill, for pixels of equal value other than 0.
static void flood(uint32_t *component, const struct cs_image *plane)
{
    static const int dx[4] = {0, -1, 1, 0}, dy[4] = {-1, 0, 0, 1};
    uint32_t w = plane->width, h = plane->height, names = 0;
    size_t *stack = malloc(((size_t)w * h + 1) * sizeof *stack);
    for (size_t s = 0; s < (size_t)w * h; s++) {
        if (component[s] || cs_plane_at(plane, s) == 0)
            continue;
        size_t top = 0;
        stack[top++] = s;
        component[s] = ++names;
        while (top) {
            size_t i = stack[--top];
            for (int d = 0; d < 4; d++) {
                int64_t x = (int64_t)(i % w) + dx[d], y = (int64_t)(i / w) + dy[d];
                if (x < 0 || y < 0 || x >= w || y >= h)
                    continue;
                size_t j = (size_t)y * w + (size_t)x;
                if (!component[j] && cs_plane_at(plane, j) == cs_plane_at(plane, i)) {
                    component[j] = names;
                    stack[top++] = j;
                }
            }
        }
    }
    free(stack);
}

// All runs of a plane, in bands of these many rows.
static int find(struct cs_runs *runs, const struct cs_image *plane, uint32_t rows,
                struct cs_err *err)
{
    size_t row_bytes = plane->width * cs_dtype_bytes(plane->dtype);
    *runs = (struct cs_runs){0};
    for (uint32_t y = 0; y < plane->height; y += rows) {
        struct cs_image band = *plane;
        band.data = (uint8_t *)plane->data + y * row_bytes;
        band.height = plane->height - y < rows ? plane->height - y : rows;
        if (cs_runs_add(runs, &band, y, 0, NULL, err) != 0)
            return -1;
    }
    cs_runs_finish(runs);
    return 0;
}

static void compare(const struct cs_image *plane, uint32_t rows)
{
    struct cs_err err = {0};
    struct cs_runs runs;
    size_t n = (size_t)plane->width * plane->height;
    uint32_t *expected = calloc(n, sizeof *expected), *got = calloc(n, sizeof *got);
    ck_assert_int_eq(find(&runs, plane, rows, &err), 0);
    for (size_t i = 0; i < runs.count; i++)
        for (uint32_t x = runs.items[i].first; x < runs.items[i].end; x++)
            got[(size_t)runs.items[i].row * plane->width + x] = runs.items[i].component + 1;
    flood(expected, plane);
    uint32_t most = 0;
    for (size_t i = 0; i < n; i++) {
        ck_assert_uint_eq(got[i], expected[i]);
        most = expected[i] > most ? expected[i] : most;
    }
    ck_assert_uint_eq(runs.components, most);
    cs_runs_release(&runs);
    free(expected);
    free(got);
}

START_TEST(random_masks)
{
    struct cs_image mask;
    uint64_t seed = (uint64_t)_i + 1;
    planes_random_mask(&mask, 1 + planes_random(&seed) % 60, 1 + planes_random(&seed) % 60,
                       30 + 10 * (_i % 5), _i % 3, seed);
    compare(&mask, 1 + planes_random(&seed) % 60);
    // The same with three values.
    uint8_t *m = mask.data;
    for (size_t i = 0; i < (size_t)mask.width * mask.height; i++)
        m[i] = m[i] ? (uint8_t)(1 + planes_random(&seed) % 3) : 0;
    compare(&mask, 1 + planes_random(&seed) % 60);
    compare(&mask, mask.height);
    cs_image_release(&mask);
}
END_TEST

START_TEST(runs_by_group)
{
    struct cs_image plane;
    struct cs_runs runs;
    struct cs_run_groups groups;
    struct cs_err err = {0};
    const char *rows[] = {"1.22.1", "1....1", "1.33.1", "111111", NULL};
    planes_draw(&plane, CS_U16, rows);
    ck_assert_int_eq(find(&runs, &plane, 2, &err), 0);
    ck_assert_uint_eq(runs.components, 3);
    ck_assert_uint_eq(runs.count, 9);
    const uint32_t alone[3] = {0, 1, 2};
    ck_assert_int_eq(cs_run_groups_init(&groups, &runs, alone, 3, 0, NULL, &err), 0);
    ck_assert_uint_eq(groups.count, 3);
    ck_assert_uint_eq(groups.start[0], 0);
    ck_assert_uint_eq(groups.start[1], 7);
    ck_assert_uint_eq(groups.start[2], 8);
    ck_assert_uint_eq(groups.start[3], 9);
    for (size_t k = 1; k < 7; k++)
        ck_assert_uint_lt(groups.order[k - 1], groups.order[k]);
    cs_run_groups_release(&groups);
    // Two components in one group.
    uint32_t group_of[3] = {1, 0, 1};
    ck_assert_int_eq(cs_run_groups_init(&groups, &runs, group_of, 2, 0, NULL, &err), 0);
    ck_assert_uint_eq(groups.start[1], 1);
    ck_assert_uint_eq(runs.items[groups.order[0]].value, 2);
    ck_assert_uint_eq(groups.start[2], 9);
    cs_run_groups_release(&groups);
    cs_runs_release(&runs);
    cs_image_release(&plane);
}
END_TEST

START_TEST(limits)
{
    struct cs_image plane;
    struct cs_runs runs;
    struct cs_run_groups groups;
    struct cs_err err = {0};
    const char *empty[] = {"...", "...", NULL};
    planes_draw(&plane, CS_U32, empty);
    ck_assert_int_eq(find(&runs, &plane, 2, &err), 0);
    ck_assert_uint_eq(runs.count, 0);
    ck_assert_uint_eq(runs.components, 0);
    ck_assert_int_eq(cs_run_groups_init(&groups, &runs, NULL, 0, 0, NULL, &err), 0);
    ck_assert_uint_eq(groups.start[0], 0);
    cs_run_groups_release(&groups);
    cs_runs_release(&runs);
    plane.dtype = CS_F32;
    ck_assert_int_eq(find(&runs, &plane, 2, &err), -1);
    ck_assert_int_eq(err.code, CS_EINPUT);
    cs_image_release(&plane);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("runs");
    TCase *core = tcase_create("core"), *edge = tcase_create("limits");
    tcase_add_loop_test(core, random_masks, 0, 40);
    tcase_add_test(core, runs_by_group);
    tcase_add_test(edge, limits);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, edge);
    return suite_run(suite);
}
