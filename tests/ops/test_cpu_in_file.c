// SPDX-License-Identifier: MIT
// Weights that stay in the model's file, at any address: every operator of the backend "cpu" that
// takes them gives the bits that it gives for weights in memory.
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "opcase.h"
#include "suite.h"

enum { FILE_BYTES = 1 << 20 };

static const struct {
    const char *op;
    struct cs_shape input, weight;
    int64_t stride, group;
} cases[] = {
    {"Conv", {4, {1, 16, 40, 40}}, {4, {32, 16, 3, 3}}, 1, 1},
    {"Conv", {4, {1, 16, 20, 20}}, {4, {32, 16, 1, 1}}, 2, 1},
    {"Conv", {4, {1, 16, 20, 20}}, {4, {16, 1, 3, 3}}, 1, 16},
    {"Conv", {3, {1, 8, 30}}, {3, {6, 8, 3}}, 1, 1}, // by the plain loops
    {"ConvTranspose", {4, {1, 16, 10, 10}}, {4, {16, 8, 2, 2}}, 2, 1},
    {"ConvTranspose", {4, {1, 16, 10, 10}}, {4, {16, 8, 3, 3}}, 2, 1},
    {"MatMul", {3, {2, 30, 24}}, {2, {24, 40}}, 0, 0},
    {"Gemm", {2, {30, 24}}, {2, {24, 40}}, 0, 0},
};

static void make(struct opcase *c, size_t i)
{
    opcase_init(c, 17, 7 + i);
    opcase_input(c, &cases[i].input);
    opcase_weight(c, &cases[i].weight);
    struct cs_node *node = opcase_node(c, cases[i].op, 1);
    if (!cases[i].stride)
        return;
    int64_t strides[] = {cases[i].stride, cases[i].stride};
    cs_node_add_ints(&c->graph, node, "strides", strides, cases[i].input.rank - 2);
    cs_node_add_int(&c->graph, node, "group", cases[i].group);
}

// The weights at `offset` of a mapped file.
static char *move_to_file(struct opcase *c, size_t offset)
{
    struct cs_err err = {0};
    struct cs_value *w = &c->graph.values[c->graph.nodes[0].inputs[1]];
    size_t bytes = (size_t)cs_shape_elements(&w->shape) * sizeof(float);
    int fd = cs_scratch_open(NULL, &err);
    ck_assert_msg(fd >= 0, "%s", err.text);
    ck_assert_int_eq(ftruncate(fd, FILE_BYTES), 0);
    ck_assert_uint_le(offset + bytes, FILE_BYTES);
    ck_assert_int_eq(pwrite(fd, w->data, bytes, (off_t)offset), (ssize_t)bytes);
    char *map = mmap(NULL, FILE_BYTES, PROT_READ, MAP_PRIVATE, fd, 0);
    ck_assert_ptr_ne(map, MAP_FAILED);
    close(fd);
    w->data = map + offset;
    w->in_file = true;
    return map;
}

START_TEST(same_bits)
{
    size_t i = (size_t)_i;
    for (size_t offset = 5000; offset < 5004; offset++) {
        struct opcase c;
        struct cs_err err = {0};
        int64_t count, same;
        make(&c, i);
        float *expected = opcase_run(&c, "cpu", &count, &err);
        ck_assert_msg(expected != NULL, "%s", err.text);
        char *map = move_to_file(&c, offset);
        float *got = opcase_run(&c, "cpu", &same, &err);
        ck_assert_msg(got != NULL, "%s", err.text);
        ck_assert_int_eq(same, count);
        ck_assert_msg(memcmp(got, expected, (size_t)count * sizeof *got) == 0, "case %zu: %s", i,
                      cases[i].op);
        free(got);
        free(expected);
        munmap(map, FILE_BYTES);
        opcase_release(&c);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu_in_file");
    TCase *core = tcase_create("core");
    tcase_add_loop_test(core, same_bits, 0, sizeof cases / sizeof *cases);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
