// SPDX-License-Identifier: MIT
#include "infer/fit.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

enum { MAX_TILES_A_SIDE = 4096, MAX_RESCALED_SIDE = 1 << 20 };
static const double MIN_FACTOR = 1.0 / 64, MAX_FACTOR = 64, SAME_FACTOR = 0.01;

static uint32_t round_up(uint32_t value, uint32_t unit)
{
    uint64_t rounded = ((uint64_t)value + unit - 1) / unit * unit;
    return rounded > UINT32_MAX ? UINT32_MAX / unit * unit : (uint32_t)rounded;
}

static uint32_t padded(uint32_t side, uint32_t min, uint32_t stride)
{
    return round_up(side > min ? side : min, stride);
}

int cs_fit_plane(const struct cs_fit_rule *rule, uint32_t width, uint32_t height,
                 uint32_t *plane_width, uint32_t *plane_height, struct cs_err *err)
{
    if (rule->kind == CS_FIT_KIND_RESIZE) {
        *plane_width = rule->width;
        *plane_height = rule->height;
        return 0;
    }
    *plane_width = padded(width, rule->min_width, rule->stride);
    *plane_height = padded(height, rule->min_height, rule->stride);
    if (rule->kind == CS_FIT_KIND_NATIVE && (*plane_width != width || *plane_height != height))
        return cs_fail(err, CS_EINPUT,
                       "%u x %u pixels, the network takes multiples of %u from %u x %u on: --fit "
                       "pad would do",
                       width, height, rule->stride, round_up(rule->min_width, rule->stride),
                       round_up(rule->min_height, rule->stride));
    return 0;
}

static uint32_t nearest(double side, uint32_t min, uint32_t stride)
{
    uint32_t least = round_up(min ? min : 1, stride);
    double steps = floor(side / stride + 0.5);
    return steps * stride > least ? (uint32_t)(steps * stride) : least;
}

int cs_fit_rescaled(const struct cs_fit_rule *rule, uint32_t width, uint32_t height, double fx,
                    double fy, struct cs_fit_rule *out, struct cs_err *err)
{
    if (!(fx >= MIN_FACTOR && fx <= MAX_FACTOR && fy >= MIN_FACTOR && fy <= MAX_FACTOR) ||
        width * fx > MAX_RESCALED_SIDE || height * fy > MAX_RESCALED_SIDE)
        return cs_fail(err, CS_EINPUT, "%u x %u pixels rescaled by %g x %g: that cannot be meant",
                       width, height, fx, fy);
    *out = *rule;
    if (fabs(fx - 1) < SAME_FACTOR && fabs(fy - 1) < SAME_FACTOR)
        return 0;
    out->kind = CS_FIT_KIND_RESIZE;
    out->width = nearest(width * fx, rule->min_width, rule->stride);
    out->height = nearest(height * fy, rule->min_height, rule->stride);
    return 0;
}

// A sample of the map reads two pixels of the plane, and stands for as many as the plane is larger.
static uint32_t samples_reach(uint32_t plane, uint32_t map)
{
    uint32_t reach = (uint32_t)(((uint64_t)plane + map - 1) / map);
    return reach ? reach : 1;
}

uint32_t cs_fit_halo(const struct cs_fit_rule *rule, uint32_t halo, uint32_t map_width,
                     uint32_t map_height)
{
    if (rule->kind != CS_FIT_KIND_RESIZE)
        return halo;
    uint32_t x = samples_reach(rule->width, map_width);
    uint32_t y = samples_reach(rule->height, map_height);
    return halo + (x > y ? x : y);
}

void cs_fit_job(const struct cs_fit_rule *rule, struct cs_job *job)
{
    job->placement = rule->kind != CS_FIT_KIND_RESIZE ? CS_PLACE_COPY
                     : rule->pillow                   ? CS_PLACE_PILLOW
                                                      : CS_PLACE_SCALE;
    job->x0 = job->y0 = 0;
    job->scaled_width = job->scaled_height = 0;
    job->part_x = job->part_y = 0;
    job->part_width = job->out_width;
    job->part_height = job->out_height;
}

