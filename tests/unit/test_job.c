// SPDX-License-Identifier: MIT
// The job kernels against the formulas of job.h in double precision, sample by sample.
#include <check.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "backend/job_area.h"
#include "backend/job_finish.h"
#include "backend/job_prepare.h"
#include "backend/vecmath.h"
#include "suite.h"

enum { MAX_SIDE = 40, CHANNELS = 3 };

static uint64_t seed;

static uint32_t next_random(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33);
}

static int between(int low, int high)
{
    return low + (int)(next_random() % (uint32_t)(high - low + 1));
}

static double uniform(void)
{
    return next_random() / 2147483648.0;
}

static void fill_image(struct cs_image *image, enum cs_dtype dtype, int width, int height,
                       int channels)
{
    struct cs_err err = {0};
    ck_assert_int_eq(cs_image_init(image, (uint32_t)width, (uint32_t)height, (uint16_t)channels,
                                   dtype, 0, NULL, &err),
                     0);
    size_t count = (size_t)width * (size_t)height * (size_t)channels;
    for (size_t i = 0; i < count * cs_dtype_bytes(dtype); i++)
        ((uint8_t *)image->data)[i] = (uint8_t)next_random();
    for (size_t i = 0; i < count; i++) { // floats: finite values of a like size
        if (dtype == CS_F32)
            ((float *)image->data)[i] = (float)(uniform() * 200 - 100);
        if (dtype == CS_F64)
            ((double *)image->data)[i] = 1e9 + uniform();
        if (dtype == CS_F16)
            ((uint16_t *)image->data)[i] &= 0xbfff; // exponent below 16: |v| < 2
    }
}

// Scale and shift that bring the dtype's range to about -1..1.
static void normalisation(enum cs_dtype dtype, float *scale, float *shift)
{
    static const double range[] = {
        [CS_U8] = 255,
        [CS_U16] = 65535,
        [CS_U32] = 4294967295.0,
        [CS_U64] = 18446744073709551615.0,
        [CS_I8] = 127,
        [CS_I16] = 32767,
        [CS_I32] = 2147483647,
        [CS_I64] = 9223372036854775807.0,
        [CS_F16] = 2,
        [CS_F32] = 100,
        [CS_F64] = 1,
    };
    *scale = (float)(1 / range[dtype]);
    *shift = dtype == CS_F64 ? -1e9F : -0.25F;
}

static struct cs_job job_of(const struct cs_image *image)
{
    struct cs_job job = {.pixels = image->data,
                         .width = image->width,
                         .height = image->height,
                         .channels = image->channels,
                         .dtype = image->dtype,
                         .low = -INFINITY,
                         .high = INFINITY};
    for (int c = 0; c < CHANNELS; c++) {
        job.from[c] = (int16_t)between(-1, image->channels - 1);
        normalisation(image->dtype, &job.scale[c], &job.shift[c]);
    }
    return job;
}

static double normalised(const struct cs_job *job, const struct cs_image *image, int x, int y,
                         int c)
{
    double value = 0;
    for (int k = 0; k < image->channels; k++) {
        double sample = cs_image_sample(image, (uint32_t)x, (uint32_t)y, (uint16_t)k);
        if (job->from[c] == k)
            value = sample;
        else if (job->from[c] < 0)
            value += sample / image->channels;
    }
    return value * (double)job->scale[c] + (double)job->shift[c];
}

static int mirrored(int i, int size)
{
    while (size > 1 && (i < 0 || i >= size))
        i = i < 0 ? -i : 2 * (size - 1) - i;
    return size > 1 ? i : 0;
}

static double triangle(int i, int size, int image_size, int k)
{
    double shrink = (double)image_size / size, radius = shrink > 1 ? shrink : 1;
    double total = 0, own = 0;
    for (int j = 0; j < image_size; j++) {
        double w = fmax(0, 1 - fabs(j + 0.5 - (i + 0.5) * shrink) / radius);
        total += w;
        own = j == k ? w : own;
    }
    return own / total;
}

