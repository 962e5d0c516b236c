// SPDX-License-Identifier: MIT
// Resize and Upsample: nearest and bilinear, and the operators that only move elements.
#include <math.h>

#include "backend/ref/ref_kernels.h"
#include "graph/move.h"

struct taps {
    int64_t low, high; // the two neighbours, clamped to the plane
    double part;       // of the upper one
};

static struct taps linear_taps(const struct cs_resize *resize, int axis, int64_t at)
{
    double x = cs_resize_source(resize, axis, at), floor_x = floor(x);
    int64_t last = resize->in[axis] - 1, low = (int64_t)floor_x, high = low + 1;
    return (struct taps){
        low < 0      ? 0
        : low > last ? last
                     : low,
        high < 0      ? 0
        : high > last ? last
                      : high,
        x - floor_x,
    };
}

static void resize_linear(const struct cs_resize *r, const float *plane, float *out)
{
    int64_t width = r->in[1];
    for (int64_t oy = 0; oy < r->out[0]; oy++) {
        struct taps y = linear_taps(r, 0, oy);
        for (int64_t ox = 0; ox < r->out[1]; ox++) {
            struct taps x = linear_taps(r, 1, ox);
            const float *low = plane + y.low * width, *high = plane + y.high * width;
            double above = (double)low[x.low] * (1 - x.part) + (double)low[x.high] * x.part;
            double below = (double)high[x.low] * (1 - x.part) + (double)high[x.high] * x.part;
            out[oy * r->out[1] + ox] = (float)(above * (1 - y.part) + below * y.part);
        }
    }
}

static void resize_nearest(const struct cs_resize *r, const float *plane, float *out)
{
    for (int64_t oy = 0; oy < r->out[0]; oy++) {
        const float *line = plane + cs_resize_pick(r, 0, oy) * r->in[1];
        for (int64_t ox = 0; ox < r->out[1]; ox++)
            out[oy * r->out[1] + ox] = line[cs_resize_pick(r, 1, ox)];
    }
}

void cs_ref_resize(const struct cs_ref_call *call)
{
    const struct cs_shape *in = cs_ref_in_shape(call, 0);
    struct cs_resize r;
    cs_node_resize(call->graph, call->node, &r, NULL);
#pragma omp parallel for
    for (int64_t p = 0; p < in->dim[0] * in->dim[1]; p++) {
        const float *plane = (const float *)call->in[0] + p * r.in[0] * r.in[1];
        float *out = (float *)call->out[0] + p * r.out[0] * r.out[1];
        if (r.mode == CS_RESIZE_LINEAR)
            resize_linear(&r, plane, out);
        else
            resize_nearest(&r, plane, out);
    }
}

void cs_ref_move(const struct cs_ref_call *call)
{
    cs_move_run(call->graph, call->node, call->in, call->out);
}
