// SPDX-License-Identifier: MIT
// Which values share memory is decided node by node: views first, since what they show must be
// dense, then results over operands, then slices of concatenations for what is left. The arena is
// then planned by graph/plan.c as for any backend.
#include "backend/cuda/memory.h"

#include <stdlib.h>
#include <string.h>

#include "backend/order.h"
#include "base/mem.h"

enum { PIXEL_BYTES = 16, CHANNELS = 1, SPATIAL_RANK = 4 };

struct sharing {
    const struct cs_graph *graph;
    enum cs_cuda_type real;
    bool *last;       // channels last
    int *share;       // as cs_memory_plan_make_shared has it
    bool *dense;      // seen through a view: neither written over nor made a slice
    int64_t *channel; // of a slice: where it starts in the concatenation
    bool *slice;      // `share` is a concatenation that it is a part of
    bool *held;       // written over by a node's result
    bool *padded;
};

size_t cs_cuda_type_bytes(enum cs_cuda_type type)
{
    static const size_t bytes[] = {4, 2, 8, 4, 1};
    return bytes[type];
}

enum cs_cuda_type cs_cuda_type_of(const struct cs_value *value, enum cs_cuda_type real)
{
    switch (value->type) {
    case CS_TYPE_I64:
        return CS_CUDA_I64;
    case CS_TYPE_I32:
        return CS_CUDA_I32;
    case CS_TYPE_BOOL:
        return CS_CUDA_BOOL;
    default:
        return real;
    }
}

// From binary32 by its bits; subnormals of binary16 are rounded like any other number.
uint16_t cs_cuda_half(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
    if (size > 0x7f800000)
        return (uint16_t)(sign | 0x7e00); // not a number
    if (size >= 0x477ff000)
        return (uint16_t)(sign | 0x7c00); // 65520 and more: infinite
    int exponent = (int)(size >> 23) - 127;
    if (exponent < -25)
        return (uint16_t)sign;
    uint32_t significand = (size & 0x7fffff) | 0x800000;
    int cut = exponent < -14 ? -1 - exponent : 13; // bits that are rounded away
    uint32_t kept = significand >> cut, rest = significand & ((1U << cut) - 1);
    uint32_t half = 1U << (cut - 1);
    kept += rest > half || (rest == half && (kept & 1));
    // A carry out of the significand raises the exponent, which is the right result.
    return (uint16_t)(sign | (exponent < -14 ? kept : ((uint32_t)(exponent + 14) << 10) + kept));
}

void cs_cuda_dense(const struct cs_shape *shape, bool channels_last, int64_t *stride)
{
    int64_t next = 1;
    bool apart = channels_last && shape->rank >= 3;
    if (apart) {
        stride[CHANNELS] = next;
        next *= shape->dim[CHANNELS];
    }
    for (int d = shape->rank - 1; d >= 0; d--) {
        if (apart && d == CHANNELS)
            continue;
        stride[d] = next;
        next *= shape->dim[d];
    }
}

static bool one_of(const char *op, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(*list, op) == 0)
            return true;
    return false;
}

bool cs_cuda_overwrites(const struct cs_node *node)
{
    static const char *const ops[] = {"InstanceNormalization",
                                      "BatchNormalization",
                                      "Relu",
                                      "LeakyRelu",
                                      "PRelu",
                                      "Clip",
                                      "HardSwish",
                                      "HardSigmoid",
                                      "Elu",
                                      "Sigmoid",
                                      "Tanh",
                                      "Softplus",
                                      "Gelu",
                                      "Mish",
                                      "Swish",
                                      "Add",
                                      "Sub",
                                      "Mul",
                                      "Div",
                                      NULL};
    return one_of(node->op, ops) && node->input_count > 0;
}

// ---- Sharing -----------------------------------------------------------------------------

static bool is_free(const struct sharing *s, int value)
{
    return value >= 0 && !s->graph->values[value].data && !s->dense[value] && !s->padded[value] &&
           s->graph->values[value].producer >= 0;
}

static bool can_hold(const struct sharing *s, int value, int out)
{
    if (!is_free(s, value))
        return false;
    const struct cs_value *v = &s->graph->values[value], *o = &s->graph->values[out];
    return v->uses == 1 && v->type == o->type && cs_shape_equal(&v->shape, &o->shape) &&
           s->last[value] == s->last[out];
}

