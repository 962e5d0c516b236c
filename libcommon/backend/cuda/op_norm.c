// SPDX-License-Identifier: MIT
// Norms and Softmax.
#include <string.h>

#include "backend/cuda/call.h"

// ---- Over space ----------------------------------------------------------------------------

static int run_norm(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                    struct cs_err *err)
{
    const struct cs_node *node = step->node;
    bool batch = strcmp(node->op, "BatchNormalization") == 0;
    struct cs_cuda_norm norm = {.in = cs_cuda_in(step, run, 0),
                                .out = cs_cuda_out(step, run, 0),
                                .add = cs_cuda_added(step, run),
                                .scale = cs_cuda_in(step, run, 1),
                                .shift = cs_cuda_in(step, run, 2),
                                .epsilon = cs_node_float(node, "epsilon", 1e-5F),
                                .activation = cs_cuda_fused(node),
                                .scratch = (float *)(void *)run->scratch,
                                .counters = run->counters};
    (void)err;
    if (!norm.out.data)
        return 0;
    norm.sums = cs_cuda_sums(run, node->inputs[0]);
    norm.pitch = cs_cuda_late_pitch(norm.in.dim[1]);
    norm.groups = cs_node_int(node, "num_groups", norm.in.dim[1]);
    if (batch) {
        norm.mean = cs_cuda_in(step, run, 3);
        norm.variance = cs_cuda_in(step, run, 4);
    }
    enum cs_cuda_type type;
    void *map = cs_cuda_map(run, node->outputs[0], &type);
    if (map)
        return cs_cuda_norm_map(run->stream, &norm, type, map);
    if (node->fusion.add >= 0)
        norm.add_map = cs_cuda_map(run, node->fusion.add, &type);
    return cs_cuda_norm_launch(run->stream, &norm);
}

static int build_norm(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    const struct cs_shape *in = &cs_node_input(cs_cuda_graph(plan), node, 0)->shape;
    cs_cuda_need_scratch(plan, cs_cuda_norm_floats(in->dim[0], in->dim[1]) * sizeof(float));
    cs_cuda_defer(plan, node);
    return cs_cuda_build_call(plan, node, (struct cs_cuda_inputs){.exact = ~1ULL}, run_norm, err);
}

// ---- Along rows ----------------------------------------------------------------------------

static int run_layer_norm(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                          struct cs_err *err)
{
    struct cs_cuda_layer_norm norm = {
        .rows = {.in = cs_cuda_in(step, run, 0), .out = cs_cuda_out(step, run, 0)},
        .scale = cs_cuda_in(step, run, 1),
        .shift = cs_cuda_in(step, run, 2),
        .mean = cs_cuda_out(step, run, 1),
        .factor = cs_cuda_out(step, run, 2),
        .epsilon = cs_node_float(step->node, "epsilon", 1e-5F)};
    if (!norm.rows.out.data)
        return 0;
    if (cs_node_axis(step->node, -1, norm.rows.in.rank, &norm.rows.first, err) < 0)
        return -1;
    norm.rows.last = norm.rows.in.rank - 1;
    return cs_cuda_layer_norm_launch(run->stream, &norm);
}

static int build_layer_norm(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    return cs_cuda_build_call(plan, node, (struct cs_cuda_inputs){.exact = ~1ULL}, run_layer_norm,
                              err);
}

static int run_softmax(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                       struct cs_err *err)
{
    const struct cs_cuda_call *call = cs_cuda_call_of(step);
    struct cs_cuda_rows rows = {.in = cs_cuda_in(step, run, 0), .out = cs_cuda_out(step, run, 0)};
    if (!rows.out.data)
        return 0;
    if (cs_node_softmax(call->graph, call->node, &rows.first, &rows.last, err) < 0)
        return -1;
    return cs_cuda_softmax(run->stream, &rows);
}

static int build_softmax(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    return cs_cuda_build_call(plan, node, (struct cs_cuda_inputs){.unread = ~1ULL}, run_softmax,
                              err);
}

const struct cs_cuda_op cs_cuda_norm_ops[] = {
    {"InstanceNormalization", build_norm, NULL, true},
    {"GroupNormalization", build_norm, NULL, true},
    {"BatchNormalization", build_norm, NULL, true},
    {"LayerNormalization", build_layer_norm, NULL, false},
    {"Softmax", build_softmax, NULL, false},
    {NULL, NULL, NULL, false},
};
