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

#include "backend/cpu/cpu.h"
#include "graph/params.h"

enum { CHUNK_FLOATS = 16384 };

struct norm {
    struct cs_cpu_place src, dst, add;
    bool adding;
    int64_t batch, pixels, channels, group_channels;
    int64_t chunk, chunks;      // pixels of a chunk; chunks of an image
    const float *weight, *bias; // one a channel, or NULL
    const float *given;         // offset, scale, shift where statistics are constants
    double epsilon;
    float slope;
    // In scratch: per image, chunk and channel a sum and a square; behind them per image and
    // channel offset, scale and shift.
    size_t sums_bytes;
};

// The map from x to (x - mean) / sqrt(variance + epsilon) * weight + bias: the nearest float to the
// mean is subtracted first, so that a large mean costs no digit, and what it lacks goes into the
// shift. f: offset, scale, shift, `channels` apart.
static void make_affine(const struct norm *norm, double mean, double variance, int64_t c, float *f)
{
    double weight = norm->weight ? (double)norm->weight[c] : 1;
    double scale = weight / sqrt(variance + norm->epsilon);
    double bias = norm->bias ? (double)norm->bias[c] : 0;
    f[c] = (float)mean;
    f[norm->channels + c] = (float)scale;
    f[2 * norm->channels + c] = (float)(bias - (mean - (double)f[c]) * scale);
}

static struct cs_affine affine_at(const float *f, int64_t channels)
{
    return (struct cs_affine){f, f + channels, f + 2 * channels};
}

// One group of channels of one image from its chunks' sums.
static void combine(const struct norm *norm, const double *sums, int64_t group, float *f)
{
    int64_t first = group * norm->group_channels, last = first + norm->group_channels;
    double sum = 0, square = 0;
    for (int64_t k = 0; k < norm->chunks; k++) {
        const double *chunk = sums + k * 2 * norm->channels;
        for (int64_t c = first; c < last; c++) {
            sum += chunk[c];
            square += chunk[norm->channels + c];
        }
    }
    double count = (double)(norm->pixels * norm->group_channels);
    double mean = sum / count, variance = square / count - mean * mean;
    for (int64_t c = first; c < last; c++)
        make_affine(norm, mean, variance < 0 ? 0 : variance, c, f);
}

static void chunk_range(const struct norm *norm, int64_t index, int64_t *image, int64_t *first,
                        int64_t *count)
{
    *image = index / norm->chunks;
    *first = index % norm->chunks * norm->chunk;
    int64_t left = norm->pixels - *first;
    *count = left < norm->chunk ? left : norm->chunk;
}

static int run_norm(const struct cs_cpu_step *step, const struct cs_cpu_run *run,
                    struct cs_err *err)
{
    (void)err;
    const struct norm *norm = step->params;
    const float *src = cs_cpu_at(run, norm->src);
    const float *add = norm->adding ? cs_cpu_at(run, norm->add) : NULL;
    float *dst = cs_cpu_at(run, norm->dst);
    double *sums = (double *)(void *)run->scratch;
    float *affines = (float *)(void *)(run->scratch + norm->sums_bytes);
    int64_t channels = norm->channels, total = norm->batch * norm->chunks;
    int64_t groups = channels / norm->group_channels, image_floats = norm->pixels * channels;

#pragma omp parallel
    {
        int64_t threads = omp_get_num_threads(), thread = omp_get_thread_num();
        int64_t begin = total * thread / threads, end = total * (thread + 1) / threads;
        for (int64_t i = begin; i < end; i++) {
            int64_t image, first, count;
            chunk_range(norm, i, &image, &first, &count);
            run->kernels->moments(src + image * image_floats + first * channels, count, channels,
                                  sums + i * 2 * channels, sums + (i * 2 + 1) * channels);
        }
#pragma omp barrier
#pragma omp for schedule(static)
        for (int64_t i = 0; i < norm->batch * groups; i++) {
            int64_t image = i / groups;
            combine(norm, sums + image * norm->chunks * 2 * channels, i % groups,
                    affines + image * 3 * channels);
        }
        for (int64_t i = end - 1; i >= begin; i--) { // each thread's own chunks, last first
            int64_t image, first, count;
            chunk_range(norm, i, &image, &first, &count);
            struct cs_affine f = affine_at(affines + image * 3 * channels, channels);
            int64_t at = image * image_floats + first * channels;
            run->kernels->affine(dst + at, src + at, add ? add + at : NULL, count, channels, &f,
                                 norm->slope);
        }
    }
    return 0;
}

