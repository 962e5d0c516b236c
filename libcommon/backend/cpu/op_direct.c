// SPDX-License-Identifier: MIT
// Convolutions by direct sums: of few input channels, where Winograd's transforms cost more than
// they save, and strided ones.
//
// With channels innermost, the taps of one kernel row lie side by side in a row of the image, and
// the next output pixel's a stride further: a row of outputs is the sum over kernel rows of a
// product of overlapping pixels and weights, the same that a 1x1 convolution is
// (kernels_pointwise_body.h). Rows of the image are copied first, with the zeros around it, and
// with a norm applied on the way (late.c).
//
// A result depends on its own window alone, and the rows whose statistics are taken together follow
// from the shape of one image: same bytes for any number of threads and any batch.
#include <string.h>

#include "backend/cpu/conv.h"

enum {
    MAX_PARTS = 64,
    BUFFER_FLOATS = 32768, // of copied rows, where a chunk of one output row needs no more
    MAX_ROWS = 16,         // of a chunk
    CHUNKS = 32,           // of an image, for an even share
    LEAST_OUT = 8,         // output channels
    FEW_IN = 4,            // input channels
};

struct direct {
    struct cs_dnn_conv conv;
    struct cs_cpu_source source;
    struct cs_cpu_place dst, add;
    bool adding;
    struct cs_finish finish;
    const float *packed, *bias;
    int vectors;               // registers of a panel; the last may have fewer
    int64_t panels, padded;    // how many, and output channels of all
    int64_t row_floats;        // of a copied row
    int64_t rows, chunks;      // output rows of a chunk, chunks of an image
    int64_t buffer_floats;     // of a thread
    int64_t depth, part_depth; // products of a kernel row, and of a part of it
    bool chained;              // sums are short enough to be one
    bool stream;
    struct cs_cpu_gather gather;
};

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// ---- Running -------------------------------------------------------------------------------

// Row y of the image, as far as windows reach, zeros where it has none.
static void copy_row(const struct direct *p, const struct cs_cpu_run *run, int64_t image, int64_t y,
                     float *row)
{
    const struct cs_dnn_conv *c = &p->conv;
    int64_t channels = c->in_channels, before = c->pad_begin[1] * channels;
    int64_t pixels = smaller(c->in[1], p->row_floats / channels - c->pad_begin[1]);
    int64_t floats = pixels * channels;
    if (y < 0 || y >= c->in[0]) {
        memset(row, 0, (size_t)p->row_floats * sizeof *row);
        return;
    }
    const float *src = cs_cpu_at(run, p->source.src) + (image * c->in[0] + y) * c->in[1] * channels;
    memset(row, 0, (size_t)before * sizeof *row);
    if (p->source.mapped) {
        const float *maps = cs_cpu_at(run, p->source.maps) + image * 3 * channels;
        const struct cs_affine f = {maps, maps + channels, maps + 2 * channels};
        run->kernels->affine(row + before, src, NULL, pixels, channels, &f, p->source.slope);
    } else {
        memcpy(row + before, src, (size_t)floats * sizeof *row);
    }
    memset(row + before + floats, 0, (size_t)(p->row_floats - before - floats) * sizeof *row);
}

// One panel of an output row: `first` of its channels, `wide` of them with what is padded. Image
// rows of the window's first kernel row begin at `rows`.
static void run_panel(const struct direct *p, const struct cs_cpu_run *run, const float *rows,
                      int64_t first, int64_t wide, int64_t at, double *sum)
{
    const struct cs_dnn_conv *c = &p->conv;
    const struct cs_pointwise_kernel *kernel =
        run->kernels->pointwise[wide / run->kernels->width - 1];
    int64_t step = c->stride[1] * c->in_channels;
    struct cs_pointwise_part parts[MAX_PARTS];
    struct cs_pointwise_tile tile = {
        .parts = parts,
        .chained = p->chained,
        .b = p->packed + first * c->kernel[0] * p->depth,
        .bias = p->bias + first,
        .columns = smaller(wide, c->out_channels - first),
        .c = cs_cpu_at(run, p->dst) + at + first,
        .add = p->adding ? cs_cpu_at(run, p->add) + at + first : NULL,
        .step = c->out_channels,
        .finish = p->finish,
        .stream = p->stream,
        .sum = sum ? sum + first : NULL,
        .square = sum ? sum + p->padded + first : NULL,
    };
    for (int64_t ky = 0; ky < c->kernel[0]; ky++)
        for (int64_t k = 0; k < p->depth; k += p->part_depth)
            parts[tile.part_count++] =
                (struct cs_pointwise_part){rows + ky * c->dilation[0] * p->row_floats + k, step,
                                           smaller(p->depth - k, p->part_depth)};
    for (int64_t left = c->out[1]; left > 0;) {
        int size = left >= kernel->rows ? 0 : left >= 4 ? 1 : 2;
        int now = size == 0 ? kernel->rows : size == 1 ? 4 : 1;
        kernel->tile[size](&tile);
        tile.c += now * tile.step;
        if (tile.add)
            tile.add += now * tile.step;
        for (int i = 0; i < tile.part_count; i++)
            parts[i].a += now * step;
        left -= now;
    }
}

