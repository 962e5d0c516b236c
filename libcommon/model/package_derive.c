// SPDX-License-Identifier: MIT
// Method: the graph is inferred for planes of several sizes (graph/infer.c); what it refuses, the
// network does not take.
#include "model/package_derive_inside.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"

enum { LEAST_SIDE = 32, MOST_STRIDE = 256, PROBE_SIDE = 64 };

// ---- Names -------------------------------------------------------------------------------

const char *cs_derive_identifier(struct cs_arena *arena, const char *name, const char *fallback)
{
    char *id = cs_arena_strndup(arena, name, 32);
    bool good = isalpha((unsigned char)*id);
    for (char *c = id; *c; c++) {
        *c = (char)tolower((unsigned char)*c);
        if (!isalnum((unsigned char)*c))
            *c = '_';
    }
    return good ? id : fallback;
}

const char *cs_derive_numbered(struct cs_arena *arena, const char *name, int number)
{
    char *text = cs_xasprintf("%s%d", name, number);
    const char *copy = cs_arena_strdup(arena, text);
    free(text);
    return copy;
}

// ---- Planes ------------------------------------------------------------------------------

// Whether the network takes planes of this size; the concrete graph is kept.
static int try_plane(struct cs_deriver *d, int64_t height, int64_t width, struct cs_err *err)
{
    struct cs_shape shape = {.rank = 4, .dim = {1, d->channels, height, width}};
    cs_graph_release(&d->concrete);
    d->concrete = (struct cs_graph){0};
    return cs_graph_infer(d->graph, &shape, &d->concrete, err);
}

// Outputs must keep the proportions of a plane that the network really takes.
static int try_proportions(struct cs_deriver *d, int64_t height, int64_t width, struct cs_err *err)
{
    if (try_plane(d, height, width, err) != 0)
        return -1;
    for (int k = 0; k < d->concrete.output_count; k++) {
        const struct cs_value *out = &d->concrete.values[d->concrete.outputs[k]];
        int64_t h = out->shape.dim[2], w = out->shape.dim[3];
        if (out->shape.rank == 4 && h > 1 && w > 1 && h * width != w * height)
            return cs_fail(err, CS_EMODEL, "output %s is %lldx%lld for planes of %lldx%lld",
                           out->name, (long long)w, (long long)h, (long long)width,
                           (long long)height);
    }
    return 0;
}

// Planes whose sides are an even and an odd multiple of the unit, both ways round.
static int try_unit(struct cs_deriver *d, int64_t unit, int64_t least, struct cs_err *err)
{
    int64_t side = (least + unit - 1) / unit * unit;
    return try_proportions(d, side, side + unit, err) != 0
               ? -1
               : try_proportions(d, side + unit, side, err);
}

static int find_stride(struct cs_deriver *d, int64_t *stride)
{
    struct cs_reach reach;
    struct cs_err why;
    if (d->options->stride) {
        *stride = d->options->stride;
        if (try_unit(d, *stride, PROBE_SIDE, &why) != 0)
            return cs_fail(d->err, CS_EUSAGE, "--stride %lld: %s", (long long)*stride, why.text);
        return 0;
    }
    if (cs_graph_reach(d->graph, &reach, d->err) != 0)
        return -1;
    *stride = reach.stride > 0 ? reach.stride : 1;
    while (try_unit(d, *stride, PROBE_SIDE, &why) != 0) {
        *stride *= 2;
        if (*stride > MOST_STRIDE)
            return cs_fail(d->err, CS_EUSAGE,
                           "no stride was found whose multiples it takes (%.200s): say --size",
                           why.text);
    }
    return 0;
}

static void set_axis(struct cs_deriver *d, enum cs_axis_kind kind, int64_t size, int64_t step)
{
    struct cs_axis *axes = d->package->inputs[0].axes;
    for (int i = 0; i < d->package->inputs[0].axis_count; i++)
        if (axes[i].kind == kind)
            axes[i] = (struct cs_axis){.kind = kind, .size = size, .step = step};
}

// Images are resized to one plane, given by the graph or by the user.
static int derive_fixed(struct cs_deriver *d, int64_t height, int64_t width)
{
    const struct cs_derive_options *o = d->options;
    struct cs_err why;
    if (o->stride || (o->fit && o->fit != 1 + CS_FIT_RESIZE))
        return cs_fail(d->err, CS_EUSAGE,
                       "the network takes planes of %lldx%lld alone: %s cannot be",
                       (long long)width, (long long)height,
                       o->stride ? "--stride" : "another --fit than resize");
    if (try_plane(d, height, width, &why) != 0)
        return cs_fail(d->err, CS_EUSAGE, "planes of %lldx%lld: %s", (long long)width,
                       (long long)height, why.text);
    d->package->fit = CS_FIT_RESIZE;
    d->package->fit_height = height;
    d->package->fit_width = width;
    d->package->stride = 1;
    set_axis(d, CS_AXIS_Y, height, 0);
    set_axis(d, CS_AXIS_X, width, 0);
    return 0;
}

