// SPDX-License-Identifier: MIT
// The backend "cpu": kernels of our own for most convolutions and for what else takes time, oneDNN
// for the other convolutions, the plain loops of "ref" for the rest.
#include "backend/cpu/cpu.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/backend_cpu.h"
#include "backend/cpu/peak.h"
#include "backend/job_finish.h"
#include "backend/job_prepare.h"
#include "backend/order.h"
#include "backend/ref/ref.h"
#include "base/mem.h"

enum { ALIGNMENT = 64 };

static const struct cs_cpu_op *const tables[] = {
    cs_cpu_conv_ops,       cs_cpu_norm_ops,   cs_cpu_pool_ops,   cs_cpu_element_ops,
    cs_cpu_move_ops,       cs_cpu_reduce_ops, cs_cpu_resize_ops, cs_cpu_matmul_ops,
    cs_cpu_layer_norm_ops, cs_cpu_pad_ops,    cs_cpu_typed_ops,  cs_cpu_attention_ops,
};

// ---- Device ------------------------------------------------------------------------------

static void processor_name(char *name, size_t size)
{
    snprintf(name, size, "CPU");
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (!file)
        return;
    char line[256];
    while (fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon && colon[1]) {
            colon[strcspn(colon, "\n")] = '\0';
            snprintf(name, size, "%s", colon + 2);
            break;
        }
    }
    fclose(file);
}

static int device_open(const struct cs_device_options *options, struct cs_device **device,
                       struct cs_err *err)
{
    struct cs_device *made = cs_xcalloc(1, sizeof *made);
    made->kernels = cs_kernels_pick(err);
    if (!made->kernels || cs_dnn_open(&made->dnn, cs_isa_limit(), err) != 0) {
        free(made);
        return -1;
    }
    made->caches = cs_winograd_find_caches();
    made->threads = options && options->threads > 0 ? options->threads : cs_usable_threads();
    char name[128];
    processor_name(name, sizeof name);
    snprintf(made->text, sizeof made->text, "cpu: %s, %d thread%s, %s, %s", name, made->threads,
             made->threads == 1 ? "" : "s", made->kernels->name, cs_dnn_text());
    *device = made;
    return 0;
}

static void device_close(struct cs_device *device)
{
    if (!device)
        return;
    cs_dnn_close(device->dnn);
    free(device);
}

static const char *device_text(const struct cs_device *device)
{
    return device->text;
}

// ---- Network -----------------------------------------------------------------------------

static int network_open(struct cs_device *device, struct cs_network **network, struct cs_err *err)
{
    (void)err;
    *network = cs_xcalloc(1, sizeof **network);
    (*network)->device = device;
    return 0;
}

static void network_close(struct cs_network *network)
{
    if (!network)
        return;
    cs_cpu_slab_trim(network);
    free(network->packed); // empty: plans are closed before their network
    free(network);
}

// ---- Plan --------------------------------------------------------------------------------

static const struct cs_cpu_op *op_find(const char *name, bool *typed)
{
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const struct cs_cpu_op *op = tables[t]; op->name; op++)
            if (strcmp(op->name, name) == 0) {
                *typed = tables[t] == cs_cpu_typed_ops;
                return op;
            }
    return NULL;
}

// Whether a kernel can work on the tensor: there is something in it, of the right type.
static bool workable(const struct cs_value *value, bool typed)
{
    return (typed || value->type == CS_TYPE_F32) && cs_shape_elements(&value->shape) > 0;
}

const struct cs_cpu_op *cs_cpu_op_of(const struct cs_graph *graph, const struct cs_node *node)
{
    char why[160];
    bool typed;
    const struct cs_cpu_op *op = op_find(node->op, &typed);
    if (!op)
        return NULL;
    for (int i = 0; i < node->output_count; i++) {
        const struct cs_value *value = cs_node_output(graph, node, i);
        if (value && value->uses > 0 && !workable(value, typed))
            return NULL;
    }
    for (int i = 0; i < node->input_count; i++) {
        const struct cs_value *value = cs_node_input(graph, node, i);
        if (value && !value->data && !workable(value, typed))
            return NULL;
    }
    return !op->supports || op->supports(graph, node, why, sizeof why) ? op : NULL;
}

