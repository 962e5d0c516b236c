// SPDX-License-Identifier: MIT
// Tiny networks of the building blocks of other families (tests/golden/export/patterns.py), as two
// exporters write them: inverted residuals with gates, dilated pyramids, attention over tokens and
// windows, norms over channels between permutes, pixel shuffles, several outputs; weights inside
// and in a file beside. At another size than exported, in a batch of two, with each instruction
// set. The rule: an error of at most twice ONNX Runtime's; on networks this small also anything
// below 1e-6.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "isa.h"
#include "netrun.h"
#include "npy_tensor.h"
#include "suite.h"

#define FOLDER "tests/golden/patterns"
enum { NETWORKS = 16, MAX_OUTPUTS = 4, MODES = 4 };

static const struct {
    const char *backend;
    int isa;
} modes[MODES] = {{"ref", 0}, {"cpu", 0}, {"cpu", 1}, {"cpu", 2}};

static struct network {
    char file[64], name[64];    // "efficient-dynamo", "efficient"
    double errors[MAX_OUTPUTS]; // ONNX Runtime's
    int outputs;
} networks[NETWORKS];

static void read_networks(void)
{
    char line[256];
    FILE *file = fopen(FOLDER "/errors.txt", "r");
    ck_assert_ptr_nonnull(file);
    int count = 0;
    while (fgets(line, sizeof line, file)) {
        ck_assert_int_lt(count, NETWORKS);
        struct network *n = &networks[count++];
        char *rest = NULL, *word = strtok_r(line, " \n", &rest);
        snprintf(n->file, sizeof n->file, "%s", word);
        snprintf(n->name, sizeof n->name, "%.*s", (int)strcspn(word, "-"), word);
        while ((word = strtok_r(NULL, " \n", &rest)) && n->outputs < MAX_OUTPUTS)
            n->errors[n->outputs++] = strtod(word, NULL);
    }
    fclose(file);
    ck_assert_int_eq(count, NETWORKS);
}

static void read_tensor(struct npy_tensor *tensor, const char *name, const char *what)
{
    struct cs_err err = {0};
    char *path = cs_xasprintf(FOLDER "/%s-%s.npy", name, what);
    ck_assert_msg(npy_tensor_read(path, tensor, &err) == 0, "%s", err.text);
    free(path);
}

static void check_outputs(const struct network *n, const struct netrun *run, float *const *out,
                          const char *backend)
{
    for (int i = 0; i < n->outputs; i++) {
        struct npy_tensor expected;
        char what[32];
        snprintf(what, sizeof what, "expected-%d", i);
        read_tensor(&expected, n->name, what);
        ck_assert(cs_shape_equal(netrun_output_shape(run, i), &expected.shape));
        double error = npy_tensor_error(out[i], &expected);
        ck_assert_msg(error <= fmax(2 * n->errors[i], 1e-6),
                      "%s output %d on %s: error %.2e, ONNX Runtime %.2e", n->file, i, backend,
                      error, n->errors[i]);
        npy_tensor_release(&expected);
    }
}

START_TEST(core)
{
    const struct network *n = &networks[_i / MODES];
    const char *backend = modes[_i % MODES].backend;
    struct cs_err err = {0};
    struct npy_tensor input;
    struct netrun run;
    float *out[MAX_OUTPUTS] = {NULL};
    read_networks();
    isa_limit(modes[_i % MODES].isa);
    read_tensor(&input, n->name, "input");
    char *path = cs_xasprintf(FOLDER "/%s.onnx", n->file);
    ck_assert_msg(netrun_open(&run, path, backend, &input.shape, 1, 2, &err) == 0, "%s: %s", path,
                  err.text);
    ck_assert_int_eq(run.concrete.output_count, n->outputs);
    float *in = npy_tensor_floats(&input);
    for (int i = 0; i < n->outputs; i++)
        out[i] = cs_xcalloc((size_t)cs_shape_elements(netrun_output_shape(&run, i)), sizeof **out);
    ck_assert_msg(netrun_run(&run, (const float *const *)&in, out, &err) == 0, "%s", err.text);
    check_outputs(n, &run, out, backend);
    netrun_close(&run);
    npy_tensor_release(&input);
    for (int i = 0; i < n->outputs; i++)
        free(out[i]);
    free(in);
    free(path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("patterns");
    TCase *tests = tcase_create("core");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, core, 0, NETWORKS * MODES);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
