// SPDX-License-Identifier: MIT
// Conv and ConvTranspose through oneDNN. Bias, ReLU-like activations and an added tensor become
// part of the primitive: the sum is oneDNN's "sum" (add to what the output holds), because its
// general binary addition falls back to a slow kernel; the added tensor is copied there first,
// or is there already when both share memory.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "base/mem.h"
#include "graph/params.h"

struct copy {
    struct cs_cpu_place src, dst;
    struct cs_nd nd;
};

static int run_copy(const struct cs_cpu_step *step, const struct cs_cpu_run *run,
                    struct cs_err *err)
{
    (void)err;
    const struct copy *copy = step->params;
    float *base[] = {cs_cpu_at(run, copy->dst), cs_cpu_at(run, copy->src)};
    if (base[0] != base[1])
        cs_nd_copy(&copy->nd, base);
    return 0;
}

// Bring the tensor to be added into the output's place.
static void build_addend(struct cs_plan *plan, const struct cs_node *node)
{
    struct copy *copy = cs_cpu_params(plan, sizeof *copy);
    const struct cs_value *out = cs_node_output(plan->graph, node, 0);
    const struct cs_value *add = &plan->graph->values[node->fusion.add];
    int64_t stride[CS_MAX_RANK];
    copy->src = cs_cpu_place_of(plan, node->fusion.add);
    copy->dst = cs_cpu_place_of(plan, node->outputs[0]);
    cs_nd_init(&copy->nd, &out->shape);
    cs_cpu_strides_of(plan, node->outputs[0], stride);
    cs_nd_add(&copy->nd, stride);
    cs_cpu_strides_of(plan, node->fusion.add, stride);
    cs_nd_add_broadcast(&copy->nd, &add->shape, stride);
    cs_nd_simplify(&copy->nd);
    cs_cpu_add_step(plan, node, run_copy, copy);
}

// Whether oneDNN's kernels take the activation without falling back.
static bool set_activation(struct cs_dnn_conv *conv, const struct cs_cpu_activation *activation)
{
    switch (activation->unary) {
    case CS_UNARY_IDENTITY:
        return true;
    case CS_UNARY_RELU:
        conv->activation = CS_DNN_RELU;
        conv->alpha = 0;
        return true;
    case CS_UNARY_LEAKY_RELU:
        conv->activation = CS_DNN_RELU;
        conv->alpha = activation->alpha;
        return true;
    case CS_UNARY_CLIP:
        conv->activation = CS_DNN_CLIP;
        conv->alpha = activation->alpha;
        conv->beta = activation->beta;
        return true;
    default:
        return false;
    }
}

static int describe(const struct cs_graph *graph, const struct cs_node *node,
                    struct cs_dnn_conv *conv, struct cs_err *err)
{
    const struct cs_value *in = cs_node_input(graph, node, 0);
    const struct cs_value *out = cs_node_output(graph, node, 0);
    struct cs_window window;
    if (cs_node_window(graph, node, &window, err) != 0)
        return -1;
    *conv = (struct cs_dnn_conv){.batch = in->shape.dim[0],
                                 .in_channels = in->shape.dim[1],
                                 .out_channels = out->shape.dim[1],
                                 .groups = window.group,
                                 .transposed = strcmp(node->op, "ConvTranspose") == 0,
                                 .bias = cs_node_input(graph, node, 2) != NULL};
    for (int i = 0; i < 2; i++) {
        conv->in[i] = in->shape.dim[2 + i];
        conv->out[i] = out->shape.dim[2 + i];
        conv->kernel[i] = window.kernel[i];
        conv->stride[i] = window.stride[i];
        conv->dilation[i] = window.dilation[i];
        conv->pad_begin[i] = window.pad_begin[i];
        // The end pad that gives exactly the output's size, whatever rounding made it.
        int64_t reach = (window.kernel[i] - 1) * window.dilation[i] + 1;
        conv->pad_end[i] =
            conv->transposed
                ? (conv->in[i] - 1) * window.stride[i] + reach - conv->out[i] - conv->pad_begin[i]
                : (conv->out[i] - 1) * window.stride[i] + reach - conv->in[i] - conv->pad_begin[i];
    }
    return 0;
}

