// SPDX-License-Identifier: MIT
// The step of a 3x3 convolution by Winograd's method: bias, a ReLU-like activation and an added
// tensor of the output's shape are part of it.
#include <math.h>
#include <string.h>

#include "backend/cpu/norm.h"
#include "backend/cpu/winograd.h"

enum { PARALLEL_BYTES = 1 << 19 }; // of sums: less is added up by one thread

struct source {
    struct cs_cpu_place src, maps;
    int64_t channels;
    bool mapped;
    float slope;
};

struct step {
    struct cs_winograd winograd;
    struct source sources[CS_WINOGRAD_SOURCES];
    int source_count;
    struct cs_cpu_place dst, add;
    bool adding;
    const float *packed, *bias;
    enum cs_winograd_activation activation;
    float low, high, slope;
    // Statistics for the norm that follows: sums in scratch behind what the convolution needs.
    bool gathers;
    struct cs_cpu_norm norm;
    struct cs_cpu_place maps;
    size_t conv_scratch, sums_bytes;
};

static void combine(const struct step *p, const struct cs_cpu_run *run, const double *sums)
{
    int64_t step = p->winograd.panels * p->winograd.panel;
    double *totals = (double *)(void *)(run->scratch + p->conv_scratch + p->sums_bytes);
    float *maps = cs_cpu_at(run, p->maps);
#pragma omp parallel if (p->sums_bytes > PARALLEL_BYTES)
    cs_cpu_norm_combine(&p->norm, sums, p->winograd.units, step, totals, maps);
}

static int run_step(const struct cs_cpu_step *step, const struct cs_cpu_run *run,
                    struct cs_err *err)
{
    (void)err;
    const struct step *p = step->params;
    double *sums = p->gathers ? (double *)(void *)(run->scratch + p->conv_scratch) : NULL;
    struct cs_winograd_run how = {
        .source_count = p->source_count,
        .dst = cs_cpu_at(run, p->dst),
        .add = p->adding ? cs_cpu_at(run, p->add) : NULL,
        .packed = p->packed,
        .bias = p->bias,
        .scratch = (float *)(void *)run->scratch,
        .activation = p->activation,
        .low = p->low,
        .high = p->high,
        .slope = p->slope,
        .sums = sums,
    };
    for (int i = 0; i < p->source_count; i++) {
        const struct source *from = &p->sources[i];
        how.sources[i] = (struct cs_winograd_source){
            .src = cs_cpu_at(run, from->src),
            .channels = from->channels,
            .affine = from->mapped ? cs_cpu_at(run, from->maps) : NULL,
            .affine_step = 3 * from->channels,
            .slope = from->slope,
        };
    }
    cs_winograd_run(&p->winograd, &how);
    if (sums)
        combine(p, run, sums);
    return 0;
}

static bool set_activation(struct step *step, const struct cs_cpu_activation *activation)
{
    step->low = -INFINITY;
    step->high = INFINITY;
    switch (activation->unary) {
    case CS_UNARY_IDENTITY:
        return true;
    case CS_UNARY_RELU:
        step->activation = CS_WINOGRAD_CLAMP;
        step->low = 0;
        return true;
    case CS_UNARY_CLIP:
        step->activation = CS_WINOGRAD_CLAMP;
        step->low = activation->alpha;
        step->high = activation->beta;
        return true;
    case CS_UNARY_LEAKY_RELU:
        step->activation = CS_WINOGRAD_SLOPE;
        step->slope = activation->alpha;
        return true;
    default:
        return false;
    }
}

// Whether an InstanceNormalization or GroupNormalization is all that reads the node's output.
static bool is_normalised(const struct cs_graph *graph, const struct cs_node *node)
{
    static const char *const norms[] = {"InstanceNormalization", "GroupNormalization"};
    int out = node->outputs[0];
    for (int n = graph->values[out].producer + 1; n < graph->node_count; n++)
        if (graph->nodes[n].input_count > 0 && graph->nodes[n].inputs[0] == out)
            return graph->values[out].uses == 1 && (strcmp(graph->nodes[n].op, norms[0]) == 0 ||
                                                    strcmp(graph->nodes[n].op, norms[1]) == 0);
    return false;
}

bool cs_cpu_suits_winograd(const struct cs_plan *plan, const struct cs_node *node,
                           const struct cs_dnn_conv *conv, struct cs_winograd *winograd)
{
    const struct cs_device *device = plan->network->device;
    bool suits =
        !plan->direct && device->kernels->winograd && !conv->transposed && conv->groups == 1;
    struct cs_winograd_shape shape = {
        .batch = conv->batch, .in_channels = conv->in_channels, .out_channels = conv->out_channels};
    for (int i = 0; i < 2; i++) {
        suits = suits && conv->kernel[i] == 3 && conv->stride[i] == 1 && conv->dilation[i] == 1 &&
                conv->pad_begin[i] >= 0 && conv->pad_begin[i] <= 1 && conv->pad_end[i] >= 0 &&
                conv->pad_end[i] <= 1;
        shape.in[i] = conv->in[i];
        shape.out[i] = conv->out[i];
        shape.pad_begin[i] = conv->pad_begin[i];
    }
    if (!suits || !cs_winograd_pays(&shape, is_normalised(plan->graph, node)))
        return false;
    cs_winograd_plan(winograd, device->kernels->winograd, &shape, device->threads, &device->caches);
    return true;
}