static double expected_input(const struct cs_job *job, const struct cs_image *image, int x, int y,
                             int c, int width, int height)
{
    double value = 0;
    int image_width = (int)image->width, image_height = (int)image->height;
    if (job->placement == CS_PLACE_COPY) {
        value = normalised(job, image, mirrored(x + job->x0, image_width),
                           mirrored(y + job->y0, image_height), c);
    } else {
        double weight[MAX_SIDE];
        for (int i = 0; i < image_width; i++)
            weight[i] = triangle(x, width, image_width, i);
        for (int j = 0; j < image_height; j++) {
            double w = triangle(y, height, image_height, j), row = 0;
            for (int i = 0; w > 0 && i < image_width; i++)
                if (weight[i] > 0)
                    row += weight[i] * normalised(job, image, i, j, c);
            value += w * row;
        }
    }
    return fmin(fmax(value, (double)job->low), (double)job->high);
}

// Run the kernel into a padded NHWC plane with guards between and behind the samples, compare.
static void check_prepare(const struct cs_job *job, const struct cs_image *image, int width,
                          int height)
{
    enum { PAD = 5 };
    size_t count = (size_t)width * (size_t)height * PAD;
    float *plane = malloc(count * sizeof *plane);
    for (size_t i = 0; i < count; i++)
        plane[i] = 12345;
    cs_job_prepare(job, plane, width, height, CHANNELS, PAD, (ptrdiff_t)width * PAD, 1);
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            const float *pixel = plane + ((size_t)y * (size_t)width + (size_t)x) * PAD;
            for (int c = 0; c < CHANNELS; c++)
                ck_assert_double_eq_tol((double)pixel[c],
                                        expected_input(job, image, x, y, c, width, height), 2e-6);
            ck_assert(pixel[3] == 12345 && pixel[4] == 12345);
        }
    }
    free(plane);
}

START_TEST(prepare_core)
{
    enum cs_dtype dtype = (enum cs_dtype)_i;
    seed = 100 + (uint64_t)_i;
    for (int round = 0; round < 12; round++) {
        struct cs_image image;
        fill_image(&image, dtype, between(1, MAX_SIDE), between(1, MAX_SIDE), between(1, 4));
        struct cs_job job = job_of(&image);
        if (round % 3 == 0) {
            job.low = -0.1F;
            job.high = 0.2F;
        }
        job.placement = round % 2 ? CS_PLACE_COPY : CS_PLACE_SCALE;
        job.x0 = between(-50, 30);
        job.y0 = between(-50, 30);
        check_prepare(&job, &image, between(1, MAX_SIDE), between(1, MAX_SIDE));
        cs_image_release(&image);
    }
}
END_TEST

// A tile of the plane has the bits of the whole plane, wherever it lies.
START_TEST(prepare_tile)
{
    enum { SIDE = 700 };
    static float whole[SIDE * SIDE], tile[SIDE * SIDE];
    seed = 50;
    for (int round = 0; round < 40; round++) {
        struct cs_image image;
        bool wide = round % 4 == 0; // more columns than one block has
        int width = wide ? 3000 : between(1, MAX_SIDE);
        fill_image(&image, round % 3 ? CS_U8 : CS_U16, width, between(1, MAX_SIDE), 1);
        struct cs_job job = job_of(&image);
        job.placement = CS_PLACE_SCALE;
        job.scaled_width = (uint32_t)(wide ? SIDE : between(1, 2 * MAX_SIDE));
        job.scaled_height = (uint32_t)(round % 7 ? between(1, 2 * MAX_SIDE) : (int)image.height);
        job.paged = false;
        int pw = (int)job.scaled_width, ph = (int)job.scaled_height;
        cs_job_prepare(&job, whole, pw, ph, 1, 1, pw, 1);
        job.x0 = between(0, pw - 1);
        job.y0 = between(0, ph - 1);
        int tw = between(1, pw - job.x0), th = between(1, ph - job.y0);
        // Of the image only what the tile is said to be made of is looked at.
        struct cs_job_area area = cs_job_image_area(&job, tw, th);
        size_t pixel = cs_dtype_bytes(image.dtype), row = pixel * image.width;
        char *alone = calloc(image.height, row);
        for (uint32_t y = area.y; y < area.y + area.height; y++)
            memcpy(alone + y * row + area.x * pixel,
                   (const char *)image.data + y * row + area.x * pixel, area.width * pixel);
        job.pixels = alone;
        cs_job_prepare(&job, tile, tw, th, 1, 1, tw, 1);
        for (int y = 0; y < th; y++)
            ck_assert_mem_eq(tile + y * tw, whole + (y + job.y0) * pw + job.x0,
                             (size_t)tw * sizeof *tile);
        free(alone);
        cs_image_release(&image);
    }
}
END_TEST

