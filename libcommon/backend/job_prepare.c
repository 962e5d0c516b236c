// SPDX-License-Identifier: MIT
// Pixels to network planes.
//
// CS_PLACE_COPY converts the part of each row that lies in the image and mirrors the rest from it.
//
// CS_PLACE_SCALE is a separable triangle filter of half width max(1, shrink factor) in image
// pixels round the half-pixel centre, its weights renormalised at the border: plain bilinear
// interpolation when enlarging, an antialiased mean when shrinking. Each output row first sums its
// image rows (vertical pass, the only one that touches samples of the image's own type), a block
// of columns at a time in a buffer on the stack, then adds the block's share to the output pixels
// that it reaches (horizontal pass).
#include "backend/job_prepare.h"

#include <assert.h>
#include <math.h>

enum { BLOCK = 2048 };

// sum[i] += weight * (sample i * scale + shift) for `count` pixels of one channel; `line` points to
// the first pixel; from -1 is the mean of all channels.
typedef void add_fn(float *sum, const void *line, int64_t count, int channels, int from,
                    float scale, float shift, float weight);

#define DEFINE_ADD(name, type, real, value)                                                        \
    static void name(float *sum, const void *line, int64_t count, int channels, int from,          \
                     float scale, float shift, float weight)                                       \
    {                                                                                              \
        const type *p = line;                                                                      \
        if (from >= 0) {                                                                           \
            p += from;                                                                             \
            for (int64_t i = 0; i < count; i++) {                                                  \
                type sample = p[i * channels];                                                     \
                sum[i] += weight * (float)((real)(value) * (real)scale + (real)shift);             \
            }                                                                                      \
            return;                                                                                \
        }                                                                                          \
        for (int64_t i = 0; i < count; i++, p += channels) {                                       \
            real total = 0;                                                                        \
            for (int c = 0; c < channels; c++) {                                                   \
                type sample = p[c];                                                                \
                total += (real)(value);                                                            \
            }                                                                                      \
            sum[i] += weight * (float)(total / (real)channels * (real)scale + (real)shift);        \
        }                                                                                          \
    }

DEFINE_ADD(add_u8, uint8_t, float, sample)
DEFINE_ADD(add_u16, uint16_t, float, sample)
DEFINE_ADD(add_u32, uint32_t, double, sample)
DEFINE_ADD(add_u64, uint64_t, double, sample)
DEFINE_ADD(add_i8, int8_t, float, sample)
DEFINE_ADD(add_i16, int16_t, float, sample)
DEFINE_ADD(add_i32, int32_t, double, sample)
DEFINE_ADD(add_i64, int64_t, double, sample)
DEFINE_ADD(add_f16, uint16_t, float, cs_half_to_float(sample))
DEFINE_ADD(add_f32, float, double, sample)
DEFINE_ADD(add_f64, double, double, sample)

static add_fn *const adders[] = {
    [CS_U8] = add_u8,   [CS_U16] = add_u16, [CS_U32] = add_u32, [CS_U64] = add_u64,
    [CS_I8] = add_i8,   [CS_I16] = add_i16, [CS_I32] = add_i32, [CS_I64] = add_i64,
    [CS_F16] = add_f16, [CS_F32] = add_f32, [CS_F64] = add_f64,
};

// What every row needs.
struct source {
    const struct cs_job *job;
    add_fn *add;
    size_t pixel_bytes, row_bytes;
};

static void add_pixels(const struct source *source, float *sum, int64_t x, int64_t y, int64_t count,
                       int c, float weight)
{
    const struct cs_job *job = source->job;
    const char *line =
        (const char *)job->pixels + (size_t)y * source->row_bytes + (size_t)x * source->pixel_bytes;
    source->add(sum, line, count, job->channels, job->from[c], job->scale[c], job->shift[c],
                weight);
}

static float clamp(float value, float low, float high)
{
    return value < low ? low : value > high ? high : value; // NaN stays
}

// Index into 0..size-1 of an unbounded mirror that does not repeat the edge.
static int64_t reflect(int64_t i, int64_t size)
{
    if (size == 1)
        return 0;
    int64_t period = 2 * (size - 1);
    i %= period;
    if (i < 0)
        i += period;
    return i < size ? i : period - i;
}

