// SPDX-License-Identifier: MIT
// How a Winograd convolution is cut: kernel, blocks, driver; and whether it is worth it.
#include <stdio.h>
#include <string.h>

#include "backend/cpu/winograd.h"

enum {
    DEPTH_BLOCK = 16,      // no less than a register; errors grow with the root of a sum's length
    UNIT = 24,             // a multiple of all kernels' rows
    FEW_UNITS = 8,         // too few for an even share
    SMALL_IMAGE = 4096,    // tiles below which a unit is as small as can be, for an even share
    MIN_TILES = 9,         // of an image
    FEW_TILES = 4,         // enough where the weights are few
    FEW_WEIGHTS = 64 * 64, // with registers of 16 floats
    FEW_WEIGHTS_8 = 160 * 160, // of 8, where products take longer beside reading weights
    MIN_CHANNELS = 8,
    MIN_NORMALISED = 48, // outputs of fewer channels
    LINE = 16,           // floats
};

// ---- Caches --------------------------------------------------------------------------------

static bool read_cache(int index, const char *what, unsigned long long *number, char *unit)
{
    char path[96];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", index, what);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    int fields = fscanf(file, "%llu%c", number, unit);
    fclose(file);
    return fields >= 1;
}

// Of the first processor; `otherwise` where the system does not say.
static size_t cache_bytes(unsigned long long level, size_t otherwise)
{
    unsigned long long found, size;
    char unit = 0;
    for (int i = 0; read_cache(i, "level", &found, &unit); i++)
        if (found == level && read_cache(i, "size", &size, &unit) && size > 0)
            return (size_t)size << (unit == 'K' ? 10 : unit == 'M' ? 20 : 0);
    return otherwise;
}

struct cs_winograd_caches cs_winograd_find_caches(void)
{
    return (struct cs_winograd_caches){cache_bytes(2, (size_t)1 << 20),
                                       cache_bytes(3, (size_t)8 << 20)};
}

// ---- Blocks --------------------------------------------------------------------------------

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t round_up(int64_t a, int64_t b)
{
    return ceil_div(a, b) * b;
}

// The kernel: few registers of channels mean many broadcasts, and channels that the panels add are
// computed in vain.
static void choose_kernel(struct cs_winograd *w)
{
    static const double speed[] = {0.80, 0.95, 1.00, 0.99}; // measured, by vectors
    double best = 0;
    for (int j = 1; j <= w->kernels->max_vectors; j++) {
        int64_t panel = (int64_t)j * w->kernels->width;
        double good = speed[j - 1] * (double)w->shape.out_channels /
                      (double)round_up(w->shape.out_channels, panel);
        if (good > best) {
            best = good;
            w->vectors = j;
        }
    }
    w->rows = w->kernels->sums / w->vectors;
    w->panel = (int64_t)w->vectors * w->kernels->width;
    w->panels = ceil_div(w->shape.out_channels, w->panel);
}

// An odd number of cache lines: powers of two would put all points into the same sets.
static int64_t stride_of(int64_t floats)
{
    int64_t lines = ceil_div(floats, LINE);
    return (lines | 1) * LINE;
}

