// SPDX-License-Identifier: MIT
// Statistics against a sorted copy of the samples, and chains of steps folded into one.
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "infer/normalise.h"
#include "infer/statistics.h"
#include "planes.h"
#include "suite.h"

enum { W = 37, H = 23, MAX_C = 3 };

static union {
    uint8_t u8[W * H * MAX_C];
    uint16_t u16[W * H * MAX_C];
    float f32[W * H * MAX_C];
} samples;

static struct cs_job job_of(enum cs_dtype dtype, int image_channels, uint64_t seed)
{
    struct cs_job job = {.pixels = &samples,
                         .width = W,
                         .height = H,
                         .channels = (uint16_t)image_channels,
                         .dtype = dtype};
    for (int i = 0; i < W * H * image_channels; i++) {
        uint32_t r = planes_random(&seed);
        if (dtype == CS_U8)
            samples.u8[i] = (uint8_t)(r >> 7);
        else if (dtype == CS_U16)
            samples.u16[i] = (uint16_t)(r >> 5);
        else
            samples.f32[i] = ((float)(r >> 8) - 8e6F) / 1234.5F;
    }
    for (int c = 0; c < MAX_C; c++)
        job.from[c] = (int16_t)c;
    return job;
}

static double at(const struct cs_job *job, int pixel, int channel)
{
    double sum = 0;
    for (int c = 0; c < job->channels; c++) {
        int i = pixel * job->channels + c;
        double v = job->dtype == CS_U8    ? samples.u8[i]
                   : job->dtype == CS_U16 ? samples.u16[i]
                                          : (double)samples.f32[i];
        if (c == channel)
            return v;
        sum += v;
    }
    return sum / job->channels;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// numpy.percentile of what the network's channels read, by sorting.
static double expected(const struct cs_job *job, int first, int count, double q)
{
    static double all[W * H * MAX_C];
    int n = 0;
    for (int c = first; c < first + count; c++)
        for (int p = 0; p < W * H; p++)
            all[n++] = at(job, p, job->from[c]);
    qsort(all, (size_t)n, sizeof *all, ascending);
    double position = q / 100 * (n - 1);
    int k = (int)position;
    double t = position - k;
    return k + 1 < n ? all[k] + (all[k + 1] - all[k]) * t : all[k];
}

static void check_percentiles(const struct cs_job *job, int first, int count)
{
    static const double qs[] = {0, 0.5, 1, 25, 50, 77.7, 99.8, 100};
    struct cs_statistics s;
    struct cs_err err;
    ck_assert_int_eq(cs_statistics_init(&s, job, first, count, &err), 0);
    for (size_t i = 0; i < sizeof qs / sizeof *qs; i++) {
        double want = expected(job, first, count, qs[i]);
        ck_assert_double_eq_tol(cs_statistics_percentile(&s, qs[i]), want,
                                1e-6 * fmax(1, fabs(want)));
    }
    cs_statistics_release(&s);
}

START_TEST(core_percentiles)
{
    static const enum cs_dtype types[] = {CS_U8, CS_U16, CS_F32};
    for (int t = 0; t < 3; t++) {
        struct cs_job job = job_of(types[t], 1, 5);
        check_percentiles(&job, 0, 1);
        job.from[1] = job.from[2] = 0; // one channel read three times
        check_percentiles(&job, 0, 3);
        job = job_of(types[t], 3, 6);
        check_percentiles(&job, 0, 3);
        check_percentiles(&job, 1, 1);
        job.from[0] = -1; // the mean
        check_percentiles(&job, 0, 1);
    }
}
END_TEST

START_TEST(core_moments)
{
    static const enum cs_dtype types[] = {CS_U8, CS_U16, CS_F32};
    for (int t = 0; t < 3; t++) {
        struct cs_job job = job_of(types[t], 3, 7);
        struct cs_statistics s;
        struct cs_err err;
        double mean, std, sum = 0, squares = 0;
        ck_assert_int_eq(cs_statistics_init(&s, &job, 0, 3, &err), 0);
        cs_statistics_moments(&s, &mean, &std);
        cs_statistics_release(&s);
        for (int p = 0; p < W * H; p++)
            for (int c = 0; c < 3; c++)
                sum += at(&job, p, c);
        sum /= 3 * W * H;
        for (int p = 0; p < W * H; p++)
            for (int c = 0; c < 3; c++)
                squares += (at(&job, p, c) - sum) * (at(&job, p, c) - sum);
        ck_assert_double_eq_tol(mean, sum, 1e-9 * fmax(1, fabs(sum)));
        ck_assert_double_eq_tol(std, sqrt(squares / (3 * W * H)), 1e-6 * std);
    }
}
END_TEST

START_TEST(limits_samples)
{
    struct cs_job job = job_of(CS_F32, 1, 8);
    struct cs_statistics s;
    struct cs_err err;
    samples.f32[5] = NAN;
    samples.f32[77] = -INFINITY;
    ck_assert_int_eq(cs_statistics_init(&s, &job, 0, 1, &err), -1);
    ck_assert_int_eq(err.code, CS_EINPUT);
    ck_assert_ptr_nonnull(strstr(err.text, "2 samples"));
    // One pixel, and all alike.
    job.width = job.height = 1;
    samples.f32[0] = -3;
    ck_assert_int_eq(cs_statistics_init(&s, &job, 0, 1, &err), 0);
    ck_assert_double_eq(cs_statistics_percentile(&s, 99.8), -3);
    cs_statistics_release(&s);
}
END_TEST

static struct cs_tensor_spec spec_of(const struct cs_step *steps, int count)
{
    struct cs_tensor_spec spec = {.name = "in", .type = "float32", .step_count = count};
    memcpy(spec.steps, steps, (size_t)count * sizeof *steps);
    return spec;
}

static double run_job(const struct cs_job *job, int c, double v)
{
    double y = v * (double)job->scale[c] + (double)job->shift[c];
    return fmin(fmax(y, (double)job->low), (double)job->high);
}

START_TEST(core_scale_range_and_clip)
{
    struct cs_step steps[] = {
        {.op = CS_STEP_SCALE_RANGE, .eps = 1e-6, .count = 1, .a = {1}, .b = {99.8}},
        {.op = CS_STEP_CLIP, .count = 1, .a = {-0.5}, .b = {2}},
    };
    struct cs_tensor_spec spec = spec_of(steps, 2);
    struct cs_job job = job_of(CS_U16, 3, 9);
    struct cs_err err;
    ck_assert_int_eq(cs_normalise_check(&spec, 3, &err), 0);
    ck_assert_int_eq(cs_normalise_job(&spec, 3, &job, &err), 0);
    double low = expected(&job, 0, 3, 1), high = expected(&job, 0, 3, 99.8);
    for (int c = 0; c < 3; c++)
        for (int p = 0; p < W * H; p += 11) {
            double want = fmin(fmax((at(&job, p, c) - low) / (high - low + 1e-6), -0.5), 2);
            ck_assert_double_eq_tol(run_job(&job, c, at(&job, p, c)), want, 1e-5);
        }
}
END_TEST

START_TEST(core_chain)
{
    // (v / 255 - mean) / std for each channel, then clip, then 2 x + 1: as one clamped line.
    struct cs_step steps[] = {
        {.op = CS_STEP_SCALE_LINEAR, .count = 1, .a = {1 / 255.0, 1 / 255.0, 1 / 255.0}},
        {.op = CS_STEP_FIXED_ZERO_MEAN,
         .count = 3,
         .a = {.485, .456, .406},
         .b = {.229, .224, .225}},
        {.op = CS_STEP_CLIP, .count = 1, .a = {-1}, .b = {1}},
        {.op = CS_STEP_SCALE_LINEAR, .count = 1, .a = {2, 2, 2}, .b = {1, 1, 1}},
        {.op = CS_STEP_ENSURE_DTYPE, .dtype = "float32"},
    };
    struct cs_tensor_spec spec = spec_of(steps, 5);
    struct cs_job job = job_of(CS_U8, 3, 10);
    struct cs_err err;
    ck_assert_int_eq(cs_normalise_check(&spec, 3, &err), 0);
    ck_assert_int_eq(cs_normalise_job(&spec, 3, &job, &err), 0);
    for (int c = 0; c < 3; c++)
        for (int v = 0; v < 256; v++) {
            double want = fmin(fmax((v / 255.0 - steps[1].a[c]) / steps[1].b[c], -1), 1) * 2 + 1;
            ck_assert_double_eq_tol(run_job(&job, c, v), want, 1e-5);
        }
}
END_TEST

START_TEST(core_statistics_after_a_gain)
{
    struct cs_step steps[] = {
        {.op = CS_STEP_SCALE_LINEAR, .count = 1, .a = {0.1, 0.1}, .b = {5, 5}},
        {.op = CS_STEP_ZERO_MEAN, .eps = 1e-6, .per_channel = true, .count = 1},
    };
    struct cs_tensor_spec spec = spec_of(steps, 2);
    struct cs_job job = job_of(CS_F32, 2, 11);
    struct cs_err err;
    ck_assert_int_eq(cs_normalise_check(&spec, 2, &err), 0);
    ck_assert_int_eq(cs_normalise_job(&spec, 2, &job, &err), 0);
    for (int c = 0; c < 2; c++) {
        double sum = 0, squares = 0;
        for (int p = 0; p < W * H; p++) {
            double y = run_job(&job, c, at(&job, p, c));
            sum += y;
            squares += y * y;
        }
        ck_assert_double_eq_tol(sum / (W * H), 0, 1e-4);
        ck_assert_double_eq_tol(squares / (W * H), 1, 1e-4);
    }
}
END_TEST

START_TEST(limits_chains)
{
    const struct cs_step clip = {.op = CS_STEP_CLIP, .count = 1, .b = {1}},
                         range = {.op = CS_STEP_SCALE_RANGE, .eps = 1e-6, .count = 1, .b = {100}},
                         own = {.op = CS_STEP_SCALE_RANGE, .per_channel = true, .count = 1},
                         three = {.op = CS_STEP_FIXED_ZERO_MEAN, .count = 3},
                         negative = {.op = CS_STEP_SCALE_LINEAR, .count = 1, .a = {-1}},
                         cast = {.op = CS_STEP_ENSURE_DTYPE, .dtype = "uint8"},
                         sigmoid = {.op = CS_STEP_SIGMOID};
    const struct cs_step chains[][2] = {{clip, range},  {own, range},     {three, range},
                                        {clip, three},  {negative, clip}, {cast, clip},
                                        {sigmoid, clip}};
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++) {
        struct cs_tensor_spec spec = spec_of(chains[i], 2);
        struct cs_err err;
        ck_assert_int_eq(cs_normalise_check(&spec, 3, &err), -1);
        ck_assert_int_eq(err.code, CS_EMODEL);
    }
    struct cs_tensor_spec spec = spec_of(&three, 1);
    struct cs_err err;
    ck_assert_int_eq(cs_normalise_check(&spec, 2, &err), -1);
    spec.type = "uint8";
    ck_assert_int_eq(cs_normalise_check(&spec, 3, &err), -1);
}
END_TEST