static void add_source(const struct cs_plan *plan, int value, struct step *step)
{
    const struct cs_cpu_late *late = &plan->late[value];
    step->sources[step->source_count++] = (struct source){
        .src = cs_cpu_place_of(plan, value),
        .channels = plan->graph->values[value].shape.dim[1],
        .mapped = late->mapped,
        .maps = late->maps,
        .slope = late->slope,
    };
}

// The parts of a concatenation that is not made, or the value itself.
static void add_sources(const struct cs_plan *plan, int value, struct step *step)
{
    if (!plan->late[value].joined) {
        add_source(plan, value, step);
        return;
    }
    const struct cs_node *concat = &plan->graph->nodes[plan->graph->values[value].producer];
    for (int i = 0; i < concat->input_count; i++)
        add_source(plan, concat->inputs[i], step);
}

// Gather the statistics of the norm that reads the node's output, if it wants them.
static void add_statistics(struct cs_plan *plan, const struct cs_node *node, struct step *step)
{
    int norm = plan->late[node->outputs[0]].norm;
    step->conv_scratch = cs_winograd_scratch_bytes(&step->winograd);
    if (norm) {
        const struct cs_node *reader = &plan->graph->nodes[norm - 1];
        const struct cs_winograd *w = &step->winograd;
        size_t values = (size_t)(w->shape.batch * w->shape.out_channels);
        cs_cpu_norm_init(&step->norm, plan->graph, reader);
        step->gathers = true;
        step->maps = cs_cpu_reserve(plan, values * 3 * sizeof(float));
        plan->late[reader->outputs[0]].maps = step->maps;
        step->sums_bytes =
            (size_t)(w->shape.batch * w->units * 2 * w->panels * w->panel) * sizeof(double);
        cs_cpu_need_scratch(plan,
                            step->conv_scratch + step->sums_bytes + values * 2 * sizeof(double));
    } else {
        cs_cpu_need_scratch(plan, step->conv_scratch);
    }
}

static int fill_weights(const void *context, const void *data, void *packed, struct cs_err *err)
{
    (void)err;
    cs_winograd_pack(context, data, packed);
    return 0;
}

int cs_cpu_build_winograd(struct cs_plan *plan, const struct cs_node *node,
                          const struct cs_winograd *winograd, struct cs_err *err)
{
    const struct cs_graph *graph = plan->graph;
    const struct cs_value *out = cs_node_output(graph, node, 0);
    const struct cs_value *bias = cs_node_input(graph, node, 2);
    struct step *params = cs_cpu_params(plan, sizeof *params);
    params->winograd = *winograd;
    params->packed = cs_cpu_pack(
        plan, cs_node_input(graph, node, 1), cs_winograd_weight_key(winograd),
        cs_winograd_weight_floats(winograd) * sizeof(float), fill_weights, &params->winograd, err);
    if (!params->packed)
        return -1;

    float *padded =
        cs_cpu_params(plan, (size_t)(winograd->panels * winograd->panel) * sizeof *padded);
    if (bias)
        memcpy(padded, bias->data, (size_t)winograd->shape.out_channels * sizeof *padded);
    params->bias = padded;
    add_sources(plan, node->inputs[0], params);
    add_statistics(plan, node, params);
    params->dst = cs_cpu_place_of(plan, node->outputs[0]);

    struct cs_cpu_activation activation;
    cs_cpu_activation_of(&node->fusion, &activation);
    bool wants_add = node->fusion.add >= 0;
    const struct cs_value *add = wants_add ? &graph->values[node->fusion.add] : NULL;
    params->adding = wants_add && !add->data && cs_shape_equal(&add->shape, &out->shape);
    if (params->adding)
        params->add = cs_cpu_place_of(plan, node->fusion.add);
    bool add_left = wants_add && !params->adding;
    bool activated = !add_left && set_activation(params, &activation);

    struct cs_cpu_step *step = cs_cpu_add_step(plan, node, run_step, params);
    step->kernel = winograd->kernels->name;
    step->flops =
        18.0 * (double)cs_shape_elements(&out->shape) * (double)winograd->shape.in_channels;
    return activated ? 0 : cs_cpu_build_fusion(plan, node, add_left, err);
}
