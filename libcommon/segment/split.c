// SPDX-License-Identifier: MIT
// Splitting touching objects: a watershed by flooding in which basins merge by their dynamics.
// The flood runs downhill on the relief, so that basins are its peaks; a peak that rises less than
// `depth` above the pass to a higher one never becomes an object.
// Dynamics: M. Grimaud, "A new measure of contrast: the dynamics", Proc. SPIE 1769 (1992). The
// union-find formulation is that of the component tree: L. Najman, M. Couprie, "Building the
// component tree in quasi-linear time", IEEE Transactions on Image Processing 15 (2006).
//
// Each connected component of the mask is flooded on its own, over a list of its pixels: the cost
// is linear, whatever the shapes, and the memory that of the largest component. The places of the
// pixels that the flood has taken, plus one, are kept in a grid: a box round the component with a
// margin, which stays in the processor's cache, or the plane of labels itself where the box would
// be mostly empty.
#include "segment/objects.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "image/runs.h"

enum { MOST_BOX = 8 }; // a box of more than this times the pixels is not worth it

// The component being flooded. The arrays have one entry a pixel, in raster order, but `order`.
struct flood {
    struct cs_big block;
    uint32_t *x, *y;  // in the grid
    uint32_t *parent; // union-find; the root of a basin is its peak
    uint32_t *order;  // by decreasing relief; afterwards names of the roots
    uint32_t *swap;
    uint16_t *relief;
    uint32_t count;
    struct cs_image *labels;
    uint32_t *grid, *box;           // the grid in use, its first pixel; memory for boxes
    uint32_t x0, y0, width, height; // the part of the plane that the grid covers
    size_t stride;                  // of the grid's rows
    bool margin;                    // of zeros round the grid
    int64_t steps[8];               // to the neighbours, in the grid
    int connectivity;
    uint32_t depth, least_peak;
};

// Neighbours in raster order, 4-connected ones in the first four places.
static const int step_x[8] = {0, -1, 1, 0, -1, 1, -1, 1};
static const int step_y[8] = {-1, 0, 0, 1, -1, -1, 1, 1};

// For components of at most so many pixels, with boxes of at most so many cells.
static int flood_init(struct flood *f, size_t pixels, size_t cells,
                      const struct cs_scratch *scratch, struct cs_err *err)
{
    size_t bytes;
    if (!cs_mul_size(pixels + 1, 5 * sizeof(uint32_t) + sizeof(uint16_t), &bytes) ||
        pixels >= UINT32_MAX)
        return cs_fail(err, CS_ENOMEM, "an object of %zu pixels is too large to split", pixels);
    bytes += cells * sizeof(uint32_t); // at most MOST_BOX a pixel
    if (cs_big_init(&f->block, bytes, scratch->spill_bytes, scratch->dir, err) != 0)
        return cs_err_context(err, "splitting an object of %zu pixels", pixels);
    f->x = f->block.data;
    f->y = f->x + pixels;
    f->parent = f->y + pixels;
    f->order = f->parent + pixels;
    f->swap = f->order + pixels;
    f->box = f->swap + pixels;
    f->relief = (uint16_t *)(f->box + cells);
    return 0;
}

// A component: where it lies, and the cells of a box round it, 0 where that is not worth it.
struct extent {
    uint32_t x0, y0, width, height;
    uint64_t pixels, cells;
};

static struct extent extent_of(const struct cs_runs *runs, const struct cs_run_groups *groups,
                               uint32_t g)
{
    const uint32_t *order = groups->order + groups->start[g];
    size_t count = groups->start[g + 1] - groups->start[g];
    uint32_t left = UINT32_MAX, right = 0;
    struct extent e = {.y0 = runs->items[order[0]].row};
    for (size_t k = 0; k < count; k++) {
        const struct cs_run *run = &runs->items[order[k]];
        left = run->first < left ? run->first : left;
        right = run->end > right ? run->end : right;
        e.pixels += run->end - run->first;
    }
    e.x0 = left;
    e.width = right - left;
    e.height = runs->items[order[count - 1]].row + 1 - e.y0;
    e.cells = ((uint64_t)e.width + 2) * ((uint64_t)e.height + 2);
    if (e.cells > MOST_BOX * e.pixels)
        e.cells = 0;
    return e;
}

