// SPDX-License-Identifier: MIT
// A whole network on one backend, for tests and benchmarks: from the model file to a dense output.
#ifndef TESTS_SUPPORT_NETRUN_H
#define TESTS_SUPPORT_NETRUN_H

#include "backend/backend.h"
#include "model/onnx.h"

struct netrun {
    const struct cs_backend *backend;
    struct cs_onnx *file;
    struct cs_graph graph, concrete;
    struct cs_device *device;
    struct cs_network *network;
    struct cs_plan *plan;
    struct cs_slot *slot;
};
// One plan for these input shapes. On failure everything is released.
int netrun_open(struct netrun *run, const char *path, const char *backend,
                const struct cs_shape *inputs, int input_count, int threads, struct cs_err *err);
// The same with convolutions by direct sums only (backend.h, plan_open).
int netrun_open_direct(struct netrun *run, const char *path, const char *backend,
                       const struct cs_shape *inputs, int input_count, int threads,
                       struct cs_err *err);
// The second half of netrun_open: from a graph and file that are in place, all else zero. The
// caller closes, also on failure.
int netrun_start(struct netrun *run, const char *backend, const struct cs_shape *inputs,
                 int threads, bool direct, struct cs_err *err);
const struct cs_shape *netrun_output_shape(const struct netrun *run, int output);
// As run_tensors of a backend: one dense tensor an input and output.
int netrun_run(struct netrun *run, const float *const *inputs, float *const *outputs,
               struct cs_err *err);
void netrun_close(struct netrun *run);

#endif
