// SPDX-License-Identifier: MIT
// Images a second on a device: whole batches, decoded pixels to finished maps, on 1 and on more
// slots, for batches of several sizes, in every precision that the device offers.
//
//     slots [-d DEVICE] [-s SLOTS] [-b LIST] [-p LIST] [--size WxH] [--seconds S] MODEL...
//
// A line a measurement, tabs between: model, precision, slots, batch, images a second, what of that
// the multiplications of the network are in TFLOP/s, then of a batch on a slot alone milliseconds
// of upload, compute, download and of the host's wait, "-" where the device does not tell. A
// failure is a line too, and the exit status 1.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/num.h"
#include "base/opt.h"
#include "infer/check.h"
#include "infer/device.h"
#include "infer/trial.h"

static const char *device = "cuda", *batches = "1,2,4,8", *precisions = "fp32,tf32,fp16", *size;
static int64_t slots = 4, threads;
static double seconds = 1;

static const struct cs_opt options[] = {
    {'d', "device", CS_OPT_STRING, &device, "DEVICE", "as for cs-infer (cuda)", .env = NULL},
    {'s', "slots", CS_OPT_INT, &slots, "N", "beside one (4)", .min = 1, .max = CS_MAX_SLOTS},
    {'b', "batches", CS_OPT_STRING, &batches, "LIST", "images in a batch (1,2,4,8)", .env = NULL},
    {'p', "precisions", CS_OPT_STRING, &precisions, "LIST",
     "of these, what the device offers (fp32,tf32,fp16)", .env = NULL},
    {'T', "threads", CS_OPT_INT, &threads, "N", "of all slots together; 0: all", .min = 0,
     .max = 1024},
    {0, "size", CS_OPT_STRING, &size, "WxH", "of the images (1024x1024, or the model's)",
     .env = NULL},
    {0, "seconds", CS_OPT_REAL, &seconds, "S", "of a measurement (1)", .min = 0, .max = 600,
     .env = NULL},
    {0},
};
static const struct cs_tool tool = {"slots", "[OPTION]... MODEL...",
                                    "measure images a second on a device", options};

static bool is_in_list(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = list; (at = strstr(at, word)); at += n)
        if ((at == list || at[-1] == ',') && (at[n] == ',' || !at[n]))
            return true;
    return false;
}

// Milliseconds of a batch in each part; false where the device does not tell them apart.
static bool parts_of_batch(struct cs_trial *trial, double ms[4], struct cs_err *err)
{
    static const char *const names[] = {"upload", "compute", "download", "wait"};
    enum { RUNS = 5, PARTS = 4 };
    struct cs_session *session = cs_trial_facts(trial).session;
    struct cs_profile step;
    int found = 0;
    if (!cs_session_profile_start(session))
        return false;
    for (int i = 0; i < RUNS; i++)
        if (cs_trial_run(trial, err) != 0)
            return false;
    for (int i = 0; cs_session_profile_step(session, i, &step); i++)
        if (found < PARTS && !step.node && strcmp(step.kernel, names[found]) == 0)
            ms[found++] = step.seconds / RUNS * 1e3;
    return found == PARTS;
}

static int measure(struct cs_trial *trial, const char *name, enum cs_precision precision, int batch,
                   struct cs_err *err)
{
    const int counts[] = {1, (int)slots};
    double rates[2] = {0}, ms[4];
    if (cs_trial_prepare(trial, batch, precision, err) != 0)
        return -1;
    for (int i = 0; i < (slots > 1 ? 2 : 1); i++)
        if (cs_trial_rate(trial, counts[i], seconds, &rates[i], err) != 0)
            return -1;
    double work =
        2 * (double)cs_graph_macs(cs_session_graph(cs_trial_facts(trial).session)) / batch;
    bool told = parts_of_batch(trial, ms, err); // last: it goes on while the plan lives
    for (int i = 0; i < (slots > 1 ? 2 : 1); i++) {
        printf("%s\t%s\t%d\t%d\t%.2f\t%.3g", name, cs_precision_name(precision), counts[i], batch,
               rates[i], rates[i] * work / 1e12);
        if (told)
            printf("\t%.3f\t%.3f\t%.3f\t%.3f\n", ms[0], ms[1], ms[2], ms[3]);
        else
            printf("\t-\t-\t-\t-\n");
    }
    fflush(stdout);
    return 0;
}

static int measure_precision(const struct cs_package *package, const struct cs_trial_options *o,
                             const char *name, enum cs_precision precision, struct cs_err *err)
{
    struct cs_trial *trial;
    int result = 0;
    if (cs_trial_open(&trial, package, o, err) != 0)
        return -1;
    const struct cs_session_info *info = cs_trial_facts(trial).info;
    for (int batch = 1; batch <= CS_MAX_BATCH && (info->precisions >> precision & 1); batch++) {
        char text[16];
        struct cs_err why = {0};
        snprintf(text, sizeof text, "%d", batch);
        if (!is_in_list(batches, text) || batch > info->max_batch)
            continue;
        if (measure(trial, name, precision, batch, &why) == 0)
            continue;
        printf("%s\t%s\t%d\t%d\tfailed: %s\n", name, cs_precision_name(precision), (int)slots,
               batch, why.text);
        result = 1;
    }
    cs_trial_close(trial);
    return result;
}

// 0, or 1 where a measurement failed, which is said in its line.
static int measure_model(const char *model, const struct cs_trial_options *o)
{
    struct cs_err err = {0};
    struct cs_package package = {0};
    const char *slash = strrchr(model, '/'), *name = slash ? slash + 1 : model;
    int result = cs_package_open(&package, model, &err);
    for (int p = 0; result >= 0 && p < CS_PRECISION_COUNT; p++)
        if (is_in_list(precisions, cs_precision_name((enum cs_precision)p))) {
            int part = measure_precision(&package, o, name, (enum cs_precision)p, &err);
            result = part < 0 ? part : result | part;
        }
    if (result < 0)
        printf("%s\t-\t-\t-\tfailed: %s\n", name, err.text);
    cs_package_release(&package);
    return result != 0;
}

int main(int argc, char **argv)
{
    struct cs_err err = {0};
    struct cs_device_choice choice;
    int first;
    if (cs_limit_spinning()) // as in cs-infer's worker
        execv("/proc/self/exe", argv);
    int parsed = cs_opt_parse(&tool, argc, argv, &first, &err);
    if (parsed != 0)
        return parsed > 0 ? 0 : cs_opt_die(&tool, &err);
    struct cs_trial_options o = {.threads = (int)threads, .slots = (int)slots};
    char *cross = size ? strchr(size, 'x') : NULL, *width = NULL;
    int64_t sides[2] = {0, 0};
    if (cross)
        width = cs_xasprintf("%.*s", (int)(cross - size), size);
    bool wrong = size && (!cross || cs_num_int(width, 1, 65536, "--size", &sides[0], &err) != 0 ||
                          cs_num_int(cross + 1, 1, 65536, "--size", &sides[1], &err) != 0);
    free(width);
    if (wrong && cs_fail(&err, CS_EUSAGE, "--size %s is not WIDTHxHEIGHT", size))
        return cs_opt_die(&tool, &err);
    if (cs_device_choose(device, &choice, &err) != 0)
        return cs_opt_die(&tool, &err);
    o.backend = choice.backend;
    o.detail = choice.detail;
    o.width = (uint32_t)sides[0];
    o.height = (uint32_t)sides[1];
    int failed = 0;
    for (int i = first; i < argc; i++)
        failed |= measure_model(argv[i], &o);
    return failed;
}
