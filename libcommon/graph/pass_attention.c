// SPDX-License-Identifier: MIT
// Attention becomes one operator of ours, "FusedAttention":
//
//   MatMul(q, k) [* or / a constant] [+ mask], Softmax over the last axis, MatMul with v
//
// Inputs q (..., rows, depth), k (..., depth, keys), v (..., keys, columns), and maybe the mask,
// which broadcasts to (..., rows, keys); attribute "scale". The matrix of rows x keys, which grows
// with the square of the image's area, then never is in memory as a whole. Concrete graphs only.
#include <string.h>

#include "graph/params.h"
#include "graph/passes.h"

struct attention {
    int q, k, mask; // values; mask -1: none
    float scale;
    struct cs_node *parts[4]; // the nodes that go
    int part_count;
};

static bool is_plain(const struct cs_node *node, const char *op)
{
    return strcmp(node->op, op) == 0 && !cs_node_fuses(node);
}

// The plain node that alone makes input i for `node`.
static struct cs_node *part(const struct cs_graph *graph, const struct cs_node *node, int i,
                            const char *op)
{
    struct cs_node *maker = i < node->input_count ? cs_pass_sole_producer(graph, node, i) : NULL;
    return maker && is_plain(maker, op) ? maker : NULL;
}

// The number that input i is, if it is one; 0: it is not.
static float number(const struct cs_graph *graph, const struct cs_node *node, int i)
{
    const struct cs_value *value = cs_node_input(graph, node, i);
    bool one = value && value->data && !value->in_file && value->type == CS_TYPE_F32 &&
               cs_shape_elements(&value->shape) == 1;
    return one ? *(const float *)value->data : 0;
}

// A tensor that broadcasts to the scores and has a number for each key.
static bool is_mask(const struct cs_graph *graph, int value, const struct cs_shape *scores)
{
    const struct cs_value *mask = &graph->values[value];
    struct cs_shape both;
    return mask->type == CS_TYPE_F32 && !mask->in_file && mask->shape.rank > 0 &&
           mask->shape.dim[mask->shape.rank - 1] == scores->dim[scores->rank - 1] &&
           cs_shape_broadcast(&mask->shape, scores, &both) && cs_shape_equal(&both, scores);
}

// Input i of the node is the product of q and k, scaled or not.
static bool find_product(const struct cs_graph *graph, const struct cs_node *node, int i,
                         struct attention *a)
{
    int rank = cs_node_input(graph, node, i)->shape.rank;
    struct cs_node *mul = part(graph, node, i, "Mul"), *scaling = mul;
    if (!mul)
        scaling = part(graph, node, i, "Div");
    if (scaling) {
        i = mul && number(graph, mul, 0) != 0 ? 1 : 0;
        float scale = number(graph, scaling, 1 - i);
        if (scale == 0 || cs_node_input(graph, scaling, 1 - i)->shape.rank > rank)
            return false;
        a->scale = mul ? scale : 1 / scale;
        a->parts[a->part_count++] = scaling;
    }
    struct cs_node *product = part(graph, scaling ? scaling : node, i, "MatMul");
    if (!product)
        return false;
    a->parts[a->part_count++] = product;
    a->q = product->inputs[0];
    a->k = product->inputs[1];
    return true;
}

// What the Softmax reads: a product, or its sum with a mask on either side.
static bool find_scores(const struct cs_graph *graph, const struct cs_node *softmax,
                        const struct attention *begun, struct attention *a)
{
    const struct cs_shape *shape = &cs_node_input(graph, softmax, 0)->shape;
    struct cs_node *add = part(graph, softmax, 0, "Add");
    *a = *begun;
    if (!add)
        return find_product(graph, softmax, 0, a);
    for (int i = 0; i < 2; i++) {
        *a = *begun;
        a->mask = add->inputs[1 - i];
        a->parts[a->part_count++] = add;
        if (is_mask(graph, a->mask, shape) && find_product(graph, add, i, a))
            return true;
    }
    return false;
}

// Equal ranks, from 3 up, and equal sizes but for those of the matrices.
static bool fit(const struct cs_graph *graph, const struct attention *a, const struct cs_node *node)
{
    const struct cs_shape *out = &cs_node_output(graph, node, 0)->shape;
    const int values[] = {a->q, a->k, node->inputs[1]};
    for (int i = 0; i < 3; i++) {
        const struct cs_value *v = &graph->values[values[i]];
        if (v->type != CS_TYPE_F32 || v->data || v->shape.rank != out->rank || out->rank < 3)
            return false;
        for (int d = 0; d < out->rank - 2; d++)
            if (v->shape.dim[d] != out->dim[d])
                return false;
    }
    return cs_shape_elements(out) > 0;
}

static bool find(const struct cs_graph *graph, const struct cs_node *node, struct attention *a)
{
    struct attention begun = {.mask = -1, .scale = 1};
    struct cs_node *softmax = is_plain(node, "MatMul") ? part(graph, node, 0, "Softmax") : NULL;
    int first, last;
    if (!softmax || cs_node_softmax(graph, softmax, &first, &last, NULL) < 0 || first != last ||
        last != cs_node_input(graph, softmax, 0)->shape.rank - 1)
        return false;
    begun.parts[begun.part_count++] = softmax;
    return find_scores(graph, softmax, &begun, a) && fit(graph, a, node);
}

bool cs_attention_match(const struct cs_graph *graph, const struct cs_node *node)
{
    struct attention a;
    return find(graph, node, &a);
}

int cs_attention_apply(struct cs_graph *graph, struct cs_node *node, struct cs_err *err)
{
    (void)err;
    struct attention a;
    find(graph, node, &a);
    const int inputs[] = {a.q, a.k, node->inputs[1], a.mask};
    cs_pass_become(graph, node, "FusedAttention", inputs, a.mask < 0 ? 3 : 4);
    cs_node_add_float(graph, node, "scale", a.scale);
    for (int i = 0; i < a.part_count; i++)
        cs_pass_drop(graph, a.parts[i]);
    return 0;
}
