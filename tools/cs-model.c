// SPDX-License-Identifier: MIT
// cs-model: what a model package is, and whether it works here. The verbs are in tools/model/.
#include <stdio.h>
#include <string.h>

#include "base/opt.h"
#include "verbs/verbs.h"

static struct model_options chosen = {.tolerance = 1e-3};

static const struct cs_opt options[] = {
    {'d', "device", CS_OPT_STRING, &chosen.device, "DEVICE",
     "auto, cpu or ref; check: all by default", .env = NULL},
    {0, "size", CS_OPT_STRING, &chosen.size, "WxH", "info: memory and work for planes of this size",
     .env = NULL},
    {0, "tolerance", CS_OPT_REAL, &chosen.tolerance, "E", "check: largest difference that passes",
     .min = 0, .max = 1, .env = NULL},
    {.name = NULL},
};
static const struct cs_tool tool = {"cs-model", "info|check MODEL [OPTION]...",
                                    "Describe or check a model package.", options};

static const struct verb {
    const char *name;
    int (*run)(const struct model_options *, const struct cs_package *, struct cs_err *);
} verbs[] = {{"info", model_info}, {"check", model_check}, {NULL, NULL}};

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
