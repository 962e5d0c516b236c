// SPDX-License-Identifier: MIT
// Every value has its own block of memory; constants are copied when a step asks for them. Every
// second run of a plan has its kernels run backwards, which must not change a bit of the outputs if
// the inputs are the same.
#include "host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/call.h"
#include "base/mem.h"
#include "shim/shim.h"

enum { MAX_STEPS = 256, ALIGN = 256, EXTRA = 8, GUARD = 0x5a };

struct cs_device {
    int unused;
};
struct cs_network {
    int unused;
};
struct cs_slot {
    int unused;
};

struct cs_plan {
    const struct cs_graph *graph;
    struct cs_arena arena;
    enum cs_cuda_type real;
    struct cs_cuda_tensor *values; // activations
    void **blocks;                 // constants
    int block_count;
    struct cs_cuda_step steps[MAX_STEPS];
    int step_count;
    size_t scratch_bytes, kept_bytes;
    size_t *early; // per value
    int runs;
    void *kept[CS_MAX_NODE_IO]; // outputs of the run before
    uint32_t counters[CS_CUDA_COUNTERS], fault;
};

static enum host_layout layout;

void host_set_layout(enum host_layout wanted)
{
    layout = wanted;
}

int stub_launch(void *stream, void (*run)(const void *closure), const void *closure, size_t bytes);
int stub_launch(void *stream, void (*run)(const void *closure), const void *closure, size_t bytes)
{
    (void)stream, (void)bytes;
    run(closure);
    return 0;
}

// ---- What steps call -----------------------------------------------------------------------

void *cs_cuda_params(struct cs_plan *plan, size_t bytes)
{
    return cs_arena_alloc(&plan->arena, 1, bytes);
}

struct cs_cuda_step *cs_cuda_add_step(struct cs_plan *plan, const struct cs_node *node,
                                      int (*run)(const struct cs_cuda_step *,
                                                 const struct cs_cuda_run *, struct cs_err *),
                                      void *params)
{
    if (plan->step_count == MAX_STEPS)
        abort();
    struct cs_cuda_step *step = &plan->steps[plan->step_count++];
    *step = (struct cs_cuda_step){.run = run, .params = params, .node = node};
    return step;
}

void cs_cuda_need_scratch(struct cs_plan *plan, size_t bytes)
{
    plan->scratch_bytes = bytes > plan->scratch_bytes ? bytes : plan->scratch_bytes;
}

size_t cs_cuda_keep(struct cs_plan *plan, size_t bytes)
{
    plan->kept_bytes += ALIGN;
    size_t at = plan->kept_bytes;
    plan->kept_bytes += (bytes + ALIGN - 1) / ALIGN * ALIGN;
    return at;
}

size_t *cs_cuda_early(const struct cs_plan *plan, int value)
{
    return &plan->early[value];
}

// No convolution here does a part of a norm.
int64_t cs_cuda_late_pitch(int64_t channels)
{
    return channels;
}

float *cs_cuda_sums(const struct cs_cuda_run *run, int value)
{
    (void)run, (void)value;
    return NULL;
}

void *cs_cuda_map(const struct cs_cuda_run *run, int value, enum cs_cuda_type *type)
{
    (void)run, (void)value, (void)type;
    return NULL;
}

bool cs_cuda_defer(struct cs_plan *plan, const struct cs_node *norm)
{
    (void)plan, (void)norm;
    return false;
}

const struct cs_graph *cs_cuda_graph(const struct cs_plan *plan)
{
    return plan->graph;
}

enum cs_cuda_type cs_cuda_real(const struct cs_plan *plan)
{
    return plan->real;
}

struct cs_cuda_tensor cs_cuda_at(const struct cs_cuda_run *run, int value)
{
    return run->plan->values[value];
}

static float half_to_float(uint16_t bits)
{
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    float size = exponent == 31  ? (fraction ? __builtin_nanf("") : __builtin_inff())
                 : exponent == 0 ? (float)fraction * 0x1p-24F
                                 : __builtin_ldexpf((float)(1024 + fraction), exponent - 25);
    return bits & 0x8000 ? -size : size;
}