START_TEST(prepare_limits)
{
    // A row far wider than the kernel's block, shrunk to fewer pixels and to one; NaN stays NaN.
    enum { WIDTH = 10007 };
    static float row[WIDTH];
    double mean = 0, total = 0;
    for (int x = 0; x < WIDTH; x++) {
        row[x] = (float)x;
        double w = 1 - fabs(x + 0.5 - WIDTH / 2.0) / WIDTH;
        mean += w * x;
        total += w;
    }
    struct cs_job job = {.pixels = row,
                         .width = WIDTH,
                         .height = 1,
                         .channels = 1,
                         .dtype = CS_F32,
                         .scale = {1},
                         .low = -1e9F,
                         .high = 1e9F,
                         .placement = CS_PLACE_SCALE};
    float out[WIDTH];
    cs_job_prepare(&job, out, 1, 1, 1, 1, 1, 1);
    ck_assert_double_eq_tol((double)out[0], mean / total, 1e-2);
    for (int size = 2; size < 12; size++) { // filters of a fifth of the row to all of it
        cs_job_prepare(&job, out, size, 1, 1, 1, 1, 1);
        for (int i = 0; i < size; i++) {
            double expected = 0;
            total = 0;
            for (int x = 0; x < WIDTH; x++) {
                double w = fmax(0, 1 - fabs(x + 0.5 - (i + 0.5) * WIDTH / size) * size / WIDTH);
                expected += w * x;
                total += w;
            }
            ck_assert_double_eq_tol((double)out[i], expected / total, 1e-2);
        }
    }
    cs_job_prepare(&job, out, WIDTH, 1, 1, 1, 1, 1);
    ck_assert_mem_eq(out, row, sizeof row);
    row[5] = NAN;
    row[9] = INFINITY;
    cs_job_prepare(&job, out, WIDTH, 1, 1, 1, 1, 1);
    ck_assert(isnan(out[5]) && out[9] == 1e9F && out[4] == 4 && out[8] == 8 && out[10] == 10);
}
END_TEST

START_TEST(prepare_threads)
{
    struct cs_image image;
    seed = 7;
    fill_image(&image, CS_U16, 39, 37, 3);
    struct cs_job job = job_of(&image);
    job.placement = CS_PLACE_SCALE;
    static float one[CHANNELS * 32 * 32], many[CHANNELS * 32 * 32];
    omp_set_num_threads(1);
    cs_job_prepare(&job, one, 32, 32, CHANNELS, 1, 32, 32 * 32);
    omp_set_num_threads(3);
    cs_job_prepare(&job, many, 32, 32, CHANNELS, 1, 32, 32 * 32);
    ck_assert_mem_eq(one, many, sizeof one);
    cs_image_release(&image);
}
END_TEST

// The plane in double, rounded as Pillow rounds: triangle filter, weights of 2^-22, two passes of 8
// bits. tests/cli/compat.sh has Pillow's own results.
static int pillow_pass(const uint8_t *line, ptrdiff_t stride, int size, int out_size, int i)
{
    double scale = (double)size / out_size, radius = fmax(scale, 1), total = 0, at[2 * MAX_SIDE];
    long sum = 1 << 21;
    for (int k = 0; k < size; k++) {
        at[k] = fmax(0, 1 - fabs((k + 0.5 - (i + 0.5) * scale) / radius));
        total += at[k];
    }
    for (int k = 0; k < size; k++)
        sum += line[k * stride] * (long)(0.5 + at[k] / total * (1 << 22));
    return (int)fmin((double)(sum >> 22), 255);
}

