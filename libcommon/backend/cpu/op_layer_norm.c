// SPDX-License-Identifier: MIT
// LayerNormalization: each row, all axes from `axis` on, by its own mean and variance.
#include <stdio.h>

#include "backend/cpu/cpu.h"
#include "graph/params.h"

struct layer_norm {
    struct cs_cpu_place src, dst, scale, shift;
    bool shifted;
    int64_t rows, count;
    double epsilon;
};

enum { PARALLEL_FROM = 16384 }; // values from which threads are worth waking

static int run_layer_norm(const struct cs_cpu_step *step, const struct cs_cpu_run *run,
                          struct cs_err *err)
{
    (void)err;
    const struct layer_norm *norm = step->params;
    const float *src = cs_cpu_at(run, norm->src), *scale = cs_cpu_at(run, norm->scale);
    const float *shift = norm->shifted ? cs_cpu_at(run, norm->shift) : NULL;
    float *dst = cs_cpu_at(run, norm->dst);
#pragma omp parallel for schedule(static) if (norm->rows * norm->count >= PARALLEL_FROM)
    for (int64_t i = 0; i < norm->rows; i++)
        run->kernels->layer_norm(dst + i * norm->count, src + i * norm->count, norm->count, scale,
                                 shift, norm->epsilon);
    return 0;
}

static int build_layer_norm(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    const struct cs_shape *shape = &cs_node_input(plan->graph, node, 0)->shape;
    int axis;
    if (cs_node_axis(node, -1, shape->rank, &axis, err) != 0)
        return -1;
    if (plan->channels_last[node->inputs[0]] || plan->channels_last[node->outputs[0]]) {
        cs_cpu_build_plain(plan, node); // rows lie in pieces
        return 0;
    }
    struct layer_norm *norm = cs_cpu_params(plan, sizeof *norm);
    norm->src = cs_cpu_place_of(plan, node->inputs[0]);
    norm->dst = cs_cpu_place_of(plan, node->outputs[0]);
    norm->scale = cs_cpu_place_of(plan, node->inputs[1]);
    norm->shifted = cs_node_input(plan->graph, node, 2) != NULL;
    if (norm->shifted)
        norm->shift = cs_cpu_place_of(plan, node->inputs[2]);
    norm->rows = norm->count = 1;
    for (int d = 0; d < shape->rank; d++)
        *(d < axis ? &norm->rows : &norm->count) *= shape->dim[d];
    norm->epsilon = (double)cs_node_float(node, "epsilon", 1e-5F);
    cs_cpu_add_step(plan, node, run_layer_norm, norm);
    return cs_cpu_build_fusion(plan, node, true, err);
}

static bool supports(const struct cs_graph *graph, const struct cs_node *node, char *why,
                     size_t why_size)
{
    for (int i = 1; i < node->output_count; i++) {
        const struct cs_value *value = cs_node_output(graph, node, i);
        if (value && value->uses > 0) {
            snprintf(why, why_size, "mean and deviation are no outputs here");
            return false;
        }
    }
    return true;
}

const struct cs_cpu_op cs_cpu_layer_norm_ops[] = {
    {"LayerNormalization", build_layer_norm, supports, true, CS_CPU_OVERWRITES_INPUT},
    {0},
};
