// SPDX-License-Identifier: MIT
// What the shim of CUDA (tests/cuda/shim/) must show: results that hang on the order of threads
// where a barrier is missing, an end where a barrier is not reached by all, shuffles, binary16.
#include <math.h>
#include <signal.h>
#include <string.h>

#include "shim/selftest.h"
#include "shim/shim.h"
#include "suite.h"

static void fill(float *data)
{
    for (int i = 0; i < SHIM_SIZE; i++)
        data[i] = (float)i + 1;
}

START_TEST(shim_barriers)
{
    float data[2][SHIM_SIZE];
    shim_reports(); // one is expected
    for (int barrier = 0; barrier < 2; barrier++) {
        for (int order = 0; order < 2; order++) {
            fill(data[order]);
            shim_set_backward(order == 1);
            shim_turn(data[order], barrier == 1);
        }
        ck_assert((memcmp(data[0], data[1], sizeof data[0]) == 0) == (barrier == 1));
    }
    for (int i = 0; i < SHIM_SIZE; i++)
        ck_assert(data[0][i] == (float)(SHIM_SIZE - i));
}
END_TEST

// The barrier that is missing is told even where its absence does no harm.
START_TEST(shim_races)
{
    float data[SHIM_SIZE];
    bool watched = shim_reports() >= 0;
    for (int barrier = 0; watched && barrier < 2; barrier++) {
        fill(data);
        shim_turn(data, barrier == 1);
        ck_assert_int_eq(shim_reports() > 0, barrier == 0);
    }
}
END_TEST

START_TEST(shim_shuffles)
{
    float data[SHIM_SIZE];
    fill(data);
    shim_sum(data);
    ck_assert(data[0] == 528 && data[31] == 528 && data[32] == 1552 && data[63] == 1552);
}
END_TEST

START_TEST(shim_lost_barrier)
{
    shim_leave();
}
END_TEST

// Every number of binary16 there and back; what lies half way goes to the even one.
START_TEST(shim_halves)
{
    for (unsigned bits = 0; bits < 0x10000; bits++) {
        float value = shim_half_to_float((unsigned short)bits);
        if (isnan(value))
            continue;
        ck_assert_uint_eq(shim_half_of_float(value), bits);
        float next = shim_half_to_float((unsigned short)(bits + 1));
        if ((bits & 0x7fff) < 0x7bff && isfinite(next))
            ck_assert_uint_eq(shim_half_of_float((value + next) / 2), bits + (bits & 1));
    }
    ck_assert_uint_eq(shim_half_of_float(65519.9F), 0x7bff);
    ck_assert_uint_eq(shim_half_of_float(65520), 0x7c00);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cuda_shim");
    TCase *core = tcase_create("core");
    tcase_add_test(core, shim_barriers);
    tcase_add_test(core, shim_races);
    tcase_add_test(core, shim_shuffles);
    tcase_add_test_raise_signal(core, shim_lost_barrier, SIGABRT);
    tcase_add_test(core, shim_halves);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
