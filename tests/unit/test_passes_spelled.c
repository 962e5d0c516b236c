// SPDX-License-Identifier: MIT
// Passes that find operators which exporters spell out (graph/passes.h): functions, norms,
// attention. Each one's rewrite as a dump, what looks alike and is left alone, and the same results
// on ref before and after all passes.
#include "passcase.h"
#include "suite.h"

static int clip(struct opcase *c, int of, float low, float high)
{
    opcase_value(c, of);
    opcase_weight_data(c, SHAPE(1), (const float[]){low});
    opcase_weight_data(c, SHAPE(1), (const float[]){high});
    opcase_node(c, "Clip", 1);
    return opcase_last(c);
}

START_TEST(core_swish)
{
    struct opcase c;
    int x = passcase_begin(&c, 17, SHAPE(1, 2, 3, 3));
    opcase_binary(&c, "Mul", opcase_unary(&c, "Sigmoid", x), x);
    passcase_expect(&c, "spelled_function", 1, "Swish v0:1x2x3x3 -> v2:1x2x3x3\n");

    x = passcase_begin(&c, 17, SHAPE(1, 2, 3, 3)); // a gate of another value
    int gate = opcase_unary(&c, "Sigmoid", x), other = opcase_unary(&c, "Relu", x);
    opcase_binary(&c, "Mul", gate, other);
    passcase_expect(&c, "spelled_function", 0,
                    "Sigmoid v0:1x2x3x3 -> v1:1x2x3x3\nRelu v0:1x2x3x3 -> v2:1x2x3x3\n"
                    "Mul v1:1x2x3x3 v2:1x2x3x3 -> v3:1x2x3x3\n");

    x = passcase_begin(&c, 17, SHAPE(1, 2, 3, 3)); // and twice that
    passcase_scalar(&c, "Mul", opcase_binary(&c, "Mul", x, opcase_unary(&c, "Sigmoid", x)), 2);
    passcase_expect(&c, "spelled_function", 1,
                    "Swish v0:1x2x3x3 -> v2:1x2x3x3\nMul v2:1x2x3x3 v3:1= -> v4:1x2x3x3\n");
}
END_TEST

START_TEST(core_hard_swish)
{
    struct opcase c;
    int x = passcase_begin(&c, 17, SHAPE(1, 2, 3, 3));
    passcase_scalar(&c, "Div",
                    opcase_binary(&c, "Mul", x, clip(&c, passcase_scalar(&c, "Add", x, 3), 0, 6)),
                    6);
    passcase_expect(&c, "spelled_function", 1, "HardSwish v0:1x2x3x3 -> v8:1x2x3x3\n");

    x = passcase_begin(&c, 17, SHAPE(1, 2, 3, 3));
    opcase_binary(&c, "Mul",
                  passcase_scalar(&c, "Div", clip(&c, passcase_scalar(&c, "Add", x, 3), 0, 6), 6),
                  x);
    passcase_expect(&c, "spelled_function", 1, "HardSwish v0:1x2x3x3 -> v8:1x2x3x3\n");

    x = passcase_begin(&c, 17, SHAPE(1, 2, 3, 3));
    opcase_value(&c, x);
    cs_node_add_float(&c.graph, opcase_node(&c, "HardSigmoid", 1), "alpha", 1.0f / 6);
    opcase_binary(&c, "Mul", x, opcase_last(&c));
    passcase_expect(&c, "spelled_function", 1, "HardSwish v0:1x2x3x3 -> v2:1x2x3x3\n");

    x = passcase_begin(&c, 17, SHAPE(1, 2, 3, 3)); // ONNX's own slope of 1/5 is something else
    opcase_binary(&c, "Mul", x, opcase_unary(&c, "HardSigmoid", x));
    passcase_expect(
        &c, "spelled_function", 0,
        "HardSigmoid v0:1x2x3x3 -> v1:1x2x3x3\nMul v0:1x2x3x3 v1:1x2x3x3 -> v2:1x2x3x3\n");

    x = passcase_begin(&c, 17, SHAPE(1, 2, 3, 3)); // another limit
    passcase_scalar(&c, "Div",
                    opcase_binary(&c, "Mul", x, clip(&c, passcase_scalar(&c, "Add", x, 3), 0, 5)),
                    6);
    passcase_expect(
        &c, "spelled_function", 0,
        "Add v0:1x2x3x3 v1:1= -> v2:1x2x3x3\nClip v2:1x2x3x3 v3:1= v4:1= -> v5:1x2x3x3\n"
        "Mul v0:1x2x3x3 v5:1x2x3x3 -> v6:1x2x3x3\nDiv v6:1x2x3x3 v7:1= -> v8:1x2x3x3\n");
}
END_TEST

