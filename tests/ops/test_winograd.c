// SPDX-License-Identifier: MIT
// The Winograd convolution alone against direct sums in double: every remainder of tiles, channels
// around the widths of registers and panels, pads, batches, activations, several sources, maps on
// the way in, statistics on the way out, both drivers and instruction sets. Results are the same
// bytes for any number of threads, any blocks and batch.
//
// Bound: relative L2 error 1e-6 on random data; direct sums in float measure 1e-7 to 1e-6 here.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/kernels.h"
#include "backend/cpu/winograd.h"
#include "base/mem.h"
#include "isa.h"
#include "planes.h"
#include "suite.h"

static const double bound = 1e-6;
enum { GUARD = 64, TABLES = 4 }; // two instruction sets, two tiles

struct conv {
    struct cs_winograd_shape shape;
    int64_t in_floats, out_floats, weight_floats;
    float *src, *weights, *add, *bias;
    enum cs_finish_kind activation;
    bool adding;
};

static uint64_t seed;

static int64_t pick(int64_t low, int64_t high)
{
    return low + (int64_t)(planes_random(&seed) % (uint64_t)(high - low + 1));
}

static float *noise(int64_t count)
{
    float *values = cs_xcalloc((size_t)count + 1, sizeof *values);
    for (int64_t i = 0; i < count; i++)
        values[i] = (float)pick(-1000000, 1000000) / 1e6F;
    return values;
}

static void conv_init(struct conv *c, const struct cs_winograd_shape *shape)
{
    *c = (struct conv){.shape = *shape};
    c->in_floats = shape->batch * shape->in[0] * shape->in[1] * shape->in_channels;
    c->out_floats = shape->batch * shape->out[0] * shape->out[1] * shape->out_channels;
    c->weight_floats = shape->in_channels * shape->out_channels * 9;
    c->src = noise(c->in_floats);
    c->weights = noise(c->weight_floats);
    c->add = noise(c->out_floats);
    c->bias = noise(shape->out_channels);
}

static void conv_release(struct conv *c)
{
    free(c->src);
    free(c->weights);
    free(c->add);
    free(c->bias);
}

static const struct cs_winograd_kernels *kernels_of(int table)
{
    isa_limit(table % 2);
    const struct cs_winograd_kernels *kernels = cs_kernels_pick(NULL)->winograd;
    if (!kernels || kernels->width != (table % 2 == 0 ? 16 : 8))
        return NULL;
    return table < 2 ? kernels : kernels->smaller;
}

static double activate(const struct conv *c, double y)
{
    if (c->activation == CS_FINISH_CLAMP)
        return y < -0.5 ? -0.5 : y > 2 ? 2 : y;
    return c->activation == CS_FINISH_SLOPE && y < 0 ? y * 0.25 : y;
}

static double direct_at(const struct conv *c, int64_t n, int64_t y, int64_t x, int64_t o)
{
    const struct cs_winograd_shape *s = &c->shape;
    double sum = (double)c->bias[o];
    for (int64_t ky = 0; ky < 3; ky++) {
        for (int64_t kx = 0; kx < 3; kx++) {
            int64_t iy = y + ky - s->pad_begin[0], ix = x + kx - s->pad_begin[1];
            if (iy < 0 || iy >= s->in[0] || ix < 0 || ix >= s->in[1])
                continue;
            const float *pixel = c->src + ((n * s->in[0] + iy) * s->in[1] + ix) * s->in_channels;
            const float *w = c->weights + o * s->in_channels * 9 + ky * 3 + kx;
            for (int64_t i = 0; i < s->in_channels; i++)
                sum += (double)pixel[i] * (double)w[i * 9];
        }
    }
    return sum;
}

