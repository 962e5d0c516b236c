// SPDX-License-Identifier: MIT
// Matrix products by the blocking of Goto and van de Geijn ("Anatomy of high-performance matrix
// multiplication", 2008): B is packed into panels of a tile's columns, which then come from the
// first cache; A is read in place where it lies in rows; tiles of C stay in registers while a block
// of depth goes by. Blocks of depth are added in order, so an element's bits depend
// on nothing but its row, its column and the instruction set.
//
// oneDNN's product chooses its loops by the number of threads and the batch, and with them the
// order of its sums.
#include "backend/cpu/product.h"

#include <omp.h>
#include <string.h>

enum {
    COPY_STEP = CS_CPU_PRODUCT_COPY / CS_CPU_PRODUCT_ROWS,
    BLOCK_ROWS = CS_CPU_PRODUCT_ROWS, // of A, a multiple of all tiles' rows
    BLOCK_COLUMNS = 512,              // of C, done by one thread at a time
    PARALLEL_FROM = 1 << 18,          // multiply-adds from which threads are worth waking
};

static int64_t blocks(int64_t size, int64_t block)
{
    return (size + block - 1) / block;
}

static int64_t part(int64_t size, int64_t block, int64_t index)
{
    int64_t left = size - index * block;
    return left < block ? left : block;
}

// Where block `d` of depth of panel `p` begins in a packed B.
static int64_t panel_place(const struct cs_cpu_product *product, int64_t wide, int64_t d, int64_t p)
{
    return d * CS_KERNEL_DEPTH * product->panels * wide +
           p * part(product->depth, CS_KERNEL_DEPTH, d) * wide;
}

static void pack_panel(const struct cs_kernels *kernels, const struct cs_cpu_product *product,
                       const float *b, float *packed, int64_t d, int64_t p)
{
    int64_t wide = kernels->tile_columns, depth = part(product->depth, CS_KERNEL_DEPTH, d);
    int64_t columns = part(product->columns, wide, p), step = product->b_column;
    float *to = packed + panel_place(product, wide, d, p);
    b += d * CS_KERNEL_DEPTH * product->b_depth + p * wide * step;
    for (int64_t k = 0; k < depth; k++, to += wide, b += product->b_depth) {
        if (step == 1)
            memcpy(to, b, (size_t)columns * sizeof *to);
        else
            for (int64_t j = 0; j < columns; j++)
                to[j] = b[j * step];
        memset(to + columns, 0, (size_t)(wide - columns) * sizeof *to);
    }
}

void cs_cpu_product_size(const struct cs_kernels *kernels, struct cs_cpu_product *product)
{
    product->panels = blocks(product->columns, kernels->tile_columns);
    product->panel_depths = blocks(product->depth, CS_KERNEL_DEPTH);
    product->packed_floats = (size_t)(product->panels * kernels->tile_columns * product->depth);
}

void cs_cpu_product_pack(const struct cs_kernels *kernels, const struct cs_cpu_product *product,
                         const float *b, float *packed)
{
    for (int64_t d = 0; d < product->panel_depths; d++)
        for (int64_t p = 0; p < product->panels; p++)
            pack_panel(kernels, product, b, packed, d, p);
}

// Block d of depth of some rows of A with depth innermost: in place, or a copy. *step is theirs.
static const float *left_side(const struct cs_cpu_product *product, const float *a, int64_t rows,
                              int64_t d, float *copy, int64_t *step)
{
    a += d * CS_KERNEL_DEPTH * product->a_depth;
    *step = product->a_row;
    if (product->a_depth == 1)
        return a;
    *step = COPY_STEP;
    int64_t depth = part(product->depth, CS_KERNEL_DEPTH, d);
    for (int64_t k = 0; k < depth; k++)
        for (int64_t r = 0; r < rows; r++)
            copy[r * COPY_STEP + k] = a[r * product->a_row + k * product->a_depth];
    return copy;
}

// One block of C: where it is, and how large.
struct block {
    float *c;
    int64_t rows, columns;
};

// A tile that is narrower than the kernel's, or lies in C with gaps.
static void edge_tile(const struct cs_kernels *kernels, const struct cs_cpu_product *product,
                      float *c, const float *tile, int rows, int64_t columns, bool adding)
{
    int64_t wide = kernels->tile_columns;
    for (int r = 0; r < rows; r++, tile += wide, c += product->c_row) {
        if (product->c_column == 1 && !adding) {
            memcpy(c, tile, (size_t)columns * sizeof *c);
            continue;
        }
        for (int64_t j = 0; j < columns; j++) {
            float *to = c + j * product->c_column;
            *to = adding ? *to + tile[j] : tile[j];
        }
    }
}

// Adds block d of depth; a is the left side, b the packed B at the block's first panel.
static void add_depth(const struct cs_kernels *kernels, const struct cs_cpu_product *product,
                      const struct block *block, const float *a, int64_t a_step, const float *b,
                      int64_t d)
{
    int64_t depth = part(product->depth, CS_KERNEL_DEPTH, d), wide = kernels->tile_columns;
    float tile[CS_KERNEL_TILE];
    for (int64_t j = 0; j < block->columns; j += wide, b += depth * wide) {
        int64_t columns = block->columns - j < wide ? block->columns - j : wide;
        bool whole = columns == wide && product->c_column == 1;
        for (int64_t r = 0; r < block->rows; r += kernels->tile_rows) {
            int64_t left = block->rows - r;
            int rows = left < kernels->tile_rows ? (int)left : kernels->tile_rows;
            float *c = block->c + r * product->c_row + j * product->c_column;
            kernels->product_tile(whole ? c : tile, whole ? product->c_row : wide, a + r * a_step,
                                  a_step, b, depth, rows, whole && d > 0);
            if (!whole)
                edge_tile(kernels, product, c, tile, rows, columns, d > 0);
        }
    }
}

