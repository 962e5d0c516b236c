// SPDX-License-Identifier: MIT
// Network planes to maps (backend/job_finish.h) against the formulas of job.h in double precision,
// sample by sample; the elementary functions that activations are made of (vecmath.h).
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/job_area.h"
#include "backend/job_finish.h"
#include "backend/vecmath.h"
#include "planes.h"
#include "suite.h"

enum { MAX_SIDE = 40, NET_CHANNELS = 4, OUTPUTS = 2 };

static uint64_t seed;

static int between(int low, int high)
{
    return low + (int)(planes_random(&seed) % (uint32_t)(high - low + 1));
}

static double uniform(void)
{
    return planes_random(&seed) / 2147483648.0;
}

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
    job.x0 = 2; // a tile that begins at column 2: pixel 2 of its plane is column 4
    job.part_x = 4;
    job.part_width = 3;
    finish_row(&job, plane, 8);
    ck_assert_uint_eq(job.nonfinite, 1);
    ck_assert(isinf(kept[4]) && kept[4] < 0 && kept[5] == plane[3]);

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
    job.out_width = job.part_width = WIDTH / 2; // many blocks of a plane's columns
    finish_row(&job, wide, WIDTH);
    for (int i = 0; i < WIDTH / 2; i++)
        ck_assert(maps[i] == 2.0F * (float)i + 0.5F);
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
    Suite *suite = suite_create("job_finish");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_loop_test(core, finish_core, CS_ACT_NONE, CS_ACT_SOFTMAX + 1);
    tcase_add_test(core, finish_tile);
    tcase_add_test(core, finish_logits);
    tcase_add_test(core, finish_batch);
    tcase_add_test(limits, finish_limits);
    tcase_add_test(limits, elementary);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