// Choose and empty the grid for a component.
static void flood_place(struct flood *f, const struct extent *e)
{
    f->x0 = e->x0;
    f->y0 = e->y0;
    f->width = e->width;
    f->height = e->height;
    f->margin = e->cells > 0;
    if (f->margin) {
        f->stride = (size_t)f->width + 2;
        f->grid = f->box + f->stride + 1;
        memset(f->box, 0, e->cells * sizeof *f->box);
    } else { // its pixels are zero still: no other component has them
        f->stride = f->labels->width;
        f->grid = f->labels->data;
        f->x0 = f->y0 = 0;
        f->width = f->labels->width;
        f->height = f->labels->height;
    }
    for (int d = 0; d < 8; d++)
        f->steps[d] = step_y[d] * (int64_t)f->stride + step_x[d];
    f->count = 0;
}

static void add_run(struct flood *f, const struct cs_run *run, const struct cs_image *relief)
{
    const uint16_t *heights =
        (const uint16_t *)relief->data + (size_t)run->row * f->labels->width + run->first;
    for (uint32_t x = run->first; x < run->end; x++) {
        uint32_t i = f->count++;
        f->x[i] = x - f->x0;
        f->y[i] = run->row - f->y0;
        f->relief[i] = *heights++;
    }
}

// One stable pass of a counting sort by 8 bits of the relief, highest first.
static void sort_pass(uint32_t *to, const uint32_t *from, const uint16_t *relief, uint32_t count,
                      int shift)
{
    uint32_t place[257] = {0};
    for (uint32_t k = 0; k < count; k++)
        place[(255 - (relief[from[k]] >> shift & 255)) + 1]++;
    for (int b = 0; b < 256; b++)
        place[b + 1] += place[b];
    for (uint32_t k = 0; k < count; k++)
        to[place[255 - (relief[from[k]] >> shift & 255)]++] = from[k];
}

static void sort_by_relief(struct flood *f)
{
    for (uint32_t i = 0; i < f->count; i++)
        f->order[i] = i;
    sort_pass(f->swap, f->order, f->relief, f->count, 0);
    sort_pass(f->order, f->swap, f->relief, f->count, 8);
}

static uint32_t find_root(uint32_t *parent, uint32_t i)
{
    while (parent[i] != i)
        i = parent[i] = parent[parent[i]];
    return i;
}

// Higher relief, or the same and earlier in raster order.
static bool above(const struct flood *f, uint32_t i, uint32_t j)
{
    return f->relief[i] > f->relief[j] || (f->relief[i] == f->relief[j] && i < j);
}

// The neighbours of pixel i that are taken; returns their number. Takes the pixel too.
static int taken_neighbours(const struct flood *f, uint32_t i, uint32_t neighbours[8])
{
    uint32_t x = f->x[i], y = f->y[i];
    bool inner = f->margin || (x > 0 && y > 0 && x + 1 < f->width && y + 1 < f->height);
    uint32_t *here = f->grid + (size_t)y * f->stride + x;
    int n = 0;
    *here = i + 1;
    for (int d = 0; inner && d < f->connectivity; d++) {
        uint32_t place = here[f->steps[d]];
        neighbours[n] = place - 1;
        n += place != 0;
    }
    for (int d = 0; !inner && d < f->connectivity; d++) {
        if ((x == 0 && step_x[d] < 0) || (y == 0 && step_y[d] < 0) ||
            (x + 1 == f->width && step_x[d] > 0) || (y + 1 == f->height && step_y[d] > 0))
            continue;
        uint32_t place = here[f->steps[d]];
        neighbours[n] = place - 1;
        n += place != 0;
    }
    return n;
}

