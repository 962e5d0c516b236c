// SPDX-License-Identifier: MIT
// After M. Visvalingam, J. Whyatt, "Line generalisation by repeated elimination of points", The
// Cartographic Journal 30 (1993): a heap gives the vertex with the smallest triangle. What differs
// is the rule to stop: a distance, since that is what users can name, and that vertices whose
// removal could make edges cross are kept. Vertices are found by a grid over the object.
#include "shape/simplify.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX
enum { LEAST_VERTICES = 4 };

struct node {
    struct cs_point at;
    int64_t area2;                 // of the triangle with its neighbours
    uint32_t prev, next;           // in the ring
    uint32_t cell_prev, cell_next; // in the cell of the grid
    uint32_t heap;                 // place in the heap, NONE outside
    uint32_t ring;
    bool gone;
};

// One object at a time; the arrays have room for the largest.
struct simplifier {
    struct node *nodes;
    uint32_t count;
    uint32_t *heap, heap_count;
    uint32_t *cells;
    uint32_t *left; // vertices left, of each ring of the object
    int32_t x0, y0, cell_px;
    uint32_t columns, rows;
    double tolerance;
};

static int64_t cross(struct cs_point a, struct cs_point b, struct cs_point c)
{
    return ((int64_t)b.x - a.x) * ((int64_t)c.y - a.y) -
           ((int64_t)b.y - a.y) * ((int64_t)c.x - a.x);
}

static bool same(struct cs_point a, struct cs_point b)
{
    return a.x == b.x && a.y == b.y;
}

// ---- Heap by area, then by number ----------------------------------------------------------

static bool before(const struct simplifier *s, uint32_t a, uint32_t b)
{
    return s->nodes[a].area2 < s->nodes[b].area2 ||
           (s->nodes[a].area2 == s->nodes[b].area2 && a < b);
}

static void heap_put(struct simplifier *s, uint32_t place, uint32_t node)
{
    s->heap[place] = node;
    s->nodes[node].heap = place;
}

