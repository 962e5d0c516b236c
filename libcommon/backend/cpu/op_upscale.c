// SPDX-License-Identifier: MIT
// ConvTranspose with kernel = stride (2x2 with stride 2 in every U-Net) as 1x1 convolutions.
//
// An output row y * k + dy is, in memory, the input row's pixels with k * C channels each: one
// matrix product of the input row with the weights of kernel row dy, written in place. Rows are
// shared out among the threads; each runs oneDNN's 1x1 convolution of one row alone. oneDNN's own
// deconvolution reaches a third of that speed.
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "base/mem.h"

struct upscale {
    struct cs_cpu_place src, dst;
    int64_t rows, factor;          // input rows of all images; k of the height
    int64_t in_floats, out_floats; // of a row
    const float *const *weights;   // packed, one a kernel row
    // A norm that is applied here (late.c), row by row in scratch behind oneDNN's.
    bool mapped;
    struct cs_cpu_place maps;
    float slope;
    int64_t image_rows, width, channels;
    size_t row_offset; // of the first thread's row in scratch
};

// The input row as the norm before would have left it.
static const float *map_row(const struct upscale *up, const struct cs_cpu_run *run, int64_t y)
{
    const float *maps = cs_cpu_at(run, up->maps) + y / up->image_rows * 3 * up->channels;
    const struct cs_affine f = {maps, maps + up->channels, maps + 2 * up->channels};
    float *row =
        (float *)(void *)(run->scratch + up->row_offset) + omp_get_thread_num() * up->in_floats;
    run->kernels->affine(row, cs_cpu_at(run, up->src) + y * up->in_floats, NULL, up->width,
                         up->channels, &f, up->slope);
    return row;
}

static int run_upscale(const struct cs_cpu_step *step, const struct cs_cpu_run *run,
                       struct cs_err *err)
{
    const struct upscale *up = step->params;
    const float *src = cs_cpu_at(run, up->src);
    float *dst = cs_cpu_at(run, up->dst);
    int failed = 0;
#pragma omp parallel num_threads(step->workers) reduction(| : failed)
    {
        struct cs_dnn_binding *binding = run->bindings[omp_get_thread_num()];
        // Kernel rows outermost: one set of weights at a time in each core's cache. But a row that
        // is mapped is mapped once.
        int64_t sets = up->mapped ? 1 : up->factor, at_once = up->factor / sets;
#pragma omp for schedule(static) collapse(2)
        for (int64_t set = 0; set < sets; set++) {
            for (int64_t y = 0; y < up->rows; y++) {
                const float *from = up->mapped ? map_row(up, run, y) : src + y * up->in_floats;
                for (int64_t dy = set; dy < set + at_once; dy++)
                    failed |=
                        cs_dnn_run_at(binding, from, up->weights[dy],
                                      dst + (y * up->factor + dy) * up->out_floats, NULL) != 0;
            }
        }
    }
    return failed ? cs_fail(err, CS_EDEVICE, "oneDNN: execution failed") : 0;
}

// What becomes packed weights: one kernel row.
struct kernel_row {
    const struct cs_dnn_op *op;
    int64_t in_channels, out_channels, height, width; // of the kernel
    int64_t row;
};

// The row of ONNX's I O H W weights as I x (W O), packed.
static int fill_row(const void *context, const void *data, void *packed, struct cs_err *err)
{
    const struct kernel_row *k = context;
    const float *weights = data;
    int64_t out = k->out_channels;
    float *row =
        cs_alloc((size_t)(k->in_channels * k->width * out), sizeof *row, "packing weights", err);
    if (!row)
        return -1;
    for (int64_t i = 0; i < k->in_channels; i++)
        for (int64_t dx = 0; dx < k->width; dx++)
            for (int64_t o = 0; o < out; o++)
                row[(i * k->width + dx) * out + o] =
                    weights[((i * out + o) * k->height + k->row) * k->width + dx];
    int result = cs_dnn_op_pack(k->op, row, packed, err);
    free(row);
    return result;
}

