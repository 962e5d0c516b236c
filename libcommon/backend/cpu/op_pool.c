// SPDX-License-Identifier: MIT
// MaxPool and AveragePool: each output pixel is a maximum or weighted sum over the pixels of its
// window that lie in the image, all channels at once.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "graph/params.h"

// What an output index sees of its axis: positions first + k * dilation in the image, k < count.
struct range {
    int32_t first, count;
    int32_t covered; // with the padding, for count_include_pad
};

struct pool {
    struct cs_cpu_place src, dst;
    struct cs_window window;
    int64_t batch, in[2], out[2], channels;
    struct range *ranges[2];
    int64_t whole, whole_end; // columns whose windows lie in the image
    bool max;
    bool mapped; // of a norm that is applied here
    struct cs_cpu_place maps;
    float slope;
};

// The number of k from 0 on with k * step < limit, at most `most`.
static int64_t count_below(int64_t limit, int64_t step, int64_t most)
{
    int64_t count = limit <= 0 ? 0 : (limit + step - 1) / step;
    return count < most ? count : most;
}

static struct range range_at(const struct pool *pool, int axis, int64_t at)
{
    const struct cs_window *w = &pool->window;
    int64_t start = at * w->stride[axis] - w->pad_begin[axis], step = w->dilation[axis];
    int64_t skipped = count_below(-start, step, w->kernel[axis]); // before the image
    int64_t reached = count_below(pool->in[axis] - start, step, w->kernel[axis]);
    int64_t covered = count_below(pool->in[axis] + w->pad_end[axis] - start, step, w->kernel[axis]);
    return (struct range){(int32_t)(start + skipped * step), (int32_t)(reached - skipped),
                          (int32_t)covered};
}

// Windows of more taps than the kernels take go in parts: what is there counts as a tap.
static int merge(const struct pool *pool, const struct cs_kernels *kernels, float *dst,
                 const float **taps, int count, float weight)
{
    float weights[CS_KERNEL_MAX_TAPS];
    if (pool->max) {
        kernels->max_of(dst, taps, count, pool->channels);
    } else {
        for (int i = 0; i < count; i++)
            weights[i] = taps[i] == dst ? 1 : weight;
        kernels->sum_of(dst, taps, weights, count, pool->channels);
    }
    taps[0] = dst;
    return 1;
}

static void pool_pixel(const struct pool *pool, const struct cs_kernels *kernels, float *dst,
                       const float *image, const struct cs_affine *map, const struct range *y,
                       const struct range *x)
{
    const float *taps[CS_KERNEL_MAX_TAPS];
    int64_t row_step = pool->window.dilation[0] * pool->in[1] * pool->channels;
    int64_t step = pool->window.dilation[1] * pool->channels;
    const float *row = image + (y->first * pool->in[1] + x->first) * pool->channels;
    bool padded = pool->window.count_include_pad;
    float divisor =
        padded ? (float)y->covered * (float)x->covered : (float)y->count * (float)x->count;
    int n = 0;
    for (int32_t i = 0; i < y->count; i++, row += row_step)
        for (int32_t j = 0; j < x->count; j++) {
            if (n == CS_KERNEL_MAX_TAPS)
                n = merge(pool, kernels, dst, taps, n, 1 / divisor);
            taps[n++] = row + j * step;
        }
    if (n == 0) { // a window in the padding alone
        for (int64_t c = 0; c < pool->channels; c++)
            dst[c] = pool->max ? -INFINITY : 0;
    } else if (map) { // of few taps: late.c
        kernels->max_of_affine(dst, taps, n, pool->channels, map, pool->slope);
    } else {
        merge(pool, kernels, dst, taps, n, 1 / divisor);
    }
}

