// SPDX-License-Identifier: MIT
// Pixels to network planes as Pillow and torchvision do it, bit for bit: 8-bit samples, resized by
// Pillow's BILINEAR filter, divided by 255, less the mean, over the standard deviation.
//
// The filter is a triangle of half width max(1, shrink factor) in image pixels round the half-pixel
// centre. Its weights are made in double, sum to 1, and are then rounded to whole multiples of
// 2^-22; columns are resized first, rows second, and each pass ends in 8 bits. That is Pillow's
// Image.resize from 3.3 to 12.3, which the hub pins; 13.0 resizes rows first where the height
// shrinks much more than the width, so that samples differ by a step of rounding. (12.3 does for
// images over 100 times as high as wide, which this leaves out.) From the weights on it is integer
// arithmetic: the order of the sums does not matter.
//
// A thread makes its output rows a block of columns at a time. The image rows under an output row,
// resized across, are kept in a ring, since the next output row needs most of them again. A filter
// longer than the ring has its rows made anew each time; one with more weights than a block holds
// has them worked out at each use. Everything lies on the stack.
#include "backend/job_pillow.h"

#include <assert.h>
#include <math.h>
#include <omp.h>

#include "backend/job_area.h"

enum {
    COLUMNS = 256,  // output columns at once
    WEIGHTS = 4096, // of them together
    RING = 32,      // image rows
    WEIGHT_BITS = 22,
};

// The image pixels first .. first+count-1 under an output pixel.
struct taps {
    int64_t first, count;
    double centre, step, total;
};

static double triangle(const struct taps *taps, int64_t k)
{
    double at = fabs(((double)(taps->first + k) - taps->centre + 0.5) * taps->step);
    return at < 1 ? 1 - at : 0;
}

static uint32_t tap_weight(const struct taps *taps, int64_t k)
{
    return (uint32_t)(0.5 + triangle(taps, k) / taps->total * (1 << WEIGHT_BITS));
}

static struct taps taps_at(int64_t i, int64_t size, int64_t image_size)
{
    double scale = (double)image_size / (double)size, radius = scale > 1 ? scale : 1;
    struct taps taps = {.centre = ((double)i + 0.5) * scale, .step = 1 / radius};
    int64_t last = (int64_t)(taps.centre + radius + 0.5);
    taps.first = taps.centre - radius + 0.5 > 0 ? (int64_t)(taps.centre - radius + 0.5) : 0;
    taps.count = (last < image_size ? last : image_size) - taps.first;
    for (int64_t k = 0; k < taps.count; k++)
        taps.total += triangle(&taps, k);
    return taps;
}

static uint8_t round_sum(uint32_t sum)
{
    uint32_t value = (sum + (1U << (WEIGHT_BITS - 1))) >> WEIGHT_BITS;
    return value < 255 ? (uint8_t)value : 255; // rounded weights may sum to more than 1
}

// ---- Columns -----------------------------------------------------------------------------

struct block {
    int64_t first, count; // output columns
    bool stored;          // weights: else they are worked out
    struct taps taps[COLUMNS];
    const uint32_t *weight[COLUMNS];
    uint32_t weights[WEIGHTS];
};

static void make_block(struct block *block, int64_t first, int64_t net_width, int64_t image_width)
{
    int64_t used = 0;
    block->first = first;
    block->count = 0;
    block->stored = true;
    for (int64_t i = first; i < net_width && block->count < COLUMNS; i++) {
        struct taps taps = taps_at(i, net_width, image_width);
        if (taps.count > WEIGHTS - used) {
            if (block->count > 0)
                return;
            block->stored = false;
        }
        block->taps[block->count] = taps;
        block->weight[block->count++] = block->weights + used;
        if (!block->stored)
            return;
        for (int64_t k = 0; k < taps.count; k++)
            block->weights[used++] = tap_weight(&taps, k);
    }
}

// Samples as Image.convert('RGB') makes them: those of one channel clipped, those of colour with
// their upper byte kept, since that is how Pillow opens 16 bits of colour.
static uint32_t byte_of_u8(uint8_t sample)
{
    return sample;
}

static uint32_t byte_of_u16(uint16_t sample)
{
    return sample < 255 ? sample : 255;
}

static uint32_t upper_byte(uint16_t sample)
{
    return sample >> 8;
}

static uint32_t byte_of_f32(float sample)
{
    return sample > 0 ? (sample < 255 ? (uint32_t)sample : 255) : 0; // NaN becomes 0
}

// out[i] = column i of the block, of one image row that starts at `line`.
#define DEFINE_ROW(name, type, byte_of)                                                            \
    static void name(const struct block *block, const void *line, int channels, uint8_t *out)      \
    {                                                                                              \
        for (int64_t i = 0; i < block->count; i++) {                                               \
            const struct taps *taps = &block->taps[i];                                             \
            const type *p = (const type *)line + taps->first * channels;                           \
            const uint32_t *weight = block->weight[i];                                             \
            uint32_t sum = 0;                                                                      \
            for (int64_t k = 0; k < taps->count; k++)                                              \
                sum +=                                                                             \
                    byte_of(p[k * channels]) * (block->stored ? weight[k] : tap_weight(taps, k));  \
            out[i] = round_sum(sum);                                                               \
        }                                                                                          \
    }

