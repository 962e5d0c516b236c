// SPDX-License-Identifier: MIT
// A slot: the memory of one concurrent batch, a stream of its own, and for each plan a CUDA graph
// of all its steps. A run copies images up, prepares the network's input, replays the graph,
// finishes the maps and copies them down; the host waits once, for an event of this stream, asleep.
// Nothing waits for the device as a whole, so slots do not hear of each other.
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/dnn.h"
#include "backend/cuda/inside.h"
#include "base/clock.h"
#include "base/mem.h"

struct bound_plan {
    struct cs_plan *plan;
    cudaGraphExec_t graph;
};

// What the kernels tell and are told besides samples; copied up before and down after a batch.
struct block {
    uint32_t fault, unused[15];
    struct cs_cuda_job jobs[];
};

// Places of a batch on the stream: copies up are between the first two, copies down between the
// last two.
enum { MARK_START, MARK_UP, MARK_COMPUTED, MARK_DOWN, MARKS };

struct cs_slot {
    struct cs_network *network;
    struct cs_cuda_dnn *dnn;
    cudaStream_t stream;
    cudaEvent_t done, marks[MARKS]; // marks: for profiles
    char *arena, *scratch, *kept;
    uint32_t *counters;
    struct block *block, *device_block;
    size_t block_bytes;
    struct cs_cuda_stage in, out;
    struct bound_plan *plans;
    int plan_count;
};

// ---- Opening -----------------------------------------------------------------------------

void cs_cuda_slot_close(struct cs_slot *slot)
{
    if (!slot)
        return;
    cs_cuda_use(slot->network->device, NULL);
    if (slot->stream)
        cudaStreamSynchronize(slot->stream); // nothing may still use the memory
    for (int p = 0; p < slot->plan_count; p++)
        if (slot->plans[p].graph)
            cudaGraphExecDestroy(slot->plans[p].graph);
    free(slot->plans);
    cs_cuda_dnn_close(slot->dnn);
    cs_cuda_stage_release(&slot->in);
    cs_cuda_stage_release(&slot->out);
    cs_cuda_free(slot->arena);
    cs_cuda_free(slot->scratch);
    cs_cuda_free(slot->kept);
    cs_cuda_free(slot->counters);
    cs_cuda_free(slot->device_block);
    cs_cuda_free_pinned(slot->block);
    if (slot->done)
        cudaEventDestroy(slot->done);
    for (int i = 0; i < MARKS; i++)
        if (slot->marks[i])
            cudaEventDestroy(slot->marks[i]);
    if (slot->stream)
        cudaStreamDestroy(slot->stream);
    free(slot);
}

static struct cs_cuda_run run_of(const struct cs_slot *slot, const struct cs_plan *plan)
{
    return (struct cs_cuda_run){.plan = plan,
                                .arena = slot->arena,
                                .scratch = slot->scratch,
                                .kept = slot->kept,
                                .stream = slot->stream,
                                .dnn = slot->dnn,
                                .fault = &slot->device_block->fault,
                                .counters = slot->counters};
}

static int run_steps(const struct cs_slot *slot, const struct cs_plan *plan, struct cs_err *err)
{
    const struct cs_cuda_run run = run_of(slot, plan);
    for (int i = 0; i < plan->step_count; i++) {
        const struct cs_cuda_step *step = &plan->steps[i];
        int code = step->run(step, &run, err);
        if (code > 0)
            cs_cuda_check(code, "launching", err);
        if (code != 0)
            return cs_err_context(err, "node %s (%s)", step->node->name, step->node->op);
    }
    return 0;
}

