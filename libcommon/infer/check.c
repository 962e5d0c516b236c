// SPDX-License-Identifier: MIT
#include "infer/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/job_prepare.h"
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
    if (strcmp(node->op, "FusedAttention") == 0) // scores, and as many shares of the values
        return elements(x) * (uint64_t)w->shape.dim[w->shape.rank - 1] +
               elements(y) * (uint64_t)w->shape.dim[w->shape.rank - 1];
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
static struct cs_package_map mask_of(const struct cs_package *package)
{
    for (int i = 0; i < package->map_count; i++)
        if (strcmp(package->maps[i].name, "foreground") == 0)
            return package->maps[i];
    return package->map_output >= 0
               ? (struct cs_package_map){.output = package->map_output, .channel = 0}
               : package->maps[0];
}

static double mask_threshold(const struct cs_package *package, double binarize)
{
    const char *text = cs_meta_get(&package->postprocess, "threshold");
    double threshold = isfinite(binarize) ? binarize : 0.5;
    if (text && cs_num_real(text, 0, 1, "threshold", &threshold, NULL) != 0)
        threshold = 0.5;
    return threshold;
}

// One run of the test: its input as pixels, and what has been compared so far.
struct test {
    struct cs_session *session;
    const struct cs_package *package;
    const struct cs_session_info *info;
    struct cs_check_result *result;
    double tolerance;
    int runs;
    struct cs_job job;
    struct cs_tensor *made; // the outputs' tensors are to be filled, not compared; else NULL
    size_t values, different;
    double error, norm; // squared
};

static void compare(struct test *t, float *want, size_t count, const float *got, size_t step,
                    double binarize)
{
    for (size_t i = 0; t->made && i < count; i++)
        want[i] = got[i * step];
    for (size_t i = 0; i < count; i++) {
        double value = (double)got[i * step], expected = (double)want[i];
        if (isfinite(binarize))
            value = value > binarize;
        double d = fabs(value - expected);
        // A difference that is no number is the largest there is.
        if (!(d <= t->result->largest))
            t->result->largest = d;
        t->different += !(d <= t->tolerance);
        t->error += d * d;
        t->norm += expected * expected;
    }
    t->values += count;
}

static double overlap(const float *want, size_t pixels, const float *got, size_t step,
                      double threshold, double want_threshold)
{
    size_t both = 0, any = 0;
    for (size_t i = 0; i < pixels; i++) {
        bool a = (double)got[i * step] > threshold, b = (double)want[i] > want_threshold;
        both += a && b;
        any += a || b;
    }
    return any ? (double)both / (double)any : 1;
}

static int run_maps(struct test *t, struct cs_err *err)
{
    for (int i = 0; i < t->runs; i++) {
        double start = cs_clock_seconds(), *best = &t->result->seconds;
        if (cs_session_run(t->session, 0, &t->job, 1, err) != 0)
            return -1;
        double taken = cs_clock_seconds() - start;
        *best = *best > 0 && *best < taken ? *best : taken;
    }
    return 0;
}

// An output with a plane: as maps, as many at once as a job can give.
static int check_maps(struct test *t, int k, struct cs_tensor *want, struct cs_err *err)
{
    struct cs_job *job = &t->job;
    struct cs_package_map mask = mask_of(t->package);
    enum cs_activation activation;
    double binarize;
    const struct cs_graph *g = cs_session_graph(t->session);
    const struct cs_shape *shape = &g->values[g->outputs[t->info->output_of[k]]].shape;
    if (shape->rank != 4 || !want->count ||
        !shape_is(want, shape->dim[1], shape->dim[2], shape->dim[3]))
        return cs_fail(err, CS_EMODEL, "%s does not fit the network's output",
                       t->package->outputs[k].test_path);
    size_t channels = (size_t)want->dim[1], pixels = want->count / channels, most = CS_JOB_MAX_MAPS;
    most = channels < most ? channels : most;
    float *maps = cs_alloc(most * pixels, sizeof *maps, "test maps", err);
    int result =
        maps ? cs_postprocessing_check(&t->package->outputs[k], &activation, &binarize, err) : -1;
    job->out = maps;
    for (size_t first = 0; result == 0 && first < channels; first += most) {
        size_t count = channels - first < most ? channels - first : most;
        job->out_channels = (uint16_t)count;
        for (size_t c = 0; c < count; c++)
            job->out_from[c] = (struct cs_map_source){.output = t->info->output_of[k],
                                                      .channel = (int16_t)(first + c),
                                                      .activation = activation};
        result = run_maps(t, err);
        for (size_t c = 0; result == 0 && c < count; c++) {
            float *plane = want->data + (first + c) * pixels;
            compare(t, plane, pixels, maps + c, count, binarize);
            double threshold = mask_threshold(t->package, binarize);
            if (k == mask.output && first + c == (size_t)mask.channel)
                t->result->iou = overlap(plane, pixels, maps + c, count, threshold,
                                         isfinite(binarize) ? 0.5 : threshold);
        }
    }
    free(maps);
    return result;
}

