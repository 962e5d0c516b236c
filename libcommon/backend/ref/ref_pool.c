// SPDX-License-Identifier: MIT
// Pools over windows and over all of space. Lines and planes are volumes of depth or height 1.
#include <math.h>
#include <string.h>

#include "backend/ref/ref_kernels.h"

enum { AXES = CS_MAX_SPACE };

struct pool {
    struct cs_window w; // of three axes
    int64_t in[AXES], out[AXES];
    bool mean, by_columns; // MaxPool's storage_order
    const float *source;
    float *target;
    int64_t *indices; // NULL: not wanted
};

// Taps of an output on one axis that lie inside the input: first, first + dilation, ... up to last.
struct range {
    int64_t first, last;
    int64_t counted; // by a mean: with count_include_pad also those on pads, but none that only
                     // ceil_mode reaches
};

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static struct range taps(const struct pool *p, int axis, int64_t at)
{
    int64_t dilation = p->w.dilation[axis], size = p->in[axis], kernel = p->w.kernel[axis];
    int64_t start = at * p->w.stride[axis] - p->w.pad_begin[axis];
    int64_t first = start < 0 ? (-start + dilation - 1) / dilation : 0; // taps before the input
    int64_t behind = least(kernel, start < size ? (size - 1 - start) / dilation + 1 : 0);
    int64_t padded = size + p->w.pad_end[axis];
    int64_t counted = least(kernel, start < padded ? (padded - 1 - start) / dilation + 1 : 0);
    return (struct range){start + first * dilation, start + (behind - 1) * dilation,
                          p->w.count_include_pad ? counted : behind - first};
}

static void window_run(const struct pool *p, int64_t plane, const struct range r[AXES], int64_t to)
{
    const float *in = p->source + plane * p->in[0] * p->in[1] * p->in[2];
    double sum = 0;
    float most = -INFINITY;
    int64_t where = -1;
    for (int64_t z = r[0].first; z <= r[0].last; z += p->w.dilation[0])
        for (int64_t y = r[1].first; y <= r[1].last; y += p->w.dilation[1])
            for (int64_t x = r[2].first; x <= r[2].last; x += p->w.dilation[2]) {
                float sample = in[(z * p->in[1] + y) * p->in[2] + x];
                sum += (double)sample;
                if (where >= 0 && !(sample > most) && !isnan(sample))
                    continue;
                most = sample;
                where = p->by_columns ? (x * p->in[1] + y) * p->in[0] + z
                                      : (z * p->in[1] + y) * p->in[2] + x;
            }
    double counted = (double)(r[0].counted * r[1].counted * r[2].counted);
    p->target[to] = p->mean ? (float)(sum / counted) : most;
    if (p->indices)
        p->indices[to] = plane * p->in[0] * p->in[1] * p->in[2] + (where < 0 ? 0 : where);
}

static void pool_run(const struct pool *p, int64_t planes)
{
#pragma omp parallel for collapse(2)
    for (int64_t plane = 0; plane < planes; plane++)
        for (int64_t z = 0; z < p->out[0]; z++) {
            struct range r[AXES] = {taps(p, 0, z)};
            for (int64_t y = 0; y < p->out[1]; y++) {
                r[1] = taps(p, 1, y);
                for (int64_t x = 0; x < p->out[2]; x++) {
                    r[2] = taps(p, 2, x);
                    window_run(p, plane, r,
                               ((plane * p->out[0] + z) * p->out[1] + y) * p->out[2] + x);
                }
            }
        }
}

static struct pool pool_of(const struct cs_ref_call *call)
{
    struct pool p = {.mean = strstr(call->node->op, "Average") != NULL,
                     .by_columns = cs_node_int(call->node, "storage_order", 0) != 0,
                     .source = call->in[0],
                     .target = call->out[0],
                     .indices = call->node->output_count > 1 ? call->out[1] : NULL};
    cs_ref_space(cs_ref_in_shape(call, 0), p.in);
    cs_ref_space(cs_ref_out_shape(call, 0), p.out);
    return p;
}

void cs_ref_pool(const struct cs_ref_call *call)
{
    const struct cs_shape *in = cs_ref_in_shape(call, 0);
    struct pool p = pool_of(call);
    cs_ref_window(call, &p.w);
    pool_run(&p, in->dim[0] * in->dim[1]);
}

// One window that is all of space, as a line.
void cs_ref_global_pool(const struct cs_ref_call *call)
{
    const struct cs_shape *in = cs_ref_in_shape(call, 0);
    struct pool p = pool_of(call);
    int64_t planes = in->dim[0] * in->dim[1];
    p.in[0] = p.in[1] = p.out[0] = p.out[1] = p.out[2] = 1;
    p.in[2] = planes ? cs_shape_elements(in) / planes : 0;
    p.w = (struct cs_window){
        .space = AXES, .kernel = {1, 1, p.in[2]}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}};
    pool_run(&p, planes);
}