// Steps run once before they are captured: kernels are loaded when they are first used, which a
// capture does not allow.
static int capture(struct cs_slot *slot, struct bound_plan *bound, struct cs_err *err)
{
    cudaGraph_t graph = NULL;
    if (run_steps(slot, bound->plan, err) != 0 ||
        cs_cuda_check((int)cudaStreamSynchronize(slot->stream), "first run", err) != 0 ||
        cs_cuda_check((int)cudaStreamBeginCapture(slot->stream, cudaStreamCaptureModeThreadLocal),
                      "capturing", err) != 0)
        return -1;
    int result = run_steps(slot, bound->plan, err);
    cudaError_t code = cudaStreamEndCapture(slot->stream, &graph);
    if (result == 0)
        result = cs_cuda_check((int)code, "capturing", err);
    if (result == 0)
        result = cs_cuda_check((int)cudaGraphInstantiate(&bound->graph, graph, 0),
                               "making a graph of the steps", err);
    if (result == 0)
        result = cs_cuda_check((int)cudaGraphUpload(bound->graph, slot->stream),
                               "uploading the graph", err);
    if (graph)
        cudaGraphDestroy(graph);
    return result;
}

static int open_stream(struct cs_slot *slot, struct cs_err *err)
{
    cudaError_t code = cudaStreamCreateWithFlags(&slot->stream, cudaStreamNonBlocking);
    if (code == cudaSuccess)
        code =
            cudaEventCreateWithFlags(&slot->done, cudaEventBlockingSync | cudaEventDisableTiming);
    for (int i = 0; i < MARKS && code == cudaSuccess; i++)
        code = cudaEventCreateWithFlags(&slot->marks[i], cudaEventBlockingSync);
    if (cs_cuda_check((int)code, "making a stream", err) != 0)
        return -1;
    return cs_cuda_dnn_open(&slot->dnn, slot->stream, err);
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t batch_of(const struct cs_plan *plan)
{
    if (plan->graph->input_count == 0)
        return 1;
    const struct cs_shape *in = &plan->graph->values[plan->graph->inputs[0]].shape;
    return in->rank > 0 ? (size_t)in->dim[0] : 1;
}

static int open_memory(struct cs_slot *slot, struct cs_plan *const *plans, struct cs_err *err)
{
    size_t arena = 0, scratch = 0, kept = 0, in = 0, out = 0, batch = 1;
    for (int p = 0; p < slot->plan_count; p++) {
        arena = larger(arena, plans[p]->memory.arena_bytes);
        scratch = larger(scratch, plans[p]->scratch_bytes);
        kept = larger(kept, plans[p]->kept_bytes);
        in = larger(in, cs_cuda_input_bytes(plans[p]));
        out = larger(out, cs_cuda_output_bytes(plans[p]));
        batch = larger(batch, batch_of(plans[p]));
    }
    slot->block_bytes = sizeof *slot->block + batch * sizeof *slot->block->jobs;
    if (!(slot->arena = cs_cuda_alloc(arena, "activations", err)) ||
        !(slot->scratch = cs_cuda_alloc(scratch, "workspace", err)) ||
        !(slot->kept = cs_cuda_alloc(kept, "statistics", err)) ||
        !(slot->counters =
              cs_cuda_alloc(CS_CUDA_COUNTERS * sizeof *slot->counters, "counters", err)) ||
        !(slot->device_block = cs_cuda_alloc(slot->block_bytes, "jobs", err)) ||
        !(slot->block = cs_cuda_alloc_pinned(slot->block_bytes, "jobs", err)) ||
        cs_cuda_stage_grow(&slot->in, in, false, "images", err) != 0 ||
        cs_cuda_stage_grow(&slot->out, out, false, "maps", err) != 0)
        return -1;
    // Indices that a step has not made yet must not point anywhere.
    cudaError_t code = cudaMemsetAsync(slot->arena, 0, arena, slot->stream);
    if (code == cudaSuccess)
        code = cudaMemsetAsync(slot->counters, 0, CS_CUDA_COUNTERS * sizeof *slot->counters,
                               slot->stream);
    if (code == cudaSuccess)
        code = cudaMemsetAsync(slot->device_block, 0, slot->block_bytes, slot->stream);
    return cs_cuda_check((int)code, "clearing memory", err);
}

int cs_cuda_slot_open(struct cs_network *network, struct cs_plan *const *plans, int plan_count,
                      struct cs_slot **slot, struct cs_err *err)
{
    struct cs_slot *made = cs_xcalloc(1, sizeof *made);
    made->network = network;
    made->plan_count = plan_count;
    made->plans = cs_xcalloc((size_t)plan_count + 1, sizeof *made->plans);
    int result = cs_cuda_use(network->device, err);
    if (result == 0)
        result = open_stream(made, err);
    if (result == 0)
        result = open_memory(made, plans, err);
    for (int p = 0; result == 0 && p < plan_count; p++) {
        made->plans[p].plan = plans[p];
        result = capture(made, &made->plans[p], err);
    }
    if (result == 0)
        result = cs_cuda_check((int)cudaStreamSynchronize(made->stream), "opening a slot", err);
    if (result != 0) {
        cs_cuda_slot_close(made);
        return -1;
    }
    *slot = made;
    return 0;
}

// ---- Running -----------------------------------------------------------------------------

static int replay(struct cs_slot *slot, const struct cs_plan *plan, struct cs_err *err)
{
    for (int p = 0; p < slot->plan_count; p++)
        if (slot->plans[p].plan == plan)
            return cs_cuda_check((int)cudaGraphLaunch(slot->plans[p].graph, slot->stream),
                                 "launching the network", err);
    return cs_fail(err, CS_EDEVICE, "cuda: the slot was not opened for this plan");
}

static int copy_up(struct cs_slot *slot, void *device, const void *host, size_t bytes,
                   struct cs_err *err)
{
    if (bytes == 0)
        return 0;
    return cs_cuda_check(
        (int)cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, slot->stream),
        "copying to the device", err);
}