static void check_pillow(const uint8_t *pixels, int width, int height, int out_width,
                         int out_height)
{
    struct cs_job job = {.pixels = pixels,
                         .width = (uint32_t)width,
                         .height = (uint32_t)height,
                         .channels = 3,
                         .dtype = CS_U8,
                         .from = {2, 0, 2},
                         .scale = {0.5F, 0.25F, 2},
                         .shift = {0.5F, 0.25F, 0},
                         .placement = CS_PLACE_PILLOW};
    size_t count = (size_t)out_width * (size_t)out_height;
    float *planes = malloc(3 * count * sizeof *planes);
    uint8_t *across = malloc((size_t)height * (size_t)out_width);
    cs_job_prepare(&job, planes, out_width, out_height, 3, 1, out_width, (ptrdiff_t)count);
    for (int c = 0; c < 3; c++) {
        for (int y = 0; y < height; y++)
            for (int x = 0; x < out_width; x++)
                across[y * out_width + x] = (uint8_t)pillow_pass(
                    pixels + 3 * width * y + job.from[c], 3, width, out_width, x);
        for (int y = 0; y < out_height; y++)
            for (int x = 0; x < out_width; x++) {
                int byte = pillow_pass(across + x, out_width, height, out_height, y);
                float expected = ((float)byte / 255.0F - job.shift[c]) / job.scale[c];
                float got = planes[(size_t)c * count + (size_t)(y * out_width + x)];
                ck_assert_msg(got == expected, "%dx%d to %dx%d at %d, %d, %d: %g, not %g", width,
                              height, out_width, out_height, x, y, c, (double)got,
                              (double)expected);
            }
    }
    free(planes);
    free(across);
}

START_TEST(prepare_pillow)
{
    uint8_t pixels[3 * MAX_SIDE * MAX_SIDE];
    seed = 31;
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)next_random();
    for (int round = 0; round < 20; round++)
        check_pillow(pixels, between(1, MAX_SIDE), between(1, MAX_SIDE), between(1, MAX_SIDE),
                     between(1, MAX_SIDE));
    check_pillow(pixels, 5, 7, 300, 9); // more columns than one block
}
END_TEST

// More weights than a block holds, and more rows than the ring: of white, white is left.
START_TEST(prepare_pillow_limits)
{
    enum { LONG = 9001 };
    static uint16_t pixels[LONG];
    struct cs_job job = {.pixels = pixels,
                         .width = LONG,
                         .height = 1,
                         .channels = 1,
                         .dtype = CS_U16,
                         .scale = {1},
                         .placement = CS_PLACE_PILLOW};
    float out[3];
    for (int i = 0; i < LONG; i++)
        pixels[i] = (uint16_t)(255 + i); // clipped
    cs_job_prepare(&job, out, 1, 1, 1, 1, 1, 1);
    ck_assert(out[0] == 1);
    cs_job_prepare(&job, out, 3, 1, 1, 1, 3, 3);
    ck_assert(out[0] == 1 && out[1] == 1 && out[2] == 1);
    job.width = 1;
    job.height = LONG;
    cs_job_prepare(&job, out, 1, 3, 1, 1, 1, 3);
    ck_assert(out[0] == 1 && out[1] == 1 && out[2] == 1);
    // Colour keeps its upper byte; floats are cut, NaN is black.
    uint16_t colour[3] = {0x12ff, 0xfe00, 0x00ff};
    job = (struct cs_job){.pixels = colour,
                          .width = 1,
                          .height = 1,
                          .channels = 3,
                          .dtype = CS_U16,
                          .from = {0, 1, 2},
                          .scale = {1, 1, 1},
                          .placement = CS_PLACE_PILLOW};
    cs_job_prepare(&job, out, 1, 1, 3, 1, 1, 1);
    ck_assert(out[0] == 0x12 / 255.0F && out[1] == 0xfe / 255.0F && out[2] == 0);
    float reals[3] = {-3, 254.9F, NAN};
    job.pixels = reals;
    job.dtype = CS_F32;
    cs_job_prepare(&job, out, 1, 1, 3, 1, 1, 1);
    ck_assert(out[0] == 0 && out[1] == 254 / 255.0F && out[2] == 0);
}
END_TEST

// ---- Finish ------------------------------------------------------------------------------

enum { NET_CHANNELS = 4 };

enum { OUTPUTS = 2 };

