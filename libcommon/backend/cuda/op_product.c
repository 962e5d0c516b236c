// SPDX-License-Identifier: MIT
// Matrix products, attention, and convolutions by our own kernels: those of one channel a group or
// of a few outputs, which go before cuDNN's, and what is left, which comes behind.
#include <stdio.h>
#include <string.h>

#include "backend/cuda/call.h"

// ---- Matrices ------------------------------------------------------------------------------

// A vector as a row (left) or a column (right).
static struct cs_cuda_tensor as_matrix(struct cs_cuda_tensor tensor, bool left)
{
    if (tensor.rank != 1)
        return tensor;
    tensor.rank = 2;
    tensor.dim[left] = tensor.dim[0];
    tensor.stride[left] = tensor.stride[0];
    tensor.dim[!left] = 1;
    tensor.stride[!left] = 0;
    return tensor;
}

// A one put in as axis `at`.
static void insert_axis(struct cs_cuda_tensor *tensor, int at)
{
    for (int d = tensor->rank; d > at; d--) {
        tensor->dim[d] = tensor->dim[d - 1];
        tensor->stride[d] = tensor->stride[d - 1];
    }
    tensor->dim[at] = 1;
    tensor->stride[at] = 0;
    tensor->rank++;
}

// Matrices without elements have no place: their product is a sum of nothing.
static int launch_matmul(const struct cs_cuda_run *run, struct cs_cuda_matmul *m)
{
    if (!m->a.data || !m->b.data)
        m->a = m->b = (struct cs_cuda_tensor){.rank = 2};
    return cs_cuda_matmul_launch(run->stream, m);
}

static int run_matmul(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                      struct cs_err *err)
{
    struct cs_cuda_tensor a = cs_cuda_in(step, run, 0), b = cs_cuda_in(step, run, 1);
    struct cs_cuda_matmul m = {.a = as_matrix(a, true),
                               .b = as_matrix(b, false),
                               .out = cs_cuda_out(step, run, 0),
                               .add = cs_cuda_added(step, run),
                               .alpha = 1,
                               .activation = cs_cuda_fused(step->node)};
    (void)err;
    if (!m.out.data)
        return 0;
    bool whole = m.add.rank == m.out.rank; // else a vector over the columns
    if (b.rank == 1) {
        insert_axis(&m.out, m.out.rank);
        if (whole)
            insert_axis(&m.add, m.add.rank);
    }
    if (a.rank == 1) {
        insert_axis(&m.out, m.out.rank - 1);
        if (whole)
            insert_axis(&m.add, m.add.rank - 1);
    }
    return launch_matmul(run, &m);
}

static int build_matmul(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    return cs_cuda_build_call(plan, node, (struct cs_cuda_inputs){0}, run_matmul, err);
}

static struct cs_cuda_tensor turned(struct cs_cuda_tensor matrix, bool turn)
{
    struct cs_cuda_tensor t = matrix;
    for (int d = 0; turn && d < 2; d++) {
        t.dim[d] = matrix.dim[!d];
        t.stride[d] = matrix.stride[!d];
    }
    return t;
}

static int run_gemm(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                    struct cs_err *err)
{
    const struct cs_node *node = step->node;
    struct cs_cuda_matmul m = {
        .a = turned(cs_cuda_in(step, run, 0), cs_node_int(node, "transA", 0) != 0),
        .b = turned(cs_cuda_in(step, run, 1), cs_node_int(node, "transB", 0) != 0),
        .out = cs_cuda_out(step, run, 0),
        .bias = cs_cuda_in(step, run, 2),
        .add = cs_cuda_added(step, run),
        .alpha = cs_node_float(node, "alpha", 1),
        .beta = cs_node_float(node, "beta", 1),
        .activation = cs_cuda_fused(node)};
    (void)err;
    return m.out.data ? launch_matmul(run, &m) : 0;
}

// The bias stays float32.
static int build_gemm(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    return cs_cuda_build_call(plan, node, (struct cs_cuda_inputs){.exact = 4}, run_gemm, err);
}

// ---- Attention -----------------------------------------------------------------------------

static int run_attention(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                         struct cs_err *err)
{
    const struct cs_cuda_attention a = {.q = cs_cuda_in(step, run, 0),
                                        .k = cs_cuda_in(step, run, 1),
                                        .v = cs_cuda_in(step, run, 2),
                                        .mask = cs_cuda_in(step, run, 3),
                                        .out = cs_cuda_out(step, run, 0),
                                        .scale = cs_node_float(step->node, "scale", 1)};
    (void)err;
    return a.out.data ? cs_cuda_attention_launch(run->stream, &a) : 0;
}

static int build_attention(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    return cs_cuda_build_call(plan, node, (struct cs_cuda_inputs){.exact = 8}, run_attention, err);
}

// ---- Convolutions --------------------------------------------------------------------------

static int conv_of(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                   struct cs_cuda_conv *conv, struct cs_err *err)
{
    const struct cs_cuda_call *call = cs_cuda_call_of(step);
    struct cs_cuda_tensor in = cs_cuda_in(step, run, 0), weights = cs_cuda_in(step, run, 1);
    struct cs_cuda_tensor out = cs_cuda_out(step, run, 0), add = cs_cuda_added(step, run);
    struct cs_window window;
    if (cs_node_window(call->graph, call->node, &window, err) < 0)
        return -1;
    *conv = (struct cs_cuda_conv){.in = cs_cuda_volume(&in),
                                  .weights = cs_cuda_volume(&weights),
                                  .out = cs_cuda_volume(&out),
                                  .bias = cs_cuda_in(step, run, 2),
                                  .window = cs_cuda_window_of(&window),
                                  .groups = window.group,
                                  .transposed = strcmp(step->node->op, "ConvTranspose") == 0,
                                  .activation = cs_cuda_fused(step->node)};
    if (add.data)
        conv->add = cs_cuda_volume(&add);
    return 0;
}

