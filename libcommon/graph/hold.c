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

const void *cs_constant_hold(const struct cs_value *value, struct cs_constant_hold *hold,
                             struct cs_err *err)
{
    *hold = (struct cs_constant_hold){.value = value};
    if (!value->in_file || (uintptr_t)value->data % cs_type_bytes(value->type) == 0)
        return value->data;
    size_t bytes = (size_t)cs_shape_elements(&value->shape) * cs_type_bytes(value->type);
    hold->copy = malloc(bytes + 1);
    if (!hold->copy) {
        cs_fail(err, CS_ENOMEM, "no memory for the %zu bytes of %s", bytes, value->name);
        return NULL;
    }
    memcpy(hold->copy, value->data, bytes);
    return hold->copy;
}

void cs_constant_release(struct cs_constant_hold *hold)
{
    const struct cs_value *value = hold->value;
    free(hold->copy);
    *hold = (struct cs_constant_hold){.value = NULL};
    if (!value || !value->in_file)
        return;
    // Whole pages around it: a neighbour's page comes again from the file when it is read.
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)value->data;
    uintptr_t end =
        begin + (size_t)cs_shape_elements(&value->shape) * cs_type_bytes(value->type) + page - 1;
    begin -= begin % page;
    end -= end % page;
    madvise((void *)begin, end - begin, MADV_DONTNEED);
}
