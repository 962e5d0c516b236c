// SPDX-License-Identifier: MIT
// What a plan offers to the files that make its steps: places, parameters, memory, the list itself.
#include <string.h>

#include "backend/cpu/cpu.h"
#include "base/mem.h"

enum { ALIGNMENT = 64 };

struct cs_cpu_place cs_cpu_place_of(const struct cs_plan *plan, int value)
{
    const struct cs_value *v = &plan->graph->values[value];
    if (v->data)
        return (struct cs_cpu_place){.constant = v->in_file ? cs_cpu_plain(plan, v) : v->data};
    return (struct cs_cpu_place){.offset = plan->memory.offset[value],
                                 .window = plan->late[value].window};
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
    plan->step_scratch = bytes > plan->step_scratch ? bytes : plan->step_scratch;
}

void cs_cpu_need_shared(struct cs_plan *plan, size_t bytes)
{
    plan->step_shared = bytes > plan->step_shared ? bytes : plan->step_shared;
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

struct cs_cpu_step *cs_cpu_add_parts(
    struct cs_plan *plan, const struct cs_node *node, int64_t parts,
    void (*part)(const struct cs_cpu_step *, const struct cs_cpu_run *, int64_t, int64_t),
    void (*finish)(const struct cs_cpu_step *, const struct cs_cpu_run *), const void *params)
{
    struct cs_cpu_step *step = cs_cpu_add_step(plan, node, NULL, params);
    step->parts = parts;
    step->part = part;
    step->finish = finish;
    return step;
}

struct cs_cpu_step *cs_cpu_add_op(struct cs_plan *plan, const struct cs_node *node,
                                  struct cs_dnn_op *op)
{
    struct cs_cpu_step *step = cs_cpu_add_step(plan, node, NULL, NULL);
    step->op = op;
    cs_cpu_need_shared(plan, cs_dnn_op_scratch_bytes(op)); // bound to one place
    return step;
}
