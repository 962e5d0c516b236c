// SPDX-License-Identifier: MIT
#include <check.h>
#include <time.h>

#include "base/clock.h"
#include "suite.h"

START_TEST(core_forwards)
{
    int64_t ms = cs_clock_ms();
    double seconds = cs_clock_seconds();
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    ck_assert_int_ge(cs_clock_ms() - ms, 20);
    ck_assert(cs_clock_seconds() - seconds >= 0.02);
}
END_TEST

START_TEST(limits_one_clock)
{
    double before = cs_clock_seconds();
    int64_t ms = cs_clock_ms();
    double after = cs_clock_seconds();
    ck_assert((double)ms + 1 >= before * 1000 && (double)ms <= after * 1000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base/clock");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_test(core, core_forwards);
    tcase_add_test(limits, limits_one_clock);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
