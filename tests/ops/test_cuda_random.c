// SPDX-License-Identifier: MIT
// Kernels of the CUDA backend, compiled for the host (tests/cuda/), against ref: shapes large
// enough for every way that a kernel cuts its work up, fusions, three layouts, float32 and float16.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"
#include "opcase.h"
#include "suite.h"

// ---- The cases: a graph of one operator, or of one with what passes fuse into it ----------------

static void last_ints(struct opcase *c, const char *name, const int64_t *values, int count)
{
    cs_node_add_ints(&c->graph, &c->graph.nodes[c->graph.node_count - 1], name, values, count);
}

static void last_int(struct opcase *c, const char *name, int64_t value)
{
    cs_node_add_int(&c->graph, &c->graph.nodes[c->graph.node_count - 1], name, value);
}

static void last_text(struct opcase *c, const char *name, const char *value)
{
    cs_node_add_string(&c->graph, &c->graph.nodes[c->graph.node_count - 1], name, value);
}

// A tensor of the output's shape is added, then an activation follows; each in some rounds.
static void add_tail(struct opcase *c, const struct cs_shape *out, int round)
{
    static const char *const activations[] = {"Relu", "LeakyRelu", "Sigmoid", "HardSwish"};
    c->fused = true;
    if (round % 3 == 1) {
        int made = c->graph.outputs[0];
        opcase_value(c, made);
        opcase_input(c, out);
        opcase_node(c, "Add", 1);
    }
    if (round % 2) {
        opcase_value(c, c->graph.outputs[0]);
        opcase_node(c, activations[round / 2 % 4], 1);
    }
}

static void make_function(struct opcase *c, int round)
{
    static const char *const names[] = {"Relu",  "LeakyRelu", "Sigmoid", "HardSigmoid", "HardSwish",
                                        "Tanh",  "Elu",       "Gelu",    "Softplus",    "Erf",
                                        "Mish",  "Exp",       "Abs",     "Neg",         "Sign",
                                        "Floor", "Ceil",      "Identity"};
    opcase_input(c, SHAPE(2, round % 2 ? 16 : 5, 6, 7));
    opcase_node(c, names[round % 18], 1);
}

static void make_arithmetic(struct opcase *c, int round)
{
    static const char *const names[] = {"Add", "Sub", "Mul", "Max", "Min", "Div"};
    const struct cs_shape *shapes[] = {SHAPE(2, 16, 6, 5), SHAPE(16, 1, 1), SHAPE(2, 16, 1, 1),
                                       SHAPE(2, 1, 6, 5),  SHAPE(1),        SHAPE(2, 16, 6, 1)};
    opcase_input(c, SHAPE(2, 16, 6, 5));
    if (round % 6 == 5)
        opcase_weight_range(c, shapes[round / 6 % 6], 0.5, 2);
    else if (round % 2)
        opcase_weight(c, shapes[round / 6 % 6]);
    else
        opcase_input(c, shapes[round / 6 % 6]);
    opcase_node(c, names[round % 6], 1);
    if (round % 6 < 3 && round % 4 == 0) {
        c->fused = true;
        opcase_value(c, c->graph.outputs[0]);
        opcase_node(c, "Relu", 1);
    }
}

static void make_chain(struct opcase *c, int round)
{
    static const char *const names[] = {"Sum", "Mean", "Max", "Min"};
    opcase_input(c, SHAPE(2, 8, 3, 5));
    opcase_input(c, SHAPE(8, 1, 1));
    opcase_input(c, SHAPE(2, 8, 3, 1));
    opcase_node(c, names[round % 4], 1);
}

static void make_transpose(struct opcase *c, int round)
{
    static const int64_t perms[][4] = {{0, 2, 3, 1}, {0, 3, 1, 2}, {3, 2, 1, 0},
                                       {0, 1, 3, 2}, {2, 0, 1, 3}, {1, 0, 2, 3}};
    opcase_input(c, SHAPE(2, 33, 40, 9));
    opcase_node(c, "Transpose", 1);
    last_ints(c, "perm", perms[round % 6], 4);
}

