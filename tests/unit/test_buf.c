// SPDX-License-Identifier: MIT
// base/buf.h and base/json.h
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "suite.h"

START_TEST(core_add)
{
    struct cs_buf buf = {0};
    cs_buf_adds(&buf, "ab");
    cs_buf_addc(&buf, 'c');
    cs_buf_add(&buf, "d\0e", 3);
    cs_buf_addf(&buf, "%03d", 7);
    ck_assert_uint_eq(buf.len, 9);
    ck_assert_mem_eq(buf.data, "abcd\0e007", 10); // with its NUL
    cs_buf_clear(&buf);
    ck_assert_uint_eq(buf.len, 0);
    ck_assert_str_eq(buf.data, "");
    memcpy(cs_buf_reserve(&buf, 5), "12345", 5);
    buf.len += 5;
    char *text = cs_buf_take(&buf);
    ck_assert_str_eq(text, "12345");
    ck_assert_ptr_null(buf.data);
    free(text);
    text = cs_buf_take(&buf);
    ck_assert_str_eq(text, "");
    free(text);
    cs_buf_release(&buf);
}
END_TEST

START_TEST(limits_grow)
{
    struct cs_buf buf = {0};
    cs_buf_clear(&buf);
    cs_buf_add(&buf, NULL, 0);
    ck_assert_str_eq(buf.data, "");
    // Lengths round the place where formatted text leaves its small buffer.
    for (int len = 120; len < 140; len++) {
        cs_buf_clear(&buf);
        cs_buf_addf(&buf, "%*d", len, 1);
        ck_assert_uint_eq(buf.len, (size_t)len);
        ck_assert_uint_eq(strlen(buf.data), (size_t)len);
    }
    cs_buf_clear(&buf);
    for (int i = 0; i < 100000; i++)
        cs_buf_addc(&buf, (char)('a' + i % 26));
    for (int i = 0; i < 100000; i++)
        ck_assert_msg(buf.data[i] == 'a' + i % 26, "byte %d", i);
    ck_assert_uint_gt(buf.capacity, buf.len);
    cs_buf_release(&buf);
}
END_TEST

static void string_is(const char *text, const char *expected)
{
    struct cs_buf buf = {0};
    cs_json_string(&buf, text);
    ck_assert_str_eq(buf.data, expected);
    cs_buf_release(&buf);
}

START_TEST(core_json_string)
{
    string_is("", "\"\"");
    string_is("a b/c", "\"a b/c\"");
    string_is("say \"\\\"", "\"say \\\"\\\\\\\"\"");
    string_is("\n\t\x01\x1f", "\"\\u000a\\u0009\\u0001\\u001f\"");
    string_is("\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\xac", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\xac\"");
}
END_TEST

START_TEST(limits_json_string)
{
    string_is("\xff", "\"\\udcff\"");
    string_is("a\x80z", "\"a\\udc80z\"");
    string_is("\xc3", "\"\\udcc3\"");                                  // cut
    string_is("\xe2\x82", "\"\\udce2\\udc82\"");                       // cut
    string_is("\xc0\xaf", "\"\\udcc0\\udcaf\"");                       // overlong
    string_is("\xe0\x80\xaf", "\"\\udce0\\udc80\\udcaf\"");            // overlong
    string_is("\xed\xa0\x80", "\"\\udced\\udca0\\udc80\"");            // surrogate
    string_is("\xf4\x90\x80\x80", "\"\\udcf4\\udc90\\udc80\\udc80\""); // beyond U+10FFFF
    string_is("\xf4\x8f\xbf\xbf", "\"\xf4\x8f\xbf\xbf\"");
}
END_TEST

static void real_is(double value, const char *expected)
{
    struct cs_buf buf = {0};
    cs_json_real(&buf, value);
    ck_assert_str_eq(buf.data, expected);
    if (isfinite(value))
        ck_assert_double_eq(strtod(buf.data, NULL), value);
    cs_buf_release(&buf);
}

START_TEST(core_json_real)
{
    real_is(0, "0");
    real_is(0.1, "0.1");
    real_is(-2.5, "-2.5");
    real_is(1e22, "1e+22");
    real_is(0.1 + 0.2, "0.30000000000000004");
    real_is(NAN, "null");
    real_is(-INFINITY, "null");
    real_is(DBL_MAX, "1.7976931348623157e+308");
    real_is(5e-324, "4.94065645841247e-324");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("buf");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_test(core, core_add);
    tcase_add_test(core, core_json_string);
    tcase_add_test(core, core_json_real);
    tcase_add_test(limits, limits_grow);
    tcase_add_test(limits, limits_json_string);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
