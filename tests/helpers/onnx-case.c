// SPDX-License-Identifier: MIT
// onnx-case BACKEND MODEL.onnx INPUT.npy... = OUTPUT.npy...: runs a model on one backend and
// compares every output with a stored one. Prints the largest relative L2 error. Exit status 0
// when it is at most 1e-5 and sizes agree, 1 when not, 4 when the model is refused.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/mem.h"
#include "model/onnx.h"
#include "npy_tensor.h"

struct files {
    char **inputs, **outputs;
    int input_count, output_count;
};

struct engine {
    const struct cs_backend *backend;
    struct cs_onnx *file;
    struct cs_graph graph, concrete;
    struct cs_device *device;
    struct cs_network *network;
    struct cs_plan *plan;
    struct cs_slot *slot;
};

static int engine_open(struct engine *e, const char *path, const struct npy_tensor *inputs,
                       int count, struct cs_err *err)
{
    struct cs_device_options options = {.threads = 2};
    struct cs_shape shapes[CS_MAX_NODE_IO];
    if (cs_onnx_read(path, &e->graph, &e->file, err) < 0)
        return -1;
    if (e->graph.input_count != count)
        return cs_fail(err, CS_EMODEL, "%d inputs", e->graph.input_count);
    for (int i = 0; i < count; i++)
        shapes[i] = inputs[i].shape;
    return cs_graph_run_passes(&e->graph, CS_PASSES_ALGEBRA, err) < 0 ||
                   cs_graph_infer(&e->graph, shapes, &e->concrete, err) < 0 ||
                   cs_graph_run_passes(&e->concrete, e->backend->passes, err) < 0 ||
                   e->backend->device_open(&options, &e->device, err) < 0 ||
                   e->backend->network_open(e->device, &e->network, err) < 0 ||
                   e->backend->plan_open(e->network, &e->concrete, &e->plan, err) < 0 ||
                   e->backend->slot_open(e->network, &e->plan, 1, &e->slot, err) < 0
               ? -1
               : 0;
}

static int compare(struct engine *e, const struct files *files, float **outputs, double *worst,
                   struct cs_err *err)
{
    for (int i = 0; i < files->output_count; i++) {
        struct npy_tensor expected;
        const struct cs_shape *shape = &e->concrete.values[e->concrete.outputs[i]].shape;
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

static int run(struct engine *e, const char *path, const struct files *files, double *worst,
               struct cs_err *err)
{
    struct npy_tensor inputs[CS_MAX_NODE_IO] = {0};
    float *in[CS_MAX_NODE_IO] = {NULL}, *out[CS_MAX_NODE_IO] = {NULL};
    int result = 0;
    for (int i = 0; result == 0 && i < files->input_count; i++) {
        result = npy_tensor_read(files->inputs[i], &inputs[i], err);
        in[i] = result == 0 ? npy_tensor_floats(&inputs[i]) : NULL;
    }
    if (result == 0)
        result = engine_open(e, path, inputs, files->input_count, err);
    if (result == 0 && e->concrete.output_count != files->output_count)
        result = cs_fail(err, CS_EMODEL, "%d outputs", e->concrete.output_count);
    for (int i = 0; result == 0 && i < files->output_count; i++)
        out[i] = cs_xcalloc(
            (size_t)cs_shape_elements(&e->concrete.values[e->concrete.outputs[i]].shape) + 1,
            sizeof **out);
    if (result == 0)
        result = e->backend->run_tensors(e->slot, e->plan, (const void *const *)in,
                                         (void *const *)out, err);
    if (result == 0)
        result = compare(e, files, out, worst, err);
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
    struct engine e = {.backend = cs_backend_find(argv[1])};
    if (!e.backend) {
        fprintf(stderr, "onnx-case: no backend %s\n", argv[1]);
        return 2;
    }
    int result = run(&e, argv[2], &files, &worst, &err);
    e.backend->slot_close(e.slot);
    e.backend->plan_close(e.plan);
    e.backend->network_close(e.network);
    e.backend->device_close(e.device);
    cs_graph_release(&e.concrete);
    cs_graph_release(&e.graph);
    cs_onnx_free(e.file);
    if (result < 0) {
        fprintf(stderr, "onnx-case: %s\n", err.text);
        return cs_err_status(err.code);
    }
    printf("%.2e\n", worst);
    return !(worst <= 1e-5);
}
