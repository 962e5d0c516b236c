// SPDX-License-Identifier: MIT
#include "golden.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "opcase.h"

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

// A word "what" or "what:type"; float32 without a type.
static enum cs_type type_of(char *text)
{
    char *colon = strchr(text, ':');
    if (!colon)
        return CS_TYPE_F32;
    *colon = '\0';
    for (int type = CS_TYPE_F32; type <= CS_TYPE_BOOL; type++)
        if (strcmp(cs_type_name((enum cs_type)type), colon + 1) == 0)
            return (enum cs_type)type;
    ck_abort_msg("no type %s", colon + 1);
    return CS_TYPE_NONE;
}

// A shape is "2,3", that of a scalar "-".
static void read_tensor(struct line *line, struct cs_shape *shape, double *values)
{
    char *at = word(line);
    for (shape->rank = 0; *at && *at != '-'; at += *at == ',')
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

struct expected {
    enum cs_type type;
    struct cs_shape shape;
};

struct test_case {
    char *name, *op;
    struct attribute attrs[8];
    int attr_count;
    struct opcase ops;
    struct expected outputs[8];
    int output_count;
    double expected[MAX_VALUES]; // of all outputs
    int64_t elements;
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

static void read_operand(struct test_case *t, char *kind, struct line *line)
{
    struct cs_shape shape;
    static double values[MAX_VALUES];
    int64_t list[64];
    enum cs_type type = type_of(kind);
    if (strcmp(kind, "omit") == 0) {
        opcase_value(&t->ops, -1);
    } else if (strcmp(kind, "list") == 0) {
        int count = integers(line, list);
        opcase_ints(&t->ops, list, count);
    } else {
        read_tensor(line, &shape, values);
        opcase_tensor(&t->ops, strcmp(kind, "input") != 0, type, &shape, values);
    }
}

static void read_expected(struct test_case *t, enum cs_type type, struct line *line)
{
    struct expected *e = &t->outputs[t->output_count++];
    e->type = type;
    read_tensor(line, &e->shape, t->expected + t->elements);
    t->elements += cs_shape_elements(&e->shape);
    ck_assert_int_le(t->elements, MAX_VALUES / 2);
}

static void add_node(struct test_case *t)
{
    struct cs_node *node = opcase_node(&t->ops, t->op, t->output_count);
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

static void check_shapes(const struct test_case *t)
{
    struct cs_err err = {0};
    struct cs_graph concrete;
    ck_assert_msg(cs_graph_infer(&t->ops.graph, t->ops.shapes, &concrete, &err) == 0, "%s: %s",
                  t->name, err.text);
    for (int i = 0; i < t->output_count; i++) {
        const struct cs_value *value = &concrete.values[concrete.outputs[i]];
        ck_assert_msg(cs_shape_equal(&value->shape, &t->outputs[i].shape), "%s: shape", t->name);
        ck_assert_msg(value->type == t->outputs[i].type, "%s: type", t->name);
    }
    cs_graph_release(&concrete);
}

static bool same_special(double got, double expected)
{
    return (isnan(got) && isnan(expected)) || got == expected;
}

// Of float32 results, relative to the largest expected value; others must be exact.
static double worst_error(const struct test_case *t, const struct golden_run *run)
{
    struct cs_err err = {0};
    int64_t elements, at = 0;
    double worst = 0, largest = 1e-30;
    double *got = opcase_values(&t->ops, run->backend, &elements, &err);
    ck_assert_msg(got, "%s: %s", t->name, err.text);
    ck_assert_int_eq(elements, t->elements);
    for (int o = 0; o < t->output_count; o++)
        for (int64_t i = cs_shape_elements(&t->outputs[o].shape); i > 0; i--, at++) {
            double expected = t->expected[at];
            bool exact = t->outputs[o].type != CS_TYPE_F32 || !isfinite(expected);
            ck_assert_msg(!exact || same_special(got[at], expected), "%s: %g, not %g at %lld",
                          t->name, got[at], expected, (long long)at);
            if (exact)
                continue;
            largest = fmax(largest, fabs(expected));
            worst = fmax(worst, fabs(got[at] - expected));
            ck_assert_msg(isfinite(got[at]), "%s: not finite", t->name);
        }
    free(got);
    return worst / largest;
}

static void finish_case(struct test_case *t, const struct golden_run *run)
{
    if (!t->output_count)
        return;
    t->ops.own = run->own;
    t->ops.precision = run->precision;
    add_node(t);
    check_shapes(t);
    double error = worst_error(t, run);
    ck_assert_msg(error <= run->tolerance, "%s on %s: error %.2e", t->name, run->backend, error);
    opcase_release(&t->ops);
}

static void begin_case(struct test_case *t, struct line *line)
{
    memset(t, 0, sizeof *t);
    t->name = word(line);
    opcase_init(&t->ops, (int)strtol(word(line), NULL, 10), 1);
    t->op = word(line);
}

int golden_run(const char *path, const struct golden_run *run)
{
    struct cs_buf text = {0};
    struct cs_err err = {0};
    static struct test_case t;
    int count = 0;
    t.output_count = 0;
    ck_assert_msg(cs_read_file(path, 1 << 22, &text, &err) == 0, "%s", err.text);
    for (char *at = text.data, *end; (end = strchr(at, '\n')); at = end + 1) {
        struct line line = {at};
        *end = '\0';
        char *kind = word(&line);
        if (strcmp(kind, "case") == 0) {
            finish_case(&t, run);
            begin_case(&t, &line);
            count++;
        } else if (strncmp(kind, "expect", 6) == 0) {
            read_expected(&t, type_of(kind), &line);
        } else if (strncmp(kind, "input", 5) == 0 || strncmp(kind, "weight", 6) == 0 ||
                   strcmp(kind, "list") == 0 || strcmp(kind, "omit") == 0) {
            read_operand(&t, kind, &line);
        } else {
            read_attribute(&t, kind, &line);
        }
    }
    finish_case(&t, run);
    cs_buf_release(&text);
    return count;
}
