// SPDX-License-Identifier: MIT
#include "infer/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "infer/fit.h"
#include "infer/normalise.h"
#include "model/npy_tensor.h"

// ---- Multiplications ---------------------------------------------------------------------

static uint64_t elements(const struct cs_value *value)
{
    int64_t n = value ? cs_shape_elements(&value->shape) : 0;
    return n > 0 ? (uint64_t)n : 0;
}

static uint64_t node_macs(const struct cs_graph *g, const struct cs_node *node)
{
    const struct cs_value *x = cs_node_input(g, node, 0), *w = cs_node_input(g, node, 1);
    const struct cs_value *y = cs_node_output(g, node, 0);
    if (!x || !w || !y || w->shape.rank < 2 || x->shape.rank < 1)
        return 0;
    if (strcmp(node->op, "Conv") == 0 && w->shape.dim[0] > 0)
        return elements(y) * (elements(w) / (uint64_t)w->shape.dim[0]);
    if (strcmp(node->op, "ConvTranspose") == 0 && w->shape.dim[0] > 0)
        return elements(x) * (elements(w) / (uint64_t)w->shape.dim[0]);
    if (strcmp(node->op, "MatMul") == 0)
        return elements(y) * (uint64_t)x->shape.dim[x->shape.rank - 1];
    if (strcmp(node->op, "Gemm") == 0)
        return elements(y) * (uint64_t)x->shape.dim[cs_node_int(node, "transA", 0) ? 0 : 1];
    return 0;
}

uint64_t cs_graph_macs(const struct cs_graph *graph)
{
    uint64_t total = 0;
    for (int i = 0; i < graph->node_count; i++)
        total += node_macs(graph, &graph->nodes[i]);
    return total;
}

// ---- The package's test ------------------------------------------------------------------

static int shape_is(const struct cs_tensor *t, int64_t c, int64_t h, int64_t w)
{
    return t->rank == 4 && t->dim[0] == 1 && t->dim[1] == c && t->dim[2] == h && t->dim[3] == w;
}

// C, H, W to H, W, C.
static float *interleave(const struct cs_tensor *t, struct cs_err *err)
{
    size_t channels = (size_t)t->dim[1], pixels = t->count / channels;
    float *out = cs_alloc(t->count, sizeof *out, "test image", err);
    for (size_t c = 0; out && c < channels; c++)
        for (size_t i = 0; i < pixels; i++)
            out[i * channels + c] = t->data[c * pixels + i];
    return out;
}

// What cs-postprocess takes for the foreground, and where it cuts it.
static size_t mask_channel(const struct cs_package *package)
{
    for (int i = 0; i < package->map_count; i++)
        if (strcmp(package->maps[i], "foreground") == 0)
            return (size_t)i;
    return 0;
}

static double mask_threshold(const struct cs_package *package, double binarize)
{
    const char *text = cs_meta_get(&package->postprocess, "threshold");
    double threshold = isfinite(binarize) ? binarize : 0.5;
    if (text && cs_num_real(text, 0, 1, "threshold", &threshold, NULL) != 0)
        threshold = 0.5;
    return threshold;
}

static double overlap(const struct cs_tensor *want, const float *maps, size_t channel,
                      double threshold, double want_threshold)
{
    size_t channels = (size_t)want->dim[1], pixels = want->count / channels, both = 0, any = 0;
    for (size_t i = 0; i < pixels; i++) {
        bool a = (double)maps[i * channels + channel] > threshold;
        bool b = (double)want->data[channel * pixels + i] > want_threshold;
        both += a && b;
        any += a || b;
    }
    return any ? (double)both / (double)any : 1;
}