struct finish_case {
    struct cs_job job;
    struct cs_job_plane planes[OUTPUTS]; // NHWC
};

static double activated(const struct finish_case *t, const struct cs_map_source *from, int x, int y)
{
    const struct cs_job_plane *plane = &t->planes[from->output];
    const float *pixel =
        plane->data + ((size_t)y * (size_t)plane->width + (size_t)x) * NET_CHANNELS;
    double value = (double)pixel[from->channel], total = 0;
    if (from->activation == CS_ACT_NONE)
        return value;
    if (from->activation == CS_ACT_SIGMOID)
        return 1 / (1 + exp(-value));
    for (int k = 0; k < NET_CHANNELS; k++)
        total += exp((double)pixel[k] - value);
    return 1 / total;
}

static double resized(const struct finish_case *t, const struct cs_map_source *from, int x, int y)
{
    const struct cs_job_plane *plane = &t->planes[from->output];
    double u = (x + 0.5) * plane->width / t->job.out_width - 0.5;
    double v = (y + 0.5) * plane->height / t->job.out_height - 0.5;
    u = fmin(fmax(u, 0), plane->width - 1);
    v = fmin(fmax(v, 0), plane->height - 1);
    double sum = 0;
    for (int j = 0; j < plane->height; j++) {
        for (int i = 0; i < plane->width; i++) {
            double w = fmax(0, 1 - fabs(u - i)) * fmax(0, 1 - fabs(v - j));
            if (w > 0)
                sum += w * activated(t, from, i, j);
        }
    }
    return sum;
}

static double sample_out(const struct cs_job *job, size_t i)
{
    if (job->out_dtype == CS_U8)
        return ((const uint8_t *)job->out)[i];
    if (job->out_dtype == CS_U16)
        return ((const uint16_t *)job->out)[i];
    return (double)((const float *)job->out)[i];
}

static bool in_part(const struct cs_job *job, int x, int y)
{
    return x >= (int)job->part_x && x < (int)(job->part_x + job->part_width) &&
           y >= (int)job->part_y && y < (int)(job->part_y + job->part_height);
}

static void check_finish(struct finish_case *t)
{
    struct cs_job *job = &t->job;
    size_t count = (size_t)job->out_width * job->out_height * job->out_channels;
    size_t bytes = count * cs_dtype_bytes(job->out_dtype);
    uint8_t *out = malloc(bytes + 64), *guard = malloc(bytes + 64);
    memset(out, 0xa5, bytes + 64);
    memset(guard, 0xa5, bytes + 64);
    job->out = out;
    cs_job_finish(job, t->planes);
    ck_assert_uint_eq(job->nonfinite, 0);
    double step = job->out_dtype == CS_U8 ? 255 : job->out_dtype == CS_U16 ? 65535 : 0;
    size_t width = cs_dtype_bytes(job->out_dtype);
    for (int y = 0; y < (int)job->out_height; y++) {
        for (int x = 0; x < (int)job->out_width; x++) {
            for (int c = 0; c < job->out_channels; c++) {
                size_t i = ((size_t)y * job->out_width + (size_t)x) * job->out_channels + (size_t)c;
                if (!in_part(job, x, y)) {
                    ck_assert_mem_eq(out + i * width, guard + i * width, width);
                    continue;
                }
                double p = job->placement == CS_PLACE_COPY
                               ? activated(t, &job->out_from[c], x - job->x0, y - job->y0)
                               : resized(t, &job->out_from[c], x, y);
                if (step > 0) // within rounding: half a step and the float error
                    ck_assert_double_eq_tol(sample_out(job, i), fmin(fmax(p, 0), 1) * step,
                                            0.5 + step * 1e-6);
                else
                    ck_assert_double_eq_tol(sample_out(job, i), p, 4e-6);
            }
        }
    }
    ck_assert_mem_eq(out + bytes, guard, 64);
    free(out);
    free(guard);
}

static struct cs_job_plane random_plane(int width, int height)
{
    size_t count = (size_t)width * (size_t)height * NET_CHANNELS;
    float *data = malloc(count * sizeof *data);
    for (size_t i = 0; i < count; i++)
        data[i] = (float)(uniform() * 20 - 10);
    return (struct cs_job_plane){.data = data,
                                 .images = 1,
                                 .width = width,
                                 .height = height,
                                 .channels = NET_CHANNELS,
                                 .stride_x = NET_CHANNELS,
                                 .stride_y = (ptrdiff_t)width * NET_CHANNELS,
                                 .stride_c = 1};
}

