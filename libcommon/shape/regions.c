// SPDX-License-Identifier: MIT
// Components are sorted by label with a radix sort, so that labels of any value cost the same.
#include "shape/regions.h"

#include <stdlib.h>
#include <string.h>

// A component and its label, for sorting.
struct entry {
    uint32_t label, component;
};

// Stable, by label, in four passes of 8 bits; the result is in `a` again.
static void sort_entries(struct entry *a, struct entry *b, size_t n)
{
    for (int shift = 0; shift < 32; shift += 8) {
        size_t place[257] = {0};
        for (size_t i = 0; i < n; i++)
            place[(a[i].label >> shift & 255) + 1]++;
        for (int d = 0; d < 256; d++)
            place[d + 1] += place[d];
        for (size_t i = 0; i < n; i++)
            b[place[a[i].label >> shift & 255]++] = a[i];
        struct entry *swap = a;
        a = b;
        b = swap;
    }
}

// Number the objects; fills label, object_of and count.
static int number_objects(struct cs_regions *r, struct cs_err *err)
{
    size_t n = r->runs.components;
    struct entry *entries = cs_alloc(2 * n + 1, sizeof *entries, "objects", err);
    r->object_of = cs_alloc(n + 1, sizeof *r->object_of, "objects", err);
    r->label = cs_alloc(n + 1, sizeof *r->label, "objects", err);
    if (!entries || !r->object_of || !r->label) {
        free(entries);
        return -1;
    }
    for (size_t i = 0; i < r->runs.count; i++) {
        uint32_t c = r->runs.items[i].component;
        entries[c] = (struct entry){r->runs.items[i].value, c};
    }
    sort_entries(entries, entries + n, n);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || entries[i].label != entries[i - 1].label)
            r->label[r->count++] = entries[i].label;
        r->object_of[entries[i].component] = r->count - 1;
    }
    free(entries);
    return 0;
}

int cs_regions_add(struct cs_regions *regions, const struct cs_image *band, uint32_t first_row,
                   size_t spill_bytes, const char *scratch_dir, struct cs_err *err)
{
    regions->width = band->width;
    regions->height = first_row + band->height;
    return cs_runs_add(&regions->runs, band, first_row, spill_bytes, scratch_dir, err);
}

int cs_regions_finish(struct cs_regions *regions, size_t spill_bytes, const char *scratch_dir,
                      struct cs_err *err)
{
    cs_runs_finish(&regions->runs);
    return number_objects(regions, err) == 0 &&
                   cs_run_groups_init(&regions->objects, &regions->runs, regions->object_of,
                                      regions->count, spill_bytes, scratch_dir, err) == 0
               ? 0
               : -1;
}

int cs_regions_init(struct cs_regions *regions, const struct cs_image *labels, size_t spill_bytes,
                    const char *scratch_dir, struct cs_err *err)
{
    *regions = (struct cs_regions){0};
    if (cs_regions_add(regions, labels, 0, spill_bytes, scratch_dir, err) == 0 &&
        cs_regions_finish(regions, spill_bytes, scratch_dir, err) == 0)
        return 0;
    cs_regions_release(regions);
    return -1;
}

size_t cs_region_runs(const struct cs_regions *r, uint32_t object)
{
    return r->objects.start[object + 1] - r->objects.start[object];
}

struct cs_extent cs_region_extent(const struct cs_regions *r, uint32_t object)
{
    size_t count = cs_region_runs(r, object);
    struct cs_extent e = {.top = cs_region_run(r, object, 0)->row,
                          .bottom = cs_region_run(r, object, count - 1)->row + 1,
                          .left = UINT32_MAX};
    for (size_t k = 0; k < count; k++) {
        const struct cs_run *run = cs_region_run(r, object, k);
        e.left = run->first < e.left ? run->first : e.left;
        e.right = run->end > e.right ? run->end : e.right;
    }
    return e;
}

void cs_regions_forget(const struct cs_regions *r, uint32_t object)
{
    size_t place = r->objects.start[object];
    cs_big_forget(&r->objects.order_block, 0, place * sizeof *r->objects.order);
    if (place < r->runs.count)
        cs_big_forget(&r->runs.block, 0, r->objects.order[place] * sizeof *r->runs.items);
}

void cs_regions_release(struct cs_regions *regions)
{
    cs_run_groups_release(&regions->objects);
    cs_runs_release(&regions->runs);
    free(regions->label);
    free(regions->object_of);
    *regions = (struct cs_regions){0};
}