DEFINE_ROW(row_u8, uint8_t, byte_of_u8)
DEFINE_ROW(row_u16, uint16_t, byte_of_u16)
DEFINE_ROW(row_u16_colour, uint16_t, upper_byte)
DEFINE_ROW(row_f32, float, byte_of_f32)

typedef void row_fn(const struct block *block, const void *line, int channels, uint8_t *out);

static row_fn *row_of(const struct cs_job *job)
{
    assert(job->dtype == CS_U8 || job->dtype == CS_U16 || job->dtype == CS_F32);
    return job->dtype == CS_U8    ? row_u8
           : job->dtype == CS_F32 ? row_f32
           : job->channels == 1   ? row_u16
                                  : row_u16_colour;
}

// ---- Rows --------------------------------------------------------------------------------

// Image rows resized to the block's columns; row y lies in place y % RING.
struct ring {
    const struct cs_job *job;
    const struct block *block;
    row_fn *make;
    int from; // channel
    int64_t held[RING];
    uint8_t rows[RING][COLUMNS];
};

static void ring_init(struct ring *ring, int from)
{
    ring->from = from;
    for (int i = 0; i < RING; i++)
        ring->held[i] = -1;
}

static const uint8_t *ring_row(struct ring *ring, int64_t y)
{
    const struct cs_job *job = ring->job;
    uint8_t *row = ring->rows[y % RING];
    if (ring->held[y % RING] != y) {
        size_t sample = cs_dtype_bytes(job->dtype);
        size_t first = (size_t)y * job->width * job->channels + (size_t)ring->from;
        ring->make(ring->block, (const char *)job->pixels + first * sample, job->channels, row);
        ring->held[y % RING] = y;
    }
    return row;
}

// bytes[i]: output row `row` of the block's columns.
static void make_row(struct ring *ring, int64_t row, int net_height, uint8_t bytes[COLUMNS])
{
    uint32_t sum[COLUMNS] = {0};
    struct taps taps = taps_at(row, net_height, ring->job->height);
    for (int64_t k = 0; k < taps.count; k++) {
        uint32_t weight = tap_weight(&taps, k);
        const uint8_t *from = ring_row(ring, taps.first + k);
        for (int i = 0; i < COLUMNS; i++)
            sum[i] += weight * from[i];
    }
    for (int64_t i = 0; i < ring->block->count; i++)
        bytes[i] = round_sum(sum[i]);
}

struct plane {
    float *data;
    int width, height, channels;
    ptrdiff_t stride_x, stride_y, stride_c;
};

static void normalise_row(const struct cs_job *job, const struct plane *plane, int c,
                          const struct block *block, int64_t row, const uint8_t *bytes)
{
    float *dst =
        plane->data + block->first * plane->stride_x + row * plane->stride_y + c * plane->stride_c;
    for (int64_t i = 0; i < block->count; i++)
        dst[i * plane->stride_x] = ((float)bytes[i] / 255.0F - job->shift[c]) / job->scale[c];
}

static void resize_rows(const struct cs_job *job, const struct plane *plane, int first, int last)
{
    struct block block;
    struct ring ring = {.job = job, .block = &block, .make = row_of(job)};
    size_t row_bytes = (size_t)job->width * job->channels * cs_dtype_bytes(job->dtype);
    for (int64_t x = 0; x < plane->width; x += block.count) {
        make_block(&block, x, plane->width, job->width);
        for (int c = 0; c < plane->channels; c++) {
            bool done = false; // one of the channels before reads the same
            for (int before = 0; before < c; before++)
                done = done || job->from[before] == job->from[c];
            if (done)
                continue;
            ring_init(&ring, job->from[c]);
            int64_t held = taps_at(first, plane->height, job->height).first;
            for (int y = first; y < last; y++) {
                uint8_t bytes[COLUMNS];
                make_row(&ring, y, plane->height, bytes);
                for (int same = c; same < plane->channels; same++)
                    if (job->from[same] == job->from[c])
                        normalise_row(job, plane, same, &block, y, bytes);
                if (job->paged)
                    cs_job_forget_rows(job->pixels, row_bytes, &held,
                                       taps_at(y + 1, plane->height, job->height).first);
            }
        }
    }
}

void cs_job_pillow(const struct cs_job *job, float *dst, int net_width, int net_height,
                   int net_channels, ptrdiff_t stride_x, ptrdiff_t stride_y, ptrdiff_t stride_c)
{
    const struct plane plane = {dst,      net_width, net_height, net_channels,
                                stride_x, stride_y,  stride_c};
#pragma omp parallel
    {
        int threads = omp_get_num_threads(), thread = omp_get_thread_num();
        resize_rows(job, &plane, (int)((int64_t)net_height * thread / threads),
                    (int)((int64_t)net_height * (thread + 1) / threads));
    }
}
