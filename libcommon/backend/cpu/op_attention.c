// SPDX-License-Identifier: MIT
// FusedAttention (graph/pass_attention.c): a block of rows of the scores is made, scaled, masked,
// put through Softmax and multiplied with the values while it is in the cache of its thread. Each
// row is worked on alone, in the same order as by separate steps.
#include <omp.h>

#include "backend/cpu/cpu.h"
#include "backend/cpu/product.h"

enum { BLOCK_FLOATS = 65536 }; // of the scores of a block

struct attention {
    struct cs_cpu_place q, k, v, mask, out;
    struct cs_cpu_product scores, mixed; // sizes and strides of one matrix
    int64_t batch, rows, block;          // rows of a block
    const int64_t *q_start, *k_start, *v_start, *mask_start, *out_start;
    int64_t mask_row;
    bool masked;
    float scale;
    size_t v_packed, threads_at, thread_bytes; // in scratch, behind the packed keys
};

static void finish_scores(const struct attention *a, const struct cs_kernels *kernels,
                          float *scores, const float *mask, int64_t rows)
{
    int64_t keys = a->scores.columns;
    for (int64_t r = 0; r < rows; r++, scores += a->scores.c_row) {
        if (a->scale != 1)
            kernels->binary[CS_BINARY_MUL](scores, scores, &a->scale, keys, 1, 0);
        if (mask)
            kernels->binary[CS_BINARY_ADD](scores, scores, mask + r * a->mask_row, keys, 1, 1);
        kernels->softmax(scores, scores, keys, 1);
    }
}

static void run_block(const struct attention *a, const struct cs_cpu_run *run, int64_t index)
{
    int64_t blocks = (a->rows + a->block - 1) / a->block;
    int64_t i = index / blocks, first = index % blocks * a->block;
    int64_t rows = a->rows - first < a->block ? a->rows - first : a->block;
    const float *k = (const float *)(void *)run->scratch + (size_t)i * a->scores.packed_floats;
    const float *v =
        (const float *)(void *)(run->scratch + a->v_packed) + (size_t)i * a->mixed.packed_floats;
    float *copy = (float *)(void *)(run->scratch + a->threads_at +
                                    (size_t)omp_get_thread_num() * a->thread_bytes);
    float *scores = copy + CS_CPU_PRODUCT_COPY;
    const float *mask =
        a->masked ? cs_cpu_at(run, a->mask) + a->mask_start[i] + first * a->mask_row : NULL;
    cs_cpu_product_rows(run->kernels, &a->scores, scores,
                        cs_cpu_at(run, a->q) + a->q_start[i] + first * a->scores.a_row, k, rows,
                        copy);
    finish_scores(a, run->kernels, scores, mask, rows);
    cs_cpu_product_rows(run->kernels, &a->mixed,
                        cs_cpu_at(run, a->out) + a->out_start[i] + first * a->mixed.c_row, scores,
                        v, rows, copy);
}

static int run_attention(const struct cs_cpu_step *step, const struct cs_cpu_run *run,
                         struct cs_err *err)
{
    (void)err;
    const struct attention *a = step->params;
    int64_t count = a->batch * ((a->rows + a->block - 1) / a->block);
#pragma omp parallel
    {
#pragma omp for schedule(static)
        for (int64_t i = 0; i < 2 * a->batch; i++) {
            int64_t m = i / 2;
            if (i % 2)
                cs_cpu_product_pack(run->kernels, &a->mixed, cs_cpu_at(run, a->v) + a->v_start[m],
                                    (float *)(void *)(run->scratch + a->v_packed) +
                                        (size_t)m * a->mixed.packed_floats);
            else
                cs_cpu_product_pack(run->kernels, &a->scores, cs_cpu_at(run, a->k) + a->k_start[m],
                                    (float *)(void *)run->scratch +
                                        (size_t)m * a->scores.packed_floats);
        }
#pragma omp for schedule(static)
        for (int64_t i = 0; i < count; i++)
            run_block(a, run, i);
    }
    return 0;
}

// Where the matrices of a value begin, one for each of the batch; *row and *column are their
// strides. A value of a lower rank or with axes of 1 is broadcast.
static const int64_t *matrices(struct cs_plan *plan, int value, const struct cs_shape *out,
                               int64_t batch, int64_t *row, int64_t *column)
{
    const struct cs_shape *shape = &plan->graph->values[value].shape;
    int64_t stride[CS_MAX_RANK], wide[CS_MAX_RANK];
    int64_t *start = cs_cpu_params(plan, (size_t)batch * sizeof *start);
    int lead = out->rank - shape->rank;
    cs_cpu_strides_of(plan, value, stride);
    for (int d = 0; d < out->rank; d++)
        wide[d] = d < lead || shape->dim[d - lead] == 1 ? 0 : stride[d - lead];
    for (int64_t i = 0; i < batch; i++) {
        int64_t rest = i;
        for (int d = out->rank - 3; d >= 0; d--) {
            start[i] += rest % out->dim[d] * wide[d];
            rest /= out->dim[d];
        }
    }
    *row = wide[out->rank - 2];
    *column = wide[out->rank - 1];
    return start;
}

