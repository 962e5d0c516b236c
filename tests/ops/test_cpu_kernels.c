// SPDX-License-Identifier: MIT
// Operators with kernels of our own on "cpu" against "ref": norms, pools, resizes, reductions,
// element-wise work, choices and data movement, with random shapes, for each instruction set.
//
// Bound: relative L2 error 1e-6, ten units in the last place; moves must agree exactly.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "isa.h"
#include "opcase.h"
#include "suite.h"

static void check(struct opcase *c, const char *op, int round, double bound)
{
    struct cs_err err = {0};
    double error = opcase_difference(c, "cpu", "ref", &err);
    ck_assert_msg(error >= 0, "%s round %d: %s", op, round, err.text);
    ck_assert_msg(error <= bound, "%s round %d: error %g", op, round, error);
    opcase_release(c);
}

// A random N, C, H, W: few and many channels, above and below a register's lanes, odd sizes.
static struct cs_shape random_image(struct opcase *c)
{
    static const int64_t channels[] = {1, 2, 3, 5, 8, 12, 16, 17, 24, 40, 64, 100, 130};
    return *SHAPE(opcase_pick(c, 1, 3), channels[opcase_pick(c, 0, 12)], opcase_pick(c, 1, 40),
                  opcase_pick(c, 1, 40));
}

// An input for the node to come, every second time behind an operator of images, so that it lies
// channels last in memory.
static void image_input(struct opcase *c, const struct cs_shape *shape)
{
    int held[CS_MAX_NODE_IO], count = c->pending_count;
    memcpy(held, c->pending, sizeof held);
    c->pending_count = 0;
    int value = opcase_input(c, shape);
    if (shape->rank == 4 && opcase_pick(c, 0, 1)) {
        cs_node_add_ints(&c->graph, opcase_node(c, "MaxPool", 1), "kernel_shape", (int64_t[]){1, 1},
                         2);
        value = c->graph.outputs[0];
    }
    memcpy(c->pending, held, sizeof held);
    c->pending_count = count;
    opcase_value(c, value);
}

START_TEST(norms)
{
    isa_limit(_i);
    for (int round = 0; round < 60; round++) {
        struct opcase c;
        bool per_group = round % 10 == 6; // as before opset 21
        opcase_init(&c, per_group ? 18 : 21, 100 + (uint64_t)round);
        struct cs_shape shape = random_image(&c);
        if (round % 10 == 0) // several chunks of the statistics
            shape = *SHAPE(2, 24, 70, 61);
        bool group = round % 5 == 1, batch = round % 5 == 2;
        if (group)
            shape.dim[1] *= 2;
        opcase_input(&c, &shape);
        opcase_weight(&c, SHAPE(per_group ? 2 : shape.dim[1]));
        opcase_weight(&c, SHAPE(per_group ? 2 : shape.dim[1]));
        if (batch) {
            opcase_weight(&c, SHAPE(shape.dim[1]));
            opcase_weight_range(&c, SHAPE(shape.dim[1]), 0.2, 2);
        }
        struct cs_node *node = opcase_node(&c,
                                           group   ? "GroupNormalization"
                                           : batch ? "BatchNormalization"
                                                   : "InstanceNormalization",
                                           1);
        cs_node_add_float(&c.graph, node, "epsilon", 1e-3F);
        if (group)
            cs_node_add_int(&c.graph, node, "num_groups", 2);
        c.fused = round / 4 % 2; // with each activation
        if (round % 3 == 1) {
            opcase_value(&c, c.graph.outputs[0]);
            opcase_input(&c, &shape);
            opcase_node(&c, "Add", 1);
        }
        static const char *const activations[] = {"Relu", "LeakyRelu", "Sigmoid"};
        if (round % 4) {
            opcase_value(&c, c.graph.outputs[0]);
            opcase_node(&c, activations[round % 4 - 1], 1);
        }
        check(&c, node->op, round, 1e-6);
    }
}
END_TEST

