// SPDX-License-Identifier: MIT
// Runs: the maximal horizontal stretches of one value other than 0 in a plane, and the 4-connected
// components that they form. Contours and measurements work on runs, so that their cost is that of
// one scan plus the number of runs.
#ifndef CS_IMAGE_RUNS_H
#define CS_IMAGE_RUNS_H

#include <string.h>

#include "image/image.h"

struct cs_run {
    uint32_t row, first, end; // pixels [first, end) of the row
    uint32_t value;           // sample
    uint32_t component;       // 0, 1, 2... in raster order of each component's first pixel
};

// Zero-initialise; release with cs_runs_release.
struct cs_runs {
    struct cs_run *items; // in raster order
    size_t count;
    uint32_t components;
    struct cs_big block;
    size_t above, low; // while rows are added: the runs of the last row are [above, low)
};

// Add the runs of rows first_row to first_row + band->height - 1 of a plane of one channel and of
// type u8, u16 or u32; bands come in order, and cs_runs_finish after the last one. Runs are in one
// component when they share an edge of a pixel and have one value. Memory above spill_bytes lives
// in scratch_dir (see mem.h). Release also after a failure.
// Fails with CS_EINPUT (other type, more than 2^32 - 2 runs), CS_ENOMEM, CS_EIO.
int cs_runs_add(struct cs_runs *runs, const struct cs_image *band, uint32_t first_row,
                size_t spill_bytes, const char *scratch_dir, struct cs_err *err);
void cs_runs_finish(struct cs_runs *runs);
// Accepts a zeroed struct; leaves a zeroed struct.
void cs_runs_release(struct cs_runs *runs);

// The runs of each group together: group g has the runs order[start[g]] to order[start[g + 1] - 1],
// in raster order. Zero-initialise; release with cs_run_groups_release.
struct cs_run_groups {
    uint32_t *order;
    size_t *start;
    uint32_t count;
    struct cs_big order_block, start_block;
};

// group_of[component] < count.
int cs_run_groups_init(struct cs_run_groups *groups, const struct cs_runs *runs,
                       const uint32_t *group_of, uint32_t count, size_t spill_bytes,
                       const char *scratch_dir, struct cs_err *err);
void cs_run_groups_release(struct cs_run_groups *groups);

// Where the run of equal samples that holds pixel x of a row ends: the row beside itself, shifted
// by a sample, many bytes at a time (little-endian). sample_bytes is 1, 2 or 4; x < width.
static inline uint32_t cs_run_end(const void *row, uint32_t x, uint32_t width, size_t sample_bytes)
{
    const uint8_t *bytes = row;
    size_t at = x * sample_bytes, last = (width - (size_t)1) * sample_bytes;
    for (; at + 32 <= last; at += 32) {
        uint64_t here[4], next[4];
        memcpy(here, bytes + at, 32);
        memcpy(next, bytes + at + sample_bytes, 32);
        if ((here[0] ^ next[0]) | (here[1] ^ next[1]) | (here[2] ^ next[2]) | (here[3] ^ next[3]))
            break;
    }
    for (; at + 8 <= last; at += 8) {
        uint64_t here, next;
        memcpy(&here, bytes + at, 8);
        memcpy(&next, bytes + at + sample_bytes, 8);
        if (here != next)
            return (uint32_t)((at + (size_t)__builtin_ctzll(here ^ next) / 8) / sample_bytes) + 1;
    }
    while (at < last && memcmp(bytes + at, bytes + at + sample_bytes, sample_bytes) == 0)
        at += sample_bytes;
    return (uint32_t)(at / sample_bytes) + 1;
}

// One sample of a plane of type u8, u16 or u32.
static inline uint32_t cs_plane_at(const struct cs_image *plane, size_t index)
{
    switch (plane->dtype) {
    case CS_U8:
        return ((const uint8_t *)plane->data)[index];
    case CS_U16:
        return ((const uint16_t *)plane->data)[index];
    default:
        return ((const uint32_t *)plane->data)[index];
    }
}

#endif
