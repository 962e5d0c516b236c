// SPDX-License-Identifier: MIT
#include "infer/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
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

static void compare(const struct cs_tensor *want, const float *maps, double threshold,
                    double tolerance, double *largest, double *different)
{
    size_t channels = (size_t)want->dim[1], pixels = want->count / channels, count = 0;
    *largest = 0;
    for (size_t c = 0; c < channels; c++) {
        for (size_t i = 0; i < pixels; i++) {
            double got = (double)maps[i * channels + c];
            if (isfinite(threshold))
                got = got > threshold;
            double d = fabs(got - (double)want->data[c * pixels + i]);
            // A difference that is no number is the largest there is.
            if (!(d <= *largest))
                *largest = d;
            count += !(d <= tolerance);
        }
    }
    *different = (double)count / (double)want->count;
}

static int run_image(struct cs_session *session, const struct cs_package *package,
                     const struct cs_session_info *info, const struct cs_tensor *in, float *pixels,
                     float *maps, double *threshold, struct cs_err *err)
{
    const struct cs_fit_rule whole = {.kind = CS_FIT_KIND_NATIVE};
    uint32_t h = (uint32_t)in->dim[2], w = (uint32_t)in->dim[3];
    struct cs_job job = {
        .pixels = pixels,
        .width = w,
        .height = h,
        .channels = (uint16_t)in->dim[1],
        .dtype = CS_F32,
        .out = maps,
        .out_width = w,
        .out_height = h,
        .out_channels = (uint16_t)info->maps,
        .out_dtype = CS_F32,
    };
    for (int c = 0; c < info->maps; c++)
        job.out_from[c] = (int16_t)c;
    cs_fit_job(&whole, &job);
    if (cs_normalise_check(&package->inputs[0], info->channels, err) != 0 ||
        cs_postprocessing_check(&package->outputs[0], &job.activation, threshold, err) != 0 ||
        cs_normalise_channels(package, info->channels, job.channels, &job, err) != 0 ||
        cs_normalise_job(&package->inputs[0], info->channels, &job, err) != 0 ||
        cs_session_prepare(session, 0, 1, h, w, err) != 0 ||
        cs_session_run(session, 0, &job, 1, err) != 0)
        return -1;
    return 0;
}

int cs_check_test(struct cs_session *session, const struct cs_package *package,
                  const struct cs_session_info *info, double tolerance, double *largest,
                  double *different, struct cs_err *err)
{
    const struct cs_tensor_spec *input = &package->inputs[0], *output = &package->outputs[0];
    struct cs_tensor in = {0}, want = {0};
    float *pixels = NULL, *maps = NULL;
    double threshold = NAN;
    int result = -1;
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
    if (!maps || run_image(session, package, info, &in, pixels, maps, &threshold, err) != 0)
        goto out;
    compare(&want, maps, threshold, tolerance, largest, different);
    result = 1;
out:
    free(pixels);
    free(maps);
    cs_tensor_release(&in);
    cs_tensor_release(&want);
    return result;
}
