// SPDX-License-Identifier: MIT
// Splitting touching objects: a watershed by flooding in which basins merge by their dynamics.
// The flood runs downhill on the relief, so that basins are its peaks; a peak that rises less than
// `depth` above the pass to a higher one never becomes an object.
// Dynamics: M. Grimaud, "A new measure of contrast: the dynamics", Proc. SPIE 1769 (1992). The
// union-find formulation is that of the component tree: L. Najman, M. Couprie, "Building the
// component tree in quasi-linear time", IEEE Transactions on Image Processing 15 (2006).
//
// The cost is linear in the component's pixels. The places of those that the flood has taken, plus
// one, are kept in a grid, a box round the component with a margin: it is all zeros before, and the
// component's own pixels are set to zero again afterwards, so that a large box costs nothing.
#include "segment/flood.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

// The component being flooded. The arrays have one entry a pixel, in raster order, but `order`.
struct flood {
    size_t *place;    // in the grid
    uint32_t *parent; // union-find; the root of a basin is its peak
    uint32_t *order;  // by decreasing relief; afterwards names of the roots
    uint32_t *swap;   // afterwards the names
    uint16_t *relief;
    uint32_t count;
    uint32_t *grid;
    int64_t steps[8]; // to the neighbours, in the grid
    int connectivity;
    uint32_t depth, least_peak;
};

// Neighbours in raster order, 4-connected ones in the first four places.
static const int step_x[8] = {0, -1, 1, 0, -1, 1, -1, 1};
static const int step_y[8] = {-1, 0, 0, 1, -1, -1, 1, 1};

struct extent {
    uint32_t top, left, width, height;
    uint64_t pixels;
};

static struct extent extent_of(const struct cs_flood_run *runs, size_t count)
{
    uint32_t left = UINT32_MAX, right = 0;
    struct extent e = {.top = runs[0].row, .height = runs[count - 1].row + 1 - runs[0].row};
    for (size_t k = 0; k < count; k++) {
        left = runs[k].first < left ? runs[k].first : left;
        right = runs[k].end > right ? runs[k].end : right;
        e.pixels += runs[k].end - runs[k].first;
    }
    e.left = left;
    e.width = right - left;
    return e;
}

// Memory for a component, and its place in the grid.
static int flood_place(struct flood *f, struct cs_flood *memory, const struct extent *e,
                       struct cs_err *err)
{
    enum { BYTES = sizeof(size_t) + 3 * sizeof(uint32_t) + sizeof(uint16_t) };
    const struct cs_scratch *scratch = &memory->scratch;
    size_t n = (size_t)e->pixels, stride = (size_t)e->width + 2, cells;
    if (e->pixels >= UINT32_MAX / 2 || !cs_mul4_size(stride, (size_t)e->height + 2, 4, 1, &cells))
        return cs_fail(err, CS_ENOMEM, "an object of %llu pixels is too large to split",
                       (unsigned long long)e->pixels);
    if (cs_big_grow(&memory->pixels, n * BYTES, scratch->spill_bytes, scratch->dir, err) != 0 ||
        cs_big_grow(&memory->cells, cells, scratch->spill_bytes, scratch->dir, err) != 0)
        return cs_err_context(err, "splitting an object of %zu pixels", n);
    f->place = memory->pixels.data;
    f->parent = (uint32_t *)(f->place + n);
    f->order = f->parent + n;
    f->swap = f->order + n;
    f->relief = (uint16_t *)(f->swap + n);
    f->grid = memory->cells.data;
    for (int d = 0; d < 8; d++)
        f->steps[d] = step_y[d] * (int64_t)stride + step_x[d];
    return 0;
}

static void add_runs(struct flood *f, const struct cs_flood_run *runs, size_t count,
                     const struct extent *e)
{
    size_t stride = (size_t)e->width + 2;
    for (size_t k = 0; k < count; k++) {
        size_t place = (runs[k].row - e->top + (size_t)1) * stride + (runs[k].first - e->left) + 1;
        uint32_t n = runs[k].end - runs[k].first;
        memcpy(f->relief + f->count, runs[k].relief, n * sizeof *f->relief);
        for (uint32_t x = 0; x < n; x++)
            f->place[f->count++] = place++;
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
    uint32_t *here = f->grid + f->place[i];
    int n = 0;
    *here = i + 1;
    for (int d = 0; d < f->connectivity; d++) {
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

// Names of the basins, in raster order; the grid is emptied. Returns how many there are.
static uint32_t name_basins(struct flood *f)
{
    uint32_t last = 0;
    memset(f->order, 0, f->count * sizeof *f->order);
    for (uint32_t i = 0; i < f->count; i++) {
        uint32_t r = find_root(f->parent, i);
        if (!f->order[r])
            f->order[r] = ++last;
        f->swap[i] = f->order[r];
        f->grid[f->place[i]] = 0;
    }
    return last;
}

int cs_flood_part(struct cs_flood *memory, const struct cs_flood_run *runs, size_t run_count,
                  const uint32_t **names, uint32_t *count, struct cs_err *err)
{
    struct extent e = extent_of(runs, run_count);
    struct flood f = {.connectivity = memory->connectivity,
                      .depth = memory->depth,
                      .least_peak = memory->least_peak};
    if (flood_place(&f, memory, &e, err) != 0)
        return -1;
    add_runs(&f, runs, run_count, &e);
    sort_by_relief(&f);
    for (uint32_t k = 0; k < f.count; k++)
        take(&f, f.order[k]);
    *count = name_basins(&f);
    *names = f.swap;
    return 0;
}

void cs_flood_release(struct cs_flood *memory)
{
    cs_big_release(&memory->pixels);
    cs_big_release(&memory->cells);
}
