// SPDX-License-Identifier: MIT
// Resize and Upsample of height and width: nearest, linear, cubic, antialiased or not. Filters are
// separable: a row of the output first sums weighted rows of the input in a buffer of the thread,
// then weighted pixels of that for each of its own. Which samples and weights those are is worked
// out when the plan is made. Several enlarged tensors that are added up are one step, and it takes
// the statistics of a norm that follows (late.c).
#include <stdio.h>
#include <string.h>

#include "backend/cpu/conv.h"
#include "graph/params.h"

enum {
    MAX_TAPS = CS_KERNEL_MAX_TAPS,
    CHUNK_FLOATS = 32768, // of an output row, done at once: they stay in a core's second cache
};

// Columns of a source that a part of a row needs.
struct range {
    int32_t first, last;
};

// One enlarged (or reduced) tensor; with more than one the output is their sum.
struct source {
    struct cs_cpu_place src;
    int64_t in[2];
    const struct cs_taps *taps[2]; // rows, columns
    const struct range *ranges;    // of each chunk of a row
};

struct resize {
    struct source sources[CS_CPU_RESIZES];
    int source_count;
    struct cs_cpu_place dst, add;
    bool adding;
    int64_t batch, channels, out[2];
    int64_t chunk, chunks; // pixels of a row that are done at once; how many there are in a row
    size_t buffer_floats;  // of a part
    struct cs_cpu_activation activation;
    struct cs_cpu_gather gather;
};

// Part of an output row.
struct chunk {
    int64_t image, y, x, count;
};

// Rows of the source, weighted and added up, where the chunk needs them: pixel 0 of that row.
static const float *filter_rows(const struct resize *r, const struct cs_kernels *kernels,
                                const struct source *s, const float *src, const struct chunk *chunk,
                                float *buffer)
{
    const struct cs_taps *rows = &s->taps[0][chunk->y];
    const struct range range = s->ranges[chunk->x / r->chunk];
    const float *from[MAX_TAPS];
    for (int t = 0; t < rows->count; t++)
        from[t] = src + (rows->at[t] * s->in[1] + range.first) * r->channels;
    if (rows->count == 1 && rows->weight[0] == 1)
        return from[0] - range.first * r->channels;
    kernels->sum_of(buffer + range.first * r->channels, from, rows->weight, rows->count,
                    (range.last - range.first + 1) * r->channels);
    return buffer;
}

static void filter_chunk(const struct resize *r, const struct cs_cpu_run *run,
                         const struct chunk *chunk, const float *add, float *dst, float *buffer)
{
    for (int i = 0; i < r->source_count; i++) {
        const struct source *s = &r->sources[i];
        const float *src =
            cs_cpu_at(run, s->src) + chunk->image * s->in[0] * s->in[1] * r->channels;
        const float *row = filter_rows(r, run->kernels, s, src, chunk, buffer);
        run->kernels->blend(dst, row, i ? dst : add, s->taps[1] + chunk->x, chunk->count,
                            r->channels);
    }
}

static void run_chunk(const struct resize *r, const struct cs_cpu_run *run, int64_t index,
                      float *buffer)
{
    int64_t row = index / r->chunks, x = index % r->chunks * r->chunk;
    int64_t left = r->out[1] - x, at = (row * r->out[1] + x) * r->channels;
    struct chunk chunk = {row / r->out[0], row % r->out[0], x, left < r->chunk ? left : r->chunk};
    float *dst = cs_cpu_at(run, r->dst) + at;
    const float *add = r->adding ? cs_cpu_at(run, r->add) + at : NULL;
    double *sums = cs_cpu_gather_sums(&r->gather, run);
    filter_chunk(r, run, &chunk, add, dst, buffer);
    if (r->activation.unary != CS_UNARY_IDENTITY)
        run->kernels->unary[r->activation.unary](dst, dst, chunk.count * r->channels,
                                                 r->activation.alpha, r->activation.beta);
    if (sums)
        run->kernels->moments(dst, chunk.count, r->channels, sums + 2 * index * r->channels,
                              sums + (2 * index + 1) * r->channels);
}

static void run_parts(const struct cs_cpu_step *step, const struct cs_cpu_run *run, int64_t begin,
                      int64_t end)
{
    for (int64_t i = begin; i < end; i++)
        run_chunk(step->params, run, i, (float *)(void *)run->scratch);
}

