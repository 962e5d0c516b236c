// SPDX-License-Identifier: MIT
// The loops of cs_job_finish with each instruction set: any length and step, special values, the
// same bits as with any other and within the error of a sigmoid in double.
#include <math.h>
#include <string.h>

#include "backend/cpu/kernels.h"
#include "backend/job_rows.h"
#include "backend/vecmath.h"
#include "isa.h"
#include "planes.h"
#include "suite.h"

enum { MOST = 203, MAX_STEP = 5 };

static const float special[] = {0, -0.0F, 1, 2, -1, 0.5F, 3e38F, -3e38F, 1e-40F, 88, -104, 1e-9F};

// Values of a network, now and then ones that are none.
static void draw(float *values, int count, uint64_t *seed)
{
    const int kinds = (int)(sizeof special / sizeof *special);
    for (int i = 0; i < count; i++) {
        uint32_t r = planes_random(seed);
        int kind = (int)(r % 97);
        values[i] = ((float)(r >> 8) / 16777216.0F - 0.5F) * (r % 2 ? 30.0F : 3.0F);
        if (kind < kinds)
            values[i] = special[kind];
        else if (kind < kinds + 3)
            values[i] = kind == kinds ? NAN : kind == kinds + 1 ? INFINITY : -INFINITY;
    }
}

static void check_accuracy(const float *found, const float *value, ptrdiff_t step, int count)
{
    for (int i = 0; i < count; i++) {
        double x = (double)value[i * step];
        if (isnan(x))
            ck_assert(isnan(found[i]));
        else
            ck_assert_double_le(fabs((double)found[i] - 1 / (1 + exp(-x))), 4e-7);
    }
}

static void check_rounding(const float *value, const uint8_t *u8, const uint16_t *u16, int count)
{
    for (int i = 0; i < count; i++) {
        float p = value[i] > 0 ? (value[i] < 1 ? value[i] : 1) : 0;
        ck_assert_int_eq(u8[i], (int)rintf(p * 255));
        ck_assert_int_eq(u16[i], (int)rintf(p * 65535));
    }
}

START_TEST(core_rows)
{
    isa_limit(_i);
    const struct cs_kernels *kernels = cs_kernels_pick(NULL);
    const struct cs_job_rows *rows = kernels->job_rows, *plain = &cs_job_rows_plain;
    float values[MOST * MAX_STEP], a[MOST] = {0}, b[MOST] = {0};
    uint8_t a8[MOST], b8[MOST];
    uint16_t a16[MOST], b16[MOST];
    uint64_t seed = 11;
    for (int round = 0; round < 4000; round++) {
        int step = 1 + round % MAX_STEP, count = 1 + (int)(planes_random(&seed) % MOST);
        int channel = round % step;
        size_t bytes = (size_t)count * sizeof *a;
        draw(values, MOST * MAX_STEP, &seed);
        rows->sigmoid(a, values + channel, step, count);
        plain->sigmoid(b, values + channel, step, count);
        ck_assert_mem_eq(a, b, bytes);
        check_accuracy(a, values + channel, step, count);
        rows->softmax(a, values + channel, values, step, 1, step, count);
        plain->softmax(b, values + channel, values, step, 1, step, count);
        for (int i = 0; i < count; i++) // NaN has many
            ck_assert(cs_bits_of_float(a[i]) == cs_bits_of_float(b[i]) ||
                      (isnan(a[i]) && isnan(b[i])));
        int64_t bad = 0;
        for (int i = 0; i < count; i++)
            bad += !isfinite(values[channel + i * step]);
        ck_assert_int_eq(rows->count_nonfinite(values + channel, step, count), bad);
        rows->take(a, values + channel, step, count);
        plain->take(b, values + channel, step, count);
        ck_assert_mem_eq(a, b, bytes);
        rows->to_u8(a8, a, count);
        rows->to_u16(a16, a, count);
        plain->to_u8(b8, a, count);
        plain->to_u16(b16, a, count);
        check_rounding(a, a8, a16, count);
        ck_assert_mem_eq(a8, b8, (size_t)count);
        ck_assert_mem_eq(a16, b16, (size_t)count * sizeof *a16);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("job_rows");
    TCase *core = tcase_create("core");
    tcase_add_loop_test(core, core_rows, 0, ISA_LIMITS);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
