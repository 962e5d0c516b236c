// SPDX-License-Identifier: MIT
// InstanceNormalization, GroupNormalization and unfolded BatchNormalization, with a fused addition
// and a ReLU-like activation.
//
// Two passes over the tensor. Sums are taken over chunks of a fixed number of pixels, whatever the
// number of threads, and the chunks' sums are added in order: same bits for any thread count and
// batch. The second pass goes backwards, so that what the first left in the cache is used.
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

#include "backend/cpu/norm.h"
#include "graph/params.h"

enum {
    CHUNK_FLOATS = 16384,
    PART = 32, // channels that a thread adds up
};

struct norm {
    struct cs_cpu_norm norm;
    struct cs_cpu_place src, dst, add;
    bool adding;
    // The addend is a norm that is applied here (late.c), chunk by chunk in scratch.
    bool add_mapped;
    struct cs_cpu_place add_maps;
    float add_slope;
    int64_t chunk, chunks; // pixels of a chunk; chunks of an image
    // Maps of all images: in scratch, behind the sums; gathered by the convolution before; or one
    // for all, where statistics are constants.
    struct cs_cpu_place maps;
    int64_t map_step; // floats from image to image
    float slope;
    // In scratch: per image, chunk and channel a sum and a square; per image the totals.
    size_t sums_bytes, totals_bytes;
    // Means and maxima over the result's pixels, for global pools that read it: in shared memory
    // those of chunks.
    bool pooled;
    struct cs_cpu_place mean, maximum;
    size_t addend_offset; // in scratch: mapped addends of each thread
};

void cs_cpu_norm_map(const struct cs_cpu_norm *norm, double mean, double variance, int64_t c,
                     float *f)
{
    double weight = norm->weight ? (double)norm->weight[c / norm->every] : 1;
    double scale = weight / sqrt(variance + norm->epsilon);
    double bias = norm->bias ? (double)norm->bias[c / norm->every] : 0;
    f[c] = (float)mean;
    f[norm->channels + c] = (float)scale;
    f[2 * norm->channels + c] = (float)(bias - (mean - (double)f[c]) * scale);
}

static struct cs_affine affine_at(const float *f, int64_t channels)
{
    return (struct cs_affine){f, f + channels, f + 2 * channels};
}

// Sums over the chunks of one image, of a few channels.
static void add_chunks(const double *sums, int64_t chunks, int64_t step, int64_t first,
                       int64_t count, double *sum, double *square)
{
    memset(sum, 0, (size_t)count * sizeof *sum);
    memset(square, 0, (size_t)count * sizeof *square);
    for (int64_t k = 0; k < chunks; k++) {
        const double *chunk = sums + k * 2 * step + first;
        for (int64_t c = 0; c < count; c++) {
            sum[c] += chunk[c];
            square[c] += chunk[step + c];
        }
    }
}

static void map_group(const struct cs_cpu_norm *norm, const double *totals, int64_t group, float *f)
{
    int64_t first = group * norm->group_channels, last = first + norm->group_channels;
    double sum = 0, square = 0;
    for (int64_t c = first; c < last; c++) {
        sum += totals[c];
        square += totals[norm->channels + c];
    }
    double count = (double)(norm->pixels * norm->group_channels);
    double mean = sum / count, variance = square / count - mean * mean;
    for (int64_t c = first; c < last; c++)
        cs_cpu_norm_map(norm, mean, variance < 0 ? 0 : variance, c, f);
}

void cs_cpu_norm_combine(const struct cs_cpu_norm *norm, const double *sums, int64_t chunks,
                         int64_t step, double *totals, float *maps)
{
    int64_t channels = norm->channels, groups = channels / norm->group_channels;
    int64_t parts = (channels + PART - 1) / PART;
#pragma omp for schedule(static)
    for (int64_t i = 0; i < norm->batch * parts; i++) {
        int64_t image = i / parts, first = i % parts * PART;
        int64_t count = channels - first < PART ? channels - first : PART;
        double *sum = totals + image * 2 * channels + first;
        add_chunks(sums + image * chunks * 2 * step, chunks, step, first, count, sum,
                   sum + channels);
    }
#pragma omp for schedule(static)
    for (int64_t i = 0; i < norm->batch * groups; i++) {
        int64_t image = i / groups;
        map_group(norm, totals + image * 2 * channels, i % groups, maps + image * 3 * channels);
    }
}

static void chunk_range(const struct norm *norm, int64_t index, int64_t *image, int64_t *first,
                        int64_t *count)
{
    *image = index / norm->chunks;
    *first = index % norm->chunks * norm->chunk;
    int64_t left = norm->norm.pixels - *first;
    *count = left < norm->chunk ? left : norm->chunk;
}

