// SPDX-License-Identifier: MIT
// Holes are found among the gaps between a component's runs: gaps of neighbouring rows that touch
// are united, and what is not united with the outside is a hole. What a component encloses, other
// components included, has come to its end before it.
#include "segment/part.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

// The component at hand.
struct work {
    const struct cs_part_rule *rule;
    struct cs_sweep *sweep;
    struct cs_flood_run *runs; // in raster order
    size_t count;
    uint32_t top, rows;
    const uint32_t *names; // of the pixels, in the order of the runs; NULL: all are 1
    uint32_t name_count;
    // Tables: index of each run's first pixel, and of each row's first run; gap k + 1 is the one
    // behind run k, where the next run is in the same row, gap 0 the outside; what a hole borders
    // on, by its root.
    uint32_t *at, *row, *gap, *owner;
    struct object *objects; // by name
};

struct object {
    uint64_t area;
    uint32_t id; // 0: dropped
    bool at_border;
};

enum { OWNER_NONE = 0, OWNER_OPEN = UINT32_MAX };

// ---- Runs ----------------------------------------------------------------------------------

static int in_raster_order(const void *a, const void *b)
{
    const struct cs_flood_run *p = a, *q = b;
    if (p->row != q->row)
        return p->row < q->row ? -1 : 1;
    return p->first < q->first ? -1 : p->first > q->first;
}

static int collect(struct cs_parts *parts, struct work *w, const struct cs_sweep_part *part,
                   struct cs_err *err)
{
    const struct cs_scratch *scratch = &w->rule->scratch;
    const struct cs_sweep_run *run;
    bool sorted = true;
    if (cs_big_grow(&parts->runs, part->runs * sizeof *w->runs, scratch->spill_bytes, scratch->dir,
                    err) != 0)
        return -1;
    w->runs = parts->runs.data;
    w->count = 0;
    for (uint32_t i = part->head; i != CS_SWEEP_NONE; i = run->next) {
        run = cs_sweep_run_at(w->sweep, i);
        w->runs[w->count] = (struct cs_flood_run){run->row, run->first, run->end, run->relief};
        sorted = sorted &&
                 (!w->count || in_raster_order(&w->runs[w->count - 1], &w->runs[w->count]) < 0);
        w->count++;
    }
    if (!sorted)
        qsort(w->runs, w->count, sizeof *w->runs, in_raster_order);
    w->top = part->top;
    w->rows = part->bottom - part->top;
    return 0;
}

static int tables_init(struct cs_parts *parts, struct work *w, struct cs_err *err)
{
    const struct cs_scratch *scratch = &w->rule->scratch;
    size_t words = 3 * (w->count + 1) + w->rows + 2;
    size_t objects = (size_t)w->name_count + 1;
    if (cs_big_grow(&parts->tables, objects * sizeof *w->objects + words * sizeof(uint32_t),
                    scratch->spill_bytes, scratch->dir, err) != 0)
        return -1;
    w->objects = parts->tables.data;
    memset(w->objects, 0, objects * sizeof *w->objects);
    w->at = (uint32_t *)(void *)(w->objects + objects);
    w->row = w->at + w->count + 1;
    w->gap = w->row + w->rows + 1;
    w->owner = w->gap + w->count + 1;
    uint32_t pixels = 0, row = 0;
    for (size_t k = 0; k < w->count; k++) {
        for (; row <= w->runs[k].row - w->top; row++)
            w->row[row] = (uint32_t)k;
        w->at[k] = pixels;
        pixels += w->runs[k].end - w->runs[k].first;
    }
    w->row[row] = (uint32_t)w->count;
    return 0;
}

static uint32_t name_at(const struct work *w, size_t run, uint32_t x)
{
    return w->names ? w->names[w->at[run] + (x - w->runs[run].first)] : 1;
}

// ---- Holes ---------------------------------------------------------------------------------

static uint32_t find_root(uint32_t *parent, uint32_t i)
{
    while (parent[i] != i)
        i = parent[i] = parent[parent[i]];
    return i;
}

