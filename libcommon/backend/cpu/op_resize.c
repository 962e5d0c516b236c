// SPDX-License-Identifier: MIT
// Resize and Upsample of height and width: nearest, linear, cubic, antialiased or not. Filters are
// separable: a row of the output first sums weighted rows of the input in a buffer of the thread,
// then weighted pixels of that for each of its own. Which samples and weights those are is worked
// out when the plan is made.
#include <omp.h>
#include <stdio.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "graph/params.h"

enum {
    MAX_TAPS = CS_KERNEL_MAX_TAPS - 1, // one more is the addend
    FEW_CHANNELS = 8,                  // below, a loop beats a call of a kernel
};

// Samples of one axis that make an output index.
struct filter {
    int count;
    const int32_t *at;
    const float *weight;
};

struct resize {
    struct cs_cpu_place src, dst, add;
    bool nearest, adding;
    int64_t batch, channels, in[2], out[2];
    const struct filter *filters[2]; // rows, columns
    struct cs_cpu_activation activation;
};

// A row of few channels: loops of its own, with two samples a pixel where the filter is linear. The
// addend may lie where the result goes.
static void blend_few(const struct resize *r, const float *row, const float *add, float *dst)
{
    int64_t channels = r->channels;
    for (int64_t x = 0; x < r->out[1]; x++, dst += channels) {
        const struct filter *filter = &r->filters[1][x];
        const float *first = row + filter->at[0] * channels;
        const float *addend = add ? add + x * channels : NULL;
        if (filter->count == 2) {
            const float *second = row + filter->at[1] * channels;
            float low = filter->weight[0], high = filter->weight[1];
            for (int64_t c = 0; c < channels; c++)
                dst[c] = first[c] * low + second[c] * high + (addend ? addend[c] : 0);
            continue;
        }
        for (int64_t c = 0; c < channels; c++) {
            float sum = first[c] * filter->weight[0];
            for (int t = 1; t < filter->count; t++)
                sum += row[filter->at[t] * channels + c] * filter->weight[t];
            dst[c] = sum + (addend ? addend[c] : 0);
        }
    }
}

static void blend_row(const struct resize *r, const struct cs_kernels *kernels, const float *row,
                      const float *add, float *dst)
{
    const float *src[CS_KERNEL_MAX_TAPS];
    float with_add[CS_KERNEL_MAX_TAPS];
    int64_t channels = r->channels;
    if (channels < FEW_CHANNELS) {
        blend_few(r, row, add, dst);
        return;
    }
    for (int64_t x = 0; x < r->out[1]; x++, dst += channels) {
        const struct filter *filter = &r->filters[1][x];
        const float *addend = add ? add + x * channels : NULL, *weight = filter->weight;
        int n = filter->count;
        for (int t = 0; t < n; t++)
            src[t] = row + filter->at[t] * channels;
        if (addend) {
            memcpy(with_add, weight, (size_t)n * sizeof *weight);
            src[n] = addend;
            with_add[n++] = 1;
            weight = with_add;
        }
        kernels->sum_of(dst, src, weight, n, channels);
    }
}

static void filter_row(const struct resize *r, const struct cs_cpu_run *run, int64_t row,
                       const float *add, float *dst)
{
    const struct filter *filter = &r->filters[0][row % r->out[0]];
    int64_t floats = r->in[1] * r->channels;
    const float *image = cs_cpu_at(run, r->src) + row / r->out[0] * r->in[0] * floats;
    const float *rows[MAX_TAPS];
    float *buffer = (float *)(void *)run->scratch + omp_get_thread_num() * floats;
    for (int t = 0; t < filter->count; t++)
        rows[t] = image + filter->at[t] * floats;
    if (filter->count > 1 || filter->weight[0] != 1) {
        run->kernels->sum_of(buffer, rows, filter->weight, filter->count, floats);
        rows[0] = buffer;
    }
    blend_row(r, run->kernels, rows[0], add, dst);
}

// Few floats: a call of memcpy would take longer than the copy.
static void copy_pixel(float *dst, const float *src, int64_t channels)
{
    enum { PIECE = 8 };
    for (; channels >= PIECE; channels -= PIECE, dst += PIECE, src += PIECE)
        memcpy(dst, src, PIECE * sizeof *dst);
    for (int64_t c = 0; c < channels; c++)
        dst[c] = src[c];
}

