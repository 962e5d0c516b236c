// SPDX-License-Identifier: MIT
// Crack following: a walk along the edges between pixels, the object on the right hand. Where two
// pixels of the object touch at a corner only, the walk turns right and stays with its own pixel.
// Every ring has an edge with the object below it, walked eastwards; these edges are marked, and
// the first unmarked one in raster order starts the next ring, so that each edge is walked once.
// Each object is walked in a plane of its own, a box round its pixels.
// A walk that comes to a corner for the second time has closed a loop there; the loop becomes a
// ring of its own (see contours.h for why). Such corners are kept in a hash table.
// Crack following: A. Rosenfeld, A. Kak, "Digital Picture Processing" (1982), chapter 11.
#include "shape/contours.h"

#include <stdlib.h>
#include <string.h>

enum direction { EAST, SOUTH, WEST, NORTH };

// Corners that may be met twice: open addressing, emptied by a new epoch.
struct corner {
    uint64_t place; // y * (width + 1) + x
    uint64_t epoch;
    size_t position; // in the path
};

struct tracer {
    const struct cs_regions *regions;
    struct cs_contours *out;
    struct cs_extent box;   // of the object
    uint32_t width, height; // of the box
    uint8_t *cells;         // one a pixel of it: IN for the object's, WALKED for its upper edge
    struct cs_big block;    // of cells
    size_t spill_bytes;
    const char *scratch_dir;
    size_t first_polygon; // of the object
    struct cs_err *err;
    struct cs_point *path;
    size_t length, path_capacity;
    struct corner *corners;
    size_t corner_capacity, corner_count; // capacity: a power of two
    uint64_t epoch;
    uint32_t polygon; // of the ring
    bool no_memory;
};

enum { IN = 1, WALKED = 2 };

// The array with room for `needed` entries; as it was, and remembered, where no memory is left.
static void *grown(struct tracer *t, void *array, size_t *capacity, size_t needed, size_t bytes)
{
    if (needed <= *capacity)
        return array;
    size_t more = needed + needed / 2 + 64;
    void *block = reallocarray(array, more, bytes);
    if (!block) {
        t->no_memory = true;
        return array;
    }
    *capacity = more;
    return block;
}

static bool inside(const struct tracer *t, int64_t x, int64_t y)
{
    return x >= 0 && y >= 0 && x < t->width && y < t->height &&
           t->cells[(size_t)y * t->width + (size_t)x] & IN;
}

int64_t cs_ring_area2(const struct cs_point *points, size_t count)
{
    int64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        const struct cs_point *p = &points[i], *q = &points[i + 1 < count ? i + 1 : 0];
        // Relative to the first point, so that no product leaves 64 bits.
        sum += (int64_t)(p->x - points[0].x) * (q->y - points[0].y) -
               (int64_t)(q->x - points[0].x) * (p->y - points[0].y);
    }
    return sum;
}

// The points of the path from `first` on become a ring.
static void emit_ring(struct tracer *t, size_t first)
{
    struct cs_contours *c = t->out;
    size_t count = t->length - first;
    c->points = grown(t, c->points, &c->point_capacity, c->point_count + count, sizeof *c->points);
    c->rings = grown(t, c->rings, &c->ring_capacity, c->ring_count + 1, sizeof *c->rings);
    if (t->no_memory)
        return;
    memcpy(c->points + c->point_count, t->path + first, count * sizeof *c->points);
    c->rings[c->ring_count++] =
        (struct cs_ring){c->point_count, (uint32_t)count, t->polygon,
                         cs_ring_area2(c->points + c->point_count, count) < 0};
    c->point_count += count;
}

static struct corner *find_corner(const struct tracer *t, uint64_t place)
{
    size_t mask = t->corner_capacity - 1;
    size_t i = (size_t)((place * 0x9e3779b97f4a7c15u) >> 20) & mask;
    while (t->corners[i].epoch == t->epoch && t->corners[i].place != place)
        i = (i + 1) & mask;
    return &t->corners[i];
}