static void compare(const struct cs_tensor *want, const float *maps, double binarize,
                    double tolerance, struct cs_check_result *r)
{
    size_t channels = (size_t)want->dim[1], pixels = want->count / channels, count = 0;
    double error = 0, norm = 0;
    for (size_t c = 0; c < channels; c++) {
        for (size_t i = 0; i < pixels; i++) {
            double got = (double)maps[i * channels + c],
                   expected = (double)want->data[c * pixels + i];
            if (isfinite(binarize))
                got = got > binarize;
            double d = fabs(got - expected);
            // A difference that is no number is the largest there is.
            if (!(d <= r->largest))
                r->largest = d;
            count += !(d <= tolerance);
            error += d * d;
            norm += expected * expected;
        }
    }
    r->different = (double)count / (double)want->count;
    r->relative = error > 0 ? sqrt(error / norm) : error;
}

static int run_image(struct cs_session *session, const struct cs_package *package,
                     const struct cs_session_info *info, enum cs_precision precision, int runs,
                     struct cs_job *job, double *binarize, double *seconds, struct cs_err *err)
{
    const struct cs_fit_rule whole = {.kind = CS_FIT_KIND_NATIVE};
    job->out_width = job->width;
    job->out_height = job->height;
    job->out_channels = (uint16_t)info->maps;
    job->out_dtype = CS_F32;
    for (int c = 0; c < info->maps; c++)
        job->out_from[c] = (int16_t)c;
    cs_fit_job(&whole, job);
    if (cs_normalise_check(&package->inputs[0], info->channels, err) != 0 ||
        cs_postprocessing_check(&package->outputs[0], &job->activation, binarize, err) != 0 ||
        cs_normalise_channels(package, info->channels, job->channels, job, err) != 0 ||
        cs_normalise_job(&package->inputs[0], info->channels, job, err) != 0 ||
        cs_session_prepare(session, 0, 1, job->height, job->width, precision, err) != 0)
        return -1;
    for (int i = 0; i < runs; i++) {
        double start = cs_clock_seconds();
        if (cs_session_run(session, 0, job, 1, err) != 0)
            return -1;
        double taken = cs_clock_seconds() - start;
        *seconds = i && *seconds < taken ? *seconds : taken;
    }
    return 0;
}

int cs_check_test(struct cs_session *session, const struct cs_package *package,
                  const struct cs_session_info *info, enum cs_precision precision, int runs,
                  double tolerance, struct cs_check_result *r, struct cs_err *err)
{
    const struct cs_tensor_spec *input = &package->inputs[0], *output = &package->outputs[0];
    struct cs_tensor in = {0}, want = {0};
    float *pixels = NULL, *maps = NULL;
    double binarize = NAN;
    int result = -1;
    *r = (struct cs_check_result){0};
    if (!input->test_path || !output->test_path)
        return 0;
    if (cs_tensor_read(&in, input->test_path, err) != 0 ||
        cs_tensor_read(&want, output->test_path, err) != 0)
        goto out;
    if (in.rank != 4 || !shape_is(&in, info->channels, in.dim[2], in.dim[3]) || !in.count ||
        in.dim[2] > CS_PACKAGE_MAX_SIDE || in.dim[3] > CS_PACKAGE_MAX_SIDE ||
        !shape_is(&want, info->maps, in.dim[2], in.dim[3])) {
        cs_fail(err, CS_EMODEL, "%s and %s do not fit the network's input and output",
                input->test_path, output->test_path);
        goto out;
    }
    pixels = interleave(&in, err);
    maps = pixels ? cs_alloc(want.count, sizeof *maps, "test maps", err) : NULL;
    struct cs_job job = {
        .pixels = pixels,
        .width = (uint32_t)in.dim[3],
        .height = (uint32_t)in.dim[2],
        .channels = (uint16_t)in.dim[1],
        .dtype = CS_F32,
        .out = maps,
    };
    if (!maps ||
        run_image(session, package, info, precision, runs, &job, &binarize, &r->seconds, err) != 0)
        goto out;
    compare(&want, maps, binarize, tolerance, r);
    double threshold = mask_threshold(package, binarize);
    r->iou = overlap(&want, maps, mask_channel(package), threshold,
                     isfinite(binarize) ? 0.5 : threshold);
    result = 1;
out:
    free(pixels);
    free(maps);
    cs_tensor_release(&in);
    cs_tensor_release(&want);
    return result;
}