static double difference(const struct conv *c, const float *got)
{
    const struct cs_winograd_shape *s = &c->shape;
    double error = 0, norm = 0;
    int64_t at = 0;
    for (int64_t n = 0; n < s->batch; n++)
        for (int64_t y = 0; y < s->out[0]; y++)
            for (int64_t x = 0; x < s->out[1]; x++)
                for (int64_t o = 0; o < s->out_channels; o++, at++) {
                    double want = direct_at(c, n, y, x, o) + (c->adding ? (double)c->add[at] : 0);
                    want = activate(c, want);
                    error += (want - (double)got[at]) * (want - (double)got[at]);
                    norm += want * want;
                }
    return sqrt(error / (norm > 0 ? norm : 1));
}

// All of it, in runs of as many parts as a thread would get, whose scratch is not clean.
static void run_all(const struct cs_winograd *w, const struct cs_winograd_run *how)
{
    if (w->team)
        cs_winograd_run_team(w, how);
    for (int64_t i = w->threads; i > 0 && w->parts > 0; i--)
        cs_winograd_run_parts(w, how, w->parts * (i - 1) / w->threads, w->parts * i / w->threads);
}

// The result between guards; caller frees with free().
static float *run(const struct conv *c, const struct cs_winograd_kernels *kernels, int threads,
                  const struct cs_winograd_caches *caches, struct cs_winograd *w)
{
    cs_winograd_plan(w, kernels, &c->shape, threads, caches);
    float *packed = cs_xcalloc(cs_winograd_weight_floats(w), sizeof *packed);
    float *bias = cs_xcalloc((size_t)(w->panels * w->panel), sizeof *bias);
    char *scratch = aligned_alloc(64, cs_winograd_scratch_bytes(w) + 64);
    // Aligned as an arena is, for stores that go past the caches.
    size_t bytes = ((size_t)(c->out_floats + 2 * GUARD) * sizeof(float) + 63) / 64 * 64;
    float *out = aligned_alloc(64, bytes);
    ck_assert(scratch && out);
    memset(scratch, 0xff, cs_winograd_scratch_bytes(w)); // NaN: nothing unwritten may be used
    for (size_t i = 0; i < bytes / sizeof *out; i++)
        out[i] = -12345;
    if (c->adding)
        memcpy(out + GUARD, c->add, (size_t)c->out_floats * sizeof *out);
    memcpy(bias, c->bias, (size_t)c->shape.out_channels * sizeof *bias);
    cs_winograd_pack(w, c->weights, packed);
    const struct cs_winograd_run how = {
        .sources = {{.src = c->src, .channels = c->shape.in_channels}},
        .source_count = 1,
        .packed = packed,
        .bias = bias,
        .dst = out + GUARD,
        .add = c->adding ? out + GUARD : NULL,
        .scratch = (float *)(void *)scratch,
        .finish = {c->activation, .low = -0.5F, .high = 2, .slope = 0.25F}};
    run_all(w, &how);
    for (int i = 0; i < GUARD; i++)
        ck_assert(out[i] == -12345 && out[GUARD + c->out_floats + i] == -12345);
    free(packed);
    free(bias);
    free(scratch);
    return out;
}

static const struct cs_winograd_caches usual = {1 << 20, 32 << 20};
static const struct cs_winograd_caches tiny = {16 << 10, 64 << 10}; // team, streamed

// Right, and the same for other threads and caches.
static void check(const struct conv *c, const struct cs_winograd_kernels *kernels)
{
    struct cs_winograd w;
    float *first = run(c, kernels, 1, &usual, &w);
    double error = difference(c, first + GUARD);
    const struct cs_winograd_shape *s = &c->shape;
    ck_assert_msg(error < bound, "%d x %dx%d, %d to %d channels: error %g", (int)s->batch,
                  (int)s->in[0], (int)s->in[1], (int)s->in_channels, (int)s->out_channels, error);
    for (int threads = 2; threads <= 4; threads++) {
        float *other = run(c, kernels, threads, threads == 3 ? &tiny : &usual, &w);
        ck_assert_mem_eq(first + GUARD, other + GUARD, (size_t)c->out_floats * sizeof *first);
        free(other);
    }
    free(first);
}