// An output without a plane: the tensor as the network gives it.
static int check_tensor(struct test *t, int k, struct cs_tensor *want, struct cs_err *err)
{
    const struct cs_graph *g = cs_session_graph(t->session);
    const struct cs_shape *in = &g->values[g->inputs[0]].shape;
    const struct cs_value *value = &g->values[g->outputs[t->info->output_of[k]]];
    void *tensors[CS_MAX_NODE_IO] = {NULL};
    int result = 0, count = g->output_count;
    if (count > CS_MAX_NODE_IO || value->type != CS_TYPE_F32 ||
        elements(value) != (uint64_t)want->count || t->package->outputs[k].step_count)
        return cs_fail(err, CS_EMODEL, "%s does not fit the network's output",
                       t->package->outputs[k].test_path);
    float *input = cs_alloc((size_t)cs_shape_elements(in), sizeof *input, "test input", err);
    for (int i = 0; i < count && input && result == 0; i++) {
        const struct cs_value *output = &g->values[g->outputs[i]];
        tensors[i] =
            cs_alloc((size_t)elements(output), cs_type_bytes(output->type), "test outputs", err);
        result = tensors[i] ? 0 : -1;
    }
    if (input && result == 0) {
        cs_job_prepare(&t->job, input, (int)in->dim[3], (int)in->dim[2], (int)in->dim[1], 1,
                       in->dim[3], in->dim[3] * in->dim[2]);
        result = cs_session_run_tensors(t->session, (const void *const[]){input}, tensors, err);
        if (result == 0)
            compare(t, want->data, want->count, tensors[t->info->output_of[k]], 1, NAN);
    }
    for (int i = 0; i < count && i < CS_MAX_NODE_IO; i++)
        free(tensors[i]);
    free(input);
    return input ? result : -1;
}

// A tensor for what the network's output is.
static int room_for(const struct test *t, int k, struct cs_tensor *tensor, struct cs_err *err)
{
    const struct cs_graph *g = cs_session_graph(t->session);
    const struct cs_value *value = &g->values[g->outputs[t->info->output_of[k]]];
    *tensor = (struct cs_tensor){.rank = value->shape.rank, .count = (size_t)elements(value)};
    memcpy(tensor->dim, value->shape.dim, (size_t)tensor->rank * sizeof *tensor->dim);
    tensor->data = cs_alloc(tensor->count, sizeof *tensor->data, "test output", err);
    return tensor->data ? 0 : -1;
}

static int check_output(struct test *t, int k, struct cs_err *err)
{
    const struct cs_tensor_spec *output = &t->package->outputs[k];
    struct cs_tensor want = {0};
    if (t->made ? room_for(t, k, &want, err) : cs_tensor_read(&want, output->test_path, err))
        return -1;
    // The plane of an output may have another size than that of the input.
    t->job.out_width = want.rank == 4 ? (uint32_t)want.dim[3] : t->job.width;
    t->job.out_height = want.rank == 4 ? (uint32_t)want.dim[2] : t->job.height;
    cs_fit_job(&(struct cs_fit_rule){.kind = CS_FIT_KIND_NATIVE}, &t->job);
    int result =
        cs_tensor_is_image(output) ? check_maps(t, k, &want, err) : check_tensor(t, k, &want, err);
    if (t->made)
        t->made[k] = want;
    else
        cs_tensor_release(&want);
    return result < 0 ? cs_err_context(err, "output %s", output->name) : 0;
}

