// SPDX-License-Identifier: MIT
// net-error BACKEND MODEL.onnx INPUT.npy EXPECTED.npy [ERROR]: runs a network on one backend and
// prints its relative L2 error against a stored output. With ERROR, another engine's error on the
// same input, also the ratio; the exit status is 1 when it is above 2.
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/num.h"
#include "netrun.h"
#include "npy_tensor.h"

static int measure(char **argv, double *error, struct cs_err *err)
{
    struct npy_tensor input = {0}, expected = {0};
    struct netrun run = {0};
    float *in = NULL, *out = NULL;
    int result = -1;
    if (npy_tensor_read(argv[3], &input, err) < 0 || npy_tensor_read(argv[4], &expected, err) < 0 ||
        netrun_open(&run, argv[2], argv[1], &input.shape, 1, 0, err) < 0)
        goto done;
    if (cs_shape_elements(netrun_output_shape(&run, 0)) != expected.elements) {
        cs_fail(err, CS_EMODEL, "the output has another size than %s", argv[4]);
        goto done;
    }
    in = npy_tensor_floats(&input);
    out = cs_xcalloc((size_t)expected.elements, sizeof *out);
    result = netrun_run(&run, (const float *const *)&in, &out, err);
    if (result == 0)
        *error = npy_tensor_error(out, &expected);
done:
    netrun_close(&run);
    npy_tensor_release(&input);
    npy_tensor_release(&expected);
    free(in);
    free(out);
    return result;
}

int main(int argc, char **argv)
{
    struct cs_err err = {0};
    double error = 0, rival = 0;
    if (argc < 5 || argc > 6) {
        fprintf(stderr, "usage: net-error BACKEND MODEL.onnx INPUT.npy EXPECTED.npy [ERROR]\n");
        return 2;
    }
    if ((argc == 6 && cs_num_real(argv[5], 0, 1, "ERROR", &rival, &err) < 0) ||
        measure(argv, &error, &err) < 0) {
        fprintf(stderr, "net-error: %s\n", err.text);
        return cs_err_status(err.code);
    }
    if (argc == 5) {
        printf("%.3e\n", error);
        return 0;
    }
    printf("%.3e ratio %.2f\n", error, error / rival);
    return error > 2 * rival;
}
