// SPDX-License-Identifier: MIT
// MatMul of any ranks and Gemm, by the products of product.c. A constant right side is packed once
// for all plans; the third operand of Gemm, an addend and an activation are done on finished rows.
#include <stdio.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "backend/cpu/product.h"
#include "graph/params.h"

static bool is_gemm(const struct cs_node *node)
{
    return strcmp(node->op, "Gemm") == 0;
}

static const struct cs_shape *shape_of(const struct cs_plan *plan, int value)
{
    return &plan->graph->values[value].shape;
}

static void swap(int64_t *a, int64_t *b)
{
    int64_t other = *a;
    *a = *b;
    *b = other;
}

// Sizes and strides of one matrix each; a vector is a row on the left and a column on the right.
static void set_matrices(const struct cs_plan *plan, const struct cs_node *node,
                         struct cs_cpu_product *p)
{
    const struct cs_shape *a = shape_of(plan, node->inputs[0]);
    const struct cs_shape *b = shape_of(plan, node->inputs[1]);
    int64_t a_stride[CS_MAX_RANK], b_stride[CS_MAX_RANK], c_stride[CS_MAX_RANK];
    cs_cpu_strides_of(plan, node->inputs[0], a_stride);
    cs_cpu_strides_of(plan, node->inputs[1], b_stride);
    cs_cpu_strides_of(plan, node->outputs[0], c_stride);
    p->depth = a->dim[a->rank - 1];
    p->a_depth = a_stride[a->rank - 1];
    p->rows = a->rank > 1 ? a->dim[a->rank - 2] : 1;
    p->a_row = a->rank > 1 ? a_stride[a->rank - 2] : 0;
    p->columns = b->rank > 1 ? b->dim[b->rank - 1] : 1;
    p->b_column = b->rank > 1 ? b_stride[b->rank - 1] : 1;
    p->b_depth = b_stride[b->rank > 1 ? b->rank - 2 : 0];
    if (is_gemm(node) && cs_node_int(node, "transA", 0) != 0) {
        swap(&p->rows, &p->depth);
        swap(&p->a_row, &p->a_depth);
    }
    if (is_gemm(node) && cs_node_int(node, "transB", 0) != 0) {
        p->columns = b->dim[0];
        swap(&p->b_depth, &p->b_column);
    }
    int d = shape_of(plan, node->outputs[0])->rank - 1;
    p->c_column = b->rank > 1 ? c_stride[d--] : 1;
    p->c_row = a->rank > 1 ? c_stride[d] : 0;
}

// The offset of matrix `index` of the output in an operand whose `lead` first axes broadcast.
static int64_t matrix_offset(const struct cs_shape *out, int lead, const struct cs_shape *in,
                             int in_lead, const int64_t *stride, int64_t index)
{
    int64_t offset = 0;
    for (int d = lead - 1; d >= 0; d--) {
        int from = d - (lead - in_lead);
        int64_t at = index % out->dim[d];
        index /= out->dim[d];
        if (from >= 0 && in->dim[from] != 1)
            offset += at * stride[from];
    }
    return offset;
}

// Where the matrices of the batch are.
static void set_batch(struct cs_plan *plan, const struct cs_node *node, struct cs_cpu_product *p)
{
    const struct cs_shape *a = shape_of(plan, node->inputs[0]);
    const struct cs_shape *b = shape_of(plan, node->inputs[1]);
    const struct cs_shape *out = shape_of(plan, node->outputs[0]);
    int64_t a_stride[CS_MAX_RANK], b_stride[CS_MAX_RANK], c_stride[CS_MAX_RANK];
    int64_t count[CS_MAX_RANK]; // strides of B's matrices counted one by one
    int lead = out->rank - (a->rank > 1) - (b->rank > 1);
    int a_lead = a->rank > 2 ? a->rank - 2 : 0, b_lead = b->rank > 2 ? b->rank - 2 : 0;
    cs_cpu_strides_of(plan, node->inputs[0], a_stride);
    cs_cpu_strides_of(plan, node->inputs[1], b_stride);
    cs_cpu_strides_of(plan, node->outputs[0], c_stride);
    p->batch = p->b_count = 1;
    for (int d = 0; d < lead; d++)
        p->batch *= out->dim[d];
    for (int d = b_lead - 1; d >= 0; d--) {
        count[d] = p->b_count;
        p->b_count *= b->dim[d];
    }
    size_t bytes = (size_t)p->batch * sizeof(int64_t);
    int64_t *a_start = cs_cpu_params(plan, bytes), *c_start = cs_cpu_params(plan, bytes);
    int64_t *b_of = cs_cpu_params(plan, bytes);
    int64_t *b_start = cs_cpu_params(plan, (size_t)p->b_count * sizeof *b_start);
    bool rows = p->b_count == 1; // all of the batch are rows of one matrix
    for (int64_t i = 0; i < p->batch; i++) {
        a_start[i] = matrix_offset(out, lead, a, a_lead, a_stride, i);
        c_start[i] = matrix_offset(out, lead, out, lead, c_stride, i);
        b_of[i] = matrix_offset(out, lead, b, b_lead, count, i);
        b_start[b_of[i]] = matrix_offset(out, lead, b, b_lead, b_stride, i);
        rows = rows && a_start[i] == i * p->rows * p->a_row && c_start[i] == i * p->rows * p->c_row;
    }
    p->a_start = a_start;
    p->b_start = b_start;
    p->c_start = c_start;
    p->b_of = b_of;
    if (rows) {
        p->rows *= p->batch;
        p->batch = 1;
    }
}

