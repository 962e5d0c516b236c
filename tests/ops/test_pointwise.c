// SPDX-License-Identifier: MIT
// 1x1 convolutions and touching transposed ones on "cpu" against "ref": output channels around the
// widths of registers and panels, long sums, planes that fill no tile, parts of a concatenation,
// norms mapped on the way in and gathered on the way out, additions and activations; few output
// channels of whole registers of input channels; the same bytes for any threads and batch. For each
// instruction set.
#include <stdlib.h>

#include "isa.h"
#include "opcase.h"
#include "same_bytes.h"
#include "suite.h"

enum { ROUNDS = 48, NARROW_ROUNDS = 15, BATCH = 2 };

// At most one register of results a few pixels: the sums of lanes, parts, an addition, statistics.
static void make_narrow(struct opcase *c, int round)
{
    opcase_init(c, 17, 1700 + (uint64_t)round);
    int64_t in = 16 * opcase_pick(c, 1, round % 6 ? 4 : 20), out = opcase_pick(c, 1, 5);
    int x = opcase_input(c, SHAPE(BATCH, in, opcase_pick(c, 1, 23), opcase_pick(c, 1, 40)));
    c->graph.values[x].shape.dim[0] = -1; // any batch
    c->pending_count = 0;
    int part = opcase_conv(c, x, in, 32, 1), y = opcase_conv(c, x, in, out, 1);
    if (round % 2)
        part = opcase_unary(c, "Relu", opcase_norm(c, part, 32));
    if (round % 3 == 0)
        y = opcase_conv(c, opcase_concat(c, part, x), 32 + in, out, 1);
    else if (round % 3 == 1)
        y = opcase_binary(c, "Add", y, opcase_conv(c, part, 32, out, 1));
    if (round % 4 < 2)
        y = opcase_norm(c, y, out);
    opcase_unary(c, round % 5 ? "Relu" : "LeakyRelu", y);
    c->fused = true;
}

static int transposed(struct opcase *c, int from, int64_t in, int64_t out, const int64_t kernel[2])
{
    opcase_value(c, from);
    opcase_weight(c, SHAPE(in, out, kernel[0], kernel[1]));
    opcase_weight(c, SHAPE(out));
    cs_node_add_ints(&c->graph, opcase_node(c, "ConvTranspose", 1), "strides", kernel, 2);
    return opcase_last(c);
}

// One of each kind a round, with what may be fused around it.
static void make(struct opcase *c, int round)
{
    if (round >= ROUNDS) {
        make_narrow(c, round - ROUNDS);
        return;
    }
    static const char *const activations[] = {"Relu", "LeakyRelu", "HardSwish"};
    opcase_init(c, 17, 700 + (uint64_t)round);
    int64_t in = opcase_pick(c, 1, round % 6 ? 40 : 600), out = opcase_pick(c, 1, 130);
    int64_t middle = opcase_pick(c, 1, 60);
    int x = opcase_input(
        c, SHAPE(BATCH, in, opcase_pick(c, 1, 23), opcase_pick(c, 1, round % 5 ? 23 : 60)));
    c->graph.values[x].shape.dim[0] = -1; // any batch
    c->pending_count = 0;
    int y = opcase_conv(c, x, in, middle, 1);
    if (round % 2)
        y = opcase_unary(c, "Relu", opcase_norm(c, y, middle));
    if (round % 3 == 0) {
        y = opcase_concat(c, x, y);
        middle += in;
    }
    if (round % 4 == 3) {
        y = transposed(c, y, middle, out, (int64_t[]){opcase_pick(c, 1, 3), opcase_pick(c, 1, 3)});
    } else {
        y = opcase_conv(c, y, middle, out, 1);
        if (round % 4 == 1)
            y = opcase_binary(c, "Add", y, opcase_conv(c, x, in, out, 1));
    }
    opcase_unary(c, activations[round % 3], y);
    c->fused = true;
}

START_TEST(against_ref)
{
    isa_limit(_i);
    for (int round = 0; round < ROUNDS + NARROW_ROUNDS; round++) {
        struct opcase c;
        struct cs_err err = {0};
        make(&c, round);
        for (int direct = 0; direct < 2; direct++) {
            c.direct = direct == 1;
            double error = opcase_difference(&c, "cpu", "ref", &err);
            ck_assert_msg(error >= 0, "round %d: %s", round, err.text);
            ck_assert_msg(error < 2e-6, "round %d: error %g", round, error);
        }
        opcase_release(&c);
    }
}
END_TEST

START_TEST(same_bytes)
{
    isa_limit(_i);
    for (int round = 0; round < ROUNDS + NARROW_ROUNDS; round++) {
        struct opcase c;
        make(&c, round);
        same_bytes_expect(&c);
        opcase_release(&c);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pointwise");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 60);
    tcase_add_loop_test(core, against_ref, 0, ISA_LIMITS);
    tcase_add_loop_test(core, same_bytes, 0, ISA_LIMITS);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