static void share_views(struct sharing *s)
{
    static const char *const ops[] = {"Reshape",   "Flatten",  "Squeeze", "Unsqueeze",
                                      "Transpose", "Identity", "Dropout", NULL};
    for (int n = 0; n < s->graph->node_count; n++) {
        const struct cs_node *node = &s->graph->nodes[n];
        int in = node->inputs[0], out = node->outputs[0];
        if (!one_of(node->op, ops) || in < 0 || out < 0 || node->fusion.activation ||
            s->graph->values[in].data || s->graph->values[in].producer < 0 ||
            s->graph->values[in].type != s->graph->values[out].type ||
            cs_shape_elements(&s->graph->values[out].shape) == 0 ||
            !cs_keeps_order(s->graph, s->last, node))
            continue;
        s->share[out] = in;
        s->dense[in] = s->dense[out] = true;
    }
}

static void share_results(struct sharing *s)
{
    for (int n = 0; n < s->graph->node_count; n++) {
        const struct cs_node *node = &s->graph->nodes[n];
        int out = node->outputs[0];
        if (out < 0 || !cs_cuda_overwrites(node) || s->share[out] != out || s->dense[out])
            continue;
        for (int i = 0; i < node->input_count && i < 2 && s->share[out] == out; i++)
            if (can_hold(s, node->inputs[i], out)) {
                s->share[out] = node->inputs[i];
                s->held[node->inputs[i]] = true;
            }
    }
}

// cuDNN makes dense tensors, and copies them where they are to lie otherwise.
static bool is_convolution(const struct sharing *s, int value)
{
    int producer = s->graph->values[value].producer;
    return producer >= 0 && strcmp(s->graph->nodes[producer].op, "Conv") == 0;
}

// The value that is made first where `value` lies, unless it is a part of something already; of
// what follows a convolution, the first that is made by a kernel of ours.
static int first_of(const struct sharing *s, int value)
{
    while (s->share[value] != value && !s->slice[value] && !is_convolution(s, s->share[value]))
        value = s->share[value];
    return value;
}

static bool is_plane(const struct sharing *s, int value)
{
    return value >= 0 && s->last[value] && s->graph->values[value].shape.rank == SPATIAL_RANK &&
           s->graph->values[value].type == CS_TYPE_F32;
}

static bool is_channel_concat(const struct sharing *s, const struct cs_node *node)
{
    int64_t axis = cs_node_int(node, "axis", 1);
    // What is written over a concatenation would be written over operands that others still read.
    return strcmp(node->op, "Concat") == 0 && is_plane(s, node->outputs[0]) &&
           (axis == CHANNELS || axis == CHANNELS - SPATIAL_RANK) && !s->dense[node->outputs[0]] &&
           !s->held[node->outputs[0]];
}

static void share_slices(struct sharing *s)
{
    size_t bytes = cs_cuda_type_bytes(s->real);
    for (int n = 0; n < s->graph->node_count; n++) {
        const struct cs_node *node = &s->graph->nodes[n];
        if (!is_channel_concat(s, node))
            continue;
        int out = node->outputs[0];
        int64_t first = 0;
        bool whole = s->graph->values[out].shape.dim[CHANNELS] * (int64_t)bytes % PIXEL_BYTES == 0;
        for (int i = 0; i < node->input_count; i++) {
            int in = node->inputs[i];
            int64_t count = s->graph->values[in].shape.dim[CHANNELS];
            bool even = first * (int64_t)bytes % PIXEL_BYTES == 0 &&
                        count * (int64_t)bytes % PIXEL_BYTES == 0;
            int top = is_free(s, in) ? first_of(s, in) : in;
            if (whole && even && is_free(s, in) && is_free(s, top) && is_plane(s, in) &&
                is_plane(s, top) && !s->slice[top]) {
                s->held[s->share[top]] = false;
                s->share[top] = out;
                s->slice[top] = true;
                s->channel[top] = first;
            }
            first += count;
        }
    }
}

// Inputs that convolutions alone read, of fewer channels than tensor cores take at once.
static void pad_inputs(struct sharing *s)
{
    int64_t lanes = PIXEL_BYTES / (int64_t)cs_cuda_type_bytes(s->real);
    for (int i = 0; i < s->graph->input_count; i++) {
        int value = s->graph->inputs[i];
        const struct cs_value *v = &s->graph->values[value];
        int convolutions = 0;
        for (int n = 0; n < s->graph->node_count; n++)
            convolutions += strcmp(s->graph->nodes[n].op, "Conv") == 0 &&
                            s->graph->nodes[n].inputs[0] == value &&
                            cs_node_int(&s->graph->nodes[n], "group", 1) == 1;
        s->padded[value] = is_plane(s, value) && convolutions == v->uses &&
                           v->shape.dim[CHANNELS] % lanes != 0 && v->shape.dim[CHANNELS] < lanes;
    }
}