// Output rows [begin, end) of one image. sums: of the chunk, or NULL.
static void run_rows(const struct direct *p, const struct cs_cpu_run *run, int64_t image,
                     int64_t begin, int64_t end, float *buffer, double *sums)
{
    const struct cs_dnn_conv *c = &p->conv;
    int64_t panel = p->vectors * run->kernels->width;
    int64_t top = begin * c->stride[0] - c->pad_begin[0];
    int64_t reach = (end - 1 - begin) * c->stride[0] + (c->kernel[0] - 1) * c->dilation[0] + 1;
    for (int64_t i = 0; i < reach; i++)
        copy_row(p, run, image, top + i, buffer + i * p->row_floats);
    for (int64_t y = begin; y < end; y++) {
        int64_t at = (image * c->out[0] + y) * c->out[1] * c->out_channels;
        const float *rows = buffer + (y - begin) * c->stride[0] * p->row_floats;
        for (int64_t first = 0; first < p->padded; first += panel)
            run_panel(p, run, rows, first, smaller(panel, p->padded - first), at, sums);
    }
}

static void run_parts(const struct cs_cpu_step *step, const struct cs_cpu_run *run, int64_t begin,
                      int64_t end)
{
    const struct direct *p = step->params;
    double *sums = cs_cpu_gather_sums(&p->gather, run);
    for (int64_t i = begin; i < end; i++) {
        int64_t first = i % p->chunks * p->rows;
        double *of_chunk = sums ? sums + 2 * i * p->padded : NULL;
        if (of_chunk)
            memset(of_chunk, 0, (size_t)(2 * p->padded) * sizeof *of_chunk);
        run_rows(p, run, i / p->chunks, first, smaller(first + p->rows, p->conv.out[0]),
                 (float *)(void *)run->scratch, of_chunk);
    }
}

static void finish(const struct cs_cpu_step *step, const struct cs_cpu_run *run)
{
    const struct direct *p = step->params;
    cs_cpu_gather_finish(&p->gather, run);
}

static void direct_rows(const struct cs_cpu_step *step, const struct cs_cpu_run *run, int64_t image,
                        int64_t begin, int64_t end)
{
    const struct direct *p = step->params;
    float *buffer = (float *)(void *)run->scratch;
    for (int64_t y = begin; y < end; y += p->rows)
        run_rows(p, run, image, y, smaller(y + p->rows, end), buffer, NULL);
}

// ---- Weights -------------------------------------------------------------------------------

struct packing {
    int64_t ins, outs, taps;
    int64_t padded, panel; // output channels
};

// Panel by panel rows of (tap, input channel), a column an output channel.
static int fill(const void *context, const void *data, void *packed, struct cs_err *err)
{
    (void)err;
    const struct packing *p = context;
    const float *weights = data;
    float *to = packed;
    for (int64_t first = 0; first < p->padded; first += p->panel) {
        int64_t columns = smaller(p->panel, p->padded - first);
        for (int64_t t = 0; t < p->taps; t++)
            for (int64_t i = 0; i < p->ins; i++, to += columns)
                for (int64_t o = first; o < first + columns && o < p->outs; o++)
                    to[o - first] = weights[(o * p->ins + i) * p->taps + t];
    }
    return 0;
}

static const float *pack(struct cs_plan *plan, const struct cs_node *node, const struct direct *p,
                         struct cs_err *err)
{
    const struct cs_dnn_conv *c = &p->conv;
    struct packing *packing = cs_cpu_params(plan, sizeof *packing);
    *packing = (struct packing){.ins = c->in_channels,
                                .outs = c->out_channels,
                                .taps = c->kernel[0] * c->kernel[1],
                                .padded = p->padded,
                                .panel = p->vectors * plan->network->device->kernels->width};
    uint64_t key = UINT64_C(0x6469726563740000) + (uint64_t)packing->panel; // "direct"
    return cs_cpu_pack(plan, cs_node_input(plan->graph, node, 1), key,
                       (size_t)(packing->taps * packing->ins * p->padded) * sizeof(float), fill,
                       packing, err);
}

// ---- Planning ------------------------------------------------------------------------------