static int derive_free(struct cs_deriver *d)
{
    const struct cs_derive_options *o = d->options;
    struct cs_package *p = d->package;
    int64_t stride;
    if (find_stride(d, &stride) != 0)
        return -1;
    int64_t least = stride;
    while (least < LEAST_SIDE || (least < PROBE_SIDE && try_unit(d, stride, least, NULL) != 0))
        least += stride;
    set_axis(d, CS_AXIS_Y, least, stride > 1 ? stride : 1);
    set_axis(d, CS_AXIS_X, least, stride > 1 ? stride : 1);
    p->stride = stride;
    p->fit = o->fit ? (enum cs_fit)(o->fit - 1) : o->height ? CS_FIT_RESIZE : CS_FIT_PAD;
    if (p->fit == CS_FIT_RESIZE && !o->height)
        return cs_fail(d->err, CS_EUSAGE, "--fit resize needs --size");
    if (p->fit != CS_FIT_RESIZE && o->height)
        return cs_fail(d->err, CS_EUSAGE, "--size goes with --fit resize");
    p->fit_height = o->height;
    p->fit_width = o->width;
    if (o->height && (o->height % stride || o->width % stride))
        return cs_fail(d->err, CS_EUSAGE, "--size %ux%u: the network takes multiples of %lld",
                       o->width, o->height, (long long)stride);
    struct cs_err why;
    if (o->height && try_plane(d, o->height, o->width, &why) != 0)
        return cs_fail(d->err, CS_EUSAGE, "--size %ux%u: %s", o->width, o->height, why.text);
    return try_plane(d, least, least, d->err);
}

static int derive_plane(struct cs_deriver *d)
{
    const struct cs_shape *in = &d->graph->values[d->graph->inputs[0]].shape;
    const struct cs_derive_options *o = d->options;
    int64_t height = in->dim[2], width = in->dim[3];
    if ((height > 0 && o->height && height != o->height) ||
        (width > 0 && o->width && width != o->width))
        return cs_fail(d->err, CS_EUSAGE, "--size %ux%u: the network takes %lldx%lld (-1: any)",
                       o->width, o->height, (long long)width, (long long)height);
    height = height > 0 ? height : o->height;
    width = width > 0 ? width : o->width;
    bool bound = in->dim[2] > 0 || in->dim[3] > 0;
    if (bound && !(height && width))
        return cs_fail(d->err, CS_EUSAGE, "the network fixes one side of its plane: say --size");
    if (bound)
        return derive_fixed(d, height, width);
    // A network may take one size though its input declares none.
    if (o->height && !o->stride && try_unit(d, PROBE_SIDE, PROBE_SIDE, NULL) != 0)
        return derive_fixed(d, height, width);
    return derive_free(d);
}

// ---- Input -------------------------------------------------------------------------------

// Channels that the graph leaves open are those of the first convolution's weights.
static int64_t channels_of_weights(const struct cs_graph *g)
{
    for (int i = 0; i < g->node_count; i++) {
        const struct cs_node *node = &g->nodes[i];
        const struct cs_value *w = cs_node_input(g, node, 1);
        if (strcmp(node->op, "Conv") == 0 && node->inputs[0] == g->inputs[0] && w && w->data)
            return w->shape.dim[1] * cs_node_int(node, "group", 1);
    }
    return 0;
}

static int derive_input(struct cs_deriver *d)
{
    const struct cs_graph *g = d->graph;
    struct cs_package *p = d->package;
    const struct cs_value *in = &g->values[g->inputs[0]];
    static const char *const rgb[] = {"red", "green", "blue"};
    if (g->input_count != 1)
        return cs_fail(d->err, CS_EMODEL, "%d inputs: one is supported", g->input_count);
    if (in->shape.rank != 4 || in->shape.dim[0] > 1)
        return cs_fail(d->err, CS_EMODEL, "input %s is not N, C, H, W with N of 1 or any size",
                       in->name);
    d->channels = in->shape.dim[1] > 0 ? in->shape.dim[1] : channels_of_weights(g);
    if (d->channels < 1 || d->channels > CS_PACKAGE_MAX_CHANNELS)
        return cs_fail(d->err, CS_EMODEL, "input %s has %lld channels, 1 to %d are supported",
                       in->name, (long long)d->channels, CS_PACKAGE_MAX_CHANNELS);
    struct cs_tensor_spec *spec = &p->inputs[p->input_count++];
    *spec = (struct cs_tensor_spec){
        .name = cs_derive_identifier(&p->arena, in->name, "input"),
        .type = "float32",
        .axes = {{.kind = CS_AXIS_BATCH},
                 {.kind = CS_AXIS_CHANNEL, .size = d->channels},
                 {.kind = CS_AXIS_Y},
                 {.kind = CS_AXIS_X}},
        .axis_count = 4,
        .channel_count = (int)d->channels,
    };
    for (int c = 0; c < spec->channel_count; c++)
        spec->channels[c] = spec->channel_count == 1 ? "intensity"
                            : spec->channel_count == 3
                                ? rgb[c]
                                : cs_derive_numbered(&p->arena, "channel", c);
    return 0;
}

