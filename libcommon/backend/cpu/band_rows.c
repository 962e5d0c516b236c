// SPDX-License-Identifier: MIT
// Rows of a band: from what the last node is to make back to what the first ones have to.
#include "backend/cpu/band_rows.h"

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// The first row that the reader's rows from `begin` on need.
static int64_t first_of(const struct cs_cpu_band_edge *e, int64_t begin)
{
    int64_t row = begin * e->stride - e->pad;
    return row > 0 ? row : 0;
}

// Behind the last row that the reader's rows before `end` need.
static int64_t end_of(const struct cs_cpu_band_edge *e, int64_t end)
{
    int64_t row = (end - 1) * e->stride - e->pad + e->span;
    return end > 0 && row > 0 ? row : 0;
}

void cs_cpu_band_start(const struct cs_cpu_band *band, int64_t begin,
                       struct cs_cpu_band_state *state)
{
    for (int i = band->count - 1; i >= 0; i--) {
        const struct cs_cpu_band_node *n = &band->nodes[i];
        int64_t row = i + 1 == band->count ? begin : n->rows;
        for (int k = 0; k < band->edge_count; k++)
            if (band->edges[k].from == i)
                row = smaller(row, first_of(&band->edges[k], state->done[band->edges[k].to]));
        state->done[i] = state->target[i] = row / n->grain * n->grain;
    }
}

void cs_cpu_band_advance(const struct cs_cpu_band *band, int64_t end,
                         struct cs_cpu_band_state *state)
{
    const struct cs_cpu_band_node *last = &band->nodes[band->count - 1];
    for (int i = band->count - 1; i >= 0; i--) {
        const struct cs_cpu_band_node *n = &band->nodes[i];
        int64_t row = n == last ? end : state->done[i];
        if (n->kept && end == last->rows) // also what the last node does not read
            row = n->rows;
        for (int k = 0; k < band->edge_count; k++) {
            const struct cs_cpu_band_edge *e = &band->edges[k];
            int64_t needed = e->from == i ? end_of(e, state->target[e->to]) : 0;
            row = needed > row ? needed : row;
        }
        state->target[i] = smaller((row + n->grain - 1) / n->grain * n->grain, n->rows);
    }
}

int64_t cs_cpu_band_keep(const struct cs_cpu_band *band, const struct cs_cpu_band_state *state,
                         int node)
{
    int64_t keep = state->done[node];
    for (int k = 0; k < band->edge_count; k++) {
        const struct cs_cpu_band_edge *e = &band->edges[k];
        if (e->from == node)
            keep = smaller(keep, first_of(e, state->done[e->to]));
    }
    return keep;
}

struct cs_cpu_band_share cs_cpu_band_share_of(const struct cs_cpu_band *band, int thread,
                                              int threads)
{
    int64_t rows = band->nodes[band->count - 1].rows;
    int64_t units = (rows + CS_CPU_BAND_UNIT - 1) / CS_CPU_BAND_UNIT * band->batch;
    return (struct cs_cpu_band_share){.unit = units * thread / threads,
                                      .last = units * (thread + 1) / threads};
}

bool cs_cpu_band_next(const struct cs_cpu_band *band, struct cs_cpu_band_share *share)
{
    int64_t rows = band->nodes[band->count - 1].rows;
    int64_t units = (rows + CS_CPU_BAND_UNIT - 1) / CS_CPU_BAND_UNIT; // of an image
    if (share->unit >= share->last)
        return false;
    share->image = share->unit / units;
    int64_t first = share->unit % units, end = smaller(units, first + share->last - share->unit);
    share->begin = first * CS_CPU_BAND_UNIT;
    share->end = smaller(end * CS_CPU_BAND_UNIT, rows);
    share->unit += end - first;
    return true;
}
