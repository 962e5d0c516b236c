// SPDX-License-Identifier: MIT
// Backend "ref": the backend's functions around the operators of ref.h. Activations lie where the
// memory plan puts them, dense, in one arena a slot.
#include "backend/ref/ref.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/job_finish.h"
#include "backend/job_prepare.h"
#include "backend/ref/backend_ref.h"
#include "base/mem.h"

struct cs_device {
    int threads;
    char text[80];
};

struct cs_network {
    const struct cs_device *device;
};

struct cs_plan {
    struct cs_network *network;
    const struct cs_graph *graph;
    struct cs_memory_plan memory;
    bool half; // every value is rounded to binary16: arithmetic of other devices, for `fake`
};

struct cs_slot {
    unsigned char *arena;
    size_t bytes;
};

// ---- Device, network -----------------------------------------------------------------------

static int ref_device_open(const struct cs_device_options *options, struct cs_device **device,
                           struct cs_err *err)
{
    (void)err;
    struct cs_device *d = cs_xcalloc(1, sizeof *d);
    d->threads = options && options->threads > 0 ? options->threads : cs_usable_threads();
    snprintf(d->text, sizeof d->text, "ref: plain loops, %d threads", d->threads);
    *device = d;
    return 0;
}

static void ref_device_close(struct cs_device *device)
{
    free(device);
}

static const char *ref_device_text(const struct cs_device *device)
{
    return device->text;
}

static int ref_network_open(struct cs_device *device, struct cs_network **network,
                            struct cs_err *err)
{
    (void)err;
    *network = cs_xcalloc(1, sizeof **network);
    (*network)->device = device;
    return 0;
}

static void ref_network_close(struct cs_network *network)
{
    free(network);
}

// ---- Plan, slot ----------------------------------------------------------------------------

static int ref_plan_open(struct cs_network *network, const struct cs_graph *graph,
                         enum cs_precision precision, bool direct, struct cs_plan **plan,
                         struct cs_err *err)
{
    (void)direct; // always
    if (cs_backend_check(&cs_backend_ref, graph, err) < 0)
        return -1;
    struct cs_plan *p = cs_xcalloc(1, sizeof *p);
    p->network = network;
    p->graph = graph;
    p->half = precision == CS_FP16;
    if (cs_memory_plan_make(graph, NULL, NULL, &p->memory, err) < 0) {
        free(p);
        return -1;
    }
    *plan = p;
    return 0;
}

static void ref_plan_close(struct cs_plan *plan)
{
    if (!plan)
        return;
    cs_memory_plan_release(&plan->memory);
    free(plan);
}

static struct cs_memory_use ref_plan_memory(const struct cs_plan *plan)
{
    struct cs_memory_use use = {.arena = plan->memory.arena_bytes};
    for (int v = 0; v < plan->graph->value_count; v++) {
        const struct cs_value *value = &plan->graph->values[v];
        if (value->data && value->uses > 0)
            use.weights += (size_t)cs_shape_elements(&value->shape) * cs_type_bytes(value->type);
    }
    use.packed = use.weights; // as they were read
    return use;
}

static int ref_slot_open(struct cs_network *network, struct cs_plan *const *plans, int plan_count,
                         struct cs_slot **slot, struct cs_err *err)
{
    (void)network;
    struct cs_slot *s = cs_xcalloc(1, sizeof *s);
    for (int i = 0; i < plan_count; i++)
        if (plans[i]->memory.arena_bytes > s->bytes)
            s->bytes = plans[i]->memory.arena_bytes;
    s->arena = cs_alloc(s->bytes, 1, "activations", err);
    if (!s->arena) {
        free(s);
        return -1;
    }
    *slot = s;
    return 0;
}

static void ref_slot_close(struct cs_slot *slot)
{
    if (!slot)
        return;
    free(slot->arena);
    free(slot);
}

// ---- Run -----------------------------------------------------------------------------------

// NULL for values without memory: empty ones, and those that nobody reads.
static void *place_of(const struct cs_slot *slot, const struct cs_plan *plan, int value)
{
    size_t offset = plan->memory.offset[value];
    return offset == SIZE_MAX ? NULL : slot->arena + offset;
}

static const void *tensor_of(const struct cs_slot *slot, const struct cs_plan *plan, int value)
{
    const void *data = plan->graph->values[value].data;
    return data ? data : place_of(slot, plan, value);
}

// The nearest value of binary16, ties to even; above 65504 infinite.
static float round_half(float x)
{
    float size = fabsf(x);
    if (!(size < 65520.0F))
        return isnan(x) ? x : copysignf(INFINITY, x);
    int exponent;
    frexpf(size, &exponent);
    int last = exponent < -13 ? -24 : exponent - 11; // of the significand's last bit
    return ldexpf(rintf(ldexpf(x, -last)), last);
}