START_TEST(norm_of_large_mean)
{
    // A mean 1000 times the deviation: single-precision sums of squares would lose it all. The
    // input itself carries 6e-5 of the deviation as rounding, equal for both.
    isa_limit(_i);
    struct opcase c;
    opcase_init(&c, 17, 5);
    float *data = cs_arena_alloc(&c.graph.arena, 2 * 64 * 50 * 50, sizeof *data);
    for (int i = 0; i < 2 * 64 * 50 * 50; i++)
        data[i] = (float)(1000 + opcase_random(&c, -1, 1));
    opcase_input_data(&c, SHAPE(2, 64, 50, 50), data);
    opcase_weight(&c, SHAPE(64));
    opcase_weight(&c, SHAPE(64));
    opcase_node(&c, "InstanceNormalization", 1);
    check(&c, "InstanceNormalization", 0, 1e-6);
}
END_TEST

START_TEST(not_a_number)
{
    // NaN is never lost in a maximum, wherever it stands: the count of bad values relies on it.
    static const char *const ops[] = {"GlobalMaxPool", "ReduceMax", "Relu", "MaxPool"};
    isa_limit(_i);
    for (int round = 0; round < 80; round++) {
        struct opcase c;
        struct cs_err err = {0};
        opcase_init(&c, 17, 50 + (uint64_t)round);
        struct cs_shape shape = random_image(&c);
        int64_t count = cs_shape_elements(&shape), elements, bad = 0;
        float *data = cs_arena_alloc(&c.graph.arena, (size_t)count, sizeof *data);
        for (int64_t i = 0; i < count; i++)
            data[i] = (float)opcase_random(&c, -1, 1);
        data[opcase_pick(&c, 0, count - 1)] = NAN;
        opcase_input_data(&c, &shape, data);
        struct cs_node *node = opcase_node(&c, ops[round % 4], 1);
        if (round % 4 == 1)
            cs_node_add_ints(&c.graph, node, "axes", (int64_t[]){1}, 1);
        if (round % 4 == 3) { // each value in one window
            cs_node_add_ints(&c.graph, node, "kernel_shape", (int64_t[]){2, 2}, 2);
            cs_node_add_ints(&c.graph, node, "strides", (int64_t[]){2, 2}, 2);
            cs_node_add_int(&c.graph, node, "ceil_mode", 1);
        }
        float *out = opcase_run(&c, "cpu", &elements, &err);
        ck_assert_msg(out != NULL, "%s", err.text);
        for (int64_t i = 0; i < elements; i++)
            bad += isnan(out[i]);
        ck_assert_msg(bad == 1, "%s round %d: %d NaN", ops[round % 4], round, (int)bad);
        free(out);
        opcase_release(&c);
    }
}
END_TEST

START_TEST(infinite)
{
    // ReLU makes 0 of minus infinity, where a slope of 0 would make NaN.
    isa_limit(_i);
    for (int round = 0; round < 20; round++) {
        struct opcase c;
        struct cs_err err = {0};
        opcase_init(&c, 17, 150 + (uint64_t)round);
        struct cs_shape shape = random_image(&c);
        int64_t count = cs_shape_elements(&shape), elements, same;
        float *data = cs_arena_alloc(&c.graph.arena, (size_t)count, sizeof *data);
        for (int64_t i = 0; i < count; i++)
            data[i] = opcase_pick(&c, 0, 3) ? 1 : opcase_pick(&c, 0, 1) ? INFINITY : -INFINITY;
        opcase_input_data(&c, &shape, data);
        for (int i = 0; i < 4; i++)
            opcase_weight_range(&c, SHAPE(shape.dim[1]), 0.5, 2);
        opcase_node(&c, "BatchNormalization", 1);
        opcase_value(&c, opcase_last(&c));
        opcase_node(&c, "Relu", 1);
        c.fused = true;
        float *want = opcase_run(&c, "ref", &same, &err);
        float *got = opcase_run(&c, "cpu", &elements, &err);
        ck_assert_msg(want && got && same == elements, "%s", err.text);
        for (int64_t i = 0; i < elements; i++)
            ck_assert_msg(want[i] == got[i] || fabsf(want[i] - got[i]) < 1e-5F,
                          "round %d, element %d: %g, ref: %g", round, (int)i, (double)got[i],
                          (double)want[i]);
        free(want);
        free(got);
        opcase_release(&c);
    }
}
END_TEST