static struct cs_winograd_shape shape_of(int64_t batch, int64_t ins, int64_t outs, int64_t height,
                                         int64_t width, int pads)
{
    struct cs_winograd_shape s = {batch, ins, outs, {height, width}, {height - 2, width - 2}, {0}};
    for (int i = 0; i < 2; i++) {
        s.pad_begin[i] = pads >> i & 1;
        s.out[i] += (pads >> i & 1) + (pads >> (2 + i) & 1);
    }
    return s;
}

START_TEST(remainders)
{
    const struct cs_winograd_kernels *kernels = kernels_of(_i);
    if (!kernels)
        return;
    for (int64_t size = 1; size <= 50; size++) {
        for (int turned = 0; turned < 2; turned++) {
            struct conv c;
            seed = (uint64_t)size;
            int64_t other = turned ? pick(3, 50) : size;
            int pads = size < 3 ? 15 : (int)pick(0, 15);
            struct cs_winograd_shape s =
                shape_of(pick(1, 3), pick(1, 20), pick(1, 40), turned ? other : size, size, pads);
            conv_init(&c, &s);
            c.activation = (enum cs_finish_kind)(size % 3);
            c.adding = size % 2;
            check(&c, kernels);
            conv_release(&c);
        }
    }
}
END_TEST

START_TEST(channels)
{
    static const int64_t counts[] = {1, 3, 4, 7, 8, 15, 16, 17, 31, 33, 48, 64, 65, 96, 130, 200};
    enum { COUNTS = sizeof counts / sizeof *counts };
    const struct cs_winograd_kernels *kernels = kernels_of(_i);
    if (!kernels)
        return;
    for (int i = 0; i < COUNTS; i++) {
        for (int k = 0; k < 3; k++) {
            struct conv c;
            seed = (uint64_t)(i * 3 + k);
            struct cs_winograd_shape s =
                shape_of(1, counts[i], counts[(i * 5 + k * 7) % COUNTS], 13, 18, 15);
            conv_init(&c, &s);
            check(&c, kernels);
            conv_release(&c);
        }
    }
}
END_TEST

// ---- What rides on it --------------------------------------------------------------------------

enum { FIRST = 48, SECOND = 21, BOTH = FIRST + SECOND, OUTS = 37 };

// Channels of one source as a tensor of its own, before the map that the convolution applies.
static float *part_of(const struct conv *c, int64_t first, int64_t count)
{
    int64_t pixels = c->in_floats / c->shape.in_channels;
    float *part = cs_xcalloc((size_t)(pixels * count), sizeof *part);
    for (int64_t i = 0; i < pixels; i++)
        memcpy(part + i * count, c->src + i * c->shape.in_channels + first,
               (size_t)count * sizeof *part);
    return part;
}

// Replace channels [first, first + count) by what the maps make of them.
static void map_part(struct conv *c, int64_t first, int64_t count, const float *maps, float slope)
{
    int64_t pixels = c->shape.in[0] * c->shape.in[1];
    for (int64_t i = 0; i < c->shape.batch * pixels; i++)
        for (int64_t k = 0; k < count; k++) {
            const float *map = maps + i / pixels * 3 * count + k;
            float *x = c->src + i * c->shape.in_channels + first + k;
            *x = (*x - map[0]) * map[count] + map[2 * count];
            *x = *x < 0 ? *x * slope : *x;
        }
}

static void check_sums(const struct conv *c, const struct cs_winograd *w, const float *out,
                       const double *sums)
{
    int64_t wide = w->panels * w->panel, pixels = c->shape.out[0] * c->shape.out[1];
    for (int64_t n = 0; n < c->shape.batch; n++)
        for (int64_t o = 0; o < OUTS; o++) {
            double sum = 0, square = 0, got_sum = 0, got_square = 0;
            for (int64_t i = 0; i < pixels; i++) {
                double y = (double)out[(n * pixels + i) * OUTS + o];
                sum += y;
                square += y * y;
            }
            for (int64_t u = 0; u < w->units; u++) {
                const double *unit = sums + (n * w->units + u) * 2 * wide;
                got_sum += unit[o];
                got_square += unit[wide + o];
            }
            ck_assert(fabs(got_sum - sum) <= 1e-6 * sqrt(square * (double)pixels));
            ck_assert(fabs(got_square - square) <= 1e-6 * square);
        }
}