static void make_reshape(struct opcase *c, int round)
{
    static const int64_t sizes[][4] = {{2, 12, 30, 1}, {2, 4, 3, 30}, {6, 4, 5, 6}, {1, 5, 24, 6}};
    opcase_input(c, SHAPE(2, 12, 5, 6));
    opcase_ints(c, sizes[round % 4], 4);
    opcase_node(c, "Reshape", 1);
}

static void make_concat(struct opcase *c, int round)
{
    int64_t axis = round % 4, sizes[4] = {2, 8, 5, 6};
    for (int i = 0; i < 3; i++) {
        sizes[axis] = 3 * i + 8;
        opcase_input(c, SHAPE(sizes[0], sizes[1], sizes[2], sizes[3]));
    }
    opcase_node(c, "Concat", 1);
    last_int(c, "axis", axis);
}

static void make_pad(struct opcase *c, int round)
{
    static const char *const modes[] = {"constant", "reflect", "edge", "wrap"};
    static const int64_t pads[] = {0, 1, 2, 3, 0, 2, 1, 2};
    opcase_input(c, SHAPE(2, 8, 5, 6));
    opcase_ints(c, pads, 8);
    opcase_node(c, "Pad", 1);
    last_text(c, "mode", modes[round % 4]);
}

// Operators that only move elements and that the golden cases have in float32 alone.
static void make_move(struct opcase *c, int round)
{
    static const char *const names[] = {"Slice", "DepthToSpace", "SpaceToDepth", "Gather",
                                        "Tile",  "Expand",       "Split",        "Where"};
    opcase_input(c, round % 8 == 5 ? SHAPE(2, 1, 4, 1) : SHAPE(2, 12, 4, 6));
    if (round % 8 == 0) {
        opcase_ints(c, (const int64_t[]){0, 10, 1, 5}, 4);
        opcase_ints(c, (const int64_t[]){2, -13, 4, -7}, 4);
        opcase_ints(c, (const int64_t[]){0, 1, 2, 3}, 4);
        opcase_ints(c, (const int64_t[]){1, -2, 1, -1}, 4);
    } else if (round % 8 == 3) {
        opcase_ints(c, (const int64_t[]){3, 0, -1}, 3);
    } else if (round % 8 == 4) {
        opcase_ints(c, (const int64_t[]){1, 2, 3, 2}, 4);
    } else if (round % 8 == 5) {
        opcase_ints(c, (const int64_t[]){2, 8, 4, 6}, 4);
    } else if (round % 8 == 7) {
        c->pending_count = 0;
        double choice[48];
        for (int i = 0; i < 48; i++)
            choice[i] = i % 3 == 0;
        opcase_tensor(c, false, CS_TYPE_BOOL, SHAPE(2, 1, 4, 6), choice);
        opcase_input(c, SHAPE(2, 12, 4, 6));
        opcase_weight(c, SHAPE(12, 1, 1));
    }
    opcase_node(c, names[round % 8], round % 8 == 6 ? 3 : 1);
    if (round % 8 == 1 || round % 8 == 2)
        last_int(c, "blocksize", 2);
    if (round % 8 == 3 || round % 8 == 6)
        last_int(c, "axis", 1);
}

static void make_reduce(struct opcase *c, int round)
{
    static const char *const names[] = {"ReduceMean", "ReduceMax", "ReduceSum", "ReduceL2",
                                        "ReduceMin"};
    static const int64_t axes[][3] = {{2, 3, 3}, {1, 1, 1}, {3, 3, 3}, {1, 2, 3}, {0, 2, 3}};
    static const int counts[] = {2, 1, 1, 3, 3};
    opcase_input(c, SHAPE(2, round == 3 ? 160 : round == 2 ? 40 : round % 2 ? 24 : 5, 34, 40));
    opcase_node(c, names[round % 5], 1);
    last_ints(c, "axes", axes[round / 2 % 5], counts[round / 2 % 5]);
    last_int(c, "keepdims", round % 3 != 0);
}

