// SPDX-License-Identifier: MIT
// A slot: the memory of one concurrent batch, oneDNN's ops bound to it, and runs of plans in it, of
// images or of bare tensors.
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "backend/cpu/waves.h"
#include "backend/job_finish.h"
#include "backend/job_prepare.h"
#include "base/mem.h"

struct bound_plan {
    struct cs_plan *plan;
    struct cs_cpu_waves_state state;
};

struct cs_slot {
    struct cs_network *network;
    char *arena, *scratch;
    size_t arena_bytes, scratch_bytes;
    struct bound_plan *plans;
    int plan_count;
};

void cs_cpu_slot_close(struct cs_slot *slot)
{
    if (!slot)
        return;
    for (int p = 0; p < slot->plan_count; p++) {
        struct cs_cpu_waves_state *state = &slot->plans[p].state;
        for (int i = 0; state->bindings && i < slot->plans[p].plan->step_count; i++)
            cs_dnn_unbind(state->bindings[i]);
        free(state->bindings);
        free(state->left);
        free(state->next);
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
                                             .scratch = slot->scratch + step->shared};
        if (step->op && cs_dnn_bind(step->op, &memory, &bound->state.bindings[i], err) != 0)
            return -1;
    }
    cs_cpu_init_waves(plan, &bound->state);
    return 0;
}

int cs_cpu_slot_open(struct cs_network *network, struct cs_plan *const *plans, int plan_count,
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
        size_t steps = (size_t)plans[p]->step_count + 1;
        struct cs_cpu_waves_state *state = &made->plans[p].state;
        state->bindings = cs_xcalloc(steps, sizeof *state->bindings);
        state->left = cs_xcalloc(steps, sizeof *state->left);
        state->next = cs_xcalloc((size_t)plans[p]->piece_count + 1, sizeof *state->next);
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
        cs_cpu_slot_close(made);
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

    const struct cs_cpu_run run = {
        .arena = slot->arena, .scratch = slot->scratch, .kernels = slot->network->device->kernels};
    return cs_cpu_run_waves(plan, &run, &bound->state, err);
}

static void *place_of(const struct cs_slot *slot, const struct cs_plan *plan, int value)
{
    const struct cs_cpu_run run = {.arena = slot->arena};
    return cs_cpu_at(&run, cs_cpu_place_of(plan, value));
}

int cs_cpu_run_jobs(struct cs_slot *slot, struct cs_plan *plan, struct cs_job *jobs, int n,
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

int cs_cpu_run_tensors(struct cs_slot *slot, struct cs_plan *plan, const void *const *inputs,
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
