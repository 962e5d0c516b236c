// SPDX-License-Identifier: MIT
// Convex hulls of pixel sets, exactly, in doubled coordinates: the midpoints of pixel edges then
// have whole ones. The two chains come from the row ends alone by the monotone chain algorithm
// (A. Andrew, "Another efficient algorithm for convex hulls in two dimensions", 1979); the rows of
// an object are in order already, so no sorting is needed. The right chain is the left one of the
// mirrored object.
#include <math.h>

#include "shape/measure.h"

struct vertex {
    int64_t x, y;
};

// The left boundary of a hull, downwards.
struct chain {
    struct vertex *items;
    size_t count;
};

// Row ends of an object, mirrored for the right side: pixels [left, right] of a row.
struct span {
    int64_t y, left, right;
};

size_t cs_hull_work_bytes(uint32_t rows)
{
    return (size_t)rows * sizeof(struct span) + 2 * (3 * (size_t)rows + 1) * sizeof(struct vertex);
}

static int64_t cross(struct vertex a, struct vertex b, struct vertex c)
{
    return (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x);
}

static void chain_add(struct chain *chain, int64_t x, int64_t y)
{
    struct vertex p = {x, y};
    struct vertex *v = chain->items;
    if (chain->count && v[chain->count - 1].y == y) {
        if (v[chain->count - 1].x <= x)
            return;
        chain->count--;
    }
    // Keep only vertices that bulge to the left.
    while (chain->count >= 2 && cross(v[chain->count - 2], v[chain->count - 1], p) >= 0)
        chain->count--;
    v[chain->count++] = p;
}

// side: 1 for the left chain, -1 for the right one (in mirrored x).
static void chain_build(struct chain *chain, const struct span *spans, size_t count, int side)
{
    chain->count = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t x = side > 0 ? 2 * spans[i].left : -2 * spans[i].right, y = 2 * spans[i].y;
        chain_add(chain, x, y - 1);
        chain_add(chain, x - 1, y);
        chain_add(chain, x, y + 1);
    }
}

static int64_t ceil_div(int64_t a, int64_t b)
{
    return a / b + (a % b > 0);
}

// The first whole pixel (in the chain's x) whose centre is not left of the chain in pixel row y.
static int64_t chain_pixel(const struct chain *chain, size_t *edge, int64_t y)
{
    while (*edge + 2 < chain->count && chain->items[*edge + 1].y < 2 * y)
        ++*edge;
    struct vertex a = chain->items[*edge], b = chain->items[*edge + 1];
    return ceil_div(a.x * (b.y - a.y) + (b.x - a.x) * (2 * y - a.y), 2 * (b.y - a.y));
}

// The rows of an object: first and last pixel of each.
static size_t spans_of_runs(struct span *spans, const struct cs_run *runs, const uint32_t *order,
                            size_t count)
{
    size_t n = 0;
    for (size_t k = 0; k < count; k++) {
        const struct cs_run *run = &runs[order[k]];
        if (!n || spans[n - 1].y != run->row)
            spans[n++] = (struct span){run->row, run->first, run->first};
        spans[n - 1].right = (int64_t)run->end - 1;
    }
    return n;
}

// Largest distance between vertices of the two chains. A hull on a lattice of side n has of the
// order of n^(2/3) vertices, so that all pairs cost less than the object's pixels.
static double largest_distance(const struct chain *left, const struct chain *right)
{
    int64_t best = 0;
    for (int swap = 0; swap < 3; swap++) {
        const struct chain *a = swap == 1 ? right : left, *b = swap == 0 ? left : right;
        int64_t mirror_a = swap == 1 ? -1 : 1, mirror_b = swap == 0 ? 1 : -1;
        for (size_t i = 0; i < a->count; i++)
            for (size_t j = 0; j < b->count; j++) {
                int64_t dx = mirror_a * a->items[i].x - mirror_b * b->items[j].x;
                int64_t dy = a->items[i].y - b->items[j].y;
                if (dx * dx + dy * dy > best)
                    best = dx * dx + dy * dy;
            }
    }
    return sqrt((double)best) / 2;
}

void cs_hull_measure(struct cs_hull *hull, const struct cs_run *runs, const uint32_t *order,
                     size_t count, void *work)
{
    struct span *spans = work;
    size_t n = spans_of_runs(spans, runs, order, count);
    int64_t first = spans[0].y, last = spans[n - 1].y, rows = last - first + 1;
    struct chain left = {(struct vertex *)(spans + rows), 0};
    struct chain right = {left.items + 3 * rows + 1, 0};
    chain_build(&left, spans, n, 1);
    chain_build(&right, spans, n, -1);
    hull->area = 0;
    size_t left_edge = 0, right_edge = 0;
    n = 0;
    for (int64_t y = first; y <= last; y++) {
        int64_t a = chain_pixel(&left, &left_edge, y), b = -chain_pixel(&right, &right_edge, y);
        if (a > b)
            continue;
        hull->area += (uint64_t)(b - a + 1);
        spans[n++] = (struct span){y, a, b};
    }
    chain_build(&left, spans, n, 1);
    chain_build(&right, spans, n, -1);
    hull->feret_max = largest_distance(&left, &right);
}