static size_t aligned(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

// Room for packed keys and values of the whole batch, and a copy and scores for each thread.
static void need_scratch(struct cs_plan *plan, struct attention *a)
{
    const struct cs_device *device = plan->network->device;
    int64_t tile = device->kernels->tile_rows, wide = device->kernels->tile_columns;
    cs_cpu_product_size(device->kernels, &a->scores);
    cs_cpu_product_size(device->kernels, &a->mixed);
    a->scores.c_row = a->mixed.a_row = a->scores.panels * wide;
    a->block = BLOCK_FLOATS / a->scores.c_row / tile * tile;
    a->block = a->block < tile ? tile : a->block;
    a->block = a->block > CS_CPU_PRODUCT_ROWS ? CS_CPU_PRODUCT_ROWS : a->block;
    a->v_packed = aligned((size_t)a->batch * a->scores.packed_floats * sizeof(float));
    a->threads_at =
        a->v_packed + aligned((size_t)a->batch * a->mixed.packed_floats * sizeof(float));
    a->thread_bytes = aligned(((size_t)CS_CPU_PRODUCT_COPY + (size_t)(a->block * a->scores.c_row)) *
                              sizeof(float));
    cs_cpu_need_scratch(plan, a->threads_at + (size_t)device->threads * a->thread_bytes);
}

static int build_attention(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    struct attention *a = cs_cpu_params(plan, sizeof *a);
    const struct cs_shape *out = &cs_node_output(plan->graph, node, 0)->shape;
    const struct cs_shape *q = &cs_node_input(plan->graph, node, 0)->shape;
    const struct cs_shape *k = &cs_node_input(plan->graph, node, 1)->shape;
    int64_t step_of_mask = 1;
    a->q = cs_cpu_place_of(plan, node->inputs[0]);
    a->k = cs_cpu_place_of(plan, node->inputs[1]);
    a->v = cs_cpu_place_of(plan, node->inputs[2]);
    a->out = cs_cpu_place_of(plan, node->outputs[0]);
    a->masked = node->input_count > 3;
    a->scale = cs_node_float(node, "scale", 1);
    a->batch = 1;
    for (int d = 0; d < out->rank - 2; d++)
        a->batch *= out->dim[d];
    a->rows = out->dim[out->rank - 2];
    a->scores = (struct cs_cpu_product){
        .depth = q->dim[q->rank - 1], .columns = k->dim[k->rank - 1], .c_column = 1};
    a->mixed = (struct cs_cpu_product){
        .depth = a->scores.columns, .columns = out->dim[out->rank - 1], .a_depth = 1};
    a->q_start =
        matrices(plan, node->inputs[0], out, a->batch, &a->scores.a_row, &a->scores.a_depth);
    a->k_start =
        matrices(plan, node->inputs[1], out, a->batch, &a->scores.b_depth, &a->scores.b_column);
    a->v_start =
        matrices(plan, node->inputs[2], out, a->batch, &a->mixed.b_depth, &a->mixed.b_column);
    a->out_start =
        matrices(plan, node->outputs[0], out, a->batch, &a->mixed.c_row, &a->mixed.c_column);
    if (a->masked) {
        a->mask = cs_cpu_place_of(plan, node->inputs[3]);
        a->mask_start = matrices(plan, node->inputs[3], out, a->batch, &a->mask_row, &step_of_mask);
    }
    if (step_of_mask != 1 && a->scores.columns > 1) {
        cs_cpu_build_plain(plan, node); // the mask lies in pieces
        return 0;
    }
    need_scratch(plan, a);
    struct cs_cpu_step *step = cs_cpu_add_step(plan, node, run_attention, a);
    step->flops = 2.0 * (double)(a->batch * a->rows) * (double)a->scores.columns *
                  (double)(a->scores.depth + a->mixed.columns);
    return cs_cpu_build_fusion(plan, node, true, err);
}

const struct cs_cpu_op cs_cpu_attention_ops[] = {
    {"FusedAttention", build_attention, NULL, true, CS_CPU_OVERWRITES_NOTHING},
    {0},
};