// Mean and maximum of the same, one behind the other's reader, as attention has them.
static void make_pair(struct opcase *c, int round)
{
    int64_t channels = round % 2 ? 24 : 7, axes[2] = {2, 3};
    const char *const names[2][2] = {{"GlobalAveragePool", "GlobalMaxPool"},
                                     {"ReduceMax", "ReduceMean"}};
    bool pool = round % 4 < 2;
    int in = opcase_input(c, SHAPE(2, channels, 40, 31)), made[2];
    for (int i = 0; i < 2; i++) {
        if (i)
            opcase_value(c, in);
        opcase_node(c, names[!pool][i], 1);
        if (!pool) {
            last_ints(c, "axes", round < 8 ? (const int64_t[]){1} : axes, round < 8 ? 1 : 2);
            last_int(c, "keepdims", round % 3 != 0);
        }
        opcase_value(c, c->graph.outputs[0]);
        opcase_node(c, i ? "Relu" : "Sigmoid", 1);
        made[i] = c->graph.outputs[0];
    }
    c->fused = round % 3 == 1;
    opcase_value(c, made[0]);
    opcase_value(c, made[1]);
    opcase_node(c, "Sub", 1);
}

static void make_global_pool(struct opcase *c, int round)
{
    opcase_input(c, SHAPE(2, round % 4 < 2 ? 16 : 7, 40, 31));
    opcase_node(c, round % 2 ? "GlobalMaxPool" : "GlobalAveragePool", 1);
}

static void make_pool(struct opcase *c, int round)
{
    int64_t k[2], s[2], p[4];
    for (int i = 0; i < 2; i++) {
        k[i] = opcase_pick(c, 1, 4);
        s[i] = opcase_pick(c, 1, 3);
        p[i] = opcase_pick(c, 0, k[i] - 1);
        p[2 + i] = opcase_pick(c, 0, k[i] - 1);
    }
    opcase_input(c, SHAPE(2, round % 3 ? 16 : 3, 13, 17));
    opcase_node(c, round % 2 ? "MaxPool" : "AveragePool", 1);
    last_ints(c, "kernel_shape", k, 2);
    last_ints(c, "strides", s, 2);
    last_ints(c, "pads", p, 4);
    last_int(c, "ceil_mode", round % 4 > 1);
    if (round % 2 == 0)
        last_int(c, "count_include_pad", round % 8 > 3);
}

// A plane that one block gets through, and one that is cut up; the mean far from 0.
static void make_norm(struct opcase *c, int round)
{
    static const char *const names[] = {"InstanceNormalization", "GroupNormalization",
                                        "BatchNormalization"};
    int64_t channels = round % 5 ? 24 : 6, side = round % 4 < 2 ? 9 : 65;
    const struct cs_shape *shape = SHAPE(2, channels, side, side + 3);
    opcase_input(c, shape);
    opcase_weight_data(c, SHAPE(1), (const float[]){6});
    opcase_node(c, "Add", 1);
    opcase_value(c, c->graph.outputs[0]);
    opcase_weight_range(c, SHAPE(channels), 0.5, 2);
    opcase_weight(c, SHAPE(channels));
    if (round % 3 == 2) {
        opcase_weight_range(c, SHAPE(channels), 4, 8);
        opcase_weight_range(c, SHAPE(channels), 0.1, 1);
    }
    opcase_node(c, names[round % 3], 1);
    if (round % 3 == 1)
        last_int(c, "num_groups", round % 2 ? 3 : 2);
    add_tail(c, shape, round);
}

static void make_layer_norm(struct opcase *c, int round)
{
    static const int64_t sizes[] = {7, 96, 3000, 33};
    int64_t size = sizes[round % 4];
    opcase_input(c, SHAPE(2, 9, size));
    opcase_weight(c, SHAPE(size));
    if (round % 2)
        opcase_weight(c, SHAPE(size));
    opcase_node(c, "LayerNormalization", 1);
}