START_TEST(core_gelu)
{
    struct opcase c;
    int x = passcase_begin(&c, 17, SHAPE(1, 5, 4));
    int gate = passcase_scalar(
        &c, "Add", opcase_unary(&c, "Erf", passcase_scalar(&c, "Div", x, 1.41421356f)), 1);
    passcase_scalar(&c, "Mul", opcase_binary(&c, "Mul", x, gate), 0.5f);
    passcase_expect(&c, "spelled_function", 1, "Gelu v0:1x5x4 -> v8:1x5x4\n");

    x = passcase_begin(&c, 17, SHAPE(1, 5, 4));
    int half = passcase_scalar(&c, "Mul", x, 0.5f);
    gate = passcase_scalar(&c, "Add",
                           opcase_unary(&c, "Erf", passcase_scalar(&c, "Mul", x, 0.70710678f)), 1);
    opcase_binary(&c, "Mul", half, gate);
    passcase_expect(&c, "spelled_function", 1, "Gelu v0:1x5x4 -> v8:1x5x4\n");

    for (int power = 0; power < 2; power++) {
        x = passcase_begin(&c, 17, SHAPE(1, 5, 4));
        int cube = power ? passcase_scalar(&c, "Pow", x, 3)
                         : opcase_binary(&c, "Mul", opcase_binary(&c, "Mul", x, x), x);
        int sum = opcase_binary(&c, "Add", x, passcase_scalar(&c, "Mul", cube, 0.044715f));
        gate = passcase_scalar(
            &c, "Add", opcase_unary(&c, "Tanh", passcase_scalar(&c, "Mul", sum, 0.79788456f)), 1);
        opcase_binary(&c, "Mul", passcase_scalar(&c, "Mul", x, 0.5f), gate);
        passcase_expect(&c, "spelled_function", 1, "Gelu v0:1x5x4 -> v13:1x5x4 approximate=tanh\n");
    }

    x = passcase_begin(&c, 17, SHAPE(1, 5, 4)); // not the square root of 2
    gate =
        passcase_scalar(&c, "Add", opcase_unary(&c, "Erf", passcase_scalar(&c, "Div", x, 1.5f)), 1);
    passcase_scalar(&c, "Mul", opcase_binary(&c, "Mul", x, gate), 0.5f);
    passcase_expect(&c, "spelled_function", 0,
                    "Div v0:1x5x4 v1:1= -> v2:1x5x4\nErf v2:1x5x4 -> v3:1x5x4\n"
                    "Add v3:1x5x4 v4:1= -> v5:1x5x4\nMul v0:1x5x4 v5:1x5x4 -> v6:1x5x4\n"
                    "Mul v6:1x5x4 v7:1= -> v8:1x5x4\n");
}
END_TEST

static int line_mean(struct opcase *c, int of)
{
    opcase_value(c, of);
    struct cs_node *node = opcase_node(c, "ReduceMean", 1);
    cs_node_add_ints(&c->graph, node, "axes", (int64_t[]){-1}, 1);
    return opcase_last(c);
}

// As exporters of opsets before 17 write it, with what may differ from a norm: what the mean is of,
// the deviation's power, its scale.
struct layer_norm {
    int mean_of; // value
    float power;
    const struct cs_shape *scale;
};

