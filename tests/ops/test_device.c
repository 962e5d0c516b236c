// SPDX-License-Identifier: MIT
// Operators on the device that CELLSTREAM_TEST_DEVICE names (a backend, "cpu" without it), in every
// precision that it offers: all golden cases, and windows and products of random shapes against
// ref, which cross the sizes at which libraries change their engines. tests/cuda/check runs it on
// GPUs.
#include <stdlib.h>

#include "golden.h"
#include "opcase.h"
#include "suite.h"

static const char floats[] = "tests/golden/ops/cases.txt", typed[] = "tests/golden/ops/typed.txt";
static const char *device;

enum { SHAPES = 40 };

// Error that a precision may have: of a golden case's values relative to the largest, of random
// ones in L2 norm. Reduced ones round each operand to 11 bits, and fp16 what is stored, too.
static const struct {
    double golden, random;
} tolerance[CS_PRECISION_COUNT] = {[CS_FP32] = {1e-5, 1e-5},
                                   [CS_TF32] = {5e-3, 2e-3},
                                   [CS_FP16] = {2e-2, 3e-3},
                                   [CS_BF16] = {1e-1, 2e-2}};

static bool offers(enum cs_precision precision)
{
    struct cs_err err = {0};
    struct cs_device *opened = NULL;
    const struct cs_device_options options = {.threads = 2};
    const struct cs_backend *backend = cs_backend_get(device, &err);
    ck_assert_msg(backend && backend->device_open(&options, &opened, &err) == 0, "%s", err.text);
    bool there = backend->precisions(opened) >> precision & 1;
    backend->device_close(opened);
    return there;
}

START_TEST(golden)
{
    const struct golden_run run = {
        .backend = device, .tolerance = tolerance[_i].golden, .precision = (enum cs_precision)_i};
    if (!offers(run.precision))
        return;
    ck_assert_int_gt(golden_run(floats, &run), 100);
    if (run.precision != CS_FP16) // holds no number beyond 65504
        ck_assert_int_gt(golden_run(typed, &run), 100);
}
END_TEST

// ---- Random shapes -----------------------------------------------------------------------

// Channels as libraries like them, or not at all.
static int64_t channels_of(struct opcase *c)
{
    return opcase_pick(c, 0, 1) ? 8 * opcase_pick(c, 1, 12) : opcase_pick(c, 1, 70);
}

static void add_window(struct opcase *c)
{
    bool transposed = opcase_pick(c, 0, 4) == 0, grouped = opcase_pick(c, 0, 5) == 0;
    int64_t in = channels_of(c), out = grouped ? in : channels_of(c), group = grouped ? in : 1;
    int64_t kernel = opcase_pick(c, 0, 3) ? 2 * opcase_pick(c, 0, 1) + 1 : opcase_pick(c, 1, 7);
    int64_t stride = opcase_pick(c, 1, 2), pad = kernel / 2;
    if (transposed && opcase_pick(c, 0, 1)) {
        kernel = stride = 2;
        pad = 0;
    }
    opcase_input(c, SHAPE(opcase_pick(c, 1, 3), in, opcase_pick(c, 7, 40), opcase_pick(c, 7, 40)));
    opcase_weight(c, transposed ? SHAPE(in, out / group, kernel, kernel)
                                : SHAPE(out, in / group, kernel, kernel));
    if (opcase_pick(c, 0, 1))
        opcase_weight(c, SHAPE(out));
    struct cs_node *node = opcase_node(c, transposed ? "ConvTranspose" : "Conv", 1);
    cs_node_add_ints(&c->graph, node, "pads", (int64_t[]){pad, pad, pad, pad}, 4);
    cs_node_add_ints(&c->graph, node, "strides", (int64_t[]){stride, stride}, 2);
    cs_node_add_int(&c->graph, node, "group", group);
}

static void add_product(struct opcase *c)
{
    int64_t rows = opcase_pick(c, 1, 80), inner = channels_of(c), columns = channels_of(c);
    int64_t batch = opcase_pick(c, 1, 4);
    opcase_input(c, SHAPE(batch, rows, inner));
    if (opcase_pick(c, 0, 1))
        opcase_weight(c, SHAPE(inner, columns));
    else
        opcase_input(c, SHAPE(batch, inner, columns));
    opcase_node(c, "MatMul", 1);
}

static void add_activation(struct opcase *c)
{
    static const char *const names[] = {"Relu", "LeakyRelu", "Sigmoid", "HardSwish"};
    opcase_value(c, c->graph.outputs[0]);
    opcase_node(c, names[opcase_pick(c, 0, 3)], 1);
}

static void check_shape(int number, enum cs_precision precision)
{
    struct cs_err err = {0};
    struct opcase c;
    opcase_init(&c, 17, (uint64_t)number + 1);
    if (number % 4 == 3)
        add_product(&c);
    else
        add_window(&c);
    if (opcase_pick(&c, 0, 1))
        add_activation(&c);
    c.fused = true;
    c.precision = precision;
    double error = opcase_difference(&c, device, "ref", &err);
    ck_assert_msg(error >= 0, "shape %d: %s", number, err.text);
    ck_assert_msg(error <= tolerance[precision].random, "%s, shape %d: error %.2e",
                  cs_precision_name(precision), number, error);
    opcase_release(&c);
}

START_TEST(shapes)
{
    for (int i = 0; i < SHAPES && offers((enum cs_precision)_i); i++)
        check_shape(i, (enum cs_precision)_i);
}
END_TEST

int main(void)
{
    const char *named = getenv("CELLSTREAM_TEST_DEVICE");
    device = named && *named ? named : "cpu";
    Suite *suite = suite_create("device");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 200);
    tcase_add_loop_test(core, golden, 0, CS_PRECISION_COUNT);
    tcase_add_loop_test(core, shapes, 0, CS_PRECISION_COUNT);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