static bool supports(const struct cs_graph *graph, const struct cs_node *node, char *why,
                     size_t why_size)
{
    struct cs_cpu_activation activation;
    if (!cs_cpu_activation_of(&node->fusion, &activation)) {
        snprintf(why, why_size, "activation %s not supported", node->fusion.activation);
        return false;
    }
    return cs_cpu_op_of(graph, node) || cs_ref_supports(graph, node, why, why_size);
}

struct cs_cpu_place cs_cpu_place_of(const struct cs_plan *plan, int value)
{
    const struct cs_value *v = &plan->graph->values[value];
    if (v->data)
        return (struct cs_cpu_place){.constant = v->in_file ? cs_cpu_plain(plan, v) : v->data};
    return (struct cs_cpu_place){.offset = plan->memory.offset[value]};
}

void cs_cpu_strides_of(const struct cs_plan *plan, int value, int64_t stride[CS_MAX_RANK])
{
    cs_nd_dense(&plan->graph->values[value].shape, plan->channels_last[value], stride);
}

void *cs_cpu_params(struct cs_plan *plan, size_t bytes)
{
    return cs_arena_alloc(&plan->params, 1, bytes);
}

struct cs_cpu_place cs_cpu_reserve(struct cs_plan *plan, size_t bytes)
{
    size_t offset = (plan->memory.arena_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    plan->memory.arena_bytes = offset + bytes;
    return (struct cs_cpu_place){.offset = offset};
}

void cs_cpu_need_scratch(struct cs_plan *plan, size_t bytes)
{
    plan->scratch_bytes = bytes > plan->scratch_bytes ? bytes : plan->scratch_bytes;
}

struct cs_cpu_step *cs_cpu_add_step(struct cs_plan *plan, const struct cs_node *node,
                                    int (*run)(const struct cs_cpu_step *,
                                               const struct cs_cpu_run *, struct cs_err *),
                                    const void *params)
{
    if (plan->step_count == plan->step_capacity) {
        plan->step_capacity = plan->step_capacity ? 2 * plan->step_capacity : 256;
        plan->steps = cs_xrealloc(plan->steps, (size_t)plan->step_capacity, sizeof *plan->steps);
    }
    struct cs_cpu_step *step = &plan->steps[plan->step_count++];
    *step = (struct cs_cpu_step){.run = run, .params = params, .node = node};
    return step;
}

struct cs_cpu_step *cs_cpu_add_op(struct cs_plan *plan, const struct cs_node *node,
                                  struct cs_dnn_op *op)
{
    struct cs_cpu_step *step = cs_cpu_add_step(plan, node, NULL, NULL);
    step->op = op;
    cs_cpu_need_scratch(plan, cs_dnn_op_scratch_bytes(op));
    return step;
}

static size_t value_bytes(const struct cs_graph *graph, int value, void *context)
{
    (void)context;
    int64_t count = cs_shape_elements(&graph->values[value].shape);
    return count < 0 ? 0 : (size_t)count * cs_type_bytes(graph->values[value].type);
}

static void plan_close(struct cs_plan *plan)
{
    if (!plan)
        return;
    for (int i = 0; i < plan->step_count; i++)
        cs_dnn_op_free(plan->steps[i].op);
    cs_dnn_forget();
    free(plan->steps);
    free(plan->seconds);
    free(plan->channels_last);
    free(plan->late);
    cs_cpu_drop_packed(plan);
    cs_memory_plan_release(&plan->memory);
    cs_arena_release(&plan->params);
    free(plan);
}

static int build_node(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    char why[160];
    if (!supports(plan->graph, node, why, sizeof why))
        return cs_fail(err, CS_EMODEL, "node %s (%s): %s", node->name, node->op, why);
    const struct cs_cpu_op *op = cs_cpu_op_of(plan->graph, node);
    int result = 0;
    for (int i = 0; !op && result == 0 && i < node->input_count; i++) {
        const struct cs_value *in = cs_node_input(plan->graph, node, i);
        if (in && in->in_file)
            result = cs_cpu_need_plain(plan, in, err);
    }
    if (op)
        result = op->build(plan, node, err);
    else if (result == 0)
        cs_cpu_build_plain(plan, node);
    if (result == 0 && op && !op->fuses)
        result = cs_cpu_build_fusion(plan, node, true, err);
    return result == 0 ? 0 : cs_err_context(err, "node %s (%s)", node->name, node->op);
}

// oneDNN counts the pixels of a plane in an int.
static int check_planes(const struct cs_graph *graph, struct cs_err *err)
{
    for (int v = 0; v < graph->value_count; v++) {
        const struct cs_value *value = &graph->values[v];
        const int64_t *dim = value->shape.dim;
        if (value->shape.rank == 4 && !value->data && dim[2] * dim[3] > INT32_MAX)
            return cs_fail(err, CS_EMODEL, "%s: a plane of %lld x %lld has more than %d pixels",
                           value->name, (long long)dim[3], (long long)dim[2], INT32_MAX);
    }
    return 0;
}

static int plan_open(struct cs_network *network, const struct cs_graph *graph,
                     enum cs_precision precision, bool direct, struct cs_plan **plan,
                     struct cs_err *err)
{
    (void)precision; // fp32, the only one
    if (check_planes(graph, err) != 0)
        return -1;
    struct cs_plan *made = cs_xcalloc(1, sizeof *made);
    made->network = network;
    made->graph = graph;
    made->direct = direct;
    made->channels_last = cs_channels_last(graph);
    omp_set_num_threads(network->device->threads); // oneDNN shares work out when it plans
    cs_cpu_find_late(made);
    int *share = cs_cpu_share(graph, made->channels_last);
    cs_cpu_leave_out(made, share);
    int result = cs_memory_plan_make_shared(graph, value_bytes, NULL, share, &made->memory, err);
    free(share);
    for (int i = 0; result == 0 && i < graph->node_count; i++)
        result = build_node(made, &graph->nodes[i], err);
    if (result != 0) {
        plan_close(made);
        return -1;
    }
    *plan = made;
    return 0;
}

static struct cs_memory_use plan_memory(const struct cs_plan *plan)
{
    return (struct cs_memory_use){.weights = plan->network->packed_bytes,
                                  .packed = cs_cpu_filled_bytes(plan->network),
                                  .arena = cs_cpu_slab_bytes(plan->memory.arena_bytes),
                                  .workspace = cs_cpu_slab_bytes(plan->scratch_bytes),
                                  .kept = plan->network->kept_bytes};
}

// ---- Slot --------------------------------------------------------------------------------

struct bound_plan {
    struct cs_plan *plan;
    struct cs_dnn_binding **bindings; // of each step, NULL without oneDNN
};

struct cs_slot {
    struct cs_network *network;
    char *arena, *scratch;
    size_t arena_bytes, scratch_bytes;
    struct bound_plan *plans;
    int plan_count;
};

static void slot_close(struct cs_slot *slot)
{
    if (!slot)
        return;
    for (int p = 0; p < slot->plan_count; p++) {
        for (int i = 0; slot->plans[p].bindings && i < slot->plans[p].plan->step_count; i++)
            cs_dnn_unbind(slot->plans[p].bindings[i]);
        free(slot->plans[p].bindings);
    }
    free(slot->plans);
    cs_cpu_slab_give(slot->network, CS_CPU_SLAB_ARENA, slot->arena, slot->arena_bytes);
    cs_cpu_slab_give(slot->network, CS_CPU_SLAB_SCRATCH, slot->scratch, slot->scratch_bytes);
    free(slot);
}

static int bind_plan(struct cs_slot *slot, struct bound_plan *bound, struct cs_err *err)
{
    const struct cs_plan *plan = bound->plan;
    const struct cs_cpu_run at = {.arena = slot->arena};
    for (int i = 0; i < plan->step_count; i++) {
        const struct cs_cpu_step *step = &plan->steps[i];
        const struct cs_dnn_memory memory = {.src = cs_cpu_at(&at, step->src),
                                             .weights = cs_cpu_at(&at, step->weights),
                                             .bias = step->bias.constant,
                                             .dst = cs_cpu_at(&at, step->dst),
                                             .scratch = slot->scratch};
        if (step->op && cs_dnn_bind(step->op, &memory, &bound->bindings[i], err) != 0)
            return -1;
    }
    return 0;
}

static int slot_open(struct cs_network *network, struct cs_plan *const *plans, int plan_count,
                     struct cs_slot **slot, struct cs_err *err)
{
    if (cs_cpu_fill_packed(plans, plan_count, err) != 0)
        return -1;
    struct cs_slot *made = cs_xcalloc(1, sizeof *made);
    made->network = network;
    made->plan_count = plan_count;
    made->plans = cs_xcalloc((size_t)plan_count, sizeof *made->plans);
    size_t arena = 0, scratch = 0;
    for (int p = 0; p < plan_count; p++) {
        made->plans[p].plan = plans[p];
        made->plans[p].bindings =
            cs_xcalloc((size_t)plans[p]->step_count + 1, sizeof *made->plans[p].bindings);
        arena = plans[p]->memory.arena_bytes > arena ? plans[p]->memory.arena_bytes : arena;
        scratch = plans[p]->scratch_bytes > scratch ? plans[p]->scratch_bytes : scratch;
    }
    made->arena_bytes = arena;
    made->scratch_bytes = scratch;
    made->arena = cs_cpu_slab_take(network, CS_CPU_SLAB_ARENA, arena, err);
    made->scratch =
        made->arena ? cs_cpu_slab_take(network, CS_CPU_SLAB_SCRATCH, scratch, err) : NULL;
    int result = made->scratch ? 0 : -1;
    for (int p = 0; result == 0 && p < plan_count; p++)
        result = bind_plan(made, &made->plans[p], err);
    if (result != 0) {
        slot_close(made);
        return -1;
    }
    *slot = made;
    return 0;
}

// ---- Running -----------------------------------------------------------------------------

static int run_steps(struct cs_slot *slot, struct cs_plan *plan, struct cs_err *err)
{
    struct bound_plan *bound = NULL;
    for (int p = 0; p < slot->plan_count; p++)
        bound = slot->plans[p].plan == plan ? &slot->plans[p] : bound;
    if (!bound)
        return cs_fail(err, CS_EDEVICE, "cpu: the slot was not opened for this plan");

    struct cs_cpu_run run = {slot->arena, slot->scratch, slot->network->device->kernels};
    double now = cs_cpu_profile_now(plan);
    for (int i = 0; i < plan->step_count; i++) {
        const struct cs_cpu_step *step = &plan->steps[i];
        int result = step->op ? cs_dnn_run(bound->bindings[i], err) : step->run(step, &run, err);
        if (result != 0) // the plain loops name the node themselves
            return step->kernel
                       ? -1
                       : cs_err_context(err, "node %s (%s)", step->node->name, step->node->op);
        now = cs_cpu_profile_add(plan, i + 1, now);
    }
    return 0;
}

static void *place_of(const struct cs_slot *slot, const struct cs_plan *plan, int value)
{
    const struct cs_cpu_run run = {.arena = slot->arena};
    return cs_cpu_at(&run, cs_cpu_place_of(plan, value));
}

static int run_jobs(struct cs_slot *slot, struct cs_plan *plan, struct cs_job *jobs, int n,
                    struct cs_err *err)
{
    const struct cs_graph *graph = plan->graph;
    const struct cs_shape *in = &graph->values[graph->inputs[0]].shape;
    if (graph->input_count != 1 || in->rank != 4 || n > in->dim[0])
        return cs_fail(err, CS_EMODEL, "cpu: images need one input N, C, H, W");

