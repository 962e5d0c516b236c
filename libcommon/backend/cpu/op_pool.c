// SPDX-License-Identifier: MIT
// MaxPool and AveragePool: each output pixel is a maximum or weighted sum over the pixels of its
// window that lie in the image, all channels at once.
#include <stdio.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "graph/params.h"

struct pool {
    struct cs_cpu_place src, dst;
    struct cs_window window;
    int64_t batch, in[2], out[2], channels;
    bool max;
};

// Window positions of output index `at` inside the image: first + k * dilation, k < count.
// *covered: positions inside the image or its padding, for count_include_pad.
static void window_range(const struct pool *pool, int axis, int64_t at, int64_t *first,
                         int64_t *count, int64_t *covered)
{
    const struct cs_window *w = &pool->window;
    int64_t start = at * w->stride[axis] - w->pad_begin[axis];
    *first = start;
    *count = *covered = 0;
    for (int64_t k = 0; k < w->kernel[axis]; k++) {
        int64_t p = start + k * w->dilation[axis];
        *covered += p < pool->in[axis] + w->pad_end[axis];
        if (p < 0)
            *first = p + w->dilation[axis];
        else
            *count += p < pool->in[axis];
    }
}

static void pool_pixel(const struct pool *pool, const struct cs_kernels *kernels, float *dst,
                       const float *image, int64_t y, int64_t x)
{
    int64_t first[2], count[2], covered[2];
    window_range(pool, 0, y, &first[0], &count[0], &covered[0]);
    window_range(pool, 1, x, &first[1], &count[1], &covered[1]);
    const float *taps[CS_KERNEL_MAX_TAPS];
    float weights[CS_KERNEL_MAX_TAPS];
    int64_t divisor =
        pool->window.count_include_pad ? covered[0] * covered[1] : count[0] * count[1];
    int n = 0;
    for (int64_t i = 0; i < count[0]; i++) {
        int64_t row = (first[0] + i * pool->window.dilation[0]) * pool->in[1];
        for (int64_t j = 0; j < count[1]; j++) {
            int64_t column = first[1] + j * pool->window.dilation[1];
            taps[n] = image + (row + column) * pool->channels;
            weights[n++] = 1.0F / (float)divisor;
        }
    }
    if (n == 0) // a window in the padding alone
        memset(dst, 0, (size_t)pool->channels * sizeof *dst);
    else if (pool->max)
        kernels->max_of(dst, taps, n, pool->channels);
    else
        kernels->sum_of(dst, taps, weights, n, pool->channels);
}

static int run_pool(const struct cs_cpu_step *step, const struct cs_cpu_run *run,
                    struct cs_err *err)
{
    (void)err;
    const struct pool *pool = step->params;
    const float *src = cs_cpu_at(run, pool->src);
    float *dst = cs_cpu_at(run, pool->dst);
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < pool->batch * pool->out[0]; row++) {
        const float *image = src + row / pool->out[0] * pool->in[0] * pool->in[1] * pool->channels;
        for (int64_t x = 0; x < pool->out[1]; x++)
            pool_pixel(pool, run->kernels, dst + (row * pool->out[1] + x) * pool->channels, image,
                       row % pool->out[0], x);
    }
    return 0;
}

static int build_pool(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    struct pool *pool = cs_cpu_params(plan, sizeof *pool);
    const struct cs_shape *in = &cs_node_input(plan->graph, node, 0)->shape;
    if (cs_node_window(plan->graph, node, &pool->window, err) != 0)
        return -1;
    pool->src = cs_cpu_place_of(plan, node->inputs[0]);
    pool->dst = cs_cpu_place_of(plan, node->outputs[0]);
    pool->batch = in->dim[0];
    pool->channels = in->dim[1];
    for (int i = 0; i < 2; i++) {
        pool->in[i] = in->dim[2 + i];
        pool->out[i] = pool->window.out[i];
    }
    pool->max = strcmp(node->op, "MaxPool") == 0;
    cs_cpu_add_step(plan, node, run_pool, pool);
    return 0;
}

static bool supports(const struct cs_graph *graph, const struct cs_node *node, char *why,
                     size_t why_size)
{
    const struct cs_value *in = cs_node_input(graph, node, 0);
    struct cs_window window;
    if (!in || in->shape.rank != 4 || in->data)
        snprintf(why, why_size, "input is not an N, C, H, W activation");
    else if (cs_node_window(graph, node, &window, NULL) != 0)
        snprintf(why, why_size, "window not supported");
    else if (window.kernel[0] * window.kernel[1] > CS_KERNEL_MAX_TAPS)
        snprintf(why, why_size, "windows of more than %d pixels are not supported",
                 CS_KERNEL_MAX_TAPS);
    else
        return true;
    return false;
}

const struct cs_cpu_op cs_cpu_pool_ops[] = {
    {"MaxPool", build_pool, supports, false, CS_CPU_OVERWRITES_NOTHING},
    {"AveragePool", build_pool, supports, false, CS_CPU_OVERWRITES_NOTHING},
    {0},
};