START_TEST(riders)
{
    // Two sources, one of which is mapped on the way; statistics of the result.
    const struct cs_winograd_kernels *kernels = kernels_of(_i);
    if (!kernels)
        return;
    struct conv c;
    struct cs_winograd w;
    seed = 5;
    struct cs_winograd_shape s = shape_of(2, BOTH, OUTS, 27, 34, 15);
    conv_init(&c, &s);
    for (int64_t o = 0; o < OUTS; o++)
        c.bias[o] = 300; // a mean that is large beside the spread
    float *parts[] = {part_of(&c, 0, FIRST), part_of(&c, FIRST, SECOND)};
    float *maps = noise(2 * 3 * SECOND), *first = NULL, *out = cs_xcalloc((size_t)c.out_floats, 4);
    double *first_sums = NULL;
    map_part(&c, FIRST, SECOND, maps, 0.25F);
    for (int threads = 1; threads <= 4; threads++) {
        cs_winograd_plan(&w, kernels, &s, threads, threads == 3 ? &tiny : &usual);
        size_t sum_count = (size_t)(2 * w.units * 2 * w.panels * w.panel);
        float *packed = cs_xcalloc(cs_winograd_weight_floats(&w), sizeof *packed);
        float *bias = cs_xcalloc((size_t)(w.panels * w.panel), sizeof *bias);
        float *scratch = aligned_alloc(64, cs_winograd_scratch_bytes(&w));
        double *sums = cs_xcalloc(sum_count, sizeof *sums);
        memcpy(bias, c.bias, OUTS * sizeof *bias);
        cs_winograd_pack(&w, c.weights, packed);
        const struct cs_winograd_run how = {
            .sources = {{.src = parts[0], .channels = FIRST},
                        {.src = parts[1],
                         .channels = SECOND,
                         .affine = maps,
                         .affine_step = 3 * SECOND,
                         .slope = 0.25F}},
            .source_count = 2,
            .packed = packed,
            .bias = bias,
            .dst = out,
            .scratch = scratch,
            .sums = sums,
        };
        run_all(&w, &how);
        if (first) {
            ck_assert_mem_eq(first, out, (size_t)c.out_floats * sizeof *out);
            ck_assert_mem_eq(first_sums, sums, sum_count * sizeof *sums);
            free(sums);
        } else {
            ck_assert(difference(&c, out) < bound);
            check_sums(&c, &w, out, sums);
            first = cs_xcalloc((size_t)c.out_floats, sizeof *first);
            memcpy(first, out, (size_t)c.out_floats * sizeof *out);
            first_sums = sums;
        }
        free(packed);
        free(bias);
        free(scratch);
    }
    free(first);
    free(first_sums);
    free(parts[0]);
    free(parts[1]);
    free(maps);
    free(out);
    conv_release(&c);
}
END_TEST

START_TEST(batches)
{
    // Three images at once are three images; with the small units of few tiles and the larger ones.
    static const int64_t sides[] = {21, 260};
    const struct cs_winograd_kernels *kernels = kernels_of(_i);
    if (!kernels)
        return;
    for (int i = 0; i < 2; i++) {
        struct conv c;
        struct cs_winograd w;
        seed = 9;
        struct cs_winograd_shape s = shape_of(3, 5, 19, sides[i], sides[i], 15);
        conv_init(&c, &s);
        float *together = run(&c, kernels, 2, &usual, &w), *src = c.src;
        int64_t outs = c.out_floats / 3;
        c.shape.batch = 1;
        c.out_floats = outs;
        for (int n = 0; n < 3; n++) {
            c.src = src + n * c.in_floats / 3;
            float *alone = run(&c, kernels, 2, &usual, &w);
            ck_assert_mem_eq(alone + GUARD, together + GUARD + n * outs,
                             (size_t)outs * sizeof *alone);
            free(alone);
        }
        c.src = src;
        free(together);
        conv_release(&c);
    }
}
END_TEST

