// SPDX-License-Identifier: MIT
// 1x1 convolutions with stride 1, and transposed convolutions whose windows touch without
// overlapping (2x2 with stride 2 in every U-Net), as products of pixels and weights.
//
// Pixels are read where they lie; those of the parts of a concatenation, and of a norm that is
// applied on the way (late.c), from a block of them in scratch. Weights are packed into panels of
// some registers of output channels; a tile of pixels times a panel is summed in registers and gets
// its bias, addition and activation there (kernels_pointwise_body.h).
//
// Of few output channels, weights stay as rows of input channels, and a result is the sum of a
// register's lanes (kernels_pointwise_narrow_body.h).
//
// Of a transposed convolution an output row y * k + dy is, in memory, the input row's pixels with
// k * C channels each: a 1x1 convolution of the input row with kernel row dy. Such rows are called
// lines here, and the kernel's rows planes; a 1x1 convolution has one line an image and one plane.
//
// A result depends on its own pixel alone, and how pixels are cut into blocks, which their
// statistics follow, on the shape of one image: same bytes for any number of threads and any batch.
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/conv.h"
#include "base/mem.h"

enum {
    UNIT = 24,            // pixels: a multiple of all tiles' rows
    BLOCK_FLOATS = 49152, // of a block's inputs or outputs: they stay in a core's second cache
    BLOCK_PIXELS = 240,
    MAX_DEPTH = 8192, // input channels
    MAX_PARTS = CS_WINOGRAD_SOURCES + MAX_DEPTH / CS_KERNEL_DEPTH,
    LINE = 64, // bytes
    TASKS = 4, // a thread, for an even share
};

struct pointwise {
    struct cs_cpu_sources sources;
    struct cs_cpu_place dst, add;
    bool adding;
    struct cs_finish finish;
    const float *packed, *bias;
    int64_t depth, columns;             // of one plane's product
    int64_t lines, line_pixels, planes; // of all images
    int64_t image_lines;                // of one
    int64_t columns_in;                 // pixels of a row of the image
    int vectors;                        // registers of a panel; the last of a plane may have fewer
    int64_t panels, padded;             // of a plane: how many, and columns of all
    int64_t block, blocks, groups;      // pixels of a block, blocks of a line, tasks of a block
    int64_t copied;                     // floats of a pixel that are copied first
    bool stream;
    bool narrow; // few output channels
    struct cs_cpu_gather gather;
};

// ---- Running -------------------------------------------------------------------------------

// Pixels of one line.
struct block {
    int64_t line, first, count;
    int64_t chunk; // its number
    struct cs_pointwise_part parts[MAX_PARTS];
    int part_count;
    const char *next[CS_WINOGRAD_SOURCES]; // of each source, the pixels behind the block
};

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static const float *source_at(const struct pointwise *p, const struct cs_cpu_run *run,
                              const struct cs_cpu_source *source, const struct block *block)
{
    return cs_cpu_at(run, source->src) +
           (block->line * p->line_pixels + block->first) * source->channels;
}

// The source's pixels of the block: mapped into `copy` if need be, and copied there from the parts
// of a concatenation, of which tiles would read too little at a time to keep memory busy.
static const float *read_source(const struct pointwise *p, const struct cs_cpu_run *run,
                                const struct cs_cpu_source *source, const struct block *block,
                                float *copy)
{
    int64_t channels = source->channels;
    const float *src = source_at(p, run, source, block);
    if (!source->mapped && p->sources.count == 1)
        return src;
    if (!source->mapped)
        return memcpy(copy, src, (size_t)(block->count * channels) * sizeof *copy);
    const float *maps = cs_cpu_at(run, source->maps) + block->line / p->image_lines * 3 * channels;
    const struct cs_affine f = {maps, maps + channels, maps + 2 * channels};
    run->kernels->affine(copy, src, NULL, block->count, channels, &f, source->slope);
    return copy;
}

