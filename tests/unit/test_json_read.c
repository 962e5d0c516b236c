// SPDX-License-Identifier: MIT
// base/json_read.h
#include <check.h>
#include <string.h>

#include "base/json_read.h"
#include "suite.h"

static struct cs_arena arena;

static const struct cs_json *parse(const char *text)
{
    const struct cs_json *root = NULL;
    struct cs_err err = {0};
    ck_assert_msg(cs_json_parse(text, strlen(text), &arena, &root, &err) == 0, "%s: %s", text,
                  err.text);
    return root;
}

static void refuse(const char *text)
{
    const struct cs_json *root = NULL;
    struct cs_err err = {0};
    ck_assert_msg(cs_json_parse(text, strlen(text), &arena, &root, &err) == -1, "%s", text);
    ck_assert_int_eq(err.code, CS_EINPUT);
}

START_TEST(values)
{
    const struct cs_json *root =
        parse(" {\"a\":-12, \"b\":[true,null,\"x\"], \"c\":{\"d\":0.5e+3}, \"e\":{},\"f\":[]}\n");
    ck_assert_int_eq(cs_json_int(cs_json_get(root, "a"), 0), -12);
    const struct cs_json *list = cs_json_get(root, "b");
    ck_assert_int_eq(list->kind, CS_JSON_ARRAY);
    ck_assert(list->child->truth && list->child->next->kind == CS_JSON_NULL);
    ck_assert_str_eq(cs_json_text(list->child->next->next), "x");
    ck_assert_str_eq(cs_json_text(cs_json_get(cs_json_get(root, "c"), "d")), "0.5e+3");
    ck_assert_int_eq(cs_json_int(cs_json_get(cs_json_get(root, "c"), "d"), 7), 7);
    ck_assert_ptr_null(cs_json_get(root, "z"));
    ck_assert_ptr_null(cs_json_get(list, "a"));
    ck_assert_ptr_null(cs_json_text(list));
    ck_assert_ptr_null(cs_json_get(root, "e")->child);
    ck_assert_int_eq(cs_json_int(parse("99999999999999999999"), 5), 5);
}
END_TEST

START_TEST(strings)
{
    ck_assert_str_eq(cs_json_text(parse("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"")), "\"\\/\b\f\n\r\t");
    ck_assert_str_eq(cs_json_text(parse("\"\\u00b5\\u20AC\\ud83d\\ude00\"")), "µ€😀");
    ck_assert_str_eq(cs_json_text(parse("\"\\udcb5m\\udcff\"")), "\xb5m\xff");
    ck_assert_str_eq(cs_json_text(parse("\"µ\"")), "µ");
    ck_assert_str_eq(cs_json_text(parse("\"\"")), "");
}
END_TEST

START_TEST(what_is_no_json)
{
    static const char *const texts[] = {
        "",         "{",       "[1,]",      "{\"a\"}",     "{\"a\":}",    "{a:1}",
        "01",       "1.",      "1e",        "-",           "+1",          "nul",
        "\"a",      "\"\\x\"", "\"\\u12\"", "\"\\ud800\"", "\"\\udc00\"", "\"\\u0000\"",
        "\"a\nb\"", "1 2",     "[1 2]",     "{\"a\":1,}",  "]",           "\"\\ud800\\u0041\"",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        refuse(texts[i]);
    char deep[81] = {0};
    memset(deep, '[', 40);
    memset(deep + 40, ']', 40);
    refuse(deep);
    memset(deep, ' ', 80);
    memset(deep + 8, '[', 32);
    memset(deep + 40, ']', 32);
    parse(deep);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base/json_read");
    TCase *core = tcase_create("core");
    tcase_add_test(core, values);
    tcase_add_test(core, strings);
    suite_add_tcase(suite, core);
    TCase *limits = tcase_create("limits");
    tcase_add_test(limits, what_is_no_json);
    suite_add_tcase(suite, limits);
    int status = suite_run(suite);
    cs_arena_release(&arena);
    return status;
}
