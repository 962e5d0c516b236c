// SPDX-License-Identifier: MIT
// onnx-case BACKEND MODEL.onnx INPUT.npy... = OUTPUT.npy...: runs a model on one backend and
// compares every output with a stored one. Prints the largest relative L2 error. Exit status 0
// when it is at most 1e-5 and sizes agree, 1 when not, 4 when the model is refused.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "netrun.h"
#include "npy_tensor.h"

struct files {
    char **inputs, **outputs;
    int input_count, output_count;
};

static int compare(const struct netrun *net, const struct files *files, float *const *outputs,
                   double *worst, struct cs_err *err)
{
    for (int i = 0; i < files->output_count; i++) {
        struct npy_tensor expected;
        const struct cs_shape *shape = netrun_output_shape(net, i);
        if (npy_tensor_read(files->outputs[i], &expected, err) < 0)
            return -1;
        bool same = cs_shape_equal(shape, &expected.shape);
        double zero = 0;
        for (int64_t k = 0; same && k < expected.elements; k++)
            zero = fmax(zero, fabs((double)outputs[i][k]) + fabs(expected.data[k]));
        double error = !same ? INFINITY : zero == 0 ? 0 : npy_tensor_error(outputs[i], &expected);
        *worst = fmax(*worst, error);
        npy_tensor_release(&expected);
    }
    return 0;
}

static int run(const char *backend, const char *path, const struct files *files, double *worst,
               struct cs_err *err)
{
    struct npy_tensor inputs[CS_MAX_NODE_IO] = {0};
    struct cs_shape shapes[CS_MAX_NODE_IO];
    float *in[CS_MAX_NODE_IO] = {NULL}, *out[CS_MAX_NODE_IO] = {NULL};
    struct netrun net = {0};
    int result = 0;
    for (int i = 0; result == 0 && i < files->input_count; i++) {
        result = npy_tensor_read(files->inputs[i], &inputs[i], err);
        in[i] = result == 0 ? npy_tensor_floats(&inputs[i]) : NULL;
        shapes[i] = inputs[i].shape;
    }
    if (result == 0)
        result = netrun_open(&net, path, backend, shapes, files->input_count, 2, err);
    if (result == 0 && net.concrete.output_count != files->output_count)
        result = cs_fail(err, CS_EMODEL, "%d outputs", net.concrete.output_count);
    for (int i = 0; result == 0 && i < files->output_count; i++)
        out[i] =
            cs_xcalloc((size_t)cs_shape_elements(netrun_output_shape(&net, i)) + 1, sizeof **out);
    if (result == 0)
        result = netrun_run(&net, (const float *const *)in, out, err);
    if (result == 0)
        result = compare(&net, files, out, worst, err);
    netrun_close(&net);
    for (int i = 0; i < CS_MAX_NODE_IO; i++) {
        npy_tensor_release(&inputs[i]);
        free(in[i]);
        free(out[i]);
    }
    return result;
}

int main(int argc, char **argv)
{
    struct cs_err err = {0};
    struct files files = {.inputs = argv + 3};
    double worst = 0;
    int equals = 3;
    while (equals < argc && strcmp(argv[equals], "=") != 0)
        equals++;
    files.input_count = equals - 3;
    files.outputs = argv + equals + 1;
    files.output_count = argc - equals - 1;
    if (argc < 4 || files.output_count < 1 || files.input_count > CS_MAX_NODE_IO ||
        files.output_count > CS_MAX_NODE_IO) {
        fprintf(stderr, "usage: onnx-case BACKEND MODEL.onnx INPUT.npy... = OUTPUT.npy...\n");
        return 2;
    }
    int result = run(argv[1], argv[2], &files, &worst, &err);
    if (result < 0) {
        fprintf(stderr, "onnx-case: %s\n", err.text);
        return cs_err_status(err.code);
    }
    printf("%.2e\n", worst);
    return !(worst <= 1e-5);
}
