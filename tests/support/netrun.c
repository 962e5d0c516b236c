// SPDX-License-Identifier: MIT
#include "netrun.h"

int netrun_start(struct netrun *run, const char *backend, const struct cs_shape *inputs,
                 int threads, bool direct, struct cs_err *err)
{
    struct cs_device_options options = {.threads = threads};
    run->backend = cs_backend_get(backend, err);
    if (!run->backend)
        return -1;
    return cs_graph_run_passes(&run->graph, CS_PASSES_ALGEBRA, err) < 0 ||
                   cs_graph_infer(&run->graph, inputs, &run->concrete, err) < 0 ||
                   cs_graph_run_passes(&run->concrete, run->backend->passes, err) < 0 ||
                   run->backend->device_open(&options, &run->device, err) < 0 ||
                   run->backend->network_open(run->device, &run->network, err) < 0 ||
                   run->backend->plan_open(run->network, &run->concrete, CS_FP32, direct,
                                           &run->plan, err) < 0 ||
                   run->backend->slot_open(run->network, &run->plan, 1, &run->slot, err) < 0
               ? -1
               : 0;
}

static int open_as(struct netrun *run, const char *path, const char *backend,
                   const struct cs_shape *inputs, int input_count, int threads, bool direct,
                   struct cs_err *err)
{
    *run = (struct netrun){.backend = NULL};
    if (cs_onnx_read(path, &run->graph, &run->file, err) < 0)
        return -1;
    if ((run->graph.input_count != input_count &&
         cs_fail(err, CS_EMODEL, "%d inputs", run->graph.input_count)) ||
        netrun_start(run, backend, inputs, threads, direct, err) < 0) {
        netrun_close(run);
        return -1;
    }
    return 0;
}

int netrun_open(struct netrun *run, const char *path, const char *backend,
                const struct cs_shape *inputs, int input_count, int threads, struct cs_err *err)
{
    return open_as(run, path, backend, inputs, input_count, threads, false, err);
}

int netrun_open_direct(struct netrun *run, const char *path, const char *backend,
                       const struct cs_shape *inputs, int input_count, int threads,
                       struct cs_err *err)
{
    return open_as(run, path, backend, inputs, input_count, threads, true, err);
}

const struct cs_shape *netrun_output_shape(const struct netrun *run, int output)
{
    return &run->concrete.values[run->concrete.outputs[output]].shape;
}

int netrun_run(struct netrun *run, const float *const *inputs, float *const *outputs,
               struct cs_err *err)
{
    const void *in[CS_MAX_NODE_IO];
    void *out[CS_MAX_NODE_IO];
    for (int i = 0; i < run->concrete.input_count; i++)
        in[i] = inputs[i];
    for (int i = 0; i < run->concrete.output_count; i++)
        out[i] = outputs[i];
    return run->backend->run_tensors(run->slot, run->plan, in, out, err);
}

void netrun_close(struct netrun *run)
{
    if (run->backend) {
        run->backend->slot_close(run->slot);
        run->backend->plan_close(run->plan);
        run->backend->network_close(run->network);
        run->backend->device_close(run->device);
    }
    cs_graph_release(&run->concrete);
    cs_graph_release(&run->graph);
    cs_onnx_free(run->file);
    *run = (struct netrun){0};
}
