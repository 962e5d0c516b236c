// SPDX-License-Identifier: MIT
// cs-model: what a model package is, and whether it works here.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "base/opt.h"
#include "infer/check.h"
#include "infer/device.h"
#include "segment/postprocess.h"

static const char *device, *size;
static double tolerance = 1e-3;

static const struct cs_opt options[] = {
    {'d', "device", CS_OPT_STRING, &device, "DEVICE", "auto, cpu or ref; check: all by default",
     .env = NULL},
    {0, "size", CS_OPT_STRING, &size, "WxH", "info: memory and work for planes of this size",
     .env = NULL},
    {0, "tolerance", CS_OPT_REAL, &tolerance, "E", "check: largest difference that passes",
     .min = 0, .max = 1, .env = NULL},
    {.name = NULL},
};
static const struct cs_tool tool = {"cs-model", "info|check MODEL [OPTION]...",
                                    "Describe or check a model package.", options};

static const char *or_dash(const char *text)
{
    return text && *text ? text : "-";
}

// ---- info --------------------------------------------------------------------------------

static void print_spec(const char *what, const struct cs_tensor_spec *spec)
{
    static const char letters[] = "bcyx";
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
        printf("%s%s", i ? "," : "", or_dash(p->maps[i]));
    printf("%s\nfit\t%s\n", p->map_count ? "" : "-", cs_fit_name(p->fit));
    printf("channels\t%s\n", inputs[p->input_channels]);
    for (int i = 0; i < p->postprocess.count; i++)
        printf("post\t%s=%s\n", p->postprocess.pairs[i].key, p->postprocess.pairs[i].value);
}

static double mib(uint64_t bytes)
{
    return (double)bytes / (1 << 20);
}

static int parse_size(uint32_t *width, uint32_t *height, struct cs_err *err)
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
    if (cs_session_prepare(session, 0, 1, height, width, err) != 0)
        return -1;
    struct cs_memory_use use = cs_session_memory(session);
    printf("plane\t%ux%u\nwork\t%.3f GMAC\nmemory\t%.1f MiB weights, %.1f MiB activations, "
           "%.1f MiB workspace, %.1f MiB buffers\n",
           width, height, (double)cs_graph_macs(cs_session_graph(session)) / 1e9, mib(use.weights),
           mib(use.arena), mib(use.workspace), mib(use.buffers));
    return 0;
}

static int info(const struct cs_package *p, struct cs_err *err)
{
    struct cs_session *session = NULL;
    struct cs_session_info about;
    struct cs_device_choice choice;
    uint32_t width = 0, height = 0;
    if (size && parse_size(&width, &height, err) != 0)
        return -1;
    if (cs_device_choose(device ? device : "auto", &choice, err) != 0)
        return -1;
    struct cs_session_options o = {
        .device = choice.backend, .scenario = choice.scenario, .slots = 1, .check_files = true};
    print_package(p);
    if (cs_session_open(&session, p, &o, &about, err) != 0)
        return -1;
    printf("sha256\t%s\ndevice\t%s\nparameters\t%llu\n", about.weights_sha256, about.device_text,
           (unsigned long long)about.parameters);
    if (about.tile_safe)
        printf("tiles\tsafe, stride %u, halo %u\n", about.stride, about.halo);
    else
        printf("tiles\tnot safe (%s), stride %u\n", about.unsafe, about.stride);
    if (!size) {
        width = about.probe_width;
        height = about.probe_height;
    }
    int result = print_size(session, width, height, err);
    cs_session_close(session);
    return result;
}

// ---- check -------------------------------------------------------------------------------

static int check_file(const char *path, const char *expected, struct cs_err *err)
{
    char actual[CS_SHA256_HEX];
    if (!path)
        return 0;
    if (cs_package_check_file(path, expected, actual, err) != 0)
        return -1;
    printf("file\t%s\t%s\n", path, expected ? "sha256 agrees" : "no sha256 given");
    return 0;
}

static int check_files(const struct cs_package *p, struct cs_err *err)
{
    if (check_file(p->weights_path, p->weights_sha256, err) != 0)
        return -1;
    for (int i = 0; i < p->input_count; i++)
        if (check_file(p->inputs[i].test_path, p->inputs[i].test_sha256, err) != 0)
            return -1;
    for (int i = 0; i < p->output_count; i++)
        if (check_file(p->outputs[i].test_path, p->outputs[i].test_sha256, err) != 0)
            return -1;
    return 0;
}

// The package's wishes for cs-postprocess, which would end the stream there.
static int check_postprocess(const struct cs_package *p, struct cs_err *err)
{
    struct cs_post post;
    cs_post_init(&post);
    for (int i = 0; i < p->postprocess.count; i++) {
        const struct cs_meta_pair *pair = &p->postprocess.pairs[i];
        if (cs_post_set(&post, pair->key, pair->value, err) != 0) {
            err->code = CS_EMODEL;
            return cs_err_context(err, "%s: postprocess", p->path);
        }
    }
    return 0;
}

static int check_device(const struct cs_package *p, const char *backend, const char *scenario,
                        struct cs_err *err)
{
    struct cs_session *session = NULL;
    struct cs_session_info about;
    struct cs_session_options o = {.device = backend, .scenario = scenario, .slots = 1};
    double largest, different;
    if (cs_session_open(&session, p, &o, &about, err) != 0)
        return cs_err_context(err, "%s", backend);
    int result = cs_check_test(session, p, &about, tolerance, &largest, &different, err);
    if (result == 0)
        printf("device\t%s\tloads; the package has no test tensors\n", backend);
    if (result > 0)
        printf("device\t%s\tloads; test: largest difference %.2g\n", backend, largest);
    if (result > 0 && !(largest <= tolerance))
        result =
            cs_fail(err, CS_EMODEL, "the package's test: %.3g %% of the values differ by up to %g",
                    100 * different, largest);
    cs_session_close(session);
    return result < 0 ? cs_err_context(err, "%s: %s", p->path, backend) : 0;
}

static int check(const struct cs_package *p, struct cs_err *err)
{
    struct cs_device_choice choice;
    printf("package\t%s\t%s\n", p->path, p->name);
    if (check_files(p, err) != 0 || check_postprocess(p, err) != 0)
        return -1;
    if (device)
        return cs_device_choose(device, &choice, err) != 0
                   ? -1
                   : check_device(p, choice.backend, choice.scenario, err);
    for (int i = 0; cs_backends[i]; i++)
        if (strcmp(cs_backends[i]->name, "fake") != 0 &&
            check_device(p, cs_backends[i]->name, NULL, err) != 0)
            return -1;
    return 0;
}

int main(int argc, char **argv)
{
    struct cs_err err = {0};
    struct cs_package package = {0};
    int first;
    int parsed = cs_opt_parse(&tool, argc, argv, &first, &err);
    if (parsed)
        return parsed > 0 ? 0 : cs_opt_die(&tool, &err);
    bool is_info = argc - first == 2 && strcmp(argv[first], "info") == 0;
    if (!is_info && (argc - first != 2 || strcmp(argv[first], "check") != 0)) {
        cs_fail(&err, CS_EUSAGE, "what is asked? cs-model info MODEL or cs-model check MODEL");
        return cs_opt_die(&tool, &err);
    }
    int result = cs_package_open(&package, argv[first + 1], &err);
    if (result == 0)
        result = is_info ? info(&package, &err) : check(&package, &err);
    cs_package_release(&package);
    if (fflush(stdout) != 0 || ferror(stdout))
        result = cs_fail_errno(&err, CS_EIO, "standard output");
    return result == 0 ? 0 : cs_opt_die(&tool, &err);
}
