// SPDX-License-Identifier: MIT
// Every step that the zoo names for preprocessing is affine or a clamp, so a chain of them folds
// into value * scale + shift and one clamp behind it. Statistics of an affine image are the affine
// statistics of the raw one; that holds until the first clamp, and for joint statistics as long as
// all channels were treated alike. Chains beyond that are refused at load.
#include "infer/normalise.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "infer/statistics.h"

// What the steps so far do to channel c: value * scale + shift, then clamp to low .. high.
struct chain {
    double scale[CS_JOB_MAX_CHANNELS], shift[CS_JOB_MAX_CHANNELS];
    double low, high;
};

// ---- Checks at load ----------------------------------------------------------------------

static int check_step(const struct cs_step *step, int channels, bool *alike, bool *clamped,
                      struct cs_err *err)
{
    switch (step->op) {
    case CS_STEP_SCALE_RANGE:
    case CS_STEP_ZERO_MEAN:
        if (*clamped)
            return cs_fail(err, CS_EMODEL, "statistics after clip are not supported");
        if (!*alike && !step->per_channel)
            return cs_fail(err, CS_EMODEL,
                           "statistics over all channels after a step for each are not supported");
        *alike = *alike && !step->per_channel;
        return 0;
    case CS_STEP_SCALE_LINEAR:
        for (int c = 0; c < step->count; c++)
            if (step->a[c] <= 0)
                return cs_fail(err, CS_EMODEL, "a gain of %g is not supported", step->a[c]);
        // fall through
    case CS_STEP_FIXED_ZERO_MEAN:
        if (step->count != 1 && step->count != channels)
            return cs_fail(err, CS_EMODEL, "%d values for %d channels", step->count, channels);
        if (step->count > 1 && *clamped)
            return cs_fail(err, CS_EMODEL, "a step for each channel after clip is not supported");
        *alike = *alike && step->count == 1;
        return 0;
    case CS_STEP_CLIP:
        *clamped = true;
        return 0;
    case CS_STEP_ENSURE_DTYPE:
        if (strcmp(step->dtype, "float32") != 0 && strcmp(step->dtype, "float64") != 0)
            return cs_fail(err, CS_EMODEL, "dtype %s is not supported", step->dtype);
        return 0;
    default:
        return cs_fail(err, CS_EMODEL, "not supported before the network");
    }
}

int cs_normalise_check(const struct cs_tensor_spec *input, int channels, struct cs_err *err)
{
    bool alike = true, clamped = false;
    if (channels < 1 || channels > CS_JOB_MAX_CHANNELS)
        return cs_fail(err, CS_EMODEL, "%d input channels, at most %d are supported", channels,
                       CS_JOB_MAX_CHANNELS);
    if (strcmp(input->type, "float32") != 0)
        return cs_fail(err, CS_EMODEL, "input %s of type %s is not supported (float32 is)",
                       input->name, input->type);
    for (int i = 0; i < input->step_count; i++)
        if (check_step(&input->steps[i], channels, &alike, &clamped, err) != 0)
            return cs_err_context(err, "preprocessing: %s", cs_step_name(input->steps[i].op));
    return 0;
}

int cs_postprocessing_check(const struct cs_tensor_spec *output, enum cs_activation *activation,
                            double *threshold, struct cs_err *err)
{
    *activation = CS_ACT_NONE;
    *threshold = NAN;
    for (int i = 0; i < output->step_count; i++) {
        const struct cs_step *step = &output->steps[i];
        bool first = *activation == CS_ACT_NONE && isnan(*threshold);
        if (step->op == CS_STEP_SIGMOID && first)
            *activation = CS_ACT_SIGMOID;
        else if (step->op == CS_STEP_SOFTMAX && first)
            *activation = CS_ACT_SOFTMAX;
        else if (step->op == CS_STEP_BINARIZE && isnan(*threshold))
            *threshold = step->a[0];
        else if (step->op == CS_STEP_CLIP && step->a[0] <= 0 && step->b[0] >= 1)
            continue; // maps are probabilities: within it already
        else if (step->op == CS_STEP_ENSURE_DTYPE)
            continue; // --prob decides
        else
            return cs_fail(err, CS_EMODEL, "postprocessing: %s is not supported there",
                           cs_step_name(step->op));
    }
    return 0;
}

// ---- One image ---------------------------------------------------------------------------

int cs_normalise_channels(const struct cs_package *package, int channels, int image_channels,
                          struct cs_job *job, struct cs_err *err)
{
    enum cs_input_channels rule = package->input_channels;
    for (int c = 0; c < channels; c++) {
        if (image_channels == channels)
            job->from[c] = (int16_t)c;
        else if (rule == CS_INPUT_REPLICATE && image_channels == 1)
            job->from[c] = 0;
        else if (rule == CS_INPUT_MEAN)
            job->from[c] = -1;
        else
            return cs_fail(err, CS_EINPUT,
                           "%d channels, model %s takes %d%s: choose with cs-load --channel",
                           image_channels, package->short_name, channels,
                           rule == CS_INPUT_REPLICATE && channels > 1 ? " or 1" : "");
    }
    return 0;
}

