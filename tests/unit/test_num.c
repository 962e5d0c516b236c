// SPDX-License-Identifier: MIT
// base/num.h
#include <math.h>
#include <string.h>

#include "base/num.h"
#include "suite.h"

START_TEST(core_int)
{
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {{"0", 0},
                {"7", 7},
                {"-7", -7},
                {"+7", 7},
                {"007", 7},
                {"9223372036854775807", INT64_MAX},
                {"-9223372036854775808", INT64_MIN}};
    static const char *const bad[] = {"",
                                      " ",
                                      " 7",
                                      "7 ",
                                      "7x",
                                      "x",
                                      "0x10",
                                      "1e3",
                                      "7.0",
                                      "--7",
                                      "-",
                                      "+",
                                      "9223372036854775808",
                                      "\n7",
                                      "7\n"};
    struct cs_err err = {0};
    int64_t value;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ck_assert_int_eq(cs_num_int(good[i].text, INT64_MIN, INT64_MAX, "--n", &value, &err), 0);
        ck_assert_int_eq(value, good[i].value);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_msg(cs_num_int(bad[i], INT64_MIN, INT64_MAX, "--n", &value, &err) == -1,
                      "'%s' is taken for a number", bad[i]);
        ck_assert_int_eq(err.code, CS_EUSAGE);
        ck_assert_int_eq(strncmp(err.text, "--n: ", 5), 0);
    }
}
END_TEST

START_TEST(limits_int)
{
    struct cs_err err = {0};
    int64_t value = 99;
    ck_assert_int_eq(cs_num_int("1", 1, 8, "--n", &value, &err), 0);
    ck_assert_int_eq(cs_num_int("8", 1, 8, "--n", &value, &err), 0);
    ck_assert_int_eq(value, 8);
    ck_assert_int_eq(cs_num_int("0", 1, 8, "--n", &value, &err), -1);
    ck_assert_str_eq(err.text, "--n: 0 is not between 1 and 8");
    ck_assert_int_eq(cs_num_int("9", 1, 8, "--n", &value, &err), -1);
    ck_assert_int_eq(value, 8); // untouched by failures
}
END_TEST

START_TEST(core_real)
{
    static const char *const bad[] = {"",    " 1",   "1 ",    "1,5", "1.5x", "nan",
                                      "inf", "-inf", "1e999", ".",   "e5"};
    struct cs_err err = {0};
    double value = 0;
    ck_assert_int_eq(cs_num_real("0.5", 0, 1, "-t", &value, &err), 0);
    ck_assert_double_eq(value, 0.5);
    ck_assert_int_eq(cs_num_real("1e-3", 0, 1, "-t", &value, &err), 0);
    ck_assert_double_eq(value, 1e-3);
    ck_assert_int_eq(cs_num_real("-.5", -1, 1, "-t", &value, &err), 0);
    ck_assert_double_eq(value, -0.5);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(cs_num_real(bad[i], -INFINITY, INFINITY, "-t", &value, &err) == -1,
                      "'%s' is taken for a number", bad[i]);
    ck_assert_int_eq(cs_num_real("1.0001", 0, 1, "-t", &value, &err), -1);
    ck_assert_str_eq(err.text, "-t: 1.0001 is not between 0 and 1");
    ck_assert_int_eq(cs_num_real("-0.0001", 0, 1, "-t", &value, &err), -1);
}
END_TEST

START_TEST(core_size)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},
                {"1", 1},
                {"64M", 64 << 20},
                {"64m", 64 << 20},
                {"1K", 1024},
                {"3G", (uint64_t)3 << 30},
                {"2T", (uint64_t)2 << 40},
                {"18446744073709551615", UINT64_MAX},
                {"16777215T", (uint64_t)16777215 << 40}};
    static const char *const bad[] = {"",          "M",
                                      "-1",        "+1",
                                      " 1",        "1 ",
                                      "1.5G",      "1KB",
                                      "1KK",       "1P",
                                      "0x1",       "18446744073709551616",
                                      "16777216T", "18446744073709551615K"};
    struct cs_err err = {0};
    uint64_t bytes;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ck_assert_int_eq(cs_num_size(good[i].text, "--ring", &bytes, &err), 0);
        ck_assert_uint_eq(bytes, good[i].bytes);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_msg(cs_num_size(bad[i], "--ring", &bytes, &err) == -1, "'%s' is taken", bad[i]);
        ck_assert_int_eq(err.code, CS_EUSAGE);
    }
}
END_TEST

START_TEST(core_size_text)
{
    static const struct {
        uint64_t bytes;
        const char *text, *option;
    } cases[] = {
        {0, "0.0 KiB", "16M"},
        {7680, "7.5 KiB", "16M"},
        {62 << 20, "62 MiB", "64M"},
        {64 << 20, "64 MiB", "80M"},
        {1023 << 20, "1.0 GiB", "1024M"},
        {(uint64_t)2040 << 20, "2.0 GiB", "2048M"},
        {(uint64_t)5 << 40, "5.0 TiB", "5121G"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[CS_SIZE_TEXT];
        uint64_t back;
        struct cs_err err = {0};
        cs_size_text(cases[i].bytes, text);
        ck_assert_str_eq(text, cases[i].text);
        cs_size_option(cases[i].bytes, text);
        ck_assert_str_eq(text, cases[i].option);
        ck_assert_int_eq(cs_num_size(text, "--memory", &back, &err), 0);
        ck_assert_uint_ge(back, cases[i].bytes);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("num");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_test(core, core_int);
    tcase_add_test(core, core_real);
    tcase_add_test(core, core_size);
    tcase_add_test(core, core_size_text);
    tcase_add_test(limits, limits_int);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