static void copy_row(const struct source *source, float *dst, int64_t row, int net_width, int c,
                     ptrdiff_t stride_x)
{
    const struct cs_job *job = source->job;
    int64_t y = reflect(row + job->y0, job->height);
    // Columns first..last-1 of the network lie in the image.
    int64_t first = job->x0 < 0 ? -(int64_t)job->x0 : 0;
    int64_t last = (int64_t)job->width - job->x0;
    first = first > net_width ? net_width : first;
    last = last > net_width ? net_width : last < first ? first : last;

    for (int64_t x = first; x < last; x += BLOCK) {
        float block[BLOCK] = {0};
        int64_t count = last - x < BLOCK ? last - x : BLOCK;
        add_pixels(source, block, x + job->x0, y, count, c, 1);
        for (int64_t i = 0; i < count; i++)
            dst[(x + i) * stride_x] = clamp(block[i], job->low, job->high);
    }
    for (int64_t x = 0; x < net_width; x++) {
        if (x == first)
            x = last;
        if (x >= net_width)
            break;
        int64_t from = reflect(x + job->x0, job->width);
        if (from - job->x0 >= first && from - job->x0 < last) {
            dst[x * stride_x] = dst[(from - job->x0) * stride_x];
        } else {
            float value = 0;
            add_pixels(source, &value, from, y, 1, c, 1);
            dst[x * stride_x] = clamp(value, job->low, job->high);
        }
    }
}

// The image pixels first..last-1 under output pixel i, and their weights.
struct taps {
    double centre, radius, total;
    int64_t first, last;
};

static double tap_weight(const struct taps *taps, int64_t k)
{
    double w = 1 - fabs((double)k + 0.5 - taps->centre) / taps->radius;
    return w > 0 ? w : 0;
}

static struct taps taps_at(int64_t i, int64_t size, int64_t image_size)
{
    double shrink = (double)image_size / (double)size;
    struct taps taps = {.centre = ((double)i + 0.5) * shrink, .radius = shrink > 1 ? shrink : 1};
    taps.first = (int64_t)floor(taps.centre - taps.radius + 0.5);
    taps.last = (int64_t)ceil(taps.centre + taps.radius - 0.5) + 1;
    taps.first = taps.first < 0 ? 0 : taps.first;
    taps.last = taps.last > image_size ? image_size : taps.last;
    for (int64_t k = taps.first; k < taps.last; k++)
        taps.total += tap_weight(&taps, k);
    return taps;
}

// Add what the block of image columns x..x+count-1 gives to the row's output pixels; *next is the
// first output pixel that later blocks may still reach.
static void add_block(float *dst, ptrdiff_t stride_x, int net_width, int64_t image_width,
                      const float *block, int64_t x, int64_t count, int *next)
{
    for (int i = *next; i < net_width; i++) {
        struct taps taps = taps_at(i, net_width, image_width);
        if (taps.first >= x + count)
            return;
        if (taps.last <= x + count)
            *next = i + 1;
        int64_t first = taps.first > x ? taps.first : x;
        int64_t last = taps.last < x + count ? taps.last : x + count;
        double sum = 0;
        for (int64_t k = first; k < last; k++) {
            double weight = tap_weight(&taps, k);
            if (weight > 0) // an infinity beside the filter must not become NaN
                sum += weight * (double)block[k - x];
        }
        dst[i * stride_x] += (float)(sum / taps.total);
    }
}

static void scale_row(const struct source *source, float *dst, int64_t row, int net_width,
                      int net_height, int c, ptrdiff_t stride_x)
{
    const struct cs_job *job = source->job;
    struct taps rows = taps_at(row, net_height, job->height);
    for (int x = 0; x < net_width; x++)
        dst[x * stride_x] = 0;
    int next = 0;
    for (int64_t x = 0; x < job->width; x += BLOCK) {
        float block[BLOCK] = {0};
        int64_t count = job->width - x < BLOCK ? job->width - x : BLOCK;
        for (int64_t y = rows.first; y < rows.last; y++) {
            double weight = tap_weight(&rows, y) / rows.total;
            if (weight > 0)
                add_pixels(source, block, x, y, count, c, (float)weight);
        }
        add_block(dst, stride_x, net_width, job->width, block, x, count, &next);
    }
    for (int x = 0; x < net_width; x++)
        dst[x * stride_x] = clamp(dst[x * stride_x], job->low, job->high);
}

void cs_job_prepare(const struct cs_job *job, float *dst, int net_width, int net_height,
                    int net_channels, ptrdiff_t stride_x, ptrdiff_t stride_y, ptrdiff_t stride_c)
{
    assert(net_channels <= CS_JOB_MAX_CHANNELS && job->width && job->height);
    size_t pixel_bytes = cs_dtype_bytes(job->dtype) * job->channels;
    struct source source = {job, adders[job->dtype], pixel_bytes, pixel_bytes * job->width};

#pragma omp parallel for schedule(static)
    for (int y = 0; y < net_height; y++) {
        for (int c = 0; c < net_channels; c++) {
            float *line = dst + y * stride_y + c * stride_c;
            if (job->placement == CS_PLACE_COPY)
                copy_row(&source, line, y, net_width, c, stride_x);
            else
                scale_row(&source, line, y, net_width, net_height, c, stride_x);
        }
    }
}
