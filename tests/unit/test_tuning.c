// SPDX-License-Identifier: MIT
// infer/tuning.h
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "infer/tuned.h"
#include "infer/tuning.h"
#include "suite.h"

static const struct cs_tuning_key key = {
    "slots", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "cpu: \"one\", 4 threads"};
static char folder[64];

static void make_folder(void)
{
    strncpy(folder, "/tmp/test-tuning-XXXXXX", sizeof folder);
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
    char *command = cs_xasprintf("rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
    free(command);
}

static void write_values(const char *where)
{
    struct cs_meta values = {0};
    struct cs_err err = {0};
    cs_meta_set(&values, "256.slots", "2");
    cs_meta_set(&values, "256.batch", "1");
    ck_assert_msg(cs_tuning_write(where, &key, &values, &err) == 0, "%s", err.text);
    cs_meta_release(&values);
}

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

START_TEST(core_there_and_back)
{
    struct cs_meta values = {0};
    struct cs_buf first = {0}, second = {0};
    struct cs_err err = {0};
    char *deep = cs_xasprintf("%s/a/b", folder), *path = cs_tuning_path(deep, &key);
    ck_assert_int_eq(cs_tuning_read(deep, &key, &values, &err), 0);
    write_values(deep);
    ck_assert_int_eq(cs_tuning_read(deep, &key, &values, &err), 1);
    ck_assert_str_eq(cs_meta_get(&values, "256.slots"), "2");
    ck_assert_str_eq(cs_meta_get(&values, "256.batch"), "1");
    ck_assert_int_eq(values.count, 2);
    ck_assert_int_eq(cs_read_file(path, 4096, &first, &err), 0);
    write_values(deep);
    ck_assert_int_eq(cs_read_file(path, 4096, &second, &err), 0);
    ck_assert_str_eq(first.data, second.data);
    cs_buf_release(&first);
    cs_buf_release(&second);
    cs_meta_release(&values);
    free(path);
    free(deep);
}
END_TEST

START_TEST(core_files_apart)
{
    struct cs_tuning_key other = key;
    struct cs_meta values = {0};
    write_values(folder);
    other.device = "cpu: \"one\", 2 threads";
    ck_assert_int_eq(cs_tuning_read(folder, &other, &values, NULL), 0);
    other = key;
    other.subject = "precision";
    ck_assert_int_eq(cs_tuning_read(folder, &other, &values, NULL), 0);
    other = key;
    other.weights_sha256 = "1123456789abcdef";
    ck_assert_int_eq(cs_tuning_read(folder, &other, &values, NULL), 0);
    ck_assert_int_eq(values.count, 0);
}
END_TEST

START_TEST(core_folder)
{
    unsetenv("CELLSTREAM_CACHE");
    ck_assert_ptr_null(cs_tuning_folder(NULL));
    ck_assert_str_eq(cs_tuning_folder("a"), "a");
    setenv("CELLSTREAM_CACHE", "", 1);
    ck_assert_ptr_null(cs_tuning_folder(NULL));
    setenv("CELLSTREAM_CACHE", "b", 1);
    ck_assert_str_eq(cs_tuning_folder(NULL), "b");
    ck_assert_str_eq(cs_tuning_folder("a"), "a");
}
END_TEST

START_TEST(core_untuned_slots)
{
    static const struct {
        int threads, inputs, slots;
    } cases[] = {
        {1, 0, 1},  {4, 0, 4},  {4, 1000, 4}, {4, 16, 4},   {4, 15, 2},
        {4, 8, 2},  {4, 7, 1},  {4, 1, 1},    {6, 0, 6},    {6, 20, 3},
        {7, 27, 1}, {12, 0, 6}, {9, 0, 3},    {16, 100, 8}, {64, 0, 8},
    };
    const struct cs_device_choice cpu = {.backend = "cpu"}, ref = {.backend = "ref"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_int_eq(cs_untuned_slots(&cpu, cases[i].threads, cases[i].inputs), cases[i].slots);
    ck_assert_int_eq(cs_untuned_slots(&ref, 4, 0), 1);
}
END_TEST

START_TEST(limits_broken_and_foreign)
{
    static const char *const texts[] = {
        "", "{", "[]", "{\"cellstream\":\"tuning\",\"v\":2}",
        "{\"cellstream\":\"tuning\",\"v\":1,\"version\":\"0\",\"values\":{\"256.slots\":\"2\"}}"};
    char *path = cs_tuning_path(folder, &key);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct cs_meta values = {0};
        struct cs_err err = {0};
        put(path, texts[i]);
        ck_assert_int_eq(cs_tuning_read(folder, &key, &values, &err), -1);
        ck_assert_int_eq(err.code, CS_EINPUT);
        ck_assert_ptr_nonnull(strstr(err.text, path));
        ck_assert_int_eq(values.count, 0);
    }
    free(path);
}
END_TEST

// A good file under the name that another device's would have; and values of another kind.
START_TEST(limits_another_device)
{
    struct cs_tuning_key other = key;
    struct cs_meta values = {0};
    struct cs_err err = {0};
    other.device = "ref";
    write_values(folder);
    char *from = cs_tuning_path(folder, &key), *to = cs_tuning_path(folder, &other);
    ck_assert_int_eq(rename(from, to), 0);
    ck_assert_int_eq(cs_tuning_read(folder, &other, &values, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "another device"));
    ck_assert_int_eq(mkdir(from, 0777), 0);
    ck_assert_int_eq(cs_tuning_read(folder, &key, &values, &err), -1);
    ck_assert_int_eq(cs_tuning_write(folder, &key, &values, &err), -1);
    ck_assert_int_eq(err.code, CS_EIO);
    free(from);
    free(to);
}
END_TEST

START_TEST(limits_values)
{
    struct cs_meta values = {0};
    struct cs_err err = {0};
    char *text = cs_xasprintf("{\"cellstream\":\"tuning\",\"v\":1,\"version\":\"%s\",\"subject\":"
                              "\"s\",\"weights\":\"w\",\"device\":\"d\",\"values\":{\"a\":\"1\","
                              "\"b\":2}}",
                              CS_VERSION);
    const struct cs_tuning_key small = {"s", "w", "d"};
    ck_assert_int_eq(cs_tuning_parse(text, strlen(text), &small, &values, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "'b'"));
    ck_assert_int_eq(values.count, 0);
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("infer/tuning");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_checked_fixture(core, make_folder, remove_folder);
    tcase_add_checked_fixture(limits, make_folder, remove_folder);
    tcase_add_test(core, core_there_and_back);
    tcase_add_test(core, core_files_apart);
    tcase_add_test(core, core_folder);
    tcase_add_test(core, core_untuned_slots);
    tcase_add_test(limits, limits_broken_and_foreign);
    tcase_add_test(limits, limits_another_device);
    tcase_add_test(limits, limits_values);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
