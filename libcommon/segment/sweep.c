// SPDX-License-Identifier: MIT
// One scan: runs of the new row are united with those that they touch in the row above (union-find
// over the open components, the older one stays); a component that the new row did not touch is
// closed. Open components keep their runs in a linked list, so that uniting two is one link.
// Reliefs are copied into slabs of several rows, which live as long as a run in them is open.
#include "segment/sweep.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "image/runs.h"

enum { SLAB_BYTES = 4 << 20 };

struct cs_sweep_slab {
    struct cs_big block;
    size_t used;   // samples
    uint64_t open; // runs, and one while rows are added
};

struct component {
    struct cs_sweep_part part;
    uint32_t tail;
    uint32_t parent; // itself, or what it was united with in this row
    uint32_t last;   // row
    uint32_t next;   // free ones; open ones are in `open`
};

// A run of one of the two rows at the front.
struct edge {
    uint32_t first, end, component;
};

struct row {
    struct cs_sweep_span *spans;
    uint32_t count, capacity;
    uint64_t *bits; // of the mask, where they are asked for
};

struct cs_sweep {
    struct cs_sweep_how how;
    uint32_t y; // the next row
    struct edge *above, *here;
    uint32_t above_count, here_count;
    struct cs_sweep_run *runs; // of open components; free ones are linked
    uint32_t run_count, run_capacity, free_run;
    struct component *components;
    uint32_t component_count, component_capacity, free_component;
    uint32_t *open; // components, in no order
    uint32_t open_count, open_capacity;
    struct cs_sweep_slab *slab; // that rows are added to
    size_t slab_bytes;          // of all slabs in memory
    // Rows that wait: row y is rows[(y - done) + start], from `done` on.
    struct row *rows;
    uint32_t row_capacity, done;
    uint32_t *numbers; // of objects by name; 0: none yet
    uint32_t object_count, object_capacity;
    uint32_t numbered;
};

// Grown by half, so that the cost of copying stays linear.
static uint32_t more_than(uint32_t capacity)
{
    return capacity + capacity / 2 + 64;
}

// ---- Slabs ---------------------------------------------------------------------------------

static void slab_leave(struct cs_sweep *s, struct cs_sweep_slab *slab)
{
    if (!slab || --slab->open)
        return;
    if (!slab->block.mapped)
        s->slab_bytes -= slab->block.bytes;
    cs_big_release(&slab->block);
    free(slab);
}

// A place for a row's reliefs. Slabs go to the scratch folder when those in memory are too many.
static uint16_t *slab_take(struct cs_sweep *s, size_t samples, struct cs_err *err)
{
    struct cs_sweep_slab *slab = s->slab;
    if (!slab || (slab->used + samples) * sizeof(uint16_t) > slab->block.bytes) {
        size_t bytes = samples * sizeof(uint16_t), spill = s->how.scratch.spill_bytes;
        bytes = bytes > SLAB_BYTES ? bytes : SLAB_BYTES;
        slab_leave(s, slab);
        s->slab = slab = cs_xcalloc(1, sizeof *slab);
        slab->open = 1;
        bool full = spill && s->slab_bytes + bytes > spill;
        if (cs_big_init(&slab->block, bytes, full ? 1 : 0, s->how.scratch.dir, err) != 0) {
            free(slab);
            s->slab = NULL;
            return NULL;
        }
        if (!full)
            s->slab_bytes += bytes;
    }
    uint16_t *place = (uint16_t *)slab->block.data + slab->used;
    slab->used += samples;
    return place;
}

// ---- Components ----------------------------------------------------------------------------

static uint32_t find_root(struct component *c, uint32_t i)
{
    while (c[i].parent != i)
        i = c[i].parent = c[c[i].parent].parent;
    return i;
}

