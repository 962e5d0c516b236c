// SPDX-License-Identifier: MIT
// The outputs of a bare network, which of their channels are maps, and what activation they lack.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "model/package_derive_inside.h"

enum { MAX_DEPTH = 1000 };

// ---- Outputs -----------------------------------------------------------------------------

static bool is_plane(const struct cs_value *value)
{
    return value->type == CS_TYPE_F32 && value->shape.rank == 4 &&
           value->shape.dim[1] <= CS_PACKAGE_MAX_CHANNELS;
}

// The node whose probabilities the value holds, NULL for none: operators that move samples, or mix
// neighbours with weights that sum to one, are looked through.
static const struct cs_node *probability(const struct cs_graph *g, int value, int depth)
{
    static const char *const transparent[] = {"Identity", "Dropout",   "Resize",  "Upsample",
                                              "Slice",    "Gather",    "Squeeze", "Unsqueeze",
                                              "Reshape",  "Transpose", "Split",   "MaxPool"};
    int made_by = g->values[value].producer;
    if (made_by < 0 || depth > MAX_DEPTH)
        return NULL;
    const struct cs_node *node = &g->nodes[made_by], *found = NULL;
    if (strcmp(node->op, "Sigmoid") == 0 || strcmp(node->op, "Softmax") == 0 ||
        strcmp(node->op, "HardSigmoid") == 0)
        return node;
    for (size_t i = 0; i < sizeof transparent / sizeof *transparent; i++)
        if (strcmp(node->op, transparent[i]) == 0)
            return probability(g, node->inputs[0], depth + 1);
    if (strcmp(node->op, "Concat") != 0)
        return NULL;
    for (int i = 0; i < node->input_count; i++) {
        found = probability(g, node->inputs[i], depth + 1);
        if (!found)
            return NULL;
    }
    return found;
}

// The specification of one output. Only what gives a map must be a plane of the input's size.
static void describe_output(struct cs_deriver *d, int output)
{
    struct cs_package *p = d->package;
    const struct cs_graph *g = &d->concrete;
    const struct cs_value *value = &g->values[g->outputs[output]];
    const struct cs_shape *s = &value->shape, *in = &g->values[g->inputs[0]].shape;
    struct cs_tensor_spec *spec = &p->outputs[p->output_count++];
    *spec = (struct cs_tensor_spec){
        .name = cs_derive_identifier(&p->arena, value->name,
                                     cs_derive_numbered(&p->arena, "output", output)),
        .type = cs_type_name(value->type),
        .axes = {{.kind = CS_AXIS_BATCH}},
        .axis_count = 1,
    };
    bool plane = is_plane(value);
    for (int i = 1; i < s->rank && i < CS_PACKAGE_MAX_AXES; i++) {
        struct cs_axis *axis = &spec->axes[spec->axis_count++];
        *axis = (struct cs_axis){.kind = plane ? (enum cs_axis_kind)i : CS_AXIS_OTHER};
        // Along the plane the output follows the input, whatever their ratio.
        if (plane && i > 1 && s->dim[i] != in->dim[i])
            axis->scale = (double)in->dim[i] / (double)s->dim[i];
        if (!plane || i == 1)
            axis->size = s->dim[i];
    }
    if (!plane)
        return;
    spec->channel_count = (int)s->dim[1];
    for (int c = 0; c < spec->channel_count; c++)
        spec->channels[c] = cs_derive_numbered(&p->arena, "channel", c);
}

static int describe_outputs(struct cs_deriver *d)
{
    struct cs_package *p = d->package;
    if (d->concrete.output_count > CS_PACKAGE_MAX_TENSORS)
        return cs_fail(d->err, CS_EMODEL, "%d outputs, at most %d are supported",
                       d->concrete.output_count, CS_PACKAGE_MAX_TENSORS);
    for (int k = 0; k < d->concrete.output_count; k++) {
        describe_output(d, k);
        bool taken = strcmp(p->inputs[0].name, p->outputs[k].name) == 0;
        for (int i = 0; i < k; i++)
            taken = taken || strcmp(p->outputs[i].name, p->outputs[k].name) == 0;
        if (taken)
            p->outputs[k].name = cs_derive_numbered(&p->arena, "output", k);
    }
    p->map_output = 0;
    while (p->map_output < p->output_count && !cs_tensor_is_image(&p->outputs[p->map_output]))
        p->map_output++;
    return p->map_output < p->output_count
               ? 0
               : cs_fail(d->err, CS_EMODEL,
                         "no output is N, C, H, W of float32 with 1 to %d channels",
                         CS_PACKAGE_MAX_CHANNELS);
}

