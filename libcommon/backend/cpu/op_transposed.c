// SPDX-License-Identifier: MIT
// ConvTranspose of any kernel, stride, dilation and groups, as matrix products.
//
// Output pixels whose place modulo the stride is the same (a phase) are reached by the same taps of
// the kernel: each phase is a convolution of stride 1 with those taps alone. The input pixels of
// these taps are copied into a row (im2col), rows times the phase's weights, stored a stride
// apart. Nothing is multiplied by the zeros that a stride puts between pixels, and the order of the
// sums does not change with threads or batch, as in oneDNN's deconvolution it does.
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "backend/cpu/product.h"
#include "base/mem.h"

enum { MAX_FLOATS = 1 << 16 }; // of the rows that a thread copies at once, if it can: 256 KiB

// The taps of one phase along one axis: which of the kernel, and how many pixels before the
// first input pixel of the phase each reads (negative: behind).
struct taps {
    int64_t count;
    int64_t *tap, *back;
};

struct transposed {
    struct cs_dnn_conv conv;
    struct cs_cpu_place src, dst, bias;
    const struct taps *taps[2];      // [stride]
    struct cs_cpu_product *products; // [stride, stride]: one phase of one group
    const float **packed;            // [stride, stride, groups]; NULL without taps
    int64_t row_floats, at_once;     // of the longest row; rows that are copied at once
};

static int64_t group_in(const struct cs_dnn_conv *c)
{
    return c->in_channels / c->groups;
}

static int64_t group_out(const struct cs_dnn_conv *c)
{
    return c->out_channels / c->groups;
}

static const struct taps *find_taps(struct cs_plan *plan, const struct cs_dnn_conv *c, int axis)
{
    int64_t stride = c->stride[axis], kernel = c->kernel[axis];
    struct taps *taps = cs_cpu_params(plan, (size_t)stride * sizeof *taps);
    for (int64_t phase = 0; phase < stride; phase++) {
        struct taps *t = &taps[phase];
        *t = (struct taps){.tap = cs_cpu_params(plan, (size_t)kernel * sizeof *t->tap),
                           .back = cs_cpu_params(plan, (size_t)kernel * sizeof *t->back)};
        for (int64_t k = 0; k < kernel; k++) {
            int64_t distance = k * c->dilation[axis] - phase;
            if (distance % stride != 0)
                continue;
            t->tap[t->count] = k;
            t->back[t->count++] = distance / stride;
        }
    }
    return taps;
}

// ---- Running -------------------------------------------------------------------------------

// Part of one output row: pixels of one phase, one group's channels.
struct strip {
    const float *src; // the image's first channel of the group
    const struct taps *y_taps, *x_taps;
    int64_t y, x; // input pixel of a tap that is 0 pixels back, for the first
};

// The row of the strip's pixel `index`: the channels under every tap, 0 outside.
static void gather(const struct cs_dnn_conv *c, const struct strip *s, int64_t index, float *row)
{
    int64_t channels = group_in(c);
    size_t bytes = (size_t)channels * sizeof *row;
    for (int64_t i = 0; i < s->y_taps->count; i++)
        for (int64_t j = 0; j < s->x_taps->count; j++, row += channels) {
            int64_t y = s->y - s->y_taps->back[i], x = s->x + index - s->x_taps->back[j];
            if (y < 0 || y >= c->in[0] || x < 0 || x >= c->in[1])
                memset(row, 0, bytes);
            else
                memcpy(row, s->src + (y * c->in[1] + x) * c->in_channels, bytes);
        }
}