static void read_sources(const struct pointwise *p, const struct cs_cpu_run *run,
                         struct block *block, float *copy)
{
    block->part_count = 0;
    for (int i = 0; i < p->sources.count; i++) {
        const struct cs_cpu_source *source = &p->sources.source[i];
        const float *a = read_source(p, run, source, block, copy);
        block->next[i] =
            (const char *)(source_at(p, run, source, block) + block->count * source->channels);
        if (a == copy)
            copy += block->count * source->channels;
        for (int64_t c = 0; c < source->channels; c += CS_KERNEL_DEPTH)
            block->parts[block->part_count++] = (struct cs_pointwise_part){
                a + c, source->channels, smaller(source->channels - c, CS_KERNEL_DEPTH)};
    }
}

// Fetch of the next block as many pixels, or of all panels one's share, into the cache.
static void fetch(const struct pointwise *p, const struct block *block, int64_t first, int rows,
                  int64_t panel)
{
    int64_t panels = p->planes * p->panels;
    for (int i = 0; i < p->sources.count; i++) {
        int64_t pixel = p->sources.source[i].channels * (int64_t)sizeof(float);
        int64_t begin = first * pixel + rows * pixel * panel / panels / LINE * LINE;
        int64_t end = first * pixel + rows * pixel * (panel + 1) / panels / LINE * LINE;
        for (int64_t at = begin; at < end; at += LINE)
            __builtin_prefetch(block->next[i] + at, 0, 2);
    }
}

// Down the block's pixels.
static void run_panel(const struct pointwise *p, const struct cs_pointwise_kernel *kernel,
                      struct cs_pointwise_tile *tile, struct block *block, int64_t panel)
{
    for (int64_t done = 0; done < block->count;) {
        int64_t left = block->count - done;
        int size = left >= kernel->rows ? 0 : left >= 4 ? 1 : 2;
        int rows = size == 0 ? kernel->rows : size == 1 ? 4 : 1;
        fetch(p, block, done, rows, panel);
        kernel->tile[size](tile);
        tile->c += rows * tile->step;
        if (tile->add)
            tile->add += rows * tile->step;
        for (int i = 0; i < block->part_count; i++)
            block->parts[i].a += rows * block->parts[i].step;
        done += rows;
    }
    for (int i = 0; i < block->part_count; i++)
        block->parts[i].a -= block->count * block->parts[i].step;
}

// Panel `index` of all planes.
static void multiply(const struct pointwise *p, const struct cs_cpu_run *run, struct block *block,
                     int64_t index)
{
    int64_t plane = index / p->panels, width = run->kernels->width;
    int64_t first = index % p->panels * p->vectors * width, left = p->padded - first;
    int64_t wide = smaller(p->vectors * width, left);
    int64_t line = block->line * p->planes + plane;
    int64_t at = (line * p->line_pixels + block->first) * p->columns + first;
    struct cs_pointwise_tile tile = {
        .parts = block->parts,
        .part_count = block->part_count,
        .b = p->packed + (plane * p->padded + first) * p->depth,
        .bias = p->bias + first,
        .columns = smaller(wide, p->columns - first),
        .c = cs_cpu_at(run, p->dst) + at,
        .add = p->adding ? cs_cpu_at(run, p->add) + at : NULL,
        .step = p->columns,
        .finish = p->finish,
        .stream = p->stream,
    };
    double *sums = cs_cpu_gather_sums(&p->gather, run);
    if (sums) {
        tile.sum = sums + 2 * block->chunk * p->padded + first;
        tile.square = tile.sum + p->padded;
        memset(tile.sum, 0, (size_t)wide * sizeof *sums);
        memset(tile.square, 0, (size_t)wide * sizeof *sums);
    }
    run_panel(p, run->kernels->pointwise[wide / width - 1], &tile, block, index);
}

