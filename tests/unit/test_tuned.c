// SPDX-License-Identifier: MIT
// infer/tuned.h
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "infer/tuned.h"
#include "suite.h"

static const struct cs_device_choice device = {.backend = "ref"};
static struct cs_package package = {
    .weights_sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"};
static char folder[64];

static void make_folder(void)
{
    strncpy(folder, "/tmp/test-tuned-XXXXXX", sizeof folder);
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
    char *command = cs_xasprintf("rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
    free(command);
}

static int read_back(int threads, uint32_t side, struct cs_tuned *tuned, struct cs_err *err)
{
    return cs_tuned_read(folder, &package, &device, threads, side, side, tuned, err);
}

static void keep(int threads, uint32_t side, int slots, int batch)
{
    struct cs_err err = {0};
    const struct cs_tuned tuned = {slots, batch, 12.5};
    ck_assert_msg(cs_tuned_write(folder, &package, &device, threads, side, side, &tuned, &err) == 0,
                  "%s", err.text);
}

START_TEST(core_classes)
{
    ck_assert_uint_eq(cs_tuned_class(1024, 1024), 1024);
    ck_assert_uint_eq(cs_tuned_class(1388, 1040), 1024);
    ck_assert_uint_eq(cs_tuned_class(1500, 1500), 2048);
    ck_assert_uint_eq(cs_tuned_class(256, 320), 256);
    ck_assert_uint_eq(cs_tuned_class(1, 1), 1);
    ck_assert_uint_eq(cs_tuned_class(UINT32_MAX, UINT32_MAX), 1 << 24);
}
END_TEST

START_TEST(core_choice)
{
    struct cs_tuned tuned;
    struct cs_err err = {0};
    ck_assert_int_eq(read_back(2, 256, &tuned, &err), 0);
    keep(2, 256, 2, 4);
    keep(2, 1024, 1, 2);
    keep(2, 512, 3, 1);
    ck_assert_int_eq(read_back(2, 256, &tuned, &err), 1);
    ck_assert_int_eq(tuned.slots, 2);
    ck_assert_int_eq(tuned.batch, 4);
    ck_assert(tuned.images_per_second == 12.5);
    ck_assert_int_eq(read_back(2, 0, &tuned, &err), 1); // any size: the largest
    ck_assert_int_eq(tuned.slots, 1);
    ck_assert_int_eq(tuned.batch, 2);
    ck_assert_int_eq(read_back(2, 2048, &tuned, &err), 0);
    keep(2, 256, 1, 1);
    ck_assert_int_eq(read_back(2, 256, &tuned, &err), 1);
    ck_assert_int_eq(tuned.batch, 1);
    ck_assert_int_eq(read_back(2, 512, &tuned, &err), 1);
}
END_TEST

START_TEST(limits_values)
{
    static const char *const bad[] = {"0", "65", "-1", "two", ""};
    struct cs_tuned tuned;
    struct cs_err err = {0};
    keep(1, 256, 2, 2);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *command = cs_xasprintf(
            "sed -i 's/\"256.slots\":\"[^\"]*\"/\"256.slots\":\"%s\"/' %s/*.json", bad[i], folder);
        ck_assert_int_eq(system(command), 0);
        free(command);
        ck_assert_int_eq(read_back(1, 256, &tuned, &err), -1);
    }
}
END_TEST

START_TEST(limits_broken_file)
{
    struct cs_tuned tuned;
    struct cs_err err = {0};
    keep(1, 256, 2, 2);
    char *command = cs_xasprintf("for f in %s/*.json; do echo '{' >$f; done", folder);
    ck_assert_int_eq(system(command), 0);
    free(command);
    ck_assert_int_eq(read_back(1, 256, &tuned, &err), -1);
    keep(1, 512, 4, 1); // a broken file is replaced
    ck_assert_int_eq(read_back(1, 512, &tuned, &err), 1);
    ck_assert_int_eq(read_back(1, 256, &tuned, &err), 0);
    const struct cs_device_choice none = {.backend = "none"};
    ck_assert_int_eq(cs_tuned_read(folder, &package, &none, 1, 0, 0, &tuned, &err), -1);
    ck_assert_int_eq(err.code, CS_EDEVICE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("infer/tuned");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_checked_fixture(core, make_folder, remove_folder);
    tcase_add_checked_fixture(limits, make_folder, remove_folder);
    tcase_add_test(core, core_classes);
    tcase_add_test(core, core_choice);
    tcase_add_test(limits, limits_values);
    tcase_add_test(limits, limits_broken_file);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