// What is added to the chunk, or NULL. mapped: room for a chunk.
static const float *addend_of(const struct norm *norm, const struct cs_cpu_run *run, int64_t image,
                              int64_t at, int64_t count, float *mapped)
{
    int64_t channels = norm->norm.channels;
    if (!norm->adding)
        return NULL;
    const float *add = cs_cpu_at(run, norm->add) + at;
    if (!norm->add_mapped)
        return add;
    struct cs_affine f = affine_at(cs_cpu_at(run, norm->add_maps) + image * 3 * channels, channels);
    run->kernels->affine(mapped, add, NULL, count, channels, &f, norm->add_slope);
    return mapped;
}

static double *pool_sums(const struct cs_cpu_run *run)
{
    return (double *)(void *)run->shared;
}

static float *pool_bests(const struct norm *norm, const struct cs_cpu_run *run)
{
    return (float *)(void *)(pool_sums(run) +
                             norm->norm.batch * norm->chunks * 2 * norm->norm.channels);
}

// Normalise the chunk.
static void map_chunk(const struct norm *norm, const struct cs_cpu_run *run, const float *maps,
                      int64_t index, float *mapped)
{
    int64_t image, first, count, channels = norm->norm.channels;
    chunk_range(norm, index, &image, &first, &count);
    struct cs_affine f = affine_at(maps + image * norm->map_step, channels);
    int64_t at = (image * norm->norm.pixels + first) * channels;
    const float *add = addend_of(norm, run, image, at, count, mapped);
    float *dst = cs_cpu_at(run, norm->dst) + at;
    run->kernels->affine(dst, cs_cpu_at(run, norm->src) + at, add, count, channels, &f,
                         norm->slope);
    if (norm->pooled) {
        double *sum = pool_sums(run) + index * 2 * channels;
        run->kernels->moments(dst, count, channels, sum, sum + channels);
        run->kernels->extremes(pool_bests(norm, run) + index * channels, dst, count, channels, 1);
    }
}

// From chunks to images.
static void finish_pools(const struct norm *norm, const struct cs_cpu_run *run)
{
    int64_t channels = norm->norm.channels, chunks = norm->chunks;
    for (int64_t image = 0; norm->pooled && image < norm->norm.batch; image++) {
        const double *sums = pool_sums(run) + image * chunks * 2 * channels;
        float *mean = cs_cpu_at(run, norm->mean) + image * channels;
        for (int64_t c = 0; c < channels; c++) {
            double sum = 0;
            for (int64_t k = 0; k < chunks; k++)
                sum += sums[k * 2 * channels + c];
            mean[c] = (float)(sum / (double)norm->norm.pixels);
        }
        run->kernels->extremes(cs_cpu_at(run, norm->maximum) + image * channels,
                               pool_bests(norm, run) + image * chunks * channels, chunks, channels,
                               1);
    }
}

static int run_norm(const struct cs_cpu_step *step, const struct cs_cpu_run *run,
                    struct cs_err *err)
{
    (void)err;
    const struct norm *norm = step->params;
    const float *src = cs_cpu_at(run, norm->src);
    double *sums = (double *)(void *)run->scratch;
    double *totals = (double *)(void *)(run->scratch + norm->sums_bytes);
    float *maps = (float *)(void *)(run->scratch + norm->sums_bytes + norm->totals_bytes);
    int64_t channels = norm->norm.channels, total = norm->norm.batch * norm->chunks;

#pragma omp parallel
    {
        int64_t threads = omp_get_num_threads(), thread = omp_get_thread_num();
        int64_t begin = total * thread / threads, end = total * (thread + 1) / threads;
        float *mapped =
            (float *)(void *)(run->scratch + norm->addend_offset) + thread * norm->chunk * channels;
        for (int64_t i = begin; i < end; i++) {
            int64_t image, first, count;
            chunk_range(norm, i, &image, &first, &count);
            run->kernels->moments(src + (image * norm->norm.pixels + first) * channels, count,
                                  channels, sums + i * 2 * channels, sums + (i * 2 + 1) * channels);
        }
#pragma omp barrier
        cs_cpu_norm_combine(&norm->norm, sums, norm->chunks, channels, totals, maps);
        for (int64_t i = end - 1; i >= begin; i--) // each thread's own chunks, last first
            map_chunk(norm, run, maps, i, mapped);
    }
    finish_pools(norm, run);
    return 0;
}