START_TEST(core_channels)
{
    struct cs_package package = {.short_name = "m", .input_channels = CS_INPUT_REPLICATE};
    struct cs_job job;
    struct cs_err err;
    ck_assert_int_eq(cs_normalise_channels(&package, 3, 3, &job, &err), 0);
    ck_assert_int_eq(job.from[2], 2);
    ck_assert_int_eq(cs_normalise_channels(&package, 3, 1, &job, &err), 0);
    ck_assert_int_eq(job.from[2], 0);
    ck_assert_int_eq(cs_normalise_channels(&package, 3, 2, &job, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "--channel"));
    ck_assert_int_eq(cs_normalise_channels(&package, 1, 3, &job, &err), -1);
    package.input_channels = CS_INPUT_MEAN;
    ck_assert_int_eq(cs_normalise_channels(&package, 1, 3, &job, &err), 0);
    ck_assert_int_eq(job.from[0], -1);
    package.input_channels = CS_INPUT_RGB;
    ck_assert_int_eq(cs_normalise_channels(&package, 3, 1, &job, &err), -1);
}
END_TEST

START_TEST(core_postprocessing)
{
    struct cs_step steps[] = {{.op = CS_STEP_SOFTMAX},
                              {.op = CS_STEP_CLIP, .a = {0}, .b = {1}},
                              {.op = CS_STEP_BINARIZE, .a = {0.3}}};
    struct cs_tensor_spec spec = spec_of(steps, 3);
    enum cs_activation activation;
    double threshold;
    struct cs_err err;
    ck_assert_int_eq(cs_postprocessing_check(&spec, &activation, &threshold, &err), 0);
    ck_assert_int_eq(activation, CS_ACT_SOFTMAX);
    ck_assert_double_eq(threshold, 0.3);
    spec.steps[1].op = CS_STEP_SIGMOID; // twice an activation
    ck_assert_int_eq(cs_postprocessing_check(&spec, &activation, &threshold, &err), -1);
    spec.steps[1].op = CS_STEP_SCALE_RANGE;
    ck_assert_int_eq(cs_postprocessing_check(&spec, &activation, &threshold, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "scale_range"));
}
END_TEST

START_TEST(core_convert)
{
    int16_t in[] = {-5, 300};
    float out[2];
    struct cs_image image = {.width = 2, .height = 1, .channels = 1, .dtype = CS_I16, .data = in};
    ck_assert_int_eq(cs_job_dtype(CS_I16), CS_F32);
    ck_assert_int_eq(cs_job_dtype(CS_U16), CS_U16);
    cs_job_convert(&image, out);
    ck_assert_float_eq(out[0], -5);
    ck_assert_float_eq(out[1], 300);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("normalise");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_test(core, core_percentiles);
    tcase_add_test(core, core_moments);
    tcase_add_test(core, core_scale_range_and_clip);
    tcase_add_test(core, core_chain);
    tcase_add_test(core, core_statistics_after_a_gain);
    tcase_add_test(core, core_channels);
    tcase_add_test(core, core_postprocessing);
    tcase_add_test(core, core_convert);
    tcase_add_test(limits, limits_samples);
    tcase_add_test(limits, limits_chains);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
