// SPDX-License-Identifier: MIT
// BatchNormalization with stored statistics behind a convolution is a factor and a shift a
// channel: both go into the convolution's weights and bias. Needs constants only, no shapes of
// activations, so that weights folded before cs_graph_infer are shared by all concrete graphs.
#include <math.h>
#include <string.h>

#include "graph/passes.h"

// A constant vector of `count` float32, or NULL.
static const float *vector(const struct cs_graph *graph, const struct cs_node *node, int i,
                           int64_t count)
{
    const struct cs_value *value = cs_node_input(graph, node, i);
    bool fits = value && value->data && value->type == CS_TYPE_F32 && value->shape.rank == 1 &&
                value->shape.dim[0] == count;
    return fits ? value->data : NULL;
}

// Output channels of the convolution; -1 when its weights are not plain.
static int64_t channels_of(const struct cs_graph *graph, const struct cs_node *conv)
{
    const struct cs_value *weight = cs_node_input(graph, conv, 1);
    int64_t group = cs_node_int(conv, "group", 1);
    if (!weight || !weight->data || weight->type != CS_TYPE_F32 || weight->shape.rank != 4 ||
        group < 1 || group > INT32_MAX)
        return -1;
    if (strcmp(conv->op, "Conv") == 0)
        return weight->shape.dim[0];
    return weight->shape.dim[0] % group == 0 && weight->shape.dim[1] <= INT32_MAX
               ? weight->shape.dim[1] * group
               : -1;
}

bool cs_fold_batchnorm_match(const struct cs_graph *graph, const struct cs_node *node)
{
    static const char *const convs[] = {"Conv", "ConvTranspose", NULL};
    if (strcmp(node->op, "BatchNormalization") != 0 || cs_node_fuses(node) ||
        cs_node_int(node, "training_mode", 0) != 0)
        return false;
    const struct cs_node *conv = cs_pass_sole_producer(graph, node, 0);
    if (!conv || !cs_node_is(conv, convs) || cs_node_fuses(conv))
        return false;
    int64_t channels = channels_of(graph, conv);
    if (channels < 1 || (cs_node_input(graph, conv, 2) && !vector(graph, conv, 2, channels)))
        return false;
    for (int i = 1; i <= 4; i++)
        if (!vector(graph, node, i, channels))
            return false;
    return true;
}

static int fresh_constant(struct cs_graph *graph, const struct cs_node *node, const char *what,
                          const struct cs_shape *shape, const float *data)
{
    struct cs_buf name = {0};
    cs_buf_addf(&name, "%s.%s", node->name, what);
    int value = cs_graph_add_constant(graph, name.data, CS_TYPE_F32, shape, data);
    cs_buf_release(&name);
    return value;
}

// Weights are (out, in, ...) in Conv and (in, out / group, ...) in ConvTranspose.
static int scale_weights(const struct cs_graph *graph, const struct cs_node *conv,
                         const double *factor, float *scaled, struct cs_err *err)
{
    const struct cs_value *weight = cs_node_input(graph, conv, 1);
    const struct cs_shape *shape = &weight->shape;
    struct cs_constant_hold hold;
    const float *plain = cs_constant_hold(weight, &hold, err);
    if (!plain)
        return -1;
    int64_t taps = shape->dim[2] * shape->dim[3], group = cs_node_int(conv, "group", 1);
    bool forward = strcmp(conv->op, "Conv") == 0;
    for (int64_t a = 0; a < shape->dim[0]; a++)
        for (int64_t b = 0; b < shape->dim[1]; b++) {
            int64_t per_group = shape->dim[0] / group;
            int64_t channel = forward ? a : a / per_group * shape->dim[1] + b;
            for (int64_t t = 0; t < taps; t++) {
                int64_t i = (a * shape->dim[1] + b) * taps + t;
                scaled[i] = (float)((double)plain[i] * factor[channel]);
            }
        }
    cs_constant_release(&hold);
    return 0;
}

int cs_fold_batchnorm_apply(struct cs_graph *graph, struct cs_node *node, struct cs_err *err)
{
    struct cs_node *conv = cs_pass_sole_producer(graph, node, 0);
    int64_t channels = channels_of(graph, conv);
    const float *scale = vector(graph, node, 1, channels),
                *shift = vector(graph, node, 2, channels);
    const float *mean = vector(graph, node, 3, channels);
    const float *variance = vector(graph, node, 4, channels);
    const float *bias = vector(graph, conv, 2, channels);
    double epsilon = (double)cs_node_float(node, "epsilon", 1e-5f);
    struct cs_shape shape = cs_node_input(graph, conv, 1)->shape, line = {1, {channels}};
    double *factor = cs_arena_alloc(&graph->arena, (size_t)channels, sizeof *factor);
    float *moved = cs_arena_alloc(&graph->arena, (size_t)channels, sizeof *moved);
    float *scaled =
        cs_arena_alloc(&graph->arena, (size_t)cs_shape_elements(&shape) + 1, sizeof *scaled);
    for (int64_t c = 0; c < channels; c++) {
        factor[c] = (double)scale[c] / sqrt((double)variance[c] + epsilon);
        double before = bias ? (double)bias[c] : 0;
        moved[c] = (float)((before - (double)mean[c]) * factor[c] + (double)shift[c]);
    }
    if (scale_weights(graph, conv, factor, scaled, err) != 0)
        return -1;
    for (int i = 1; i < conv->input_count; i++)
        if (conv->inputs[i] >= 0)
            graph->values[conv->inputs[i]].uses--;
    conv->inputs[1] = fresh_constant(graph, conv, "weight", &shape, scaled);
    conv->inputs[2] = fresh_constant(graph, conv, "bias", &line, moved);
    conv->input_count = 3;
    graph->values[conv->inputs[1]].uses++;
    graph->values[conv->inputs[2]].uses++;
    cs_pass_take_output(graph, conv, node);
    return 0;
}
