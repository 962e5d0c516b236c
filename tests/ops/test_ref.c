// SPDX-License-Identifier: MIT
// Every kernel of ref against results in double precision that share no code with it
// (tests/golden/ops/cases.txt, made by tests/golden/export/ops_cases.py); cpu on the same cases,
// with the tolerance of sums in float32; and ref with fusions against separate nodes.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/mem.h"
#include "opcase.h"
#include "suite.h"

enum { MAX_VALUES = 4096 };

struct line {
    char *at; // what is left of it
};

static char *word(struct line *line)
{
    char *start = line->at, *space = strchr(line->at, ' ');
    if (space)
        *space = '\0';
    line->at = space ? space + 1 : line->at + strlen(line->at);
    return start;
}

static int integers(struct line *line, int64_t *values)
{
    int count = 0;
    while (*line->at && count < 64)
        values[count++] = strtoll(word(line), NULL, 10);
    return count;
}

static void read_tensor(struct line *line, struct cs_shape *shape, double *values)
{
    char *at = word(line);
    for (shape->rank = 0; *at; at += *at == ',')
        shape->dim[shape->rank++] = strtoll(at, &at, 10);
    int64_t count = cs_shape_elements(shape);
    ck_assert_int_le(count, MAX_VALUES);
    for (int64_t i = 0; i < count; i++)
        values[i] = strtod(word(line), NULL);
}

struct attribute {
    char kind, *name, *text;
    int64_t ints[64];
    int count;
};

struct test_case {
    char *name, *op;
    struct attribute attrs[8];
    int attr_count;
    struct opcase ops;
    struct cs_shape shape;
    double expected[MAX_VALUES];
};

static void read_attribute(struct test_case *t, const char *kind, struct line *line)
{
    struct attribute *a = &t->attrs[t->attr_count++];
    a->kind = strcmp(kind, "ints") == 0 ? 'l' : kind[0];
    a->name = word(line);
    if (a->kind == 'l')
        a->count = integers(line, a->ints);
    else
        a->text = word(line);
}

static void read_operand(struct test_case *t, const char *kind, struct line *line)
{
    struct cs_shape shape;
    static double values[MAX_VALUES];
    float floats[MAX_VALUES];
    int64_t list[64];
    if (strcmp(kind, "omit") == 0) {
        opcase_value(&t->ops, -1);
    } else if (strcmp(kind, "list") == 0) {
        int count = integers(line, list);
        opcase_ints(&t->ops, list, count);
    } else {
        read_tensor(line, &shape, values);
        for (int64_t i = 0; i < cs_shape_elements(&shape); i++)
            floats[i] = (float)values[i];
        if (strcmp(kind, "input") == 0)
            opcase_input_data(&t->ops, &shape, floats);
        else
            opcase_weight_data(&t->ops, &shape, floats);
    }
}

static void add_node(struct test_case *t)
{
    struct cs_node *node = opcase_node(&t->ops, t->op, 1);
    for (int i = 0; i < t->attr_count; i++) {
        struct attribute *a = &t->attrs[i];
        if (a->kind == 'l')
            cs_node_add_ints(&t->ops.graph, node, a->name, a->ints, a->count);
        else if (a->kind == 'i')
            cs_node_add_int(&t->ops.graph, node, a->name, strtoll(a->text, NULL, 10));
        else if (a->kind == 'f')
            cs_node_add_float(&t->ops.graph, node, a->name, strtof(a->text, NULL));
        else
            cs_node_add_string(&t->ops.graph, node, a->name, a->text);
    }
}

