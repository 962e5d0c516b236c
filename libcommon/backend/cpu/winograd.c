// SPDX-License-Identifier: MIT
// The two drivers of the Winograd convolution. Tiles are numbered image by image; `unit` of them
// stay together, the last unit of an image may be partly empty.
//
//   parts    a thread has a run of units, or where those are few a run of panels, and its own V and
//            M in its core's cache
//   team     all threads transform, multiply and store one block after the other, V and M shared:
//            large weights are then read from memory once a block instead of once a core
//
// While a block is multiplied, the pixels of the next one are fetched into the cache.
#include "backend/cpu/winograd.h"

#include <omp.h>
#include <string.h>

enum {
    LINE_FLOATS = 16,
    FETCH_AHEAD = 1536, // floats of weights beyond the next ones: memory answers late
    MOST_PANELS = CS_WINOGRAD_MAX_BLOCK / 4, // of rows: no kernel has fewer
};

// A thread's part of a run.
struct worker {
    const struct cs_winograd *w;
    const struct cs_winograd_run *run;
    float *v, *m;
    int64_t tiles[MOST_PANELS]; // of the block, in each panel of rows
    struct cs_winograd_load load;
    struct cs_winograd_store store;
};

// Units [first, first + count) of all images together.
struct block {
    int64_t first, count;
};

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// ---- Where tiles lie -------------------------------------------------------------------------

struct tile {
    int64_t image, row, column; // of tiles
};

// How many tiles the unit has.
static int64_t tiles_of(const struct cs_winograd *w, const struct cs_winograd_run *run,
                        int64_t unit)
{
    int64_t all = run->tile_count ? run->tile_count : w->tiles[0] * w->tiles[1];
    return smaller(w->unit, all - unit % w->units * w->unit);
}

static struct tile tile_at(const struct cs_winograd *w, const struct cs_winograd_run *run,
                           int64_t unit, int64_t i)
{
    int64_t index = run->first_tile + unit % w->units * w->unit + i;
    return (struct tile){run->image + unit / w->units, index / w->tiles[1], index % w->tiles[1]};
}

// The one behind it in the image.
static struct tile next_tile(const struct cs_winograd *w, struct tile t)
{
    bool ends = t.column + 1 == w->tiles[1];
    return (struct tile){t.image, t.row + ends, ends ? 0 : t.column + 1};
}

// ---- Prefetch --------------------------------------------------------------------------------

// The pixels of a run of units, row by row of pixels, a few cache lines at each step.
struct ahead {
    const struct cs_winograd *w;
    const struct cs_winograd_run *run;
    struct block block;
    int source;
    int64_t unit, tile; // the run of tiles in one row that comes next
    int row;            // of its tiles
    const char *at, *end;
    int64_t lines, steps, owed; // to fetch in all; in how many steps; what is due, times `steps`
};

// On to the next row, the next run, the next source.
static void next_run(struct ahead *a, int64_t run, int64_t tiles)
{
    if (++a->row < a->w->kernels->in)
        return;
    a->row = 0;
    a->tile += run;
    if (a->tile < tiles)
        return;
    a->tile = 0;
    if (++a->unit < a->block.first + a->block.count)
        return;
    a->unit = a->block.first;
    a->source++;
}

// The next row of pixels; false behind the last.
static bool next_row(struct ahead *a)
{
    const struct cs_winograd *w = a->w;
    const struct cs_winograd_shape *s = &w->shape;
    while (a->source < a->run->source_count && a->block.count > 0) {
        const struct cs_winograd_source *source = &a->run->sources[a->source];
        int64_t tiles = tiles_of(w, a->run, a->unit);
        struct tile t = tile_at(w, a->run, a->unit, a->tile);
        int64_t run = smaller(tiles - a->tile, w->tiles[1] - t.column);
        int64_t y = t.row * w->kernels->out - s->pad_begin[0] + a->row;
        int64_t x = t.column * w->kernels->out;
        int64_t pixels = smaller(run * w->kernels->out, s->in[1] - x);
        next_run(a, run, tiles);
        if (y >= 0 && y < s->in[0] && pixels > 0) {
            int64_t at = ((t.image * s->in[0] + y) * s->in[1] + x) * source->channels;
            a->at = (const char *)(source->src + at);
            a->end = a->at + pixels * source->channels * (int64_t)sizeof(float);
            return true;
        }
    }
    return false;
}