static void unite(struct work *w, uint32_t a, uint32_t b)
{
    a = find_root(w->gap, a);
    b = find_root(w->gap, b);
    if (a < b)
        w->gap[b] = a;
    else
        w->gap[a] = b;
}

// The first run of a row that ends behind x.
static size_t run_behind(const struct work *w, uint32_t row, uint32_t x)
{
    size_t low = w->row[row], high = w->row[row + 1];
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (w->runs[middle].end <= x)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_gap(const struct work *w, size_t k)
{
    return k + 1 < w->count && w->runs[k].row == w->runs[k + 1].row;
}

// Unite the gap behind run k with the background that it touches in the row above: with `reach`
// columns more on both sides.
static void join_above(struct work *w, size_t k, uint32_t reach)
{
    uint32_t row = w->runs[k].row - w->top - 1;
    uint32_t first = w->runs[k].end - reach, end = w->runs[k + 1].first + reach;
    size_t begin = w->row[row], last = w->row[row + 1] - (size_t)1;
    if (first < w->runs[begin].first || end > w->runs[last].end)
        unite(w, (uint32_t)k + 1, 0);
    size_t m = run_behind(w, row, first);
    for (m = m > begin ? m - 1 : m; m < last && w->runs[m].end < end; m++)
        if (w->runs[m + 1].first > first)
            unite(w, (uint32_t)k + 1, (uint32_t)m + 1);
}

// A gap reaches the outside where the row below has no run beside it.
static void join_below(struct work *w, size_t k, uint32_t reach)
{
    uint32_t row = w->runs[k].row - w->top + 1;
    uint32_t first = w->runs[k].end - reach, end = w->runs[k + 1].first + reach;
    if (first < w->runs[w->row[row]].first || end > w->runs[w->row[row + 1] - (size_t)1].end)
        unite(w, (uint32_t)k + 1, 0);
}

static void meet(uint32_t *owner, uint32_t name)
{
    if (*owner != name)
        *owner = *owner == OWNER_NONE ? name : OWNER_OPEN;
}

static void meet_row(const struct work *w, uint32_t *owner, uint32_t row, uint32_t first,
                     uint32_t end)
{
    for (size_t m = run_behind(w, row, first); m < w->row[row + 1] && w->runs[m].first < end; m++) {
        uint32_t x = w->runs[m].first > first ? w->runs[m].first : first;
        uint32_t stop = w->runs[m].end < end ? w->runs[m].end : end;
        for (; x < stop && *owner != OWNER_OPEN; x++)
            meet(owner, name_at(w, m, x));
    }
}

// What the gap behind run k borders on. Between split objects another one in a hole keeps it open.
static void meet_gap(struct work *w, size_t k, uint32_t reach)
{
    const struct cs_flood_run *run = &w->runs[k];
    uint32_t *owner = &w->owner[find_root(w->gap, (uint32_t)k + 1)];
    uint32_t row = run->row - w->top, first = run->end, end = run[1].first;
    if (*owner == OWNER_OPEN)
        return;
    if (w->rule->split && !cs_sweep_is_empty(w->sweep, run->row, first, end)) {
        *owner = OWNER_OPEN;
        return;
    }
    meet(owner, name_at(w, k, run->end - 1));
    meet(owner, name_at(w, k + 1, end));
    meet_row(w, owner, row - 1, first - reach, end + reach);
    meet_row(w, owner, row + 1, first - reach, end + reach);
}

static void find_holes(struct work *w)
{
    uint32_t reach = w->rule->connectivity == 8 ? 0 : 1;
    for (size_t k = 0; k <= w->count; k++) {
        w->gap[k] = (uint32_t)k;
        w->owner[k] = OWNER_NONE;
    }
    w->owner[0] = OWNER_OPEN;
    for (size_t k = 0; k < w->count; k++) {
        uint32_t row = w->runs[k].row - w->top;
        if (!is_gap(w, k))
            continue;
        if (row == 0 || row + 1 == w->rows) {
            unite(w, (uint32_t)k + 1, 0);
            if (row == 0)
                continue;
        }
        join_above(w, k, reach);
        if (row + 1 < w->rows)
            join_below(w, k, reach);
    }
    for (size_t k = 0; k < w->count; k++)
        if (is_gap(w, k) && find_root(w->gap, (uint32_t)k + 1))
            meet_gap(w, k, reach);
}

// The object that fills the gap behind run k; 0: none.
static uint32_t filler(const struct work *w, bool holes, size_t k)
{
    if (!holes || !is_gap(w, k))
        return 0;
    uint32_t owner = w->owner[find_root(w->gap, (uint32_t)k + 1)];
    return owner == OWNER_OPEN ? 0 : owner;
}

// ---- Objects -------------------------------------------------------------------------------

static void measure(struct work *w, bool holes)
{
    const struct cs_part_rule *r = w->rule;
    for (size_t k = 0; k < w->count; k++) {
        const struct cs_flood_run *run = &w->runs[k];
        bool edge_row = run->row == 0 || run->row + 1 == r->height;
        for (uint32_t x = run->first; x < run->end; x++) {
            struct object *o = &w->objects[name_at(w, k, x)];
            o->area++;
            o->at_border |= edge_row || x == 0 || x + 1 == r->width;
        }
        uint32_t name = filler(w, holes, k);
        if (name)
            w->objects[name].area += run[1].first - run->end;
    }
}

static void choose(struct work *w)
{
    const struct cs_object_filter *filter = &w->rule->filter;
    for (uint32_t k = 1; k <= w->name_count; k++) {
        struct object *o = &w->objects[k];
        bool passes = o->area >= filter->min_area &&
                      (!filter->max_area || o->area <= filter->max_area) &&
                      !(filter->clear_border && o->at_border);
        o->id = passes ? cs_sweep_object(w->sweep) : 0;
    }
}

// A span that may still grow.
struct span {
    uint32_t row, first, end, id;
};

static void put(const struct work *w, struct span *span, struct span next)
{
    if (next.id && next.id == span->id && next.row == span->row && next.first == span->end) {
        span->end = next.end;
        return;
    }
    if (span->id)
        cs_sweep_put(w->sweep, span->row, span->first, span->end, span->id);
    *span = next;
}

static void put_objects(const struct work *w, bool holes)
{
    struct span span = {.id = 0};
    for (size_t k = 0; k < w->count; k++) {
        const struct cs_flood_run *run = &w->runs[k];
        for (uint32_t x = run->first, end; x < run->end; x = end) {
            uint32_t name = name_at(w, k, x);
            for (end = w->names ? x + 1 : run->end; end < run->end && name_at(w, k, end) == name;)
                end++;
            put(w, &span, (struct span){run->row, x, end, w->objects[name].id});
        }
        uint32_t name = filler(w, holes, k);
        if (!name)
            continue;
        if (!w->rule->split)
            cs_sweep_cut(w->sweep, run->row, run->end, run[1].first);
        put(w, &span, (struct span){run->row, run->end, run[1].first, w->objects[name].id});
    }
    put(w, &span, (struct span){.id = 0});
}

int cs_parts_put(struct cs_parts *parts, struct cs_sweep *sweep, const struct cs_sweep_part *part,
                 struct cs_err *err)
{
    const struct cs_part_rule *r = &parts->rule;
    struct work w = {.rule = r, .sweep = sweep, .name_count = 1};
    if (collect(parts, &w, part, err) != 0)
        return -1;
    if (r->split) {
        parts->flood.connectivity = r->connectivity;
        parts->flood.depth = r->depth;
        parts->flood.least_peak = r->least_peak;
        parts->flood.scratch = r->scratch;
        if (cs_flood_part(&parts->flood, w.runs, w.count, &w.names, &w.name_count, err) != 0)
            return -1;
    }
    if (tables_init(parts, &w, err) != 0)
        return -1;
    bool holes = r->fill_holes && w.count > w.rows; // one run a row: no holes
    if (holes)
        find_holes(&w);
    measure(&w, holes);
    choose(&w);
    put_objects(&w, holes);
    return 0;
}

void cs_parts_release(struct cs_parts *parts)
{
    cs_flood_release(&parts->flood);
    cs_big_release(&parts->runs);
    cs_big_release(&parts->tables);
}
