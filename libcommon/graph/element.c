// SPDX-License-Identifier: MIT
#include "graph/element.h"

#include <math.h>

void cs_load_reals(enum cs_type type, const void *data, int64_t first, int64_t step, int64_t count,
                   double *out)
{
    const float *reals = data;
    const int64_t *longs = data;
    const int32_t *ints = data;
    const unsigned char *bools = data;
    for (int64_t i = 0, at = first; i < count; i++, at += step)
        out[i] = type == CS_TYPE_F32   ? (double)reals[at]
                 : type == CS_TYPE_I64 ? (double)longs[at]
                 : type == CS_TYPE_I32 ? (double)ints[at]
                                       : (double)(bools[at] != 0);
}

static int64_t cut(double value)
{
    if (isnan(value))
        return 0;
    return value >= 0x1p63 ? INT64_MAX : value < -0x1p63 ? INT64_MIN : (int64_t)value;
}

void cs_load_integers(enum cs_type type, const void *data, int64_t first, int64_t step,
                      int64_t count, int64_t *out)
{
    const float *reals = data;
    const int64_t *longs = data;
    const int32_t *ints = data;
    const unsigned char *bools = data;
    for (int64_t i = 0, at = first; i < count; i++, at += step)
        out[i] = type == CS_TYPE_I64   ? longs[at]
                 : type == CS_TYPE_I32 ? ints[at]
                 : type == CS_TYPE_F32 ? cut((double)reals[at])
                                       : bools[at] != 0;
}

void cs_store_reals(enum cs_type type, void *data, int64_t first, int64_t count,
                    const double *values)
{
    for (int64_t i = 0; i < count; i++) {
        int64_t integer = type == CS_TYPE_F32 ? 0 : cut(values[i]);
        if (type == CS_TYPE_F32)
            ((float *)data)[first + i] = (float)values[i];
        else if (type == CS_TYPE_BOOL)
            ((unsigned char *)data)[first + i] = values[i] != 0;
        else
            cs_store_integers(type, data, first + i, 1, &integer);
    }
}

void cs_store_integers(enum cs_type type, void *data, int64_t first, int64_t count,
                       const int64_t *values)
{
    for (int64_t i = 0; i < count; i++) {
        if (type == CS_TYPE_I64)
            ((int64_t *)data)[first + i] = values[i];
        else if (type == CS_TYPE_I32)
            ((int32_t *)data)[first + i] = (int32_t)values[i];
        else if (type == CS_TYPE_F32)
            ((float *)data)[first + i] = (float)values[i];
        else
            ((unsigned char *)data)[first + i] = values[i] != 0;
    }
}

int64_t cs_broadcast_index(const struct cs_shape *out, const struct cs_shape *in, int64_t flat)
{
    int64_t index = 0, stride = 1, lead = out->rank - in->rank;
    for (int64_t d = out->rank - 1; d >= lead; d--) {
        int64_t at = flat % out->dim[d], size = in->dim[d - lead];
        flat /= out->dim[d];
        index += size == 1 ? 0 : at * stride;
        stride *= size;
    }
    return index;
}
