// SPDX-License-Identifier: MIT
// Resize and Upsample of height and width. Linear: a row of the output first blends two input rows
// into a buffer of the thread, then blends two pixels of that for each of its own. Which indices
// and weights those are is worked out when the plan is made.
#include <math.h>
#include <omp.h>
#include <stdio.h>

#include "backend/cpu/cpu.h"
#include "graph/params.h"

struct tap {
    int32_t low, high;
    float low_weight, high_weight;
};

struct resize {
    struct cs_cpu_place src, dst, add;
    bool linear, adding;
    int64_t batch, channels, in[2], out[2];
    struct tap *taps[2]; // rows, columns
    struct cs_cpu_activation activation;
};

static void blend_row(const struct resize *r, const struct cs_kernels *kernels, const float *row,
                      const float *add, float *dst)
{
    int64_t channels = r->channels;
    for (int64_t x = 0; x < r->out[1]; x++, dst += channels) {
        const struct tap *tap = &r->taps[1][x];
        const float *low = row + tap->low * channels, *high = row + tap->high * channels;
        if (channels < 8) {
            for (int64_t c = 0; c < channels; c++)
                dst[c] = low[c] * tap->low_weight + high[c] * tap->high_weight +
                         (add ? add[x * channels + c] : 0);
            continue;
        }
        const float *src[] = {low, high, add ? add + x * channels : NULL};
        const float weight[] = {tap->low_weight, tap->high_weight, 1};
        kernels->sum_of(dst, src, weight, add ? 3 : 2, channels);
    }
}

static void linear_row(const struct resize *r, const struct cs_cpu_run *run, int64_t row,
                       const float *add, float *dst)
{
    const struct tap *tap = &r->taps[0][row % r->out[0]];
    int64_t floats = r->in[1] * r->channels;
    const float *image = cs_cpu_at(run, r->src) + row / r->out[0] * r->in[0] * floats;
    const float *rows[] = {image + tap->low * floats, image + tap->high * floats};
    const float weight[] = {tap->low_weight, tap->high_weight};
    float *buffer = (float *)(void *)run->scratch + omp_get_thread_num() * floats;
    if (tap->high_weight != 0) {
        run->kernels->sum_of(buffer, rows, weight, 2, floats);
        rows[0] = buffer;
    }
    blend_row(r, run->kernels, rows[0], add, dst);
}

static void nearest_row(const struct resize *r, const struct cs_cpu_run *run, int64_t row,
                        const float *add, float *dst)
{
    int64_t y = row / r->out[0] * r->in[0] + r->taps[0][row % r->out[0]].low;
    const float *line = cs_cpu_at(run, r->src) + y * r->in[1] * r->channels;
    for (int64_t x = 0; x < r->out[1]; x++) {
        const float *from = line + r->taps[1][x].low * r->channels;
        for (int64_t c = 0; c < r->channels; c++)
            dst[x * r->channels + c] = from[c] + (add ? add[x * r->channels + c] : 0);
    }
}

static int run_resize(const struct cs_cpu_step *step, const struct cs_cpu_run *run,
                      struct cs_err *err)
{
    (void)err;
    const struct resize *r = step->params;
    int64_t floats = r->out[1] * r->channels;
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < r->batch * r->out[0]; row++) {
        float *dst = cs_cpu_at(run, r->dst) + row * floats;
        const float *add = r->adding ? cs_cpu_at(run, r->add) + row * floats : NULL;
        if (r->linear)
            linear_row(r, run, row, add, dst);
        else
            nearest_row(r, run, row, add, dst);
        if (r->activation.unary != CS_UNARY_IDENTITY)
            run->kernels->unary[r->activation.unary](dst, dst, floats, r->activation.alpha,
                                                     r->activation.beta);
    }
    return 0;
}

static struct tap *make_taps(struct cs_plan *plan, const struct cs_resize *params, int axis)
{
    struct tap *taps = cs_cpu_params(plan, (size_t)params->out[axis] * sizeof *taps);
    for (int64_t i = 0; i < params->out[axis]; i++) {
        if (params->mode == CS_RESIZE_NEAREST) {
            taps[i].low = (int32_t)cs_resize_pick(params, axis, i);
            continue;
        }
        double last = (double)(params->in[axis] - 1);
        double at = cs_resize_source(params, axis, i);
        at = at < 0 ? 0 : at > last ? last : at;
        taps[i].low = (int32_t)floor(at);
        taps[i].high = taps[i].low < (int32_t)last ? taps[i].low + 1 : taps[i].low;
        taps[i].high_weight = (float)(at - floor(at));
        taps[i].low_weight = (float)(1 - (at - floor(at)));
    }
    return taps;
}

static int build_resize(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    struct resize *r = cs_cpu_params(plan, sizeof *r);
    const struct cs_graph *graph = plan->graph;
    const struct cs_shape *in = &cs_node_input(graph, node, 0)->shape;
    struct cs_resize params;
    if (cs_node_resize(graph, node, &params, err) != 0)
        return -1;
    r->src = cs_cpu_place_of(plan, node->inputs[0]);
    r->dst = cs_cpu_place_of(plan, node->outputs[0]);
    r->linear = params.mode == CS_RESIZE_LINEAR;
    r->batch = in->dim[0];
    r->channels = in->dim[1];
    for (int i = 0; i < 2; i++) {
        r->in[i] = params.in[i];
        r->out[i] = params.out[i];
        r->taps[i] = make_taps(plan, &params, i);
    }
    int add = node->fusion.add;
    bool add_left = false;
    if (add >= 0) {
        const struct cs_value *value = &graph->values[add];
        r->adding =
            !value->data && cs_shape_equal(&value->shape, &cs_node_output(graph, node, 0)->shape);
        add_left = !r->adding;
        if (r->adding)
            r->add = cs_cpu_place_of(plan, add);
    }
    if (!add_left)
        cs_cpu_activation_of(&node->fusion, &r->activation);
    cs_cpu_need_scratch(plan, (size_t)(plan->network->device->threads * r->in[1] * r->channels) *
                                  sizeof(float));
    cs_cpu_add_step(plan, node, run_resize, r);
    return add_left ? cs_cpu_build_fusion(plan, node, true, err) : 0;
}

static bool supports(const struct cs_graph *graph, const struct cs_node *node, char *why,
                     size_t why_size)
{
    const struct cs_value *in = cs_node_input(graph, node, 0);
    struct cs_resize params;
    if (!in || in->shape.rank != 4 || in->data)
        snprintf(why, why_size, "input is not an N, C, H, W activation");
    else if (cs_node_resize(graph, node, &params, NULL) != 0 || cs_resize_is_special(&params))
        snprintf(why, why_size, "only nearest and linear resizing of whole planes are supported");
    else
        return true;
    return false;
}

const struct cs_cpu_op cs_cpu_resize_ops[] = {
    {"Resize", build_resize, supports, true, CS_CPU_OVERWRITES_NOTHING},
    {"Upsample", build_resize, supports, true, CS_CPU_OVERWRITES_NOTHING},
    {0},
};
