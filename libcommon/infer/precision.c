// SPDX-License-Identifier: MIT
#include "infer/precision.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "infer/tuning.h"

enum { TIMED_RUNS = 5 };

void cs_precision_list(unsigned offered, char *text, size_t size)
{
    size_t len = 0;
    *text = '\0';
    for (int p = 0; p < CS_PRECISION_COUNT && len < size; p++)
        if (offered >> p & 1)
            len += (size_t)snprintf(text + len, size - len, "%s%s", len ? ", " : "",
                                    cs_precision_name((enum cs_precision)p));
}

int cs_precision_check(const struct cs_session_info *info, enum cs_precision precision,
                       struct cs_err *err)
{
    char list[64];
    if (info->precisions >> precision & 1)
        return 0;
    cs_precision_list(info->precisions, list, sizeof list);
    return cs_fail(err, CS_EDEVICE, "--precision %s: the device offers %s (%s)",
                   cs_precision_name(precision), list, info->device_text);
}

// ---- The cache -----------------------------------------------------------------------------

// The description decides the test as much as weights and device do.
static bool recall(const struct cs_package *package, const struct cs_session_info *info,
                   const struct cs_tuning_key *key, const char *folder, enum cs_precision *chosen)
{
    struct cs_meta values = {0};
    struct cs_err err = {0};
    bool found = false;
    int result = cs_tuning_read(folder, key, &values, &err);
    if (result < 0)
        cs_log(CS_LOG_WARN, "%s", err.text);
    const char *rdf = cs_meta_get(&values, "rdf"), *name = cs_meta_get(&values, "precision");
    for (int p = 0; result > 0 && rdf && name && p < CS_PRECISION_COUNT; p++) {
        if (strcmp(rdf, package->rdf_sha256) != 0 || !(info->precisions >> p & 1) ||
            strcmp(name, cs_precision_name((enum cs_precision)p)) != 0)
            continue;
        *chosen = (enum cs_precision)p;
        found = true;
    }
    cs_meta_release(&values);
    return found;
}

static struct cs_tuning_key key_of(const struct cs_session_info *info)
{
    return (struct cs_tuning_key){.subject = "precision",
                                  .weights_sha256 = info->weights_sha256,
                                  .device = info->device_text};
}

// ---- Measuring -----------------------------------------------------------------------------

static void note(struct cs_meta *values, enum cs_precision precision,
                 const struct cs_check_result *r)
{
    char key[32];
    snprintf(key, sizeof key, "%s.iou", cs_precision_name(precision));
    cs_meta_setf(values, key, "%.6f", r->iou);
    snprintf(key, sizeof key, "%s.ms", cs_precision_name(precision));
    cs_meta_setf(values, key, "%.3f", r->seconds * 1e3);
}

int cs_precision_measure(struct cs_session *session, const struct cs_package *package,
                         const struct cs_session_info *info, const char *cache,
                         enum cs_precision *best, struct cs_err *err)
{
    const char *folder = cs_tuning_folder(cache);
    struct cs_meta values = {0};
    double best_seconds = 0, plain_seconds = 0;
    *best = CS_FP32;
    for (int p = 0; p < CS_PRECISION_COUNT; p++) {
        struct cs_check_result r;
        struct cs_err why;
        enum cs_precision precision = (enum cs_precision)p;
        if (!(info->precisions >> p & 1))
            continue;
        int result = cs_check_test(session, package, info, precision, TIMED_RUNS, 0, &r, &why);
        if (result <= 0 && precision == CS_FP32) {
            cs_meta_release(&values);
            if (result < 0 && err)
                *err = why;
            return result;
        }
        if (result < 0) {
            cs_log(CS_LOG_WARN, "%s is left out: %s", cs_precision_name(precision), why.text);
            continue;
        }
        note(&values, precision, &r);
        if (precision == CS_FP32)
            plain_seconds = best_seconds = r.seconds;
        else if (r.iou >= CS_PRECISION_MIN_IOU && r.seconds < best_seconds &&
                 r.seconds <= CS_PRECISION_MAX_TIME * plain_seconds) {
            best_seconds = r.seconds;
            *best = precision;
        }
    }
    cs_meta_set(&values, "rdf", package->rdf_sha256);
    cs_meta_set(&values, "precision", cs_precision_name(*best));
    struct cs_tuning_key key = key_of(info);
    struct cs_err why;
    if (folder && *info->weights_sha256 && cs_tuning_write(folder, &key, &values, &why) != 0)
        cs_log(CS_LOG_WARN, "not kept for the next run: %s", why.text);
    cs_meta_release(&values);
    return 0;
}

int cs_precision_choose(struct cs_session *session, const struct cs_package *package,
                        const struct cs_session_info *info, int asked, const char *cache,
                        enum cs_precision *chosen, struct cs_err *err)
{
    const char *folder = cs_tuning_folder(cache);
    struct cs_tuning_key key = key_of(info);
    struct cs_err why;
    *chosen = CS_FP32;
    if (asked != CS_PRECISION_AUTO) {
        *chosen = (enum cs_precision)asked;
        return cs_precision_check(info, *chosen, err);
    }
    if (info->precisions == 1U << CS_FP32)
        return 0;
    if (folder && *info->weights_sha256 && recall(package, info, &key, folder, chosen))
        return 0;
    // A test that cannot be run is no reason not to compute.
    if (cs_precision_measure(session, package, info, cache, chosen, &why) != 0)
        cs_log(CS_LOG_WARN, "--precision auto takes fp32: %s", why.text);
    return 0;
}
