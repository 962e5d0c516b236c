// SPDX-License-Identifier: MIT
// Large weights may stay in the model's file, mapped: they cost no memory but while somebody reads
// them. A file puts tensors at any address, so that most are read through an aligned copy.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "graph/graph.h"

enum { CHUNK = 1 << 20 };

static size_t bytes_of(const struct cs_value *value)
{
    return (size_t)cs_shape_elements(&value->shape) * cs_type_bytes(value->type);
}

// Whole pages around: a neighbour's page comes again from the file when it is read.
static void give_back(const char *data, size_t bytes)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)data;
    uintptr_t end = (begin + bytes + page - 1) / page * page;
    begin = begin / page * page;
    madvise((void *)begin, end - begin, MADV_DONTNEED);
}

const void *cs_constant_hold(const struct cs_value *value, struct cs_constant_hold *hold,
                             struct cs_err *err)
{
    *hold = (struct cs_constant_hold){.value = value};
    if (!value->in_file || (uintptr_t)value->data % cs_type_bytes(value->type) == 0)
        return value->data;
    const char *from = value->data;
    size_t bytes = bytes_of(value);
    char *copy = malloc(bytes + 1);
    if (!copy) {
        cs_fail(err, CS_ENOMEM, "no memory for the %zu bytes of %s", bytes, value->name);
        return NULL;
    }
    hold->copy = copy;
    for (size_t done = 0; done < bytes; done += CHUNK) { // never both as a whole
        size_t n = bytes - done < CHUNK ? bytes - done : CHUNK;
        memcpy(copy + done, from + done, n);
        give_back(from + done, n);
    }
    return copy;
}

void cs_constant_release(struct cs_constant_hold *hold)
{
    const struct cs_value *value = hold->value;
    free(hold->copy);
    if (value && value->in_file && !hold->copy)
        give_back(value->data, bytes_of(value));
    *hold = (struct cs_constant_hold){.value = NULL};
}