// All pixels of the block, of few output channels.
static void multiply_narrow(const struct pointwise *p, const struct cs_cpu_run *run,
                            const struct block *block)
{
    int64_t at = (block->line * p->line_pixels + block->first) * p->columns;
    double *sums = cs_cpu_gather_sums(&p->gather, run);
    const struct cs_pointwise_narrow narrow = {
        .parts = block->parts,
        .part_count = block->part_count,
        .b = p->packed,
        .bias = p->bias,
        .pixels = block->count,
        .columns = (int)p->columns,
        .c = cs_cpu_at(run, p->dst) + at,
        .add = p->adding ? cs_cpu_at(run, p->add) + at : NULL,
        .finish = p->finish,
    };
    run->kernels->narrow(&narrow);
    if (sums) {
        sums += 2 * block->chunk * p->padded;
        run->kernels->moments(narrow.c, block->count, p->columns, sums, sums + p->padded);
    }
}

static void run_parts(const struct cs_cpu_step *step, const struct cs_cpu_run *run, int64_t begin,
                      int64_t end)
{
    const struct pointwise *p = step->params;
    int64_t panels = p->planes * p->panels;
    for (int64_t i = begin; i < end; i++) {
        int64_t chunk = i / p->groups, group = i % p->groups;
        struct block block = {.line = chunk / p->blocks, .chunk = chunk};
        block.first = chunk % p->blocks * p->block;
        block.count = smaller(p->block, p->line_pixels - block.first);
        read_sources(p, run, &block, (float *)(void *)run->scratch);
        if (p->narrow) {
            multiply_narrow(p, run, &block);
            continue;
        }
        for (int64_t j = panels * group / p->groups; j < panels * (group + 1) / p->groups; j++)
            multiply(p, run, &block, j);
    }
}

static void finish(const struct cs_cpu_step *step, const struct cs_cpu_run *run)
{
    const struct pointwise *p = step->params;
    cs_cpu_gather_finish(&p->gather, run);
}

static void pointwise_rows(const struct cs_cpu_step *step, const struct cs_cpu_run *run,
                           int64_t image, int64_t begin, int64_t end)
{
    const struct pointwise *p = step->params;
    int64_t last = end * p->columns_in;
    for (int64_t first = begin * p->columns_in; first < last; first += p->block) {
        struct block block = {.line = image, .first = first};
        block.count = smaller(p->block, last - first);
        read_sources(p, run, &block, (float *)(void *)run->scratch);
        if (p->narrow)
            multiply_narrow(p, run, &block);
        for (int64_t j = 0; !p->narrow && j < p->panels; j++)
            multiply(p, run, &block, j);
    }
}

// ---- Weights -------------------------------------------------------------------------------

struct packing {
    int64_t ins, outs, height, width; // the kernel's rows and columns
    bool transposed;
    int64_t padded, panel; // columns of a plane and of a panel
    int64_t lanes;         // of a register
};

// Of each register of input channels one of each output channel.
static int fill_narrow(const void *context, const void *data, void *packed, struct cs_err *err)
{
    (void)err;
    const struct packing *p = context;
    const float *weights = data;
    float *to = packed;
    for (int64_t k = 0; k < p->ins; k += p->lanes)
        for (int64_t o = 0; o < p->outs; o++, to += p->lanes)
            memcpy(to, weights + o * p->ins + k, (size_t)p->lanes * sizeof *to);
    return 0;
}

// Panel by panel rows of input channels; in columns (dx, output channel).
static int fill(const void *context, const void *data, void *packed, struct cs_err *err)
{
    (void)err;
    const struct packing *p = context;
    const float *weights = data;
    float *to = packed;
    int64_t taps = p->height * p->width;
    for (int64_t dy = 0; dy < p->height; dy++)
        for (int64_t first = 0; first < p->padded; first += p->panel) {
            int64_t columns = smaller(p->panel, p->padded - first);
            for (int64_t i = 0; i < p->ins; i++, to += columns)
                for (int64_t j = first; j < first + columns && j < p->width * p->outs; j++) {
                    int64_t tap = dy * p->width + j / p->outs, o = j % p->outs;
                    int64_t pair = p->transposed ? i * p->outs + o : o * p->ins + i;
                    to[j - first] = weights[pair * taps + tap];
                }
        }
    return 0;
}