// Relative to the largest expected value; the shape must be the expected one.
static double worst_error(const struct test_case *t, const char *backend)
{
    struct cs_err err = {0};
    struct cs_graph concrete;
    int64_t elements;
    double worst = 0, largest = 1e-30;
    ck_assert_msg(cs_graph_infer(&t->ops.graph, t->ops.shapes, &concrete, &err) == 0, "%s: %s",
                  t->name, err.text);
    const struct cs_shape *shape = &concrete.values[concrete.outputs[0]].shape;
    ck_assert_msg(cs_shape_equal(shape, &t->shape), "%s: shape", t->name);
    cs_graph_release(&concrete);
    float *got = opcase_run(&t->ops, backend, &elements, &err);
    if (!got && err.code == CS_EMODEL && strcmp(backend, "ref") != 0)
        return 0; // refused at load, by name: ref alone runs everything
    ck_assert_msg(got, "%s: %s", t->name, err.text);
    for (int64_t i = 0; i < elements; i++) {
        largest = fmax(largest, fabs(t->expected[i]));
        worst = fmax(worst, fabs((double)got[i] - t->expected[i]));
        ck_assert_msg(isfinite(got[i]), "%s: not finite", t->name);
    }
    free(got);
    return worst / largest;
}

static void finish_case(struct test_case *t, const char *backend, double tolerance)
{
    add_node(t);
    double error = worst_error(t, backend);
    ck_assert_msg(error <= tolerance, "%s on %s: error %.2e", t->name, backend, error);
    opcase_release(&t->ops);
}

// Runs all cases; returns how many there are.
static int all_cases(const char *backend, double tolerance)
{
    struct cs_buf text = {0};
    struct cs_err err = {0};
    static struct test_case t;
    int count = 0;
    ck_assert_msg(cs_read_file("tests/golden/ops/cases.txt", 1 << 22, &text, &err) == 0, "%s",
                  err.text);
    for (char *at = text.data, *end; (end = strchr(at, '\n')); at = end + 1) {
        struct line line = {at};
        *end = '\0';
        char *kind = word(&line);
        if (strcmp(kind, "case") == 0) {
            memset(&t, 0, sizeof t);
            t.name = word(&line);
            opcase_init(&t.ops, (int)strtol(word(&line), NULL, 10), 1);
            t.op = word(&line);
        } else if (strcmp(kind, "expect") == 0) {
            read_tensor(&line, &t.shape, t.expected);
            finish_case(&t, backend, tolerance);
            count++;
        } else if (strcmp(kind, "input") == 0 || strcmp(kind, "weight") == 0 ||
                   strcmp(kind, "list") == 0 || strcmp(kind, "omit") == 0) {
            read_operand(&t, kind, &line);
        } else {
            read_attribute(&t, kind, &line);
        }
    }
    cs_buf_release(&text);
    return count;
}

START_TEST(core_ref)
{
    ck_assert_int_gt(all_cases("ref", 1.5e-7), 100); // half a unit in the last place, and a bit
}
END_TEST

START_TEST(core_cpu)
{
    ck_assert_int_gt(all_cases("cpu", 2e-6), 100);
}
END_TEST

// A convolution that adds and activates, against three nodes.
START_TEST(core_fusion)
{
    static const char *const activations[] = {"Relu", "LeakyRelu", "Sigmoid",    "Tanh",
                                              "Elu",  "HardSwish", "HardSigmoid"};
    struct opcase c;
    struct cs_err err = {0};
    opcase_init(&c, 17, (uint64_t)_i);
    int x = opcase_input(&c, SHAPE(2, 4, 6, 7));
    opcase_weight(&c, SHAPE(4, 4, 3, 3));
    struct cs_node *node = opcase_node(&c, "Conv", 1);
    cs_node_add_ints(&c.graph, node, "pads", (int64_t[]){1, 1, 1, 1}, 4);
    opcase_value(&c, x);
    opcase_value(&c, c.graph.outputs[0]);
    opcase_node(&c, "Add", 1);
    opcase_value(&c, c.graph.outputs[0]);
    opcase_node(&c, activations[_i], 1);
    int64_t separate, together;
    float *expected = opcase_run(&c, "ref", &separate, &err);
    c.fused = true;
    float *got = opcase_run(&c, "ref", &together, &err);
    ck_assert_msg(expected && got, "%s", err.text);
    ck_assert_int_eq(separate, together);
    ck_assert_mem_eq(got, expected, (size_t)separate * sizeof *got); // rounded at the same places
    free(expected);
    free(got);
    opcase_release(&c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ref");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 120);
    tcase_add_test(core, core_ref);
    tcase_add_test(core, core_cpu);
    tcase_add_loop_test(core, core_fusion, 0, 7);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
