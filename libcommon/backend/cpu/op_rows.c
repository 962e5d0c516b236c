// SPDX-License-Identifier: MIT
// Convolutions of long sums as one matrix product: the pixels under each window are copied into a
// row (im2col), rows times weights. oneDNN adds thousands of products one after the other; the
// product (product.h) adds blocks of them apart, so that its error is a fraction of that. Done for
// the planes of a few pixels deep in a network, where it is as fast, and for all where direct sums
// are asked for, because that is to be right rather than fast. Whether a convolution is done this
// way follows from one image, never from the batch.
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "backend/cpu/product.h"
#include "base/mem.h"

enum {
    MAX_PIXELS = 128,     // of the output, one image
    MIN_DEPTH = 512,      // products in a sum from which its length shows
    MAX_FLOATS = 1 << 20, // of the rows that are done at once, if a block of the product fits
};

struct rows {
    struct cs_dnn_conv conv;
    struct cs_cpu_place src, dst, bias, add;
    bool biased, adding;
    struct cs_cpu_activation activation;
    struct cs_cpu_product product; // of one group of output channels
    const float *packed;           // right sides of all groups
    int64_t groups;
    int64_t pixels, at_once; // of all images; of those that are done at once
    size_t rows_bytes;       // of scratch, before the results
};

bool cs_cpu_suits_rows(const struct cs_plan *plan, const struct cs_node *node,
                       const struct cs_dnn_conv *conv)
{
    int out = node->outputs[0], add = node->fusion.add;
    int64_t pixels = conv->out[0] * conv->out[1];
    int64_t depth = conv->kernel[0] * conv->kernel[1] * conv->in_channels;
    bool pays = plan->direct || (conv->kernel[0] * conv->kernel[1] > 1 && pixels <= MAX_PIXELS);
    return pays && !conv->transposed && conv->groups == 1 && depth >= MIN_DEPTH &&
           plan->channels_last[node->inputs[0]] && plan->channels_last[out] &&
           (add < 0 || (plan->channels_last[add] && !plan->graph->values[add].data));
}

// One row: the channels of every pixel under the window of output pixel `index`, 0 outside.
static void gather(const struct cs_dnn_conv *c, const float *src, int64_t index, float *row)
{
    int64_t plane = c->out[0] * c->out[1], image = index / plane, at = index % plane;
    int64_t top = at / c->out[1] * c->stride[0] - c->pad_begin[0];
    int64_t left = at % c->out[1] * c->stride[1] - c->pad_begin[1];
    size_t bytes = (size_t)c->in_channels * sizeof *row;
    src += image * c->in[0] * c->in[1] * c->in_channels;
    for (int64_t ky = 0; ky < c->kernel[0]; ky++)
        for (int64_t kx = 0; kx < c->kernel[1]; kx++, row += c->in_channels) {
            int64_t y = top + ky * c->dilation[0], x = left + kx * c->dilation[1];
            if (y < 0 || y >= c->in[0] || x < 0 || x >= c->in[1])
                memset(row, 0, bytes);
            else
                memcpy(row, src + (y * c->in[1] + x) * c->in_channels, bytes);
        }
}

// A row of results with bias, addend and activation, to its place, which may be the addend's.
static void finish(const struct rows *p, const struct cs_cpu_run *run, float *row, int64_t index)
{
    const struct cs_kernels *kernels = run->kernels;
    int64_t channels = p->conv.out_channels;
    float *dst = cs_cpu_at(run, p->dst) + index * channels;
    if (p->biased)
        kernels->binary[CS_BINARY_ADD](row, row, cs_cpu_at(run, p->bias), channels, 1, 1);
    if (p->adding)
        kernels->binary[CS_BINARY_ADD](row, row, cs_cpu_at(run, p->add) + index * channels,
                                       channels, 1, 1);
    kernels->unary[p->activation.unary](dst, row, channels, p->activation.alpha,
                                        p->activation.beta);
}

// Some images' rows, one group of output channels after the other.
static void multiply(const struct rows *p, const struct cs_kernels *kernels, const float *rows,
                     float *result, int64_t count)
{
    const struct cs_cpu_product *product = &p->product;
    int64_t blocks = (count + CS_CPU_PRODUCT_ROWS - 1) / CS_CPU_PRODUCT_ROWS;
#pragma omp for schedule(static)
    for (int64_t i = 0; i < blocks * p->groups; i++) {
        int64_t group = i / blocks, first = i % blocks * CS_CPU_PRODUCT_ROWS, left = count - first;
        // Rows lie with depth innermost: nothing is copied.
        cs_cpu_product_rows(
            kernels, product, result + first * product->c_row + group * product->columns,
            rows + first * product->a_row, p->packed + (size_t)group * product->packed_floats,
            left < CS_CPU_PRODUCT_ROWS ? left : CS_CPU_PRODUCT_ROWS, NULL);
    }
}

