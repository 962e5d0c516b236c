// SPDX-License-Identifier: MIT
// Pixels to network planes.
//
// CS_PLACE_COPY converts the part of each row that lies in the image and mirrors the rest from it.
//
// CS_PLACE_SCALE is a separable triangle filter of half width max(1, shrink factor) in image
// pixels round the half-pixel centre, its weights renormalised at the border: plain bilinear
// interpolation when enlarging, an antialiased mean when shrinking. Output columns are done a block
// at a time, for which the filter's weights are worked out once: each output row sums its image
// rows over the columns that the block needs (vertical pass, the only one that touches samples of
// the image's own type), then its pixels from that sum (horizontal pass). Everything lies on the
// stack. A block that a single pixel's filter does not fit is cut: its sums are added up. No value
// depends on where blocks begin, so that a tile of a plane has the bits of the whole plane.
#include "backend/job_prepare.h"

#include <assert.h>
#include <math.h>
#include <omp.h>

#include "backend/job_area.h"
#include "backend/job_pillow.h"

enum {
    BLOCK = 2048,  // image columns at once
    OUTPUTS = 512, // output columns at once
    WEIGHTS = 4096,
};

// sum[i] += weight * (sample i * scale + shift) for `count` pixels of one channel; `line` points to
// the first pixel; from -1 is the mean of all channels.
typedef void add_fn(float *sum, const void *line, int64_t count, int channels, int from,
                    float scale, float shift, float weight);