static int copy_down(struct cs_slot *slot, void *host, const void *device, size_t bytes,
                     struct cs_err *err)
{
    if (bytes == 0)
        return 0;
    return cs_cuda_check(
        (int)cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, slot->stream),
        "copying from the device", err);
}

// Wait for everything that was put on the stream, and for the kernels' word that all was well.
static int wait_for(struct cs_slot *slot, struct cs_err *err)
{
    cudaError_t code = cudaEventRecord(slot->done, slot->stream);
    if (code == cudaSuccess)
        code = cudaEventSynchronize(slot->done);
    if (cs_cuda_check((int)code, "computing", err) != 0)
        return -1;
    return slot->block->fault ? cs_fail(err, CS_EMODEL,
                                        "cuda: an index outside its tensor, or a division of "
                                        "integers by 0")
                              : 0;
}

static int mark(struct cs_slot *slot, const struct cs_plan *plan, int place, struct cs_err *err)
{
    return plan->profile.on ? cs_cuda_check((int)cudaEventRecord(slot->marks[place], slot->stream),
                                            "timing", err)
                            : 0;
}

// Images on their way, and how.
struct load {
    const struct cs_job *jobs;
    int count;
    bool pinned; // all of them
    size_t up, down;
};

static int send_pixels(struct cs_slot *slot, const struct load *load, struct cs_err *err)
{
    return load->pinned ? cs_cuda_pinned_pixels(slot->stream, load->jobs, load->count,
                                                slot->block->jobs, err)
                        : copy_up(slot, slot->in.device, slot->in.host, load->up, err);
}

static int fetch_maps(struct cs_slot *slot, const struct load *load, struct cs_err *err)
{
    return load->pinned
               ? cs_cuda_pinned_maps(slot->stream, load->jobs, load->count, slot->block->jobs, err)
               : copy_down(slot, slot->out.host, slot->out.device, load->down, err);
}

