// SPDX-License-Identifier: MIT
// Gates over channels and pixels, as in CBAM (Woo et al. 2018): a tensor times one factor a
// channel, of which the mean and maximum over channels make one factor a pixel. The first product
// is not made (late.c): it is a multiplication more for those who read it, and a tensor less to
// write and read.
#include <string.h>

#include "backend/cpu/cpu.h"

enum { CHUNK_FLOATS = 16384 };

struct gate {
    struct cs_cpu_place src, channel, pixel; // tensor, factors; pixel's are read or written
    struct cs_cpu_place dst;                 // of the product, or the maximum
    int64_t batch, pixels, channels, chunk, chunks;
};

// Pixels of one image.
struct part {
    int64_t image, at, count; // `at` counts those of all images
};

static struct part part_at(const struct gate *g, int64_t index)
{
    int64_t image = index / g->chunks, first = index % g->chunks * g->chunk;
    int64_t left = g->pixels - first;
    return (struct part){image, image * g->pixels + first, left < g->chunk ? left : g->chunk};
}

static int run_multiply(const struct cs_cpu_step *step, const struct cs_cpu_run *run,
                        struct cs_err *err)
{
    (void)err;
    const struct gate *g = step->params;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < g->batch * g->chunks; i++) {
        struct part p = part_at(g, i);
        run->kernels->gate(cs_cpu_at(run, g->dst) + p.at * g->channels,
                           cs_cpu_at(run, g->src) + p.at * g->channels,
                           cs_cpu_at(run, g->channel) + p.image * g->channels,
                           cs_cpu_at(run, g->pixel) + p.at, p.count, g->channels);
    }
    return 0;
}

static int run_pool(const struct cs_cpu_step *step, const struct cs_cpu_run *run,
                    struct cs_err *err)
{
    (void)err;
    const struct gate *g = step->params;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < g->batch * g->chunks; i++) {
        struct part p = part_at(g, i);
        run->kernels->gated_pool(cs_cpu_at(run, g->pixel) + p.at, cs_cpu_at(run, g->dst) + p.at,
                                 cs_cpu_at(run, g->src) + p.at * g->channels,
                                 cs_cpu_at(run, g->channel) + p.image * g->channels, p.count,
                                 g->channels);
    }
    return 0;
}

static struct gate *new_gate(struct cs_plan *plan, int gated)
{
    const struct cs_shape *shape = &plan->graph->values[gated].shape;
    const struct cs_node *product = &plan->graph->nodes[plan->graph->values[gated].producer];
    struct gate *g = cs_cpu_params(plan, sizeof *g);
    int whole = cs_shape_equal(&plan->graph->values[product->inputs[0]].shape, shape) ? 0 : 1;
    g->src = cs_cpu_place_of(plan, product->inputs[whole]);
    g->channel = cs_cpu_place_of(plan, product->inputs[!whole]);
    g->batch = shape->dim[0];
    g->channels = shape->dim[1];
    g->pixels = shape->dim[2] * shape->dim[3];
    g->chunk = CHUNK_FLOATS / g->channels > 16 ? CHUNK_FLOATS / g->channels : 16;
    g->chunks = (g->pixels + g->chunk - 1) / g->chunk;
    return g;
}

void cs_cpu_build_gate(struct cs_plan *plan, const struct cs_node *node, int gated)
{
    struct gate *g = new_gate(plan, gated);
    g->pixel = cs_cpu_place_of(plan, node->inputs[node->inputs[0] == gated]);
    g->dst = cs_cpu_place_of(plan, node->outputs[0]);
    cs_cpu_add_step(plan, node, run_multiply, g);
}

void cs_cpu_build_gated_pool(struct cs_plan *plan, const struct cs_node *node)
{
    struct gate *g = new_gate(plan, node->inputs[0]);
    bool mean = strcmp(node->op, "ReduceMean") == 0;
    const struct cs_graph *graph = plan->graph;
    struct cs_cpu_place out = cs_cpu_place_of(plan, node->outputs[0]);
    struct cs_cpu_place other =
        cs_cpu_reserve(plan, (size_t)(g->batch * g->pixels) * sizeof(float));
    g->pixel = mean ? out : other;
    g->dst = mean ? other : out;
    // What else reads the product takes the other one from here.
    for (const struct cs_node *n = node + 1; n < graph->nodes + graph->node_count; n++)
        if (n->inputs[0] == node->inputs[0] &&
            strcmp(n->op, mean ? "ReduceMax" : "ReduceMean") == 0) {
            plan->late[n->outputs[0]].taken = true;
            plan->late[n->outputs[0]].result = other;
        }
    cs_cpu_add_step(plan, node, run_pool, g);
}