// All but for the last sum; returns the product before it.
static int add_layer_norm(struct opcase *c, int x, const struct layer_norm *norm)
{
    int d = opcase_binary(c, "Sub", x, line_mean(c, norm->mean_of));
    int variance = line_mean(c, passcase_scalar(c, "Pow", d, norm->power));
    int deviation = opcase_unary(c, "Sqrt", passcase_scalar(c, "Add", variance, 1e-6f));
    opcase_value(c, opcase_binary(c, "Div", d, deviation));
    opcase_weight(c, norm->scale);
    opcase_node(c, "Mul", 1);
    return opcase_last(c);
}

static int shift(struct opcase *c, int of, const struct cs_shape *shape)
{
    opcase_value(c, of);
    opcase_weight(c, shape);
    opcase_node(c, "Add", 1);
    return opcase_last(c);
}

START_TEST(core_layer_norm)
{
    struct opcase c;
    int x = passcase_begin(&c, 16, SHAPE(2, 5, 8));
    shift(&c, add_layer_norm(&c, x, &(struct layer_norm){x, 2, SHAPE(8)}), SHAPE(8));
    passcase_expect(&c, "layer_norm", 1,
                    "LayerNormalization v0:2x5x8 v10:8= v12:8= -> v13:2x5x8 "
                    "epsilon=9.99999997e-07\n");

    x = passcase_begin(&c, 16, SHAPE(2, 5, 8)); // another scale for each line
    shift(&c, add_layer_norm(&c, x, &(struct layer_norm){x, 2, SHAPE(5, 8)}), SHAPE(8));
    passcase_leaves(&c, "layer_norm");

    x = passcase_begin(&c, 16, SHAPE(2, 5, 8)); // the mean of something else
    int other = opcase_unary(&c, "Relu", x);
    shift(&c, add_layer_norm(&c, x, &(struct layer_norm){other, 2, SHAPE(8)}), SHAPE(8));
    passcase_leaves(&c, "layer_norm");

    x = passcase_begin(&c, 16, SHAPE(2, 5, 8)); // no variance
    shift(&c, add_layer_norm(&c, x, &(struct layer_norm){x, 4, SHAPE(8)}), SHAPE(8));
    passcase_leaves(&c, "layer_norm");

    x = passcase_begin(&c, 16, SHAPE(2, 5, 8)); // read before the shift too: made anyway
    int product = add_layer_norm(&c, x, &(struct layer_norm){x, 2, SHAPE(8)});
    opcase_binary(&c, "Mul", shift(&c, product, SHAPE(8)), product);
    passcase_leaves(&c, "layer_norm");
}
END_TEST

// As exporters of opsets before 21 write it, of an input 2 x 6 x 6 x 4.
static void add_group_norm(struct opcase *c, const int64_t *grouped, const float *inner_scale,
                           const struct cs_shape *scale)
{
    int64_t groups = grouped[1];
    int x = passcase_begin(c, 17, SHAPE(2, 6, 6, 4));
    opcase_value(c, x);
    opcase_ints(c, grouped, 3);
    opcase_node(c, "Reshape", 1);
    opcase_value(c, opcase_last(c));
    opcase_weight_data(c, SHAPE(groups), inner_scale);
    opcase_weight_data(c, SHAPE(groups), (const float[6]){0});
    opcase_node(c, "InstanceNormalization", 1);
    opcase_value(c, opcase_last(c));
    opcase_ints(c, (int64_t[]){2, 6, 6, 4}, 4);
    opcase_node(c, "Reshape", 1);
    opcase_value(c, opcase_last(c));
    opcase_weight(c, scale);
    opcase_node(c, "Mul", 1);
    shift(c, opcase_last(c), SHAPE(6, 1, 1));
}

