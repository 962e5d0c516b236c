// SPDX-License-Identifier: MIT
// Fusions: a sum, and an activation, move into the node that makes what they read, so that a
// backend can do them while the result is still in its hands.
#include <float.h>
#include <string.h>

#include "graph/params.h"
#include "graph/passes.h"

static const char *const add_hosts[] = {
    "Conv", "BatchNormalization", "InstanceNormalization", "GroupNormalization", "Resize", "MatMul",
    NULL};
static const char *const activation_hosts[] = {"Conv",
                                               "ConvTranspose",
                                               "BatchNormalization",
                                               "InstanceNormalization",
                                               "GroupNormalization",
                                               "Add",
                                               "Sub",
                                               "Mul",
                                               "MatMul",
                                               "Gemm",
                                               "Resize",
                                               NULL};
static const char *const activations[] = {"Relu",  "LeakyRelu", "Clip",      "Sigmoid",
                                          "Tanh",  "Elu",       "HardSwish", "HardSigmoid",
                                          "Swish", "Gelu",      NULL};

static bool same_tensor(const struct cs_value *a, const struct cs_value *b)
{
    return cs_shape_elements(&a->shape) >= 0 && cs_shape_equal(&a->shape, &b->shape) &&
           a->type == b->type;
}

// The bias of a linear layer: a number a column.
static bool is_bias(const struct cs_node *host, const struct cs_value *mine,
                    const struct cs_value *other)
{
    const struct cs_shape *shape = &mine->shape;
    return strcmp(host->op, "MatMul") == 0 && other->data && other->type == CS_TYPE_F32 &&
           other->shape.rank == 1 && shape->rank > 1 &&
           other->shape.dim[0] == shape->dim[shape->rank - 1];
}

// Which input of an Add can take the other one in: it is read by the Add alone, and made after the
// other one, since the node that makes it stays where it is. -1: none.
static int host_input(const struct cs_graph *graph, const struct cs_node *node)
{
    for (int i = 0; i < 2; i++) {
        const struct cs_node *host = cs_pass_sole_producer(graph, node, i);
        const struct cs_value *mine = cs_node_input(graph, node, i);
        const struct cs_value *other = cs_node_input(graph, node, 1 - i);
        if (host && cs_node_is(host, add_hosts) && !cs_node_fuses(host) &&
            other->producer < mine->producer &&
            (same_tensor(mine, other) || is_bias(host, mine, other)))
            return i;
    }
    return -1;
}

// Fusions compute float32.
static bool makes_floats(const struct cs_graph *graph, const struct cs_node *node)
{
    const struct cs_value *out = cs_node_output(graph, node, 0);
    return out && out->type == CS_TYPE_F32;
}

bool cs_fuse_add_match(const struct cs_graph *graph, const struct cs_node *node)
{
    return strcmp(node->op, "Add") == 0 && makes_floats(graph, node) && !cs_node_fuses(node) &&
           host_input(graph, node) >= 0;
}

int cs_fuse_add_apply(struct cs_graph *graph, struct cs_node *node, struct cs_err *err)
{
    (void)err;
    int i = host_input(graph, node), other = node->inputs[1 - i];
    struct cs_node *host = cs_pass_sole_producer(graph, node, i);
    cs_pass_take_output(graph, host, node);
    host->fusion.add = other;
    graph->values[other].uses++;
    return 0;
}

bool cs_fuse_activation_match(const struct cs_graph *graph, const struct cs_node *node)
{
    float low, high;
    if (strcmp(cs_node_string(node, "approximate", "none"), "none") != 0)
        return false; // a fusion says no more than a name and two numbers
    if (!cs_node_is(node, activations) || cs_node_fuses(node) || !makes_floats(graph, node))
        return false;
    if (strcmp(node->op, "Clip") == 0 && cs_node_clip(graph, node, &low, &high, NULL) < 0)
        return false; // limits that are computed
    const struct cs_node *host = cs_pass_sole_producer(graph, node, 0);
    return host && cs_node_is(host, activation_hosts) && !host->fusion.activation;
}

int cs_fuse_activation_apply(struct cs_graph *graph, struct cs_node *node, struct cs_err *err)
{
    struct cs_node *host = cs_pass_sole_producer(graph, node, 0);
    struct cs_fusion fusion = {.add = host->fusion.add, .activation = node->op};
    // Defaults of ONNX: those of the activations that have parameters.
    bool hard = strcmp(node->op, "HardSigmoid") == 0;
    bool one = strcmp(node->op, "Elu") == 0 || strcmp(node->op, "Swish") == 0;
    fusion.alpha = cs_node_float(node, "alpha", hard ? 0.2f : one ? 1 : 0.01f);
    fusion.beta = cs_node_float(node, "beta", 0.5f);
    if (strcmp(node->op, "Clip") == 0 &&
        cs_node_clip(graph, node, &fusion.alpha, &fusion.beta, err) < 0)
        return -1;
    host->fusion = fusion;
    cs_pass_take_output(graph, host, node);
    return 0;
}