static void ahead_init(struct ahead *a, const struct worker *k, struct block block, int64_t steps)
{
    const struct cs_winograd *w = k->w;
    *a = (struct ahead){.w = w, .run = k->run, .block = block, .unit = block.first};
    int64_t bytes = block.count * w->unit * w->kernels->out * w->kernels->in *
                    w->shape.in_channels * (int64_t)sizeof(float);
    a->lines = k->run->warm ? 0 : bytes / 64 + 1;
    a->steps = steps > 0 ? steps : 1;
}

static void ahead_step(struct ahead *a)
{
    for (a->owed += a->lines; a->owed >= a->steps; a->owed -= a->steps) {
        if (a->at >= a->end && !next_row(a)) {
            a->lines = a->owed = 0;
            return;
        }
        __builtin_prefetch(a->at, 0, 2);
        a->at += 64;
    }
}

// ---- The three phases --------------------------------------------------------------------------

// Bits of so many rows (or columns) from `at` on that lie in 0..size-1.
static unsigned inside(int64_t at, int count, int64_t size)
{
    unsigned bits = 0;
    if (at >= 0 && at + count <= size)
        return (1U << count) - 1;
    for (int i = 0; i < count; i++)
        bits |= (unsigned)(at + i >= 0 && at + i < size) << i;
    return bits;
}

// All sources of one tile, to its place in V.
static void transform_tile(struct worker *k, struct tile t, float *v)
{
    const struct cs_winograd *w = k->w;
    const struct cs_winograd_shape *s = &w->shape;
    struct cs_winograd_load *load = &k->load;
    int64_t y = t.row * w->kernels->out - s->pad_begin[0];
    int64_t x = t.column * w->kernels->out - s->pad_begin[1];
    unsigned rows = inside(y, w->kernels->in, s->in[0]);
    unsigned columns = inside(x, w->kernels->in, s->in[1]);
    for (int i = 0; i < k->run->source_count; i++) {
        const struct cs_winograd_source *source = &k->run->sources[i];
        load->channels = load->pixel = source->channels;
        load->row = s->in[1] * source->channels;
        load->src = source->src + t.image * s->in[0] * load->row;
        if (source->affine) {
            load->offset = source->affine + t.image * source->affine_step;
            load->scale = load->offset + source->channels;
            load->shift = load->scale + source->channels;
            load->slope = source->slope;
        } else {
            load->offset = NULL;
        }
        w->kernels->load(load, y * load->row + x * load->pixel, rows, columns, v);
        v += source->channels / w->kernels->width * load->group;
    }
}

// Slots [begin, end) of the block's V.
static void transform_inputs(struct worker *k, struct block block, int64_t begin, int64_t end)
{
    const struct cs_winograd *w = k->w;
    int64_t width = w->kernels->width, groups = (w->shape.in_channels + width - 1) / width;
    int64_t unit = block.first + begin / w->unit, i = begin % w->unit, row = begin % w->rows;
    float *v = k->v + begin / w->rows * groups * w->rows * width;
    int64_t tiles = tiles_of(w, k->run, unit);
    struct tile t = tile_at(w, k->run, unit, i);
    for (int64_t slot = begin; slot < end; slot++, i++, row++) {
        if (row == w->rows) {
            row = 0;
            v += groups * w->rows * width;
        }
        if (i == w->unit) {
            i = 0;
            tiles = tiles_of(w, k->run, ++unit);
            t = tile_at(w, k->run, unit, i);
        }
        if (i < tiles)
            transform_tile(k, t, v + row * width);
        t = next_tile(w, t);
    }
}

// Only the last unit of an image has panels that are not full.
static void count_tiles(struct worker *k, struct block block)
{
    const struct cs_winograd *w = k->w;
    int64_t panels = w->unit / w->rows;
    for (int64_t i = 0; i < block.count * panels; i++)
        k->tiles[i] = tiles_of(w, k->run, block.first + i / panels) - i % panels * w->rows;
}

