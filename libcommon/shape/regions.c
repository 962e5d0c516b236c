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

int cs_regions_init(struct cs_regions *regions, const struct cs_image *labels, size_t spill_bytes,
                    const char *scratch_dir, struct cs_err *err)
{
    *regions = (struct cs_regions){.labels = labels};
    if (cs_runs_find(&regions->runs, labels, CS_RUNS_OBJECTS, 4, spill_bytes, scratch_dir, err) ==
            0 &&
        number_objects(regions, err) == 0 &&
        cs_run_groups_init(&regions->objects, &regions->runs, regions->object_of, regions->count,
                           spill_bytes, scratch_dir, err) == 0)
        return 0;
    cs_regions_release(regions);
    return -1;
}

void cs_regions_release(struct cs_regions *regions)
{
    cs_run_groups_release(&regions->objects);
    cs_runs_release(&regions->runs);
    free(regions->label);
    free(regions->object_of);
    *regions = (struct cs_regions){0};
}
