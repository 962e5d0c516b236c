// SPDX-License-Identifier: MIT
// Run-based connected-component labelling in two scans: the first collects runs and unites those
// that touch (union-find with path halving; the smaller index is the root, so that a root is its
// component's first run in raster order), the second numbers the roots.
// After L. He, Y. Chao, K. Suzuki, "A run-based two-scan labeling algorithm", IEEE Transactions on
// Image Processing 17 (2008).
#include "image/runs.h"

#include <stdlib.h>

// Walk one row and call each maximal run; the type is fixed outside the loop over pixels.
#define SCAN_ROW(type)                                                                             \
    do {                                                                                           \
        const type *row = (const type *)plane->data + (size_t)y * plane->width;                    \
        for (uint32_t x = 0; x < plane->width;) {                                                  \
            type value = row[x];                                                                   \
            uint32_t first = x;                                                                    \
            x = cs_run_end(row, x, plane->width, sizeof(type));                                    \
            if (value) {                                                                           \
                out[n] = (struct cs_run){y + above, first, x, value, (uint32_t)n};                 \
                n++;                                                                               \
            }                                                                                      \
        }                                                                                          \
    } while (0)

// Appends the runs of row y, with `above` rows above the plane, behind the n there are.
static size_t scan_row(const struct cs_image *plane, uint32_t y, uint32_t above, struct cs_run *out,
                       size_t n)
{
    switch (plane->dtype) {
    case CS_U8:
        SCAN_ROW(uint8_t);
        break;
    case CS_U16:
        SCAN_ROW(uint16_t);
        break;
    default:
        SCAN_ROW(uint32_t);
        break;
    }
    return n;
}

static uint32_t find_root(struct cs_run *runs, uint32_t i)
{
    while (runs[i].component != i)
        i = runs[i].component = runs[runs[i].component].component;
    return i;
}

static void unite(struct cs_run *runs, uint32_t a, uint32_t b)
{
    a = find_root(runs, a);
    b = find_root(runs, b);
    if (a < b)
        runs[b].component = a;
    else
        runs[a].component = b;
}

// Unite the runs [low, end) of one row with those of the row above, [above, low).
static void join_rows(struct cs_run *runs, size_t above, size_t low, size_t end)
{
    size_t a = above;
    for (size_t b = low; b < end; b++) {
        while (a < low && runs[a].end <= runs[b].first)
            a++;
        for (size_t c = a; c < low && runs[c].first < runs[b].end; c++)
            if (runs[c].value == runs[b].value)
                unite(runs, (uint32_t)c, (uint32_t)b);
    }
}

static uint32_t number_components(struct cs_run *runs, size_t count)
{
    uint32_t components = 0;
    for (size_t i = 0; i < count; i++) {
        // A root is the first of its component, so whatever points backwards is numbered already.
        if (runs[i].component == i)
            runs[i].component = components++;
        else
            runs[i].component = runs[runs[i].component].component;
    }
    return components;
}

static int check_plane(const struct cs_image *plane, struct cs_err *err)
{
    if (plane->channels != 1 ||
        (plane->dtype != CS_U8 && plane->dtype != CS_U16 && plane->dtype != CS_U32))
        return cs_fail(err, CS_EINPUT, "%u channels of type %s where u8, u16 or u32 labels belong",
                       plane->channels, cs_dtype_name(plane->dtype));
    return 0;
}

// Room for `count` runs and no more than can be numbered.
static int reserve(struct cs_runs *runs, size_t count, size_t spill_bytes, const char *scratch_dir,
                   struct cs_err *err)
{
    if (count >= UINT32_MAX)
        return cs_fail(err, CS_EINPUT, "%zu runs of pixels are more than can be numbered", count);
    if (cs_big_grow(&runs->block, (count ? count : 1) * sizeof *runs->items, spill_bytes,
                    scratch_dir, err) != 0)
        return cs_err_context(err, "runs");
    runs->items = runs->block.data;
    return 0;
}

int cs_runs_add(struct cs_runs *runs, const struct cs_image *band, uint32_t first_row,
                size_t spill_bytes, const char *scratch_dir, struct cs_err *err)
{
    enum { KEPT = 1 << 20 }; // runs behind the front that are looked at again and again
    if (check_plane(band, err) != 0)
        return -1;
    for (uint32_t y = 0; y < band->height; y++) {
        if (reserve(runs, runs->count + band->width, spill_bytes, scratch_dir, err) != 0)
            return -1;
        size_t end = scan_row(band, y, first_row, runs->items, runs->low);
        join_rows(runs->items, runs->above, runs->low, end);
        runs->above = runs->low;
        runs->count = runs->low = end;
    }
    if (runs->count > KEPT)
        cs_big_forget(&runs->block, 0, (runs->count - KEPT) * sizeof *runs->items);
    return 0;
}

void cs_runs_finish(struct cs_runs *runs)
{
    for (size_t i = 0; i < runs->count; i++)
        runs->items[i].component = find_root(runs->items, (uint32_t)i);
    runs->components = number_components(runs->items, runs->count);
}

void cs_runs_release(struct cs_runs *runs)
{
    cs_big_release(&runs->block);
    *runs = (struct cs_runs){0};
}

int cs_run_groups_init(struct cs_run_groups *groups, const struct cs_runs *runs,
                       const uint32_t *group_of, uint32_t count, size_t spill_bytes,
                       const char *scratch_dir, struct cs_err *err)
{
    *groups = (struct cs_run_groups){.count = count};
    if (cs_big_init(&groups->order_block, (runs->count + 1) * sizeof *groups->order, spill_bytes,
                    scratch_dir, err) != 0 ||
        cs_big_init(&groups->start_block, ((size_t)groups->count + 2) * sizeof *groups->start,
                    spill_bytes, scratch_dir, err) != 0) {
        cs_run_groups_release(groups);
        return cs_err_context(err, "runs by object");
    }
    groups->order = groups->order_block.data;
    groups->start = groups->start_block.data;
    // Counting sort. start[g + 2] counts group g; after the sums start[g + 1] is where the next
    // run of g goes, and in the end where g ends.
    for (size_t i = 0; i < runs->count; i++)
        groups->start[(size_t)group_of[runs->items[i].component] + 2]++;
    for (size_t g = 0; g < groups->count; g++)
        groups->start[g + 2] += groups->start[g + 1];
    for (size_t i = 0; i < runs->count; i++) {
        size_t g = group_of[runs->items[i].component];
        groups->order[groups->start[g + 1]++] = (uint32_t)i;
    }
    return 0;
}

void cs_run_groups_release(struct cs_run_groups *groups)
{
    cs_big_release(&groups->order_block);
    cs_big_release(&groups->start_block);
    *groups = (struct cs_run_groups){0};
}
