// SPDX-License-Identifier: MIT
// A network in the manner of the transformers on "cpu": patches become tokens, attention with a
// mask that depends on the pixels, a gated layer, and back to an image that is resized and
// labelled. The same bits for any number of threads and any batch, and near "ref", for each
// instruction set.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "isa.h"
#include "opcase.h"
#include "suite.h"

enum { SIZE = 36, PATCH = 4, TOKENS = 81, WIDE = 24, HEADS = 3, BATCH = 4 };

// One node; the values are its inputs in order, up to a negative one.
static int node(struct opcase *c, const char *op, int a, int b)
{
    int held = c->pending_count; // constants made just before come last
    int constants[4];
    memcpy(constants, c->pending, (size_t)held * sizeof *constants);
    c->pending_count = 0;
    opcase_value(c, a);
    if (b >= 0)
        opcase_value(c, b);
    for (int i = 0; i < held; i++)
        opcase_value(c, constants[i]);
    opcase_node(c, op, 1);
    return c->graph.outputs[0];
}

static struct cs_node *last_node(struct opcase *c)
{
    return &c->graph.nodes[c->graph.node_count - 1];
}

static int with_ints(struct opcase *c, int value, const char *name, const int64_t *ints, int count)
{
    cs_node_add_ints(&c->graph, last_node(c), name, ints, count);
    return value;
}

static int linear(struct opcase *c, int x, int64_t in, int64_t out)
{
    opcase_weight_range(c, SHAPE(in, out), -0.4, 0.4);
    x = node(c, "MatMul", x, -1);
    opcase_weight(c, SHAPE(out));
    return node(c, "Add", x, -1);
}

static int layer_norm(struct opcase *c, int x)
{
    opcase_weight(c, SHAPE(WIDE));
    opcase_weight(c, SHAPE(WIDE));
    return node(c, "LayerNormalization", x, -1);
}

static int reshape(struct opcase *c, int x, const int64_t *sizes, int count)
{
    opcase_ints(c, sizes, count);
    return node(c, "Reshape", x, -1);
}

static int transpose(struct opcase *c, int x, const int64_t *perm, int count)
{
    return with_ints(c, node(c, "Transpose", x, -1), "perm", perm, count);
}

static int by_number(struct opcase *c, const char *op, int x, float number)
{
    opcase_weight_data(c, SHAPE(1), &number);
    return node(c, op, x, -1);
}

// One of query, key and value: (N, tokens, wide) to (N, heads, tokens, wide / heads).
static int heads(struct opcase *c, int x, bool key)
{
    const int64_t sizes[] = {0, TOKENS, HEADS, WIDE / HEADS};
    static const int64_t to_heads[] = {0, 2, 1, 3}, to_keys[] = {0, 2, 3, 1};
    return transpose(c, reshape(c, linear(c, x, WIDE, WIDE), sizes, 4), key ? to_keys : to_heads,
                     4);
}

static int attention(struct opcase *c, int x, bool fusible)
{
    const int64_t back[] = {0, 2, 1, 3}, sizes[] = {0, TOKENS, WIDE};
    int q = heads(c, x, false), k = heads(c, x, true), v = heads(c, x, false);
    int scores = by_number(c, "Mul", node(c, "MatMul", q, k), 0.35F);
    if (fusible) {
        opcase_weight(c, SHAPE(HEADS, TOKENS, TOKENS));
        scores = node(c, "Add", scores, -1);
    } else {
        int mask = by_number(c, "Greater", scores, -0.5F);
        opcase_weight_data(c, SHAPE(1), (float[]){-30});
        scores = node(c, "Where", mask, scores);
    }
    int shares = node(c, "Softmax", scores, -1);
    cs_node_add_int(&c->graph, last_node(c), "axis", -1);
    int mixed = transpose(c, node(c, "MatMul", shares, v), back, 4);
    return linear(c, reshape(c, mixed, sizes, 3), WIDE, WIDE);
}