static void choose_blocks(const struct cs_device *device, struct direct *p)
{
    const struct cs_dnn_conv *c = &p->conv;
    int64_t width = device->kernels->width, reach = (c->kernel[0] - 1) * c->dilation[0] + 1;
    p->vectors = cs_cpu_panel_vectors(device->kernels, c->out_channels);
    p->padded = (c->out_channels + width - 1) / width * width;
    p->panels = (p->padded + p->vectors * width - 1) / (p->vectors * width);
    p->depth = c->kernel[1] * c->in_channels;
    p->part_depth = smaller(p->depth, CS_KERNEL_DEPTH);
    p->chained = p->depth * c->kernel[0] <= CS_KERNEL_DEPTH;
    p->row_floats = ((c->out[1] - 1) * c->stride[1] + c->kernel[1]) * c->in_channels;
    int64_t fit = (BUFFER_FLOATS / p->row_floats - reach) / c->stride[0] + 1;
    int64_t even = (c->out[0] + CHUNKS - 1) / CHUNKS;
    p->rows = smaller(smaller(fit, MAX_ROWS), even);
    p->rows = p->rows > 1 ? p->rows : 1;
    p->chunks = (c->out[0] + p->rows - 1) / p->rows;
    p->buffer_floats = ((p->rows - 1) * c->stride[0] + reach) * p->row_floats;
    size_t bytes =
        (size_t)c->batch * sizeof(float) *
        (size_t)(c->in[0] * c->in[1] * c->in_channels + c->out[0] * c->out[1] * c->out_channels);
    p->stream = c->out_channels % width == 0 && bytes > device->caches.shared;
}

bool cs_cpu_suits_direct(const struct cs_plan *plan, const struct cs_node *node,
                         const struct cs_dnn_conv *conv)
{
    int add = node->fusion.add, out = node->outputs[0];
    bool pays = conv->in_channels <= FEW_IN || !plan->direct;
    struct cs_cpu_activation activation;
    struct cs_finish finish;
    if (!pays || conv->transposed || conv->groups != 1 || conv->dilation[1] != 1 ||
        !plan->channels_last[node->inputs[0]] || !plan->channels_last[out] ||
        conv->out_channels < LEAST_OUT || conv->kernel[0] * conv->kernel[1] < 2 ||
        conv->kernel[0] * (conv->kernel[1] * conv->in_channels / CS_KERNEL_DEPTH + 1) > MAX_PARTS)
        return false;
    return cs_cpu_activation_of(&node->fusion, &activation) &&
           cs_cpu_finish_of(&activation, &finish) &&
           (add < 0 ||
            (!plan->graph->values[add].data && plan->channels_last[add] &&
             cs_shape_equal(&plan->graph->values[add].shape, &plan->graph->values[out].shape)));
}

int cs_cpu_build_direct(struct cs_plan *plan, const struct cs_node *node,
                        const struct cs_dnn_conv *conv, struct cs_err *err)
{
    const struct cs_device *device = plan->network->device;
    const struct cs_value *bias = cs_node_input(plan->graph, node, 2);
    struct cs_cpu_activation activation;
    struct cs_cpu_sources sources;
    struct direct *p = cs_cpu_params(plan, sizeof *p);
    p->conv = *conv;
    choose_blocks(device, p);
    p->stream = p->stream && !cs_cpu_in_band(plan, node);
    p->packed = pack(plan, node, p, err);
    if (!p->packed)
        return -1;
    float *padded = cs_cpu_params(plan, (size_t)p->padded * sizeof *padded);
    if (bias)
        memcpy(padded, bias->data, (size_t)conv->out_channels * sizeof *padded);
    p->bias = padded;
    cs_cpu_sources_of(plan, node->inputs[0], &sources);
    p->source = sources.source[0];
    p->dst = cs_cpu_place_of(plan, node->outputs[0]);
    p->adding = node->fusion.add >= 0;
    if (p->adding)
        p->add = cs_cpu_place_of(plan, node->fusion.add);
    cs_cpu_activation_of(&node->fusion, &activation);
    cs_cpu_finish_of(&activation, &p->finish);
    cs_cpu_gather_init(plan, node, p->chunks, p->padded, &p->gather);
    cs_cpu_need_scratch(plan, (size_t)p->buffer_floats * sizeof(float));
    struct cs_cpu_step *step =
        cs_cpu_add_parts(plan, node, conv->batch * p->chunks, run_parts, finish, p);
    step->rows = direct_rows;
    step->kernel = "direct:own";
    step->flops = 2.0 * (double)(conv->batch * conv->out[0] * conv->out[1]) *
                  (double)(p->depth * conv->kernel[0]) * (double)conv->out_channels;
    return 0;
}