START_TEST(pools)
{
    isa_limit(_i);
    for (int round = 0; round < 60; round++) {
        struct opcase c;
        opcase_init(&c, 19, 200 + (uint64_t)round);
        struct cs_shape shape = random_image(&c);
        int64_t k[2] = {2, 2}, s[2] = {2, 2}, d[2] = {1, 1}, p[4] = {0};
        bool max = round % 2 == 0;
        for (int i = 0; i < 2; i++) {
            if (round % 3) {
                k[i] = opcase_pick(&c, 1, 5);
                s[i] = opcase_pick(&c, 1, 3);
                d[i] = max ? opcase_pick(&c, 1, 2) : 1;
                p[i] = opcase_pick(&c, 0, k[i] - 1);
                p[2 + i] = opcase_pick(&c, 0, k[i] - 1);
            }
            if (round >= 54) { // more taps than the kernels take at once
                k[i] = opcase_pick(&c, 15, 25);
                p[i] = opcase_pick(&c, 0, 14);
            }
            if (shape.dim[2 + i] < (k[i] - 1) * d[i] + 1)
                shape.dim[2 + i] = (k[i] - 1) * d[i] + 1;
            if (d[i] > 1) // every window then reaches the image
                p[i] = p[2 + i] = 0;
        }
        opcase_input(&c, &shape);
        struct cs_node *node = opcase_node(&c, max ? "MaxPool" : "AveragePool", 1);
        cs_node_add_ints(&c.graph, node, "kernel_shape", k, 2);
        cs_node_add_ints(&c.graph, node, "strides", s, 2);
        cs_node_add_ints(&c.graph, node, "pads", p, 4);
        cs_node_add_int(&c.graph, node, "ceil_mode", round % 5 == 0);
        if (max)
            cs_node_add_ints(&c.graph, node, "dilations", d, 2);
        else
            cs_node_add_int(&c.graph, node, "count_include_pad", round % 4 == 1);
        check(&c, node->op, round, max ? 0 : 1e-6);
    }
}
END_TEST

START_TEST(resizes)
{
    static const char *const modes[] = {"half_pixel", "align_corners", "asymmetric",
                                        "pytorch_half_pixel"};
    isa_limit(_i);
    for (int round = 0; round < 120; round++) {
        struct opcase c;
        bool cubic = round % 5 == 1;
        opcase_init(&c, 19, 300 + (uint64_t)round);
        struct cs_shape shape = random_image(&c);
        int64_t sizes[] = {shape.dim[0], shape.dim[1], opcase_pick(&c, 1, 60),
                           opcase_pick(&c, 1, 60)};
        bool constant = round % 13 == 4;
        if (constant)
            opcase_weight(&c, &shape);
        else
            opcase_input(&c, &shape);
        opcase_value(&c, -1);
        opcase_value(&c, -1);
        opcase_ints(&c, sizes, 4);
        struct cs_node *node = opcase_node(&c, "Resize", 1);
        cs_node_add_string(&c.graph, node, "mode",
                           cubic       ? "cubic"
                           : round % 3 ? "linear"
                                       : "nearest");
        cs_node_add_int(&c.graph, node, "antialias", round % 7 == 2 && (cubic || round % 3));
        cs_node_add_int(&c.graph, node, "exclude_outside", round % 11 == 6 && cubic);
        cs_node_add_string(&c.graph, node, "coordinate_transformation_mode", modes[round % 4]);
        if (round % 2 || constant) {
            opcase_value(&c, c.graph.outputs[0]);
            opcase_input(&c, SHAPE(sizes[0], sizes[1], sizes[2], sizes[3]));
            opcase_node(&c, "Add", 1);
            opcase_value(&c, c.graph.outputs[0]);
            opcase_node(&c, "Relu", 1);
            c.fused = true;
        }
        check(&c, "Resize", round, 1e-6);
    }
}
END_TEST

START_TEST(reductions)
{
    static const char *const ops[] = {"ReduceMean", "ReduceMax",         "ReduceMin",
                                      "ReduceL2",   "GlobalAveragePool", "GlobalMaxPool"};
    static const int64_t axes[][3] = {{1, 0, 0}, {2, 3, 0}, {3, 0, 0}, {1, 2, 3}, {0, 0, 0}};
    static const int counts[] = {1, 2, 1, 3, 1};
    isa_limit(_i);
    for (int round = 0; round < 90; round++) {
        struct opcase c;
        opcase_init(&c, 17, 400 + (uint64_t)round);
        struct cs_shape shape = random_image(&c);
        if (round % 15 == 0)
            shape = *SHAPE(2, 20, 70, 61);
        const char *op = ops[round % 6];
        image_input(&c, &shape);
        struct cs_node *node = opcase_node(&c, op, 1);
        if (op[0] == 'R') {
            int a = (int)opcase_pick(&c, 0, 4);
            cs_node_add_ints(&c.graph, node, "axes", axes[a], counts[a]);
            cs_node_add_int(&c.graph, node, "keepdims", opcase_pick(&c, 0, 1));
        }
        check(&c, op, round, op[6] == 'M' && op[7] != 'e' ? 0 : 1e-6);
    }
}
END_TEST