static bool grow_corners(struct tracer *t)
{
    struct corner *old = t->corners;
    size_t capacity = t->corner_capacity, more = capacity ? 2 * capacity : 64;
    struct corner *larger = calloc(more, sizeof *larger);
    if (!larger) {
        t->no_memory = true;
        return false;
    }
    t->corner_capacity = more;
    t->corners = larger;
    for (size_t i = 0; i < capacity; i++)
        if (old[i].epoch == t->epoch)
            *find_corner(t, old[i].place) = old[i];
    free(old);
    return true;
}

// A corner where the object's pixels touch diagonally: close a loop if it was met before.
static void meet_corner(struct tracer *t, int64_t x, int64_t y)
{
    uint64_t place = (uint64_t)y * ((uint64_t)t->width + 1) + (uint64_t)x;
    if (2 * (t->corner_count + 1) > t->corner_capacity && !grow_corners(t))
        return;
    struct corner *corner = find_corner(t, place);
    if (corner->epoch == t->epoch) {
        emit_ring(t, corner->position);
        t->length = corner->position; // the corner itself is added again by the caller
        return;
    }
    *corner = (struct corner){place, t->epoch, t->length};
    t->corner_count++;
}

static void add_vertex(struct tracer *t, int64_t x, int64_t y)
{
    t->path = grown(t, t->path, &t->path_capacity, t->length + 1, sizeof *t->path);
    if (!t->no_memory)
        t->path[t->length++] =
            (struct cs_point){(int32_t)(x + t->box.left), (int32_t)(y + t->box.top)};
}

// The pixels ahead of a corner, to the right and to the left of the direction of the walk.
static const int ahead_right[4][2] = {{0, 0}, {-1, 0}, {-1, -1}, {0, -1}};
static const int ahead_left[4][2] = {{0, -1}, {0, 0}, {-1, 0}, {-1, -1}};
static const int step[4][2] = {{1, 0}, {0, 1}, {-1, 0}, {0, -1}};

// Walk the ring that has the upper edge of pixel (x0, y0), which is one of its corners too.
static void trace_ring(struct tracer *t, uint32_t x0, uint32_t y0)
{
    int64_t x = x0, y = y0;
    enum direction d = EAST;
    t->length = 0;
    t->epoch++;
    t->corner_count = 0;
    if (inside(t, x - 1, y - 1) && !inside(t, x - 1, y))
        meet_corner(t, x, y);
    add_vertex(t, x, y);
    while (!t->no_memory) {
        if (d == EAST)
            t->cells[(size_t)y * t->width + (size_t)x] |= WALKED;
        x += step[d][0];
        y += step[d][1];
        bool right = inside(t, x + ahead_right[d][0], y + ahead_right[d][1]);
        bool left = inside(t, x + ahead_left[d][0], y + ahead_left[d][1]);
        if (right && !left)
            continue;
        d = right ? (d + 3) % 4 : (d + 1) % 4;
        if (x == x0 && y == y0 && d == EAST)
            break;
        if (!right && left)
            meet_corner(t, x, y);
        add_vertex(t, x, y);
    }
    emit_ring(t, 0);
}

// The object's pixels into an empty box.
static int paint(struct tracer *t, uint32_t object)
{
    const struct cs_regions *r = t->regions;
    size_t count = cs_region_runs(r, object), bytes;
    t->box = cs_region_extent(r, object);
    t->width = t->box.right - t->box.left;
    t->height = t->box.bottom - t->box.top;
    if (!cs_mul_size(t->width, t->height, &bytes) ||
        cs_big_grow(&t->block, bytes, t->spill_bytes, t->scratch_dir, t->err) != 0)
        return cs_err_context(t->err, "outlines");
    t->cells = t->block.data;
    memset(t->cells, 0, bytes);
    for (size_t k = 0; k < count; k++) {
        const struct cs_run *run = cs_region_run(r, object, k);
        memset(t->cells + (size_t)(run->row - t->box.top) * t->width + (run->first - t->box.left),
               IN, run->end - run->first);
    }
    return 0;
}