static void run_strip(const struct transposed *t, const struct cs_kernels *kernels,
                      const struct strip *strip, int64_t phase, int64_t group, float *dst,
                      int64_t count, float *rows)
{
    const struct cs_cpu_product *product = &t->products[phase];
    if (product->depth == 0) { // no tap reaches these pixels
        for (int64_t i = 0; i < count; i++)
            memset(dst + i * product->c_row, 0, (size_t)product->columns * sizeof *dst);
        return;
    }
    for (int64_t first = 0; first < count; first += t->at_once) {
        int64_t left = count - first, now = left < t->at_once ? left : t->at_once;
        for (int64_t i = 0; i < now; i++)
            gather(&t->conv, strip, first + i, rows + i * product->depth);
        // Rows lie with depth innermost: the product copies nothing.
        cs_cpu_product_rows(kernels, product, dst + first * product->c_row, rows,
                            t->packed[phase * t->conv.groups + group], now, NULL);
    }
}

// One output row of one image.
static void run_row(const struct transposed *t, const struct cs_cpu_run *run, int64_t image,
                    int64_t y, float *rows)
{
    const struct cs_dnn_conv *c = &t->conv;
    const float *src = cs_cpu_at(run, t->src) + image * c->in[0] * c->in[1] * c->in_channels;
    float *dst = cs_cpu_at(run, t->dst) + (image * c->out[0] + y) * c->out[1] * c->out_channels;
    int64_t padded_y = y + c->pad_begin[0], y_phase = padded_y % c->stride[0];
    for (int64_t x = 0; x < c->stride[1] && x < c->out[1]; x++) {
        int64_t padded_x = x + c->pad_begin[1], x_phase = padded_x % c->stride[1];
        int64_t count = (c->out[1] - x + c->stride[1] - 1) / c->stride[1];
        struct strip strip = {NULL, &t->taps[0][y_phase], &t->taps[1][x_phase],
                              padded_y / c->stride[0], padded_x / c->stride[1]};
        for (int64_t group = 0; group < c->groups; group++) {
            strip.src = src + group * group_in(c);
            run_strip(t, run->kernels, &strip, y_phase * c->stride[1] + x_phase, group,
                      dst + x * c->out_channels + group * group_out(c), count, rows);
        }
    }
    if (c->bias)
        for (int64_t x = 0; x < c->out[1]; x++, dst += c->out_channels)
            run->kernels->binary[CS_BINARY_ADD](dst, dst, cs_cpu_at(run, t->bias), c->out_channels,
                                                1, 1);
}

static int run_transposed(const struct cs_cpu_step *step, const struct cs_cpu_run *run,
                          struct cs_err *err)
{
    (void)err;
    const struct transposed *t = step->params;
#pragma omp parallel
    {
        float *rows =
            (float *)(void *)run->scratch + omp_get_thread_num() * t->at_once * t->row_floats;
#pragma omp for schedule(static)
        for (int64_t i = 0; i < t->conv.batch * t->conv.out[0]; i++)
            run_row(t, run, i / t->conv.out[0], i % t->conv.out[0], rows);
    }
    return 0;
}

// ---- Planning ------------------------------------------------------------------------------

// What becomes packed weights: one phase of one group.
struct packing {
    const struct cs_kernels *kernels;
    const struct transposed *transposed;
    int64_t phase, group;
};

// ONNX's I x O/groups x H x W to rows of (tap, input channel), a column an output channel.
static int fill(const void *context, const void *data, void *packed, struct cs_err *err)
{
    const struct packing *packing = context;
    const struct cs_dnn_conv *c = &packing->transposed->conv;
    const struct cs_cpu_product *product = &packing->transposed->products[packing->phase];
    const struct taps *y = &packing->transposed->taps[0][packing->phase / c->stride[1]];
    const struct taps *x = &packing->transposed->taps[1][packing->phase % c->stride[1]];
    int64_t in = group_in(c), out = group_out(c);
    float *rows = cs_alloc((size_t)(product->depth * out), sizeof *rows, "packing weights", err);
    if (!rows)
        return -1;
    const float *weights =
        (const float *)data + packing->group * in * out * c->kernel[0] * c->kernel[1];
    float *to = rows;
    for (int64_t i = 0; i < y->count; i++)
        for (int64_t j = 0; j < x->count; j++)
            for (int64_t k = 0; k < in; k++)
                for (int64_t o = 0; o < out; o++)
                    *to++ = weights[((k * out + o) * c->kernel[0] + y->tap[i]) * c->kernel[1] +
                                    x->tap[j]];
    cs_cpu_product_pack(packing->kernels, product, rows, packed);
    free(rows);
    return 0;
}

