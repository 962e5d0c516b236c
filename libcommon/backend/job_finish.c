// SPDX-License-Identifier: MIT
// Network planes to maps.
//
// A row of the map is made a block of columns and one channel at a time: activated values of the
// network rows it needs (one for CS_PLACE_COPY, two where it is resized) go to a buffer on the
// stack, are interpolated there and quantised into the map.
#include "backend/job_finish.h"

#include <assert.h>
#include <math.h>

#include "backend/vecmath.h"

enum { BLOCK = 1024 };

struct plane {
    const float *data;
    int width, height, channels;
    ptrdiff_t stride_x, stride_y, stride_c;
    enum cs_activation activation; // CS_ACT_LOGITS is decided
};

static bool is_finite(float value)
{
    return (cs_bits_of_float(value) & 0x7f800000u) != 0x7f800000u;
}

// out[i] = channel c after the activation, columns x..x+count-1 of row y.
static void activate(const struct plane *plane, int64_t x, int64_t y, int64_t count, int c,
                     float *out)
{
    const float *p = plane->data + x * plane->stride_x + y * plane->stride_y;
    const float *value = p + c * plane->stride_c;
    ptrdiff_t step = plane->stride_x;
    if (plane->activation == CS_ACT_NONE) {
        for (int64_t i = 0; i < count; i++)
            out[i] = value[i * step];
        return;
    }
    if (plane->activation == CS_ACT_SIGMOID) {
        for (int64_t i = 0; i < count; i++)
            out[i] = cs_sigmoidf(value[i * step]);
        return;
    }
    // softmax of c: 1 / sum over k of e^(v[k] - v[c]); an overflow to infinity gives 0.
    for (int64_t i = 0; i < count; i++)
        out[i] = 0;
    for (int k = 0; k < plane->channels; k++) {
        const float *other = p + k * plane->stride_c;
        for (int64_t i = 0; i < count; i++)
            out[i] += cs_expf(other[i * step] - value[i * step]);
    }
    for (int64_t i = 0; i < count; i++)
        out[i] = 1.0f / out[i];
}

static float unit(float p)
{
    return p > 0 ? (p < 1 ? p : 1) : 0; // NaN becomes 0
}

static void quantise(const struct cs_job *job, const float *values, int64_t count, int64_t x,
                     int64_t y, int channel)
{
    size_t first = ((size_t)y * job->out_width + (size_t)x) * job->out_channels + (size_t)channel;
    size_t step = job->out_channels;
    if (job->out_dtype == CS_U8) {
        uint8_t *out = (uint8_t *)job->out + first;
        for (int64_t i = 0; i < count; i++)
            out[(size_t)i * step] = (uint8_t)cs_round_even(unit(values[i]) * 255);
    } else if (job->out_dtype == CS_U16) {
        uint16_t *out = (uint16_t *)job->out + first;
        for (int64_t i = 0; i < count; i++)
            out[(size_t)i * step] = (uint16_t)cs_round_even(unit(values[i]) * 65535);
    } else {
        float *out = (float *)job->out + first;
        for (int64_t i = 0; i < count; i++)
            out[(size_t)i * step] = values[i];
    }
}

static void copy_row(const struct cs_job *job, const struct plane *plane, int64_t y)
{
    float values[BLOCK];
    int64_t end = (int64_t)job->part_x + job->part_width;
    for (int c = 0; c < job->out_channels; c++) {
        for (int64_t x = job->part_x; x < end; x += BLOCK) {
            int64_t count = end - x < BLOCK ? end - x : BLOCK;
            activate(plane, x - job->x0, y - job->y0, count, job->out_from[c], values);
            quantise(job, values, count, x, y, c);
        }
    }
}

// Linear interpolation at output pixel i: low + part * (high - low).
struct blend {
    int64_t low, high;
    float part;
};

// ratio: net_size / output size
static struct blend blend_at(int64_t i, double ratio, int64_t net_size)
{
    double at = ((double)i + 0.5) * ratio - 0.5;
    at = at < 0 ? 0 : at > (double)(net_size - 1) ? (double)(net_size - 1) : at;
    struct blend blend = {.low = (int64_t)at};
    blend.high = blend.low + 1 < net_size ? blend.low + 1 : blend.low;
    blend.part = (float)(at - (double)blend.low);
    return blend;
}

