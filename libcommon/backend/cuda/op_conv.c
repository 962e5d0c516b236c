// SPDX-License-Identifier: MIT
// Conv and ConvTranspose through cuDNN. What follows a convolution (an added tensor, bias, ReLU)
// goes into cuDNN's engine where it has a precompiled one for that, and into steps of ours
// otherwise.
//
// A transposed convolution whose windows touch without overlapping is a 1x1 convolution to as many
// channels a pixel as the window has outputs, which a kernel then spreads; others are cuDNN's
// gradient of a convolution by its input, which is the same sum.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/call.h"
#include "backend/cuda/late.h"
#include "base/mem.h"
#include "graph/params.h"

enum { ALIGNMENT = 256 };

// Forms of packed constants; the types of plain ones are less.
enum { FORM_WEIGHTS = 1 << 8, FORM_SPREAD = 2 << 8, FORM_NO_BIAS = 3 << 8 };

struct conv_step {
    struct cs_cuda_engine *engine;
    int x, y;         // values
    const void *w;    // on the device
    const void *bias; // NULL: none, or not cuDNN's
    struct cs_cuda_operand add;
    int64_t images; // that are convolved one by one, with parts of norms; 0: all at once
    // What follows a transposed convolution.
    bool scratch; // cuDNN's result lies there
    int64_t kernel[2];
    struct cs_cuda_tensor late_bias;
    struct cs_cuda_activation activation;
};

// ---- Weights -----------------------------------------------------------------------------

struct filter {
    bool half, spread;
    int64_t to[4]; // K, C, R, S of what is made
};

static void store(const struct filter *f, void *host, int64_t at, float value)
{
    if (f->half)
        ((uint16_t *)host)[at] = cs_cuda_half(value);
    else
        ((float *)host)[at] = value;
}

// K, C, R, S to K, R, S, C with zeros in channels that the input is padded with.
static int fill_weights(const void *context, const struct cs_value *constant, const void *data,
                        void *host, struct cs_err *err)
{
    const struct filter *f = context;
    const int64_t *dim = constant->shape.dim;
    const float *from = data;
    (void)err;
    for (int64_t k = 0; k < dim[0]; k++)
        for (int64_t c = 0; c < dim[1]; c++)
            for (int64_t i = 0; i < dim[2] * dim[3]; i++)
                store(f, host, (k * dim[2] * dim[3] + i) * f->to[1] + c, *from++);
    return 0;
}

// C, K, R, S of a transposed convolution to the R * S * K outputs of a 1x1 one.
static int fill_spread(const void *context, const struct cs_value *constant, const void *data,
                       void *host, struct cs_err *err)
{
    const struct filter *f = context;
    const int64_t *dim = constant->shape.dim;
    const float *from = data;
    (void)err;
    for (int64_t c = 0; c < dim[0]; c++)
        for (int64_t k = 0; k < dim[1]; k++)
            for (int64_t i = 0; i < dim[2] * dim[3]; i++)
                store(f, host, (i * dim[1] + k) * dim[0] + c, *from++);
    return 0;
}

static int fill_zeros(const void *context, const struct cs_value *constant, const void *data,
                      void *host, struct cs_err *err)
{
    (void)context, (void)constant, (void)data, (void)host, (void)err; // zeroed before
    return 0;
}

static const void *pack_weights(struct cs_plan *plan, const struct cs_node *node,
                                const struct filter *f, struct cs_err *err)
{
    uint64_t form = f->spread ? FORM_SPREAD : FORM_WEIGHTS;
    size_t elements = (size_t)(f->to[0] * f->to[1] * f->to[2] * f->to[3]);
    return cs_cuda_pack(plan, node->inputs[1], form + f->half,
                        elements * (f->half ? sizeof(uint16_t) : sizeof(float)),
                        f->spread ? fill_spread : fill_weights, f, err);
}

