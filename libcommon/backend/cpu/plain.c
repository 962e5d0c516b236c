// SPDX-License-Identifier: MIT
// A step that runs an operator through the plain loops of backend "ref": for operators and forms of
// them that take no time in a network of images. They read and write dense row-major tensors, so
// values that lie channels last are copied in scratch before and after.
#include "backend/cpu/cpu.h"
#include "backend/ref/ref.h"

struct operand {
    struct cs_cpu_place place;
    bool turned; // goes through scratch
    size_t scratch;
    struct cs_nd nd; // from its place to scratch for inputs, back for outputs
    bool omitted;
};

struct plain {
    const struct cs_graph *graph;
    struct operand *inputs, *outputs, add;
};

static void *turn(const struct operand *operand, const struct cs_cpu_run *run, bool input)
{
    float *place = cs_cpu_at(run, operand->place);
    float *scratch = (float *)(void *)(run->scratch + operand->scratch);
    float *const base[] = {input ? scratch : place, input ? place : scratch};
    cs_nd_copy(&operand->nd, base);
    return scratch;
}

static const void *input_of(const struct operand *operand, const struct cs_cpu_run *run)
{
    if (operand->omitted)
        return NULL;
    return operand->turned ? turn(operand, run, true) : cs_cpu_at(run, operand->place);
}

static int run_plain(const struct cs_cpu_step *step, const struct cs_cpu_run *run,
                     struct cs_err *err)
{
    const struct plain *plain = step->params;
    struct cs_ref_call call = {.graph = plain->graph, .node = step->node};
    for (int i = 0; i < step->node->input_count; i++)
        call.in[i] = input_of(&plain->inputs[i], run);
    call.add = input_of(&plain->add, run);
    for (int i = 0; i < step->node->output_count; i++) {
        const struct operand *out = &plain->outputs[i];
        if (!out->omitted)
            call.out[i] = out->turned ? run->scratch + out->scratch
                                      : (char *)(void *)cs_cpu_at(run, out->place);
    }
    if (cs_ref_run(&call, err) != 0)
        return -1;
    for (int i = 0; i < step->node->output_count; i++)
        if (plain->outputs[i].turned && !plain->outputs[i].omitted)
            turn(&plain->outputs[i], run, false);
    return 0;
}

static void describe(struct cs_plan *plan, int value, bool input, struct operand *operand,
                     size_t *scratch)
{
    // Without memory: empty, or read by nobody.
    operand->omitted =
        value < 0 || (!plan->graph->values[value].data && plan->memory.offset[value] == SIZE_MAX);
    if (operand->omitted)
        return;
    operand->place = cs_cpu_place_of(plan, value);
    operand->turned = plan->channels_last[value];
    if (!operand->turned)
        return;
    const struct cs_shape *shape = &plan->graph->values[value].shape;
    int64_t there[CS_MAX_RANK], dense[CS_MAX_RANK];
    cs_cpu_strides_of(plan, value, there);
    cs_nd_dense(shape, false, dense);
    cs_nd_init(&operand->nd, shape);
    cs_nd_add(&operand->nd, input ? dense : there);
    cs_nd_add(&operand->nd, input ? there : dense);
    cs_nd_simplify(&operand->nd);
    operand->scratch = *scratch;
    *scratch += ((size_t)cs_shape_elements(shape) * sizeof(float) + 63) / 64 * 64;
}

void cs_cpu_build_plain(struct cs_plan *plan, const struct cs_node *node)
{
    struct plain *plain = cs_cpu_params(plan, sizeof *plain);
    size_t scratch = 0;
    plain->graph = plan->graph;
    plain->inputs = cs_cpu_params(plan, (size_t)node->input_count * sizeof *plain->inputs);
    plain->outputs = cs_cpu_params(plan, (size_t)node->output_count * sizeof *plain->outputs);
    for (int i = 0; i < node->input_count; i++)
        describe(plan, node->inputs[i], true, &plain->inputs[i], &scratch);
    describe(plan, node->fusion.add, true, &plain->add, &scratch);
    for (int i = 0; i < node->output_count; i++)
        describe(plan, node->outputs[i], false, &plain->outputs[i], &scratch);
    cs_cpu_need_scratch(plan, scratch);
    cs_cpu_add_step(plan, node, run_plain, plain)->kernel = "plain";
}