// By the package's name or the graph's; -1: there is none.
static int find_output(const struct cs_deriver *d, const char *name, size_t len)
{
    const struct cs_graph *g = &d->concrete;
    for (int k = 0; k < d->package->output_count; k++) {
        const char *names[] = {d->package->outputs[k].name, g->values[g->outputs[k]].name};
        for (int i = 0; i < 2; i++)
            if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
                return k;
    }
    return -1;
}

// ---- Maps --------------------------------------------------------------------------------

// NAME=OUTPUT or NAME=OUTPUT.CHANNEL
static int named_map(struct cs_deriver *d, const char *text, size_t len, struct cs_package_map *map)
{
    struct cs_package *p = d->package;
    const char *equals = memchr(text, '=', len), *output = equals + 1;
    size_t output_len = len - (size_t)(output - text);
    int64_t channel = 0;
    map->output = find_output(d, output, output_len);
    for (size_t dot = output_len; map->output < 0 && dot > 0; dot--) {
        if (output[dot - 1] != '.')
            continue;
        char *number = cs_xstrndup(output + dot, output_len - dot);
        int result = cs_num_int(number, 0, CS_PACKAGE_MAX_CHANNELS, "--maps", &channel, d->err);
        free(number);
        if (result != 0)
            return -1;
        map->output = find_output(d, output, dot - 1);
        break;
    }
    if (map->output < 0 || !cs_tensor_is_image(&p->outputs[map->output]) ||
        channel >= p->outputs[map->output].channel_count)
        return cs_fail(d->err, CS_EUSAGE, "--maps: the network has no map %.*s", (int)output_len,
                       output);
    map->channel = (int)channel;
    map->name = cs_arena_strndup(&p->arena, text, (size_t)(equals - text));
    p->map_output = -1;
    return 0;
}

static int list_maps(struct cs_deriver *d, const char *list)
{
    struct cs_package *p = d->package;
    int named = 0;
    for (const char *at = list; at;) {
        size_t len = strcspn(at, ",");
        struct cs_package_map *map = &p->maps[p->map_count];
        if (!len || *at == '=' || p->map_count == CS_PACKAGE_MAX_CHANNELS)
            return cs_fail(d->err, CS_EUSAGE, "--maps: '%s' is no list of names", list);
        if (memchr(at, '=', len)) {
            named++;
            if (named_map(d, at, len, map) != 0)
                return -1;
        } else {
            *map = (struct cs_package_map){.name = cs_arena_strndup(&p->arena, at, len),
                                           .output = p->map_output,
                                           .channel = p->map_count};
        }
        p->map_count++;
        at = at[len] ? at + len + 1 : NULL;
    }
    if (named && named != p->map_count)
        return cs_fail(d->err, CS_EUSAGE, "--maps: '%s': all names have outputs, or none", list);
    if (!named && p->map_count != p->outputs[p->map_output].channel_count)
        return cs_fail(d->err, CS_EUSAGE, "--maps %s: %d names, output %s has %d channels", list,
                       p->map_count, p->outputs[p->map_output].name,
                       p->outputs[p->map_output].channel_count);
    return 0;
}