// With maps that are given.
static void map_parts(const struct cs_cpu_step *step, const struct cs_cpu_run *run, int64_t begin,
                      int64_t end)
{
    const struct norm *norm = step->params;
    for (int64_t i = begin; i < end; i++)
        map_chunk(norm, run, cs_cpu_at(run, norm->maps), i, (float *)(void *)run->scratch);
}

static void finish_parts(const struct cs_cpu_step *step, const struct cs_cpu_run *run)
{
    finish_pools(step->params, run);
}

bool cs_cpu_slope_of(const struct cs_cpu_activation *activation, float *slope)
{
    *slope = 1;
    if (activation->unary == CS_UNARY_RELU)
        *slope = 0;
    else if (activation->unary == CS_UNARY_LEAKY_RELU)
        *slope = activation->alpha;
    else
        return activation->unary == CS_UNARY_IDENTITY;
    return true;
}

static const float *constant(const struct cs_graph *graph, const struct cs_node *node, int i)
{
    const struct cs_value *value = cs_node_input(graph, node, i);
    return value ? value->data : NULL;
}

void cs_cpu_norm_init(struct cs_cpu_norm *norm, const struct cs_graph *graph,
                      const struct cs_node *node)
{
    const struct cs_shape *shape = &cs_node_input(graph, node, 0)->shape;
    bool groups = strcmp(node->op, "GroupNormalization") == 0;
    *norm = (struct cs_cpu_norm){
        .batch = shape->dim[0],
        .pixels = shape->dim[2] * shape->dim[3],
        .channels = shape->dim[1],
        .group_channels = groups ? shape->dim[1] / cs_node_int(node, "num_groups", 1) : 1,
        .weight = constant(graph, node, 1),
        .bias = constant(graph, node, 2),
        .every = shape->dim[1] / cs_shape_elements(&cs_node_input(graph, node, 1)->shape),
        .epsilon = (double)cs_node_float(node, "epsilon", 1e-5F),
    };
}

static bool can_add(const struct cs_plan *plan, const struct cs_node *node)
{
    const struct cs_value *add = &plan->graph->values[node->fusion.add];
    return !add->data && cs_shape_equal(&add->shape, &cs_node_output(plan->graph, node, 0)->shape);
}

// What all norms share; *left: the fusion that remains.
static struct norm *new_norm(struct cs_plan *plan, const struct cs_node *node, bool *add_left,
                             bool *left)
{
    const struct cs_shape *shape = &cs_node_input(plan->graph, node, 0)->shape;
    struct norm *norm = cs_cpu_params(plan, sizeof *norm);
    struct cs_cpu_activation activation;
    norm->src = cs_cpu_place_of(plan, node->inputs[0]);
    norm->dst = cs_cpu_place_of(plan, node->outputs[0]);
    cs_cpu_norm_init(&norm->norm, plan->graph, node);
    norm->chunk = CHUNK_FLOATS / shape->dim[1] > 16 ? CHUNK_FLOATS / shape->dim[1] : 16;
    norm->chunks = (norm->norm.pixels + norm->chunk - 1) / norm->chunk;
    norm->map_step = 3 * shape->dim[1];
    cs_cpu_activation_of(&node->fusion, &activation);
    norm->adding = node->fusion.add >= 0 && can_add(plan, node);
    if (norm->adding) {
        const struct cs_cpu_late *add = &plan->late[node->fusion.add];
        norm->add = cs_cpu_place_of(plan, node->fusion.add);
        norm->add_mapped = add->mapped;
        norm->add_maps = add->maps;
        norm->add_slope = add->slope;
    }
    *add_left = node->fusion.add >= 0 && !norm->adding;
    *left = *add_left || !cs_cpu_slope_of(&activation, &norm->slope);
    if (*left)
        norm->slope = 1;
    return norm;
}

// Make what global pools of the result want, unless something is done to it afterwards.
static void find_pools(struct cs_plan *plan, const struct cs_node *node, struct norm *norm)
{
    const struct cs_graph *graph = plan->graph;
    size_t values = (size_t)(norm->norm.batch * norm->norm.channels);
    for (int n = 0; !plan->direct && n < graph->node_count; n++) {
        const struct cs_node *reader = &graph->nodes[n];
        bool mean = strcmp(reader->op, "GlobalAveragePool") == 0;
        if (reader->inputs[0] != node->outputs[0] || !cs_cpu_op_of(graph, reader) ||
            (!mean && strcmp(reader->op, "GlobalMaxPool") != 0))
            continue;
        if (!norm->pooled) {
            norm->mean = cs_cpu_reserve(plan, values * sizeof(float));
            norm->maximum = cs_cpu_reserve(plan, values * sizeof(float));
            norm->pooled = true;
        }
        plan->late[reader->outputs[0]].taken = true;
        plan->late[reader->outputs[0]].result = mean ? norm->mean : norm->maximum;
    }
}

