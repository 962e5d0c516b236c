// SPDX-License-Identifier: MIT
#include "same_bytes.h"

#include <check.h>
#include <stdlib.h>

static float *run_cpu(const struct opcase *c, int64_t *count)
{
    struct cs_err err = {0};
    float *out = opcase_run(c, "cpu", count, &err);
    ck_assert_msg(out, "%s", err.text);
    return out;
}

void same_bytes_expect(struct opcase *c)
{
    int64_t count, same, batch = c->shapes[0].dim[0];
    const float *images = c->data[0];
    c->threads = 1;
    float *first = run_cpu(c, &count);
    for (c->threads = 2; c->threads <= 4; c->threads++) {
        float *other = run_cpu(c, &same);
        ck_assert_int_eq(same, count);
        ck_assert_mem_eq(first, other, (size_t)count * sizeof *first);
        free(other);
    }
    c->shapes[0].dim[0] = 1;
    for (int64_t i = 0; i < batch; i++) {
        c->data[0] = images + i * cs_shape_elements(&c->shapes[0]);
        float *alone = run_cpu(c, &same);
        ck_assert_int_eq(same * batch, count);
        ck_assert_mem_eq(first + i * same, alone, (size_t)same * sizeof *alone);
        free(alone);
    }
    c->shapes[0].dim[0] = batch;
    c->data[0] = images;
    free(first);
}