// Lines of the next weights that too few products are there to fetch.
static void fetch_rest(const float *next, int64_t products, int64_t fetches, int64_t depth)
{
    for (int64_t i = products * depth; i < fetches * depth; i++)
        __builtin_prefetch(next + i * LINE_FLOATS, 0, 2);
}

// One point of one panel, for all tiles of the block. `m_panel`: its place in M.
static void multiply_panel(struct worker *k, struct block block, int64_t point, int64_t panel,
                           int64_t m_panel, struct ahead *ahead)
{
    const struct cs_winograd *w = k->w;
    int64_t width = w->kernels->width, groups = (w->shape.in_channels + width - 1) / width;
    int64_t panels = block.count * (w->unit / w->rows), fetches = w->panel / LINE_FLOATS;
    int64_t all = (int64_t)cs_winograd_weight_floats(w);
    const float *u = k->run->packed + (point * w->panels + panel) * w->depth * w->panel;
    for (int64_t from = 0; from < w->depth; from += w->depth_block) {
        int64_t depth = smaller(w->depth - from, w->depth_block);
        int64_t at = u - k->run->packed + (from + depth) * w->panel + FETCH_AHEAD;
        const float *next = at < all ? k->run->packed + at : NULL;
        struct cs_winograd_product product = {
            .quads = depth / 4,
            .add = from > 0,
            .u = u + from * w->panel,
            .v = k->v + point * w->v_point + from * w->rows,
            .m = k->m + point * w->m_point + m_panel * w->m_panel,
        };
        if (next)
            fetch_rest(next, panels < fetches ? panels : fetches, fetches, depth);
        for (int64_t i = 0; i < panels; i++) {
            if (k->tiles[i] > 0) {
                // Each fetches one line a channel, so panel / 16 of them fetch all that is next.
                product.prefetch =
                    i < fetches && next ? (const char *)(next + i * LINE_FLOATS * depth) : NULL;
                w->kernels->multiply[w->vectors - 1][2 * k->tiles[i] <= w->rows](&product);
                ahead_step(ahead);
            }
            product.v += w->rows * groups * width;
            product.m += w->rows * w->panel;
        }
    }
}

// Panels [first, first + count) of unit `index` of the block; M holds panels from `m_first` on.
static void transform_outputs(struct worker *k, struct block block, int64_t index, int64_t panel,
                              int64_t m_panel)
{
    const struct cs_winograd *w = k->w;
    const struct cs_winograd_shape *s = &w->shape;
    const struct cs_winograd_run *run = k->run;
    int64_t unit = block.first + index, tiles = tiles_of(w, run, unit), first = panel * w->panel;
    int64_t channels = smaller(w->panel, s->out_channels - first);
    const float *m = k->m + m_panel * w->m_panel + index * w->unit * w->panel;
    double *sum = NULL, *square = NULL;
    if (run->sums) {
        sum = run->sums + 2 * unit * w->panels * w->panel + first;
        square = sum + w->panels * w->panel;
        memset(sum, 0, (size_t)w->panel * sizeof *sum);
        memset(square, 0, (size_t)w->panel * sizeof *square);
    }
    struct tile t = tile_at(w, run, unit, 0);
    for (int64_t i = 0; i < tiles; i++, m += w->panel, t = next_tile(w, t)) {
        int64_t side = w->kernels->out, y = t.row * side, x = t.column * side;
        int64_t at = (t.image * s->out[0] + y) * k->store.row + x * k->store.pixel;
        int rows = (int)smaller(side, s->out[0] - y);
        int columns = (int)smaller(side, s->out[1] - x);
        if (sum)
            w->kernels->store_sums(&k->store, m, first, channels, run->dst + at, rows, columns, sum,
                                   square);
        else
            w->kernels->store(&k->store, m, first, channels, run->dst + at,
                              run->add ? run->add + at : NULL, rows, columns);
    }
}

// ---- The drivers -------------------------------------------------------------------------------