static void make_softmax(struct opcase *c, int round)
{
    opcase_input(c, SHAPE(2, round % 2 ? 5 : 40, 7, round < 6 ? 9 : 1100));
    opcase_node(c, "Softmax", 1);
    last_int(c, "axis", round % 4);
}

static void make_resize(struct opcase *c, int round)
{
    static const char *const modes[] = {"linear", "nearest", "cubic"};
    static const char *const coords[] = {"half_pixel", "align_corners", "asymmetric",
                                         "pytorch_half_pixel"};
    const struct cs_shape *shape = SHAPE(2, round % 5 ? 16 : 3, 11, 37);
    int64_t sizes[] = {shape->dim[0], shape->dim[1], round % 2 ? 23 : 6, round % 3 ? 150 : 18};
    opcase_input(c, shape);
    opcase_value(c, -1);
    opcase_value(c, -1);
    opcase_ints(c, sizes, 4);
    opcase_node(c, "Resize", 1);
    last_text(c, "mode", modes[round % 3]);
    last_text(c, "coordinate_transformation_mode", coords[round / 3 % 4]);
    last_int(c, "antialias", round % 3 != 1 && round % 7 == 6);
    add_tail(c, SHAPE(sizes[0], sizes[1], sizes[2], sizes[3]), round);
}

static void make_matmul(struct opcase *c, int round)
{
    int64_t step = round < 4 ? 1 : 8; // of fp16: what is loaded one by one, or as vectors
    int64_t m = opcase_pick(c, 1, 150), n = opcase_pick(c, 1, 150 / step) * step;
    int64_t k = opcase_pick(c, 1, 90 / step) * step;
    opcase_input(c, SHAPE(2, 3, m, k));
    if (round % 2)
        opcase_weight(c, SHAPE(k, n));
    else
        opcase_input(c, SHAPE(2, 1, k, n));
    opcase_node(c, "MatMul", 1);
    add_tail(c, SHAPE(2, 3, m, n), round);
}

static void make_gemm(struct opcase *c, int round)
{
    int64_t step = round < 4 ? 1 : 8;
    int64_t m = opcase_pick(c, 1, 100), n = opcase_pick(c, 1, 100 / step) * step;
    int64_t k = opcase_pick(c, 1, 90 / step) * step;
    bool turn_a = round % 2, turn_b = round / 2 % 2;
    opcase_input(c, turn_a ? SHAPE(k, m) : SHAPE(m, k));
    opcase_weight(c, turn_b ? SHAPE(n, k) : SHAPE(k, n));
    opcase_weight(c, round % 3 ? SHAPE(n) : SHAPE(m, 1));
    opcase_node(c, "Gemm", 1);
    last_int(c, "transA", turn_a);
    last_int(c, "transB", turn_b);
}

// Channels and groups of the kinds that have kernels of their own: any, one channel a group, few
// outputs.
static void make_conv(struct opcase *c, int round)
{
    int64_t group = round % 4 == 1 ? 2 : 1, in = group * opcase_pick(c, 1, 20);
    int64_t out = group * opcase_pick(c, 1, 40), k[2], s[2], d[2], p[4], size[2], made[2];
    if (round % 4 == 2)
        in = out = group = round % 8 == 2 ? 16 : 5;
    if (round % 4 == 3)
        out = opcase_pick(c, 1, 4), in = round % 8 == 3 ? 64 : in;
    for (int i = 0; i < 2; i++) {
        k[i] = opcase_pick(c, 1, round % 5 ? 3 : 7);
        s[i] = opcase_pick(c, 1, 3);
        d[i] = opcase_pick(c, 1, 2);
        p[i] = opcase_pick(c, 0, k[i] - 1);
        p[2 + i] = opcase_pick(c, 0, k[i] - 1);
        size[i] = opcase_pick(c, (k[i] - 1) * d[i] + 1, 23);
        made[i] = (size[i] + p[i] + p[2 + i] - (k[i] - 1) * d[i] - 1) / s[i] + 1;
    }
    opcase_input(c, SHAPE(2, in, size[0], size[1]));
    opcase_weight(c, SHAPE(out, in / group, k[0], k[1]));
    if (round % 2)
        opcase_weight(c, SHAPE(out));
    opcase_node(c, "Conv", 1);
    last_ints(c, "strides", s, 2);
    last_ints(c, "dilations", d, 2);
    last_ints(c, "pads", p, 4);
    last_int(c, "group", group);
    add_tail(c, SHAPE(2, out, made[0], made[1]), round);
}