// A transposed convolution whose windows touch without overlapping.
static bool is_upscale(const struct cs_dnn_conv *conv)
{
    bool yes = conv->transposed && conv->groups == 1;
    for (int i = 0; i < 2; i++)
        yes = yes && conv->kernel[i] == conv->stride[i] && conv->dilation[i] == 1 &&
              conv->pad_begin[i] == 0 && conv->out[i] == conv->in[i] * conv->kernel[i];
    return yes;
}

bool cs_cpu_conv_is_winograd(const struct cs_plan *plan, const struct cs_node *node)
{
    struct cs_dnn_conv conv;
    struct cs_winograd winograd;
    return describe(plan->graph, node, &conv, NULL) == 0 &&
           cs_cpu_suits_winograd(plan, node, &conv, &winograd);
}

bool cs_cpu_conv_is_upscale(const struct cs_plan *plan, const struct cs_node *node)
{
    struct cs_dnn_conv conv;
    return describe(plan->graph, node, &conv, NULL) == 0 && is_upscale(&conv);
}

// A 1x1 convolution of oneDNN's.
static bool is_pointwise(const struct cs_plan *plan, const struct cs_node *node,
                         const struct cs_dnn_conv *conv)
{
    bool yes = !conv->transposed && conv->groups == 1 && !cs_cpu_suits_rows(plan, node, conv);
    for (int i = 0; i < 2; i++)
        yes = yes && conv->kernel[i] == 1 && conv->stride[i] == 1 && conv->in[i] == conv->out[i];
    return yes;
}

bool cs_cpu_conv_is_pointwise(const struct cs_plan *plan, const struct cs_node *node)
{
    struct cs_dnn_conv conv;
    return describe(plan->graph, node, &conv, NULL) == 0 && is_pointwise(plan, node, &conv);
}

// Some input channels of a 1x1 convolution's weights.
struct slice {
    const struct cs_dnn_op *op;
    int64_t outs, ins, first, count;
};

static int fill_slice(const void *context, const void *data, void *packed, struct cs_err *err)
{
    const struct slice *s = context;
    const float *weights = data;
    float *part = cs_alloc((size_t)(s->outs * s->count), sizeof *part, "packing weights", err);
    if (!part)
        return -1;
    for (int64_t o = 0; o < s->outs; o++)
        memcpy(part + o * s->count, weights + o * s->ins + s->first,
               (size_t)s->count * sizeof *part);
    int result = cs_dnn_op_pack(s->op, part, packed, err);
    free(part);
    return result;
}

static const float *pack_slice(struct cs_plan *plan, const struct cs_node *node,
                               const struct cs_dnn_op *op, const struct cs_dnn_conv *part,
                               int64_t first, struct cs_err *err)
{
    const struct cs_value *weights = cs_node_input(plan->graph, node, 1);
    if (part->in_channels == weights->shape.dim[1] || part->groups > 1)
        return cs_cpu_pack_weights(plan, op, weights, err);
    struct slice *slice = cs_cpu_params(plan, sizeof *slice);
    *slice =
        (struct slice){op, part->out_channels, weights->shape.dim[1], first, part->in_channels};
    return cs_cpu_pack(plan, weights, cs_dnn_op_weight_key(op) + (uint64_t)first + 1,
                       cs_dnn_op_weight_bytes(op), fill_slice, slice, err);
}