void cs_fit_tile(const struct cs_fit_rule *rule, const struct cs_tile *tile, struct cs_job *job)
{
    cs_fit_job(rule, job);
    job->x0 = (int32_t)tile->x;
    job->y0 = (int32_t)tile->y;
    if (rule->kind == CS_FIT_KIND_RESIZE) {
        job->scaled_width = rule->width;
        job->scaled_height = rule->height;
    }
    job->part_x = tile->part_x;
    job->part_y = tile->part_y;
    job->part_width = tile->part_width;
    job->part_height = tile->part_height;
}

uint32_t cs_tile_side(uint32_t plane, uint32_t wanted, uint32_t halo, uint32_t stride)
{
    uint64_t around = 2 * (uint64_t)round_up(halo, stride), side = wanted / stride * stride;
    if (side < around + stride)
        side = around + stride;
    if (side >= plane)
        return plane;
    // As many as that makes, all with about as much of their own.
    uint64_t inner = plane - around, own = side - around, count = (inner + own - 1) / own;
    return round_up((uint32_t)((inner + count - 1) / count), stride) + (uint32_t)around;
}

// One side: origins of the tiles, where their own parts start and end on the map, and the pixels of
// the tile that these are made of.
struct split {
    uint32_t origin, begin, end, own_begin, own_end;
};

// Where the map goes on behind the plane's first `end` pixels.
static uint32_t map_end(const struct cs_fit_rule *rule, uint32_t end, uint32_t plane, uint32_t map)
{
    if (rule->kind == CS_FIT_KIND_RESIZE)
        return (uint32_t)(((uint64_t)end * map + plane - 1) / plane);
    return end < map ? end : map;
}

static int split_side(const struct cs_fit_rule *rule, uint32_t plane, uint32_t map, uint32_t tile,
                      uint32_t halo, struct split splits[MAX_TILES_A_SIDE], struct cs_err *err)
{
    uint32_t stride = rule->stride, margin = round_up(halo, stride), around = 0, own = 0;
    int count = 0;
    if (rule->kind == CS_FIT_KIND_RESIZE)
        around = samples_reach(plane, map);
    assert(plane % stride == 0 && tile % stride == 0 && tile <= plane);
    if (tile == plane) {
        splits[0] = (struct split){0, 0, map, 0, plane};
        return 1;
    }
    assert(tile > 2 * margin);
    uint32_t step = tile - 2 * margin, origin = 0, done = 0;
    while (done < map) {
        if (count == MAX_TILES_A_SIDE)
            return cs_fail(err, CS_ENOMEM, "more than %d tiles of %u pixels along a side",
                           MAX_TILES_A_SIDE, tile);
        // At the plane's end the tile sees the same edge as the whole plane: no margin there.
        bool last = (uint64_t)origin + tile >= plane;
        if (last)
            origin = plane - tile;
        uint32_t own_end = last ? plane : origin + tile - margin;
        uint32_t end = map_end(rule, own_end, plane, map);
        if (end > done) // several pixels of the plane may lie behind one sample
            splits[count++] = (struct split){origin, done, end, own ? own - around - origin : 0,
                                             last ? tile : own_end + around - origin};
        done = end;
        own = own_end;
        origin += step;
    }
    return count;
}

int cs_tiles_make(const struct cs_fit_rule *rule, uint32_t plane_width, uint32_t plane_height,
                  uint32_t map_width, uint32_t map_height, uint32_t tile_width,
                  uint32_t tile_height, uint32_t halo, struct cs_tile **tiles, int *count,
                  struct cs_err *err)
{
    struct split *across = cs_xcalloc(2 * MAX_TILES_A_SIDE, sizeof *across);
    struct split *down = across + MAX_TILES_A_SIDE;
    int result = -1;
    int nx = split_side(rule, plane_width, map_width, tile_width, halo, across, err);
    int ny = nx < 0 ? -1 : split_side(rule, plane_height, map_height, tile_height, halo, down, err);
    if (ny >= 0) {
        *tiles = cs_xcalloc((size_t)nx * (size_t)ny, sizeof **tiles);
        *count = 0;
        for (int y = 0; y < ny; y++)
            for (int x = 0; x < nx; x++)
                (*tiles)[(*count)++] = (struct cs_tile){across[x].origin,
                                                        down[y].origin,
                                                        across[x].begin,
                                                        down[y].begin,
                                                        across[x].end - across[x].begin,
                                                        down[y].end - down[y].begin,
                                                        {{down[y].own_begin, across[x].own_begin},
                                                         {down[y].own_end, across[x].own_end}}};
        result = 0;
    }
    free(across);
    return result;
}