// The node's bias; zeros where it has none.
static const void *pack_bias(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    struct cs_cuda_tensor bias;
    if (cs_node_input(plan->graph, node, 2))
        return cs_cuda_constant(plan, node->inputs[2], cs_cuda_real(plan), &bias, err) == 0
                   ? bias.data
                   : NULL;
    size_t channels = (size_t)cs_node_output(plan->graph, node, 0)->shape.dim[1];
    return cs_cuda_pack(plan, node->inputs[1], FORM_NO_BIAS, channels * sizeof(float), fill_zeros,
                        NULL, err);
}

// ---- Steps -------------------------------------------------------------------------------

static void release_step(void *params)
{
    struct conv_step *s = params;
    cs_cuda_engine_free(s->engine);
}

// Image by image: the sums are those of one.
static int run_late(const struct conv_step *s, const struct cs_cuda_run *run, struct cs_err *err)
{
    struct cs_cuda_tensor x = cs_cuda_at(run, s->x), y = cs_cuda_at(run, s->y);
    int64_t wide = cs_cuda_late_pitch(y.dim[1]), narrow = cs_cuda_late_pitch(x.dim[1]);
    float *sums = cs_cuda_sums(run, s->y);
    enum cs_cuda_type type;
    uint16_t *map = cs_cuda_map(run, s->x, &type);
    for (int64_t i = 0; i < s->images; i++) {
        const struct cs_cuda_dnn_data data = {
            .x = (uint16_t *)x.data + i * x.stride[0],
            .w = s->w,
            .scale = map ? map + 2 * i * narrow : NULL,
            .shift = map ? map + (2 * i + 1) * narrow : NULL,
            .y = (uint16_t *)y.data + i * y.stride[0],
            .sums = sums + 2 * i * wide,
            .squares = sums + (2 * i + 1) * wide,
            .workspace = run->scratch,
        };
        if (cs_cuda_engine_run(run->dnn, s->engine, &data, err) != 0)
            return -1;
    }
    return 0;
}

static int run_conv(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                    struct cs_err *err)
{
    const struct conv_step *s = step->params;
    struct cs_cuda_tensor x = cs_cuda_at(run, s->x), y = cs_cuda_at(run, s->y);
    struct cs_cuda_tensor add = cs_cuda_operand_at(run, &s->add);
    if (s->images)
        return run_late(s, run, err);
    const struct cs_cuda_dnn_data data = {.x = x.data,
                                          .w = s->w,
                                          .add = add.data,
                                          .bias = s->bias,
                                          .y = y.data,
                                          .workspace = run->scratch};
    return cs_cuda_engine_run(run->dnn, s->engine, &data, err);
}