static size_t chunk_bytes(const struct norm *norm)
{
    return norm->add_mapped ? (size_t)(norm->chunk * norm->norm.channels) * sizeof(float) : 0;
}

static void need_pools(struct cs_plan *plan, const struct norm *norm)
{
    size_t values = (size_t)(norm->norm.batch * norm->norm.channels * norm->chunks);
    if (norm->pooled)
        cs_cpu_need_shared(plan, values * (2 * sizeof(double) + sizeof(float)));
}

// The step whose maps are given.
static void add_map(struct cs_plan *plan, const struct cs_node *node, struct norm *norm)
{
    cs_cpu_need_scratch(plan, chunk_bytes(norm));
    cs_cpu_add_parts(plan, node, norm->norm.batch * norm->chunks, map_parts, finish_parts, norm);
}

// The step that takes statistics first.
static void add_norm(struct cs_plan *plan, const struct cs_node *node, struct norm *norm)
{
    size_t values = (size_t)(norm->norm.batch * norm->norm.channels);
    norm->sums_bytes = values * (size_t)norm->chunks * 2 * sizeof(double);
    norm->totals_bytes = values * 2 * sizeof(double);
    size_t bytes = norm->sums_bytes + norm->totals_bytes + values * 3 * sizeof(float);
    norm->addend_offset = (bytes + 63) / 64 * 64;
    cs_cpu_need_scratch(plan, norm->addend_offset +
                                  (size_t)plan->network->device->threads * chunk_bytes(norm));
    cs_cpu_add_step(plan, node, run_norm, norm);
}

static int build_statistics(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    const struct cs_cpu_late *late = &plan->late[node->outputs[0]];
    bool add_left, left;
    if (late->mapped) // by those who read it
        return 0;
    struct norm *norm = new_norm(plan, node, &add_left, &left);
    norm->maps = late->maps;
    if (!left)
        find_pools(plan, node, norm);
    need_pools(plan, norm);
    if (late->gathered)
        add_map(plan, node, norm);
    else
        add_norm(plan, node, norm);
    return left ? cs_cpu_build_fusion(plan, node, add_left, err) : 0;
}

static int build_batch_norm(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    bool add_left, left;
    struct norm *norm = new_norm(plan, node, &add_left, &left);
    const float *mean = constant(plan->graph, node, 3), *variance = constant(plan->graph, node, 4);
    float *map = cs_cpu_params(plan, 3 * (size_t)norm->norm.channels * sizeof *map);
    for (int64_t c = 0; c < norm->norm.channels; c++)
        cs_cpu_norm_map(&norm->norm, (double)mean[c], (double)variance[c], c, map);
    norm->maps.constant = map;
    norm->map_step = 0;
    add_map(plan, node, norm);
    return left ? cs_cpu_build_fusion(plan, node, add_left, err) : 0;
}

static bool supports(const struct cs_graph *graph, const struct cs_node *node, char *why,
                     size_t why_size)
{
    const struct cs_value *in = cs_node_input(graph, node, 0);
    if (!in || in->shape.rank != 4 || in->data) {
        snprintf(why, why_size, "input is not an N, C, H, W activation");
        return false;
    }
    int64_t groups = cs_node_int(node, "num_groups", 1), channels = in->shape.dim[1];
    if (groups < 1 || channels % groups) {
        snprintf(why, why_size, "num_groups does not divide the channels");
        return false;
    }
    bool grouped = strcmp(node->op, "GroupNormalization") == 0;
    for (int i = 1; i < node->input_count; i++) {
        const struct cs_value *value = cs_node_input(graph, node, i);
        if (!value || !value->data) {
            snprintf(why, why_size, "scale, bias, mean and variance must be constants");
            return false;
        }
        int64_t count = cs_shape_elements(&value->shape);
        if (count != channels && !(grouped && count == groups)) {
            snprintf(why, why_size, "input %d has not one value a channel", i);
            return false;
        }
    }
    return true;
}

const struct cs_cpu_op cs_cpu_norm_ops[] = {
    {"InstanceNormalization", build_statistics, supports, true, CS_CPU_OVERWRITES_INPUT},
    {"GroupNormalization", build_statistics, supports, true, CS_CPU_OVERWRITES_INPUT},
    {"BatchNormalization", build_batch_norm, supports, true, CS_CPU_OVERWRITES_INPUT},
    {0},
};
