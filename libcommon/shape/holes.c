// SPDX-License-Identifier: MIT
// Area of holes from the gaps between an object's runs: gaps of neighbouring rows that touch, at
// corners too, are united; what is not united with the outside is hole. Linear in the runs.
#include "shape/measure.h"

// A gap is known by the run to the left of it: node k + 1 is the gap behind the k-th run of the
// object where the next run is in the same row. Node 0 is the outside.
struct gaps {
    const struct cs_run *runs;
    const uint32_t *order;
    uint32_t *parent;
};

static const struct cs_run *run_at(const struct gaps *g, size_t k)
{
    return &g->runs[g->order[k]];
}

static uint32_t find_root(uint32_t *parent, uint32_t i)
{
    while (parent[i] != i)
        i = parent[i] = parent[parent[i]];
    return i;
}

static void unite(struct gaps *g, size_t a, size_t b)
{
    uint32_t i = find_root(g->parent, (uint32_t)a), j = find_root(g->parent, (uint32_t)b);
    if (i < j)
        g->parent[j] = i;
    else
        g->parent[i] = j;
}

// Unite the gaps of row [a, b) with what they touch in the neighbouring row [c, d) of runs: the
// outside beyond its ends, and its gaps. An empty row is all outside.
static void join_rows(struct gaps *g, size_t a, size_t b, size_t c, size_t d)
{
    size_t other = c;
    for (size_t k = a; k + 1 < b; k++) {
        uint32_t first = run_at(g, k)->end, end = run_at(g, k + 1)->first;
        if (c == d || first <= run_at(g, c)->first || end >= run_at(g, d - 1)->end) {
            unite(g, k + 1, 0);
            if (c == d)
                continue;
        }
        while (other + 1 < d && run_at(g, other + 1)->first < first)
            other++;
        for (size_t m = other; m + 1 < d && run_at(g, m)->end <= end; m++)
            if (run_at(g, m + 1)->first >= first)
                unite(g, k + 1, m + 1);
    }
}

static size_t row_end(const struct gaps *g, size_t a, size_t count)
{
    size_t b = a;
    while (b < count && run_at(g, b)->row == run_at(g, a)->row)
        b++;
    return b;
}

uint64_t cs_holes_area(const struct cs_run *runs, const uint32_t *order, size_t count,
                       uint32_t *work)
{
    struct gaps g = {runs, order, work};
    uint64_t area = 0;
    for (size_t k = 0; k <= count; k++)
        work[k] = (uint32_t)k;
    size_t before = 0, before_end = 0; // the row before: none
    for (size_t a = 0; a < count;) {
        size_t b = row_end(&g, a, count), c = b < count ? row_end(&g, b, count) : b;
        bool follows = before < before_end && run_at(&g, before)->row + 1 == run_at(&g, a)->row;
        bool followed = b < count && run_at(&g, b)->row == run_at(&g, a)->row + 1;
        join_rows(&g, a, b, before, follows ? before_end : before);
        join_rows(&g, a, b, b, followed ? c : b);
        before = a;
        before_end = b;
        a = b;
    }
    for (size_t k = 0; k + 1 < count; k++)
        if (run_at(&g, k)->row == run_at(&g, k + 1)->row && find_root(work, (uint32_t)k + 1) != 0)
            area += run_at(&g, k + 1)->first - run_at(&g, k)->end;
    return area;
}