static int apply_statistics(const struct cs_step *step, int channels, const struct cs_job *job,
                            struct chain *chain, struct cs_err *err)
{
    int group = step->per_channel ? 1 : channels;
    for (int first = 0; first < channels; first += group) {
        struct cs_statistics s;
        double subtract, divide, gain = chain->scale[first], offset = chain->shift[first];
        if (cs_statistics_init(&s, job, first, group, err) != 0)
            return -1;
        if (step->op == CS_STEP_SCALE_RANGE) {
            double low = cs_statistics_percentile(&s, step->a[0]) * gain + offset;
            double high = cs_statistics_percentile(&s, step->b[0]) * gain + offset;
            subtract = low;
            divide = high - low + step->eps;
        } else {
            double mean, std;
            cs_statistics_moments(&s, &mean, &std);
            subtract = mean * gain + offset;
            divide = std * fabs(gain) + step->eps;
        }
        cs_statistics_release(&s);
        for (int c = first; c < first + group; c++) {
            chain->scale[c] /= divide;
            chain->shift[c] = (chain->shift[c] - subtract) / divide;
        }
    }
    return 0;
}

static void apply_affine(int channels, const double *gain, const double *offset,
                         struct chain *chain)
{
    for (int c = 0; c < channels; c++) {
        chain->scale[c] *= gain[c];
        chain->shift[c] = chain->shift[c] * gain[c] + offset[c];
    }
    // One pair for all channels where a clamp went before (see check_step).
    chain->low = chain->low * gain[0] + offset[0];
    chain->high = chain->high * gain[0] + offset[0];
}

static int apply_step(const struct cs_step *step, int channels, const struct cs_job *job,
                      struct chain *chain, struct cs_err *err)
{
    double gain[CS_JOB_MAX_CHANNELS], offset[CS_JOB_MAX_CHANNELS];
    switch (step->op) {
    case CS_STEP_SCALE_RANGE:
    case CS_STEP_ZERO_MEAN:
        return apply_statistics(step, channels, job, chain, err);
    case CS_STEP_SCALE_LINEAR:
        apply_affine(channels, step->a, step->b, chain);
        return 0;
    case CS_STEP_FIXED_ZERO_MEAN:
        for (int c = 0; c < channels; c++) {
            gain[c] = 1 / step->b[c];
            offset[c] = -step->a[c] / step->b[c];
        }
        apply_affine(channels, gain, offset, chain);
        return 0;
    case CS_STEP_CLIP:
        chain->low = fmin(fmax(chain->low, step->a[0]), step->b[0]);
        chain->high = fmin(fmax(chain->high, step->a[0]), step->b[0]);
        return 0;
    default:
        return 0;
    }
}

static float to_float(double value)
{
    return value > FLT_MAX ? FLT_MAX : value < -FLT_MAX ? -FLT_MAX : (float)value;
}

int cs_normalise_job(const struct cs_tensor_spec *input, int channels, struct cs_job *job,
                     struct cs_err *err)
{
    struct chain chain = {.low = -INFINITY, .high = INFINITY};
    for (int c = 0; c < channels; c++)
        chain.scale[c] = 1;
    for (int i = 0; i < input->step_count; i++)
        if (apply_step(&input->steps[i], channels, job, &chain, err) != 0)
            return -1;
    for (int c = 0; c < channels; c++) {
        job->scale[c] = to_float(chain.scale[c]);
        job->shift[c] = to_float(chain.shift[c]);
    }
    job->low = to_float(chain.low);
    job->high = to_float(chain.high);
    return 0;
}

// ---- Sample types ------------------------------------------------------------------------

enum cs_dtype cs_job_dtype(enum cs_dtype dtype)
{
    return dtype == CS_U8 || dtype == CS_U16 ? dtype : CS_F32;
}

#define CONVERT(type)                                                                              \
    for (size_t i = 0; i < count; i++)                                                             \
    to[i] = (float)((const type *)image->data)[i]

void cs_job_convert(const struct cs_image *image, void *out)
{
    float *to = out;
    size_t count = (size_t)image->width * image->height * image->channels;
    switch (image->dtype) {
    case CS_U8:
    case CS_U16:
    case CS_F32:
        memcpy(out, image->data, cs_image_bytes(image));
        return;
    case CS_U32:
        CONVERT(uint32_t);
        return;
    case CS_U64:
        CONVERT(uint64_t);
        return;
    case CS_I8:
        CONVERT(int8_t);
        return;
    case CS_I16:
        CONVERT(int16_t);
        return;
    case CS_I32:
        CONVERT(int32_t);
        return;
    case CS_I64:
        CONVERT(int64_t);
        return;
    case CS_F64:
        CONVERT(double);
        return;
    case CS_F16:
        for (size_t i = 0; i < count; i++)
            to[i] = cs_half_to_float(((const uint16_t *)image->data)[i]);
        return;
    }
}
