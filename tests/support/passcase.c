// SPDX-License-Identifier: MIT
#include "passcase.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "graph/passes.h"

int passcase_begin(struct opcase *c, int opset, const struct cs_shape *shape)
{
    opcase_init(c, opset, 20);
    int x = opcase_input(c, shape);
    c->pending_count = 0;
    return x;
}

int passcase_scalar(struct opcase *c, const char *op, int of, float number)
{
    opcase_value(c, of);
    opcase_weight_data(c, SHAPE(1), (const float[]){number});
    opcase_node(c, op, 1);
    return opcase_last(c);
}

// Rewrites of one pass in the concrete graph; *nodes: the graph then, without the lines of its
// inputs and outputs.
static int run_pass(const struct opcase *c, const char *name, struct cs_buf *nodes)
{
    struct cs_graph concrete;
    struct cs_err err = {0};
    struct cs_buf text = {0};
    int count;
    ck_assert_msg(cs_graph_infer(&c->graph, c->shapes, &concrete, &err) == 0, "%s", err.text);
    const struct cs_pass *pass = cs_passes;
    while (pass->name && strcmp(pass->name, name) != 0)
        pass++;
    ck_assert_ptr_nonnull(pass->name);
    ck_assert_msg(cs_pass_run(pass, &concrete, &count, &err) == 0, "%s", err.text);
    cs_graph_dump(&concrete, &text);
    cs_buf_addf(nodes, "%s", strchr(strchr(text.data, '\n') + 1, '\n') + 1);
    cs_buf_release(&text);
    cs_graph_release(&concrete);
    return count;
}

static void expect_same_results(struct opcase *c)
{
    struct cs_err err = {0};
    struct opcase plain = *c;
    int64_t a, b;
    c->fused = true;
    float *before = opcase_run(&plain, "ref", &a, &err), *after = opcase_run(c, "ref", &b, &err);
    ck_assert_msg(before && after, "%s", err.text);
    ck_assert_int_eq(a, b);
    for (int64_t i = 0; i < a; i++)
        ck_assert_double_eq_tol(before[i], after[i], 2e-6);
    free(before);
    free(after);
}

void passcase_expect(struct opcase *c, const char *pass, int rewrites, const char *nodes)
{
    struct cs_buf got = {0};
    ck_assert_int_eq(run_pass(c, pass, &got), rewrites);
    ck_assert_str_eq(got.data, nodes);
    cs_buf_release(&got);
    expect_same_results(c);
    opcase_release(c);
}

void passcase_leaves(struct opcase *c, const char *pass)
{
    struct cs_buf nodes = {0};
    int rewrites = run_pass(c, pass, &nodes);
    ck_assert_msg(rewrites == 0, "%s rewrote this:\n%s", pass, nodes.data);
    cs_buf_release(&nodes);
    expect_same_results(c);
    opcase_release(c);
}