// As exporters write GELU.
static int gelu(struct opcase *c, int x)
{
    int e = node(c, "Erf", by_number(c, "Div", x, 1.41421356F), -1);
    return by_number(c, "Mul", node(c, "Mul", x, by_number(c, "Add", e, 1)), 0.5F);
}

static void make_network(struct opcase *c, bool fusible)
{
    const int64_t strides[] = {PATCH, PATCH}, tokens[] = {0, WIDE, -1}, turn[] = {0, 2, 1};
    const int64_t image[] = {0, WIDE, SIZE / PATCH, SIZE / PATCH};
    const float scales[] = {1, 1, 2.5F, 1.5F};
    opcase_init(c, 17, 31);
    c->fused = true;
    int x = opcase_input(c, SHAPE(BATCH, 3, SIZE, SIZE));
    c->graph.values[x].shape.dim[0] = -1;
    c->pending_count = 0;
    opcase_weight(c, SHAPE(WIDE, 3, PATCH, PATCH));
    int patches = with_ints(c, node(c, "Conv", x, -1), "strides", strides, 2);
    int stream = transpose(c, reshape(c, patches, tokens, 3), turn, 3);
    stream = node(c, "Add", stream, attention(c, layer_norm(c, stream), fusible));
    int inner = gelu(c, linear(c, layer_norm(c, stream), WIDE, 40));
    stream = node(c, "Add", stream, linear(c, inner, 40, WIDE));
    int map = reshape(c, transpose(c, stream, turn, 3), image, 4);
    map = node(c, "Concat", map, patches);
    cs_node_add_int(&c->graph, last_node(c), "axis", 1);
    opcase_weight(c, SHAPE(5, 2 * WIDE, 1, 1));
    map = node(c, "Conv", map, -1);
    opcase_value(c, -1);
    opcase_weight_data(c, SHAPE(4), scales);
    map = node(c, "Resize", map, -1);
    cs_node_add_string(&c->graph, last_node(c), "mode", "cubic");
    int label = node(c, "ArgMax", map, -1); // int64
    cs_node_add_int(&c->graph, last_node(c), "axis", 1);
    label = node(c, "Cast", label, -1);
    cs_node_add_int(&c->graph, last_node(c), "to", 1);
    node(c, "Concat", map, label);
    cs_node_add_int(&c->graph, last_node(c), "axis", 1);
}

// Images first..first + count of the batch.
static double *run(const struct opcase *whole, const char *backend, int threads, int first,
                   int count, int64_t *elements)
{
    struct opcase part = *whole;
    struct cs_err err = {0};
    part.threads = threads;
    part.shapes[0].dim[0] = count;
    part.data[0] = (const float *)whole->data[0] + (int64_t)first * 3 * SIZE * SIZE;
    double *values = opcase_values(&part, backend, elements, &err);
    ck_assert_msg(values != NULL, "%s: %s", backend, err.text);
    return values;
}

START_TEST(same_bits)
{
    struct opcase c;
    int64_t count, part;
    isa_limit(_i % ISA_LIMITS);
    make_network(&c, _i >= ISA_LIMITS);
    double *whole = run(&c, "cpu", 1, 0, BATCH, &count);
    for (int threads = 1; threads <= 4; threads++)
        for (int images = 1; images <= BATCH; images++) {
            int first = threads % (BATCH - images + 1);
            double *got = run(&c, "cpu", threads, first, images, &part);
            ck_assert_int_eq(part * BATCH, count * images);
            ck_assert_msg(
                memcmp(whole + first * (count / BATCH), got, (size_t)part * sizeof *got) == 0,
                "%d threads, %d images: other bits", threads, images);
            free(got);
        }
    free(whole);
    opcase_release(&c);
}
END_TEST