static int run_rows(const struct cs_cpu_step *step, const struct cs_cpu_run *run,
                    struct cs_err *err)
{
    (void)err;
    const struct rows *p = step->params;
    const float *src = cs_cpu_at(run, p->src);
    float *rows = (float *)(void *)run->scratch;
    float *result = (float *)(void *)(run->scratch + p->rows_bytes);
#pragma omp parallel
    for (int64_t first = 0; first < p->pixels; first += p->at_once) {
        int64_t left = p->pixels - first, count = left < p->at_once ? left : p->at_once;
#pragma omp for schedule(static)
        for (int64_t i = 0; i < count; i++)
            gather(&p->conv, src, first + i, rows + i * p->product.depth);
        multiply(p, run->kernels, rows, result, count);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < count; i++)
            finish(p, run, result + i * p->conv.out_channels, first + i);
    }
    return 0;
}

// ---- Weights -------------------------------------------------------------------------------

struct packing {
    const struct cs_kernels *kernels;
    struct cs_cpu_product product;
    int64_t groups, taps;
};

// From output channel, input channel, tap to rows of (tap, input channel), one column an output
// channel; then as the product wants its right sides.
static int fill(const void *context, const void *data, void *packed, struct cs_err *err)
{
    const struct packing *packing = context;
    const struct cs_cpu_product *p = &packing->product;
    int64_t columns = p->b_depth, taps = packing->taps, channels = p->depth / taps;
    float *rows = cs_alloc((size_t)(p->depth * columns), sizeof *rows, "weights", err);
    const float *from = data;
    if (!rows)
        return -1;
    for (int64_t o = 0; o < columns; o++)
        for (int64_t c = 0; c < channels; c++)
            for (int64_t t = 0; t < taps; t++)
                rows[(t * channels + c) * columns + o] = *from++;
    for (int64_t i = 0; i < packing->groups; i++)
        cs_cpu_product_pack(packing->kernels, p, rows + i * p->columns,
                            (float *)packed + (size_t)i * p->packed_floats);
    free(rows);
    return 0;
}

// Output channels in groups, each a matrix of its own, so that threads share them out.
static void set_product(struct rows *p, const struct cs_kernels *kernels)
{
    const struct cs_dnn_conv *conv = &p->conv;
    int64_t all = conv->out_channels, columns = all % 32 == 0 ? 32 : all;
    int64_t depth = conv->kernel[0] * conv->kernel[1] * conv->in_channels;
    p->groups = all / columns;
    p->product = (struct cs_cpu_product){.depth = depth,
                                         .columns = columns,
                                         .a_row = depth,
                                         .a_depth = 1,
                                         .b_depth = all,
                                         .b_column = 1,
                                         .c_row = all,
                                         .c_column = 1};
    cs_cpu_product_size(kernels, &p->product);
    int64_t blocks = MAX_FLOATS / depth / CS_CPU_PRODUCT_ROWS;
    int64_t most = (blocks > 1 ? blocks : 1) * CS_CPU_PRODUCT_ROWS;
    p->pixels = conv->batch * conv->out[0] * conv->out[1];
    p->at_once = most < p->pixels ? most : p->pixels;
    p->rows_bytes = ((size_t)(p->at_once * depth) * sizeof(float) + 63) / 64 * 64;
}

int cs_cpu_build_rows(struct cs_plan *plan, const struct cs_node *node,
                      const struct cs_dnn_conv *conv, struct cs_err *err)
{
    const struct cs_kernels *kernels = plan->network->device->kernels;
    struct rows *p = cs_cpu_params(plan, sizeof *p);
    struct packing *packing = cs_cpu_params(plan, sizeof *packing);
    p->conv = *conv;
    set_product(p, kernels);
    *packing = (struct packing){kernels, p->product, p->groups, conv->kernel[0] * conv->kernel[1]};
    uint64_t key = UINT64_C(0x726f777300000000) + (uint64_t)kernels->tile_columns; // "rows"
    p->packed = cs_cpu_pack(plan, cs_node_input(plan->graph, node, 1), key,
                            (size_t)p->groups * p->product.packed_floats * sizeof(float), fill,
                            packing, err);
    if (!p->packed)
        return -1;
    p->src = cs_cpu_place_of(plan, node->inputs[0]);
    p->dst = cs_cpu_place_of(plan, node->outputs[0]);
    p->biased = conv->bias;
    if (conv->bias)
        p->bias = cs_cpu_place_of(plan, node->inputs[2]);
    p->adding = node->fusion.add >= 0;
    if (p->adding)
        p->add = cs_cpu_place_of(plan, node->fusion.add);
    cs_cpu_activation_of(&node->fusion, &p->activation);
    cs_cpu_need_scratch(plan,
                        p->rows_bytes + (size_t)(p->at_once * conv->out_channels) * sizeof(float));
    struct cs_cpu_step *step = cs_cpu_add_step(plan, node, run_rows, p);
    step->kernel = "rows:own";
    step->flops = 2.0 * (double)(p->pixels * p->product.depth) * (double)conv->out_channels;
    return 0;
}