// ---- Places ------------------------------------------------------------------------------

static size_t value_bytes(const struct cs_graph *graph, int value, void *context)
{
    const struct sharing *s = context;
    const struct cs_value *v = &graph->values[value];
    int64_t count = cs_shape_elements(&v->shape);
    if (count <= 0)
        return 0;
    if (s->padded[value])
        return (size_t)(count / v->shape.dim[CHANNELS]) * PIXEL_BYTES;
    return (size_t)count * cs_cuda_type_bytes(cs_cuda_type_of(v, s->real));
}

static void place_value(const struct sharing *s, int value, const struct cs_memory_plan *plan,
                        struct cs_cuda_place *place)
{
    const struct cs_value *v = &s->graph->values[value];
    size_t bytes = cs_cuda_type_bytes(cs_cuda_type_of(v, s->real));
    place->offset = plan->offset[value];
    place->padded = s->padded[value];
    if (v->shape.rank < 0)
        return;
    cs_cuda_dense(&v->shape, s->last[value], place->stride);
    if (!is_plane(s, value) || place->offset == SIZE_MAX)
        return;
    int64_t channels = v->shape.dim[CHANNELS];
    int64_t pixel = s->padded[value] ? PIXEL_BYTES / (int64_t)bytes : channels;
    for (int at = value; s->share[at] != at; at = s->share[at]) {
        if (!s->slice[at])
            continue;
        place->offset += (size_t)s->channel[at] * bytes;
        pixel = s->graph->values[s->share[at]].shape.dim[CHANNELS];
    }
    place->stride[3] = pixel;
    place->stride[2] = pixel * v->shape.dim[3];
    place->stride[0] = place->stride[2] * v->shape.dim[2];
}

static void sharing_init(struct sharing *s, const struct cs_graph *graph, enum cs_cuda_type real)
{
    size_t count = (size_t)graph->value_count + 1;
    *s = (struct sharing){.graph = graph,
                          .real = real,
                          .last = cs_channels_last(graph),
                          .share = cs_xcalloc(count, sizeof *s->share),
                          .dense = cs_xcalloc(count, sizeof *s->dense),
                          .channel = cs_xcalloc(count, sizeof *s->channel),
                          .slice = cs_xcalloc(count, sizeof *s->slice),
                          .held = cs_xcalloc(count, sizeof *s->held),
                          .padded = cs_xcalloc(count, sizeof *s->padded)};
    for (int v = 0; v < graph->value_count; v++)
        s->share[v] = v;
    pad_inputs(s);
    share_views(s);
    share_results(s);
    share_slices(s);
}

static void sharing_release(struct sharing *s)
{
    free(s->last);
    free(s->share);
    free(s->dense);
    free(s->channel);
    free(s->slice);
    free(s->held);
    free(s->padded);
}

int cs_cuda_memory_plan(const struct cs_graph *graph, enum cs_precision precision,
                        struct cs_cuda_memory *memory, struct cs_err *err)
{
    struct sharing s;
    struct cs_memory_plan plan;
    sharing_init(&s, graph, precision == CS_FP16 ? CS_CUDA_F16 : CS_CUDA_F32);
    *memory = (struct cs_cuda_memory){.real = s.real};
    int result = cs_memory_plan_make_shared(graph, value_bytes, &s, s.share, NULL, &plan, err);
    if (result == 0) {
        memory->arena_bytes = plan.arena_bytes;
        memory->places = cs_xcalloc((size_t)graph->value_count + 1, sizeof *memory->places);
        for (int v = 0; v < graph->value_count; v++) {
            place_value(&s, v, &plan, &memory->places[v]);
            memory->places[v].view = s.share[v] != v && !s.slice[v] && s.dense[v];
        }
        cs_memory_plan_release(&plan);
    }
    sharing_release(&s);
    return result;
}

void cs_cuda_memory_release(struct cs_cuda_memory *memory)
{
    free(memory->places);
    *memory = (struct cs_cuda_memory){0};
}