static void make_transposed(struct opcase *c, int round)
{
    int64_t group = round % 3 ? 1 : 2, in = group * opcase_pick(c, 1, 10);
    int64_t out = group * opcase_pick(c, 1, 20), k[2], s[2], d[2];
    for (int i = 0; i < 2; i++) {
        k[i] = opcase_pick(c, 1, 4);
        s[i] = opcase_pick(c, 1, 3);
        d[i] = opcase_pick(c, 1, 2);
    }
    opcase_input(c, SHAPE(2, in, 7, 9));
    opcase_weight(c, SHAPE(in, out / group, k[0], k[1]));
    opcase_weight(c, SHAPE(out));
    opcase_node(c, "ConvTranspose", 1);
    last_ints(c, "strides", s, 2);
    last_ints(c, "dilations", d, 2);
    last_int(c, "group", group);
}

static void make_attention(struct opcase *c, int round)
{
    static const int64_t rows[] = {5, 70, 130}, keys[] = {70, 1, 129}, columns[] = {8, 32, 70};
    int64_t r = rows[round % 3], k = keys[round / 3 % 3], v = columns[round % 2 + 1];
    c->fused = true;
    int64_t depth = round < 3 ? 20 : 72;
    opcase_input(c, SHAPE(2, 3, r, depth));
    opcase_input(c, SHAPE(2, 3, depth, k));
    opcase_node(c, "MatMul", 1);
    opcase_value(c, c->graph.outputs[0]);
    opcase_weight_data(c, SHAPE(1), (const float[]){0.3F});
    opcase_node(c, "Mul", 1);
    if (round % 2) {
        opcase_value(c, c->graph.outputs[0]);
        opcase_weight(c, SHAPE(3, r, k));
        opcase_node(c, "Add", 1);
    }
    opcase_value(c, c->graph.outputs[0]);
    opcase_node(c, "Softmax", 1);
    last_int(c, "axis", -1);
    opcase_value(c, c->graph.outputs[0]);
    opcase_input(c, SHAPE(2, 3, k, v));
    opcase_node(c, "MatMul", 1);
}

// Tolerances: of the relative L2 error, in float32 and in float16. ref rounds every value to
// float16 as well, but neither weights nor, within a fusion, what is added. A sum of products has
// weights rounded too, which makes up most of its error.
static const struct {
    const char *name;
    void (*make)(struct opcase *c, int round);
    int rounds;
    double exact, half;
} cases[] = {
    {"functions", make_function, 18, 3e-7, 1e-4},
    {"arithmetic", make_arithmetic, 36, 2e-7, 4e-4},
    {"chains", make_chain, 4, 2e-7, 6e-4},
    {"Transpose", make_transpose, 6, 0, 0},
    {"Reshape", make_reshape, 4, 0, 0},
    {"Concat", make_concat, 4, 0, 0},
    {"Pad", make_pad, 4, 0, 0},
    {"moves", make_move, 8, 0, 0},
    {"reductions", make_reduce, 10, 1e-6, 5e-4},
    {"pairs of reductions", make_pair, 12, 1e-6, 1e-3},
    {"global pools", make_global_pool, 4, 1e-6, 1e-3},
    {"pools", make_pool, 12, 2e-7, 1e-4},
    {"norms", make_norm, 12, 1e-6, 6e-4},
    {"LayerNormalization", make_layer_norm, 4, 1e-6, 1e-4},
    {"Softmax", make_softmax, 7, 5e-7, 1e-4},
    {"Resize", make_resize, 9, 5e-7, 3e-4},
    {"MatMul", make_matmul, 8, 1e-6, 6e-4},
    {"Gemm", make_gemm, 8, 1e-6, 6e-4},
    {"Conv", make_conv, 16, 1e-6, 6e-4},
    {"ConvTranspose", make_transposed, 6, 1e-6, 6e-4},
    {"attention", make_attention, 7, 1e-6, 1e-3},
};
enum { CASES = sizeof cases / sizeof *cases };

