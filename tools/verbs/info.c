// SPDX-License-Identifier: MIT
// cs-model info: what a package says of itself and what its network needs on a device.
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "infer/check.h"
#include "infer/device.h"
#include "verbs.h"

static const char *or_dash(const char *text)
{
    return text && *text ? text : "-";
}

static void print_spec(const char *what, const struct cs_tensor_spec *spec)
{
    static const char letters[] = "bcyx?";
    printf("%s\t%s\t%s", what, spec->name, spec->type);
    for (int i = 0; i < spec->axis_count; i++) {
        const struct cs_axis *a = &spec->axes[i];
        printf("%c%c", i ? ' ' : '\t', letters[a->kind]);
        if (a->size)
            printf("=%lld", (long long)a->size);
        if (a->step)
            printf("+%lldk", (long long)a->step);
    }
    for (int i = 0; i < spec->step_count; i++)
        printf("%s%s", i ? ", " : "\t", cs_step_name(spec->steps[i].op));
    putchar('\n');
}

static void print_package(const struct cs_package *p)
{
    static const char *const inputs[] = {"replicate", "rgb", "mean"};
    printf("name\t%s\nversion\t%s\ndescription\t%s\nlicense\t%s\nformat\t%s\nfolder\t%s\n", p->name,
           or_dash(p->version), or_dash(p->description), or_dash(p->license), p->format_version,
           p->folder);
    printf("weights\t%s\n", p->weights_path);
    for (int i = 0; i < p->input_count; i++)
        print_spec("input", &p->inputs[i]);
    for (int i = 0; i < p->output_count; i++)
        print_spec("output", &p->outputs[i]);
    printf("maps\t");
    for (int i = 0; i < p->map_count; i++)
        printf("%s%s", i ? "," : "", p->maps[i].name);
    puts(p->map_count ? "" : "-");
    for (int i = 0; i < p->map_count && p->map_output < 0; i++)
        printf("map\t%s\t%s\t%d\n", p->maps[i].name, p->outputs[p->maps[i].output].name,
               p->maps[i].channel);
    printf("fit\t%s\n", cs_fit_name(p->fit));
    if (p->pixel_um > 0)
        printf("pixel\t%g um\n", p->pixel_um);
    printf("channels\t%s\n", inputs[p->input_channels]);
    for (int i = 0; i < p->postprocess.count; i++)
        printf("post\t%s=%s\n", p->postprocess.pairs[i].key, p->postprocess.pairs[i].value);
}

static double mib(uint64_t bytes)
{
    return (double)bytes / (1 << 20);
}

int model_size(const char *size, uint32_t *width, uint32_t *height, struct cs_err *err)
{
    const char *x = strchr(size, 'x');
    char first[16];
    int64_t w, h;
    if (!x || x - size >= (int)sizeof first)
        return cs_fail(err, CS_EUSAGE, "--size: '%s' is not WIDTHxHEIGHT", size);
    snprintf(first, sizeof first, "%.*s", (int)(x - size), size);
    if (cs_num_int(first, 1, CS_PACKAGE_MAX_SIDE, "--size", &w, err) != 0 ||
        cs_num_int(x + 1, 1, CS_PACKAGE_MAX_SIDE, "--size", &h, err) != 0)
        return -1;
    *width = (uint32_t)w;
    *height = (uint32_t)h;
    return 0;
}

static int print_size(struct cs_session *session, uint32_t width, uint32_t height,
                      struct cs_err *err)
{
    struct cs_session_memory memory;
    const struct cs_graph *graph;
    const struct cs_session_key key = {.batch = 1, .height = height, .width = width};
    if (cs_session_look(session, &key, &memory, &graph, err) != 0)
        return -1;
    printf("plane\t%ux%u\nwork\t%.3f GMAC\nmemory\t%.1f MiB weights, %.1f MiB activations, "
           "%.1f MiB workspace\n",
           width, height, (double)cs_graph_macs(graph) / 1e9, mib(memory.weights),
           mib(memory.slot.arena), mib(memory.slot.workspace));
    return 0;
}

int model_hash(const struct model_options *options, const struct cs_package *p, struct cs_err *err)
{
    char weights[CS_SHA256_HEX], external[CS_SHA256_HEX];
    (void)options;
    if (cs_package_check_file(p->weights_path, p->weights_sha256, weights, err) != 0 ||
        (p->external_path &&
         cs_package_check_file(p->external_path, p->external_sha256, external, err) != 0))
        return -1;
    puts(weights);
    return 0;
}

int model_info(const struct model_options *options, const struct cs_package *p, struct cs_err *err)
{
    struct cs_session *session = NULL;
    struct cs_session_info about;
    struct cs_device_choice choice;
    uint32_t width = 0, height = 0;
    if (options->size && model_size(options->size, &width, &height, err) != 0)
        return -1;
    if (cs_device_choose(options->device ? options->device : "auto", &choice, err) != 0)
        return -1;
    struct cs_session_options o = {
        .device = choice.backend, .detail = choice.detail, .slots = 1, .check_files = true};
    print_package(p);
    if (cs_session_open(&session, p, &o, &about, err) != 0)
        return -1;
    printf("sha256\t%s\ndevice\t%s\nparameters\t%llu\n", about.weights_sha256, about.device_text,
           (unsigned long long)about.parameters);
    if (about.unused[0])
        printf("unused\t%s\n", about.unused);
    if (about.tile_safe)
        printf("tiles\tsafe, stride %u, halo %u\n", about.stride, about.halo);
    else
        printf("tiles\tnot safe (%s), stride %u\n", about.unsafe, about.stride);
    if (!options->size) {
        width = about.probe_width;
        height = about.probe_height;
    }
    int result = print_size(session, width, height, err);
    cs_session_close(session);
    return result;
}