// Maps of two outputs, each with an activation of its own.
START_TEST(finish_core)
{
    static const enum cs_dtype dtypes[] = {CS_U8, CS_U16, CS_F32};
    seed = 900 + (uint64_t)_i;
    for (int round = 0; round < 18; round++) {
        int width = between(1, MAX_SIDE), height = between(1, MAX_SIDE);
        struct finish_case t = {.planes[0] = random_plane(width, height)};
        t.job = (struct cs_job){.out_dtype = dtypes[round % 3],
                                .out_channels = (uint16_t)between(1, 2 * NET_CHANNELS)};
        for (int c = 0; c < t.job.out_channels; c++)
            t.job.out_from[c] = (struct cs_map_source){
                .output = (int16_t)between(0, OUTPUTS - 1),
                .channel = (int16_t)between(0, NET_CHANNELS - 1),
                .activation = c % 2 ? (enum cs_activation)between(0, 2) : (enum cs_activation)_i};
        if (round % 2) { // the outputs' planes differ in size
            t.planes[1] = random_plane(between(1, MAX_SIDE), between(1, MAX_SIDE));
            t.job.placement = CS_PLACE_SCALE;
            t.job.out_width = t.job.part_width = (uint32_t)between(1, MAX_SIDE);
            t.job.out_height = t.job.part_height = (uint32_t)between(1, MAX_SIDE);
        } else { // the plane is a tile at (x0, y0) of a larger map
            t.planes[1] = random_plane(width, height);
            t.job.placement = CS_PLACE_COPY;
            t.job.x0 = between(0, 9);
            t.job.y0 = between(0, 9);
            t.job.part_x = (uint32_t)(t.job.x0 + between(0, width - 1));
            t.job.part_y = (uint32_t)(t.job.y0 + between(0, height - 1));
            t.job.part_width = (uint32_t)between(1, t.job.x0 + width - (int)t.job.part_x);
            t.job.part_height = (uint32_t)between(1, t.job.y0 + height - (int)t.job.part_y);
            t.job.out_width = t.job.part_x + t.job.part_width + 3;
            t.job.out_height = t.job.part_y + t.job.part_height + 2;
        }
        check_finish(&t);
        for (int i = 0; i < OUTPUTS; i++)
            free((void *)(uintptr_t)t.planes[i].data);
    }
}
END_TEST

// Of a cut plane each part has the bits of the whole map, reads no more of the plane than it says,
// and counts in it what is not finite.
START_TEST(finish_tile)
{
    seed = 1200;
    for (int round = 0; round < 60; round++) {
        struct cs_job_plane plane = random_plane(between(1, MAX_SIDE), between(1, MAX_SIDE));
        uint16_t whole[4 * MAX_SIDE * MAX_SIDE], part[4 * MAX_SIDE * MAX_SIDE];
        struct cs_job job = {.out = whole,
                             .out_width = (uint32_t)between(1, 2 * MAX_SIDE),
                             .out_height = (uint32_t)between(1, 2 * MAX_SIDE),
                             .out_channels = 1,
                             .out_from = {{.activation = (enum cs_activation)between(0, 2)}},
                             .out_dtype = CS_U16,
                             .placement = CS_PLACE_SCALE};
        job.part_width = job.out_width;
        job.part_height = job.out_height;
        cs_job_finish(&job, &plane);
        job.out = part;
        job.scaled_width = (uint32_t)plane.width;
        job.scaled_height = (uint32_t)plane.height;
        job.part_x = (uint32_t)between(0, (int)job.out_width - 1);
        job.part_y = (uint32_t)between(0, (int)job.out_height - 1);
        job.part_width = (uint32_t)between(1, (int)(job.out_width - job.part_x));
        job.part_height = (uint32_t)between(1, (int)(job.out_height - job.part_y));
        // The tile is the part's area and nothing more.
        struct cs_job_area area = cs_job_plane_area(&job, plane.width, plane.height);
        struct cs_job_plane tile = plane;
        tile.data += (ptrdiff_t)area.x * plane.stride_x + (ptrdiff_t)area.y * plane.stride_y;
        tile.width = (int)area.width;
        tile.height = (int)area.height;
        job.x0 = (int32_t)area.x;
        job.y0 = (int32_t)area.y;
        float *last = (float *)(uintptr_t)tile.data + (tile.width - 1) * tile.stride_x +
                      (tile.height - 1) * tile.stride_y;
        cs_job_finish(&job, &tile);
        ck_assert_uint_eq(job.nonfinite, 0);
        for (uint32_t y = job.part_y; y < job.part_y + job.part_height; y++)
            ck_assert_mem_eq(part + y * job.out_width + job.part_x,
                             whole + y * job.out_width + job.part_x, job.part_width * sizeof *part);
        *last = NAN;
        cs_job_finish(&job, &tile);
        ck_assert_uint_eq(job.nonfinite, 1);
        free((void *)(uintptr_t)plane.data);
    }
}
END_TEST

