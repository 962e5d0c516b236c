// SPDX-License-Identifier: MIT
// cs-model: what a model package is, and whether it works here. Its verbs are in tools/verbs/.
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/opt.h"
#include "infer/session.h"
#include "verbs/verbs.h"

static struct model_options chosen = {.tolerance = 1e-3, .seconds = 2, .normalise = "percentile"};

static const struct cs_opt options[] = {
    {'d', "device", CS_OPT_STRING, &chosen.device, "DEVICE",
     "auto, cpu or ref; plan: also cuda; check: all by default", .env = NULL},
    {0, "size", CS_OPT_STRING, &chosen.size, "WxH",
     "info, plan, bench, tune: pixels of an image; package: the plane to resize to", .env = NULL},
    {'s', "slots", CS_OPT_INT, &chosen.slots, "N", "plan, bench: batches computed at once",
     .min = 1, .max = CS_MAX_SLOTS},
    {'b', "batch", CS_OPT_INT, &chosen.batch, "N", "plan, bench: images in one batch", .min = 1,
     .max = CS_MAX_BATCH},
    {'T', "threads", CS_OPT_INT, &chosen.threads, "N",
     "plan, bench, tune: of all slots; 0: all there are", .min = 0, .max = 1024,
     .env = "CELLSTREAM_THREADS"},
    {0, "memory", CS_OPT_SIZE, &chosen.memory, "SIZE", "plan: limit to obey; 0: none",
     .env = "CELLSTREAM_MEMORY"},
    {0, "compat", CS_OPT_CHOICE, &chosen.compat, "WITH",
     "plan: treat images as another program does", .choices = "none|hub", .env = NULL},
    {0, "seconds", CS_OPT_REAL, &chosen.seconds, "S", "bench, tune: length of a measurement (2)",
     .min = 0, .max = 3600, .env = NULL},
    {0, "conv", CS_OPT_CHOICE, &chosen.conv, "HOW", "bench: convolutions", .choices = "auto|direct",
     .env = "CELLSTREAM_CONV"},
    {0, "cache", CS_OPT_STRING, &chosen.cache, "DIR",
     "check, tune: folder that keeps what was found", .env = "CELLSTREAM_CACHE"},
    {0, "tolerance", CS_OPT_REAL, &chosen.tolerance, "E", "check: largest difference that passes",
     .min = 0, .max = 1, .env = NULL},
    {'o', "output", CS_OPT_STRING, &chosen.output, "DIR", "package: the folder to make",
     .env = NULL},
    {0, "name", CS_OPT_STRING, &chosen.name, "TEXT", "package: its name", .env = NULL},
    {0, "describe", CS_OPT_STRING, &chosen.describe, "TEXT", "package: its description",
     .env = NULL},
    {0, "license", CS_OPT_STRING, &chosen.license, "ID", "package: its license, as in SPDX",
     .env = NULL},
    {0, "normalise", CS_OPT_STRING, &chosen.normalise, "HOW",
     "package: none, unit, percentile, zero-mean or imagenet", .env = NULL},
    {0, "input-channels", CS_OPT_CHOICE, &chosen.input_channels, "HOW",
     "package: how images of other channels are taken", .choices = "replicate|rgb|mean",
     .env = NULL},
    {0, "fit", CS_OPT_CHOICE, &chosen.fit, "HOW", "package: how images meet the network's plane",
     .choices = "auto|native|pad|resize", .env = NULL},
    {0, "stride", CS_OPT_INT, &chosen.stride, "N", "package: planes are multiples of it; 0: found",
     .min = 0, .max = 4096, .env = NULL},
    {'p', "pixel-size", CS_OPT_REAL, &chosen.pixel_um, "UM",
     "package: micrometres a pixel of the images that the network knows", .min = 1e-6, .max = 1e6,
     .env = NULL},
    {0, "activation", CS_OPT_STRING, &chosen.activation, "HOW",
     "package: behind the network: auto, none, sigmoid or softmax, or OUTPUT=HOW,...", .env = NULL},
    {0, "maps", CS_OPT_STRING, &chosen.maps, "LIST", "package: names of the output's channels",
     .env = NULL},
    {0, "post", CS_OPT_STRING, &chosen.post, "LIST",
     "package: defaults of cs-postprocess, threshold=0.4,...", .env = NULL},
    {0, "test", CS_OPT_STRING, &chosen.test, "FILE", "package: a test image as NPY (1, C, H, W)",
     .env = NULL},
    {.name = NULL},
};
static const struct cs_tool tool = {"cs-model",
                                    "info|hash|check|plan|bench|tune|package MODEL [OPTION]...",
                                    "Describe, check, measure or make a model package.", options};

static const struct verb {
    const char *name;
    int (*run)(const struct model_options *, const struct cs_package *, struct cs_err *);
    int (*make)(const struct model_options *, const char *onnx, struct cs_err *); // of no package
} verbs[] = {{"info", model_info, NULL},       {"hash", model_hash, NULL},
             {"check", model_check, NULL},     {"plan", model_plan, NULL},
             {"bench", model_bench, NULL},     {"tune", model_tune, NULL},
             {"package", NULL, model_package}, {NULL, NULL, NULL}};

static const struct verb *find_verb(const char *name)
{
    const struct verb *verb = verbs;
    while (verb->name && strcmp(verb->name, name) != 0)
        verb++;
    return verb->name ? verb : NULL;
}

int main(int argc, char **argv)
{
    struct cs_err err = {0};
    struct cs_package package = {0};
    int first;
    if (cs_limit_spinning()) // as in cs-infer's worker
        execv("/proc/self/exe", argv);
    int parsed = cs_opt_parse(&tool, argc, argv, &first, &err);
    if (parsed)
        return parsed > 0 ? 0 : cs_opt_die(&tool, &err);
    const struct verb *verb = argc - first == 2 ? find_verb(argv[first]) : NULL;
    if (!verb) {
        cs_fail(&err, CS_EUSAGE, "what is asked? cs-model %s (see --help)", tool.synopsis);
        return cs_opt_die(&tool, &err);
    }
    int result = verb->make ? verb->make(&chosen, argv[first + 1], &err)
                            : cs_package_open(&package, argv[first + 1], &err);
    if (result == 0 && verb->run)
        result = verb->run(&chosen, &package, &err);
    cs_package_release(&package);
    if (fflush(stdout) != 0 || ferror(stdout))
        result = cs_fail_errno(&err, CS_EIO, "standard output");
    return result == 0 ? 0 : cs_opt_die(&tool, &err);
}