// The columns [whole, whole_end) of a row of maxima.
static void pool_whole(const struct pool *pool, const struct cs_kernels *kernels, float *dst,
                       const float *image, const struct cs_affine *map, const struct range *y)
{
    const struct cs_window *w = &pool->window;
    const float *rows[CS_KERNEL_MAX_TAPS];
    for (int32_t i = 0; i < y->count; i++)
        rows[i] = image + ((y->first + i * w->dilation[0]) * pool->in[1] +
                           pool->ranges[1][pool->whole].first) *
                              pool->channels;
    const struct cs_max_row row = {
        .dst = dst + pool->whole * pool->channels,
        .rows = rows,
        .row_count = y->count,
        .columns = (int)w->kernel[1],
        .tap = w->dilation[1] * pool->channels,
        .window = w->stride[1] * pool->channels,
        .pixels = pool->whole_end - pool->whole,
        .channels = pool->channels,
        .map = map,
        .slope = pool->slope,
    };
    kernels->max_row(&row);
}

// One row of one image.
static void pool_row(const struct pool *pool, const struct cs_cpu_run *run, int64_t row)
{
    int64_t image = row / pool->out[0];
    const float *src =
        cs_cpu_at(run, pool->src) + image * pool->in[0] * pool->in[1] * pool->channels;
    float *dst = cs_cpu_at(run, pool->dst) + row * pool->out[1] * pool->channels;
    const struct range *y = &pool->ranges[0][row % pool->out[0]];
    struct cs_affine maps, *map = NULL;
    if (pool->mapped) {
        maps.offset = cs_cpu_at(run, pool->maps) + image * 3 * pool->channels;
        maps.scale = maps.offset + pool->channels;
        maps.shift = maps.scale + pool->channels;
        map = &maps;
    }
    bool whole = pool->max && y->count > 0 && pool->whole < pool->whole_end;
    for (int64_t x = 0; x < pool->out[1]; x++) {
        if (whole && x == pool->whole) {
            pool_whole(pool, run->kernels, dst, src, map, y);
            x = pool->whole_end;
        }
        if (x < pool->out[1])
            pool_pixel(pool, run->kernels, dst + x * pool->channels, src, map, y,
                       &pool->ranges[1][x]);
    }
}

static int run_pool(const struct cs_cpu_step *step, const struct cs_cpu_run *run,
                    struct cs_err *err)
{
    (void)err;
    const struct pool *pool = step->params;
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < pool->batch * pool->out[0]; row++)
        pool_row(pool, run, row);
    return 0;
}

static void pool_rows(const struct cs_cpu_step *step, const struct cs_cpu_run *run, int64_t image,
                      int64_t begin, int64_t end)
{
    const struct pool *pool = step->params;
    for (int64_t y = begin; y < end; y++)
        pool_row(pool, run, image * pool->out[0] + y);
}

// Columns whose windows are full lie together.
static void find_whole(struct pool *pool)
{
    const struct range *x = pool->ranges[1];
    int64_t kernel = pool->window.kernel[1], out = pool->out[1];
    if (pool->window.kernel[0] > CS_KERNEL_MAX_TAPS)
        return;
    while (pool->whole < out && x[pool->whole].count < kernel)
        pool->whole++;
    pool->whole_end = pool->whole;
    while (pool->whole_end < out && x[pool->whole_end].count == kernel)
        pool->whole_end++;
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
        pool->ranges[i] = cs_cpu_params(plan, (size_t)pool->out[i] * sizeof(struct range));
        for (int64_t at = 0; at < pool->out[i]; at++)
            pool->ranges[i][at] = range_at(pool, i, at);
    }
    find_whole(pool);
    const struct cs_cpu_late *late = &plan->late[node->inputs[0]];
    pool->mapped = late->mapped;
    pool->maps = late->maps;
    pool->slope = late->slope;
    pool->max = strcmp(node->op, "MaxPool") == 0;
    cs_cpu_add_step(plan, node, run_pool, pool)->rows = pool_rows;
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
    else
        return true;
    return false;
}

const struct cs_cpu_op cs_cpu_pool_ops[] = {
    {"MaxPool", build_pool, supports, false, CS_CPU_OVERWRITES_NOTHING},
    {"AveragePool", build_pool, supports, false, CS_CPU_OVERWRITES_NOTHING},
    {0},
};