static int derive_maps(struct cs_deriver *d)
{
    struct cs_package *p = d->package;
    struct cs_tensor_spec *spec = &p->outputs[p->map_output];
    const char *list = d->options->maps;
    const struct cs_node *made_by =
        probability(&d->concrete, d->concrete.outputs[p->map_output], 0);
    bool softmax = made_by ? strcmp(made_by->op, "Softmax") == 0
                           : d->options->activation && !strcmp(d->options->activation, "softmax");
    if (!list && spec->channel_count == 1)
        list = "foreground";
    if (!list && spec->channel_count == 2 && softmax)
        list = "background,foreground";
    if (!list)
        return cs_fail(d->err, CS_EUSAGE,
                       "output %s has %d channels: name them with --maps, one \"foreground\"",
                       spec->name, spec->channel_count);
    if (list_maps(d, list) != 0)
        return -1;
    const struct cs_graph *g = &d->concrete;
    const int64_t *in = g->values[g->inputs[0]].shape.dim;
    for (int i = 0; i < p->map_count; i++) {
        const struct cs_package_map *map = &p->maps[i];
        const int64_t *out = g->values[g->outputs[map->output]].shape.dim;
        p->outputs[map->output].channels[map->channel] = map->name;
        if (p->fit != CS_FIT_RESIZE && (out[2] != in[2] || out[3] != in[3]))
            return cs_fail(d->err, CS_EUSAGE,
                           "output %s has another size than the input: images must be resized to "
                           "a plane, say --size",
                           p->outputs[map->output].name);
    }
    return 0;
}

// ---- Activations -------------------------------------------------------------------------

// What the user says of this output: ACTIVATION, or OUTPUT=ACTIVATION,...; "auto" without a word.
static int asked_activation(struct cs_deriver *d, int output, const char **word, size_t *len)
{
    const char *text = d->options->activation;
    *word = "auto";
    *len = strlen(*word);
    if (text && !strchr(text, '=')) {
        *word = text;
        *len = strlen(text);
    }
    for (const char *at = text; at && strchr(text, '=');) {
        size_t all = strcspn(at, ","), name = strcspn(at, "=");
        int k = name < all ? find_output(d, at, name) : -1;
        if (k < 0)
            return cs_fail(d->err, CS_EUSAGE, "--activation: '%.*s' names no output", (int)all, at);
        if (k == output) {
            *word = at + name + 1;
            *len = all - name - 1;
        }
        at = at[all] ? at + all + 1 : NULL;
    }
    return 0;
}

static int derive_activation(struct cs_deriver *d, int output)
{
    static const struct {
        const char *word;
        enum cs_step_op op;
    } known[] = {{"sigmoid", CS_STEP_SIGMOID}, {"softmax", CS_STEP_SOFTMAX}};
    struct cs_tensor_spec *spec = &d->package->outputs[output];
    const struct cs_node *made_by = probability(&d->concrete, d->concrete.outputs[output], 0);
    struct cs_step step = {.op = CS_STEP_SIGMOID, .eps = CS_DERIVE_EPS, .count = 1};
    const char *word;
    size_t len;
    if (asked_activation(d, output, &word, &len) != 0)
        return -1;
    bool none = len == 4 && memcmp(word, "none", len) == 0;
    bool found = len == 4 && memcmp(word, "auto", len) == 0;
    bool guess = found;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strlen(known[i].word) != len || memcmp(known[i].word, word, len) != 0)
            continue;
        step.op = known[i].op;
        found = true;
    }
    if (!found && !none)
        return cs_fail(d->err, CS_EUSAGE, "--activation: '%.*s' is not known (see --help)",
                       (int)len, word);
    if (made_by && !guess && !none)
        return cs_fail(d->err, CS_EUSAGE,
                       "--activation: output %s is a probability already (%s %s)", spec->name,
                       made_by->op, made_by->name);
    if (made_by || none)
        return 0;
    if (guess && spec->channel_count > 1)
        return cs_fail(d->err, CS_EUSAGE,
                       "output %s has %d channels that are no probabilities: say --activation",
                       spec->name, spec->channel_count);
    spec->steps[spec->step_count++] = step;
    return 0;
}

static int derive_activations(struct cs_deriver *d)
{
    const struct cs_package *p = d->package;
    bool done[CS_PACKAGE_MAX_TENSORS] = {false};
    for (int i = 0; i < p->map_count; i++) {
        int output = p->maps[i].output;
        if (!done[output] && derive_activation(d, output) != 0)
            return -1;
        done[output] = true;
    }
    return 0;
}

int cs_derive_outputs(struct cs_deriver *d)
{
    return describe_outputs(d) != 0 || derive_maps(d) != 0 ? -1 : derive_activations(d);
}