// What becomes a packed right side.
struct packing {
    const struct cs_kernels *kernels;
    const struct cs_cpu_product *product;
};

static int fill_product(const void *context, const void *data, void *packed, struct cs_err *err)
{
    (void)err;
    const struct packing *packing = context;
    const struct cs_cpu_product *p = packing->product;
    for (int64_t i = 0; i < p->b_count; i++)
        cs_cpu_product_pack(packing->kernels, p, (const float *)data + p->b_start[i],
                            (float *)packed + (size_t)i * p->packed_floats);
    return 0;
}

static int pack_constant(struct cs_plan *plan, const struct cs_node *node, struct cs_cpu_product *p,
                         struct cs_err *err)
{
    struct packing *packing = cs_cpu_params(plan, sizeof *packing);
    *packing = (struct packing){plan->network->device->kernels, p};
    cs_cpu_product_size(packing->kernels, p);
    uint64_t key = 0x70726f6475637400U + (p->b_depth == 1 ? 128 : 0) + // "product" and its form
                   (uint64_t)packing->kernels->tile_columns;
    p->b_packed = cs_cpu_pack(plan, &plan->graph->values[node->inputs[1]], key,
                              (size_t)p->b_count * p->packed_floats * sizeof(float), fill_product,
                              packing, err);
    return p->b_packed ? 0 : -1;
}

// What can be done on finished rows; *left: the operands that must be added afterwards, or -1.
static void set_additions(const struct cs_plan *plan, const struct cs_node *node,
                          struct cs_cpu_product *p, int left[2])
{
    const int operands[] = {is_gemm(node) && node->input_count > 2 ? node->inputs[2] : -1,
                            node->fusion.add};
    const struct cs_shape *out = shape_of(plan, node->outputs[0]);
    for (int i = 0; i < 2; i++) {
        int value = left[i] = operands[i];
        if (value < 0 || p->c_column != 1 || left[0] != (i ? -1 : value))
            continue; // none, or not where rows are finished, or after one that is left
        const struct cs_shape *shape = shape_of(plan, value);
        bool row = shape->rank > 0 && shape->dim[shape->rank - 1] == p->columns &&
                   cs_shape_elements(shape) == p->columns;
        bool same = cs_shape_equal(shape, out) &&
                    plan->channels_last[value] == plan->channels_last[node->outputs[0]];
        if (row && !p->biased && !p->adding) {
            p->biased = true;
            p->bias = cs_cpu_place_of(plan, value);
        } else if (same && !p->adding) {
            p->adding = true;
            p->add = cs_cpu_place_of(plan, value);
        } else {
            continue;
        }
        left[i] = -1;
    }
}

static int build_matmul(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    struct cs_cpu_product *p = cs_cpu_params(plan, sizeof *p);
    int left[2];
    p->a = cs_cpu_place_of(plan, node->inputs[0]);
    p->b = cs_cpu_place_of(plan, node->inputs[1]);
    p->c = cs_cpu_place_of(plan, node->outputs[0]);
    set_matrices(plan, node, p);
    set_batch(plan, node, p);
    set_additions(plan, node, p, left);
    bool done = left[0] < 0 && left[1] < 0 && p->c_column == 1;
    if (done)
        cs_cpu_activation_of(&node->fusion, &p->activation);
    if (plan->graph->values[node->inputs[1]].data && pack_constant(plan, node, p, err) != 0)
        return -1;
    cs_cpu_add_product(plan, node, p);
    if (left[0] >= 0 && cs_cpu_build_add(plan, node, left[0], err) != 0)
        return -1;
    return done ? 0 : cs_cpu_build_fusion(plan, node, left[1] >= 0, err);
}

static bool supports(const struct cs_graph *graph, const struct cs_node *node, char *why,
                     size_t why_size)
{
    (void)graph;
    if (!is_gemm(node) ||
        (cs_node_float(node, "alpha", 1) == 1 && cs_node_float(node, "beta", 1) == 1))
        return true;
    snprintf(why, why_size, "alpha and beta are not supported");
    return false;
}

const struct cs_cpu_op cs_cpu_matmul_ops[] = {
    {"MatMul", build_matmul, supports, true, CS_CPU_OVERWRITES_NOTHING},
    {"Gemm", build_matmul, supports, true, CS_CPU_OVERWRITES_NOTHING},
    {0},
};
