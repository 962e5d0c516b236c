// SPDX-License-Identifier: MIT
// Convolution and transposed convolution, with groups, strides, dilations and pads. A line of
// outputs is summed in double, in the order channel, kernel plane, kernel row, kernel column.
#include "backend/ref/ref_kernels.h"

enum { AXES = CS_MAX_SPACE, LINE = 256 }; // outputs summed at a time

struct conv {
    struct cs_window w; // of three axes
    const float *in, *weight, *bias;
    float *out;
    int64_t channels, out_channels;
    int64_t size[AXES], out_size[AXES];
};

// A line of outputs: image and channel, plane and row, and `count` columns from `begin`.
struct line {
    int64_t n, channel, z, y, begin, count;
};

static void conv_setup(const struct cs_ref_call *call, struct conv *c)
{
    cs_ref_window(call, &c->w);
    c->in = call->in[0];
    c->weight = call->in[1];
    c->bias = call->node->input_count > 2 ? call->in[2] : NULL;
    c->out = call->out[0];
    c->channels = cs_ref_in_shape(call, 0)->dim[1];
    c->out_channels = cs_ref_out_shape(call, 0)->dim[1];
    cs_ref_space(cs_ref_in_shape(call, 0), c->size);
    cs_ref_space(cs_ref_out_shape(call, 0), c->out_size);
}

// Outputs x of a line whose tap lies inside 0..width-1: tap(x) = x * stride + shift.
static void tap_range(int64_t shift, int64_t stride, int64_t width, const struct line *line,
                      int64_t *first, int64_t *last)
{
    int64_t low = shift >= 0 ? 0 : (-shift + stride - 1) / stride;
    int64_t high = width - 1 - shift >= 0 ? (width - 1 - shift) / stride : -1;
    int64_t end = line->begin + line->count - 1;
    *first = low > line->begin ? low : line->begin;
    *last = high < end ? high : end;
}

// Adds one row of a kernel over one row of the input to the sums.
static void conv_row(const struct conv *c, const struct line *line, const float *row,
                     const float *taps, double *sum)
{
    int64_t stride = c->w.stride[2], first, last;
    for (int64_t k = 0; k < c->w.kernel[2]; k++) {
        int64_t shift = k * c->w.dilation[2] - c->w.pad_begin[2];
        double weight = (double)taps[k];
        tap_range(shift, stride, c->size[2], line, &first, &last);
        for (int64_t x = first; x <= last; x++)
            sum[x - line->begin] += weight * (double)row[x * stride + shift];
    }
}

static void transposed_row(const struct conv *c, const struct line *line, const float *row,
                           const float *taps, double *sum)
{
    int64_t stride = c->w.stride[2];
    for (int64_t k = 0; k < c->w.kernel[2]; k++)
        for (int64_t i = 0; i < line->count; i++) {
            int64_t at = line->begin + i + c->w.pad_begin[2] - k * c->w.dilation[2];
            if (at >= 0 && at % stride == 0 && at / stride < c->size[2])
                sum[i] += (double)taps[k] * (double)row[at / stride];
        }
}

// The input index on an axis that output `at` reads through tap k; -1: none.
static int64_t source_of(const struct conv *c, bool transposed, int axis, int64_t at, int64_t k)
{
    int64_t stride = c->w.stride[axis], reach = k * c->w.dilation[axis];
    int64_t from =
        transposed ? at + c->w.pad_begin[axis] - reach : at * stride - c->w.pad_begin[axis] + reach;
    if (transposed && from % stride != 0)
        return -1;
    from = transposed ? from / stride : from;
    return from >= 0 && from < c->size[axis] ? from : -1;
}

static void line_run(const struct conv *c, const struct line *line, bool transposed)
{
    double sum[LINE];
    int64_t per_in = c->channels / c->w.group, per_out = c->out_channels / c->w.group;
    int64_t base = line->channel / per_out * per_in;
    const int64_t *kernel = c->w.kernel, *size = c->size;
    for (int64_t i = 0; i < line->count; i++)
        sum[i] = c->bias ? (double)c->bias[line->channel] : 0;
    for (int64_t k = 0; k < per_in; k++) {
        // Weights are (out, in / group, ...), of a transposed convolution (in, out / group, ...).
        int64_t filter = transposed ? (base + k) * per_out + line->channel % per_out
                                    : line->channel * per_in + k;
        for (int64_t kz = 0; kz < kernel[0]; kz++)
            for (int64_t ky = 0; ky < kernel[1]; ky++) {
                int64_t z = source_of(c, transposed, 0, line->z, kz);
                int64_t y = source_of(c, transposed, 1, line->y, ky);
                if (z < 0 || y < 0)
                    continue;
                const float *row =
                    c->in +
                    (((line->n * c->channels + base + k) * size[0] + z) * size[1] + y) * size[2];
                const float *taps =
                    c->weight + ((filter * kernel[0] + kz) * kernel[1] + ky) * kernel[2];
                (transposed ? transposed_row : conv_row)(c, line, row, taps, sum);
            }
    }
    const int64_t *out = c->out_size;
    int64_t plane = line->n * c->out_channels + line->channel;
    float *target = c->out + ((plane * out[0] + line->z) * out[1] + line->y) * out[2] + line->begin;
    for (int64_t i = 0; i < line->count; i++)
        target[i] = (float)sum[i];
}

static void all_lines(const struct cs_ref_call *call, bool transposed)
{
    struct conv c;
    conv_setup(call, &c);
    int64_t planes = cs_ref_out_shape(call, 0)->dim[0] * c.out_channels;
#pragma omp parallel for collapse(3)
    for (int64_t plane = 0; plane < planes; plane++)
        for (int64_t z = 0; z < c.out_size[0]; z++)
            for (int64_t y = 0; y < c.out_size[1]; y++)
                for (int64_t x = 0; x < c.out_size[2]; x += LINE) {
                    int64_t left = c.out_size[2] - x;
                    struct line line = {plane / c.out_channels,   plane % c.out_channels, z, y, x,
                                        left < LINE ? left : LINE};
                    line_run(&c, &line, transposed);
                }
}

void cs_ref_conv(const struct cs_ref_call *call)
{
    all_lines(call, false);
}

void cs_ref_conv_transpose(const struct cs_ref_call *call)
{
    all_lines(call, true);
}