// How many output pixels from x on read at most BLOCK network columns.
static int64_t block_length(const struct cs_job *job, const struct plane *plane, int64_t x)
{
    int64_t left = (int64_t)job->out_width - x;
    double reach = (double)(BLOCK - 3) * job->out_width / plane->width;
    int64_t most = reach < 1 ? 1 : reach < BLOCK ? (int64_t)reach : BLOCK;
    return left < most ? left : most;
}

static void scale_row(const struct cs_job *job, const struct plane *plane, int64_t y)
{
    float low[BLOCK], high[BLOCK], values[BLOCK];
    double ratio = (double)plane->width / job->out_width;
    struct blend rows = blend_at(y, (double)plane->height / job->out_height, plane->height);
    for (int c = 0; c < job->out_channels; c++) {
        for (int64_t x = 0, count; x < job->out_width; x += count) {
            count = block_length(job, plane, x);
            int64_t first = blend_at(x, ratio, plane->width).low;
            int64_t last = blend_at(x + count - 1, ratio, plane->width).high;
            int64_t columns = last - first + 1;
            assert(columns <= BLOCK);
            activate(plane, first, rows.low, columns, job->out_from[c], low);
            activate(plane, first, rows.high, columns, job->out_from[c], high);
            for (int64_t i = 0; i < columns; i++)
                low[i] = low[i] + rows.part * (high[i] - low[i]);
            for (int64_t i = 0; i < count; i++) {
                struct blend at = blend_at(x + i, ratio, plane->width);
                float a = low[at.low - first], b = low[at.high - first];
                values[i] = a + at.part * (b - a);
            }
            quantise(job, values, count, x, y, c);
        }
    }
}

static uint64_t count_nonfinite(const struct cs_job *job, const struct plane *plane, int64_t x,
                                int64_t y, int64_t count)
{
    int64_t total = 0;
    for (int c = 0; c < job->out_channels; c++) {
        const float *p = plane->data + x * plane->stride_x + y * plane->stride_y +
                         job->out_from[c] * plane->stride_c;
        for (int64_t i = 0; i < count; i++)
            total += !is_finite(p[i * plane->stride_x]);
    }
    return (uint64_t)total;
}

// Whether some value of the plane can be no probability.
static bool has_logits(const struct plane *plane)
{
    int64_t outside = 0;
#pragma omp parallel for schedule(static) reduction(+ : outside)
    for (int64_t y = 0; y < plane->height; y++)
        for (int c = 0; c < plane->channels; c++) {
            const float *p = plane->data + y * plane->stride_y + c * plane->stride_c;
            for (int64_t x = 0; x < plane->width; x++)
                outside += p[x * plane->stride_x] < 0 || p[x * plane->stride_x] > 1;
        }
    return outside > 0;
}

void cs_job_finish(struct cs_job *job, const float *src, int net_width, int net_height,
                   int net_channels, ptrdiff_t stride_x, ptrdiff_t stride_y, ptrdiff_t stride_c)
{
    struct plane plane = {src,      net_width, net_height, net_channels,
                          stride_x, stride_y,  stride_c,   job->activation};
    int64_t first = job->part_y, last = (int64_t)job->part_y + job->part_height;
    uint64_t nonfinite = 0;

    if (plane.activation == CS_ACT_LOGITS)
        plane.activation = has_logits(&plane) ? CS_ACT_SIGMOID : CS_ACT_NONE;
    if (job->placement == CS_PLACE_COPY) {
#pragma omp parallel for schedule(static) reduction(+ : nonfinite)
        for (int64_t y = first; y < last; y++) {
            nonfinite += count_nonfinite(job, &plane, (int64_t)job->part_x - job->x0, y - job->y0,
                                         job->part_width);
            copy_row(job, &plane, y);
        }
    } else {
        assert(job->part_width == job->out_width && job->part_height == job->out_height);
#pragma omp parallel for schedule(static) reduction(+ : nonfinite)
        for (int64_t y = 0; y < net_height; y++)
            nonfinite += count_nonfinite(job, &plane, 0, y, net_width);
#pragma omp parallel for schedule(static)
        for (int64_t y = first; y < last; y++)
            scale_row(job, &plane, y);
    }
    job->nonfinite = nonfinite;
}