START_TEST(cuts)
{
    // The shapes of real layers take the paths that they are meant to.
    const struct cs_winograd_kernels *kernels = kernels_of(_i);
    if (!kernels)
        return;
    struct cs_winograd w;
    struct cs_winograd_shape s = shape_of(1, 64, 64, 1024, 1024, 15);
    cs_winograd_plan(&w, kernels, &s, 4, &usual);
    ck_assert(!w.team && w.stream && !w.by_panels);
    ck_assert_int_eq(w.panels_at_once, w.panels);
    s = shape_of(1, 256, 256, 256, 256, 15);
    cs_winograd_plan(&w, kernels, &s, 4, &usual);
    ck_assert(!w.team && (w.panels_at_once < w.panels || kernels->out == 2));
    s = shape_of(1, 512, 512, 128, 128, 15);
    cs_winograd_plan(&w, kernels, &s, 4, &usual);
    ck_assert(w.team && w.parts == 0);
    ck_assert_int_le(w.depth_block, 64);
    s = shape_of(1, 192, 192, 4 * kernels->out, 4 * kernels->out, 15);
    cs_winograd_plan(&w, kernels, &s, 4, &usual);
    ck_assert(w.by_panels && w.parts == w.panels);
}
END_TEST

START_TEST(picks)
{
    // Small tiles where the plane has few large ones and the weights are many, none where there
    // are few of these as well.
    const struct cs_winograd_kernels *kernels = kernels_of(_i);
    if (!kernels || !kernels->smaller)
        return;
    static const struct {
        int64_t count, side;
        int out;
    } cases[] = {{64, 64, 4}, {384, 12, 4}, {384, 8, 2}, {384, 4, 0}, {64, 8, 4}, {4, 64, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t count = cases[i].count, side = cases[i].side;
        struct cs_winograd_shape s = shape_of(1, count, count, side, side, 15);
        const struct cs_winograd_kernels *got = cs_winograd_pick(kernels, &s, false);
        ck_assert_int_eq(got ? got->out : 0, cases[i].out);
    }
}
END_TEST

// Whether pixel `at` of a row or column is not finite where `bad`, inside a large tile, is not:
// with small tiles, as with direct sums, its neighbours alone.
static bool spoiled(int64_t at, int64_t side, int64_t bad)
{
    return side == 4 ? at / 4 == bad / 4 : at >= bad - 1 && at <= bad + 1;
}

START_TEST(not_finite)
{
    // One bad pixel spoils the tiles that read it, through a ReLU too, and no other.
    const struct cs_winograd_kernels *kernels = kernels_of(_i);
    if (!kernels)
        return;
    struct conv c;
    struct cs_winograd w;
    struct cs_winograd_shape s = shape_of(1, 16, 16, 40, 40, 15);
    conv_init(&c, &s);
    c.activation = CS_FINISH_CLAMP;
    c.src[(17 * 40 + 22) * 16 + 3] = NAN;
    float *out = run(&c, kernels, 2, &usual, &w);
    for (int64_t y = 0; y < 40; y++)
        for (int64_t x = 0; x < 40; x++)
            ck_assert_int_eq(isnan(out[GUARD + (y * 40 + x) * 16]) != 0,
                             spoiled(y, kernels->out, 17) && spoiled(x, kernels->out, 22));
    free(out);
    conv_release(&c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("winograd");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 120);
    tcase_add_loop_test(core, remainders, 0, TABLES);
    tcase_add_loop_test(core, channels, 0, TABLES);
    tcase_add_loop_test(core, batches, 0, TABLES);
    tcase_add_loop_test(core, riders, 0, TABLES);
    tcase_add_loop_test(core, cuts, 0, TABLES);
    tcase_add_loop_test(core, picks, 0, TABLES);
    tcase_add_loop_test(core, not_finite, 0, TABLES);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