static size_t align(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

// A plane seen as N, H, I, W, J, C: I x J pixels of the output for each of the input's.
static struct cs_cuda_tensor windows(void *data, const struct cs_cuda_tensor *y,
                                     const int64_t kernel[2], const int64_t stride[6])
{
    struct cs_cuda_tensor t = {.data = data, .type = y->type, .rank = 6};
    const int64_t dim[] = {
        y->dim[0], y->dim[2] / kernel[0], kernel[0], y->dim[3] / kernel[1], kernel[1], y->dim[1]};
    memcpy(t.dim, dim, sizeof dim);
    memcpy(t.stride, stride, 6 * sizeof *stride);
    return t;
}

// Bias, activation, and every pixel to its place: `made` has all outputs of a window side by side,
// or is y itself.
static int spread(const struct conv_step *s, void *stream, void *made,
                  const struct cs_cuda_tensor *y)
{
    const int64_t *k = s->kernel, channels = y->dim[1], pixel = k[0] * k[1] * channels;
    const int64_t w = y->dim[3] / k[1], h = y->dim[2] / k[0];
    const int64_t dense[] = {h * w * pixel, w * pixel, k[1] * channels, pixel, channels, 1};
    const int64_t strides[] = {y->stride[0],        k[0] * y->stride[2], y->stride[2],
                               k[1] * y->stride[3], y->stride[3],        y->stride[1]};
    struct cs_cuda_element e = {.operation = s->late_bias.data ? CS_EL_ADD : CS_EL_FIRST,
                                .in = {windows(made, y, k, s->scratch ? dense : strides)},
                                .out = windows(y->data, y, k, strides),
                                .share = 1,
                                .activation = s->activation};
    if (s->late_bias.data) {
        e.in[1] = s->late_bias;
        e.in[1].rank = 6;
        for (int d = 0; d < 6; d++)
            e.in[1].dim[d] = e.in[1].stride[d] = 1;
        e.in[1].dim[5] = channels;
    }
    return cs_cuda_element_launch(stream, &e);
}

static int run_transposed(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                          struct cs_err *err)
{
    const struct conv_step *s = step->params;
    struct cs_cuda_tensor x = cs_cuda_at(run, s->x), y = cs_cuda_at(run, s->y);
    size_t bytes = (size_t)(y.dim[0] * y.dim[1] * y.dim[2] * y.dim[3]) * cs_cuda_type_bytes(y.type);
    char *made = s->scratch ? run->scratch : y.data;
    char *workspace = run->scratch + (s->scratch ? align(bytes) : 0);
    const struct cs_cuda_dnn_data data = {
        .x = x.data, .w = s->w, .y = made, .workspace = workspace};
    if (cs_cuda_engine_run(run->dnn, s->engine, &data, err) != 0)
        return -1;
    bool more = s->scratch || s->late_bias.data || s->activation.function != CS_FN_IDENTITY;
    return more ? spread(s, run->stream, made, &y) : 0;
}

// ---- Describing --------------------------------------------------------------------------

static void place_of(const struct cs_plan *plan, int value, int64_t dim[4], int64_t stride[4])
{
    memcpy(dim, plan->graph->values[value].shape.dim, 4 * sizeof *dim);
    memcpy(stride, plan->memory.places[value].stride, 4 * sizeof *stride);
}

int cs_cuda_describe_conv(const struct cs_plan *plan, const struct cs_node *node,
                          struct cs_cuda_dnn_conv *conv, struct cs_err *err)
{
    struct cs_window window;
    const struct cs_value *w = cs_node_input(plan->graph, node, 1);
    if (cs_node_window(plan->graph, node, &window, err) != 0)
        return -1;
    *conv = (struct cs_cuda_dnn_conv){.half = cs_cuda_real(plan) == CS_CUDA_F16,
                                      .tensor_cores = plan->precision == CS_TF32,
                                      .direct = plan->direct,
                                      .transposed = strcmp(node->op, "ConvTranspose") == 0};
    place_of(plan, node->inputs[0], conv->x, conv->x_stride);
    place_of(plan, node->outputs[0], conv->y, conv->y_stride);
    memcpy(conv->w, w->shape.dim, sizeof conv->w);
    if (plan->memory.places[node->inputs[0]].padded)
        conv->x[1] = conv->w[1] = conv->x_stride[3];
    for (int i = 0; i < 2; i++) {
        // The end pad that gives exactly the output's size, whatever rounding made it.
        int64_t reach = (window.kernel[i] - 1) * window.dilation[i] + 1;
        int64_t many = conv->transposed ? conv->x[2 + i] : conv->y[2 + i];
        int64_t size = conv->transposed ? conv->y[2 + i] : conv->x[2 + i];
        int64_t end = (many - 1) * window.stride[i] + reach - size - window.pad_begin[i];
        conv->pad_begin[i] = window.pad_begin[i];
        conv->pad_end[i] = end > 0 ? end : 0; // samples that no window reaches are left out anyway
        conv->stride[i] = window.stride[i];
        conv->dilation[i] = window.dilation[i];
    }
    return 0;
}

static double flops_of(const struct cs_cuda_dnn_conv *conv)
{
    const int64_t *many = conv->transposed ? conv->x : conv->y;
    return 2.0 * (double)(many[0] * many[1] * many[2] * many[3]) *
           (double)(conv->w[1] * conv->w[2] * conv->w[3]);
}

// ---- Conv --------------------------------------------------------------------------------

static bool set_activation(struct cs_cuda_dnn_conv *conv, const struct cs_fusion *fusion)
{
    if (strcmp(fusion->activation, "Relu") == 0 || strcmp(fusion->activation, "LeakyRelu") == 0) {
        conv->activation = CS_CUDA_CONV_RELU;
        conv->slope = *fusion->activation == 'L' ? fusion->alpha : 0;
        return true;
    }
    if (strcmp(fusion->activation, "Clip") != 0)
        return false;
    conv->activation = CS_CUDA_CONV_CLIP;
    conv->low = fusion->alpha;
    conv->high = fusion->beta;
    return true;
}

// Precompiled engines first, then those for the convolution and its bias alone, and engines that
// are compiled at run time where nothing else will do. *whole: what follows is the engine's.
static int choose_engine(struct cs_plan *plan, const struct cs_node *node,
                         const struct cs_cuda_dnn_conv *plain, struct cs_cuda_engine **engine,
                         struct cs_cuda_dnn_conv *chosen, bool *whole, struct cs_err *err)
{
    struct cs_cuda_dnn *dnn = plan->network->device->dnn;
    const struct cs_fusion *fusion = &node->fusion;
    struct cs_cuda_dnn_conv all = *plain;
    all.add = fusion->add >= 0 && !plan->graph->values[fusion->add].data;
    all.bias = plain->bias || all.add || fusion->activation; // without one there are no engines
    if (all.add)
        memcpy(all.add_stride, plan->memory.places[fusion->add].stride, sizeof all.add_stride);
    bool fits =
        (fusion->add < 0 || all.add) && (!fusion->activation || set_activation(&all, fusion));
    for (int attempt = 0; attempt < 4; attempt++) {
        *whole = attempt % 2 == 0;
        if (*whole ? !fits : fusion->add < 0 && !fusion->activation)
            continue; // not possible, or the same once more
        *chosen = *whole ? all : *plain;
        chosen->compiled = attempt >= 2;
        if (cs_cuda_engine_new(dnn, chosen, engine, err) == 0)
            return 0;
    }
    return -1;
}

static int build_conv(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    struct cs_cuda_dnn_conv conv, chosen = {0};
    bool whole = true;
    if (cs_cuda_describe_conv(plan, node, &conv, err) != 0)
        return -1;
    conv.bias = cs_node_input(plan->graph, node, 2) != NULL;
    struct conv_step *s = cs_cuda_params(plan, sizeof *s);
    struct filter filter = {.half = conv.half};
    memcpy(filter.to, conv.w, sizeof filter.to);
    s->x = node->inputs[0];
    s->y = node->outputs[0];
    s->add.value = -1;
    s->engine = cs_cuda_late_engine(plan, node);
    s->images = s->engine ? conv.x[0] : 0;
    if (!s->engine && choose_engine(plan, node, &conv, &s->engine, &chosen, &whole, err) != 0)
        return -1;
    struct cs_cuda_step *step = cs_cuda_add_step(plan, node, run_conv, s);
    step->release = release_step;
    step->flops = flops_of(&conv);
    cs_cuda_need_scratch(plan, cs_cuda_engine_workspace(s->engine));
    if (!(s->w = pack_weights(plan, node, &filter, err)) ||
        (chosen.bias && !(s->bias = pack_bias(plan, node, err))))
        return -1;
    if (chosen.add)
        s->add.value = node->fusion.add;
    bool more = !whole && cs_node_fuses(node);
    return more ? cs_cuda_build_fusion(plan, node, true, err) : 0;
}

// ---- ConvTranspose -----------------------------------------------------------------------

static bool touches(const struct cs_node *node, const struct cs_cuda_dnn_conv *conv)
{
    bool yes = cs_node_int(node, "group", 1) == 1;
    for (int i = 0; i < 2; i++)
        yes = yes && conv->w[2 + i] == conv->stride[i] && conv->dilation[i] == 1 &&
              conv->pad_begin[i] == 0 && conv->y[2 + i] == conv->x[2 + i] * conv->stride[i];
    return yes;
}

// The 1x1 convolution whose result is then spread.
static void become_pointwise(struct cs_cuda_dnn_conv *conv, struct filter *filter)
{
    int64_t outs = conv->y[1] * conv->w[2] * conv->w[3];
    const int64_t dim[] = {conv->x[0], outs, conv->x[2], conv->x[3]};
    const int64_t stride[] = {outs * dim[2] * dim[3], 1, outs * dim[3], outs};
    const int64_t w[] = {outs, conv->x[1], 1, 1};
    memcpy(conv->y, dim, sizeof dim);
    memcpy(conv->y_stride, stride, sizeof stride);
    memcpy(conv->w, w, sizeof w);
    conv->transposed = false;
    for (int i = 0; i < 2; i++) {
        conv->stride[i] = 1;
        conv->pad_begin[i] = conv->pad_end[i] = 0;
    }
    filter->spread = true;
    memcpy(filter->to, w, sizeof w);
}

static int choose_plain(struct cs_plan *plan, struct cs_cuda_dnn_conv *conv,
                        struct cs_cuda_engine **engine, struct cs_err *err)
{
    for (int attempt = 0; attempt < 2; attempt++) {
        conv->compiled = attempt == 1;
        if (cs_cuda_engine_new(plan->network->device->dnn, conv, engine, err) == 0)
            return 0;
    }
    return -1;
}

static int build_transposed(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    struct cs_cuda_dnn_conv conv;
    if (cs_cuda_describe_conv(plan, node, &conv, err) != 0)
        return -1;
    struct conv_step *s = cs_cuda_params(plan, sizeof *s);
    struct filter filter = {.half = conv.half};
    double flops = flops_of(&conv);
    memcpy(filter.to, conv.w, sizeof filter.to);
    s->x = node->inputs[0];
    s->y = node->outputs[0];
    s->scratch = touches(node, &conv);
    s->kernel[0] = s->scratch ? conv.w[2] : 1;
    s->kernel[1] = s->scratch ? conv.w[3] : 1;
    s->activation = cs_cuda_fused(node);
    if (s->scratch)
        become_pointwise(&conv, &filter);
    if (choose_plain(plan, &conv, &s->engine, err) != 0)
        return -1;
    struct cs_cuda_step *step = cs_cuda_add_step(plan, node, run_transposed, s);
    step->release = release_step;
    step->flops = flops;
    size_t made =
        s->scratch
            ? align((size_t)(conv.y[0] * conv.y_stride[0]) * cs_cuda_type_bytes(cs_cuda_real(plan)))
            : 0;
    cs_cuda_need_scratch(plan, made + cs_cuda_engine_workspace(s->engine));
    if (!(s->w = pack_weights(plan, node, &filter, err)) ||
        (cs_node_input(plan->graph, node, 2) &&
         cs_cuda_constant(plan, node->inputs[2], CS_CUDA_F32, &s->late_bias, err) != 0))
        return -1;
    return 0;
}

static bool supports(const struct cs_graph *graph, const struct cs_node *node, char *why,
                     size_t why_size)
{
    const struct cs_value *in = cs_node_input(graph, node, 0);
    const struct cs_value *weights = cs_node_input(graph, node, 1);
    const struct cs_value *bias = cs_node_input(graph, node, 2);
    struct cs_window window;
    if (node->fusion.add >= 0 && strcmp(node->op, "ConvTranspose") == 0)
        snprintf(why, why_size, "an addition cannot be part of it");
    else if (!in || in->shape.rank != 4 || in->data || in->type != CS_TYPE_F32)
        snprintf(why, why_size, "input is not an N, C, H, W activation");
    else if (!weights || !weights->data || (bias && !bias->data))
        snprintf(why, why_size, "weights and bias must be constants");
    else if (cs_node_window(graph, node, &window, NULL) != 0 || window.pad_begin[0] < 0 ||
             window.pad_begin[1] < 0)
        snprintf(why, why_size, "pads are negative");
    else
        return true;
    return false;
}

const struct cs_cuda_op cs_cuda_conv_ops[] = {
    {"Conv", build_conv, supports, true},
    {"ConvTranspose", build_transposed, supports, true},
    {0},
};