static void nearest_row(const struct resize *r, const struct cs_cpu_run *run, int64_t row,
                        const float *add, float *dst)
{
    int64_t y = row / r->out[0] * r->in[0] + r->filters[0][row % r->out[0]].at[0];
    int64_t channels = r->channels;
    const float *line = cs_cpu_at(run, r->src) + y * r->in[1] * channels;
    for (int64_t x = 0; x < r->out[1]; x++) {
        const float *from = line + r->filters[1][x].at[0] * channels;
        float *to = dst + x * channels;
        if (add)
            run->kernels->binary[CS_BINARY_ADD](to, from, add + x * channels, channels, 1, 1);
        else
            copy_pixel(to, from, channels);
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
        if (r->nearest)
            nearest_row(r, run, row, add, dst);
        else
            filter_row(r, run, row, add, dst);
        if (r->activation.unary != CS_UNARY_IDENTITY)
            run->kernels->unary[r->activation.unary](dst, dst, floats, r->activation.alpha,
                                                     r->activation.beta);
    }
    return 0;
}

// Samples outside are the edge's, whose weights add up.
static int add_tap(int32_t *at, float *weight, int count, int32_t sample, double w)
{
    if (w == 0)
        return count;
    if (count > 0 && at[count - 1] == sample) {
        weight[count - 1] = (float)((double)weight[count - 1] + w);
        return count;
    }
    at[count] = sample;
    weight[count] = (float)w;
    return count + 1;
}

static int64_t most_taps(const struct cs_resize *params, int axis)
{
    int64_t most = 0;
    for (int64_t i = 0; i < params->out[axis]; i++) {
        int64_t count = cs_resize_taps(params, axis, i).count;
        most = count > most ? count : most;
    }
    return most;
}

static const struct filter *make_filters(struct cs_plan *plan, const struct cs_resize *params,
                                         int axis)
{
    int64_t out = params->out[axis], last = params->in[axis] - 1, most = most_taps(params, axis);
    struct filter *filters = cs_cpu_params(plan, (size_t)out * sizeof *filters);
    int32_t *at = cs_cpu_params(plan, (size_t)(out * most) * sizeof *at);
    float *weight = cs_cpu_params(plan, (size_t)(out * most) * sizeof *weight);
    for (int64_t i = 0; i < out; i++, at += most, weight += most) {
        struct cs_resize_taps taps = cs_resize_taps(params, axis, i);
        int count = 0;
        for (int64_t k = taps.first; k < taps.first + taps.count; k++) {
            int64_t sample = k < 0 ? 0 : k > last ? last : k;
            count = add_tap(at, weight, count, (int32_t)sample,
                            cs_resize_weight(params, &taps, axis, k));
        }
        filters[i] = (struct filter){count ? count : 1, at, weight}; // none: weight 0 of sample 0
    }
    return filters;
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
    int64_t stride[CS_MAX_RANK];
    if (cs_node_input(graph, node, 0)->data &&
        cs_cpu_turn_constant(plan, node->inputs[0], &r->src, stride, err) != 0)
        return -1;
    r->nearest = params.mode == CS_RESIZE_NEAREST;
    r->batch = in->dim[0];
    r->channels = in->dim[1];
    for (int i = 0; i < 2; i++) {
        r->in[i] = params.in[i];
        r->out[i] = params.out[i];
        r->filters[i] = make_filters(plan, &params, i);
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
    if (!in || in->shape.rank != 4)
        snprintf(why, why_size, "input is not N, C, H, W");
    else if (cs_node_resize(graph, node, &params, NULL) != 0 || params.coord == CS_COORD_CROP)
        snprintf(why, why_size, "regions are left to the plain loops");
    else if (most_taps(&params, 0) > MAX_TAPS || most_taps(&params, 1) > MAX_TAPS)
        snprintf(why, why_size, "the filter is too wide");
    else
        return true;
    return false;
}

const struct cs_cpu_op cs_cpu_resize_ops[] = {
    {"Resize", build_resize, supports, true, CS_CPU_OVERWRITES_ADDEND},
    {"Upsample", build_resize, supports, true, CS_CPU_OVERWRITES_ADDEND},
    {0},
};
