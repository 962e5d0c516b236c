// SPDX-License-Identifier: MIT
// NPY test tensors: types, and what is refused.
#include <check.h>
#include <string.h>

#include "base/buf.h"
#include "model/npy_tensor.h"
#include "suite.h"

static struct cs_tensor tensor;
static struct cs_err err;

static int parse(const char *header, const void *data, size_t size)
{
    struct cs_buf file = {0};
    size_t len = strlen(header);
    cs_buf_add(&file, "\x93NUMPY\x01\x00", 8);
    cs_buf_addc(&file, (char)(len & 255));
    cs_buf_addc(&file, (char)(len >> 8));
    cs_buf_adds(&file, header);
    cs_buf_add(&file, data, size);
    cs_tensor_release(&tensor);
    int result = cs_tensor_parse(&tensor, file.data, file.len, &err);
    cs_buf_release(&file);
    return result;
}

#define HEADER(type, shape) "{'descr': '" type "', 'fortran_order': False, 'shape': " shape ", }\n"

START_TEST(core_types)
{
    const float f[] = {1.5F, -2};
    const double d[] = {0.25, 8};
    const uint16_t u[] = {7, 65535};
    const int64_t i[] = {-1, 3};
    ck_assert_int_eq(parse(HEADER("<f4", "(1, 2)"), f, sizeof f), 0);
    ck_assert_int_eq(tensor.rank, 2);
    ck_assert_int_eq(tensor.dim[1], 2);
    ck_assert_float_eq(tensor.data[1], -2);
    ck_assert_int_eq(parse(HEADER("<f8", "(2,)"), d, sizeof d), 0);
    ck_assert_float_eq(tensor.data[0], 0.25F);
    ck_assert_int_eq(parse(HEADER("<u2", "(2,)"), u, sizeof u), 0);
    ck_assert_float_eq(tensor.data[1], 65535);
    ck_assert_int_eq(parse(HEADER("<i8", "(2, 1)"), i, sizeof i), 0);
    ck_assert_float_eq(tensor.data[0], -1);
    ck_assert_int_eq(parse(HEADER("<f4", "()"), f, 4), 0);
    ck_assert_int_eq(tensor.rank, 0);
    ck_assert_uint_eq(tensor.count, 1);
    cs_tensor_release(&tensor);
}
END_TEST

START_TEST(limits_refused)
{
    static const char *const headers[] = {
        HEADER("<f4", "(3,)"),
        HEADER(">f4", "(2,)"),
        HEADER("<c8", "(1,)"),
        HEADER("<f4", "(1 2)"),
        HEADER("<f4", "(-2,)"),
        HEADER("<f4", "(2,"),
        HEADER("<f4", "(9999999999, 9999999999)"),
        HEADER("<f4", "(1, 1, 1, 1, 1, 1, 1, 1, 2)"),
        "{'descr': '<f4', 'fortran_order': True, 'shape': (2,), }\n",
        "{'descr': '<f4', 'shape': (2,), }\n",
        "",
    };
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        ck_assert_msg(parse(headers[i], "12345678", 8) == -1, "%s", headers[i]);
        ck_assert_int_eq(err.code, CS_EMODEL);
    }
    for (size_t size = 0; size < 12; size++)
        ck_assert_int_eq(cs_tensor_parse(&tensor, "\x93NUMPY\x01\x00\xff\xff{}", size, &err), -1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("npy_tensor");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_test(core, core_types);
    tcase_add_test(limits, limits_refused);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