// Every third round where threads change by slow ways.
#ifdef __SANITIZE_ADDRESS__
enum { STEP = 3 };
#else
enum { STEP = 1 };
#endif

START_TEST(cuda_random)
{
    double worst[2] = {0, 0};
    for (int round = 0; round < cases[_i].rounds; round += STEP) {
        struct opcase c;
        struct cs_err err = {0};
        opcase_init(&c, round % 3 == 1 && cases[_i].make == make_norm ? 21 : 17,
                    1000 * (uint64_t)_i + (uint64_t)round);
        c.own = &host_cuda;
        cases[_i].make(&c, round);
        for (int half = 0; half < 2; half++)
            for (int layout = 0; layout < HOST_LAYOUTS; layout++) {
                c.precision = half ? CS_FP16 : CS_FP32;
                host_set_layout((enum host_layout)layout);
                double error = opcase_difference(&c, "cuda on the host", "ref", &err);
                ck_assert_msg(error >= 0, "%s %d, layout %d: %s", cases[_i].name, round, layout,
                              err.text);
                ck_assert_msg(error <= (half ? cases[_i].half : cases[_i].exact),
                              "%s %d, layout %d, %s: error %.2e", cases[_i].name, round, layout,
                              half ? "float16" : "float32", error);
                worst[half] = fmax(worst[half], error);
            }
        opcase_release(&c);
    }
    if (getenv("SHOW_ERRORS"))
        printf("%-20s %.1e %.1e\n", cases[_i].name, worst[0], worst[1]);
}
END_TEST

// More channels than there are counters, for blocks of one channel each; a plane in chunks.
START_TEST(many_channels)
{
    struct opcase c;
    struct cs_err err = {0};
    opcase_init(&c, 17, 1);
    c.own = &host_cuda;
    opcase_input(&c, SHAPE(1, 4100, 32, 33));
    opcase_weight_range(&c, SHAPE(4100), 0.5, 2);
    opcase_weight(&c, SHAPE(4100));
    opcase_node(&c, "InstanceNormalization", 1);
    host_set_layout(HOST_ROWS);
    double error = opcase_difference(&c, "cuda on the host", "ref", &err);
    ck_assert_msg(error >= 0 && error < 1e-6, "%s: %.2e", err.text, error);
    opcase_release(&c);
}
END_TEST

// What only the samples tell: an index outside, an integer divided by 0.
START_TEST(cuda_fault)
{
    static const double data[] = {1, 2, 3, 4, 5, 6};
    for (int wrong = 0; wrong < 2; wrong++)
        for (int kind = 0; kind < 2; kind++) {
            struct opcase c;
            struct cs_err err = {0};
            int64_t count;
            opcase_init(&c, 17, 1);
            c.own = &host_cuda;
            opcase_tensor(&c, false, CS_TYPE_I64, SHAPE(6), data);
            opcase_tensor(&c, false, CS_TYPE_I64, SHAPE(1), (const double[]){wrong ? kind * 6 : 2});
            opcase_node(&c, kind ? "Gather" : "Div", 1);
            double *values = opcase_values(&c, "cuda on the host", &count, &err);
            ck_assert_msg((values == NULL) == (wrong == 1), "%d, %d: %s", wrong, kind, err.text);
            ck_assert(!wrong || err.code == CS_EMODEL);
            free(values);
            opcase_release(&c);
        }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cuda_random");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 120);
    tcase_add_loop_test(core, cuda_random, 0, CASES);
    tcase_add_test(core, many_channels);
    tcase_add_test(core, cuda_fault);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