static int queue_batch(struct cs_slot *slot, struct cs_plan *plan, const struct load *load,
                       struct cs_err *err)
{
    const struct cs_graph *graph = plan->graph;
    const struct cs_cuda_run run = run_of(slot, plan);
    struct cs_cuda_tensor input = cs_cuda_at(&run, graph->inputs[0]), planes[CS_JOB_MAX_OUTPUTS];
    int count = graph->output_count < CS_JOB_MAX_OUTPUTS ? graph->output_count : CS_JOB_MAX_OUTPUTS;
    for (int i = 0; i < count; i++)
        planes[i] = cs_cuda_at(&run, graph->outputs[i]);
    size_t block = sizeof *slot->block + (size_t)input.dim[0] * sizeof *slot->block->jobs;
    return mark(slot, plan, MARK_START, err) != 0 ||
                   copy_up(slot, slot->device_block, slot->block, block, err) != 0 ||
                   send_pixels(slot, load, err) != 0 || mark(slot, plan, MARK_UP, err) != 0 ||
                   cs_cuda_check(cs_cuda_prepare(slot->stream, slot->device_block->jobs, &input),
                                 "preparing images", err) != 0 ||
                   replay(slot, plan, err) != 0 ||
                   cs_cuda_check(cs_cuda_finish(slot->stream, slot->device_block->jobs,
                                                slot->block->jobs, (int)input.dim[0], planes,
                                                count),
                                 "finishing maps", err) != 0 ||
                   mark(slot, plan, MARK_COMPUTED, err) != 0 || fetch_maps(slot, load, err) != 0 ||
                   copy_down(slot, slot->block, slot->device_block, block, err) != 0 ||
                   mark(slot, plan, MARK_DOWN, err) != 0
               ? -1
               : 0;
}

// wait_for, and what the marks say.
static int wait_and_time(struct cs_slot *slot, struct cs_plan *plan, struct cs_err *err)
{
    struct cs_cuda_profile *p = &plan->profile;
    double start = cs_clock_seconds();
    int result = wait_for(slot, err);
    if (!p->on || result != 0)
        return result;
    p->wait += cs_clock_seconds() - start;
    double *const sums[] = {&p->upload, &p->compute, &p->download};
    for (int i = 0; i + 1 < MARKS; i++) {
        float ms = 0;
        cudaError_t code = cudaEventElapsedTime(&ms, slot->marks[i], slot->marks[i + 1]);
        if (cs_cuda_check((int)code, "timing", err) != 0)
            return -1;
        *sums[i] += (double)ms / 1e3;
    }
    return 0;
}

int cs_cuda_run_jobs(struct cs_slot *slot, struct cs_plan *plan, struct cs_job *jobs, int n,
                     struct cs_err *err)
{
    const struct cs_graph *graph = plan->graph;
    const struct cs_shape *in = &graph->values[graph->inputs[0]].shape;
    struct load load = {.jobs = jobs, .count = n, .pinned = true};
    for (int i = 0; i < n; i++)
        load.pinned = load.pinned && jobs[i].pinned;
    bool copied = !load.pinned;
    if (graph->input_count != 1 || in->rank != 4 || n > in->dim[0] ||
        in->dim[1] > CS_JOB_MAX_CHANNELS)
        return cs_fail(err, CS_EMODEL, "cuda: images need one input N, C, H, W");
    slot->block->fault = 0;
    if (cs_cuda_use(slot->network->device, err) != 0 ||
        cs_cuda_stage_jobs(plan, jobs, n, slot->block->jobs, &load.up, &load.down, err) != 0 ||
        cs_cuda_stage_grow(&slot->in, load.up, copied, "images", err) != 0 ||
        cs_cuda_stage_grow(&slot->out, load.down, copied, "maps", err) != 0)
        return -1;
    cs_cuda_stage_place(slot->block->jobs, n, &slot->in, &slot->out);
    if (copied)
        cs_cuda_stage_pixels(jobs, n, slot->block->jobs, &slot->in);
    if (queue_batch(slot, plan, &load, err) != 0 || wait_and_time(slot, plan, err) != 0)
        return -1;
    if (copied)
        cs_cuda_stage_maps(jobs, n, slot->block->jobs, &slot->out);
    for (int i = 0; i < n; i++)
        jobs[i].nonfinite = slot->block->jobs[i].job.nonfinite;
    return 0;
}

// ---- Tensors -----------------------------------------------------------------------------

// A dense row-major tensor of the host's types at the device's address.
static struct cs_cuda_tensor dense_tensor(const struct cs_value *v, void *data)
{
    struct cs_cuda_tensor t = {
        .data = data, .type = cs_cuda_type_of(v, CS_CUDA_F32), .rank = v->shape.rank};
    memcpy(t.dim, v->shape.dim, sizeof t.dim);
    cs_cuda_dense(&v->shape, false, t.stride);
    return t;
}