// Pixel i is where the basins of its neighbours meet.
static void meet(struct flood *f, uint32_t i, const uint32_t *neighbours, int n)
{
    uint32_t roots[8], best = neighbours[0], high = roots[0] = find_root(f->parent, best);
    for (int k = 1; k < n; k++) {
        roots[k] = find_root(f->parent, neighbours[k]);
        if (above(f, neighbours[k], best))
            best = neighbours[k];
        if (above(f, roots[k], high))
            high = roots[k];
    }
    f->parent[i] = high;
    for (int k = 0; k < n; k++) {
        uint32_t r = roots[k];
        if (r != high &&
            (f->relief[r] - f->relief[i] < (int64_t)f->depth || f->relief[r] < f->least_peak))
            f->parent[r] = high;
    }
    f->parent[i] = find_root(f->parent, best);
}

static void take(struct flood *f, uint32_t i)
{
    uint32_t neighbours[8];
    int n = taken_neighbours(f, i, neighbours);
    if (!n) {
        f->parent[i] = i;
        return;
    }
    uint32_t root = find_root(f->parent, neighbours[0]);
    for (int k = 1; k < n; k++)
        // Mostly all are in one basin, and most pixels know its root.
        if (f->parent[neighbours[k]] != root && find_root(f->parent, neighbours[k]) != root) {
            meet(f, i, neighbours, n);
            return;
        }
    f->parent[i] = root;
}

// Names of the basins into the plane, in raster order; returns the last label used.
static uint32_t write_labels(struct flood *f, uint32_t last)
{
    memset(f->order, 0, f->count * sizeof *f->order);
    for (uint32_t i = 0; i < f->count; i++) {
        uint32_t r = find_root(f->parent, i);
        if (!f->order[r])
            f->order[r] = ++last;
        size_t row = (size_t)(f->y[i] + f->y0) * f->labels->width;
        ((uint32_t *)f->labels->data)[row + f->x[i] + f->x0] = f->order[r];
    }
    return last;
}

static int split_components(struct cs_image *labels, uint32_t *count, const struct cs_runs *runs,
                            const struct cs_run_groups *groups, const struct cs_image *relief,
                            struct flood *f, const struct cs_scratch *scratch, struct cs_err *err)
{
    uint64_t pixels = 0, cells = 0;
    for (uint32_t g = 0; g < groups->count; g++) {
        struct extent e = extent_of(runs, groups, g);
        pixels = e.pixels > pixels ? e.pixels : pixels;
        cells = e.cells > cells ? e.cells : cells;
    }
    if (flood_init(f, pixels, cells, scratch, err) != 0)
        return -1;
    f->labels = labels;
    *count = 0;
    for (uint32_t g = 0; g < groups->count; g++) {
        struct extent e = extent_of(runs, groups, g);
        flood_place(f, &e);
        for (size_t k = groups->start[g]; k < groups->start[g + 1]; k++)
            add_run(f, &runs->items[groups->order[k]], relief);
        sort_by_relief(f);
        for (uint32_t k = 0; k < f->count; k++)
            take(f, f->order[k]);
        *count = write_labels(f, *count);
    }
    cs_big_release(&f->block);
    // The basins of one component are named before those of the next: bring raster order.
    return cs_objects_filter(labels, count, &(struct cs_object_filter){0}, err);
}

int cs_objects_split(struct cs_image *labels, uint32_t *count, const struct cs_image *mask,
                     const struct cs_image *relief, uint32_t depth, uint32_t least_peak,
                     int connectivity, const struct cs_scratch *scratch, struct cs_err *err)
{
    struct cs_runs runs = {0};
    struct cs_run_groups groups = {0};
    struct flood flood = {.connectivity = connectivity, .depth = depth, .least_peak = least_peak};
    int status = cs_runs_find(&runs, mask, CS_RUNS_OBJECTS, connectivity, scratch->spill_bytes,
                              scratch->dir, err);
    if (status == 0)
        status =
            cs_run_groups_init(&groups, &runs, NULL, 0, scratch->spill_bytes, scratch->dir, err);
    if (status == 0)
        status = cs_image_init(labels, mask->width, mask->height, 1, CS_U32, scratch->spill_bytes,
                               scratch->dir, err);
    if (status == 0)
        status = split_components(labels, count, &runs, &groups, relief, &flood, scratch, err);
    cs_big_release(&flood.block);
    cs_run_groups_release(&groups);
    cs_runs_release(&runs);
    return status;
}
