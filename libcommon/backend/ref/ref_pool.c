// SPDX-License-Identifier: MIT
// Pools over windows and over whole planes.
#include <math.h>
#include <string.h>

#include "backend/ref/ref_kernels.h"

struct range {
    int64_t first, last; // rows or columns of the input, inside it
};

// Taps of output `at` on one axis are first, first + dilation, ... up to last.
static struct range taps(const struct cs_window *w, int axis, int64_t at, int64_t size)
{
    int64_t first = at * w->stride[axis] - w->pad_begin[axis];
    int64_t last = first + (w->kernel[axis] - 1) * w->dilation[axis];
    while (first < 0)
        first += w->dilation[axis];
    while (last >= size)
        last -= w->dilation[axis];
    return (struct range){first, last};
}

static float window_max(const struct cs_window *w, const float *plane, int64_t width,
                        struct range y, struct range x)
{
    float most = -INFINITY;
    for (int64_t r = y.first; r <= y.last; r += w->dilation[0])
        for (int64_t c = x.first; c <= x.last; c += w->dilation[1])
            most = plane[r * width + c] > most || isnan(plane[r * width + c]) ? plane[r * width + c]
                                                                              : most;
    return most;
}

// Samples that one axis of a window counts: with count_include_pad those of the padded plane,
// but none that only ceil_mode reaches.
static int64_t counted(const struct cs_window *w, int axis, int64_t at, int64_t size,
                       struct range inside)
{
    if (!w->count_include_pad)
        return (inside.last - inside.first) / w->dilation[axis] + 1;
    int64_t count = 0, start = at * w->stride[axis] - w->pad_begin[axis];
    for (int64_t k = 0; k < w->kernel[axis]; k++)
        count += start + k * w->dilation[axis] < size + w->pad_end[axis];
    return count;
}

static float window_mean(const struct cs_window *w, const float *plane, int64_t width,
                         struct range y, struct range x, int64_t count)
{
    double sum = 0;
    for (int64_t r = y.first; r <= y.last; r += w->dilation[0])
        for (int64_t c = x.first; c <= x.last; c += w->dilation[1])
            sum += (double)plane[r * width + c];
    return (float)(sum / (double)count);
}

static void pool(const struct cs_ref_call *call, bool mean)
{
    const struct cs_shape *in = cs_ref_in_shape(call, 0), *out = cs_ref_out_shape(call, 0);
    struct cs_window w;
    cs_node_window(call->graph, call->node, &w, NULL);
#pragma omp parallel for
    for (int64_t p = 0; p < in->dim[0] * in->dim[1]; p++) {
        const float *plane = (const float *)call->in[0] + p * in->dim[2] * in->dim[3];
        float *target = (float *)call->out[0] + p * out->dim[2] * out->dim[3];
        for (int64_t oy = 0; oy < out->dim[2]; oy++) {
            struct range y = taps(&w, 0, oy, in->dim[2]);
            int64_t rows = counted(&w, 0, oy, in->dim[2], y);
            for (int64_t ox = 0; ox < out->dim[3]; ox++) {
                struct range x = taps(&w, 1, ox, in->dim[3]);
                int64_t columns = counted(&w, 1, ox, in->dim[3], x);
                target[oy * out->dim[3] + ox] =
                    mean ? window_mean(&w, plane, in->dim[3], y, x, rows * columns)
                         : window_max(&w, plane, in->dim[3], y, x);
            }
        }
    }
}

void cs_ref_max_pool(const struct cs_ref_call *call)
{
    pool(call, false);
}

void cs_ref_average_pool(const struct cs_ref_call *call)
{
    pool(call, true);
}

void cs_ref_global_pool(const struct cs_ref_call *call)
{
    const struct cs_shape *in = cs_ref_in_shape(call, 0);
    bool mean = strcmp(call->node->op, "GlobalAveragePool") == 0;
    int64_t size = in->dim[2] * in->dim[3];
    const struct cs_window whole = {.dilation = {1, 1}};
    struct range y = {0, in->dim[2] - 1}, x = {0, in->dim[3] - 1};
#pragma omp parallel for
    for (int64_t p = 0; p < in->dim[0] * in->dim[1]; p++) {
        const float *plane = (const float *)call->in[0] + p * size;
        ((float *)call->out[0])[p] = mean ? window_mean(&whole, plane, in->dim[3], y, x, size)
                                          : window_max(&whole, plane, in->dim[3], y, x);
    }
}
