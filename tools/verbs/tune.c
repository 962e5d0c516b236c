// SPDX-License-Identifier: MIT
// cs-model tune: images a second for each number of slots, with the threads shared out among them,
// and each batch; the best is kept for cs-infer. Results do not depend on either.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "backend/backend.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "infer/device.h"
#include "infer/trial.h"
#include "infer/tuned.h"
#include "infer/tuning.h"
#include "verbs.h"

static const int slot_counts[] = {1, 2, 4, 8};
static const int batches[] = {1, 2, 4};
// What more memory has to gain.
static const double least_gain = 1.02;

struct tune {
    const struct cs_package *package;
    struct cs_trial_options options;
    double seconds; // of each measurement
    struct cs_tuned best;
    uint32_t plane_width, plane_height;
};

static int measure(struct tune *t, struct cs_trial *trial, int batch, struct cs_err *err)
{
    struct cs_trial_facts facts = cs_trial_facts(trial);
    int slots = t->options.slots;
    double rate;
    if (cs_trial_prepare(trial, batch, CS_FP32, err) != 0 ||
        cs_trial_rate(trial, slots, t->seconds, &rate, err) != 0)
        return -1;
    struct cs_memory_use use = cs_session_memory(facts.session);
    double mib = (double)(use.weights + (uint64_t)slots * (use.arena + use.workspace)) / (1 << 20);
    printf("%d\t%d\t%d\t%.2f\t%.0f\n", slots, facts.threads, batch, rate, mib);
    fflush(stdout);
    if (rate > least_gain * t->best.images_per_second)
        t->best = (struct cs_tuned){slots, batch, rate};
    t->plane_width = facts.plane_width;
    t->plane_height = facts.plane_height;
    return 0;
}

// All batches with one number of slots. What does not fit the memory is left out.
static int measure_slots(struct tune *t, struct cs_err *err)
{
    struct cs_trial *trial;
    if (cs_trial_open(&trial, t->package, &t->options, err) != 0)
        return -1;
    int most = cs_trial_facts(trial).info->max_batch, result = 0;
    for (size_t b = 0; b < sizeof batches / sizeof *batches && result == 0; b++)
        if (batches[b] <= most)
            result = measure(t, trial, batches[b], err);
    cs_trial_close(trial);
    return result;
}

// Before minutes go by.
static int make_folder(const char *folder, struct cs_err *err)
{
    char *inside = cs_xasprintf("%s/", folder);
    int result = cs_make_parents(inside, err);
    free(inside);
    return result != 0 || access(folder, W_OK) == 0 ? result
                                                    : cs_fail_errno(err, CS_EIO, "%s", folder);
}

static int keep(const struct tune *t, const struct model_options *o,
                const struct cs_device_choice *device, int threads, struct cs_err *err)
{
    const char *folder = cs_tuning_folder(o->cache);
    printf("best\t%d slot%s, batch %d: %.2f images/s\n", t->best.slots,
           t->best.slots == 1 ? "" : "s", t->best.batch, t->best.images_per_second);
    if (!folder) {
        cs_log(CS_LOG_WARN, "not kept: --cache and CELLSTREAM_CACHE name no folder");
        return 0;
    }
    if (cs_tuned_write(folder, t->package, device, threads, t->plane_width, t->plane_height,
                       &t->best, err) != 0)
        return -1;
    printf("kept\t%s\tplanes of about %u x %u\n", folder,
           cs_tuned_class(t->plane_width, t->plane_height),
           cs_tuned_class(t->plane_width, t->plane_height));
    return 0;
}

int model_tune(const struct model_options *options, const struct cs_package *p, struct cs_err *err)
{
    struct cs_device_choice device;
    struct tune t = {.package = p, .seconds = options->seconds};
    int threads = options->threads ? (int)options->threads : cs_usable_threads();
    if ((options->size &&
         model_size(options->size, &t.options.width, &t.options.height, err) != 0) ||
        cs_device_choose(options->device ? options->device : "auto", &device, err) != 0)
        return -1;
    const char *folder = cs_tuning_folder(options->cache);
    if (folder && make_folder(folder, err) != 0)
        return -1;
    t.options.backend = device.backend;
    t.options.detail = device.detail;
    t.options.threads = threads;
    printf("slots\tthreads a slot\tbatch\timages/s\tMiB\n");
    for (size_t i = 0; i < sizeof slot_counts / sizeof *slot_counts; i++) {
        struct cs_err why;
        t.options.slots = slot_counts[i];
        if (slot_counts[i] > threads && i > 0)
            break;
        if (measure_slots(&t, &why) == 0)
            continue;
        if (why.code != CS_ENOMEM || !t.best.slots) {
            *err = why;
            return -1;
        }
        cs_log(CS_LOG_INFO, "%d slots: %s", slot_counts[i], why.text);
    }
    return keep(&t, options, &device, threads, err);
}