static uint32_t new_component(struct cs_sweep *s)
{
    uint32_t i = s->free_component;
    if (i == CS_SWEEP_NONE) {
        if (s->component_count == s->component_capacity) {
            s->component_capacity = more_than(s->component_capacity);
            s->components =
                cs_xrealloc(s->components, s->component_capacity, sizeof *s->components);
        }
        i = s->component_count++;
    } else {
        s->free_component = s->components[i].next;
    }
    s->components[i] = (struct component){
        .parent = i,
        .part = {.top = s->y, .left = UINT32_MAX, .head = CS_SWEEP_NONE},
    };
    if (s->open_count == s->open_capacity) {
        s->open_capacity = more_than(s->open_capacity);
        s->open = cs_xrealloc(s->open, s->open_capacity, sizeof *s->open);
    }
    s->open[s->open_count++] = i;
    return i;
}

static void free_component(struct cs_sweep *s, uint32_t i)
{
    s->components[i].next = s->free_component;
    s->free_component = i;
}

// b becomes part of a. b is named by runs at the front until the row is over, and freed then.
static uint32_t unite(struct cs_sweep *s, uint32_t a, uint32_t b)
{
    struct component *c = s->components;
    a = find_root(c, a);
    b = find_root(c, b);
    if (a == b)
        return a;
    if (c[a].part.top > c[b].part.top) {
        uint32_t swap = a;
        a = b;
        b = swap;
    }
    struct cs_sweep_part *p = &c[a].part, *q = &c[b].part;
    if (p->head == CS_SWEEP_NONE)
        p->head = q->head;
    else
        s->runs[c[a].tail].next = q->head;
    if (q->head != CS_SWEEP_NONE)
        c[a].tail = c[b].tail;
    p->left = q->left < p->left ? q->left : p->left;
    p->right = q->right > p->right ? q->right : p->right;
    p->runs += q->runs;
    p->pixels += q->pixels;
    c[a].last = c[b].last > c[a].last ? c[b].last : c[a].last;
    c[b].parent = a;
    return a;
}

static uint32_t new_run(struct cs_sweep *s)
{
    uint32_t i = s->free_run;
    if (i != CS_SWEEP_NONE) {
        s->free_run = s->runs[i].next;
        return i;
    }
    if (s->run_count == s->run_capacity) {
        s->run_capacity = more_than(s->run_capacity);
        s->runs = cs_xrealloc(s->runs, s->run_capacity, sizeof *s->runs);
    }
    return s->run_count++;
}

static void add_run(struct cs_sweep *s, const struct edge *edge, uint16_t *relief)
{
    uint32_t i = new_run(s);
    struct component *c = &s->components[edge->component];
    s->runs[i] = (struct cs_sweep_run){.row = s->y,
                                       .first = edge->first,
                                       .end = edge->end,
                                       .next = CS_SWEEP_NONE,
                                       .relief = relief,
                                       .slab = relief ? s->slab : NULL};
    if (relief)
        s->slab->open++;
    if (c->part.head == CS_SWEEP_NONE)
        c->part.head = i;
    else
        s->runs[c->tail].next = i;
    c->tail = i;
    c->last = s->y;
    c->part.bottom = s->y + 1;
    c->part.left = edge->first < c->part.left ? edge->first : c->part.left;
    c->part.right = edge->end > c->part.right ? edge->end : c->part.right;
    c->part.runs++;
    c->part.pixels += edge->end - edge->first;
}

static int close_component(struct cs_sweep *s, uint32_t i, struct cs_err *err)
{
    struct cs_sweep_part part = s->components[i].part;
    part.bottom = s->components[i].last + 1;
    int status = s->how.part(s, &part, s->how.context, err);
    for (uint32_t r = part.head; r != CS_SWEEP_NONE;) {
        uint32_t next = s->runs[r].next;
        slab_leave(s, s->runs[r].slab);
        s->runs[r].next = s->free_run;
        s->free_run = r;
        r = next;
    }
    return status;
}

// ---- Rows ----------------------------------------------------------------------------------

// Runs of the new row, united with those above.
static void scan_row(struct cs_sweep *s, const uint8_t *mask)
{
    uint32_t width = s->how.width, n = 0, a = 0;
    uint32_t reach = s->how.connectivity == 8 ? 1 : 0;
    for (uint32_t x = 0, end; x < width; x = end) {
        end = cs_run_end(mask, x, width, 1);
        if (!mask[x])
            continue;
        uint32_t root = CS_SWEEP_NONE;
        while (a < s->above_count && s->above[a].end + reach <= x)
            a++;
        for (uint32_t k = a; k < s->above_count && s->above[k].first < end + reach; k++)
            root = root == CS_SWEEP_NONE ? find_root(s->components, s->above[k].component)
                                         : unite(s, root, s->above[k].component);
        s->here[n++] = (struct edge){x, end, root == CS_SWEEP_NONE ? new_component(s) : root};
    }
    s->here_count = n;
}

