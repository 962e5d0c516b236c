// SPDX-License-Identifier: MIT
// The NPY header is a Python literal: {'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }.
// Read by key, strictly: exactly the three keys' values are looked at, and the shape must account
// for every byte behind the header. Format: numpy.lib.format.
#include "model/npy_tensor.h"

#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/mem.h"
#include "image/write.h"

enum { MAX_HEADER = 1 << 16 };

void cs_tensor_release(struct cs_tensor *tensor)
{
    free(tensor->data);
    *tensor = (struct cs_tensor){0};
}

// Behind "'key':" and spaces, NULL if the key is not there.
static const char *value_of(const char *header, const char *key)
{
    const char *at = strstr(header, key);
    if (!at)
        return NULL;
    at += strlen(key);
    at += strspn(at, " ");
    if (*at++ != ':')
        return NULL;
    return at + strspn(at, " ");
}

static int parse_shape(struct cs_tensor *t, const char *at, struct cs_err *err)
{
    size_t count = 1;
    if (!at || *at++ != '(')
        return cs_fail(err, CS_EMODEL, "NPY: no shape");
    for (;;) {
        at += strspn(at, " ");
        if (*at == ')')
            break;
        if (t->rank == CS_TENSOR_MAX_RANK)
            return cs_fail(err, CS_EMODEL, "NPY: more than %d axes", CS_TENSOR_MAX_RANK);
        int64_t value = 0;
        size_t digits = strspn(at, "0123456789");
        if (digits < 1 || digits > 10)
            return cs_fail(err, CS_EMODEL, "NPY: broken shape");
        for (size_t i = 0; i < digits; i++)
            value = value * 10 + (at[i] - '0');
        at += digits;
        at += strspn(at, " ");
        if (*at == ',')
            at++;
        else if (*at != ')')
            return cs_fail(err, CS_EMODEL, "NPY: broken shape");
        t->dim[t->rank++] = value;
        if (!cs_mul_size(count, (size_t)value, &count) || count > CS_TENSOR_MAX_BYTES)
            return cs_fail(err, CS_EMODEL, "NPY: too large");
    }
    t->count = count;
    return 0;
}

#define CONVERT(type)                                                                              \
    for (size_t i = 0; i < t->count; i++) {                                                        \
        type value;                                                                                \
        memcpy(&value, bytes + i * sizeof value, sizeof value);                                    \
        t->data[i] = (float)value;                                                                 \
    }                                                                                              \
    return 0

static int convert(struct cs_tensor *t, const char *type, const char *bytes, size_t size,
                   struct cs_err *err)
{
    static const struct {
        const char *name;
        size_t bytes;
    } types[] = {{"'<f4'", 4}, {"'<f8'", 8}, {"'|u1'", 1}, {"'<u2'", 2},
                 {"'<i4'", 4}, {"'<i8'", 8}, {"'|b1'", 1}};
    size_t k = 0, all = sizeof types / sizeof *types;
    while (type && k < all && strncmp(types[k].name, type, 5) != 0)
        k++;
    if (!type || k == all)
        return cs_fail(err, CS_EMODEL, "NPY: sample type not supported");
    if (size != t->count * types[k].bytes)
        return cs_fail(err, CS_EMODEL, "NPY: %zu bytes of samples instead of %zu", size,
                       t->count * types[k].bytes);
    t->data = cs_alloc(t->count, sizeof *t->data, "tensor", err);
    if (!t->data)
        return -1;
    switch (k) {
    case 0:
        CONVERT(float);
    case 1:
        CONVERT(double);
    case 2:
    case 6:
        CONVERT(uint8_t);
    case 3:
        CONVERT(uint16_t);
    case 4:
        CONVERT(int32_t);
    default:
        CONVERT(int64_t);
    }
}

int cs_tensor_parse(struct cs_tensor *t, const void *data, size_t size, struct cs_err *err)
{
    const uint8_t *bytes = data;
    *t = (struct cs_tensor){0};
    if (size < 12 || memcmp(bytes, "\x93NUMPY", 6) != 0 || bytes[6] < 1 || bytes[6] > 3)
        return cs_fail(err, CS_EMODEL, "no NPY file");
    size_t start = bytes[6] == 1 ? 10 : 12;
    size_t length = bytes[8] | (size_t)bytes[9] << 8;
    if (bytes[6] > 1)
        length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    if (length > MAX_HEADER || length > size - start)
        return cs_fail(err, CS_EMODEL, "NPY: broken header");
    char *header = cs_xstrndup((const char *)bytes + start, length);
    const char *order = value_of(header, "'fortran_order'");
    int result;
    if (!order || strncmp(order, "False", 5) != 0)
        result = cs_fail(err, CS_EMODEL, "NPY: not in C order");
    else if (parse_shape(t, value_of(header, "'shape'"), err) != 0)
        result = -1;
    else
        result = convert(t, value_of(header, "'descr'"), (const char *)bytes + start + length,
                         size - start - length, err);
    free(header);
    if (result != 0)
        cs_tensor_release(t);
    return result;
}

int cs_tensor_read(struct cs_tensor *tensor, const char *path, struct cs_err *err)
{
    struct cs_buf text = {0};
    *tensor = (struct cs_tensor){0};
    int result = cs_read_file(path, CS_TENSOR_MAX_BYTES, &text, err);
    if (result == 0) {
        result = cs_tensor_parse(tensor, text.data ? text.data : "", text.len, err);
        if (result != 0)
            cs_err_context(err, "%s", path);
    } else if (err) {
        err->code = CS_EMODEL;
    }
    cs_buf_release(&text);
    return result;
}

void cs_tensor_write(const struct cs_tensor *tensor, struct cs_buf *out)
{
    uint64_t dims[CS_TENSOR_MAX_RANK];
    for (int i = 0; i < tensor->rank; i++)
        dims[i] = (uint64_t)tensor->dim[i];
    cs_npy_header_of("<f4", dims, tensor->rank, out);
    cs_buf_add(out, tensor->data, tensor->count * sizeof *tensor->data);
}