// One block of C from rows of A and the packed B's panels from `panel` on.
static void multiply(const struct cs_kernels *kernels, const struct cs_cpu_product *product,
                     const struct block *block, const float *a, const float *packed, int64_t panel,
                     float *copy)
{
    for (int64_t d = 0; d < product->panel_depths; d++) {
        int64_t step;
        const float *left = left_side(product, a, block->rows, d, copy, &step);
        add_depth(kernels, product, block, left, step,
                  packed + panel_place(product, kernels->tile_columns, d, panel), d);
    }
}

void cs_cpu_product_rows(const struct cs_kernels *kernels, const struct cs_cpu_product *product,
                         float *c, const float *a, const float *packed, int64_t rows, float *copy)
{
    const struct block block = {c, rows, product->columns};
    multiply(kernels, product, &block, a, packed, 0, copy);
}

// Column offset `column` of the block's rows.
static void finish_rows(const struct cs_cpu_run *run, const struct cs_cpu_product *product,
                        const struct block *block, int64_t column)
{
    const struct cs_kernels *kernels = run->kernels;
    const struct cs_cpu_activation *f = &product->activation;
    const float *bias = product->biased ? cs_cpu_at(run, product->bias) + column : NULL;
    const float *add = product->adding ? cs_cpu_at(run, product->add) : NULL;
    for (int64_t r = 0; r < block->rows; r++) {
        float *row = block->c + r * product->c_row;
        if (bias)
            kernels->binary[CS_BINARY_ADD](row, row, bias, block->columns, 1, 1);
        if (add)
            kernels->binary[CS_BINARY_ADD](row, row, add + (row - cs_cpu_at(run, product->c)),
                                           block->columns, 1, 1);
        if (f->unary != CS_UNARY_IDENTITY)
            kernels->unary[f->unary](row, row, block->columns, f->alpha, f->beta);
    }
}

// Block number `index` of all: matrices, then rows, then columns.
static void run_block(const struct cs_cpu_run *run, const struct cs_cpu_product *product,
                      int64_t index, const float *packed, float *copy)
{
    int64_t columns = blocks(product->columns, BLOCK_COLUMNS);
    int64_t rows = blocks(product->rows, BLOCK_ROWS);
    int64_t x = index % columns, y = index / columns % rows, i = index / columns / rows;
    int64_t wide = run->kernels->tile_columns;
    const struct block block = {
        cs_cpu_at(run, product->c) + product->c_start[i] + y * BLOCK_ROWS * product->c_row +
            x * BLOCK_COLUMNS * product->c_column,
        part(product->rows, BLOCK_ROWS, y), part(product->columns, BLOCK_COLUMNS, x)};
    const float *a =
        cs_cpu_at(run, product->a) + product->a_start[i] + y * BLOCK_ROWS * product->a_row;
    const float *b = packed + (size_t)product->b_of[i] * product->packed_floats;
    multiply(run->kernels, product, &block, a, b, x * BLOCK_COLUMNS / wide, copy);
    if (product->c_column == 1)
        finish_rows(run, product, &block, x * BLOCK_COLUMNS);
}

static int run_product(const struct cs_cpu_step *step, const struct cs_cpu_run *run,
                       struct cs_err *err)
{
    (void)err;
    const struct cs_cpu_product *product = step->params;
    float *made = (float *)(void *)run->scratch;
    const float *packed = product->b_packed ? product->b_packed : made;
    int64_t per_b = product->panel_depths * product->panels;
    int64_t to_pack = product->b_packed ? 0 : product->b_count * per_b;
    int64_t count = product->batch * blocks(product->rows, BLOCK_ROWS) *
                    blocks(product->columns, BLOCK_COLUMNS);
    int64_t work = product->batch * product->rows * product->columns * product->depth;
#pragma omp parallel if (work >= PARALLEL_FROM)
    {
        float *copy = (float *)(void *)(run->scratch + product->a_scratch) +
                      omp_get_thread_num() * BLOCK_ROWS * COPY_STEP;
#pragma omp for schedule(static)
        for (int64_t i = 0; i < to_pack; i++) {
            int64_t matrix = i / per_b;
            pack_panel(run->kernels, product, cs_cpu_at(run, product->b) + product->b_start[matrix],
                       made + (size_t)matrix * product->packed_floats, i % per_b / product->panels,
                       i % product->panels);
        }
#pragma omp for schedule(static)
        for (int64_t i = 0; i < count; i++)
            run_block(run, product, i, packed, copy);
    }
    return 0;
}

void cs_cpu_add_product(struct cs_plan *plan, const struct cs_node *node,
                        struct cs_cpu_product *product)
{
    const struct cs_device *device = plan->network->device;
    cs_cpu_product_size(device->kernels, product);
    size_t packed = product->b_packed ? 0 : (size_t)product->b_count * product->packed_floats;
    product->a_scratch = (packed * sizeof(float) + 63) / 64 * 64;
    cs_cpu_need_scratch(plan, product->a_scratch +
                                  (size_t)device->threads * BLOCK_ROWS * COPY_STEP * sizeof(float));
    struct cs_cpu_step *step = cs_cpu_add_step(plan, node, run_product, product);
    step->flops = 2.0 * (double)(product->batch * product->rows) *
                  (double)(product->depth * product->columns);
}
