// SPDX-License-Identifier: MIT
// MatMul and Gemm on "cpu": against "ref" with ranks, broadcasts, vectors, transpositions and sizes
// around those of tiles and blocks; and the same bits for any number of threads, any batch and any
// place in it, for each instruction set.
//
// Bound: relative L2 error 1e-6. Sums of a block of depth are one chain of fp32 multiply-adds.
#include <stdlib.h>
#include <string.h>

#include "isa.h"
#include "opcase.h"
#include "suite.h"

// Small, or around a tile or a block.
static int64_t pick_size(struct opcase *c)
{
    static const int64_t edges[] = {1, 2, 6, 7, 12, 13, 31, 32, 33, 64, 96, 97, 200};
    return opcase_pick(c, 0, 1) ? edges[opcase_pick(c, 0, 12)] : opcase_pick(c, 1, 50);
}

// Both operands' batches, broadcast or not; a vector has none.
static struct cs_shape operand(struct opcase *c, const struct cs_shape *batch, int64_t rows,
                               int64_t columns)
{
    struct cs_shape shape = {0};
    int first = (int)opcase_pick(c, 0, batch->rank);
    for (int d = first; d < batch->rank; d++)
        shape.dim[shape.rank++] = opcase_pick(c, 0, 3) ? batch->dim[d] : 1;
    shape.dim[shape.rank++] = rows;
    shape.dim[shape.rank++] = columns;
    return shape;
}

static void random_matmul(struct opcase *c)
{
    struct cs_shape batch = {(int)opcase_pick(c, 0, 3), {0}};
    for (int d = 0; d < batch.rank; d++)
        batch.dim[d] = opcase_pick(c, 1, 4);
    int64_t m = pick_size(c), k = pick_size(c), n = pick_size(c);
    k = opcase_pick(c, 0, 3) ? k : 250 + k;
    struct cs_shape a = operand(c, &batch, m, k), b = operand(c, &batch, k, n);
    if (opcase_pick(c, 0, 5))
        opcase_input(c, &a);
    else
        opcase_weight(c, &a);
    if (opcase_pick(c, 0, 2) || c->graph.input_count == 0)
        opcase_input(c, &b);
    else
        opcase_weight(c, &b);
    opcase_node(c, "MatMul", 1);
}

static void random_gemm(struct opcase *c)
{
    int64_t m = pick_size(c), k = pick_size(c), n = pick_size(c);
    bool turn_a = opcase_pick(c, 0, 1), turn_b = opcase_pick(c, 0, 1);
    opcase_input(c, turn_a ? SHAPE(k, m) : SHAPE(m, k));
    if (opcase_pick(c, 0, 1))
        opcase_input(c, turn_b ? SHAPE(n, k) : SHAPE(k, n));
    else
        opcase_weight(c, turn_b ? SHAPE(n, k) : SHAPE(k, n));
    switch (opcase_pick(c, 0, 5)) {
    case 0:
        opcase_weight(c, SHAPE(n));
        break;
    case 1:
        opcase_weight(c, SHAPE(m, 1));
        break;
    case 2:
        opcase_input(c, SHAPE(m, n));
        break;
    case 3:
        opcase_input(c, SHAPE(1, n));
        break;
    default:
        break;
    }
    struct cs_node *node = opcase_node(c, "Gemm", 1);
    cs_node_add_int(&c->graph, node, "transA", turn_a);
    cs_node_add_int(&c->graph, node, "transB", turn_b);
    if (opcase_pick(c, 0, 5) == 0) {
        cs_node_add_float(&c->graph, node, "alpha", 0.7F);
        cs_node_add_float(&c->graph, node, "beta", -1.3F);
    }
}

static void random_product(struct opcase *c, int round)
{
    opcase_init(c, 17, 900 + (uint64_t)round);
    if (round % 3 == 2)
        random_gemm(c);
    else
        random_matmul(c);
    if (round % 4 == 0) {
        opcase_value(c, c->graph.outputs[0]);
        opcase_node(c, round % 8 ? "Relu" : "Sigmoid", 1);
        c->fused = true;
    }
}

START_TEST(against_ref)
{
    isa_limit(_i);
    for (int round = 0; round < 150; round++) {
        struct opcase c;
        struct cs_err err = {0};
        random_product(&c, round);
        double error = opcase_difference(&c, "cpu", "ref", &err);
        ck_assert_msg(error >= 0, "round %d: %s", round, err.text);
        ck_assert_msg(error <= 1e-6, "round %d: error %g", round, error);
        opcase_release(&c);
    }
}
END_TEST

START_TEST(any_threads)
{
    isa_limit(_i);
    for (int round = 0; round < 40; round++) {
        struct opcase c;
        struct cs_err err = {0};
        int64_t count, same;
        random_product(&c, round);
        c.threads = 1;
        float *one = opcase_run(&c, "cpu", &count, &err);
        ck_assert_msg(one != NULL, "round %d: %s", round, err.text);
        for (c.threads = 2; c.threads <= 4; c.threads++) {
            float *more = opcase_run(&c, "cpu", &same, &err);
            ck_assert_msg(more != NULL, "round %d: %s", round, err.text);
            ck_assert_int_eq(count, same);
            ck_assert_msg(memcmp(one, more, (size_t)count * sizeof *one) == 0,
                          "round %d: other bits with %d threads", round, c.threads);
            free(more);
        }
        free(one);
        opcase_release(&c);
    }
}
END_TEST

// A matrix alone, and as the first rows of a larger one, has the bits that it has in a batch.
START_TEST(any_batch)
{
    enum { BATCH = 4 };
    isa_limit(_i);
    for (int round = 0; round < 30; round++) {
        struct opcase c;
        struct cs_err err = {0};
        int64_t count, part;
        opcase_init(&c, 17, 70 + (uint64_t)round);
        int64_t m = pick_size(&c), k = pick_size(&c) + 240, n = pick_size(&c);
        bool shared = round % 2, constant = round % 4 == 1;
        opcase_input(&c, SHAPE(BATCH, m, k));
        if (constant)
            opcase_weight(&c, SHAPE(k, n));
        else
            opcase_input(&c, SHAPE(shared ? 1 : BATCH, k, n));
        opcase_node(&c, "MatMul", 1);
        float *whole = opcase_run(&c, "cpu", &count, &err);
        ck_assert_msg(whole != NULL, "round %d: %s", round, err.text);
        for (int i = 0; i < BATCH; i++) {
            struct opcase one = c;
            one.shapes[0] = *SHAPE(1, m, k);
            one.shapes[1] = *SHAPE(1, k, n);
            one.data[0] = (const float *)c.data[0] + i * m * k;
            if (!shared)
                one.data[1] = (const float *)c.data[1] + i * k * n;
            for (int v = 0; v < c.graph.input_count; v++)
                c.graph.values[c.graph.inputs[v]].shape.dim[0] = -1;
            float *alone = opcase_run(&one, "cpu", &part, &err);
            ck_assert_msg(alone != NULL, "round %d: %s", round, err.text);
            ck_assert_int_eq(part * BATCH, count);
            ck_assert_msg(memcmp(whole + i * part, alone, (size_t)part * sizeof *alone) == 0,
                          "round %d: other bits for matrix %d alone", round, i);
            free(alone);
        }
        free(whole);
        opcase_release(&c);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu_product");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 120);
    tcase_add_loop_test(core, against_ref, 0, ISA_LIMITS);
    tcase_add_loop_test(core, any_threads, 0, ISA_LIMITS);
    tcase_add_loop_test(core, any_batch, 0, ISA_LIMITS);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
