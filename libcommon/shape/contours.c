// SPDX-License-Identifier: MIT
// Crack following: a walk along the edges between pixels, the object on the right hand. Where two
// pixels of the object touch at a corner only, the walk turns right and stays with its own pixel.
// Every ring has an edge with the object below it, walked eastwards; these edges are marked, and
// the first unmarked one in raster order starts the next ring, so that each edge is walked once.
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
    const struct cs_image *labels;
    struct cs_contours *out;
    uint64_t *walked; // one bit a pixel: its upper edge
    struct cs_point *path;
    size_t length, path_capacity;
    struct corner *corners;
    size_t corner_capacity, corner_count; // capacity: a power of two
    uint64_t epoch;
    uint32_t component;
    bool no_memory;
};

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

static bool inside(const struct cs_image *labels, int64_t x, int64_t y, uint32_t label)
{
    return x >= 0 && y >= 0 && x < labels->width && y < labels->height &&
           cs_plane_at(labels, (size_t)y * labels->width + (size_t)x) == label;
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
        (struct cs_ring){c->point_count, (uint32_t)count, t->component,
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
    uint64_t place = (uint64_t)y * ((uint64_t)t->labels->width + 1) + (uint64_t)x;
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
        t->path[t->length++] = (struct cs_point){(int32_t)x, (int32_t)y};
}

// The pixels ahead of a corner, to the right and to the left of the direction of the walk.
static const int ahead_right[4][2] = {{0, 0}, {-1, 0}, {-1, -1}, {0, -1}};
static const int ahead_left[4][2] = {{0, -1}, {0, 0}, {-1, 0}, {-1, -1}};
static const int step[4][2] = {{1, 0}, {0, 1}, {-1, 0}, {0, -1}};

// Walk the ring that has the upper edge of pixel (x0, y0), which is one of its corners too.
static void trace_ring(struct tracer *t, uint32_t x0, uint32_t y0, uint32_t label)
{
    const struct cs_image *l = t->labels;
    int64_t x = x0, y = y0;
    enum direction d = EAST;
    t->length = 0;
    t->epoch++;
    t->corner_count = 0;
    if (inside(l, x - 1, y - 1, label) && !inside(l, x - 1, y, label))
        meet_corner(t, x, y);
    add_vertex(t, x, y);
    while (!t->no_memory) {
        if (d == EAST) {
            size_t pixel = (size_t)y * l->width + (size_t)x;
            t->walked[pixel / 64] |= (uint64_t)1 << pixel % 64;
        }
        x += step[d][0];
        y += step[d][1];
        bool right = inside(l, x + ahead_right[d][0], y + ahead_right[d][1], label);
        bool left = inside(l, x + ahead_left[d][0], y + ahead_left[d][1], label);
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

static void trace_all(struct tracer *t, const struct cs_regions *regions)
{
    const struct cs_image *l = regions->labels;
    for (size_t i = 0; i < regions->runs.count && !t->no_memory; i++) {
        const struct cs_run *run = &regions->runs.items[i];
        size_t row = (size_t)run->row * l->width;
        t->component = run->component;
        for (uint32_t x = run->first; x < run->end; x++) {
            size_t pixel = row + x;
            if (run->row && cs_plane_at(l, pixel - l->width) == run->value)
                continue;
            if (!(t->walked[pixel / 64] >> pixel % 64 & 1))
                trace_ring(t, x, run->row, run->value);
        }
    }
}

// Polygons by object; fills polygon_of[component] and object_start.
static void number_polygons(struct cs_contours *c, const struct cs_regions *regions,
                            size_t *polygon_of)
{
    uint32_t components = regions->runs.components;
    for (uint32_t k = 0; k < components; k++)
        c->object_start[regions->object_of[k] + 1]++;
    for (uint32_t o = 0; o < regions->count; o++)
        c->object_start[o + 1] += c->object_start[o];
    for (uint32_t k = 0; k < components; k++)
        polygon_of[k] = c->object_start[regions->object_of[k]]++;
    for (uint32_t o = regions->count; o > 0; o--)
        c->object_start[o] = c->object_start[o - 1];
    c->object_start[0] = 0;
    c->polygon_count = components;
}

// Bring the rings into the order of the polygons, outer rings first.
static int order_rings(struct cs_contours *c, const size_t *polygon_of, struct cs_err *err)
{
    struct cs_ring *sorted = cs_alloc(c->ring_count + 1, sizeof *sorted, "rings", err);
    if (!sorted)
        return -1;
    for (size_t i = 0; i < c->ring_count; i++)
        c->polygons[polygon_of[c->rings[i].component]].count++;
    for (size_t p = 1; p < c->polygon_count; p++)
        c->polygons[p].first = c->polygons[p - 1].first + c->polygons[p - 1].count;
    for (size_t p = 0; p < c->polygon_count; p++)
        c->polygons[p].count = 1; // room for the outer ring
    for (size_t i = 0; i < c->ring_count; i++) {
        struct cs_polygon *p = &c->polygons[polygon_of[c->rings[i].component]];
        sorted[p->first + (c->rings[i].hole ? p->count++ : 0)] = c->rings[i];
    }
    free(c->rings);
    c->rings = sorted;
    c->ring_capacity = c->ring_count;
    return 0;
}

int cs_contours_trace(struct cs_contours *contours, const struct cs_regions *regions,
                      struct cs_err *err)
{
    size_t pixels = (size_t)regions->labels->width * regions->labels->height;
    size_t components = regions->runs.components;
    struct tracer t = {.labels = regions->labels, .out = contours};
    *contours = (struct cs_contours){0};
    size_t *polygon_of = cs_alloc(components + 1, sizeof *polygon_of, "polygons", err);
    t.walked = cs_alloc(pixels / 64 + 1, sizeof *t.walked, "contours", err);
    contours->polygons = cs_alloc(components + 1, sizeof *contours->polygons, "polygons", err);
    contours->object_start =
        cs_alloc((size_t)regions->count + 2, sizeof *contours->object_start, "polygons", err);
    int status = -1;
    if (polygon_of && t.walked && contours->polygons && contours->object_start) {
        trace_all(&t, regions);
        if (t.no_memory) {
            cs_fail(err, CS_ENOMEM, "outlines: no memory behind %zu vertices",
                    contours->point_count);
        } else {
            number_polygons(contours, regions, polygon_of);
            status = order_rings(contours, polygon_of, err);
        }
    }
    free(polygon_of);
    free(t.walked);
    free(t.path);
    free(t.corners);
    if (status != 0)
        cs_contours_release(contours);
    return status;
}

void cs_contours_release(struct cs_contours *contours)
{
    free(contours->points);
    free(contours->rings);
    free(contours->polygons);
    free(contours->object_start);
    *contours = (struct cs_contours){0};
}
