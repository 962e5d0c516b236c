// SPDX-License-Identifier: MIT
// cs-model: what a model package is, and whether it works here. The verbs are in tools/model/.
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/opt.h"
#include "infer/session.h"
#include "verbs/verbs.h"

static struct model_options chosen = {.tolerance = 1e-3, .seconds = 2};

static const struct cs_opt options[] = {
    {'d', "device", CS_OPT_STRING, &chosen.device, "DEVICE",
     "auto, cpu or ref; check: all by default", .env = NULL},
    {0, "size", CS_OPT_STRING, &chosen.size, "WxH", "info, bench, tune: pixels of an image",
     .env = NULL},
    {'s', "slots", CS_OPT_INT, &chosen.slots, "N", "bench: batches computed at once", .min = 1,
     .max = CS_MAX_SLOTS},
    {'b', "batch", CS_OPT_INT, &chosen.batch, "N", "bench: images in one batch", .min = 1,
     .max = CS_MAX_BATCH},
    {'T', "threads", CS_OPT_INT, &chosen.threads, "N",
     "bench, tune: of all slots; 0: all there are", .min = 0, .max = 1024,
     .env = "CELLSTREAM_THREADS"},
    {0, "seconds", CS_OPT_REAL, &chosen.seconds, "S", "bench, tune: length of a measurement (2)",
     .min = 0, .max = 3600, .env = NULL},
    {0, "cache", CS_OPT_STRING, &chosen.cache, "DIR", "tune: folder that keeps the choice",
     .env = "CELLSTREAM_CACHE"},
    {0, "tolerance", CS_OPT_REAL, &chosen.tolerance, "E", "check: largest difference that passes",
     .min = 0, .max = 1, .env = NULL},
    {.name = NULL},
};
static const struct cs_tool tool = {"cs-model", "info|check|bench|tune MODEL [OPTION]...",
                                    "Describe, check or measure a model package.", options};

static const struct verb {
    const char *name;
    int (*run)(const struct model_options *, const struct cs_package *, struct cs_err *);
} verbs[] = {{"info", model_info},
             {"check", model_check},
             {"bench", model_bench},
             {"tune", model_tune},
             {NULL, NULL}};

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
        cs_fail(&err, CS_EUSAGE, "what is asked? cs-model VERB MODEL; see cs-model --help");
        return cs_opt_die(&tool, &err);
    }
    int result = cs_package_open(&package, argv[first + 1], &err);
    if (result == 0)
        result = verb->run(&chosen, &package, &err);
    cs_package_release(&package);
    if (fflush(stdout) != 0 || ferror(stdout))
        result = cs_fail_errno(&err, CS_EIO, "standard output");
    return result == 0 ? 0 : cs_opt_die(&tool, &err);
}