static const float *pack(struct cs_plan *plan, const struct cs_node *node,
                         const struct cs_dnn_conv *conv, const struct pointwise *p,
                         struct cs_err *err)
{
    int64_t width = plan->network->device->kernels->width;
    struct packing *packing = cs_cpu_params(plan, sizeof *packing);
    *packing = (struct packing){.ins = conv->in_channels,
                                .outs = conv->out_channels,
                                .height = conv->kernel[0],
                                .width = conv->kernel[1],
                                .transposed = conv->transposed,
                                .padded = p->padded,
                                .panel = p->vectors * width,
                                .lanes = width};
    const struct cs_value *weights = cs_node_input(plan->graph, node, 1);
    uint64_t key = UINT64_C(0x706f696e74000000) + (uint64_t)packing->panel; // "point"
    if (p->narrow)
        return cs_cpu_pack(
            plan, weights, UINT64_C(0x6e6172726f770000) + (uint64_t)width, // "narrow"
            (size_t)(p->columns * p->depth) * sizeof(float), fill_narrow, packing, err);
    return cs_cpu_pack(plan, weights, key,
                       (size_t)(p->planes * p->padded * p->depth) * sizeof(float), fill, packing,
                       err);
}

static const float *repeat_bias(struct cs_plan *plan, const struct cs_node *node,
                                const struct cs_dnn_conv *conv, int64_t count, int64_t padded)
{
    const struct cs_value *bias = cs_node_input(plan->graph, node, 2);
    float *repeated = cs_cpu_params(plan, (size_t)padded * sizeof *repeated);
    for (int64_t j = 0; bias && j < count; j++)
        repeated[j] = ((const float *)bias->data)[j % conv->out_channels];
    return repeated;
}

// ---- Planning ------------------------------------------------------------------------------

int cs_cpu_panel_vectors(const struct cs_kernels *kernels, int64_t columns)
{
    static const double speed[] = {0.80, 0.97, 1.00, 0.99}; // measured
    double least = 0;
    int best = 0;
    for (int v = 1; v <= CS_POINTWISE_VECTORS && kernels->pointwise[v - 1]; v++) {
        int64_t panel = v * kernels->width, whole = columns / panel;
        int64_t left = (columns % panel + kernels->width - 1) / kernels->width;
        double cost = (double)(whole * v) / speed[v - 1];
        cost += left ? (double)left / speed[left - 1] : 0;
        if (best == 0 || cost < least) {
            least = cost;
            best = v;
        }
    }
    return best;
}

static void choose_blocks(const struct cs_device *device, struct pointwise *p)
{
    int64_t width = device->kernels->width, widest = p->depth > p->columns ? p->depth : p->columns;
    p->vectors = cs_cpu_panel_vectors(device->kernels, p->columns);
    p->padded = (p->columns + width - 1) / width * width;
    p->panels = (p->padded + p->vectors * width - 1) / (p->vectors * width);
    int64_t most = BLOCK_FLOATS / widest / UNIT * UNIT;
    most = most < UNIT ? UNIT : smaller(most, BLOCK_PIXELS);
    p->blocks = (p->line_pixels + most - 1) / most;
    p->block = ((p->line_pixels + p->blocks - 1) / p->blocks + UNIT - 1) / UNIT * UNIT;
    p->blocks = (p->line_pixels + p->block - 1) / p->block;
    int64_t units = p->lines * p->blocks, wanted = TASKS * device->threads;
    p->groups = units >= wanted ? 1 : smaller(p->planes * p->panels, (wanted + units - 1) / units);
    size_t bytes =
        (size_t)(p->lines * p->line_pixels * (p->depth + p->planes * p->columns)) * sizeof(float);
    p->stream = p->columns % width == 0 && bytes > device->caches.shared;
}

