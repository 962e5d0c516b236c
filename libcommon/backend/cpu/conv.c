// SPDX-License-Identifier: MIT
// What the convolutions of ours share.
#include "backend/cpu/conv.h"

#include <math.h>

enum { PARALLEL_BYTES = 1 << 19 }; // of sums: less is added up by one thread

static void add_source(const struct cs_plan *plan, int value, struct cs_cpu_sources *sources)
{
    const struct cs_cpu_late *late = &plan->late[value];
    sources->source[sources->count++] = (struct cs_cpu_source){
        .src = cs_cpu_place_of(plan, value),
        .channels = plan->graph->values[value].shape.dim[1],
        .mapped = late->mapped,
        .maps = late->maps,
        .slope = late->slope,
    };
}

void cs_cpu_sources_of(const struct cs_plan *plan, int value, struct cs_cpu_sources *sources)
{
    sources->count = 0;
    if (!plan->late[value].joined) {
        add_source(plan, value, sources);
        return;
    }
    const struct cs_node *concat = &plan->graph->nodes[plan->graph->values[value].producer];
    for (int i = 0; i < concat->input_count; i++)
        add_source(plan, concat->inputs[i], sources);
}

bool cs_cpu_finish_of(const struct cs_cpu_activation *activation, struct cs_finish *finish)
{
    *finish = (struct cs_finish){.low = -INFINITY, .high = INFINITY};
    switch (activation->unary) {
    case CS_UNARY_IDENTITY:
        return true;
    case CS_UNARY_RELU:
        finish->kind = CS_FINISH_CLAMP;
        finish->low = 0;
        return true;
    case CS_UNARY_CLIP:
        finish->kind = CS_FINISH_CLAMP;
        finish->low = activation->alpha;
        finish->high = activation->beta;
        return true;
    case CS_UNARY_LEAKY_RELU:
        finish->kind = CS_FINISH_SLOPE;
        finish->slope = activation->alpha;
        return true;
    default:
        return false;
    }
}

void cs_cpu_gather_init(struct cs_plan *plan, const struct cs_node *node, int64_t chunks,
                        int64_t step, struct cs_cpu_gather *gather)
{
    int norm = plan->late[node->outputs[0]].norm;
    const struct cs_shape *shape = &cs_node_output(plan->graph, node, 0)->shape;
    size_t values = (size_t)(shape->dim[0] * shape->dim[1]);
    *gather = (struct cs_cpu_gather){.wanted = norm > 0, .chunks = chunks, .step = step};
    if (norm > 0) {
        const struct cs_node *reader = &plan->graph->nodes[norm - 1];
        cs_cpu_norm_init(&gather->norm, plan->graph, reader);
        gather->maps = cs_cpu_reserve(plan, values * 3 * sizeof(float));
        plan->late[reader->outputs[0]].maps = gather->maps;
        gather->bytes = (size_t)(shape->dim[0] * chunks * 2 * step) * sizeof(double);
        cs_cpu_need_shared(plan, gather->bytes + values * 2 * sizeof(double));
    }
}

double *cs_cpu_gather_sums(const struct cs_cpu_gather *gather, const struct cs_cpu_run *run)
{
    return gather->wanted ? (double *)(void *)run->shared : NULL;
}

void cs_cpu_gather_finish(const struct cs_cpu_gather *gather, const struct cs_cpu_run *run)
{
    double *sums = cs_cpu_gather_sums(gather, run);
    double *totals = (double *)(void *)(run->shared + gather->bytes);
    float *maps = cs_cpu_at(run, gather->maps);
    if (!sums)
        return;
#pragma omp parallel if (gather->bytes > PARALLEL_BYTES)
    cs_cpu_norm_combine(&gather->norm, sums, gather->chunks, gather->step, totals, maps);
}