    omp_set_num_threads(slot->network->device->threads);
    double now = cs_cpu_profile_now(plan);
    int64_t stride[CS_MAX_RANK];
    float *src = (float *)place_of(slot, plan, graph->inputs[0]);
    cs_cpu_strides_of(plan, graph->inputs[0], stride);
    for (int i = 0; i < n; i++)
        cs_job_prepare(&jobs[i], src + i * stride[0], (int)in->dim[3], (int)in->dim[2],
                       (int)in->dim[1], stride[3], stride[2], stride[1]);
    memset(src + n * stride[0], 0, (size_t)((in->dim[0] - n) * stride[0]) * sizeof *src);
    cs_cpu_profile_add(plan, 0, now);
    if (run_steps(slot, plan, err) != 0)
        return -1;
    now = cs_cpu_profile_now(plan);
    struct cs_job_plane planes[CS_JOB_MAX_OUTPUTS];
    int count = graph->output_count < CS_JOB_MAX_OUTPUTS ? graph->output_count : CS_JOB_MAX_OUTPUTS;
    for (int i = 0; i < count; i++) {
        int output = graph->outputs[i];
        cs_cpu_strides_of(plan, output, stride);
        planes[i] = cs_job_plane_of(&graph->values[output], place_of(slot, plan, output), stride);
    }
    int result = cs_job_finish_batch(jobs, n, planes, count, err);
    cs_cpu_profile_add(plan, plan->step_count + 1, now);
    return result;
}

// Between a dense row-major tensor and the place of a value.
static void copy_tensor(const struct cs_slot *slot, const struct cs_plan *plan, int value,
                        const void *in, void *out)
{
    const struct cs_value *v = &plan->graph->values[value];
    void *place = place_of(slot, plan, value);
    if (cs_shape_elements(&v->shape) == 0)
        return;
    if (!plan->channels_last[value]) {
        memcpy(in ? place : out, in ? in : place,
               (size_t)cs_shape_elements(&v->shape) * cs_type_bytes(v->type));
        return;
    }
    int64_t inside[CS_MAX_RANK], outside[CS_MAX_RANK];
    cs_nd_dense(&v->shape, true, inside);
    cs_nd_dense(&v->shape, false, outside);
    struct cs_nd nd;
    cs_nd_init(&nd, &v->shape);
    cs_nd_add(&nd, in ? inside : outside);
    cs_nd_add(&nd, in ? outside : inside);
    cs_nd_simplify(&nd);
    float *base[] = {in ? place : out, in ? (void *)(uintptr_t)in : place};
    cs_nd_copy(&nd, base);
}

static int run_tensors(struct cs_slot *slot, struct cs_plan *plan, const void *const *inputs,
                       void *const *outputs, struct cs_err *err)
{
    const struct cs_graph *graph = plan->graph;
    omp_set_num_threads(slot->network->device->threads);
    for (int i = 0; i < graph->input_count; i++)
        copy_tensor(slot, plan, graph->inputs[i], inputs[i], NULL);
    if (run_steps(slot, plan, err) != 0)
        return -1;
    for (int i = 0; i < graph->output_count; i++)
        copy_tensor(slot, plan, graph->outputs[i], NULL, outputs[i]);
    return 0;
}

static void measure_peak(const struct cs_device *device, bool cpu_time, struct cs_peak *peak)
{
    omp_set_num_threads(device->threads);
    cs_cpu_peak(cpu_time, peak);
}

const struct cs_backend cs_backend_cpu = {
    .name = "cpu",
    .device_open = device_open,
    .device_close = device_close,
    .device_text = device_text,
    .precisions = cs_precisions_fp32,
    .passes = CS_PASSES_FUSION,
    .reads_file = true,
    .supports = supports,
    .network_open = network_open,
    .network_close = network_close,
    .plan_open = plan_open,
    .plan_close = plan_close,
    .plan_memory = plan_memory,
    .slot_open = slot_open,
    .slot_close = slot_close,
    .network_trim = cs_cpu_slab_trim,
    .run = run_jobs,
    .run_tensors = run_tensors,
    .peak = measure_peak,
    .profile_start = cs_cpu_profile_start,
    .profile_step = cs_cpu_profile_step,
};
