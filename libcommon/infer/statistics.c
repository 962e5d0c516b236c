// SPDX-License-Identifier: MIT
// Floats: bits are mapped to unsigned keys in sorting order (sign flip); a histogram of the upper
// 16 bits finds the bucket of a rank, one more pass over that bucket's lower 16 bits the sample
// itself: exact selection in linear time without moving the samples.
// Moments take two passes, in double, in raster order: the same bits however many threads run.
#include "infer/statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { KEY_BINS = 1 << 16 };

static uint32_t key_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static float value_of(uint32_t key)
{
    uint32_t bits = key & 0x80000000u ? key & 0x7fffffffu : ~key;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// Equal samples lie side by side in pictures, and a counter that was just written is slow to read:
// neighbours count in tables of their own.
static void count_bytes(uint64_t *bins, const uint8_t *p, size_t pixels, size_t step)
{
    enum { TABLES = 4, PART = 1 << 30 };
    while (pixels) {
        uint32_t tables[TABLES][256] = {{0}};
        size_t part = pixels < PART ? pixels : PART, i = 0;
        for (; i + TABLES <= part; i += TABLES, p += TABLES * step)
            for (size_t t = 0; t < TABLES; t++)
                tables[t][p[t * step]]++;
        for (; i < part; i++, p += step)
            tables[0][*p]++;
        for (int v = 0; v < 256; v++)
            for (int t = 0; t < TABLES; t++)
                bins[v] += tables[t][v];
        pixels -= part;
    }
}

#define COUNT_SUMS(type)                                                                           \
    for (const type *p = from, *end = p + pixels * step; p < end; p += step) {                     \
        uint32_t sum = 0;                                                                          \
        for (size_t c = 0; c < step; c++)                                                          \
            sum += p[c];                                                                           \
        s->bins[sum]++;                                                                            \
    }

// Histogram of one image channel, or of the sum of all channels (channel < 0), of some pixels.
static void count_part(struct cs_statistics *s, const struct cs_job *job, int channel,
                       const void *from, size_t pixels)
{
    size_t step = job->channels;
    if (channel < 0 && job->dtype == CS_U8) {
        COUNT_SUMS(uint8_t)
    } else if (channel < 0) {
        COUNT_SUMS(uint16_t)
    } else if (job->dtype == CS_U8) {
        count_bytes(s->bins, (const uint8_t *)from + channel, pixels, step);
    } else {
        const uint16_t *p = (const uint16_t *)from + channel;
        for (size_t i = 0; i < pixels; i++)
            s->bins[p[i * step]]++;
    }
}

static void count_integers(struct cs_statistics *s, const struct cs_job *job, int channel)
{
    enum { PART = 1 << 24 }; // pixels between two looks at the pages
    size_t total = (size_t)job->width * job->height;
    size_t pixel = job->channels * cs_dtype_bytes(job->dtype);
    for (size_t first = 0; first < total; first += PART) {
        size_t pixels = total - first < PART ? total - first : PART;
        count_part(s, job, channel, (const char *)job->pixels + first * pixel, pixels);
        if (job->paged)
            cs_shared_forget((void *)(uintptr_t)job->pixels, first * pixel,
                             (first + pixels) * pixel);
    }
}

// The samples of a channel (or their means) to `out`; how many are not finite.
static size_t gather_floats(const struct cs_job *job, int channel, float *out)
{
    size_t pixels = (size_t)job->width * job->height, step = job->channels, bad = 0;
    const float *p = job->pixels;
    for (size_t i = 0; i < pixels; i++) {
        float value;
        if (channel >= 0) {
            value = p[i * step + (size_t)channel];
        } else {
            double sum = 0;
            for (size_t c = 0; c < step; c++)
                sum += (double)p[i * step + c];
            value = (float)(sum / (double)step);
        }
        bad += !isfinite(value);
        out[i] = value;
    }
    return bad;
}

static int init_floats(struct cs_statistics *s, const struct cs_job *job, const int16_t *sources,
                       int count, struct cs_err *err)
{
    size_t pixels = (size_t)job->width * job->height, bad = 0;
    s->value_count = pixels * (size_t)count;
    s->owned = cs_alloc(s->value_count, sizeof(float), "statistics", err);
    s->bins = cs_alloc(KEY_BINS, sizeof *s->bins, "statistics", err);
    if (!s->owned || !s->bins)
        return -1;
    s->values = s->owned;
    s->bin_count = KEY_BINS;
    for (int i = 0; i < count; i++)
        bad += gather_floats(job, sources[i], s->owned + (size_t)i * pixels);
    if (bad)
        return cs_fail(err, CS_EINPUT, "%zu samples are not finite (NaN or infinite)", bad);
    for (size_t i = 0; i < s->value_count; i++)
        s->bins[key_of(s->values[i]) >> 16]++;
    return 0;
}

static int init_integers(struct cs_statistics *s, const struct cs_job *job, const int16_t *sources,
                         int count, struct cs_err *err)
{
    size_t levels = job->dtype == CS_U8 ? 255 : 65535;
    s->divisor = sources[0] < 0 ? job->channels : 1;
    s->bin_count = levels * (size_t)s->divisor + 1;
    s->bins = cs_alloc(s->bin_count, sizeof *s->bins, "statistics", err);
    if (!s->bins)
        return -1;
    for (int i = 0; i < count; i++)
        count_integers(s, job, sources[i]);
    return 0;
}

int cs_statistics_init(struct cs_statistics *s, const struct cs_job *job, int first, int count,
                       struct cs_err *err)
{
    *s = (struct cs_statistics){.repeat = 1, .divisor = 1};
    // Either every network channel reads its own image channel, or all read the same.
    int16_t sources[CS_JOB_MAX_CHANNELS];
    int distinct = 0;
    for (int c = first; c < first + count; c++) {
        bool known = false;
        for (int i = 0; i < distinct; i++)
            known |= sources[i] == job->from[c];
        if (!known)
            sources[distinct++] = job->from[c];
    }
    s->repeat = distinct == 1 ? (uint64_t)count : 1;
    s->total = (uint64_t)job->width * job->height * (uint64_t)distinct * s->repeat;
    int result = job->dtype == CS_F32 ? init_floats(s, job, sources, distinct, err)
                                      : init_integers(s, job, sources, distinct, err);
    if (result != 0)
        cs_statistics_release(s);
    return result;
}

void cs_statistics_release(struct cs_statistics *s)
{
    free(s->bins);
    free(s->owned);
    *s = (struct cs_statistics){0};
}

// The sample of a rank among the stored ones.
static double at_rank(const struct cs_statistics *s, uint64_t rank)
{
    size_t bin = 0;
    uint64_t below = 0;
    while (below + s->bins[bin] <= rank)
        below += s->bins[bin++];
    if (!s->values)
        return (double)bin / s->divisor;
    uint64_t *low = cs_xcalloc(KEY_BINS, sizeof *low);
    for (size_t i = 0; i < s->value_count; i++) {
        uint32_t key = key_of(s->values[i]);
        if (key >> 16 == bin)
            low[key & 0xffff]++;
    }
    size_t lower = 0;
    while (below + low[lower] <= rank)
        below += low[lower++];
    free(low);
    return (double)value_of((uint32_t)(bin << 16 | lower));
}

double cs_statistics_percentile(const struct cs_statistics *s, double percentile)
{
    double position = percentile / 100 * (double)(s->total - 1);
    uint64_t rank = (uint64_t)position;
    double t = position - (double)rank;
    double a = at_rank(s, rank / s->repeat);
    if (t == 0 || rank + 1 >= s->total)
        return a;
    double b = (rank + 1) / s->repeat == rank / s->repeat ? a : at_rank(s, (rank + 1) / s->repeat);
    return t < 0.5 ? a + (b - a) * t : b - (b - a) * (1 - t);
}

void cs_statistics_moments(const struct cs_statistics *s, double *mean, double *std)
{
    double sum = 0, squares = 0, n = (double)(s->total / s->repeat);
    if (s->values) {
        for (size_t i = 0; i < s->value_count; i++)
            sum += (double)s->values[i];
    } else {
        for (size_t i = 0; i < s->bin_count; i++)
            sum += (double)i / s->divisor * (double)s->bins[i];
    }
    *mean = sum / n;
    if (s->values) {
        for (size_t i = 0; i < s->value_count; i++) {
            double d = (double)s->values[i] - *mean;
            squares += d * d;
        }
    } else {
        for (size_t i = 0; i < s->bin_count; i++) {
            double d = (double)i / s->divisor - *mean;
            squares += d * d * (double)s->bins[i];
        }
    }
    *std = sqrt(squares / n);
}