// Logits where one value of the image, of any channel, is no probability.
START_TEST(finish_logits)
{
    float plane[8] = {0, 0.25F, 0.5F, 1, 0.75F, 0.125F, 1, 0}, out[4];
    struct cs_job job = {.out = out,
                         .out_width = 4,
                         .out_height = 1,
                         .out_channels = 1,
                         .out_dtype = CS_F32,
                         .out_from = {{.activation = CS_ACT_LOGITS}},
                         .placement = CS_PLACE_PILLOW,
                         .part_width = 4,
                         .part_height = 1};
    struct cs_value value = {.type = CS_TYPE_F32, .shape = {4, {1, 2, 1, 4}}};
    const struct cs_job_plane planes[] = {cs_job_plane_of(&value, plane, NULL)};
    cs_job_finish(&job, planes);
    ck_assert_mem_eq(out, plane, sizeof out);
    for (int i = 0; i < 8; i++) {
        float kept = plane[i];
        plane[i] = i % 2 ? -0.001F : 1.001F;
        cs_job_finish(&job, planes);
        for (int k = 0; k < 4; k++)
            ck_assert(out[k] == cs_sigmoidf(plane[k]));
        plane[i] = kept;
    }
}
END_TEST

START_TEST(finish_batch)
{
    // Two images, two outputs; the second is a vector.
    static const float plane[2 * 6] = {0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15};
    struct cs_value value = {.type = CS_TYPE_F32, .shape = {4, {2, 2, 1, 3}}};
    struct cs_value vector = {.type = CS_TYPE_F32, .shape = {2, {2, 6}}};
    const struct cs_job_plane planes[] = {cs_job_plane_of(&value, plane, NULL),
                                          cs_job_plane_of(&vector, plane, NULL)};
    struct cs_err err = {0};
    struct cs_job jobs[3];
    float maps[3][3];
    ck_assert_ptr_null(planes[1].data);
    for (int i = 0; i < 3; i++)
        jobs[i] = (struct cs_job){.out = maps[i],
                                  .out_width = 3,
                                  .out_height = 1,
                                  .out_channels = 1,
                                  .out_from = {{.channel = 1}},
                                  .out_dtype = CS_F32,
                                  .part_width = 3,
                                  .part_height = 1};
    ck_assert_int_eq(cs_job_finish_batch(jobs, 2, planes, 2, &err), 0);
    ck_assert_mem_eq(maps[0], plane + 3, sizeof maps[0]);
    ck_assert_mem_eq(maps[1], plane + 9, sizeof maps[1]);
    // What is not there: a third image, a third channel, a plane of the vector, a third output.
    ck_assert_int_eq(cs_job_finish_batch(jobs, 3, planes, 2, &err), -1);
    ck_assert_int_eq(err.code, CS_EMODEL);
    jobs[0].out_from[0].channel = 2;
    ck_assert_int_eq(cs_job_finish_batch(jobs, 1, planes, 2, &err), -1);
    jobs[0].out_from[0] = (struct cs_map_source){.output = 1};
    ck_assert_int_eq(cs_job_finish_batch(jobs, 1, planes, 2, &err), -1);
    jobs[0].out_from[0] = (struct cs_map_source){.output = 2};
    ck_assert_int_eq(cs_job_finish_batch(jobs, 1, planes, 2, &err), -1);
}
END_TEST