static void heap_up(struct simplifier *s, uint32_t place, uint32_t node)
{
    while (place > 0 && before(s, node, s->heap[(place - 1) / 2])) {
        heap_put(s, place, s->heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    heap_put(s, place, node);
}

static void heap_down(struct simplifier *s, uint32_t place, uint32_t node)
{
    for (;;) {
        uint32_t child = 2 * place + 1;
        if (child >= s->heap_count)
            break;
        if (child + 1 < s->heap_count && before(s, s->heap[child + 1], s->heap[child]))
            child++;
        if (!before(s, s->heap[child], node))
            break;
        heap_put(s, place, s->heap[child]);
        place = child;
    }
    heap_put(s, place, node);
}

static uint32_t heap_pop(struct simplifier *s)
{
    uint32_t top = s->heap[0], last = s->heap[--s->heap_count];
    s->nodes[top].heap = NONE;
    if (s->heap_count)
        heap_down(s, 0, last);
    return top;
}

// Take a node's area anew, and bring it to its place.
static void heap_update(struct simplifier *s, uint32_t i)
{
    struct node *n = &s->nodes[i];
    int64_t area2 = cross(s->nodes[n->prev].at, n->at, s->nodes[n->next].at);
    n->area2 = area2 < 0 ? -area2 : area2;
    if (n->heap == NONE)
        n->heap = s->heap_count++;
    uint32_t place = n->heap;
    if (place > 0 && before(s, i, s->heap[(place - 1) / 2]))
        heap_up(s, place, i);
    else
        heap_down(s, place, i);
}

// ---- Grid ----------------------------------------------------------------------------------

static uint32_t *cell_at(const struct simplifier *s, int32_t x, int32_t y)
{
    uint32_t column = (uint32_t)(x - s->x0) / (uint32_t)s->cell_px;
    uint32_t row = (uint32_t)(y - s->y0) / (uint32_t)s->cell_px;
    return &s->cells[(size_t)row * s->columns + column];
}

static void grid_add(struct simplifier *s, uint32_t i)
{
    struct node *n = &s->nodes[i];
    uint32_t *cell = cell_at(s, n->at.x, n->at.y);
    n->cell_prev = NONE;
    n->cell_next = *cell;
    if (*cell != NONE)
        s->nodes[*cell].cell_prev = i;
    *cell = i;
}

static void grid_remove(struct simplifier *s, uint32_t i)
{
    struct node *n = &s->nodes[i];
    if (n->cell_prev != NONE)
        s->nodes[n->cell_prev].cell_next = n->cell_next;
    else
        *cell_at(s, n->at.x, n->at.y) = n->cell_next;
    if (n->cell_next != NONE)
        s->nodes[n->cell_next].cell_prev = n->cell_prev;
}

// Cells of a size that gives about one to a vertex.
static void grid_init(struct simplifier *s)
{
    struct cs_point low = s->nodes[0].at, high = low;
    for (uint32_t i = 1; i < s->count; i++) {
        struct cs_point p = s->nodes[i].at;
        low.x = p.x < low.x ? p.x : low.x;
        low.y = p.y < low.y ? p.y : low.y;
        high.x = p.x > high.x ? p.x : high.x;
        high.y = p.y > high.y ? p.y : high.y;
    }
    double w = (double)high.x - low.x + 1, h = (double)high.y - low.y + 1;
    s->x0 = low.x;
    s->y0 = low.y;
    s->cell_px = (int32_t)ceil(fmax(sqrt(w * h / s->count), fmax(w, h) / s->count)) + 1;
    s->columns = (uint32_t)(w / s->cell_px) + 1;
    s->rows = (uint32_t)(h / s->cell_px) + 1;
    for (size_t c = 0; c < (size_t)s->columns * s->rows; c++)
        s->cells[c] = NONE;
    for (uint32_t i = 0; i < s->count; i++)
        grid_add(s, i);
}

// ---- What may go ---------------------------------------------------------------------------

static bool in_triangle(struct cs_point p, struct cs_point a, struct cs_point b, struct cs_point c)
{
    int64_t d = cross(a, b, p), e = cross(b, c, p), f = cross(c, a, p);
    return (d >= 0 && e >= 0 && f >= 0) || (d <= 0 && e <= 0 && f <= 0);
}

static int32_t least(int32_t a, int32_t b, int32_t c)
{
    int32_t m = a < b ? a : b;
    return m < c ? m : c;
}

// Vertex j, not one of i and its neighbours a and c, stands in the way of removing i. Other rings
// may touch at a or c, but must not have the edge from a to c themselves; where they touch at i, i
// stays.
static bool is_in_the_way(const struct simplifier *s, uint32_t j, struct cs_point a,
                          struct cs_point b, struct cs_point c)
{
    const struct node *n = &s->nodes[j];
    if (same(n->at, a))
        return same(s->nodes[n->prev].at, c) || same(s->nodes[n->next].at, c);
    return !same(n->at, c) && in_triangle(n->at, a, b, c);
}

// No vertex stands in the way in the cells that the triangle of i and its neighbours covers.
static bool triangle_is_empty(const struct simplifier *s, uint32_t i)
{
    const struct node *n = &s->nodes[i];
    struct cs_point a = s->nodes[n->prev].at, b = n->at, c = s->nodes[n->next].at;
    int32_t x_low = least(a.x, b.x, c.x), y_low = least(a.y, b.y, c.y);
    int32_t x_high = -least(-a.x, -b.x, -c.x), y_high = -least(-a.y, -b.y, -c.y);
    const uint32_t *from = cell_at(s, x_low, y_low), *to = cell_at(s, x_high, y_high);
    size_t width = (size_t)(cell_at(s, x_high, y_low) - from);
    for (; from <= to; from += s->columns)
        for (const uint32_t *cell = from; cell <= from + width; cell++)
            for (uint32_t j = *cell; j != NONE; j = s->nodes[j].cell_next)
                if (j != i && j != n->prev && j != n->next && is_in_the_way(s, j, a, b, c))
                    return false;
    return true;
}

static double distance(struct cs_point p, struct cs_point a, struct cs_point b)
{
    double ux = (double)b.x - a.x, uy = (double)b.y - a.y;
    double vx = (double)p.x - a.x, vy = (double)p.y - a.y;
    double length2 = ux * ux + uy * uy;
    double t = length2 > 0 ? fmin(1, fmax(0, (ux * vx + uy * vy) / length2)) : 0;
    return hypot(vx - t * ux, vy - t * uy);
}

// All vertices that the new edge would replace are near it. They are the nodes between the two
// neighbours by number, round the ring's end.
static bool stays_near(const struct simplifier *s, uint32_t i, uint32_t ring_first,
                       uint32_t ring_end)
{
    uint32_t a = s->nodes[i].prev, b = s->nodes[i].next;
    for (uint32_t j = a;;) {
        j = j + 1 < ring_end ? j + 1 : ring_first;
        if (j == b)
            return true;
        if (distance(s->nodes[j].at, s->nodes[a].at, s->nodes[b].at) > s->tolerance)
            return false;
    }
}

static void remove_node(struct simplifier *s, uint32_t i)
{
    struct node *n = &s->nodes[i];
    grid_remove(s, i);
    n->gone = true;
    s->nodes[n->prev].next = n->next;
    s->nodes[n->next].prev = n->prev;
    s->left[n->ring]--;
    heap_update(s, n->prev);
    heap_update(s, n->next);
}

// ---- Objects -------------------------------------------------------------------------------

static void load_ring(struct simplifier *s, const struct cs_contours *c, const struct cs_ring *ring,
                      uint32_t number)
{
    uint32_t first = s->count;
    for (uint32_t k = 0; k < ring->count; k++)
        s->nodes[s->count++] = (struct node){.at = c->points[ring->first + k],
                                             .prev = first + (k ? k - 1 : ring->count - 1),
                                             .next = first + (k + 1 < ring->count ? k + 1 : 0),
                                             .heap = NONE,
                                             .ring = number};
    s->left[number] = ring->count;
}

// What is left of the object's rings goes behind the points written so far.
static void store_rings(const struct simplifier *s, struct cs_ring *rings, size_t count,
                        struct cs_point *points, size_t *used)
{
    uint32_t i = 0;
    for (size_t r = 0; r < count; r++) {
        uint32_t end = i + rings[r].count;
        rings[r].first = *used;
        rings[r].count = s->left[r];
        for (; i < end; i++)
            if (!s->nodes[i].gone)
                points[(*used)++] = s->nodes[i].at;
    }
}

static void simplify_object(struct simplifier *s, struct cs_contours *c, struct cs_ring *rings,
                            size_t count, struct cs_point *points, size_t *used)
{
    s->count = s->heap_count = 0;
    for (size_t r = 0; r < count; r++)
        load_ring(s, c, &rings[r], (uint32_t)r);
    grid_init(s);
    for (uint32_t i = 0; i < s->count; i++)
        heap_update(s, i);
    // First node of each ring, by its number.
    uint32_t *first = s->left + count;
    first[0] = 0;
    for (size_t r = 0; r < count; r++)
        first[r + 1] = first[r] + rings[r].count;
    while (s->heap_count) {
        uint32_t i = heap_pop(s), r = s->nodes[i].ring;
        if (s->left[r] > LEAST_VERTICES && stays_near(s, i, first[r], first[r + 1]) &&
            triangle_is_empty(s, i))
            remove_node(s, i);
    }
    store_rings(s, rings, count, points, used);
}

static size_t object_rings(const struct cs_contours *c, uint32_t object, size_t *first)
{
    size_t a = c->object_start[object], b = c->object_start[object + 1];
    *first = c->polygons[a].first;
    return c->polygons[b - 1].first + c->polygons[b - 1].count - *first;
}

int cs_contours_simplify(struct cs_contours *contours, uint32_t objects, double tolerance_px,
                         struct cs_err *err)
{
    struct simplifier s = {.tolerance = tolerance_px};
    size_t most = 0, most_rings = 0, used = 0;
    for (uint32_t o = 0; o < objects; o++) {
        size_t first, vertices = 0, rings = object_rings(contours, o, &first);
        for (size_t r = 0; r < rings; r++)
            vertices += contours->rings[first + r].count;
        most = vertices > most ? vertices : most;
        most_rings = rings > most_rings ? rings : most_rings;
    }
    if (most >= NONE / 4)
        return cs_fail(err, CS_ENOMEM, "an object of %zu vertices is too large to simplify", most);
    struct cs_point *points =
        cs_alloc(contours->point_count + 1, sizeof *points, "simplified outlines", err);
    s.nodes = cs_alloc(most + 1, sizeof *s.nodes, "simplification", err);
    s.heap = cs_alloc(most + 1, sizeof *s.heap, "simplification", err);
    s.cells = cs_alloc(4 * most + 16, sizeof *s.cells, "simplification", err);
    s.left = cs_alloc(2 * most_rings + 2, sizeof *s.left, "simplification", err);
    int status = points && s.nodes && s.heap && s.cells && s.left ? 0 : -1;
    for (uint32_t o = 0; status == 0 && o < objects; o++) {
        size_t first, rings = object_rings(contours, o, &first);
        simplify_object(&s, contours, contours->rings + first, rings, points, &used);
    }
    if (status == 0) {
        free(contours->points);
        contours->points = points;
        contours->point_count = contours->point_capacity = used;
    } else {
        free(points);
    }
    free(s.nodes);
    free(s.heap);
    free(s.cells);
    free(s.left);
    return status;
}