START_TEST(against_ref)
{
    struct opcase c;
    int64_t count, same;
    double error = 0, norm = 0;
    isa_limit(_i % ISA_LIMITS);
    make_network(&c, _i >= ISA_LIMITS);
    c.fused = false;
    double *expected = run(&c, "ref", 2, 0, BATCH, &same);
    c.fused = true;
    double *got = run(&c, "cpu", 2, 0, BATCH, &count);
    ck_assert_int_eq(count, same);
    for (int64_t i = 0; i < count; i++) {
        error += (got[i] - expected[i]) * (got[i] - expected[i]);
        norm += expected[i] * expected[i];
    }
    ck_assert_msg(sqrt(error / norm) < 2e-6, "error %g", sqrt(error / norm));
    free(expected);
    free(got);
    opcase_release(&c);
}
END_TEST

// Queries, keys and values of random sizes; masks that broadcast in any way; a scale or none.
static void random_attention(struct opcase *c, int round)
{
    opcase_init(c, 17, 60 + (uint64_t)round);
    int rank = (int)opcase_pick(c, 3, 5);
    struct cs_shape q = {rank, {0}}, k, v, mask;
    for (int d = 0; d < rank - 2; d++)
        q.dim[d] = opcase_pick(c, 1, 3);
    int64_t rows = opcase_pick(c, 1, 130), keys = opcase_pick(c, 1, round % 4 ? 90 : 600);
    int64_t depth = opcase_pick(c, 1, round % 5 ? 40 : 300), columns = opcase_pick(c, 1, 40);
    k = v = q;
    q.dim[rank - 2] = rows;
    q.dim[rank - 1] = k.dim[rank - 2] = depth;
    k.dim[rank - 1] = v.dim[rank - 2] = keys;
    v.dim[rank - 1] = columns;
    int query = opcase_input(c, &q), key = opcase_input(c, &k), value = opcase_input(c, &v);
    c->pending_count = 0;
    int scores = node(c, "MatMul", query, key);
    if (round % 3)
        scores = by_number(c, round % 3 == 1 ? "Mul" : "Div", scores, round % 3 == 1 ? 0.3F : 3);
    if (round % 2) {
        mask = (struct cs_shape){0};
        for (int d = (int)opcase_pick(c, 0, rank - 1); d < rank; d++)
            mask.dim[mask.rank++] = d == rank - 1               ? keys
                                    : opcase_pick(c, 0, 1) == 0 ? 1
                                    : d == rank - 2             ? rows
                                                                : q.dim[d];
        if (round % 4 == 1)
            opcase_weight(c, &mask);
        else
            opcase_input(c, &mask);
        scores = node(c, "Add", scores, -1);
    }
    int shares = node(c, "Softmax", scores, -1);
    cs_node_add_int(&c->graph, last_node(c), "axis", -1);
    node(c, "MatMul", shares, value);
}

START_TEST(fused)
{
    isa_limit(_i);
    for (int round = 0; round < 48; round++) {
        struct opcase c;
        struct cs_err err = {0};
        int64_t count, same;
        double error = 0, norm = 0;
        random_attention(&c, round);
        double *expected = opcase_values(&c, "ref", &count, &err);
        c.fused = true;
        double *plain = opcase_values(&c, "ref", &same, &err);
        c.threads = 1;
        double *one = opcase_values(&c, "cpu", &same, &err);
        c.threads = 3;
        double *three = opcase_values(&c, "cpu", &same, &err);
        ck_assert_msg(expected && plain && one && three, "round %d: %s", round, err.text);
        ck_assert_int_eq(count, same);
        for (int64_t i = 0; i < count; i++) {
            error += (one[i] - expected[i]) * (one[i] - expected[i]) +
                     (plain[i] - expected[i]) * (plain[i] - expected[i]);
            norm += expected[i] * expected[i];
        }
        ck_assert_msg(sqrt(error / norm) < 2e-6, "round %d: error %g", round, sqrt(error / norm));
        ck_assert_mem_eq(one, three, (size_t)count * sizeof *one);
        free(expected);
        free(plain);
        free(one);
        free(three);
        opcase_release(&c);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu_attention");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 120);
    tcase_add_loop_test(core, same_bits, 0, 2 * ISA_LIMITS);
    tcase_add_loop_test(core, against_ref, 0, 2 * ISA_LIMITS);
    tcase_add_loop_test(core, fused, 0, ISA_LIMITS);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