static int keep_runs(struct cs_sweep *s, const uint16_t *relief, struct cs_err *err)
{
    size_t pixels = 0;
    for (uint32_t k = 0; k < s->here_count; k++)
        pixels += s->here[k].end - s->here[k].first;
    uint16_t *to = NULL;
    if (relief && pixels && !(to = slab_take(s, pixels, err)))
        return -1;
    for (uint32_t k = 0; k < s->here_count; k++) {
        struct edge *edge = &s->here[k];
        size_t count = edge->end - edge->first;
        edge->component = find_root(s->components, edge->component);
        add_run(s, edge, to);
        if (to) {
            memcpy(to, relief + edge->first, count * sizeof *to);
            to += count;
        }
    }
    return 0;
}

// Components that row `last` did not reach are complete; those that were united are gone.
static int close_components(struct cs_sweep *s, uint32_t last, bool all, struct cs_err *err)
{
    uint32_t kept = 0;
    int status = 0;
    for (uint32_t k = 0; k < s->open_count; k++) {
        uint32_t i = s->open[k];
        bool gone = s->components[i].parent != i;
        if (!gone && status == 0 && (all || s->components[i].last != last)) {
            status = close_component(s, i, err);
            gone = true;
        }
        if (gone)
            free_component(s, i);
        else
            s->open[kept++] = i;
    }
    s->open_count = kept;
    return status;
}

static void row_release(struct row *row)
{
    free(row->spans);
    free(row->bits);
}

static void keep_bits(struct cs_sweep *s, struct row *row)
{
    row->bits = cs_xcalloc(s->how.width / 64 + 1, sizeof *row->bits);
    for (uint32_t k = 0; k < s->here_count; k++)
        for (uint32_t x = s->here[k].first; x < s->here[k].end; x++)
            row->bits[x / 64] |= (uint64_t)1 << x % 64;
}

static int by_column(const void *a, const void *b)
{
    const struct cs_sweep_span *p = a, *q = b;
    return p->first < q->first ? -1 : p->first > q->first;
}

static int give_row(struct cs_sweep *s, uint32_t y, struct row *row, struct cs_err *err)
{
    if (row->count)
        qsort(row->spans, row->count, sizeof *row->spans, by_column);
    for (uint32_t k = 0; k < row->count; k++) {
        uint32_t *number = &s->numbers[row->spans[k].id - 1];
        if (!*number)
            *number = ++s->numbered;
        row->spans[k].id = *number;
    }
    return s->how.row(y, row->spans, row->count, s->how.context, err);
}

// Rows above every open component leave.
static int give_rows(struct cs_sweep *s, uint32_t end, struct cs_err *err)
{
    uint32_t given = 0;
    for (uint32_t k = 0; k < s->open_count; k++)
        end = s->components[s->open[k]].part.top < end ? s->components[s->open[k]].part.top : end;
    int status = 0;
    for (; s->done + given < end && status == 0; given++)
        status = give_row(s, s->done + given, &s->rows[given], err);
    uint32_t left = s->y - s->done - given;
    for (uint32_t k = 0; k < given; k++)
        row_release(&s->rows[k]);
    memmove(s->rows, s->rows + given, left * sizeof *s->rows);
    s->done += given;
    return status;
}