static void put(enum cs_cuda_type type, void *data, int64_t at, enum cs_type from,
                const void *source, int64_t index)
{
    size_t bytes = cs_type_bytes(from);
    if (type == CS_CUDA_F16)
        ((uint16_t *)data)[at] = cs_cuda_half(((const float *)source)[index]);
    else
        memcpy((char *)data + at * (int64_t)bytes, (const char *)source + index * (int64_t)bytes,
               bytes);
}

static void *block_of(struct cs_plan *plan, size_t bytes)
{
    plan->blocks = cs_xrealloc(plan->blocks, (size_t)plan->block_count + 1, sizeof(void *));
    return plan->blocks[plan->block_count++] =
               aligned_alloc(ALIGN, (bytes + 2 * ALIGN) / ALIGN * ALIGN);
}

int cs_cuda_constant(struct cs_plan *plan, int value, enum cs_cuda_type type,
                     struct cs_cuda_tensor *tensor, struct cs_err *err)
{
    const struct cs_value *v = &plan->graph->values[value];
    int64_t count = cs_shape_elements(&v->shape);
    struct cs_constant_hold hold;
    const void *data = cs_constant_hold(v, &hold, err);
    if (!data)
        return -1;
    *tensor = (struct cs_cuda_tensor){.type = cs_cuda_type_of(v, type), .rank = v->shape.rank};
    memcpy(tensor->dim, v->shape.dim, sizeof tensor->dim);
    cs_cuda_dense(&v->shape, false, tensor->stride);
    tensor->data = block_of(plan, (size_t)count * cs_cuda_type_bytes(tensor->type));
    for (int64_t i = 0; i < count; i++)
        put(tensor->type, tensor->data, i, v->type, data, i);
    cs_constant_release(&hold);
    return 0;
}

int cs_cuda_operand(struct cs_plan *plan, int value, struct cs_cuda_operand *operand,
                    struct cs_err *err)
{
    *operand = (struct cs_cuda_operand){.value = -1};
    if (value < 0)
        return 0;
    if (plan->graph->values[value].data)
        return cs_cuda_constant(plan, value, plan->real, &operand->tensor, err);
    operand->value = value;
    return 0;
}

struct cs_cuda_tensor cs_cuda_operand_at(const struct cs_cuda_run *run,
                                         const struct cs_cuda_operand *operand)
{
    return operand->value < 0 ? operand->tensor : cs_cuda_at(run, operand->value);
}

void *cs_cuda_pack(struct cs_plan *plan, int value, uint64_t key, size_t bytes, cs_cuda_fill *fill,
                   const void *context, struct cs_err *err)
{
    const struct cs_value *v = &plan->graph->values[value];
    struct cs_constant_hold hold;
    const void *data = cs_constant_hold(v, &hold, err);
    void *host = block_of(plan, bytes);
    (void)key;
    memset(host, 0, bytes);
    int failed = data ? fill(context, v, data, host, err) : -1;
    cs_constant_release(&hold);
    return failed < 0 ? NULL : host;
}

const struct cs_cuda_op cs_cuda_conv_ops[] = {{NULL, NULL, NULL, false}}; // cuDNN's

// ---- The plan ------------------------------------------------------------------------------

static const struct cs_cuda_op *find_op(const struct cs_graph *graph, const struct cs_node *node,
                                        char *why, size_t why_size)
{
    snprintf(why, why_size, "the operator has no kernel");
    for (const struct cs_cuda_op *const *table = cs_cuda_tables; *table; table++)
        for (const struct cs_cuda_op *op = *table; op->name; op++)
            if (strcmp(op->name, node->op) == 0 &&
                (!op->supports || op->supports(graph, node, why, why_size)))
                return op;
    return NULL;
}

static bool host_supports(const struct cs_graph *graph, const struct cs_node *node, char *why,
                          size_t why_size)
{
    return find_op(graph, node, why, why_size) != NULL;
}

static int build_all(struct cs_plan *p, struct cs_err *err)
{
    for (int n = 0; n < p->graph->node_count; n++) {
        const struct cs_node *node = &p->graph->nodes[n];
        char why[128];
        const struct cs_cuda_op *op = find_op(p->graph, node, why, sizeof why);
        if (op->build(p, node, err) < 0 ||
            (!op->fuses && cs_cuda_build_fusion(p, node, true, err) < 0))
            return -1;
    }
    return 0;
}

