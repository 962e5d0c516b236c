// SPDX-License-Identifier: MIT
// Normalisations. Statistics in double, in two passes: mean, then mean square deviation.
#include <math.h>
#include <string.h>

#include "backend/ref/ref_kernels.h"

static void statistics(const float *data, int64_t count, double epsilon, double *mean,
                       double *scale)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < count; i++)
        sum += (double)data[i];
    *mean = sum / (double)count;
    for (int64_t i = 0; i < count; i++)
        squares += ((double)data[i] - *mean) * ((double)data[i] - *mean);
    *scale = 1 / sqrt(squares / (double)count + epsilon);
}

static int64_t elements_from(const struct cs_shape *shape, int axis)
{
    int64_t count = 1;
    for (int d = axis; d < shape->rank; d++)
        count *= shape->dim[d];
    return count;
}

void cs_ref_batch_norm(const struct cs_ref_call *call)
{
    const struct cs_shape *in = cs_ref_in_shape(call, 0);
    int64_t size = elements_from(in, 2), channels = in->dim[1];
    const float *scale = call->in[1], *shift = call->in[2], *mean = call->in[3];
    const float *variance = call->in[4];
    double epsilon = (double)cs_node_float(call->node, "epsilon", 1e-5f);
#pragma omp parallel for
    for (int64_t p = 0; p < in->dim[0] * channels; p++) {
        int64_t c = p % channels;
        double factor = (double)scale[c] / sqrt((double)variance[c] + epsilon);
        const float *source = (const float *)call->in[0] + p * size;
        float *target = (float *)call->out[0] + p * size;
        for (int64_t i = 0; i < size; i++)
            target[i] = (float)(((double)source[i] - (double)mean[c]) * factor + (double)shift[c]);
    }
}

// InstanceNormalization is one group a channel. Before opset 21 scale and shift of
// GroupNormalization are one a group.
void cs_ref_group_norm(const struct cs_ref_call *call)
{
    const struct cs_shape *in = cs_ref_in_shape(call, 0);
    int64_t size = elements_from(in, 2), channels = in->dim[1];
    int64_t groups = cs_node_int(call->node, "num_groups", channels), wide = channels / groups;
    bool per_channel = cs_ref_in_shape(call, 1)->dim[0] == channels;
    const float *scale = call->in[1], *shift = call->in[2];
    double epsilon = (double)cs_node_float(call->node, "epsilon", 1e-5f);
#pragma omp parallel for
    for (int64_t p = 0; p < in->dim[0] * groups; p++) {
        const float *source = (const float *)call->in[0] + p * wide * size;
        float *target = (float *)call->out[0] + p * wide * size;
        double mean, factor;
        statistics(source, wide * size, epsilon, &mean, &factor);
        for (int64_t k = 0; k < wide; k++) {
            int64_t at = per_channel ? p % groups * wide + k : p % groups;
            for (int64_t i = k * size; i < (k + 1) * size; i++)
                target[i] = (float)(((double)source[i] - mean) * factor * (double)scale[at] +
                                    (double)shift[at]);
        }
    }
}

void cs_ref_layer_norm(const struct cs_ref_call *call)
{
    const struct cs_shape *in = cs_ref_in_shape(call, 0);
    int axis;
    cs_node_axis(call->node, -1, in->rank, &axis, NULL);
    int64_t size = elements_from(in, axis), lines = size ? cs_shape_elements(in) / size : 0;
    const float *scale = call->in[1], *shift = call->node->input_count > 2 ? call->in[2] : NULL;
    float *means = call->node->output_count > 1 ? call->out[1] : NULL;
    float *factors = call->node->output_count > 2 ? call->out[2] : NULL;
    double epsilon = (double)cs_node_float(call->node, "epsilon", 1e-5f);
#pragma omp parallel for
    for (int64_t p = 0; p < lines; p++) {
        const float *source = (const float *)call->in[0] + p * size;
        float *target = (float *)call->out[0] + p * size;
        double mean, factor;
        statistics(source, size, epsilon, &mean, &factor);
        for (int64_t i = 0; i < size; i++)
            target[i] = (float)(((double)source[i] - mean) * factor * (double)scale[i] +
                                (shift ? (double)shift[i] : 0));
        if (means)
            means[p] = (float)mean;
        if (factors)
            factors[p] = (float)factor;
    }
}
