// SPDX-License-Identifier: MIT
// net-error [--direct] BACKEND MODEL.onnx INPUT.npy EXPECTED.npy...: runs a network on one backend
// (with convolutions by direct sums only) and prints the relative L2 error of each of its outputs,
// in their order, against a stored one.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "netrun.h"
#include "npy_tensor.h"

static int compare(const struct netrun *run, float *const *outputs, char *const *files,
                   struct cs_err *err)
{
    for (int i = 0; i < run->concrete.output_count; i++) {
        struct npy_tensor expected = {0};
        if (npy_tensor_read(files[i], &expected, err) < 0)
            return -1;
        bool same = cs_shape_equal(netrun_output_shape(run, i), &expected.shape);
        if (same)
            printf("%s%.3e", i ? " " : "", npy_tensor_error(outputs[i], &expected));
        npy_tensor_release(&expected);
        if (!same)
            return cs_fail(err, CS_EMODEL, "the output has another shape than %s", files[i]);
    }
    putchar('\n');
    return 0;
}

static int measure(bool direct, char **argv, int file_count, struct cs_err *err)
{
    struct npy_tensor input = {0};
    struct netrun run = {0};
    float *in = NULL, *out[CS_MAX_NODE_IO] = {NULL};
    int result = -1, outputs = 0;
    if (npy_tensor_read(argv[2], &input, err) < 0 ||
        (direct ? netrun_open_direct : netrun_open)(&run, argv[1], argv[0], &input.shape, 1, 0,
                                                    err) < 0)
        goto done;
    outputs = run.concrete.output_count;
    if (outputs != file_count || outputs > CS_MAX_NODE_IO) {
        cs_fail(err, CS_EUSAGE, "the network has %d outputs, %d are given", outputs, file_count);
        outputs = 0;
        goto done;
    }
    in = npy_tensor_floats(&input);
    for (int i = 0; i < outputs; i++)
        out[i] = cs_xcalloc((size_t)cs_shape_elements(netrun_output_shape(&run, i)), sizeof **out);
    result = netrun_run(&run, (const float *const *)&in, out, err);
    if (result == 0)
        result = compare(&run, out, argv + 3, err);
done:
    netrun_close(&run);
    npy_tensor_release(&input);
    free(in);
    for (int i = 0; i < outputs; i++)
        free(out[i]);
    return result;
}

int main(int argc, char **argv)
{
    struct cs_err err = {0};
    bool direct = argc > 1 && strcmp(argv[1], "--direct") == 0;
    if (argc < 5 + direct) {
        fprintf(stderr,
                "usage: net-error [--direct] BACKEND MODEL.onnx INPUT.npy EXPECTED.npy...\n");
        return 2;
    }
    if (measure(direct, argv + 1 + direct, argc - 4 - direct, &err) < 0) {
        fprintf(stderr, "net-error: %s\n", err.text);
        return cs_err_status(err.code);
    }
    return 0;
}