static void choose_blocks(struct cs_winograd *w, const struct cs_winograd_caches *caches)
{
    const struct cs_winograd_shape *s = &w->shape;
    size_t core = caches->core, shared = caches->shared;
    int64_t tiles = w->tiles[0] * w->tiles[1], wide = s->in_channels + s->out_channels;
    int64_t width = w->kernels->width;

    w->depth = round_up(s->in_channels, 4);
    w->depth_block =
        round_up(ceil_div(s->in_channels, ceil_div(s->in_channels, DEPTH_BLOCK)), width);
    w->unit = tiles < SMALL_IMAGE ? w->rows : UNIT;
    w->units = ceil_div(tiles, w->unit);

    // Few tiles are shared out by output channels, as long as a core's cache holds all of V. Of
    // more, weights that stay in the cache that all cores share are read by each core for its own
    // blocks; larger ones come from memory and are read once a block by all cores together.
    int64_t units = s->batch * w->units, tile_floats = w->kernels->points * s->in_channels;
    size_t v_bytes = (size_t)(units * w->unit * tile_floats) * sizeof(float);
    w->by_panels = units < FEW_UNITS && w->panels > 1 && v_bytes <= core;
    w->team = !w->by_panels && cs_winograd_weight_floats(w) * sizeof(float) > shared / 8 * 3;
    int64_t block_tiles = CS_WINOGRAD_MAX_BLOCK;
    w->panels_at_once = w->panels;
    if (!w->team) {
        int64_t tile_bytes = (int64_t)sizeof(float) * w->kernels->points * wide;
        block_tiles = (int64_t)(core / 4 * 3) / tile_bytes;
        block_tiles = block_tiles < UNIT ? UNIT : block_tiles > 2 * UNIT ? 2 * UNIT : block_tiles;
        if (w->panels > 2 && (size_t)(UNIT * tile_bytes) > core)
            w->panels_at_once = 2;
        if (w->by_panels)
            block_tiles = units * w->unit;
    }
    w->block = block_tiles / w->unit;
    w->block = w->block > units ? units : w->block;
    w->parts = w->team ? 0 : w->by_panels ? w->panels : units;
    // What is too large to be found in the cache again had better not go through it.
    w->stream = s->out_channels % width == 0 &&
                (size_t)(s->batch * s->in[0] * s->in[1] * wide) * sizeof(float) > shared / 2;

    int64_t slots = w->block * w->unit;
    w->v_point = stride_of(slots * round_up(s->in_channels, width));
    w->m_panel = slots * w->panel;
    w->m_point = stride_of(w->panels_at_once * w->m_panel);
}

// Measured on one core of a Zen 5 (bench/winograd), time of direct / time of this, AVX-512, AVX2:
//   64 to 64 @512 3.1, 3.2; 256 to 256 @128 3.5, 3.4; 48 to 48 @256 2.6, 3.2; 64 to 2 @256 1.6, 3.4
//   few tiles:    16 of 512 to 512 2.1, 3.3; 9 of 512 to 512 1.6, 2.7; 9 of 256 to 256 2.7, 2.8;
//                 4 of 128 to 128 1.8, 2.2; 4 of 512 to 512 0.9, 1.9 (the weights come from memory)
//   few channels: 16 to 16 1.6, 2.6; 8 to 16 1.05; 8 to 8 0.9, 2.1; 4 to 16 0.7; 3 to 64 1.1, 0.7;
//                 1 to 64 0.9, 0.25 (the transforms of so few channels cost more than is saved);
//                 where a norm follows, 1 to 64 @512 with it takes 5.3 ms instead of 9.0
//   4 tiles of 4x4 or 16 of 2x2, ms, weights from the L3: 144 to 144 0.12, 0.06; AVX2 0.13, 0.17
const struct cs_winograd_kernels *cs_winograd_pick(const struct cs_winograd_kernels *kernels,
                                                   const struct cs_winograd_shape *shape,
                                                   bool normalised)
{
    bool few = shape->in_channels * shape->out_channels <=
               (kernels->width == 16 ? FEW_WEIGHTS : FEW_WEIGHTS_8);
    if (shape->in_channels < MIN_CHANNELS && !(normalised && shape->out_channels >= MIN_NORMALISED))
        return NULL;
    for (; kernels; kernels = kernels->smaller) {
        int64_t rows = ceil_div(shape->out[0], kernels->out);
        int64_t columns = ceil_div(shape->out[1], kernels->out);
        if (rows * columns >= (few && kernels->smaller ? FEW_TILES : MIN_TILES))
            return kernels;
    }
    return NULL;
}

void cs_winograd_plan(struct cs_winograd *w, const struct cs_winograd_kernels *kernels,
                      const struct cs_winograd_shape *shape, int threads,
                      const struct cs_winograd_caches *caches)
{
    *w = (struct cs_winograd){.kernels = kernels, .shape = *shape, .threads = threads};
    for (int i = 0; i < 2; i++)
        w->tiles[i] = ceil_div(shape->out[i], kernels->out);
    choose_kernel(w);
    choose_blocks(w, caches);
}

size_t cs_winograd_scratch_bytes(const struct cs_winograd *w)
{
    return (size_t)(w->kernels->points * (w->v_point + w->m_point)) * sizeof(float);
}