bool cs_cpu_suits_pointwise(const struct cs_plan *plan, const struct cs_node *node,
                            const struct cs_dnn_conv *conv)
{
    bool yes = conv->groups == 1 && conv->in_channels <= MAX_DEPTH &&
               plan->channels_last[node->inputs[0]] && plan->channels_last[node->outputs[0]];
    for (int i = 0; i < 2; i++) {
        int64_t factor = conv->transposed ? conv->kernel[i] : 1;
        yes = yes && conv->kernel[i] == factor && conv->stride[i] == factor &&
              conv->pad_begin[i] == 0 && conv->out[i] == conv->in[i] * factor &&
              (conv->kernel[i] == 1 || conv->dilation[i] == 1);
    }
    return yes;
}

// A fused addition of a tensor that lies as the output does; *left: what else is fused.
static bool take_addend(const struct cs_plan *plan, const struct cs_node *node, struct pointwise *p)
{
    int add = node->fusion.add;
    if (add < 0)
        return true;
    const struct cs_value *value = &plan->graph->values[add];
    if (value->data || !plan->channels_last[add] ||
        !cs_shape_equal(&value->shape, &cs_node_output(plan->graph, node, 0)->shape))
        return false;
    p->adding = true;
    p->add = cs_cpu_place_of(plan, add);
    return true;
}

static bool is_narrow(const struct cs_kernels *kernels, const struct cs_dnn_conv *conv,
                      const struct cs_cpu_sources *sources)
{
    bool whole = !conv->transposed && conv->out_channels <= CS_POINTWISE_NARROW;
    for (int i = 0; i < sources->count; i++)
        whole = whole && sources->source[i].channels % kernels->width == 0;
    return whole;
}

int cs_cpu_build_pointwise(struct cs_plan *plan, const struct cs_node *node,
                           const struct cs_dnn_conv *conv, struct cs_err *err)
{
    const struct cs_device *device = plan->network->device;
    struct pointwise *p = cs_cpu_params(plan, sizeof *p);
    p->depth = conv->in_channels;
    p->columns = conv->kernel[1] * conv->out_channels;
    p->planes = conv->kernel[0];
    p->image_lines = conv->transposed ? conv->in[0] : 1;
    p->lines = conv->batch * p->image_lines;
    p->line_pixels = conv->in[0] * conv->in[1] / p->image_lines;
    p->columns_in = conv->in[1];
    choose_blocks(device, p);
    cs_cpu_sources_of(plan, node->inputs[0], &p->sources);
    p->stream = p->stream && !cs_cpu_in_band(plan, node);
    p->narrow = is_narrow(device->kernels, conv, &p->sources);
    p->packed = pack(plan, node, conv, p, err);
    if (!p->packed)
        return -1;
    p->bias = repeat_bias(plan, node, conv, p->narrow ? p->padded : p->columns, p->padded);
    for (int i = 0; i < p->sources.count; i++)
        if (p->sources.source[i].mapped || p->sources.count > 1)
            p->copied += p->sources.source[i].channels;
    p->dst = cs_cpu_place_of(plan, node->outputs[0]);
    cs_cpu_gather_init(plan, node, p->blocks, p->padded, &p->gather);
    cs_cpu_need_scratch(plan, (size_t)(p->block * p->copied) * sizeof(float));

    struct cs_cpu_activation activation;
    cs_cpu_activation_of(&node->fusion, &activation);
    bool added = take_addend(plan, node, p);
    bool activated = added && cs_cpu_finish_of(&activation, &p->finish);
    struct cs_cpu_step *step =
        cs_cpu_add_parts(plan, node, p->lines * p->blocks * p->groups, run_parts, finish, p);
    if (!conv->transposed)
        step->rows = pointwise_rows;
    step->kernel = p->narrow ? "narrow:own" : "points:own";
    step->flops =
        2.0 * (double)(p->lines * p->line_pixels * p->depth) * (double)(p->planes * p->columns);
    return activated ? 0 : cs_cpu_build_fusion(plan, node, !added, err);
}
