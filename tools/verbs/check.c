// SPDX-License-Identifier: MIT
// cs-model check: the package's files against their hashes, its settings, and its test tensors on
// every device at hand.
#include <stdio.h>
#include <string.h>

#include "infer/device.h"
#include "infer/precision.h"
#include "segment/postprocess.h"
#include "verbs.h"

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
    if (check_file(p->weights_path, p->weights_sha256, err) != 0 ||
        check_file(p->external_path, p->external_sha256, err) != 0)
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

// fp32 is held to the tolerance; of a reduced precision it is said whether "auto" may take it.
static int check_precision(struct cs_session *session, const struct cs_package *p,
                           const struct cs_session_info *about, enum cs_precision precision,
                           double tolerance, struct cs_err *err)
{
    struct cs_check_result r;
    printf("device\t%s\t%s\tloads; ", about->device_text, cs_precision_name(precision));
    int result = cs_check_test(session, p, about, precision, 1, tolerance, &r, err);
    if (result < 0)
        printf("test: %s\n", err->text);
    if (result == 0)
        puts("the package has no test tensors");
    if (result <= 0)
        return result;
    printf("test: largest difference %.2g, relative error %.2g, mask IoU %.6f%s\n", r.largest,
           r.relative, r.iou,
           precision == CS_FP32            ? ""
           : r.iou >= CS_PRECISION_MIN_IOU ? "; auto may take it"
                                           : "; auto leaves it");
    if (precision == CS_FP32 && !(r.largest <= tolerance))
        return cs_fail(err, CS_EMODEL,
                       "the package's test: %.3g %% of the values differ by up to %g",
                       100 * r.different, r.largest);
    return 0;
}

// All precisions that the device offers, whatever becomes of one; the first error is the result.
static int check_precisions(struct cs_session *session, const struct cs_package *p,
                            const struct cs_session_info *about,
                            const struct model_options *options, struct cs_err *err)
{
    enum cs_precision best;
    int result = 0;
    for (int i = 0; i < CS_PRECISION_COUNT; i++) {
        struct cs_err why = {0};
        if (!(about->precisions >> i & 1) ||
            check_precision(session, p, about, (enum cs_precision)i, options->tolerance, &why) == 0)
            continue;
        if (result == 0)
            *err = why;
        result = -1;
    }
    // What cs-infer would find out for itself, found out and kept now.
    if (result < 0 || about->precisions == 1U << CS_FP32)
        return result;
    if (cs_precision_measure(session, p, about, options->cache, &best, err) != 0)
        return -1;
    printf("auto\t%s\t%s\n", about->device_text, cs_precision_name(best));
    return 0;
}

static int check_device(const struct cs_package *p, const char *backend, const char *detail,
                        const struct model_options *options, struct cs_err *err)
{
    struct cs_session *session = NULL;
    struct cs_session_info about;
    struct cs_session_options o = {
        .device = backend, .detail = detail, .slots = 1, .check_files = true, .all_outputs = true};
    int result = cs_session_open(&session, p, &o, &about, err);
    if (result != 0) {
        printf("device\t%s\t-\tdoes not load: %s\n", backend, err->text);
        return cs_err_context(err, "%s", backend);
    }
    result = check_precisions(session, p, &about, options, err);
    cs_session_close(session);
    return result < 0 ? cs_err_context(err, "%s: %s", p->path, backend) : 0;
}

int model_check(const struct model_options *options, const struct cs_package *p, struct cs_err *err)
{
    struct cs_device_choice choice;
    int result = 0;
    printf("package\t%s\t%s\n", p->path, p->name);
    if (check_files(p, err) != 0 || check_postprocess(p, err) != 0)
        return -1;
    if (options->device)
        return cs_device_choose(options->device, &choice, err) != 0
                   ? -1
                   : check_device(p, choice.backend, choice.detail, options, err);
    for (int i = 0; cs_backends[i]; i++) {
        struct cs_err why = {0};
        if (strcmp(cs_backends[i]->name, "fake") == 0 ||
            check_device(p, cs_backends[i]->name, NULL, options, &why) == 0)
            continue;
        if (result == 0)
            *err = why;
        result = -1;
    }
    return result;
}