static size_t dense_bytes(const struct cs_value *v)
{
    return (size_t)cs_shape_elements(&v->shape) * cs_type_bytes(v->type);
}

static size_t most_bytes(const struct cs_graph *graph, const int *values, int count)
{
    size_t most = 0;
    for (int i = 0; i < count; i++)
        most = larger(most, dense_bytes(&graph->values[values[i]]));
    return most;
}

static int tensor_up(struct cs_slot *slot, const struct cs_plan *plan, int value, const void *data,
                     struct cs_err *err)
{
    const struct cs_cuda_run run = run_of(slot, plan);
    const struct cs_value *v = &plan->graph->values[value];
    struct cs_cuda_tensor to = cs_cuda_at(&run, value), from = dense_tensor(v, slot->in.device);
    if (!to.data || dense_bytes(v) == 0)
        return 0;
    memcpy(slot->in.host, data, dense_bytes(v));
    if (plan->memory.places[value].padded) { // the lanes behind the channels
        size_t bytes = (size_t)(to.dim[0] * to.stride[0]) * cs_cuda_type_bytes(to.type);
        if (cs_cuda_check((int)cudaMemsetAsync(to.data, 0, bytes, slot->stream), "clearing", err))
            return -1;
    }
    return copy_up(slot, slot->in.device, slot->in.host, dense_bytes(v), err) != 0 ||
                   cs_cuda_check(cs_cuda_copy(slot->stream, &from, &to), "input", err) != 0
               ? -1
               : wait_for(slot, err);
}

static int tensor_down(struct cs_slot *slot, const struct cs_plan *plan, int value, void *data,
                       struct cs_err *err)
{
    const struct cs_cuda_run run = run_of(slot, plan);
    const struct cs_value *v = &plan->graph->values[value];
    struct cs_cuda_tensor from = cs_cuda_at(&run, value), to = dense_tensor(v, slot->out.device);
    struct cs_constant_hold hold;
    if (v->data) {
        const void *constant = cs_constant_hold(v, &hold, err);
        if (constant)
            memcpy(data, constant, dense_bytes(v));
        cs_constant_release(&hold);
        return constant ? 0 : -1;
    }
    if (!from.data || dense_bytes(v) == 0)
        return 0;
    if (cs_cuda_check(cs_cuda_copy(slot->stream, &from, &to), "output", err) != 0 ||
        copy_down(slot, slot->out.host, slot->out.device, dense_bytes(v), err) != 0 ||
        copy_down(slot, slot->block, slot->device_block, sizeof *slot->block, err) != 0 ||
        wait_for(slot, err) != 0)
        return -1;
    memcpy(data, slot->out.host, dense_bytes(v));
    return 0;
}

int cs_cuda_run_tensors(struct cs_slot *slot, struct cs_plan *plan, const void *const *inputs,
                        void *const *outputs, struct cs_err *err)
{
    const struct cs_graph *g = plan->graph;
    slot->block->fault = 0;
    if (cs_cuda_use(slot->network->device, err) != 0 ||
        cs_cuda_stage_grow(&slot->in, most_bytes(g, g->inputs, g->input_count), true, "inputs",
                           err) ||
        cs_cuda_stage_grow(&slot->out, most_bytes(g, g->outputs, g->output_count), true, "outputs",
                           err))
        return -1;
    if (copy_up(slot, slot->device_block, slot->block, sizeof *slot->block, err) != 0)
        return -1;
    for (int i = 0; i < g->input_count; i++)
        if (tensor_up(slot, plan, g->inputs[i], inputs[i], err) != 0)
            return -1;
    if (replay(slot, plan, err) != 0)
        return -1;
    for (int i = 0; i < g->output_count; i++)
        if (tensor_down(slot, plan, g->outputs[i], outputs[i], err) != 0)
            return -1;
    return 0;
}