int cs_sweep_row(struct cs_sweep *s, const uint8_t *mask, const uint16_t *relief,
                 struct cs_err *err)
{
    enum { ROWS_AT_ONCE = 64 };
    if (s->y - s->done == s->row_capacity) {
        s->row_capacity = more_than(s->row_capacity);
        s->rows = cs_xrealloc(s->rows, s->row_capacity, sizeof *s->rows);
    }
    s->rows[s->y - s->done] = (struct row){.spans = NULL};
    scan_row(s, mask);
    if (s->how.bits)
        keep_bits(s, &s->rows[s->y - s->done]);
    if (s->component_count > INT32_MAX || s->run_count > UINT32_MAX / 2)
        return cs_fail(err, CS_ENOMEM, "more runs of pixels than can be numbered");
    if (keep_runs(s, relief, err) != 0)
        return -1;
    struct edge *swap = s->above;
    s->above = s->here;
    s->above_count = s->here_count;
    s->here = swap;
    s->y++;
    if (close_components(s, s->y - 1, false, err) != 0)
        return -1;
    return s->y - s->done < ROWS_AT_ONCE ? 0 : give_rows(s, s->y, err);
}

int cs_sweep_end(struct cs_sweep *s, uint32_t *count, struct cs_err *err)
{
    if (close_components(s, 0, true, err) != 0 || give_rows(s, s->y, err) != 0)
        return -1;
    *count = s->numbered;
    return 0;
}

// ---- Open, close ---------------------------------------------------------------------------

int cs_sweep_open(struct cs_sweep **sweep, const struct cs_sweep_how *how, struct cs_err *err)
{
    struct cs_sweep *s = *sweep = cs_xcalloc(1, sizeof *s);
    size_t most = (size_t)how->width / 2 + 1;
    s->how = *how;
    s->free_run = s->free_component = CS_SWEEP_NONE;
    s->above = cs_alloc(most, sizeof *s->above, "runs of a row", err);
    s->here = cs_alloc(most, sizeof *s->here, "runs of a row", err);
    return s->above && s->here ? 0 : -1;
}

void cs_sweep_close(struct cs_sweep *s)
{
    if (!s)
        return;
    for (uint32_t k = 0; k < s->open_count; k++)
        if (s->components[s->open[k]].parent == s->open[k])
            for (uint32_t r = s->components[s->open[k]].part.head; r != CS_SWEEP_NONE;
                 r = s->runs[r].next)
                slab_leave(s, s->runs[r].slab);
    slab_leave(s, s->slab);
    for (uint32_t k = 0; k < s->y - s->done; k++)
        row_release(&s->rows[k]);
    free(s->rows);
    free(s->above);
    free(s->here);
    free(s->runs);
    free(s->components);
    free(s->open);
    free(s->numbers);
    free(s);
}

// ---- For the part function -----------------------------------------------------------------

const struct cs_sweep_run *cs_sweep_run_at(const struct cs_sweep *s, uint32_t index)
{
    return &s->runs[index];
}

uint32_t cs_sweep_object(struct cs_sweep *s)
{
    if (s->object_count == s->object_capacity) {
        s->object_capacity = more_than(s->object_capacity);
        s->numbers = cs_xrealloc(s->numbers, s->object_capacity, sizeof *s->numbers);
    }
    s->numbers[s->object_count++] = 0;
    return s->object_count;
}

void cs_sweep_put(struct cs_sweep *s, uint32_t row, uint32_t first, uint32_t end, uint32_t id)
{
    struct row *r = &s->rows[row - s->done];
    if (r->count == r->capacity) {
        r->capacity += r->capacity / 2 + 8;
        r->spans = cs_xrealloc(r->spans, r->capacity, sizeof *r->spans);
    }
    r->spans[r->count++] = (struct cs_sweep_span){first, end, id};
}

void cs_sweep_cut(struct cs_sweep *s, uint32_t row, uint32_t first, uint32_t end)
{
    struct row *r = &s->rows[row - s->done];
    uint32_t kept = 0;
    for (uint32_t k = 0; k < r->count; k++)
        if (r->spans[k].first < first || r->spans[k].end > end)
            r->spans[kept++] = r->spans[k];
    r->count = kept;
}

bool cs_sweep_is_empty(const struct cs_sweep *s, uint32_t row, uint32_t first, uint32_t end)
{
    const uint64_t *bits = s->rows[row - s->done].bits;
    for (uint32_t x = first; x < end;) {
        uint32_t n = 64 - x % 64 < end - x ? 64 - x % 64 : end - x;
        uint64_t mask = (n == 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1) << x % 64;
        if (bits[x / 64] & mask)
            return false;
        x += n;
    }
    return true;
}