#define SIMD   _Pragma("omp simd")
#define SCALAR // binary16 is taken apart with branches
#define DEFINE_ADD(name, type, real, value, simd)                                                  \
    static void name(float *sum, const void *line, int64_t count, int channels, int from,          \
                     float scale, float shift, float weight)                                       \
    {                                                                                              \
        const type *p = line;                                                                      \
        if (from >= 0) {                                                                           \
            p += from;                                                                             \
            simd for (int64_t i = 0; i < count; i++)                                               \
            {                                                                                      \
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

DEFINE_ADD(add_u8, uint8_t, float, sample, SIMD)
DEFINE_ADD(add_u16, uint16_t, float, sample, SIMD)
DEFINE_ADD(add_u32, uint32_t, double, sample, SIMD)
DEFINE_ADD(add_u64, uint64_t, double, sample, SIMD)
DEFINE_ADD(add_i8, int8_t, float, sample, SIMD)
DEFINE_ADD(add_i16, int16_t, float, sample, SIMD)
DEFINE_ADD(add_i32, int32_t, double, sample, SIMD)
DEFINE_ADD(add_i64, int64_t, double, sample, SIMD)
DEFINE_ADD(add_f16, uint16_t, float, cs_half_to_float(sample), SCALAR)
DEFINE_ADD(add_f32, float, double, sample, SIMD)
DEFINE_ADD(add_f64, double, double, sample, SIMD)

static add_fn *const adders[] = {
    [CS_U8] = add_u8,   [CS_U16] = add_u16, [CS_U32] = add_u32, [CS_U64] = add_u64,
    [CS_I8] = add_i8,   [CS_I16] = add_i16, [CS_I32] = add_i32, [CS_I64] = add_i64,
    [CS_F16] = add_f16, [CS_F32] = add_f32, [CS_F64] = add_f64,
};

struct plane {
    float *data;
    int width, height, channels;
    ptrdiff_t stride_x, stride_y, stride_c;
};

static float *line_of(const struct plane *plane, int y, int c)
{
    return plane->data + y * plane->stride_y + c * plane->stride_c;
}

// What every row needs.
struct source {
    const struct cs_job *job;
    struct cs_job_area on; // cs_job_scaled
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

static void copy_rows(const struct source *source, const struct plane *plane, int first, int last)
{
    const struct cs_job *job = source->job;
    int64_t held = job->y0 + first < 0 ? 0 : (int64_t)job->y0 + first;
    for (int y = first; y < last; y++) {
        for (int c = 0; c < plane->channels; c++)
            copy_row(source, line_of(plane, y, c), y, plane->width, c, plane->stride_x);
        int64_t next = (int64_t)job->y0 + y + 1;
        if (job->paged)
            cs_job_forget_rows(job->pixels, source->row_bytes, &held,
                               next < job->height ? next : job->height);
    }
}

static double tap_weight(const struct cs_job_filter *taps, int64_t k)
{
    double w = 1 - fabs((double)k + 0.5 - taps->centre) / taps->radius;
    return w > 0 ? w : 0;
}

static double total_weight(const struct cs_job_filter *taps)
{
    double total = 0;
    for (int64_t k = taps->first; k < taps->last; k++)
        total += tap_weight(taps, k);
    return total;
}

// Columns first..first+count-1 of the plane, which read image columns from..to-1; column k of
// output i weighs weight[start[i] + k - low[i]].
struct block {
    int64_t first, count, from, to;
    int64_t low[OUTPUTS], high[OUTPUTS];
    int start[OUTPUTS + 1];
    float weight[WEIGHTS];
};

// The next block from column `first` of the plane on, which ends at `end`, reading image columns
// from `from` on; a column whose filter is longer than a block is cut there.
static void make_block(struct block *block, int64_t first, int64_t end, int64_t from,
                       int64_t plane_width, int64_t image_width)
{
    *block = (struct block){.first = first, .from = from, .to = from};
    for (int64_t i = first; i < end && block->count < OUTPUTS; i++) {
        struct cs_job_filter taps = cs_job_filter_at(i, plane_width, image_width);
        double total = total_weight(&taps);
        int64_t n = block->count, low = taps.first > from ? taps.first : from, high = taps.last;
        if (n == 0)
            block->from = low;
        bool fits = high - block->from <= BLOCK && high - low <= WEIGHTS - block->start[n];
        if (!fits && n > 0)
            return;
        if (!fits)
            high = low + BLOCK < high ? low + BLOCK : high;
        block->low[n] = low;
        block->high[n] = high;
        for (int64_t k = low; k < high; k++)
            block->weight[block->start[n] + k - low] = (float)(tap_weight(&taps, k) / total);
        block->start[n + 1] = block->start[n] + (int)(high - low);
        block->to = high > block->to ? high : block->to;
        block->count++;
        if (high < taps.last || low > taps.first) // a piece of a column stays alone
            return;
    }
}

// The filter over the image's rows of row y of the network.
static struct cs_job_filter rows_at(const struct source *source, int y)
{
    return cs_job_filter_at((int64_t)source->on.y + y, source->on.height, source->job->height);
}

static void scale_block(const struct source *source, const struct block *block, float *dst, int row,
                        int c, ptrdiff_t stride_x)
{
    float line[BLOCK] = {0};
    struct cs_job_filter rows = rows_at(source, row);
    double total = total_weight(&rows);
    for (int64_t y = rows.first; y < rows.last; y++) {
        double weight = tap_weight(&rows, y) / total;
        if (weight > 0)
            add_pixels(source, line, block->from, y, block->to - block->from, c, (float)weight);
    }
    for (int64_t i = 0; i < block->count; i++) {
        const float *weight = block->weight + block->start[i];
        const float *from = line + (block->low[i] - block->from);
        double sum = 0;
        for (int64_t k = 0; k < block->high[i] - block->low[i]; k++)
            if (weight[k] > 0) // an infinity beside the filter must not become NaN
                sum += (double)weight[k] * (double)from[k];
        dst[(block->first - source->on.x + i) * stride_x] += (float)sum;
    }
}

// Rows first..last-1 of all planes.
static void scale_rows(const struct source *source, const struct plane *plane, int first, int last)
{
    const struct cs_job *job = source->job;
    int64_t begin = source->on.x, end = begin + plane->width;
    struct block block;
    for (int y = first; y < last; y++)
        for (int c = 0; c < plane->channels; c++)
            for (int x = 0; x < plane->width; x++)
                line_of(plane, y, c)[x * plane->stride_x] = 0;
    for (int64_t x = begin, from = 0; x < end;) {
        make_block(&block, x, end, from, source->on.width, job->width);
        int64_t held = rows_at(source, first).first;
        for (int y = first; y < last; y++) {
            for (int c = 0; c < plane->channels; c++)
                scale_block(source, &block, line_of(plane, y, c), y, c, plane->stride_x);
            if (job->paged)
                cs_job_forget_rows(job->pixels, source->row_bytes, &held,
                                   rows_at(source, y + 1).first);
        }
        // The last column again where its filter was cut.
        int64_t next = x + block.count;
        bool cut = block.to < cs_job_filter_at(next - 1, source->on.width, job->width).last;
        x = cut ? next - 1 : next;
        from = cut ? block.to : 0;
    }
    for (int y = first; y < last; y++)
        for (int c = 0; c < plane->channels; c++)
            for (int x = 0; x < plane->width; x++) {
                float *value = &line_of(plane, y, c)[x * plane->stride_x];
                *value = clamp(*value, job->low, job->high);
            }
}

void cs_job_prepare(const struct cs_job *job, float *dst, int net_width, int net_height,
                    int net_channels, ptrdiff_t stride_x, ptrdiff_t stride_y, ptrdiff_t stride_c)
{
    assert(net_channels <= CS_JOB_MAX_CHANNELS && job->width && job->height);
    if (job->placement == CS_PLACE_PILLOW) {
        cs_job_pillow(job, dst, net_width, net_height, net_channels, stride_x, stride_y, stride_c);
        return;
    }
    size_t pixel_bytes = cs_dtype_bytes(job->dtype) * job->channels;
    struct source source = {job, cs_job_scaled(job, net_width, net_height), adders[job->dtype],
                            pixel_bytes, pixel_bytes * job->width};
    const struct plane plane = {dst,      net_width, net_height, net_channels,
                                stride_x, stride_y,  stride_c};
    struct cs_job same = *job;
    if (job->placement == CS_PLACE_SCALE && job->width == source.on.width &&
        job->height == source.on.height) { // the filter is then one pixel
        same.placement = CS_PLACE_COPY;
        same.x0 = (int32_t)source.on.x;
        same.y0 = (int32_t)source.on.y;
        source.job = &same;
    }

#pragma omp parallel
    {
        int threads = omp_get_num_threads(), thread = omp_get_thread_num();
        int first = (int)((int64_t)net_height * thread / threads);
        int last = (int)((int64_t)net_height * (thread + 1) / threads);
        if (source.job->placement == CS_PLACE_SCALE)
            scale_rows(&source, &plane, first, last);
        else
            copy_rows(&source, &plane, first, last);
    }
}