// The step of a convolution of `value`, which is the node's input or, from channel `first` on, a
// part of it.
static int add_conv(struct cs_plan *plan, const struct cs_node *node,
                    const struct cs_dnn_conv *conv, int value, int64_t first, struct cs_err *err)
{
    struct cs_dnn_op *op;
    if (cs_dnn_conv_new(plan->network->device->dnn, conv, &op, err) != 0)
        return -1;
    const float *packed = pack_slice(plan, node, op, conv, first, err);
    if (!packed) {
        cs_dnn_op_free(op);
        return -1;
    }
    struct cs_cpu_step *step = cs_cpu_add_step(plan, node, NULL, NULL);
    cs_cpu_set_op(plan, step, op, 1);
    step->src = cs_cpu_place_of(plan, value);
    step->dst = cs_cpu_place_of(plan, node->outputs[0]);
    step->weights.constant = packed;
    if (conv->bias)
        step->bias = cs_cpu_place_of(plan, node->inputs[2]);
    step->flops = 2.0 * (double)(conv->batch * conv->out[0] * conv->out[1]) *
                  (double)(conv->kernel[0] * conv->kernel[1] * conv->in_channels) *
                  (double)(conv->out_channels / conv->groups);
    return 0;
}

// A concatenation that is not made (late.c): one convolution a part, each adding to the one before.
static int add_parts(struct cs_plan *plan, const struct cs_node *node,
                     const struct cs_dnn_conv *whole, struct cs_err *err)
{
    const struct cs_graph *graph = plan->graph;
    const struct cs_node *concat = &graph->nodes[graph->values[node->inputs[0]].producer];
    int64_t first = 0;
    for (int i = 0; i < concat->input_count; i++) {
        struct cs_dnn_conv part = *whole;
        part.in_channels = graph->values[concat->inputs[i]].shape.dim[1];
        part.sum = whole->sum || i > 0;
        part.bias = whole->bias && i == 0;
        if (i + 1 < concat->input_count)
            part.activation = CS_DNN_NONE;
        if (add_conv(plan, node, &part, concat->inputs[i], first, err) != 0)
            return -1;
        first += part.in_channels;
    }
    return 0;
}

static int build_conv(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    struct cs_cpu_activation activation;
    struct cs_dnn_conv conv;
    if (describe(plan->graph, node, &conv, err) != 0)
        return -1;
    cs_cpu_activation_of(&node->fusion, &activation);
    if (conv.transposed)
        return is_upscale(&conv) ? cs_cpu_build_upscale(plan, node, &conv, err)
                                 : cs_cpu_build_transposed(plan, node, &conv, err);
    struct cs_winograd winograd;
    if (cs_cpu_suits_winograd(plan, node, &conv, &winograd))
        return cs_cpu_build_winograd(plan, node, &winograd, err);
    if (cs_cpu_suits_rows(plan, node, &conv))
        return cs_cpu_build_rows(plan, node, &conv, err);
    bool activated = set_activation(&conv, &activation) || activation.unary == CS_UNARY_IDENTITY;
    conv.sum = node->fusion.add >= 0;
    if (conv.sum)
        build_addend(plan, node);
    int result = plan->late[node->inputs[0]].joined
                     ? add_parts(plan, node, &conv, err)
                     : add_conv(plan, node, &conv, node->inputs[0], 0, err);
    if (result != 0)
        return -1;
    return activated ? 0 : cs_cpu_build_fusion(plan, node, false, err);
}

static bool supports(const struct cs_graph *graph, const struct cs_node *node, char *why,
                     size_t why_size)
{
    const struct cs_value *in = cs_node_input(graph, node, 0);
    const struct cs_value *weights = cs_node_input(graph, node, 1);
    const struct cs_value *bias = cs_node_input(graph, node, 2);
    struct cs_window window;
    if (!in || in->shape.rank != 4 || in->data)
        snprintf(why, why_size, "input is not an N, C, H, W activation");
    else if (!weights || !weights->data || (bias && !bias->data))
        snprintf(why, why_size, "weights and bias must be constants");
    else if (cs_node_window(graph, node, &window, NULL) != 0 || window.pad_end[0] < 0 ||
             window.pad_end[1] < 0)
        snprintf(why, why_size, "pads are negative");
    else
        return true;
    return false;
}

const struct cs_cpu_op cs_cpu_conv_ops[] = {
    {"Conv", build_conv, supports, true, CS_CPU_OVERWRITES_ADDEND},
    {"ConvTranspose", build_conv, supports, true, CS_CPU_OVERWRITES_NOTHING},
    {0},
};