// The polygon of a component: they are met in ascending order.
static uint32_t polygon_of(struct tracer *t, uint32_t component)
{
    struct cs_contours *c = t->out;
    size_t low = t->first_polygon, high = c->polygon_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (c->polygons[middle].component < component)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < c->polygon_count)
        return (uint32_t)low;
    c->polygons = grown(t, c->polygons, &c->polygon_capacity, low + 1, sizeof *c->polygons);
    if (!t->no_memory)
        c->polygons[c->polygon_count++] = (struct cs_polygon){.component = component};
    return (uint32_t)low;
}

// The rings of one object, those of each polygon together and its outer one first.
static void order_rings(struct tracer *t, size_t first_ring)
{
    struct cs_contours *c = t->out;
    size_t count = c->ring_count - first_ring;
    c->rings = grown(t, c->rings, &c->ring_capacity, c->ring_count + count, sizeof *c->rings);
    if (t->no_memory)
        return;
    struct cs_ring *rings = c->rings + first_ring, *sorted = c->rings + c->ring_count;
    memcpy(sorted, rings, count * sizeof *rings);
    for (size_t i = 0; i < count; i++)
        c->polygons[rings[i].polygon].count++;
    size_t first = first_ring;
    for (size_t p = t->first_polygon; p < c->polygon_count; p++) {
        c->polygons[p].first = first;
        first += c->polygons[p].count;
        c->polygons[p].count = 1; // room for the outer ring
    }
    for (size_t i = 0; i < count; i++) {
        struct cs_polygon *p = &c->polygons[sorted[i].polygon];
        c->rings[p->first + (sorted[i].hole ? p->count++ : 0)] = sorted[i];
    }
}

static int trace_object(struct tracer *t, uint32_t object)
{
    size_t count = cs_region_runs(t->regions, object), first_ring = t->out->ring_count;
    if (paint(t, object) != 0)
        return -1;
    t->first_polygon = t->out->polygon_count;
    for (size_t k = 0; k < count && !t->no_memory; k++) {
        const struct cs_run *run = cs_region_run(t->regions, object, k);
        uint32_t y = run->row - t->box.top;
        t->polygon = polygon_of(t, run->component);
        const uint8_t *row = t->cells + (size_t)y * t->width;
        for (uint32_t x = run->first - t->box.left; x < run->end - t->box.left; x++)
            if (!(y && row[(int64_t)x - t->width] & IN) && !(row[x] & WALKED))
                trace_ring(t, x, y);
    }
    order_rings(t, first_ring);
    return 0;
}

int cs_contours_trace_some(struct cs_contours *contours, const struct cs_regions *regions,
                           uint32_t first, uint32_t end, size_t spill_bytes,
                           const char *scratch_dir, struct cs_err *err)
{
    struct tracer t = {.regions = regions,
                       .out = contours,
                       .spill_bytes = spill_bytes,
                       .scratch_dir = scratch_dir,
                       .err = err};
    *contours = (struct cs_contours){0};
    contours->object_start =
        cs_alloc((size_t)(end - first) + 2, sizeof *contours->object_start, "polygons", err);
    int status = contours->object_start ? 0 : -1;
    for (uint32_t o = first; o < end && status == 0; o++) {
        status = trace_object(&t, o);
        contours->object_start[o - first + 1] = contours->polygon_count;
        if (status == 0 && t.no_memory)
            status = cs_fail(err, CS_ENOMEM, "outlines: no memory behind %zu vertices",
                             contours->point_count);
    }
    cs_big_release(&t.block);
    free(t.path);
    free(t.corners);
    if (status != 0)
        cs_contours_release(contours);
    return status;
}

int cs_contours_trace(struct cs_contours *contours, const struct cs_regions *regions,
                      struct cs_err *err)
{
    return cs_contours_trace_some(contours, regions, 0, regions->count, 0, NULL, err);
}

void cs_contours_release(struct cs_contours *contours)
{
    free(contours->points);
    free(contours->rings);
    free(contours->polygons);
    free(contours->object_start);
    *contours = (struct cs_contours){0};
}
