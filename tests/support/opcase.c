// SPDX-License-Identifier: MIT
#include "opcase.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/element.h"

enum { GUARD = 256, GUARD_BYTE = 0xa5 }; // bytes before and behind each output

void opcase_init(struct opcase *c, int opset, uint64_t seed)
{
    *c = (struct opcase){.random = seed * 0x9e3779b97f4a7c15u + 1};
    cs_graph_init(&c->graph, opset);
}

void opcase_release(struct opcase *c)
{
    cs_graph_release(&c->graph);
}

// splitmix64 (Steele, Lea, Flood 2014)
static uint64_t next(struct opcase *c)
{
    uint64_t z = (c->random += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

double opcase_random(struct opcase *c, double low, double high)
{
    return low + (high - low) * (double)(next(c) >> 11) * 0x1p-53;
}

int64_t opcase_pick(struct opcase *c, int64_t low, int64_t high)
{
    return low + (int64_t)(next(c) % (uint64_t)(high - low + 1));
}

static float *random_data(struct opcase *c, const struct cs_shape *shape, double low, double high)
{
    int64_t count = cs_shape_elements(shape) < 0 ? 0 : cs_shape_elements(shape);
    float *data = cs_arena_alloc(&c->graph.arena, (size_t)count + 1, sizeof *data);
    for (int64_t i = 0; i < count; i++)
        data[i] = (float)opcase_random(c, low, high);
    return data;
}

static int fresh(struct opcase *c, const struct cs_shape *shape, enum cs_type type,
                 const void *data)
{
    char name[32];
    snprintf(name, sizeof name, "v%d", c->graph.value_count);
    int value = data ? cs_graph_add_constant(&c->graph, name, type, shape, data)
                     : cs_graph_add_value(&c->graph, name, type, shape);
    c->pending[c->pending_count++] = value;
    return value;
}

// The data must live as long as the case.
static int add_input(struct opcase *c, enum cs_type type, const struct cs_shape *shape,
                     const void *data)
{
    int value = fresh(c, shape, type, NULL);
    c->shapes[c->graph.input_count] = *shape;
    c->data[c->graph.input_count] = data;
    cs_graph_add_input(&c->graph, value);
    return value;
}

int opcase_input_data(struct opcase *c, const struct cs_shape *shape, const float *data)
{
    int64_t count = cs_shape_elements(shape) < 0 ? 0 : cs_shape_elements(shape);
    return add_input(c, CS_TYPE_F32, shape,
                     cs_arena_copy(&c->graph.arena, data, (size_t)count * sizeof *data));
}

int opcase_tensor(struct opcase *c, bool constant, enum cs_type type, const struct cs_shape *shape,
                  const double *values)
{
    int64_t count = cs_shape_elements(shape);
    void *data = cs_arena_alloc(&c->graph.arena, (size_t)count + 1, cs_type_bytes(type));
    cs_store_reals(type, data, 0, count, values);
    return constant ? fresh(c, shape, type, data) : add_input(c, type, shape, data);
}

int opcase_input(struct opcase *c, const struct cs_shape *shape)
{
    return opcase_input_data(c, shape, random_data(c, shape, -1, 1));
}

int opcase_weight_data(struct opcase *c, const struct cs_shape *shape, const float *data)
{
    size_t bytes = (size_t)cs_shape_elements(shape) * sizeof *data;
    return fresh(c, shape, CS_TYPE_F32, cs_arena_copy(&c->graph.arena, data, bytes));
}

int opcase_weight_range(struct opcase *c, const struct cs_shape *shape, double low, double high)
{
    return fresh(c, shape, CS_TYPE_F32, random_data(c, shape, low, high));
}

int opcase_weight(struct opcase *c, const struct cs_shape *shape)
{
    return opcase_weight_range(c, shape, -1, 1);
}

int opcase_ints(struct opcase *c, const int64_t *values, int count)
{
    return fresh(c, SHAPE(count), CS_TYPE_I64,
                 cs_arena_copy(&c->graph.arena, values, (size_t)count * sizeof *values));
}

int opcase_scalar(struct opcase *c, int64_t value)
{
    const struct cs_shape none = {0, {0}};
    return fresh(c, &none, CS_TYPE_I64, cs_arena_copy(&c->graph.arena, &value, sizeof value));
}

void opcase_value(struct opcase *c, int value)
{
    c->pending[c->pending_count++] = value;
}

struct cs_node *opcase_node(struct opcase *c, const char *op, int outputs)
{
    int made[CS_MAX_NODE_IO], inputs[CS_MAX_NODE_IO], count = c->pending_count;
    memcpy(inputs, c->pending, (size_t)count * sizeof *inputs);
    for (int i = 0; i < outputs; i++)
        made[i] = fresh(c, NULL, CS_TYPE_NONE, NULL);
    c->pending_count = 0;
    c->graph.output_count = 0;
    for (int i = 0; i < outputs; i++)
        cs_graph_add_output(&c->graph, made[i]);
    return cs_graph_add_node(&c->graph, op, op, inputs, count, made, outputs);
}

int opcase_last(const struct opcase *c)
{
    return c->graph.outputs[0];
}

// ---- Running -------------------------------------------------------------------------------

struct session {
    const struct cs_backend *backend;
    struct cs_graph concrete;
    struct cs_device *device;
    struct cs_network *network;
    struct cs_plan *plan;
    struct cs_slot *slot;
};

static int session_open(struct session *s, const struct opcase *c, struct cs_err *err)
{
    struct cs_device_options options = {.threads = c->threads ? c->threads : 2};
    if (cs_graph_infer(&c->graph, c->shapes, &s->concrete, err) < 0)
        return -1;
    if (c->fused && cs_graph_run_passes(&s->concrete, s->backend->passes, err) < 0)
        return -1;
    return s->backend->device_open(&options, &s->device, err) < 0 ||
                   s->backend->network_open(s->device, &s->network, err) < 0 ||
                   s->backend->plan_open(s->network, &s->concrete, c->precision, c->direct,
                                         &s->plan, err) < 0 ||
                   s->backend->slot_open(s->network, &s->plan, 1, &s->slot, err) < 0
               ? -1
               : 0;
}

static void session_close(struct session *s)
{
    s->backend->slot_close(s->slot);
    s->backend->plan_close(s->plan);
    s->backend->network_close(s->network);
    s->backend->device_close(s->device);
    cs_graph_release(&s->concrete);
}

static const struct cs_value *output_of(const struct session *s, int i)
{
    return &s->concrete.values[s->concrete.outputs[i]];
}

static size_t output_bytes(const struct session *s, int i)
{
    size_t bytes = (size_t)cs_shape_elements(&output_of(s, i)->shape);
    bytes *= cs_type_bytes(output_of(s, i)->type);
    return (bytes + 7) / 8 * 8 + 2 * GUARD;
}

// The outputs without their guards, which must be intact.
static double *collect(const struct session *s, const unsigned char *guarded, int64_t *elements,
                       struct cs_err *err)
{
    *elements = 0;
    for (int i = 0; i < s->concrete.output_count; i++)
        *elements += cs_shape_elements(&output_of(s, i)->shape);
    double *result = cs_xcalloc((size_t)*elements + 1, sizeof *result);
    int64_t at = 0;
    for (int i = 0; i < s->concrete.output_count; i++) {
        const struct cs_value *value = output_of(s, i);
        int64_t count = cs_shape_elements(&value->shape);
        const unsigned char *behind = guarded + GUARD + (size_t)count * cs_type_bytes(value->type);
        for (int g = 0; g < GUARD; g++)
            if (guarded[g] != GUARD_BYTE || behind[g] != GUARD_BYTE) {
                cs_fail(err, CS_EDEVICE, "%s wrote outside output %d", s->backend->name, i);
                free(result);
                return NULL;
            }
        cs_load_reals(value->type, guarded + GUARD, 0, 1, count, result + at);
        at += count;
        guarded += output_bytes(s, i);
    }
    return result;
}

static double *session_run(struct session *s, const struct opcase *c, int64_t *elements,
                           struct cs_err *err)
{
    void *outputs[CS_MAX_NODE_IO];
    size_t total = 0;
    for (int i = 0; i < s->concrete.output_count; i++)
        total += output_bytes(s, i);
    unsigned char *guarded = cs_xcalloc(total, 1), *at = guarded;
    memset(guarded, GUARD_BYTE, total);
    for (int i = 0; i < s->concrete.output_count; i++) {
        outputs[i] = at + GUARD;
        at += output_bytes(s, i);
    }
    double *result = NULL;
    // Twice: what the first run leaves behind must not change the second.
    if (s->backend->run_tensors(s->slot, s->plan, c->data, outputs, err) == 0 &&
        s->backend->run_tensors(s->slot, s->plan, c->data, outputs, err) == 0)
        result = collect(s, guarded, elements, err);
    free(guarded);
    return result;
}

double *opcase_values(const struct opcase *c, const char *backend, int64_t *elements,
                      struct cs_err *err)
{
    bool own = c->own && strcmp(c->own->name, backend) == 0;
    struct session s = {.backend = own ? c->own : cs_backend_get(backend, err)};
    double *result = NULL;
    if (!s.backend)
        return NULL;
    if (session_open(&s, c, err) == 0)
        result = session_run(&s, c, elements, err);
    session_close(&s);
    return result;
}

float *opcase_run(const struct opcase *c, const char *backend, int64_t *elements,
                  struct cs_err *err)
{
    double *values = opcase_values(c, backend, elements, err);
    float *result = values ? cs_xcalloc((size_t)*elements + 1, sizeof *result) : NULL;
    for (int64_t i = 0; values && i < *elements; i++)
        result[i] = (float)values[i];
    free(values);
    return result;
}

double opcase_difference(const struct opcase *c, const char *backend, const char *oracle,
                         struct cs_err *err)
{
    int64_t count = 0, same = 0;
    double error = 0, norm = 0;
    float *expected = opcase_run(c, oracle, &count, err);
    float *got = expected ? opcase_run(c, backend, &same, err) : NULL;
    if (got && same == count)
        for (int64_t i = 0; i < count; i++) {
            double difference = (double)got[i] - (double)expected[i];
            error += difference * difference;
            norm += (double)expected[i] * (double)expected[i];
        }
    free(expected);
    free(got);
    if (!got || same != count)
        return -1;
    return norm > 0 ? sqrt(error / norm) : sqrt(error);
}