static int run_given(const struct cs_cpu_step *step, const struct cs_cpu_run *run,
                     struct cs_err *err)
{
    (void)err;
    const struct norm *norm = step->params;
    const float *src = cs_cpu_at(run, norm->src);
    const float *add = norm->adding ? cs_cpu_at(run, norm->add) : NULL;
    float *dst = cs_cpu_at(run, norm->dst);
    int64_t total = norm->batch * norm->chunks;
    const struct cs_affine f = affine_at(norm->given, norm->channels);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < total; i++) {
        int64_t image, first, count;
        chunk_range(norm, i, &image, &first, &count);
        int64_t at = (image * norm->pixels + first) * norm->channels;
        run->kernels->affine(dst + at, src + at, add ? add + at : NULL, count, norm->channels, &f,
                             norm->slope);
    }
    return 0;
}

// The slope below zero that stands for the activation, if one does.
static bool slope_of(const struct cs_cpu_activation *activation, float *slope)
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
    norm->batch = shape->dim[0];
    norm->channels = shape->dim[1];
    norm->group_channels = 1;
    norm->pixels = shape->dim[2] * shape->dim[3];
    norm->chunk = CHUNK_FLOATS / norm->channels > 16 ? CHUNK_FLOATS / norm->channels : 16;
    norm->chunks = (norm->pixels + norm->chunk - 1) / norm->chunk;
    norm->epsilon = (double)cs_node_float(node, "epsilon", 1e-5F);
    norm->weight = constant(plan->graph, node, 1);
    norm->bias = constant(plan->graph, node, 2);
    cs_cpu_activation_of(&node->fusion, &activation);
    norm->adding = node->fusion.add >= 0 && can_add(plan, node);
    if (norm->adding)
        norm->add = cs_cpu_place_of(plan, node->fusion.add);
    *add_left = node->fusion.add >= 0 && !norm->adding;
    *left = *add_left || !slope_of(&activation, &norm->slope);
    if (*left)
        norm->slope = 1;
    return norm;
}

static int build_statistics(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    bool add_left, left;
    struct norm *norm = new_norm(plan, node, &add_left, &left);
    if (strcmp(node->op, "GroupNormalization") == 0)
        norm->group_channels = norm->channels / cs_node_int(node, "num_groups", 1);
    size_t values = (size_t)(norm->batch * norm->channels);
    norm->sums_bytes = values * (size_t)norm->chunks * 2 * sizeof(double);
    cs_cpu_need_scratch(plan, norm->sums_bytes + values * 3 * sizeof(float));
    cs_cpu_add_step(plan, node, run_norm, norm);
    return left ? cs_cpu_build_fusion(plan, node, add_left, err) : 0;
}

static int build_batch_norm(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    bool add_left, left;
    struct norm *norm = new_norm(plan, node, &add_left, &left);
    const float *mean = constant(plan->graph, node, 3), *variance = constant(plan->graph, node, 4);
    float *given = cs_cpu_params(plan, 3 * (size_t)norm->channels * sizeof *given);
    for (int64_t c = 0; c < norm->channels; c++)
        make_affine(norm, (double)mean[c], (double)variance[c], c, given);
    norm->given = given;
    cs_cpu_add_step(plan, node, run_given, norm);
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
    for (int i = 1; i < node->input_count; i++) {
        const struct cs_value *value = cs_node_input(graph, node, i);
        if (!value || !value->data) {
            snprintf(why, why_size, "scale, bias, mean and variance must be constants");
            return false;
        }
        if (cs_shape_elements(&value->shape) != in->shape.dim[1]) {
            snprintf(why, why_size, "input %d has not one value a channel", i);
            return false;
        }
    }
    int64_t groups = cs_node_int(node, "num_groups", 1);
    if (groups < 1 || in->shape.dim[1] % groups) {
        snprintf(why, why_size, "num_groups does not divide the channels");
        return false;
    }
    return true;
}

const struct cs_cpu_op cs_cpu_norm_ops[] = {
    {"InstanceNormalization", build_statistics, supports, true, CS_CPU_OVERWRITES_INPUT},
    {"GroupNormalization", build_statistics, supports, true, CS_CPU_OVERWRITES_INPUT},
    {"BatchNormalization", build_batch_norm, supports, true, CS_CPU_OVERWRITES_INPUT},
    {0},
};