// Packed weights of every kernel row, shared by all plans. NULL with an error.
static const float *const *pack_rows(struct cs_plan *plan, const struct cs_dnn_conv *conv,
                                     const struct cs_dnn_op *op, const struct cs_value *weights,
                                     struct cs_err *err)
{
    const float **rows = cs_cpu_params(plan, (size_t)conv->kernel[0] * sizeof *rows);
    for (int64_t dy = 0; dy < conv->kernel[0]; dy++) {
        struct kernel_row *row = cs_cpu_params(plan, sizeof *row);
        *row = (struct kernel_row){.op = op,
                                   .in_channels = conv->in_channels,
                                   .out_channels = conv->out_channels,
                                   .height = conv->kernel[0],
                                   .width = conv->kernel[1],
                                   .row = dy};
        rows[dy] = cs_cpu_pack(plan, weights, cs_dnn_op_weight_key(op) + (uint64_t)dy + 1,
                               cs_dnn_op_weight_bytes(op), fill_row, row, err);
        if (!rows[dy])
            return NULL;
    }
    return rows;
}

int cs_cpu_build_upscale(struct cs_plan *plan, const struct cs_node *node,
                         const struct cs_dnn_conv *conv, struct cs_err *err)
{
    struct upscale *up = cs_cpu_params(plan, sizeof *up);
    const struct cs_graph *graph = plan->graph;
    int64_t kw = conv->kernel[1], columns = kw * conv->out_channels;
    const struct cs_dnn_conv row = {.batch = 1,
                                    .in_channels = conv->in_channels,
                                    .out_channels = columns,
                                    .groups = 1,
                                    .in = {1, conv->in[1]},
                                    .out = {1, conv->in[1]},
                                    .kernel = {1, 1},
                                    .stride = {1, 1},
                                    .dilation = {1, 1},
                                    .input_major = true,
                                    .bias = conv->bias};
    struct cs_dnn_op *op;
    int threads = plan->network->device->threads;
    omp_set_num_threads(1); // each op runs in one thread
    int result = cs_dnn_conv_new(plan->network->device->dnn, &row, &op, err);
    omp_set_num_threads(threads);
    if (result != 0)
        return -1;
    up->weights = pack_rows(plan, conv, op, cs_node_input(graph, node, 1), err);
    if (!up->weights) {
        cs_dnn_op_free(op);
        return -1;
    }
    up->src = cs_cpu_place_of(plan, node->inputs[0]);
    up->dst = cs_cpu_place_of(plan, node->outputs[0]);
    up->rows = conv->batch * conv->in[0];
    up->factor = conv->kernel[0];
    up->in_floats = conv->in[1] * conv->in_channels;
    up->out_floats = conv->in[1] * columns;
    struct cs_cpu_step *step = cs_cpu_add_step(plan, node, run_upscale, up);
    cs_cpu_set_op(plan, step, op, threads);
    step->src = up->src;
    step->dst = up->dst;
    const struct cs_cpu_late *late = &plan->late[node->inputs[0]];
    up->mapped = late->mapped;
    up->maps = late->maps;
    up->slope = late->slope;
    up->image_rows = conv->in[0];
    up->width = conv->in[1];
    up->channels = conv->in_channels;
    up->row_offset = cs_cpu_op_scratch(op) * (size_t)threads;
    if (up->mapped)
        cs_cpu_need_scratch(plan,
                            up->row_offset + (size_t)(threads * up->in_floats) * sizeof(float));
    step->weights.constant = up->weights[0];
    if (conv->bias) {
        const float *bias = cs_node_input(graph, node, 2)->data;
        size_t channels = (size_t)conv->out_channels;
        float *repeated = cs_cpu_params(plan, (size_t)columns * sizeof *repeated);
        for (int64_t dx = 0; dx < kw; dx++)
            memcpy(repeated + (size_t)dx * channels, bias, channels * sizeof *bias);
        step->bias.constant = repeated;
    }
    step->flops = 2.0 * (double)(up->rows * conv->in[1] * conv->in_channels) *
                  (double)(conv->kernel[0] * columns);
    return cs_cpu_build_fusion(plan, node, true, err);
}