// Any axes of tensors of any rank.
START_TEST(reductions_of_any_rank)
{
    static const char *const ops[] = {"ReduceMean", "ReduceMax", "ReduceMin",
                                      "ReduceSum",  "ReduceL2",  "ReduceProd"};
    isa_limit(_i);
    for (int round = 0; round < 150; round++) {
        struct opcase c;
        opcase_init(&c, 17, 1400 + (uint64_t)round);
        struct cs_shape shape = {(int)opcase_pick(&c, 1, 6), {0}};
        int64_t axes[6], count = 0;
        for (int d = 0; d < shape.rank; d++) {
            shape.dim[d] = opcase_pick(&c, 1, shape.rank < 4 ? 60 : 9);
            if (opcase_pick(&c, 0, 1))
                axes[count++] = d;
        }
        const char *op = ops[round % 6];
        image_input(&c, &shape);
        bool listed = strcmp(op, "ReduceSum") == 0;
        if (count && listed)
            opcase_ints(&c, axes, (int)count);
        struct cs_node *node = opcase_node(&c, op, 1);
        if (count && !listed)
            cs_node_add_ints(&c.graph, node, "axes", axes, (int)count);
        cs_node_add_int(&c.graph, node, "keepdims", opcase_pick(&c, 0, 1));
        check(&c, op, round, op[6] == 'M' && op[7] != 'e' ? 0 : 1e-6);
    }
}
END_TEST

START_TEST(softmaxes)
{
    isa_limit(_i);
    for (int round = 0; round < 20; round++) {
        struct opcase c;
        opcase_init(&c, round % 3 ? 17 : 11, 500 + (uint64_t)round); // 11: all axes from this one
        struct cs_shape shape = random_image(&c);
        image_input(&c, &shape);
        struct cs_node *node = opcase_node(&c, "Softmax", 1);
        cs_node_add_int(&c.graph, node, "axis", round % 4);
        check(&c, "Softmax", round, 1e-6);
    }
}
END_TEST

START_TEST(functions)
{
    static const char *const ops[] = {
        "Relu", "LeakyRelu", "HardSigmoid", "HardSwish", "Sigmoid", "Tanh",     "Elu",   "Softplus",
        "Erf",  "Mish",      "Exp",         "Abs",       "Neg",     "Identity", "Floor", "Ceil"};
    isa_limit(_i);
    for (int round = 0; round < (int)(sizeof ops / sizeof *ops); round++) {
        struct opcase c;
        opcase_init(&c, 18, 600 + (uint64_t)round);
        struct cs_shape shape = random_image(&c);
        image_input(&c, &shape);
        opcase_node(&c, "Neg", 1); // what follows may write over it
        opcase_value(&c, c.graph.outputs[0]);
        opcase_node(&c, ops[round], 1);
        check(&c, ops[round], round, 1e-6);
    }
    struct opcase c;
    opcase_init(&c, 17, 700);
    opcase_input(&c, SHAPE(1, 7, 9, 11));
    opcase_weight_range(&c, SHAPE(), -0.5, -0.4);
    opcase_weight_range(&c, SHAPE(), 0.3, 0.4);
    opcase_node(&c, "Clip", 1);
    check(&c, "Clip", 0, 0);
}
END_TEST