// Elements that a value's block holds.
static size_t place_value(struct cs_plan *p, int value)
{
    const struct cs_value *v = &p->graph->values[value];
    struct cs_cuda_tensor *t = &p->values[value];
    int64_t count = cs_shape_elements(&v->shape);
    *t = (struct cs_cuda_tensor){.type = cs_cuda_type_of(v, p->real), .rank = v->shape.rank};
    memcpy(t->dim, v->shape.dim, sizeof t->dim);
    bool last = layout != HOST_ROWS && v->type == CS_TYPE_F32 && v->shape.rank >= 3;
    struct cs_shape wide = v->shape;
    if (last && layout == HOST_SLICES) {
        wide.dim[1] += EXTRA;
        count = cs_shape_elements(&wide);
    }
    cs_cuda_dense(&wide, last, t->stride);
    return (size_t)count;
}

static size_t bytes_of(struct cs_plan *p, int value)
{
    return place_value(p, value) * cs_cuda_type_bytes(p->values[value].type);
}

static int host_plan_open(struct cs_network *network, const struct cs_graph *graph,
                          enum cs_precision precision, bool direct, struct cs_plan **plan,
                          struct cs_err *err)
{
    (void)network, (void)direct;
    if (cs_backend_check(&host_cuda, graph, err) < 0)
        return -1;
    struct cs_plan *p = cs_xcalloc(1, sizeof *p);
    p->graph = graph;
    p->real = precision == CS_FP16 ? CS_CUDA_F16 : CS_CUDA_F32;
    p->values = cs_xcalloc((size_t)graph->value_count + 1, sizeof *p->values);
    p->early = cs_xcalloc((size_t)graph->value_count + 1, sizeof *p->early);
    for (int v = 0; v < graph->value_count; v++) {
        const struct cs_value *value = &graph->values[v];
        if (value->data || cs_shape_elements(&value->shape) <= 0)
            continue;
        size_t bytes = bytes_of(p, v);
        char *block = block_of(p, bytes);
        memset(block, GUARD, bytes);
        p->values[v].data = block;
    }
    *plan = p;
    return build_all(p, err);
}

static void host_plan_close(struct cs_plan *plan)
{
    if (!plan)
        return;
    for (int i = 0; i < plan->block_count; i++)
        free(plan->blocks[i]);
    free(plan->blocks);
    free(plan->values);
    free(plan->early);
    cs_arena_release(&plan->arena);
    free(plan);
}

// ---- Run -----------------------------------------------------------------------------------

// Where element `flat` of row-major order lies.
static int64_t offset_of(const struct cs_cuda_tensor *t, int64_t flat)
{
    int64_t at = 0;
    for (int d = t->rank - 1; d >= 0; d--) {
        at += flat % t->dim[d] * t->stride[d];
        flat /= t->dim[d];
    }
    return at;
}

static void upload(struct cs_plan *plan, int value, const void *data)
{
    const struct cs_value *v = &plan->graph->values[value];
    struct cs_cuda_tensor *t = &plan->values[value];
    for (int64_t i = 0; t->data && i < cs_shape_elements(&v->shape); i++)
        put(t->type, t->data, offset_of(t, i), v->type, data, i);
}

static void download(const struct cs_plan *plan, int value, void *data)
{
    const struct cs_value *v = &plan->graph->values[value];
    struct cs_cuda_tensor t = plan->values[value];
    if (v->data) { // of a graph whose output is constant
        memcpy(data, v->data, (size_t)cs_shape_elements(&v->shape) * cs_type_bytes(v->type));
        return;
    }
    for (int64_t i = 0; t.data && i < cs_shape_elements(&v->shape); i++) {
        int64_t at = offset_of(&t, i);
        size_t bytes = cs_type_bytes(v->type);
        if (t.type == CS_CUDA_F16)
            ((float *)data)[i] = half_to_float(((uint16_t *)t.data)[at]);
        else
            memcpy((char *)data + i * (int64_t)bytes, (char *)t.data + at * (int64_t)bytes, bytes);
    }
}

static int check_after(struct cs_plan *plan, struct cs_err *err)
{
    for (int i = 0; i < CS_CUDA_COUNTERS; i++)
        if (plan->counters[i])
            return cs_fail(err, CS_EDEVICE, "counter %d is left at %u", i, plan->counters[i]);
    return plan->fault ? cs_fail(err, CS_EMODEL, "a kernel found an impossible sample") : 0;
}