static int check_outputs(struct test *t, enum cs_precision precision, struct cs_err *err)
{
    const struct cs_package *p = t->package;
    const struct cs_session_info *info = t->info;
    const struct cs_session_key key = {
        .batch = 1, .height = t->job.height, .width = t->job.width, .precision = precision};
    int checked = 0;
    if (cs_normalise_check(&p->inputs[0], info->channels, err) != 0 ||
        cs_normalise_channels(p, info->channels, t->job.channels, &t->job, err) != 0 ||
        cs_normalise_job(&p->inputs[0], info->channels, &t->job, err) != 0 ||
        cs_session_prepare(t->session, 0, &key, err) != 0)
        return -1;
    for (int k = 0; k < p->output_count; k++) {
        if ((!p->outputs[k].test_path && !t->made) || info->output_of[k] < 0)
            continue;
        if (check_output(t, k, err) != 0)
            return -1;
        checked = 1;
    }
    t->result->different = t->values ? (double)t->different / (double)t->values : 0;
    t->result->relative = t->error > 0 ? sqrt(t->error / t->norm) : t->error;
    return checked;
}

static int run_test(struct test *t, const struct cs_tensor *in, const char *name,
                    enum cs_precision precision, struct cs_err *err)
{
    if (in->rank != 4 || !shape_is(in, t->info->channels, in->dim[2], in->dim[3]) || !in->count ||
        in->dim[2] > CS_PACKAGE_MAX_SIDE || in->dim[3] > CS_PACKAGE_MAX_SIDE)
        return cs_fail(err, CS_EMODEL, "%s does not fit the network's input", name);
    float *pixels = interleave(in, err);
    t->job = (struct cs_job){.pixels = pixels,
                             .width = (uint32_t)in->dim[3],
                             .height = (uint32_t)in->dim[2],
                             .channels = (uint16_t)in->dim[1],
                             .dtype = CS_F32,
                             .out_dtype = CS_F32};
    int result = pixels ? check_outputs(t, precision, err) : -1;
    free(pixels);
    return result;
}

int cs_check_test(struct cs_session *session, const struct cs_package *package,
                  const struct cs_session_info *info, enum cs_precision precision, int runs,
                  double tolerance, struct cs_check_result *r, struct cs_err *err)
{
    const char *path = package->inputs[0].test_path;
    struct test t = {.session = session,
                     .package = package,
                     .info = info,
                     .result = r,
                     .tolerance = tolerance,
                     .runs = runs};
    struct cs_tensor in = {0};
    bool any = false;
    *r = (struct cs_check_result){.iou = 1};
    for (int k = 0; k < package->output_count; k++)
        any = any || (package->outputs[k].test_path && info->output_of[k] >= 0);
    if (!path || !any)
        return 0;
    if (cs_tensor_read(&in, path, err) != 0)
        return -1;
    int result = run_test(&t, &in, path, precision, err);
    cs_tensor_release(&in);
    return result;
}

int cs_check_make(struct cs_session *session, const struct cs_package *package,
                  const struct cs_session_info *info, const struct cs_tensor *in,
                  struct cs_tensor *outputs, struct cs_err *err)
{
    struct cs_check_result ignored = {0};
    struct test t = {.session = session,
                     .package = package,
                     .info = info,
                     .result = &ignored,
                     .runs = 1,
                     .made = outputs};
    memset(outputs, 0, (size_t)package->output_count * sizeof *outputs);
    if (run_test(&t, in, "the test image", CS_FP32, err) < 0)
        return -1;
    for (int k = 0; k < package->output_count; k++)
        for (size_t i = 0; i < outputs[k].count; i++)
            if (!isfinite(outputs[k].data[i]))
                return cs_fail(err, CS_EMODEL, "output %s: values that are not finite",
                               package->outputs[k].name);
    return 0;
}