// Packed weights of one phase of one group, shared by all plans.
static const float *pack(struct cs_plan *plan, const struct cs_node *node,
                         const struct transposed *t, int64_t phase, int64_t group,
                         struct cs_err *err)
{
    const struct cs_kernels *kernels = plan->network->device->kernels;
    struct packing *packing = cs_cpu_params(plan, sizeof *packing);
    *packing = (struct packing){kernels, t, phase, group};
    uint64_t key = UINT64_C(0x7472616e00000000) + // "tran"
                   (uint64_t)(phase * t->conv.groups + group) * 256 +
                   (uint64_t)kernels->tile_columns;
    return cs_cpu_pack(plan, cs_node_input(plan->graph, node, 1), key,
                       t->products[phase].packed_floats * sizeof(float), fill, packing, err);
}

static void set_products(struct cs_plan *plan, struct transposed *t)
{
    const struct cs_dnn_conv *c = &t->conv;
    int64_t phases = c->stride[0] * c->stride[1];
    t->products = cs_cpu_params(plan, (size_t)phases * sizeof *t->products);
    t->packed = cs_cpu_params(plan, (size_t)(phases * c->groups) * sizeof *t->packed);
    for (int64_t phase = 0; phase < phases; phase++) {
        struct cs_cpu_product *product = &t->products[phase];
        int64_t taps =
            t->taps[0][phase / c->stride[1]].count * t->taps[1][phase % c->stride[1]].count;
        *product = (struct cs_cpu_product){.depth = taps * group_in(c),
                                           .columns = group_out(c),
                                           .a_row = taps * group_in(c),
                                           .a_depth = 1,
                                           .b_depth = group_out(c),
                                           .b_column = 1,
                                           .c_row = c->stride[1] * c->out_channels,
                                           .c_column = 1};
        cs_cpu_product_size(plan->network->device->kernels, product);
        if (product->depth > t->row_floats)
            t->row_floats = product->depth;
    }
    int64_t fit = t->row_floats ? MAX_FLOATS / t->row_floats : 0;
    t->at_once = fit < 16 ? 16 : fit < CS_CPU_PRODUCT_ROWS ? fit : CS_CPU_PRODUCT_ROWS;
}

int cs_cpu_build_transposed(struct cs_plan *plan, const struct cs_node *node,
                            const struct cs_dnn_conv *conv, struct cs_err *err)
{
    struct transposed *t = cs_cpu_params(plan, sizeof *t);
    t->conv = *conv;
    for (int axis = 0; axis < 2; axis++)
        t->taps[axis] = find_taps(plan, conv, axis);
    set_products(plan, t);
    for (int64_t i = 0; i < conv->stride[0] * conv->stride[1] * conv->groups; i++) {
        if (t->products[i / conv->groups].depth == 0)
            continue;
        t->packed[i] = pack(plan, node, t, i / conv->groups, i % conv->groups, err);
        if (!t->packed[i])
            return -1;
    }
    t->src = cs_cpu_place_of(plan, node->inputs[0]);
    t->dst = cs_cpu_place_of(plan, node->outputs[0]);
    if (conv->bias)
        t->bias = cs_cpu_place_of(plan, node->inputs[2]);
    cs_cpu_need_scratch(plan,
                        (size_t)(plan->network->device->threads * t->at_once * t->row_floats) *
                            sizeof(float));
    struct cs_cpu_step *step = cs_cpu_add_step(plan, node, run_transposed, t);
    step->kernel = "phases:own";
    step->flops = 2.0 * (double)(conv->batch * conv->in[0] * conv->in[1] * conv->in_channels) *
                  (double)(conv->kernel[0] * conv->kernel[1] * group_out(conv));
    return cs_cpu_build_fusion(plan, node, node->fusion.add >= 0, err);
}