START_TEST(pairs)
{
    static const char *const ops[] = {"Add", "Sub", "Mul", "Div", "Max", "Min", "PRelu"};
    isa_limit(_i);
    for (int round = 0; round < 84; round++) {
        struct opcase c;
        opcase_init(&c, 17, 800 + (uint64_t)round);
        struct cs_shape shape = random_image(&c), other = shape;
        const char *op = ops[round % 7];
        switch (round / 7 % 6) {
        case 0:
            break;
        case 1: // gates over channels and over pixels
            other.dim[2] = other.dim[3] = 1;
            break;
        case 2:
            other.dim[1] = 1;
            break;
        case 3:
            other = *SHAPE(shape.dim[1], 1, 1);
            break;
        case 4:
            other = *SHAPE(1);
            break;
        default:
            other = *SHAPE(shape.dim[3]);
        }
        bool constant = round % 2 || op[0] == 'P';
        image_input(&c, &shape);
        if (constant)
            opcase_weight_range(&c, &other, 0.5, 2);
        else
            image_input(&c, &other);
        opcase_node(&c, op, 1);
        check(&c, op, round, op[0] == 'D' ? 1e-5 : 1e-6);
    }
}
END_TEST

// Comparisons, Where and ArgMax, of any layout and with every kind of broadcast.
START_TEST(choices)
{
    static const char *const comparisons[] = {"Greater", "Less", "GreaterOrEqual", "LessOrEqual",
                                              "Equal"};
    isa_limit(_i);
    for (int round = 0; round < 90; round++) {
        struct opcase c;
        opcase_init(&c, 17, 1000 + (uint64_t)round);
        struct cs_shape shape = random_image(&c), other = shape;
        for (int d = 0; d < 4; d++)
            other.dim[d] = opcase_pick(&c, 0, 2) ? shape.dim[d] : 1;
        image_input(&c, &shape);
        if (round % 3 == 0) {
            struct cs_node *node = opcase_node(&c, round % 2 ? "ArgMax" : "ArgMin", 1);
            cs_node_add_int(&c.graph, node, "axis", round % 4);
            cs_node_add_int(&c.graph, node, "keepdims", opcase_pick(&c, 0, 1));
            cs_node_add_int(&c.graph, node, "select_last_index", opcase_pick(&c, 0, 1));
        } else {
            image_input(&c, &other);
            opcase_node(&c, comparisons[round % 5], 1);
        }
        if (round % 3 == 2) {
            opcase_value(&c, c.graph.outputs[0]);
            image_input(&c, &other);
            opcase_weight(&c, SHAPE(shape.dim[3]));
            opcase_node(&c, "Where", 1);
        }
        check(&c, c.graph.nodes[c.graph.node_count - 1].op, round, 0);
    }
}
END_TEST

// ---- Moves -------------------------------------------------------------------------------

static void move_concat(struct opcase *c, struct cs_shape shape)
{
    int axis = (int)opcase_pick(c, 0, 3), count = (int)opcase_pick(c, 2, 4);
    for (int i = 0; i < count; i++) {
        shape.dim[axis] = opcase_pick(c, 1, 20);
        image_input(c, &shape);
    }
    struct cs_node *node = opcase_node(c, "Concat", 1);
    if (axis != 1 || opcase_pick(c, 0, 1)) // what files of opset 1 to 3 mean without it
        cs_node_add_int(&c->graph, node, "axis", axis);
}

static void move_transpose(struct opcase *c, struct cs_shape shape)
{
    static const int64_t perms[][4] = {{0, 2, 3, 1}, {0, 3, 1, 2}, {1, 0, 3, 2}, {3, 2, 1, 0}};
    image_input(c, &shape);
    cs_node_add_ints(&c->graph, opcase_node(c, "Transpose", 1), "perm", perms[opcase_pick(c, 0, 3)],
                     4);
}

static void move_reshape(struct opcase *c, struct cs_shape shape)
{
    const int64_t n = shape.dim[0], ch = shape.dim[1], h = shape.dim[2], w = shape.dim[3];
    const int64_t to[][4] = {
        {n, ch, h * w, 0}, {n, ch * h * w, 0, 0}, {ch, n, w, h}, {1, n * ch, w, h}, {n, h, w, ch}};
    static const int ranks[] = {3, 2, 4, 4, 4};
    int k = (int)opcase_pick(c, 0, 4);
    image_input(c, &shape);
    opcase_ints(c, to[k], ranks[k]);
    opcase_node(c, "Reshape", 1);
}

static void move_slice(struct opcase *c, struct cs_shape shape)
{
    int axis = (int)opcase_pick(c, 1, 3);
    shape.dim[axis] += 8;
    image_input(c, &shape);
    opcase_ints(c, (int64_t[]){opcase_pick(c, 0, 3)}, 1);
    opcase_ints(c, (int64_t[]){shape.dim[axis] - opcase_pick(c, 0, 3)}, 1);
    opcase_ints(c, (int64_t[]){axis}, 1);
    opcase_ints(c, (int64_t[]){opcase_pick(c, 1, 3)}, 1);
    opcase_node(c, "Slice", 1);
}

