// SPDX-License-Identifier: MIT
// Pixels to network planes (backend/job_prepare.h, job_pillow.h) against the formulas of job.h in
// double precision, sample by sample.
#include <check.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "backend/job_area.h"
#include "backend/job_prepare.h"
#include "planes.h"
#include "suite.h"

enum { MAX_SIDE = 40, CHANNELS = 3 };

static uint64_t seed;

static int between(int low, int high)
{
    return low + (int)(planes_random(&seed) % (uint32_t)(high - low + 1));
}

static double uniform(void)
{
    return planes_random(&seed) / 2147483648.0;
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
        ((uint8_t *)image->data)[i] = (uint8_t)planes_random(&seed);
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
        if (round % 7 == 5 && !wide) // with the height below: as large as the image
            job.scaled_width = image.width;
        job.scaled_height =
            (uint32_t)(round % 7 && round % 7 != 5 ? between(1, 2 * MAX_SIDE) : (int)image.height);
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

// A filter of one pixel ends at its neighbours, which have no weight: what is not finite there
// stays there, across and down.
START_TEST(prepare_infinite)
{
    enum { SIDE = 8, BAD = 4 };
    float pixels[SIDE * SIDE] = {0}, out[SIDE * SIDE];
    pixels[BAD * SIDE + BAD] = INFINITY;
    for (int down = 0; down < 2; down++) {
        struct cs_job job = {.pixels = pixels,
                             .width = SIDE,
                             .height = SIDE,
                             .channels = 1,
                             .dtype = CS_F32,
                             .scale = {1},
                             .low = -INFINITY,
                             .high = INFINITY,
                             .placement = CS_PLACE_SCALE};
        int width = down ? SIDE / 2 : SIDE, height = down ? SIDE : SIDE / 2;
        cs_job_prepare(&job, out, width, height, 1, 1, width, 1);
        for (int y = 0; y < height; y++)
            for (int x = 0; x < width; x++) {
                bool seen = triangle(x, width, SIDE, BAD) > 0 && triangle(y, height, SIDE, BAD) > 0;
                ck_assert(seen ? out[y * width + x] > 1e30F : out[y * width + x] == 0);
            }
    }
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
        pixels[i] = (uint8_t)planes_random(&seed);
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

int main(void)
{
    Suite *suite = suite_create("job_prepare");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_loop_test(core, prepare_core, CS_U8, CS_F64 + 1);
    tcase_add_test(core, prepare_tile);
    tcase_add_test(core, prepare_pillow);
    tcase_add_test(limits, prepare_limits);
    tcase_add_test(limits, prepare_infinite);
    tcase_add_test(limits, prepare_threads);
    tcase_add_test(limits, prepare_pillow_limits);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