static int run_steps(struct cs_plan *plan, const void *const *inputs, bool backward,
                     struct cs_err *err)
{
    void *scratch = aligned_alloc(ALIGN, (plan->scratch_bytes + ALIGN) / ALIGN * ALIGN);
    void *kept = aligned_alloc(ALIGN, (plan->kept_bytes + ALIGN) / ALIGN * ALIGN);
    struct cs_cuda_run run = {.plan = plan,
                              .scratch = scratch,
                              .kept = kept,
                              .counters = plan->counters,
                              .fault = &plan->fault};
    int failed = 0;
    shim_set_backward(backward);
    memset(scratch, GUARD, plan->scratch_bytes);
    for (int i = 0; i < plan->graph->input_count; i++)
        upload(plan, plan->graph->inputs[i], inputs[i]);
    for (int s = 0; s < plan->step_count && !failed; s++) {
        failed = plan->steps[s].run(&plan->steps[s], &run, err);
        if (failed > 0)
            failed = cs_fail(err, CS_EDEVICE, "%s: error %d", plan->steps[s].node->op, failed);
    }
    free(scratch);
    free(kept);
    return failed < 0 ? -1 : check_after(plan, err);
}

static int host_run_tensors(struct cs_slot *slot, struct cs_plan *plan, const void *const *inputs,
                            void *const *outputs, struct cs_err *err)
{
    bool again = plan->runs++ % 2 == 1;
    (void)slot;
    if (run_steps(plan, inputs, again, err) < 0)
        return -1;
    for (int i = 0; i < plan->graph->output_count; i++) {
        int value = plan->graph->outputs[i];
        const struct cs_value *v = &plan->graph->values[value];
        size_t bytes = (size_t)cs_shape_elements(&v->shape) * cs_type_bytes(v->type);
        download(plan, value, outputs[i]);
        if (!plan->kept[i])
            plan->kept[i] = block_of(plan, bytes);
        if (again && memcmp(plan->kept[i], outputs[i], bytes) != 0)
            return cs_fail(err, CS_EDEVICE, "output %d depends on the threads' order", i);
        if (bytes)
            memcpy(plan->kept[i], outputs[i], bytes);
    }
    return 0;
}

// ---- The rest ------------------------------------------------------------------------------

static int host_device_open(const struct cs_device_options *options, struct cs_device **device,
                            struct cs_err *err)
{
    (void)options, (void)err;
    *device = cs_xcalloc(1, sizeof **device);
    return 0;
}

static void host_device_close(struct cs_device *device)
{
    free(device);
}

static const char *host_device_text(const struct cs_device *device)
{
    (void)device;
    return "kernels on the host";
}

static unsigned host_precisions(const struct cs_device *device)
{
    (void)device;
    return 1U << CS_FP32 | 1U << CS_FP16;
}

static int host_network_open(struct cs_device *device, struct cs_network **network,
                             struct cs_err *err)
{
    (void)device, (void)err;
    *network = cs_xcalloc(1, sizeof **network);
    return 0;
}

static void host_network_close(struct cs_network *network)
{
    free(network);
}

static struct cs_memory_use host_plan_memory(const struct cs_plan *plan)
{
    return (struct cs_memory_use){.workspace = plan->scratch_bytes};
}

static int host_slot_open(struct cs_network *network, struct cs_plan *const *plans, int plan_count,
                          struct cs_slot **slot, struct cs_err *err)
{
    (void)network, (void)plans, (void)plan_count, (void)err;
    *slot = cs_xcalloc(1, sizeof **slot);
    return 0;
}

static void host_slot_close(struct cs_slot *slot)
{
    free(slot);
}

const struct cs_backend host_cuda = {
    .name = "cuda on the host",
    .device_open = host_device_open,
    .device_close = host_device_close,
    .device_text = host_device_text,
    .precisions = host_precisions,
    .passes = CS_PASSES_FUSION,
    .supports = host_supports,
    .network_open = host_network_open,
    .network_close = host_network_close,
    .plan_open = host_plan_open,
    .plan_close = host_plan_close,
    .plan_memory = host_plan_memory,
    .slot_open = host_slot_open,
    .slot_close = host_slot_close,
    .run_tensors = host_run_tensors,
};
