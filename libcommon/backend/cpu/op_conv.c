// SPDX-License-Identifier: MIT
// Conv and ConvTranspose: each goes to the method that suits it, and a Conv that suits none of ours
// (dilated, grouped, of very few output channels) to oneDNN. There bias, ReLU-like
// activations and an added tensor become part of the primitive: the sum is oneDNN's "sum" (add to
// what the output holds), because its general binary addition falls back to a slow kernel; the
// added tensor is copied there first, or is there already when both share memory.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/conv.h"
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

bool cs_cpu_conv_is_winograd(const struct cs_plan *plan, const struct cs_node *node,
                             struct cs_winograd *winograd)
{
    struct cs_dnn_conv conv;
    return describe(plan->graph, node, &conv, NULL) == 0 &&
           cs_cpu_suits_winograd(plan, node, &conv, winograd);
}

bool cs_cpu_conv_rows_of(const struct cs_plan *plan, const struct cs_node *node,
                         struct cs_cpu_conv_rows *rows)
{
    struct cs_dnn_conv conv;
    struct cs_winograd winograd;
    struct cs_cpu_activation activation;
    struct cs_finish finish;
    if (describe(plan->graph, node, &conv, NULL) != 0 || plan->late[node->outputs[0]].norm > 0 ||
        !cs_cpu_activation_of(&node->fusion, &activation) ||
        !cs_cpu_finish_of(&activation, &finish))
        return false;
    *rows = (struct cs_cpu_conv_rows){1, conv.stride[0], conv.pad_begin[0],
                                      (conv.kernel[0] - 1) * conv.dilation[0] + 1};
    if (!conv.transposed && cs_cpu_suits_pointwise(plan, node, &conv))
        return true;
    if (cs_cpu_suits_winograd(plan, node, &conv, &winograd)) {
        rows->grain = winograd.kernels->out;
        return !winograd.team;
    }
    return cs_cpu_suits_direct(plan, node, &conv);
}

bool cs_cpu_conv_is_direct(const struct cs_plan *plan, const struct cs_node *node)
{
    struct cs_dnn_conv conv;
    struct cs_winograd winograd;
    return describe(plan->graph, node, &conv, NULL) == 0 &&
           !cs_cpu_suits_pointwise(plan, node, &conv) &&
           !cs_cpu_suits_winograd(plan, node, &conv, &winograd) &&
           cs_cpu_suits_direct(plan, node, &conv);
}

bool cs_cpu_conv_is_pointwise(const struct cs_plan *plan, const struct cs_node *node)
{
    struct cs_dnn_conv conv;
    return describe(plan->graph, node, &conv, NULL) == 0 &&
           cs_cpu_suits_pointwise(plan, node, &conv);
}

static int add_conv(struct cs_plan *plan, const struct cs_node *node,
                    const struct cs_dnn_conv *conv, struct cs_err *err)
{
    struct cs_dnn_op *op;
    if (cs_dnn_conv_new(plan->network->device->dnn, conv, &op, err) != 0)
        return -1;
    const float *packed = cs_cpu_pack_weights(plan, op, cs_node_input(plan->graph, node, 1), err);
    if (!packed) {
        cs_dnn_op_free(op);
        return -1;
    }
    struct cs_cpu_step *step = cs_cpu_add_op(plan, node, op);
    step->src = cs_cpu_place_of(plan, node->inputs[0]);
    step->dst = cs_cpu_place_of(plan, node->outputs[0]);
    step->weights.constant = packed;
    if (conv->bias)
        step->bias = cs_cpu_place_of(plan, node->inputs[2]);
    step->flops = 2.0 * (double)(conv->batch * conv->out[0] * conv->out[1]) *
                  (double)(conv->kernel[0] * conv->kernel[1] * conv->in_channels) *
                  (double)(conv->out_channels / conv->groups);
    return 0;
}

static int build_conv(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    struct cs_cpu_activation activation;
    struct cs_dnn_conv conv;
    if (describe(plan->graph, node, &conv, err) != 0)
        return -1;
    cs_cpu_activation_of(&node->fusion, &activation);
    if (cs_cpu_suits_pointwise(plan, node, &conv))
        return cs_cpu_build_pointwise(plan, node, &conv, err);
    if (conv.transposed)
        return cs_cpu_build_transposed(plan, node, &conv, err);
    struct cs_winograd winograd;
    if (cs_cpu_suits_winograd(plan, node, &conv, &winograd))
        return cs_cpu_build_winograd(plan, node, &winograd, err);
    if (cs_cpu_suits_direct(plan, node, &conv))
        return cs_cpu_build_direct(plan, node, &conv, err);
    if (cs_cpu_suits_rows(plan, node, &conv))
        return cs_cpu_build_rows(plan, node, &conv, err);
    bool activated = set_activation(&conv, &activation);
    conv.sum = node->fusion.add >= 0;
    if (conv.sum)
        build_addend(plan, node);
    if (add_conv(plan, node, &conv, err) != 0)
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