// The numbers behind "word:", which may be left out.
static int numbers(const char *text, size_t word, double *values, int count, double max,
                   struct cs_err *err)
{
    const char *at = text + word;
    if (!*at)
        return 0;
    for (int i = 0; i < count; i++) {
        size_t len = strcspn(++at, ",");
        char *one = cs_xstrndup(at, len);
        int result = cs_num_real(one, 0, max, "--normalise", &values[i], err);
        free(one);
        if (result != 0)
            return -1;
        at += len;
        if ((*at == ',') != (i + 1 < count))
            return cs_fail(err, CS_EUSAGE, "--normalise %s: %d numbers are needed", text, count);
    }
    return 0;
}

static int imagenet(struct cs_deriver *d, struct cs_step *step)
{
    static const double mean[] = {0.485, 0.456, 0.406}, deviation[] = {0.229, 0.224, 0.225};
    if (d->channels != 3)
        return cs_fail(d->err, CS_EUSAGE,
                       "--normalise imagenet is for three channels, the network takes %lld",
                       (long long)d->channels);
    *step = (struct cs_step){.op = CS_STEP_FIXED_ZERO_MEAN, .eps = CS_DERIVE_EPS, .count = 3};
    for (int c = 0; c < 3; c++) {
        step->a[c] = mean[c] * 255;
        step->b[c] = deviation[c] * 255;
    }
    return 0;
}

static int derive_steps(struct cs_deriver *d)
{
    const char *text = d->options->normalise;
    size_t word = strcspn(text, ":");
    struct cs_tensor_spec *spec = &d->package->inputs[0];
    struct cs_step *step = &spec->steps[0];
    double limits[] = {1, 99.8}, most = 255;
    *step = (struct cs_step){.eps = CS_DERIVE_EPS, .count = 1};
    spec->step_count = 1;
    if (strcmp(text, "none") == 0) {
        spec->step_count = 0;
        return 0;
    }
    if (strcmp(text, "imagenet") == 0)
        return imagenet(d, step);
    if (strcmp(text, "zero-mean") == 0) {
        step->op = CS_STEP_ZERO_MEAN;
        return 0;
    }
    if (word == 4 && strncmp(text, "unit", word) == 0) {
        if (numbers(text, word, &most, 1, 1e30, d->err) != 0)
            return -1;
        step->op = CS_STEP_SCALE_LINEAR;
        for (int c = 0; c < CS_PACKAGE_MAX_CHANNELS; c++)
            step->a[c] = 1 / most; // one value for all, as the reader has it
        return most > 0 ? 0 : cs_fail(d->err, CS_EUSAGE, "--normalise %s: not above 0", text);
    }
    if (word == 10 && strncmp(text, "percentile", word) == 0) {
        if (numbers(text, word, limits, 2, 100, d->err) != 0)
            return -1;
        step->op = CS_STEP_SCALE_RANGE;
        step->a[0] = limits[0];
        step->b[0] = limits[1];
        return limits[0] < limits[1]
                   ? 0
                   : cs_fail(d->err, CS_EUSAGE, "--normalise %s: not in order", text);
    }
    return cs_fail(d->err, CS_EUSAGE, "--normalise: '%s' is not known (see --help)", text);
}

// ---- The whole ---------------------------------------------------------------------------

int cs_package_derive(struct cs_package *package, const struct cs_graph *graph,
                      const struct cs_derive_options *options, struct cs_err *err)
{
    struct cs_deriver d = {.package = package, .graph = graph, .options = options, .err = err};
    package->name = options->name;
    package->version = "1.0.0";
    package->description = options->description;
    package->license = options->license;
    package->input_channels = options->input_channels;
    int result = -1;
    if (derive_input(&d) == 0 && derive_steps(&d) == 0 && derive_plane(&d) == 0)
        result = cs_derive_outputs(&d);
    cs_graph_release(&d.concrete);
    return result;
}