START_TEST(core_group_norm)
{
    struct opcase c;
    const float ones[6] = {1, 1, 1, 1, 1, 1}, other[3] = {1, 2, 1};
    add_group_norm(&c, (int64_t[]){0, 3, -1}, ones, SHAPE(6, 1, 1));
    passcase_expect(&c, "group_norm", 1,
                    "GroupNormalization v0:2x6x6x4 v8:6= v10:6= -> v11:2x6x6x4 num_groups=3 "
                    "epsilon=9.99999975e-06\n");
    add_group_norm(&c, (int64_t[]){0, 3, -1}, other, SHAPE(6, 1, 1)); // a scale of its own inside
    passcase_leaves(&c, "group_norm");
    add_group_norm(&c, (int64_t[]){1, 6, -1}, ones, SHAPE(6, 1, 1)); // groups over both images
    passcase_leaves(&c, "group_norm");
    add_group_norm(&c, (int64_t[]){0, 3, -1}, ones, SHAPE(1, 6, 1)); // a scale for each row
    passcase_leaves(&c, "group_norm");
}
END_TEST

// Scores of 2 x 5 queries and 4 keys, scaled and masked.
static int scores(struct opcase *c, bool masked)
{
    opcase_input(c, SHAPE(2, 5, 3));
    opcase_input(c, SHAPE(2, 3, 4));
    opcase_node(c, "MatMul", 1);
    opcase_value(c, opcase_last(c));
    opcase_weight_data(c, SHAPE(), (float[]){4});
    opcase_node(c, "Div", 1);
    if (masked) {
        opcase_weight(c, SHAPE(5, 4));
        opcase_value(c, opcase_last(c));
        opcase_node(c, "Add", 1);
    }
    return opcase_last(c);
}

static void attend(struct opcase *c, int of, int axis)
{
    opcase_value(c, of);
    cs_node_add_int(&c->graph, opcase_node(c, "Softmax", 1), "axis", axis);
    opcase_value(c, opcase_last(c));
    opcase_input(c, SHAPE(2, 4, 6));
    opcase_node(c, "MatMul", 1);
}

START_TEST(core_attention)
{
    struct opcase c;
    opcase_init(&c, 17, 51);
    attend(&c, scores(&c, false), -1);
    passcase_expect(&c, "attention", 1,
                    "FusedAttention v0:2x5x3 v1:2x3x4 v6:2x4x6 -> v7:2x5x6 scale=0.25\n");

    opcase_init(&c, 17, 52);
    attend(&c, scores(&c, true), 2);
    passcase_expect(&c, "attention", 1,
                    "FusedAttention v0:2x5x3 v1:2x3x4 v8:2x4x6 v5:5x4= -> v9:2x5x6 scale=0.25\n");

    opcase_init(&c, 17, 53); // over the queries
    attend(&c, scores(&c, false), 1);
    passcase_expect(&c, "attention", 0,
                    "MatMul v0:2x5x3 v1:2x3x4 -> v2:2x5x4\n"
                    "Div v2:2x5x4 v3:scalar= -> v4:2x5x4\n"
                    "Softmax v4:2x5x4 -> v5:2x5x4 axis=1\n"
                    "MatMul v5:2x5x4 v6:2x4x6 -> v7:2x5x6\n");

    opcase_init(&c, 17, 54); // the scores are read elsewhere too
    int of = scores(&c, false);
    attend(&c, of, -1);
    cs_graph_add_output(&c.graph, of);
    passcase_expect(&c, "attention", 0,
                    "MatMul v0:2x5x3 v1:2x3x4 -> v2:2x5x4\n"
                    "Div v2:2x5x4 v3:scalar= -> v4:2x5x4\n"
                    "Softmax v4:2x5x4 -> v5:2x5x4 axis=-1\n"
                    "MatMul v5:2x5x4 v6:2x4x6 -> v7:2x5x6\n");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("passes_spelled");
    TCase *core = tcase_create("core");
    tcase_add_test(core, core_swish);
    tcase_add_test(core, core_hard_swish);
    tcase_add_test(core, core_gelu);
    tcase_add_test(core, core_layer_norm);
    tcase_add_test(core, core_group_norm);
    tcase_add_test(core, core_attention);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
