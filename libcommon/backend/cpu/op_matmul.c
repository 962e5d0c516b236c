// SPDX-License-Identifier: MIT
// MatMul and Gemm. A constant right side makes it a 1x1 convolution over rows: its weights are
// packed once, and bias and activation are fused. Otherwise it is oneDNN's matrix product.
#include <stdio.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "graph/params.h"

// The product as the ONNX node means it.
struct product {
    int64_t batch, rows, depth, columns;
    bool b_transposed;
    int bias; // value that is one number a column, or -1
    int add;  // value to be added that is more, or -1
};

static bool is_gemm(const struct cs_node *node)
{
    return strcmp(node->op, "Gemm") == 0;
}

static struct product describe(const struct cs_graph *graph, const struct cs_node *node)
{
    const struct cs_shape *a = &cs_node_input(graph, node, 0)->shape;
    const struct cs_value *c = cs_node_input(graph, node, 2);
    struct product p = {.batch = 1, .bias = -1, .add = -1};
    p.depth = a->dim[a->rank - 1];
    p.rows = a->dim[a->rank - 2];
    for (int d = 0; d < a->rank - 2; d++)
        p.batch *= a->dim[d];
    const struct cs_shape *out = &cs_node_output(graph, node, 0)->shape;
    p.columns = out->dim[out->rank - 1];
    p.b_transposed = is_gemm(node) && cs_node_int(node, "transB", 0) != 0;
    if (c && c->data && cs_shape_elements(&c->shape) == p.columns &&
        c->shape.dim[c->shape.rank - 1] == p.columns)
        p.bias = node->inputs[2];
    else if (c)
        p.add = node->inputs[2];
    return p;
}

static int add_op(struct cs_plan *plan, const struct cs_node *node, struct cs_dnn_op *op,
                  const struct product *p, struct cs_cpu_place weights)
{
    struct cs_cpu_step *step = cs_cpu_add_step(plan, node, NULL, NULL);
    cs_cpu_set_op(plan, step, op, 1);
    step->src = cs_cpu_place_of(plan, node->inputs[0]);
    step->dst = cs_cpu_place_of(plan, node->outputs[0]);
    step->weights = weights;
    if (p->bias >= 0)
        step->bias = cs_cpu_place_of(plan, p->bias);
    step->flops = 2.0 * (double)(p->batch * p->rows) * (double)(p->depth * p->columns);
    return 0;
}

static int build_packed(struct cs_plan *plan, const struct cs_node *node, const struct product *p,
                        struct cs_err *err)
{
    const struct cs_dnn_conv conv = {.batch = 1,
                                     .in_channels = p->depth,
                                     .out_channels = p->columns,
                                     .groups = 1,
                                     .in = {1, p->batch * p->rows},
                                     .out = {1, p->batch * p->rows},
                                     .kernel = {1, 1},
                                     .stride = {1, 1},
                                     .dilation = {1, 1},
                                     .input_major = !p->b_transposed,
                                     .bias = p->bias >= 0};
    struct cs_dnn_op *op;
    struct cs_cpu_place packed = {0};
    if (cs_dnn_conv_new(plan->network->device->dnn, &conv, &op, err) != 0)
        return -1;
    packed.constant = cs_cpu_pack_weights(plan, op, cs_node_input(plan->graph, node, 1), err);
    if (!packed.constant) {
        cs_dnn_op_free(op);
        return -1;
    }
    return add_op(plan, node, op, p, packed);
}

static int build_product(struct cs_plan *plan, const struct cs_node *node, const struct product *p,
                         struct cs_err *err)
{
    const struct cs_value *a = cs_node_input(plan->graph, node, 0);
    const struct cs_value *b = cs_node_input(plan->graph, node, 1);
    const struct cs_shape *out = &cs_node_output(plan->graph, node, 0)->shape;
    const struct cs_dnn_matmul matmul = {.batch = out->rank == 3 ? out->dim[0] : 1,
                                         .rows = p->rows,
                                         .depth = p->depth,
                                         .columns = p->columns,
                                         .a_repeats = a->shape.rank == 2 || a->shape.dim[0] == 1,
                                         .b_repeats = b->shape.rank == 2 || b->shape.dim[0] == 1,
                                         .b_transposed = p->b_transposed};
    struct cs_dnn_op *op;
    if (cs_dnn_matmul_new(plan->network->device->dnn, &matmul, &op, err) != 0)
        return -1;
    return add_op(plan, node, op, p, cs_cpu_place_of(plan, node->inputs[1]));
}

static int build_matmul(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    struct product p = describe(plan->graph, node);
    const struct cs_value *b = cs_node_input(plan->graph, node, 1);
    bool packed = b->data && b->shape.rank == 2;
    int bias = p.bias;
    if (!packed && bias >= 0) { // the matrix product takes none
        p.bias = -1;
        p.add = bias;
    }
    int result = packed ? build_packed(plan, node, &p, err) : build_product(plan, node, &p, err);
    if (result == 0 && p.add >= 0)
        cs_cpu_build_add(plan, node, p.add);
    return result;
}

static bool supports(const struct cs_graph *graph, const struct cs_node *node, char *why,
                     size_t why_size)
{
    const struct cs_value *a = cs_node_input(graph, node, 0), *b = cs_node_input(graph, node, 1);
    int highest = b->data && b->shape.rank == 2 ? CS_MAX_RANK : 3;
    if (a->data)
        snprintf(why, why_size, "the left side is a constant");
    else if (a->shape.rank < 2 || b->shape.rank < 2 || a->shape.rank == 4 ||
             a->shape.rank > highest || b->shape.rank > 3)
        snprintf(why, why_size, "products of rank %d and %d are not supported", a->shape.rank,
                 b->shape.rank);
    else if (is_gemm(node) &&
             (cs_node_int(node, "transA", 0) != 0 || cs_node_float(node, "alpha", 1) != 1 ||
              cs_node_float(node, "beta", 1) != 1))
        snprintf(why, why_size, "transA, alpha and beta are not supported");
    else
        return true;
    return false;
}

const struct cs_cpu_op cs_cpu_matmul_ops[] = {
    {"MatMul", build_matmul, supports, false, CS_CPU_OVERWRITES_NOTHING},
    {"Gemm", build_matmul, supports, false, CS_CPU_OVERWRITES_NOTHING},
    {0},
};
