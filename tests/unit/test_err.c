// SPDX-License-Identifier: MIT
// base/err.h
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "suite.h"

START_TEST(core_fail)
{
    struct cs_err err = {0};
    ck_assert_int_eq(cs_fail(&err, CS_EMODEL, "node %d", 7), -1);
    ck_assert_int_eq(err.code, CS_EMODEL);
    ck_assert_str_eq(err.text, "node 7");
    ck_assert_int_eq(cs_err_context(&err, "%s", "net.onnx"), -1);
    ck_assert_str_eq(err.text, "net.onnx: node 7");
    ck_assert_int_eq(err.code, CS_EMODEL);
}
END_TEST

START_TEST(core_errno)
{
    struct cs_err err = {0};
    errno = ENOENT;
    ck_assert_int_eq(cs_fail_errno(&err, CS_EIO, "%s", "a.tif"), -1);
    ck_assert_str_eq(err.text, "a.tif: No such file or directory");
    ck_assert_int_eq(err.code, CS_EIO);
    ck_assert_int_eq(errno, ENOENT);
    errno = ENOMEM; // said as what it is, whatever the caller expected
    cs_fail_errno(&err, CS_EIO, "map");
    ck_assert_int_eq(err.code, CS_ENOMEM);
}
END_TEST

START_TEST(core_statuses)
{
    static const struct {
        enum cs_code code;
        int status;
        const char *item;
    } expected[] = {
        {CS_OK, 0, "UNKNOWN"},           {CS_EUSAGE, 2, "UNKNOWN"},     {CS_ENOINPUT, 3, "UNKNOWN"},
        {CS_EINPUT, 1, "INVALID_IMAGE"}, {CS_EMODEL, 4, "MODEL_ERROR"}, {CS_EDEVICE, 5, "UNKNOWN"},
        {CS_ENOMEM, 5, "OUT_OF_MEMORY"}, {CS_ETIMEOUT, 5, "TIMEOUT"},   {CS_ESTREAM, 6, "UNKNOWN"},
        {CS_EIO, 1, "INVALID_IMAGE"},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        ck_assert_int_eq(cs_err_status(expected[i].code), expected[i].status);
        ck_assert_str_eq(cs_err_item_code(expected[i].code), expected[i].item);
    }
}
END_TEST

START_TEST(limits_long)
{
    struct cs_err err = {0};
    char text[2 * sizeof err.text];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    cs_fail(&err, CS_EIO, "%s", text);
    ck_assert_uint_eq(strlen(err.text), sizeof err.text - 1);
    errno = EIO;
    cs_fail_errno(&err, CS_EIO, "%s", text);
    ck_assert_uint_eq(strlen(err.text), sizeof err.text - 1);
    cs_err_context(&err, "%s", text);
    ck_assert_uint_eq(strlen(err.text), sizeof err.text - 1);
    cs_err_context(&err, "short");
    ck_assert_int_eq(strncmp(err.text, "short: xxx", 10), 0);
    // Nobody asked for the message.
    ck_assert_int_eq(cs_fail(NULL, CS_EIO, "x"), -1);
    ck_assert_int_eq(cs_fail_errno(NULL, CS_EIO, "x"), -1);
    ck_assert_int_eq(cs_err_context(NULL, "x"), -1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("err");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_test(core, core_fail);
    tcase_add_test(core, core_errno);
    tcase_add_test(core, core_statuses);
    tcase_add_test(limits, limits_long);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