static void finish(const struct cs_cpu_step *step, const struct cs_cpu_run *run)
{
    const struct resize *r = step->params;
    cs_cpu_gather_finish(&r->gather, run);
}

static void resize_rows(const struct cs_cpu_step *step, const struct cs_cpu_run *run, int64_t image,
                        int64_t begin, int64_t end)
{
    const struct resize *r = step->params;
    int64_t first = image * r->out[0];
    for (int64_t i = (first + begin) * r->chunks; i < (first + end) * r->chunks; i++)
        run_chunk(r, run, i, (float *)(void *)run->scratch);
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

static const struct cs_taps *make_taps(struct cs_plan *plan, const struct cs_resize *params,
                                       int axis)
{
    int64_t out = params->out[axis], last = params->in[axis] - 1, most = most_taps(params, axis);
    struct cs_taps *made = cs_cpu_params(plan, (size_t)out * sizeof *made);
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
        made[i] = (struct cs_taps){count ? count : 1, at, weight}; // none: weight 0 of sample 0
    }
    return made;
}

static const struct range *find_ranges(struct cs_plan *plan, const struct resize *r,
                                       const struct cs_taps *columns)
{
    struct range *ranges = cs_cpu_params(plan, (size_t)r->chunks * sizeof *ranges);
    for (int64_t x = 0; x < r->out[1]; x++) {
        struct range *range = &ranges[x / r->chunk];
        int32_t first = columns[x].at[0], last = columns[x].at[columns[x].count - 1];
        bool starts = x % r->chunk == 0;
        range->first = starts || first < range->first ? first : range->first;
        range->last = starts || last > range->last ? last : range->last;
    }
    return ranges;
}

static int add_source(struct cs_plan *plan, const struct cs_node *node, struct resize *r,
                      struct cs_err *err)
{
    struct source *s = &r->sources[r->source_count++];
    int64_t stride[CS_MAX_RANK];
    struct cs_resize params;
    if (cs_node_resize(plan->graph, node, &params, err) != 0)
        return -1;
    s->src = cs_cpu_place_of(plan, node->inputs[0]);
    if (cs_node_input(plan->graph, node, 0)->data &&
        cs_cpu_turn_constant(plan, node->inputs[0], &s->src, stride, err) != 0)
        return -1;
    for (int i = 0; i < 2; i++) {
        s->in[i] = params.in[i];
        s->taps[i] = make_taps(plan, &params, i);
    }
    s->ranges = find_ranges(plan, r, s->taps[1]);
    size_t floats = (size_t)(s->in[1] * r->channels);
    r->buffer_floats = floats > r->buffer_floats ? floats : r->buffer_floats;
    return 0;
}

static int build_resize(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    if (plan->late[node->outputs[0]].chained)
        return 0;
    struct resize *r = cs_cpu_params(plan, sizeof *r);
    const struct cs_graph *graph = plan->graph;
    const struct cs_shape *shape = &cs_node_output(graph, node, 0)->shape;
    r->dst = cs_cpu_place_of(plan, node->outputs[0]);
    r->batch = shape->dim[0];
    r->channels = shape->dim[1];
    r->out[0] = shape->dim[2];
    r->out[1] = shape->dim[3];
    r->chunk = CHUNK_FLOATS / r->channels < 16 ? 16 : CHUNK_FLOATS / r->channels;
    r->chunks = (r->out[1] + r->chunk - 1) / r->chunk;
    if (add_source(plan, node, r, err) != 0)
        return -1;
    int add = node->fusion.add;
    for (; add >= 0 && plan->late[add].chained;
         add = graph->nodes[graph->values[add].producer].fusion.add)
        if (add_source(plan, &graph->nodes[graph->values[add].producer], r, err) != 0)
            return -1;
    r->adding =
        add >= 0 && !graph->values[add].data && cs_shape_equal(&graph->values[add].shape, shape);
    if (r->adding)
        r->add = cs_cpu_place_of(plan, add);
    bool add_left = add >= 0 && !r->adding;
    if (!add_left)
        cs_cpu_activation_of(&node->fusion, &r->activation);
    cs_cpu_gather_init(plan, node, r->out[0] * r->chunks, r->channels, &r->gather);
    cs_cpu_need_scratch(plan, r->buffer_floats * sizeof(float));
    int64_t parts = r->batch * r->out[0] * r->chunks;
    cs_cpu_add_parts(plan, node, parts, run_parts, finish, r)->rows = resize_rows;
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
