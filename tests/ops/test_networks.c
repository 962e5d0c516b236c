// SPDX-License-Identifier: MIT
// Whole networks against stored outputs in double precision: small variants of the three that the
// engine is measured with, with each instruction set, and, where CELLSTREAM_NETWORKS names a folder
// written by tests/golden/export/export.py, the full ones at 256x256. The rule: an error of at most
// twice ONNX Runtime's, with direct convolutions and with Winograd's; on the small ones, whose
// planes of a few pixels magnify rounding by chance, also anything below 2e-5, and below 5e-5 with
// SSE4.1, which rounds between product and sum.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/mem.h"
#include "isa.h"
#include "netrun.h"
#include "npy_tensor.h"
#include "suite.h"

static const char *const names[] = {"unet", "cbam_resunet", "hrnet"};
static const struct {
    const char *backend;
    bool direct;
    int isa;
    double enough; // of the small networks
} modes[] = {
    {"ref", true, 0, 2e-5}, {"cpu", true, 0, 2e-5},  {"cpu", false, 0, 2e-5},
    {"cpu", true, 1, 2e-5}, {"cpu", false, 1, 2e-5}, {"cpu", false, 2, 5e-5},
};
enum { MODES = sizeof modes / sizeof *modes, FULL_MODES = 3 };

// ONNX Runtime's error from errors.json.
static double rival_error(const char *folder, const char *key)
{
    struct cs_err err = {0};
    struct cs_buf text = {0};
    char *path = cs_xasprintf("%s/errors.json", folder);
    ck_assert_msg(cs_read_file(path, 1 << 20, &text, &err) == 0, "%s", err.text);
    char *quoted = cs_xasprintf("\"%s\"", key), *at = strstr(text.data, quoted);
    ck_assert_ptr_nonnull(at);
    at = strstr(at, "\"onnxruntime\": ");
    ck_assert_ptr_nonnull(at);
    double error = strtod(at + strlen("\"onnxruntime\": "), NULL);
    free(quoted);
    free(path);
    cs_buf_release(&text);
    return error;
}

static void check_network(const char *folder, const char *name, const char *size, int mode,
                          double enough)
{
    struct cs_err err = {0};
    struct npy_tensor input, expected;
    struct netrun run;
    isa_limit(modes[mode].isa);
    char *model = cs_xasprintf("%s/%s.onnx", folder, name);
    char *key = cs_xasprintf("%s-%s", name, size);
    char *in_path = cs_xasprintf("%s/%s-input.npy", folder, key);
    char *out_path = cs_xasprintf("%s/%s-expected.npy", folder, key);
    ck_assert_msg(npy_tensor_read(in_path, &input, &err) == 0, "%s", err.text);
    ck_assert_msg(npy_tensor_read(out_path, &expected, &err) == 0, "%s", err.text);
    int (*open)(struct netrun *, const char *, const char *, const struct cs_shape *, int, int,
                struct cs_err *) = modes[mode].direct ? netrun_open_direct : netrun_open;
    const char *backend = modes[mode].backend;
    ck_assert_msg(open(&run, model, backend, &input.shape, 1, 2, &err) == 0, "%s", err.text);
    ck_assert_int_eq(cs_shape_elements(netrun_output_shape(&run, 0)), expected.elements);
    float *in = npy_tensor_floats(&input);
    float *out = cs_xcalloc((size_t)expected.elements, sizeof *out);
    ck_assert_msg(netrun_run(&run, (const float *const *)&in, &out, &err) == 0, "%s", err.text);
    double error = npy_tensor_error(out, &expected), rival = rival_error(folder, key);
    ck_assert_msg(error <= fmax(2 * rival, enough),
                  "%s %s on %s%s, isa %d: error %.2e, ONNX Runtime %.2e", name, size, backend,
                  modes[mode].direct ? ", direct" : "", modes[mode].isa, error, rival);
    netrun_close(&run);
    npy_tensor_release(&input);
    npy_tensor_release(&expected);
    free(in);
    free(out);
    free(model);
    free(key);
    free(in_path);
    free(out_path);
}

START_TEST(core_small)
{
    check_network("tests/golden/networks", names[_i % 3], "64x96", _i / 3, modes[_i / 3].enough);
}
END_TEST

START_TEST(core_full)
{
    check_network(getenv("CELLSTREAM_NETWORKS"), names[_i % 3], "256", _i / 3, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("networks");
    TCase *small = tcase_create("core");
    tcase_set_timeout(small, 100);
    tcase_add_loop_test(small, core_small, 0, 3 * MODES);
    suite_add_tcase(suite, small);
    if (getenv("CELLSTREAM_NETWORKS")) {
        TCase *full = tcase_create("full");
        tcase_set_timeout(full, 600);
        tcase_add_loop_test(full, core_full, 0, 3 * FULL_MODES);
        suite_add_tcase(suite, full);
    } else {
        puts("skip: full networks: CELLSTREAM_NETWORKS is not set");
    }
    return suite_run(suite);
}