static int run_conv(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                    struct cs_err *err)
{
    struct cs_cuda_conv conv;
    if (!cs_cuda_out(step, run, 0).data)
        return 0;
    return conv_of(step, run, &conv, err) < 0 ? -1 : cs_cuda_conv_launch(run->stream, &conv);
}

static int build_conv(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    return cs_cuda_build_call(plan, node, (struct cs_cuda_inputs){.exact = 4}, run_conv, err);
}

// ---- Weights in another order --------------------------------------------------------------

// out, in, taps to taps, out (depthwise) or out, taps, in.
struct order {
    bool depthwise, half;
};

static int fill_order(const void *context, const struct cs_value *constant, const void *data,
                      void *host, struct cs_err *err)
{
    const struct order *order = context;
    const int64_t *dim = constant->shape.dim;
    const float *from = data;
    int64_t taps = 1;
    (void)err;
    for (int d = 2; d < constant->shape.rank; d++)
        taps *= dim[d];
    for (int64_t o = 0; o < dim[0]; o++)
        for (int64_t i = 0; i < dim[1]; i++)
            for (int64_t t = 0; t < taps; t++) {
                int64_t at = order->depthwise ? t * dim[0] + o : (o * taps + t) * dim[1] + i;
                float value = from[(o * dim[1] + i) * taps + t];
                if (order->half)
                    ((uint16_t *)host)[at] = cs_cuda_half(value);
                else
                    ((float *)host)[at] = value;
            }
    return 0;
}

static bool is_depthwise(const struct cs_graph *graph, const struct cs_node *node)
{
    const struct cs_value *in = cs_node_input(graph, node, 0);
    const struct cs_value *weights = cs_node_input(graph, node, 1);
    return cs_node_int(node, "group", 1) == in->shape.dim[1] &&
           weights->shape.dim[0] == in->shape.dim[1];
}

// With the strides that fill_order left.
static struct cs_cuda_tensor ordered(struct cs_cuda_tensor weights, bool depthwise)
{
    int64_t next = depthwise ? weights.dim[0] : weights.dim[1];
    for (int d = weights.rank - 1; d >= 2; d--) {
        weights.stride[d] = next;
        next *= weights.dim[d];
    }
    weights.stride[0] = depthwise ? 1 : next;
    weights.stride[1] = depthwise ? 0 : 1;
    return weights;
}

static int run_direct(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                      struct cs_err *err)
{
    const struct cs_cuda_call *call = cs_cuda_call_of(step);
    struct cs_cuda_conv conv;
    if (!cs_cuda_out(step, run, 0).data)
        return 0;
    if (conv_of(step, run, &conv, err) < 0)
        return -1;
    return is_depthwise(call->graph, call->node) ? cs_cuda_depthwise_launch(run->stream, &conv)
           : conv.in.stride[1] == 1              ? cs_cuda_few_launch(run->stream, &conv)
                                                 : cs_cuda_conv_launch(run->stream, &conv);
}

static int build_direct(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    const struct cs_graph *graph = cs_cuda_graph(plan);
    const struct cs_shape *shape = &cs_node_input(graph, node, 1)->shape;
    struct order *order = cs_cuda_params(plan, sizeof *order);
    struct cs_cuda_tensor weights = {.type = cs_cuda_real(plan), .rank = shape->rank};
    enum { FORM_ORDER = 16 << 8 };
    order->depthwise = is_depthwise(graph, node);
    order->half = weights.type == CS_CUDA_F16;
    memcpy(weights.dim, shape->dim, sizeof weights.dim);
    weights.data =
        cs_cuda_pack(plan, node->inputs[1], FORM_ORDER | (order->depthwise ? 2 : 0) | order->half,
                     (size_t)cs_shape_elements(shape) * cs_cuda_type_bytes(weights.type),
                     fill_order, order, err);
    if (!weights.data)
        return -1;
    weights = ordered(weights, order->depthwise);
    return cs_cuda_build_packed(plan, node, (struct cs_cuda_inputs){.unread = 2, .exact = 4},
                                &weights, run_direct, err);
}

static bool are_constants(const struct cs_graph *graph, const struct cs_node *node)
{
    const struct cs_value *in = cs_node_input(graph, node, 0);
    const struct cs_value *weights = cs_node_input(graph, node, 1);
    return !in->data && weights->data;
}

static bool direct_supports(const struct cs_graph *graph, const struct cs_node *node, char *why,
                            size_t why_size)
{
    const struct cs_value *weights = cs_node_input(graph, node, 1);
    bool few = weights->shape.dim[0] <= CS_CUDA_FEW && cs_node_int(node, "group", 1) == 1;
    if (are_constants(graph, node) && (few || is_depthwise(graph, node)))
        return true;
    snprintf(why, why_size, "for convolutions of one channel a group or of few outputs");
    return false;
}

const struct cs_cuda_op cs_cuda_direct_ops[] = {
    {"Conv", build_direct, direct_supports, true},
    {NULL, NULL, NULL, false},
};

const struct cs_cuda_op cs_cuda_product_ops[] = {
    {"MatMul", build_matmul, NULL, true},
    {"Gemm", build_gemm, NULL, true},
    {"FusedAttention", build_attention, NULL, false},
    {"Conv", build_conv, NULL, true},
    {"ConvTranspose", build_conv, NULL, true},
    {NULL, NULL, NULL, false},
};