static void round_value(const struct cs_plan *plan, int value, void *data)
{
    const struct cs_value *v = &plan->graph->values[value];
    int64_t count = v->type == CS_TYPE_F32 ? cs_shape_elements(&v->shape) : 0;
    float *x = data;
    if (!plan->half)
        return;
#pragma omp parallel for
    for (int64_t i = 0; i < count; i++)
        x[i] = round_half(x[i]);
}

static int run_node(const struct cs_slot *slot, const struct cs_plan *plan,
                    const struct cs_node *node, struct cs_err *err)
{
    struct cs_ref_call call = {.graph = plan->graph, .node = node};
    for (int i = 0; i < node->input_count; i++)
        call.in[i] = node->inputs[i] < 0 ? NULL : tensor_of(slot, plan, node->inputs[i]);
    for (int i = 0; i < node->output_count; i++)
        call.out[i] = node->outputs[i] < 0 ? NULL : place_of(slot, plan, node->outputs[i]);
    call.add = node->fusion.add < 0 ? NULL : tensor_of(slot, plan, node->fusion.add);
    if (cs_ref_run(&call, err) < 0)
        return -1;
    for (int i = 0; i < node->output_count; i++)
        if (call.out[i])
            round_value(plan, node->outputs[i], call.out[i]);
    return 0;
}

static int run_graph(const struct cs_slot *slot, const struct cs_plan *plan, struct cs_err *err)
{
    if (slot->bytes < plan->memory.arena_bytes)
        return cs_fail(err, CS_EDEVICE, "the slot was opened for smaller plans");
    omp_set_num_threads(plan->network->device->threads);
    for (int i = 0; i < plan->graph->input_count; i++)
        round_value(plan, plan->graph->inputs[i], place_of(slot, plan, plan->graph->inputs[i]));
    for (int n = 0; n < plan->graph->node_count; n++)
        if (run_node(slot, plan, &plan->graph->nodes[n], err) < 0)
            return -1;
    return 0;
}

static size_t value_bytes(const struct cs_value *value)
{
    return (size_t)cs_shape_elements(&value->shape) * cs_type_bytes(value->type);
}

static int ref_run_tensors(struct cs_slot *slot, struct cs_plan *plan, const void *const *inputs,
                           void *const *outputs, struct cs_err *err)
{
    const struct cs_graph *graph = plan->graph;
    for (int i = 0; i < graph->input_count; i++) {
        void *place = place_of(slot, plan, graph->inputs[i]);
        if (place)
            memcpy(place, inputs[i], value_bytes(&graph->values[graph->inputs[i]]));
    }
    if (run_graph(slot, plan, err) < 0)
        return -1;
    for (int i = 0; i < graph->output_count; i++) {
        const void *tensor = tensor_of(slot, plan, graph->outputs[i]);
        if (tensor)
            memcpy(outputs[i], tensor, value_bytes(&graph->values[graph->outputs[i]]));
    }
    return 0;
}

static int ref_run(struct cs_slot *slot, struct cs_plan *plan, struct cs_job *jobs, int n,
                   struct cs_err *err)
{
    const struct cs_graph *graph = plan->graph;
    const struct cs_shape *in = &graph->values[graph->inputs[0]].shape;
    if (graph->input_count != 1 || in->rank != 4 || n > in->dim[0] ||
        in->dim[1] > CS_JOB_MAX_CHANNELS)
        return cs_fail(err, CS_EMODEL, "jobs need one input of N,C,H,W");
    int64_t plane = in->dim[2] * in->dim[3], item = in->dim[1] * plane;
    float *source = place_of(slot, plan, graph->inputs[0]);
    memset(source, 0, value_bytes(&graph->values[graph->inputs[0]]));
    for (int i = 0; i < n; i++)
        cs_job_prepare(&jobs[i], source + i * item, (int)in->dim[3], (int)in->dim[2],
                       (int)in->dim[1], 1, in->dim[3], plane);
    if (run_graph(slot, plan, err) < 0)
        return -1;
    struct cs_job_plane planes[CS_JOB_MAX_OUTPUTS];
    int count = graph->output_count < CS_JOB_MAX_OUTPUTS ? graph->output_count : CS_JOB_MAX_OUTPUTS;
    for (int i = 0; i < count; i++) {
        int output = graph->outputs[i];
        planes[i] = cs_job_plane_of(&graph->values[output], tensor_of(slot, plan, output), NULL);
    }
    return cs_job_finish_batch(jobs, n, planes, count, err);
}

const struct cs_backend cs_backend_ref = {
    .name = "ref",
    .device_open = ref_device_open,
    .device_close = ref_device_close,
    .device_text = ref_device_text,
    .precisions = cs_precisions_fp32,
    .passes = CS_PASSES_FUSION,
    .supports = cs_ref_supports,
    .network_open = ref_network_open,
    .network_close = ref_network_close,
    .plan_open = ref_plan_open,
    .plan_close = ref_plan_close,
    .plan_memory = ref_plan_memory,
    .slot_open = ref_slot_open,
    .slot_close = ref_slot_close,
    .run = ref_run,
    .run_tensors = ref_run_tensors,
};