static struct worker make_worker(const struct cs_winograd *w, const struct cs_winograd_run *run)
{
    return (struct worker){
        .w = w,
        .run = run,
        .v = run->scratch,
        .m = run->scratch + w->kernels->points * w->v_point,
        .load = {.point = w->v_point, .group = w->rows * w->kernels->width},
        .store = {.bias = run->bias,
                  .row = w->shape.out[1] * w->shape.out_channels,
                  .pixel = w->shape.out_channels,
                  .point = w->m_point,
                  .finish = run->sums ? (struct cs_finish){0} : run->finish,
                  .stream = w->stream},
    };
}

// Panels [panel, end) of the block's units, which are in V.
static void run_panels(struct worker *k, struct block block, int64_t panel, int64_t end,
                       struct ahead *ahead)
{
    const struct cs_winograd *w = k->w;
    for (int64_t p = panel; p < end; p += w->panels_at_once) {
        int64_t count = smaller(w->panels_at_once, end - p);
        for (int64_t e = 0; e < w->kernels->points; e++)
            for (int64_t i = 0; i < count; i++)
                multiply_panel(k, block, e, p + i, i, ahead);
        for (int64_t i = 0; i < block.count; i++)
            for (int64_t j = 0; j < count; j++)
                transform_outputs(k, block, i, p + j, j);
    }
}

// Panels [panel, panels) of units [first, last). Those up to `beyond` are fetched, too: the thread
// will most likely get them next.
static void run_units(struct worker *k, int64_t first, int64_t last, int64_t beyond, int64_t panel,
                      int64_t panels)
{
    const struct cs_winograd *w = k->w;
    int64_t products =
        w->kernels->points * (panels - panel) * ((w->depth - 1) / w->depth_block + 1);
    for (int64_t u = first; u < last; u += w->block) {
        struct block block = {u, smaller(w->block, last - u)};
        struct block next = {u + block.count, smaller(w->block, beyond - u - block.count)};
        struct ahead ahead;
        count_tiles(k, block);
        // Other panels of the only block find it transformed.
        if (!k->run->again || !w->by_panels || block.count < last - first)
            transform_inputs(k, block, 0, block.count * w->unit);
        ahead_init(&ahead, k, next, products * block.count * w->unit / w->rows);
        run_panels(k, block, panel, panels, &ahead);
    }
}

static void run_team(struct worker *k, int thread, int threads)
{
    const struct cs_winograd *w = k->w;
    int64_t units = w->shape.batch * w->units, tasks = w->kernels->points * w->panels;
    int64_t first = tasks * thread / threads, last = tasks * (thread + 1) / threads;
    for (int64_t u = 0; u < units; u += w->block) {
        struct block block = {u, smaller(w->block, units - u)};
        int64_t slots = block.count * w->unit, stores = block.count * w->panels;
        count_tiles(k, block);
        transform_inputs(k, block, slots * thread / threads, slots * (thread + 1) / threads);
#pragma omp barrier
        struct ahead none = {.steps = 1};
        for (int64_t t = first; t < last; t++)
            multiply_panel(k, block, t / w->panels, t % w->panels, t % w->panels, &none);
#pragma omp barrier
        for (int64_t t = stores * thread / threads; t < stores * (thread + 1) / threads; t++)
            transform_outputs(k, block, t / w->panels, t % w->panels, t % w->panels);
    }
}

void cs_winograd_run_parts(const struct cs_winograd *w, const struct cs_winograd_run *run,
                           int64_t begin, int64_t end)
{
    struct worker worker = make_worker(w, run);
    int64_t units = w->shape.batch * w->units;
    if (w->by_panels)
        run_units(&worker, 0, units, units, begin, end);
    else
        run_units(&worker, begin, end, units, 0, w->panels);
}

void cs_winograd_run_team(const struct cs_winograd *w, const struct cs_winograd_run *run)
{
#pragma omp parallel num_threads(w->threads)
    {
        struct worker worker = make_worker(w, run);
        run_team(&worker, omp_get_thread_num(), omp_get_num_threads());
    }
}

void cs_winograd_run_tiles(const struct cs_winograd *w, const struct cs_winograd_run *run)
{
    struct worker worker = make_worker(w, run);
    int64_t units = (run->tile_count + w->unit - 1) / w->unit;
    run_units(&worker, 0, units, units, 0, w->panels);
}
