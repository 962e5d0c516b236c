// SPDX-License-Identifier: MIT
// The header of an NPY file is the text of a Python dictionary: enough of it is found by its keys.
#include "npy_tensor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/mem.h"

static int read_shape(const char *header, struct cs_shape *shape)
{
    const char *at = strstr(header, "'shape': (");
    if (!at)
        return -1;
    at += strlen("'shape': (");
    shape->rank = 0;
    while (*at && *at != ')') {
        char *end;
        long long size = strtoll(at, &end, 10);
        if (end == at || size < 0 || shape->rank == CS_MAX_RANK)
            return -1;
        shape->dim[shape->rank++] = size;
        at = end + strspn(end, ", ");
    }
    return 0;
}

int npy_tensor_read(const char *path, struct npy_tensor *tensor, struct cs_err *err)
{
    struct cs_buf buf = {0};
    *tensor = (struct npy_tensor){0};
    if (cs_read_file(path, (size_t)1 << 32, &buf, err) < 0)
        return -1;
    const unsigned char *bytes = (const unsigned char *)buf.data;
    size_t start = buf.len < 10 ? 0 : 10 + (size_t)(bytes[8] | bytes[9] << 8);
    int result = -1;
    if (start == 0 || start > buf.len || memcmp(bytes, "\x93NUMPY\x01", 7) != 0)
        goto done;
    char *header = cs_xstrndup(buf.data + 10, start - 10);
    bool wide = strstr(header, "'<f8'") != NULL;
    bool known = (wide || strstr(header, "'<f4'")) && strstr(header, "'fortran_order': False") &&
                 read_shape(header, &tensor->shape) == 0;
    free(header);
    tensor->elements = known ? cs_shape_elements(&tensor->shape) : -1;
    if (tensor->elements < 0 ||
        buf.len - start != (size_t)tensor->elements * (wide ? sizeof(double) : sizeof(float)))
        goto done;
    tensor->data = cs_xcalloc((size_t)tensor->elements, sizeof *tensor->data);
    for (int64_t i = 0; i < tensor->elements; i++) {
        float narrow;
        if (wide)
            memcpy(&tensor->data[i], bytes + start + 8 * i, 8);
        else
            memcpy(&narrow, bytes + start + 4 * i, 4), tensor->data[i] = (double)narrow;
    }
    result = 0;
done:
    cs_buf_release(&buf);
    return result < 0 ? cs_fail(err, CS_EINPUT, "%s: not an NPY file of floats", path) : 0;
}

float *npy_tensor_floats(const struct npy_tensor *tensor)
{
    float *floats = cs_xcalloc((size_t)tensor->elements, sizeof *floats);
    for (int64_t i = 0; i < tensor->elements; i++)
        floats[i] = (float)tensor->data[i];
    return floats;
}

void npy_tensor_release(struct npy_tensor *tensor)
{
    free(tensor->data);
    *tensor = (struct npy_tensor){0};
}

double npy_tensor_error(const float *got, const struct npy_tensor *expected)
{
    double error = 0, norm = 0;
    for (int64_t i = 0; i < expected->elements; i++) {
        double difference = (double)got[i] - expected->data[i];
        if (!isfinite(difference))
            return INFINITY;
        error += difference * difference;
        norm += expected->data[i] * expected->data[i];
    }
    return sqrt(error / norm);
}
