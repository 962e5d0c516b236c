// SPDX-License-Identifier: MIT
// base/meta.h
#include <string.h>

#include "base/meta.h"
#include "suite.h"

START_TEST(core_set)
{
    struct cs_meta meta = {0}, copy = {0};
    ck_assert_ptr_null(cs_meta_get(&meta, "a"));
    cs_meta_set(&meta, "a", "1");
    cs_meta_setf(&meta, "b", "%d,%s", 2, "x");
    cs_meta_setf(&meta, "c", "%s", "");
    cs_meta_set(&meta, "a", "3");
    ck_assert_int_eq(meta.count, 3);
    ck_assert_str_eq(meta.pairs[0].key, "a"); // keeps its place
    ck_assert_str_eq(cs_meta_get(&meta, "a"), "3");
    ck_assert_str_eq(cs_meta_get(&meta, "b"), "2,x");
    ck_assert_str_eq(cs_meta_get(&meta, "c"), "");
    cs_meta_set(&copy, "b", "old");
    cs_meta_copy(&copy, &meta);
    ck_assert_int_eq(copy.count, 3);
    ck_assert_str_eq(cs_meta_get(&copy, "b"), "2,x");
    cs_meta_remove(&meta, "a");
    cs_meta_remove(&meta, "absent");
    ck_assert_ptr_null(cs_meta_get(&meta, "a"));
    ck_assert_int_eq(meta.count, 2);
    ck_assert_str_eq(cs_meta_get(&meta, "c"), "");
    cs_meta_clear(&meta);
    ck_assert_int_eq(meta.count, 0);
    cs_meta_release(&meta);
    cs_meta_release(&meta);
    cs_meta_release(&copy);
}
END_TEST

START_TEST(core_numbers)
{
    struct cs_meta meta = {0};
    struct cs_err err = {0};
    int64_t n;
    double x;
    cs_meta_set(&meta, "n", "12");
    cs_meta_set(&meta, "x", "0.325");
    cs_meta_set(&meta, "bad", "12x");
    ck_assert_int_eq(cs_meta_int(&meta, "n", 0, 12, 5, &n, &err), 0);
    ck_assert_int_eq(n, 12);
    ck_assert_int_eq(cs_meta_int(&meta, "absent", 0, 12, 5, &n, &err), 0);
    ck_assert_int_eq(n, 5);
    ck_assert_int_eq(cs_meta_int(&meta, "n", 0, 11, 5, &n, &err), -1);
    ck_assert_int_eq(err.code, CS_ESTREAM);
    ck_assert_int_eq(cs_meta_int(&meta, "bad", 0, 99, 5, &n, &err), -1);
    ck_assert_int_eq(cs_meta_int(&meta, "bad", 0, 99, 5, &n, NULL), -1);
    ck_assert_int_eq(cs_meta_real(&meta, "x", 0, 1, 2, &x, &err), 0);
    ck_assert_double_eq(x, 0.325);
    ck_assert_int_eq(cs_meta_real(&meta, "absent", 0, 1, 2, &x, &err), 0);
    ck_assert_double_eq(x, 2);
    ck_assert_int_eq(cs_meta_real(&meta, "bad", 0, 1, 2, &x, &err), -1);
    ck_assert_int_eq(err.code, CS_ESTREAM);
    cs_meta_release(&meta);
}
END_TEST

START_TEST(core_text)
{
    static const char expected[] = "a=1\nsource=C:\\\\new\\nline\nequals=x=y\nempty=\n";
    struct cs_meta meta = {0}, again = {0};
    struct cs_buf text = {0}, second = {0};
    struct cs_err err = {0};
    cs_meta_set(&meta, "a", "1");
    cs_meta_set(&meta, "source", "C:\\new\nline");
    cs_meta_set(&meta, "equals", "x=y");
    cs_meta_set(&meta, "empty", "");
    cs_meta_write(&meta, &text);
    ck_assert_str_eq(text.data, expected);
    ck_assert_int_eq(cs_meta_parse(&again, text.data, text.len, &err), 0);
    for (int i = 0; i < meta.count; i++)
        ck_assert_str_eq(cs_meta_get(&again, meta.pairs[i].key), meta.pairs[i].value);
    cs_meta_write(&again, &second);
    ck_assert_str_eq(second.data, expected);
    ck_assert_int_eq(cs_meta_parse(&again, "a=2\na=3\n", 8, &err), 0); // later keys win
    ck_assert_str_eq(cs_meta_get(&again, "a"), "3");
    ck_assert_int_eq(cs_meta_parse(&again, "", 0, &err), 0);
    cs_buf_release(&text);
    cs_buf_release(&second);
    cs_meta_release(&meta);
    cs_meta_release(&again);
}
END_TEST

START_TEST(limits_text)
{
    static const struct {
        const char *text;
        size_t len;
    } bad[] = {{"a", 1},      {"a\n", 2},     {"=1\n", 3},    {"a=1", 3},
               {"\n", 1},     {"a=\\\n", 4},  {"a=\\x\n", 5}, {"a=1\n=", 5},
               {"a=\0\n", 4}, {"a=1\n\0", 5}, {"a=1\n\n", 5}, {"a=\\\\\\\n", 6}};
    struct cs_meta meta = {0};
    struct cs_err err = {0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_msg(cs_meta_parse(&meta, bad[i].text, bad[i].len, &err) == -1, "case %zu", i);
        ck_assert_int_eq(err.code, CS_ESTREAM);
    }
    cs_meta_release(&meta);
}
END_TEST

// A megabyte of short keys would take a search of all of them for each.
START_TEST(limits_pairs)
{
    struct cs_meta meta = {0};
    struct cs_buf text = {0};
    struct cs_err err = {0};
    for (int i = 0; i < CS_META_MAX_PAIRS; i++)
        cs_buf_addf(&text, "%d=\n", i);
    ck_assert_int_eq(cs_meta_parse(&meta, text.data, text.len, &err), 0);
    ck_assert_int_eq(meta.count, CS_META_MAX_PAIRS);
    ck_assert_int_eq(cs_meta_parse(&meta, "7=x\n", 4, &err), 0);
    ck_assert_int_eq(cs_meta_parse(&meta, "more=\n", 6, &err), -1);
    ck_assert_int_eq(err.code, CS_ESTREAM);
    cs_buf_release(&text);
    cs_meta_release(&meta);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("meta");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_test(core, core_set);
    tcase_add_test(core, core_numbers);
    tcase_add_test(core, core_text);
    tcase_add_test(limits, limits_text);
    tcase_add_test(limits, limits_pairs);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
