// SPDX-License-Identifier: MIT
// Convolution and transposed convolution, with groups, strides, dilations and pads. A line of
// outputs is summed in double, in the order channel, kernel row, kernel column.
#include "backend/ref/ref_kernels.h"

enum { LINE = 256 }; // outputs summed at a time

struct conv {
    struct cs_window w;
    const float *in, *weight, *bias;
    float *out;
    int64_t channels, height, width;             // input
    int64_t out_channels, out_height, out_width; // output
};

static void conv_setup(const struct cs_ref_call *call, struct conv *c)
{
    const struct cs_shape *in = cs_ref_in_shape(call, 0), *out = cs_ref_out_shape(call, 0);
    cs_node_window(call->graph, call->node, &c->w, NULL);
    c->in = call->in[0];
    c->weight = call->in[1];
    c->bias = call->node->input_count > 2 ? call->in[2] : NULL;
    c->out = call->out[0];
    c->channels = in->dim[1];
    c->height = in->dim[2];
    c->width = in->dim[3];
    c->out_channels = out->dim[1];
    c->out_height = out->dim[2];
    c->out_width = out->dim[3];
}

// Outputs x of a line from `begin`, of `count`, whose tap lies inside 0..width-1:
// tap(x) = x * stride + shift.
static void tap_range(int64_t shift, int64_t stride, int64_t width, int64_t begin, int64_t count,
                      int64_t *first, int64_t *last)
{
    int64_t low = shift >= 0 ? 0 : (-shift + stride - 1) / stride;
    int64_t high = width - 1 - shift >= 0 ? (width - 1 - shift) / stride : -1;
    *first = low > begin ? low : begin;
    *last = high < begin + count - 1 ? high : begin + count - 1;
}

static void conv_line(const struct conv *c, int64_t n, int64_t oc, int64_t oy, int64_t begin,
                      int64_t count)
{
    double sum[LINE];
    int64_t per_in = c->channels / c->w.group, per_out = c->out_channels / c->w.group;
    int64_t base = oc / per_out * per_in;
    for (int64_t i = 0; i < count; i++)
        sum[i] = c->bias ? (double)c->bias[oc] : 0;
    for (int64_t ic = 0; ic < per_in; ic++)
        for (int64_t ky = 0; ky < c->w.kernel[0]; ky++) {
            int64_t iy = oy * c->w.stride[0] - c->w.pad_begin[0] + ky * c->w.dilation[0];
            if (iy < 0 || iy >= c->height)
                continue;
            const float *line = c->in + ((n * c->channels + base + ic) * c->height + iy) * c->width;
            const float *taps =
                c->weight + ((oc * per_in + ic) * c->w.kernel[0] + ky) * c->w.kernel[1];
            for (int64_t kx = 0; kx < c->w.kernel[1]; kx++) {
                int64_t shift = kx * c->w.dilation[1] - c->w.pad_begin[1], first, last;
                int64_t stride = c->w.stride[1];
                double weight = (double)taps[kx];
                tap_range(shift, stride, c->width, begin, count, &first, &last);
                for (int64_t x = first; x <= last; x++)
                    sum[x - begin] += weight * (double)line[x * stride + shift];
            }
        }
    float *target = c->out + ((n * c->out_channels + oc) * c->out_height + oy) * c->out_width;
    for (int64_t i = 0; i < count; i++)
        target[begin + i] = (float)sum[i];
}

static void transpose_line(const struct conv *c, int64_t n, int64_t oc, int64_t oy, int64_t begin,
                           int64_t count)
{
    double sum[LINE];
    int64_t per_in = c->channels / c->w.group, per_out = c->out_channels / c->w.group;
    int64_t base = oc / per_out * per_in;
    for (int64_t i = 0; i < count; i++)
        sum[i] = c->bias ? (double)c->bias[oc] : 0;
    for (int64_t ic = base; ic < base + per_in; ic++)
        for (int64_t ky = 0; ky < c->w.kernel[0]; ky++) {
            int64_t up = oy + c->w.pad_begin[0] - ky * c->w.dilation[0];
            if (up < 0 || up % c->w.stride[0] != 0 || up / c->w.stride[0] >= c->height)
                continue;
            const float *line =
                c->in + ((n * c->channels + ic) * c->height + up / c->w.stride[0]) * c->width;
            const float *taps =
                c->weight + ((ic * per_out + oc % per_out) * c->w.kernel[0] + ky) * c->w.kernel[1];
            for (int64_t kx = 0; kx < c->w.kernel[1]; kx++)
                for (int64_t i = 0; i < count; i++) {
                    int64_t left = begin + i + c->w.pad_begin[1] - kx * c->w.dilation[1];
                    if (left >= 0 && left % c->w.stride[1] == 0 && left / c->w.stride[1] < c->width)
                        sum[i] += (double)taps[kx] * (double)line[left / c->w.stride[1]];
                }
        }
    float *target = c->out + ((n * c->out_channels + oc) * c->out_height + oy) * c->out_width;
    for (int64_t i = 0; i < count; i++)
        target[begin + i] = (float)sum[i];
}

static void all_lines(const struct cs_ref_call *call,
                      void (*line)(const struct conv *, int64_t, int64_t, int64_t, int64_t,
                                   int64_t))
{
    struct conv c;
    conv_setup(call, &c);
    int64_t planes = cs_ref_out_shape(call, 0)->dim[0] * c.out_channels;
#pragma omp parallel for collapse(2)
    for (int64_t plane = 0; plane < planes; plane++)
        for (int64_t y = 0; y < c.out_height; y++)
            for (int64_t x = 0; x < c.out_width; x += LINE)
                line(&c, plane / c.out_channels, plane % c.out_channels, y, x,
                     c.out_width - x < LINE ? c.out_width - x : LINE);
}

void cs_ref_conv(const struct cs_ref_call *call)
{
    all_lines(call, conv_line);
}

void cs_ref_conv_transpose(const struct cs_ref_call *call)
{
    all_lines(call, transpose_line);
}