static void move_pad(struct opcase *c, struct cs_shape shape)
{
    static const char *const modes[] = {"constant", "reflect", "edge"};
    int first = (int)opcase_pick(c, 0, 2);
    for (int d = first; d < 4; d++)
        shape.dim[d] += 4;
    int64_t pads[8] = {0};
    for (int d = first; d < 4; d++) {
        pads[d] = opcase_pick(c, 0, 3);
        pads[4 + d] = opcase_pick(c, 0, 3);
    }
    image_input(c, &shape);
    opcase_ints(c, pads, 8);
    cs_node_add_string(&c->graph, opcase_node(c, "Pad", 1), "mode", modes[opcase_pick(c, 0, 2)]);
}

static void move_gather(struct opcase *c, struct cs_shape shape)
{
    int axis = (int)opcase_pick(c, 0, 3), count = (int)opcase_pick(c, 1, 5);
    int64_t indices[5];
    for (int i = 0; i < count; i++)
        indices[i] = opcase_pick(c, -shape.dim[axis], shape.dim[axis] - 1);
    image_input(c, &shape);
    if (opcase_pick(c, 0, 1))
        opcase_ints(c, indices, count);
    else
        opcase_scalar(c, indices[0]);
    cs_node_add_int(&c->graph, opcase_node(c, "Gather", 1), "axis", axis);
}

static void move_depth(struct opcase *c, struct cs_shape shape)
{
    bool to_space = opcase_pick(c, 0, 1);
    shape.dim[1] *= 4;
    shape.dim[2] *= 2;
    shape.dim[3] *= 2;
    image_input(c, &shape);
    struct cs_node *node = opcase_node(c, to_space ? "DepthToSpace" : "SpaceToDepth", 1);
    cs_node_add_int(&c->graph, node, "blocksize", 2);
    if (to_space)
        cs_node_add_string(&c->graph, node, "mode", opcase_pick(c, 0, 1) ? "CRD" : "DCR");
}

static void move_split(struct opcase *c, struct cs_shape shape)
{
    int axis = (int)opcase_pick(c, 1, 3);
    int64_t first = opcase_pick(c, 1, 9), second = opcase_pick(c, 1, 9);
    shape.dim[axis] = first + second;
    image_input(c, &shape);
    opcase_ints(c, (int64_t[]){first, second}, 2);
    cs_node_add_int(&c->graph, opcase_node(c, "Split", 2), "axis", axis);
}

START_TEST(moves)
{
    static void (*const makers[])(struct opcase *, struct cs_shape) = {
        move_concat, move_transpose, move_reshape, move_slice,
        move_pad,    move_depth,     move_split,   move_gather};
    for (int round = 0; round < 240; round++) {
        struct opcase c;
        opcase_init(&c, 17, 900 + (uint64_t)round);
        struct cs_shape shape = random_image(&c);
        makers[round % 8](&c, shape);
        check(&c, c.graph.nodes[c.graph.node_count - 1].op, round, 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu_kernels");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_set_timeout(core, 120);
    tcase_add_loop_test(core, norms, 0, ISA_LIMITS);
    tcase_add_loop_test(core, pools, 0, ISA_LIMITS);
    tcase_add_loop_test(core, resizes, 0, ISA_LIMITS);
    tcase_add_loop_test(core, reductions, 0, ISA_LIMITS);
    tcase_add_loop_test(core, reductions_of_any_rank, 0, ISA_LIMITS);
    tcase_add_loop_test(core, softmaxes, 0, ISA_LIMITS);
    tcase_add_loop_test(core, functions, 0, ISA_LIMITS);
    tcase_add_loop_test(core, pairs, 0, ISA_LIMITS);
    tcase_add_loop_test(core, choices, 0, ISA_LIMITS);
    tcase_add_test(core, moves);
    tcase_add_loop_test(limits, norm_of_large_mean, 0, ISA_LIMITS);
    tcase_add_loop_test(limits, not_a_number, 0, ISA_LIMITS);
    tcase_add_loop_test(limits, infinite, 0, ISA_LIMITS);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