// One channel in one row.
static void finish_row(struct cs_job *job, const float *row, int width)
{
    struct cs_job_plane plane = {.data = row,
                                 .images = 1,
                                 .width = width,
                                 .height = 1,
                                 .channels = 1,
                                 .stride_x = 1,
                                 .stride_y = width,
                                 .stride_c = 1};
    cs_job_finish(job, &plane);
}

START_TEST(finish_limits)
{
    // Not finite: counted where it is read, 0 when quantised, kept as float. Halves round to even.
    float plane[8] = {NAN, INFINITY, -INFINITY, 0.5F / 255, 1.5F / 255, 2.5F / 255, 7, -7};
    uint8_t out[8];
    struct cs_job job = {.out = out,
                         .out_width = 8,
                         .out_height = 1,
                         .out_channels = 1,
                         .out_dtype = CS_U8,
                         .part_width = 8,
                         .part_height = 1};
    finish_row(&job, plane, 8);
    ck_assert_uint_eq(job.nonfinite, 3);
    const uint8_t expected[8] = {0, 255, 0, 0, 2, 2, 255, 0};
    ck_assert_mem_eq(out, expected, sizeof out);

    float kept[8];
    job.out = kept;
    job.out_dtype = CS_F32;
    job.part_x = 3;
    job.part_width = 5;
    finish_row(&job, plane, 8);
    ck_assert_uint_eq(job.nonfinite, 0);
    ck_assert_mem_eq(kept + 3, plane + 3, 5 * sizeof *kept);

    // A plane far wider than the kernel's block, reduced to two pixels and enlarged.
    enum { WIDTH = 5000 };
    static float wide[WIDTH], maps[2 * WIDTH];
    for (int i = 0; i < WIDTH; i++)
        wide[i] = (float)i;
    job = (struct cs_job){.out = maps,
                          .out_width = 2,
                          .out_height = 1,
                          .out_channels = 1,
                          .out_dtype = CS_F32,
                          .placement = CS_PLACE_SCALE,
                          .part_width = 2,
                          .part_height = 1};
    finish_row(&job, wide, WIDTH);
    ck_assert(maps[0] == 1249.5F && maps[1] == 3749.5F);
    job.out_width = job.part_width = 2 * WIDTH;
    finish_row(&job, wide, WIDTH);
    for (int i = 1; i < 2 * WIDTH - 1; i++)
        ck_assert_double_eq_tol((double)maps[i], i / 2.0 - 0.25, 1e-3);
}
END_TEST

START_TEST(elementary)
{
    for (double x = -110; x < 95; x += 0.0137) {
        double exact = exp((double)(float)x), got = (double)cs_expf((float)x);
        if (exact > 3.4e38)
            ck_assert(isinf(got));
        else // relative, plus the last bit of the smallest numbers
            ck_assert_double_eq_tol(got, exact, 2e-7 * exact + 1.5e-45);
    }
    ck_assert(cs_expf(0) == 1 && cs_expf(-INFINITY) == 0 && isnan(cs_expf(NAN)));
    ck_assert(isinf(cs_expf(INFINITY)) && cs_sigmoidf(-200) == 0 && cs_sigmoidf(200) == 1);
    ck_assert(cs_round_even(2.5F) == 2 && cs_round_even(-3.5F) == -4);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("job");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_loop_test(core, prepare_core, CS_U8, CS_F64 + 1);
    tcase_add_loop_test(core, finish_core, CS_ACT_NONE, CS_ACT_SOFTMAX + 1);
    tcase_add_test(core, prepare_pillow);
    tcase_add_test(core, finish_logits);
    tcase_add_test(core, finish_tile);
    tcase_add_test(core, prepare_tile);
    tcase_add_test(core, finish_batch);
    tcase_add_test(limits, prepare_limits);
    tcase_add_test(limits, prepare_pillow_limits);
    tcase_add_test(limits, prepare_threads);
    tcase_add_test(limits, finish_limits);
    tcase_add_test(limits, elementary);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
