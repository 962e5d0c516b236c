// SPDX-License-Identifier: MIT
// Nodes that many networks of the tests are made of (opcase.h).
#include "opcase.h"

int opcase_unary(struct opcase *c, const char *op, int x)
{
    opcase_value(c, x);
    opcase_node(c, op, 1);
    return opcase_last(c);
}

int opcase_binary(struct opcase *c, const char *op, int a, int b)
{
    opcase_value(c, a);
    return opcase_unary(c, op, b);
}

int opcase_concat(struct opcase *c, int a, int b)
{
    opcase_value(c, a);
    opcase_value(c, b);
    cs_node_add_int(&c->graph, opcase_node(c, "Concat", 1), "axis", 1);
    return opcase_last(c);
}

int opcase_conv(struct opcase *c, int x, int64_t in, int64_t out, int64_t kernel)
{
    int64_t pad = kernel / 2;
    opcase_value(c, x);
    opcase_weight(c, SHAPE(out, in, kernel, kernel));
    opcase_weight(c, SHAPE(out));
    cs_node_add_ints(&c->graph, opcase_node(c, "Conv", 1), "pads", (int64_t[]){pad, pad, pad, pad},
                     4);
    return opcase_last(c);
}

int opcase_norm(struct opcase *c, int x, int64_t channels)
{
    opcase_value(c, x);
    opcase_weight(c, SHAPE(channels));
    opcase_weight(c, SHAPE(channels));
    opcase_node(c, "InstanceNormalization", 1);
    return opcase_last(c);
}

int opcase_max_pool(struct opcase *c, int x, int64_t kernel, int64_t pad)
{
    opcase_value(c, x);
    struct cs_node *node = opcase_node(c, "MaxPool", 1);
    cs_node_add_ints(&c->graph, node, "kernel_shape", (int64_t[]){kernel, kernel}, 2);
    cs_node_add_ints(&c->graph, node, "strides", (int64_t[]){2, 2}, 2);
    cs_node_add_ints(&c->graph, node, "pads", (int64_t[]){pad, pad, pad, pad}, 4);
    return opcase_last(c);
}

int opcase_enlarge(struct opcase *c, int x, float factor)
{
    opcase_value(c, x);
    opcase_value(c, -1);
    opcase_weight_data(c, SHAPE(4), (float[]){1, 1, factor, factor});
    cs_node_add_string(&c->graph, opcase_node(c, "Resize", 1), "mode", "linear");
    return opcase_last(c);
}
