// SPDX-License-Identifier: MIT
#include "infer/maps.h"

#include <stdio.h>
#include <string.h>

#include "infer/normalise.h"

static const char *output_name(const struct cs_graph *graph, int i)
{
    return graph->values[graph->outputs[i]].name;
}

static int find_output(const struct cs_graph *graph, const char *name)
{
    for (int i = 0; i < graph->output_count; i++)
        if (strcmp(output_name(graph, i), name) == 0)
            return i;
    return -1;
}

static int match_outputs(const struct cs_package *p, const struct cs_graph *graph, int16_t *of,
                         struct cs_err *err)
{
    bool named = true;
    for (int k = 0; k < p->output_count; k++) {
        of[k] = (int16_t)find_output(graph, p->outputs[k].name);
        named = named && of[k] >= 0;
    }
    if (!named && p->output_count > graph->output_count)
        return cs_fail(err, CS_EMODEL, "the package describes %d outputs, the network has %d",
                       p->output_count, graph->output_count);
    for (int k = 0; !named && k < p->output_count; k++)
        of[k] = (int16_t)k;
    return 0;
}

// Maps of one output have no sources of their own before its channels are known.
static bool is_used(const struct cs_package *p, int output)
{
    if (p->map_output >= 0)
        return output == p->map_output;
    for (int i = 0; i < p->map_count; i++)
        if (p->maps[i].output == output)
            return true;
    return false;
}

// The graph's outputs that give maps become its only ones.
static int drop_outputs(const struct cs_package *p, struct cs_graph *graph, int16_t *of,
                        struct cs_err *err)
{
    int kept[CS_PACKAGE_MAX_TENSORS], count = 0;
    for (int k = 0; k < p->output_count; k++) {
        if (is_used(p, k))
            kept[count] = graph->outputs[of[k]];
        of[k] = is_used(p, k) ? (int16_t)count++ : -1;
    }
    memcpy(graph->outputs, kept, (size_t)count * sizeof *kept);
    graph->output_count = count;
    return cs_graph_finish(graph, err);
}

static void name_unused(const struct cs_package *p, const struct cs_graph *graph, const int16_t *of,
                        struct cs_session_info *info)
{
    size_t at = 0;
    info->unused[0] = '\0';
    for (int i = 0; i < graph->output_count; i++) {
        bool used = false;
        for (int k = 0; k < p->output_count; k++)
            used = used || (of[k] == i && is_used(p, k));
        if (used || at >= sizeof info->unused)
            continue;
        at += (size_t)snprintf(info->unused + at, sizeof info->unused - at, "%s%s", at ? ", " : "",
                               output_name(graph, i));
    }
}

int cs_maps_choose(const struct cs_package *p, bool keep_all, struct cs_graph *graph,
                   struct cs_session_info *info, struct cs_err *err)
{
    double threshold;
    if (match_outputs(p, graph, info->output_of, err) != 0)
        return -1;
    name_unused(p, graph, info->output_of, info);
    if (!keep_all && drop_outputs(p, graph, info->output_of, err) != 0)
        return -1;
    for (int i = 0; i < CS_JOB_MAX_MAPS; i++) {
        int output = p->map_output >= 0 ? p->map_output : p->maps[i].output;
        struct cs_map_source *source = &info->sources[i];
        if (p->map_output < 0 && i >= p->map_count)
            break;
        source->output = info->output_of[output];
        source->channel = (int16_t)(p->map_output >= 0 ? i : p->maps[i].channel);
        if (source->output >= CS_JOB_MAX_OUTPUTS)
            return cs_fail(err, CS_EMODEL, "output %s is beyond the %d first",
                           p->outputs[output].name, CS_JOB_MAX_OUTPUTS);
        if (cs_postprocessing_check(&p->outputs[output], &source->activation, &threshold, err) != 0)
            return cs_err_context(err, "output %s", p->outputs[output].name);
    }
    return 0;
}

int cs_maps_check(const struct cs_package *p, const struct cs_graph *concrete, uint32_t height,
                  uint32_t width, struct cs_session_info *info, struct cs_err *err)
{
    info->maps = p->map_output < 0 ? p->map_count : 1;
    info->same_size = true;
    for (int i = 0; i < info->maps; i++) {
        const struct cs_map_source *source = &info->sources[i];
        const struct cs_value *out = &concrete->values[concrete->outputs[source->output]];
        if (out->type != CS_TYPE_F32 || out->shape.rank != 4 || out->shape.dim[1] < 1)
            return cs_fail(err, CS_EMODEL, "output %s is not N, C, H, W of float32", out->name);
        int64_t channels = out->shape.dim[1];
        if (p->map_output >= 0 && p->map_count && p->map_count != channels)
            return cs_fail(err, CS_EMODEL,
                           "the package names %d output channels, the network gives %lld",
                           p->map_count, (long long)channels);
        if (p->map_output >= 0 && channels > CS_JOB_MAX_MAPS)
            return cs_fail(err, CS_EMODEL, "output %s has %lld channels: more than %d maps",
                           out->name, (long long)channels, CS_JOB_MAX_MAPS);
        if (source->channel >= channels)
            return cs_fail(err, CS_EMODEL, "map %s: output %s has no channel %d", p->maps[i].name,
                           out->name, source->channel);
        if (p->map_output >= 0)
            info->maps = (int)channels;
        info->same_size =
            info->same_size && out->shape.dim[2] == height && out->shape.dim[3] == width;
    }
    return 0;
}
