// SPDX-License-Identifier: MIT
// infer/retry.h and infer/breaker.h: who is blamed for what, and when a device is given up.
#include <check.h>

#include "infer/breaker.h"
#include "infer/retry.h"
#include "suite.h"

static enum cs_retry judge(enum cs_code code, bool told, bool only, int images)
{
    return cs_retry_judge(&(struct cs_failure){code, told, only, images});
}

START_TEST(core_deaths)
{
    static const enum cs_code codes[] = {CS_EDEVICE, CS_ENOMEM, CS_ETIMEOUT};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        // In company anything may be at fault, alone only the image or the device.
        ck_assert_int_eq(judge(codes[i], false, false, 1), CS_RETRY_ALONE);
        ck_assert_int_eq(judge(codes[i], false, false, 4), CS_RETRY_ALONE);
        ck_assert_int_eq(judge(codes[i], false, true, 4), CS_RETRY_ALONE);
        ck_assert_int_eq(judge(codes[i], false, true, 1), CS_RETRY_COUNT);
        ck_assert(cs_failure_of_device(&(struct cs_failure){codes[i], false, true, 1}));
    }
    ck_assert_int_eq(judge(CS_EDEVICE, true, true, 1), CS_RETRY_COUNT);
    ck_assert_int_eq(judge(CS_EDEVICE, true, false, 1), CS_RETRY_ALONE);
    ck_assert(cs_failure_of_device(&(struct cs_failure){CS_EDEVICE, true, false, 1}));
}
END_TEST

START_TEST(core_answers)
{
    ck_assert_int_eq(judge(CS_ENOMEM, true, false, 4), CS_RETRY_SMALLER);
    ck_assert_int_eq(judge(CS_ENOMEM, true, true, 2), CS_RETRY_SMALLER);
    ck_assert_int_eq(judge(CS_ENOMEM, true, false, 1), CS_RETRY_ALONE);
    ck_assert_int_eq(judge(CS_ENOMEM, true, true, 1), CS_RETRY_MEMORY);
    ck_assert(!cs_failure_of_device(&(struct cs_failure){CS_ENOMEM, true, true, 1}));
    static const enum cs_code codes[] = {CS_EMODEL, CS_EINPUT, CS_EUSAGE};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        ck_assert_int_eq(judge(codes[i], true, false, 3), CS_RETRY_ALONE);
        ck_assert_int_eq(judge(codes[i], true, false, 1), CS_RETRY_FAIL);
        ck_assert_int_eq(judge(codes[i], true, true, 1), CS_RETRY_FAIL);
        ck_assert(!cs_failure_of_device(&(struct cs_failure){codes[i], true, true, 1}));
    }
}
END_TEST

START_TEST(core_delay)
{
    ck_assert_double_eq(cs_retry_delay(1, 64), 1);
    ck_assert_double_eq(cs_retry_delay(2, 64), 2);
    ck_assert_double_eq(cs_retry_delay(3, 64), 4);
    ck_assert_double_eq(cs_retry_delay(7, 64), 64);
    ck_assert_double_eq(cs_retry_delay(100, 64), 64);
    ck_assert_double_eq(cs_retry_delay(3, 0), 0);
}
END_TEST

START_TEST(core_closed)
{
    struct cs_breaker b;
    cs_breaker_init(&b, 60);
    ck_assert(!cs_breaker_asks(&b, 0));
    // Failures with good runs between never open it.
    for (int i = 0; i < 20; i++) {
        cs_breaker_error(&b);
        cs_breaker_error(&b);
        cs_breaker_good(&b);
    }
    ck_assert_int_eq(b.state, CS_BREAKER_CLOSED);
    // Three in a row ask; an answer closes it, whoever failed.
    for (int i = 0; i < 20; i++) {
        for (int k = 0; k < CS_BREAKER_ERRORS; k++) {
            ck_assert_int_eq(b.state, CS_BREAKER_CLOSED);
            cs_breaker_error(&b);
        }
        ck_assert(cs_breaker_asks(&b, 0));
        uint64_t proofs = b.proofs;
        cs_breaker_answer(&b, true, 0);
        ck_assert_uint_eq(b.proofs, proofs + 1);
    }
    ck_assert_int_eq(b.openings, 0);
    cs_breaker_ask(&b);
    ck_assert(cs_breaker_asks(&b, 0));
}
END_TEST

START_TEST(core_opens)
{
    struct cs_breaker b;
    cs_breaker_init(&b, 60);
    cs_breaker_ask(&b);
    for (int i = 1; i < CS_BREAKER_OPENINGS; i++) {
        double now = 1000.0 * i;
        cs_breaker_answer(&b, false, now);
        ck_assert_int_eq(b.state, CS_BREAKER_OPEN);
        ck_assert(!cs_breaker_asks(&b, now + 59));
        cs_breaker_ask(&b); // no way round the pause
        ck_assert(!cs_breaker_asks(&b, now + 59));
        ck_assert(cs_breaker_asks(&b, now + 60));
    }
    cs_breaker_answer(&b, false, 5000);
    ck_assert_int_eq(b.state, CS_BREAKER_LOST);
    ck_assert(!cs_breaker_asks(&b, 1e9));
}
END_TEST

// Openings until the device is lost, at most 20, with so many good runs behind each.
static int openings_until_lost(int good)
{
    struct cs_breaker b;
    cs_breaker_init(&b, 60);
    for (int opening = 1; opening <= 20; opening++) {
        cs_breaker_ask(&b);
        cs_breaker_answer(&b, false, 0);
        if (b.state == CS_BREAKER_LOST)
            return opening;
        cs_breaker_answer(&b, true, 60);
        ck_assert_int_eq(b.state, CS_BREAKER_CLOSED);
        for (int i = 0; i < good; i++)
            cs_breaker_good(&b);
    }
    return 0;
}

// A device that works only when it is asked is lost too; one that does its work is not.
START_TEST(core_flapping)
{
    ck_assert_int_eq(openings_until_lost(0), CS_BREAKER_OPENINGS);
    ck_assert_int_eq(openings_until_lost(CS_BREAKER_FORGETS - 1), CS_BREAKER_OPENINGS);
    ck_assert_int_eq(openings_until_lost(CS_BREAKER_FORGETS), 0);
}
END_TEST

START_TEST(core_hasten)
{
    struct cs_breaker b;
    cs_breaker_init(&b, 60);
    cs_breaker_ask(&b);
    cs_breaker_answer(&b, false, 100);
    ck_assert(!cs_breaker_asks(&b, 101));
    cs_breaker_hasten(&b);
    ck_assert(cs_breaker_asks(&b, 101));
    cs_breaker_answer(&b, false, 101);
    ck_assert_int_eq(b.state, CS_BREAKER_LOST);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("infer/retry");
    TCase *core = tcase_create("core");
    tcase_add_test(core, core_deaths);
    tcase_add_test(core, core_answers);
    tcase_add_test(core, core_delay);
    tcase_add_test(core, core_closed);
    tcase_add_test(core, core_opens);
    tcase_add_test(core, core_flapping);
    tcase_add_test(core, core_hasten);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
