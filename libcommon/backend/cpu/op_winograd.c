// SPDX-License-Identifier: MIT
// The step of a 3x3 convolution by Winograd's method: bias, a ReLU-like activation and an added
// tensor of the output's shape are part of it.
#include <string.h>

#include "backend/cpu/conv.h"
#include "backend/cpu/winograd.h"

struct step {
    struct cs_winograd winograd;
    struct cs_cpu_sources sources;
    struct cs_cpu_place dst, add;
    bool adding;
    const float *packed, *bias;
    struct cs_finish finish;
    struct cs_cpu_gather gather;
};

static struct cs_winograd_run run_of(const struct step *p, const struct cs_cpu_run *run)
{
    struct cs_winograd_run how = {
        .source_count = p->sources.count,
        .dst = cs_cpu_at(run, p->dst),
        .add = p->adding ? cs_cpu_at(run, p->add) : NULL,
        .packed = p->packed,
        .bias = p->bias,
        .scratch = (float *)(void *)run->scratch,
        .finish = p->finish,
        .sums = cs_cpu_gather_sums(&p->gather, run),
        .again = run->again,
    };
    for (int i = 0; i < p->sources.count; i++) {
        const struct cs_cpu_source *from = &p->sources.source[i];
        how.sources[i] = (struct cs_winograd_source){
            .src = cs_cpu_at(run, from->src),
            .channels = from->channels,
            .affine = from->mapped ? cs_cpu_at(run, from->maps) : NULL,
            .affine_step = 3 * from->channels,
            .slope = from->slope,
        };
    }
    return how;
}

static int run_team(const struct cs_cpu_step *step, const struct cs_cpu_run *run,
                    struct cs_err *err)
{
    (void)err;
    const struct step *p = step->params;
    const struct cs_winograd_run how = run_of(p, run);
    cs_winograd_run_team(&p->winograd, &how);
    cs_cpu_gather_finish(&p->gather, run);
    return 0;
}

static void run_parts(const struct cs_cpu_step *step, const struct cs_cpu_run *run, int64_t begin,
                      int64_t end)
{
    const struct step *p = step->params;
    const struct cs_winograd_run how = run_of(p, run);
    cs_winograd_run_parts(&p->winograd, &how, begin, end);
}

static void run_rows(const struct cs_cpu_step *step, const struct cs_cpu_run *run, int64_t image,
                     int64_t begin, int64_t end)
{
    const struct step *p = step->params;
    struct cs_winograd_run how = run_of(p, run);
    int64_t side = p->winograd.kernels->out, rows = (end + side - 1) / side - begin / side;
    how.warm = true;
    for (int i = 0; i < p->sources.count; i++)
        how.warm = how.warm && p->sources.source[i].src.window;
    how.image = image;
    how.first_tile = begin / side * p->winograd.tiles[1];
    how.tile_count = rows * p->winograd.tiles[1];
    cs_winograd_run_tiles(&p->winograd, &how);
}

static void finish(const struct cs_cpu_step *step, const struct cs_cpu_run *run)
{
    const struct step *p = step->params;
    cs_cpu_gather_finish(&p->gather, run);
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
    const struct cs_winograd_kernels *kernels =
        suits
            ? cs_winograd_pick(device->kernels->winograd, &shape, is_normalised(plan->graph, node))
            : NULL;
    if (kernels)
        cs_winograd_plan(winograd, kernels, &shape, device->threads, &device->caches);
    return kernels != NULL;
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
    params->winograd.stream = winograd->stream && !cs_cpu_in_band(plan, node);
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
    cs_cpu_sources_of(plan, node->inputs[0], &params->sources);
    cs_cpu_gather_init(plan, node, winograd->units, winograd->panels * winograd->panel,
                       &params->gather);
    cs_cpu_need_scratch(plan, cs_winograd_scratch_bytes(winograd));
    params->dst = cs_cpu_place_of(plan, node->outputs[0]);

    struct cs_cpu_activation activation;
    cs_cpu_activation_of(&node->fusion, &activation);
    bool wants_add = node->fusion.add >= 0;
    const struct cs_value *add = wants_add ? &graph->values[node->fusion.add] : NULL;
    params->adding = wants_add && !add->data && cs_shape_equal(&add->shape, &out->shape);
    if (params->adding)
        params->add = cs_cpu_place_of(plan, node->fusion.add);
    bool add_left = wants_add && !params->adding;
    bool activated = !add_left && cs_cpu_finish_of(&activation, &params->finish);

    struct cs_cpu_step *step =
        winograd->team ? cs_cpu_add_step(plan, node, run_team, params)
                       : cs_cpu_add_parts(plan, node, winograd->parts, run_parts, finish, params);
    step->rows = run_rows;
    step->at_once = winograd->by_panels ? 1 : winograd->block;
    step->kernel = winograd->kernels->name;
    step->flops =
        18.0 * (double)cs_shape_elements(&out->shape) * (double)winograd->shape.in_channels;
    return activated ? 0 : cs_cpu_build_fusion(plan, node, add_left, err);
}
