// SPDX-License-Identifier: MIT
// graph/graph.h: building, finishing, attributes, shapes as text, and the memory plan.
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "opcase.h"
#include "suite.h"

START_TEST(core_build)
{
    struct cs_graph g;
    struct cs_err err = {0};
    cs_graph_init(&g, 17);
    int x = cs_graph_add_value(&g, "x", CS_TYPE_F32, SHAPE(1, 3, -1, -1));
    int y = cs_graph_add_value(&g, "y", CS_TYPE_NONE, NULL);
    int unread = cs_graph_add_value(&g, "unread", CS_TYPE_NONE, NULL);
    cs_graph_add_input(&g, x);
    cs_graph_add_node(&g, "Relu", "a", &x, 1, &y, 1);
    struct cs_node *node = cs_graph_add_node(&g, "Neg", "b", &x, 1, &unread, 1);
    cs_node_add_ints(&g, node, "list", (int64_t[]){4, 5}, 2);
    cs_graph_add_output(&g, y);
    ck_assert_int_eq(g.node_count, 2);
    ck_assert_int_eq(cs_graph_finish(&g, &err), 0);
    ck_assert_int_eq(g.node_count, 1); // nobody reads "unread"
    ck_assert_int_eq(g.values[x].uses, 1);
    ck_assert_int_eq(g.values[y].uses, 1);
    ck_assert_int_eq(g.values[y].producer, 0);
    ck_assert_int_eq(g.values[unread].producer, -1);
    struct cs_buf text = {0};
    cs_graph_dump(&g, &text);
    ck_assert_str_eq(text.data, "input x:1x3x?x?\noutput y:unknown:none\n"
                                "Relu x:1x3x?x? -> y:unknown:none\n");
    cs_buf_release(&text);
    cs_graph_release(&g);
    cs_graph_release(&g); // accepts a zeroed struct
}
END_TEST

START_TEST(core_attributes)
{
    struct opcase c;
    struct cs_err err = {0};
    int64_t two[2];
    opcase_init(&c, 17, 1);
    opcase_input(&c, SHAPE(1, 1, 4, 4));
    struct cs_node *node = opcase_node(&c, "MaxPool", 1);
    cs_node_add_int(&c.graph, node, "i", -7);
    cs_node_add_float(&c.graph, node, "f", 0.5f);
    cs_node_add_string(&c.graph, node, "s", "text");
    cs_node_add_ints(&c.graph, node, "ints", (int64_t[]){1, 2, 3}, 3);
    ck_assert_int_eq(cs_node_int(node, "i", 0), -7);
    ck_assert_int_eq(cs_node_int(node, "none", 9), 9);
    ck_assert_int_eq(cs_node_int(node, "f", 9), 9); // of another kind
    ck_assert(cs_node_float(node, "f", 0) == 0.5f);
    ck_assert_str_eq(cs_node_string(node, "s", ""), "text");
    ck_assert_int_eq(cs_node_ints(node, "none", 2, 4, two, &err), 0);
    ck_assert_int_eq(two[1], 4);
    ck_assert_int_eq(cs_node_ints(node, "ints", 2, 4, two, &err), -1);
    ck_assert_str_eq(err.text, "node MaxPool (MaxPool): attribute ints must have 2 integers");
    opcase_release(&c);
}
END_TEST

START_TEST(core_shapes)
{
    char text[64];
    cs_shape_text(SHAPE(1, 64, -1, 8), text, sizeof text);
    ck_assert_str_eq(text, "1x64x?x8");
    cs_shape_text(&(struct cs_shape){.rank = 0}, text, sizeof text);
    ck_assert_str_eq(text, "scalar");
    ck_assert_int_eq(cs_shape_elements(SHAPE(2, 3, 4)), 24);
    ck_assert_int_eq(cs_shape_elements(SHAPE(2, -1)), -1);
    ck_assert_int_eq(cs_shape_elements(SHAPE(INT64_MAX / 2, 3)), -1);
    ck_assert_int_eq(cs_shape_elements(SHAPE(0, INT64_MAX / 2, 3)), -1);
    ck_assert_int_eq(cs_shape_elements(SHAPE(2, 0, 3)), 0);
    ck_assert_int_eq(cs_shape_elements(&(struct cs_shape){.rank = 0}), 1);
    ck_assert(!cs_shape_equal(SHAPE(2, 3), SHAPE(2, 3, 1)));
    ck_assert(cs_shape_equal(SHAPE(2, 3), SHAPE(2, 3)));
}
END_TEST

static void expect_broken(struct cs_graph *g, const char *message)
{
    struct cs_err err = {0};
    ck_assert_int_eq(cs_graph_finish(g, &err), -1);
    ck_assert_int_eq(err.code, CS_EMODEL);
    ck_assert_str_eq(err.text, message);
    cs_graph_release(g);
}

START_TEST(limits_order)
{
    struct cs_graph g;
    cs_graph_init(&g, 17);
    int x = cs_graph_add_value(&g, "x", CS_TYPE_F32, NULL);
    int y = cs_graph_add_value(&g, "y", CS_TYPE_F32, NULL);
    int z = cs_graph_add_value(&g, "z", CS_TYPE_F32, NULL);
    cs_graph_add_input(&g, x);
    cs_graph_add_node(&g, "Relu", "late", &z, 1, &y, 1);
    cs_graph_add_node(&g, "Relu", "early", &x, 1, &z, 1);
    cs_graph_add_output(&g, y);
    expect_broken(&g, "node late (Relu): input \"z\" is made by no earlier node");

    cs_graph_init(&g, 17);
    x = cs_graph_add_value(&g, "x", CS_TYPE_F32, NULL);
    y = cs_graph_add_value(&g, "y", CS_TYPE_F32, NULL);
    cs_graph_add_input(&g, x);
    cs_graph_add_node(&g, "Relu", "a", &x, 1, &y, 1);
    cs_graph_add_node(&g, "Neg", "b", &x, 1, &y, 1);
    cs_graph_add_output(&g, y);
    expect_broken(&g, "node b (Neg): output \"y\" is made twice");

    cs_graph_init(&g, 17);
    x = cs_graph_add_value(&g, "x", CS_TYPE_F32, NULL);
    cs_graph_add_output(&g, x);
    expect_broken(&g, "output \"x\" is made by no node");

    cs_graph_init(&g, 17);
    x = cs_graph_add_value(&g, "x", CS_TYPE_F32, NULL);
    y = cs_graph_add_value(&g, "y", CS_TYPE_F32, NULL);
    cs_graph_add_input(&g, x);
    cs_graph_add_node(&g, "Relu", "a", &x, 1, &y, 1)->inputs[0] = 77;
    expect_broken(&g, "node a (Relu): input 0 does not exist");
}
END_TEST

// ---- The memory plan -----------------------------------------------------------------------

// A random chain with skips: every node reads up to three earlier values.
static void random_graph(struct opcase *c, int nodes)
{
    int made[64];
    made[0] = opcase_input(c, SHAPE(1, 1, 4, opcase_pick(c, 1, 40)));
    c->pending_count = 0;
    for (int n = 1; n < nodes; n++) {
        for (int64_t k = opcase_pick(c, 1, 3); k > 0; k--)
            opcase_value(c, made[opcase_pick(c, n > 6 ? n - 6 : 0, n - 1)]);
        opcase_node(c, "Sum", 1);
        made[n] = c->graph.outputs[0];
    }
}

static size_t odd_size(const struct cs_graph *graph, int value, void *context)
{
    (void)graph;
    return value % 7 == *(int *)context ? 0 : (size_t)(value * 37 % 501 + 1);
}

// First and last node at which a value must be intact.
static void life(const struct cs_graph *g, int value, int *first, int *last)
{
    *first = g->values[value].producer;
    *last = *first;
    for (int n = 0; n < g->node_count; n++)
        for (int i = 0; i < g->nodes[n].input_count; i++)
            if (g->nodes[n].inputs[i] == value)
                *last = n;
    for (int i = 0; i < g->output_count; i++)
        if (g->outputs[i] == value)
            *last = g->node_count;
    if (*first < 0)
        *first = 0;
}

static void check_plan(const struct cs_graph *g, const struct cs_memory_plan *plan)
{
    for (int a = 0; a < g->value_count; a++) {
        int a0, a1, b0, b1;
        if (plan->offset[a] == SIZE_MAX)
            continue;
        ck_assert_uint_eq(plan->offset[a] % 64, 0);
        ck_assert_uint_le(plan->offset[a] + plan->bytes[a], plan->arena_bytes);
        life(g, a, &a0, &a1);
        for (int b = 0; b < a; b++) {
            if (plan->offset[b] == SIZE_MAX)
                continue;
            life(g, b, &b0, &b1);
            bool together = a0 <= b1 && b0 <= a1;
            bool apart = plan->offset[a] + plan->bytes[a] <= plan->offset[b] ||
                         plan->offset[b] + plan->bytes[b] <= plan->offset[a];
            ck_assert_msg(!together || apart, "values %d and %d overlap", a, b);
        }
    }
}

START_TEST(core_plan)
{
    struct opcase c;
    struct cs_graph concrete;
    struct cs_memory_plan plan;
    struct cs_err err = {0};
    int residue = _i % 7;
    opcase_init(&c, 17, (uint64_t)_i);
    random_graph(&c, 40);
    ck_assert_msg(cs_graph_infer(&c.graph, c.shapes, &concrete, &err) == 0, "%s", err.text);
    ck_assert_int_eq(cs_memory_plan_make(&concrete, odd_size, &residue, &plan, &err), 0);
    check_plan(&concrete, &plan);
    size_t total = 0;
    for (int v = 0; v < concrete.value_count; v++) {
        ck_assert_uint_eq(plan.bytes[v] == 0, plan.offset[v] == SIZE_MAX);
        total += plan.bytes[v];
    }
    ck_assert_uint_lt(plan.arena_bytes, total); // values share memory
    cs_memory_plan_release(&plan);
    cs_memory_plan_release(&plan);
    cs_graph_release(&concrete);
    opcase_release(&c);
}
END_TEST

// x -> a -> b -> c: two values live at a time, so that two places do for four values.
START_TEST(core_plan_chain)
{
    struct opcase c;
    struct cs_graph concrete;
    struct cs_memory_plan plan;
    struct cs_err err = {0};
    opcase_init(&c, 17, 1);
    int x = opcase_input(&c, SHAPE(1, 1, 16, 16));
    for (int i = 0; i < 3; i++) {
        c.pending_count = 0;
        opcase_value(&c, x);
        opcase_node(&c, "Relu", 1);
        x = c.graph.outputs[0];
    }
    ck_assert_int_eq(cs_graph_infer(&c.graph, c.shapes, &concrete, &err), 0);
    ck_assert_int_eq(cs_memory_plan_make(&concrete, NULL, NULL, &plan, &err), 0);
    check_plan(&concrete, &plan);
    ck_assert_uint_eq(plan.arena_bytes, 2 * 16 * 16 * sizeof(float));
    cs_memory_plan_release(&plan);
    cs_graph_release(&concrete);
    opcase_release(&c);
}
END_TEST

// x -> a -> Concat(x, a) = b -> c -> d -> Add(d, b): where b has no memory, x and a live to the
// end.
START_TEST(core_plan_none)
{
    struct opcase c;
    struct cs_graph g;
    struct cs_memory_plan plan;
    struct cs_err err = {0};
    opcase_init(&c, 17, 1);
    int x = opcase_input(&c, SHAPE(1, 1, 16, 16));
    opcase_node(&c, "Relu", 1);
    int a = c.graph.outputs[0];
    opcase_value(&c, x);
    opcase_value(&c, a);
    cs_node_add_int(&c.graph, opcase_node(&c, "Concat", 1), "axis", 1);
    int b = c.graph.outputs[0], last = b;
    for (int i = 0; i < 2; i++) {
        opcase_value(&c, last);
        opcase_node(&c, "Relu", 1);
        last = c.graph.outputs[0];
    }
    opcase_value(&c, last);
    opcase_value(&c, b);
    opcase_node(&c, "Add", 1);
    ck_assert_msg(cs_graph_infer(&c.graph, c.shapes, &g, &err) == 0, "%s", err.text);
    int *share = calloc((size_t)g.value_count, sizeof *share);
    for (int v = 0; v < g.value_count; v++)
        share[v] = v == b ? CS_MEMORY_NONE : v;
    ck_assert_int_eq(cs_memory_plan_make_shared(&g, NULL, NULL, share, NULL, &plan, &err), 0);
    ck_assert(plan.offset[b] == SIZE_MAX && plan.bytes[b] == 0);
    for (int v = 0; v < g.value_count; v++) {
        if (v == b)
            continue;
        ck_assert(v == x || plan.offset[v] + plan.bytes[v] <= plan.offset[x] ||
                  plan.offset[x] + plan.bytes[x] <= plan.offset[v]);
        ck_assert(v == a || plan.offset[v] + plan.bytes[v] <= plan.offset[a] ||
                  plan.offset[a] + plan.bytes[a] <= plan.offset[v]);
    }
    free(share);
    cs_memory_plan_release(&plan);
    cs_graph_release(&g);
    opcase_release(&c);
}
END_TEST

// A chain x -> a -> b -> c takes two tensors, and four where all its nodes run side by side.
START_TEST(core_plan_times)
{
    struct opcase c;
    struct cs_graph g;
    struct cs_memory_plan plan;
    struct cs_err err = {0};
    const int times[] = {1, 1, 1};
    opcase_init(&c, 17, 1);
    opcase_input(&c, SHAPE(1, 1, 16, 16));
    for (int i = 0; i < 3; i++) {
        if (i > 0)
            opcase_value(&c, c.graph.outputs[0]);
        opcase_node(&c, "Relu", 1);
    }
    ck_assert_msg(cs_graph_infer(&c.graph, c.shapes, &g, &err) == 0, "%s", err.text);
    ck_assert_int_eq(cs_memory_plan_make_shared(&g, NULL, NULL, NULL, times, &plan, &err), 0);
    check_plan(&g, &plan);
    ck_assert_uint_eq(plan.arena_bytes, 4 * 16 * 16 * sizeof(float));
    cs_memory_plan_release(&plan);
    cs_graph_release(&g);
    opcase_release(&c);
}
END_TEST

// ---- Plans of values whose sizes and lives are given -----------------------------------------

enum { LINE = 64 }; // bytes that places are multiples of

// A graph of the given nodes, one a time, that nothing runs.
struct schedule {
    struct cs_graph graph;
    int lines[16]; // of each value; 0: it needs no memory
};

static size_t size_in_lines(const struct cs_graph *graph, int value, void *context)
{
    (void)graph;
    return (size_t)((const struct schedule *)context)->lines[value] * LINE;
}

static int add_lines(struct schedule *s, int lines)
{
    int value = cs_graph_add_value(&s->graph, "v", CS_TYPE_F32, SHAPE(1));
    s->lines[value] = lines;
    return value;
}

// A place that holds one value after the other is the smallest that fits: neither the first, nor
// the last.
START_TEST(core_plan_gaps)
{
    enum { COUNT = 11, TIMES = 8 };
    static const struct {
        int lines, first, last, place; // of the plan
    } values[COUNT] = {
        // Free at time 2: lines 6 to 8 below the third, 15 to 21.
        {8, 0, 1, 0},
        {7, 0, 2, 8},
        {6, 2, 3, 0},
        {6, 0, 1, 15},
        {5, 0, 2, 21},
        {2, 2, 3, 6},
        // At time 6: lines 0 to 8, 15 to 21.
        {8, 4, 5, 0},
        {7, 4, 6, 8},
        {6, 4, 5, 15},
        {5, 4, 6, 21},
        {4, 6, 7, 15},
    };
    struct schedule s = {.lines = {0}};
    struct cs_memory_plan plan;
    struct cs_err err = {0};
    cs_graph_init(&s.graph, 17);
    for (int v = 0; v < COUNT; v++)
        add_lines(&s, values[v].lines);
    for (int t = 0; t < TIMES; t++) {
        int in[COUNT], out[COUNT], reads = 0, makes = 0;
        for (int v = 0; v < COUNT; v++) {
            if (values[v].last == t)
                in[reads++] = v;
            if (values[v].first == t)
                out[makes++] = v;
        }
        cs_graph_add_node(&s.graph, "Any", "any", in, reads, out, makes);
    }
    ck_assert_int_eq(cs_memory_plan_make(&s.graph, size_in_lines, &s, &plan, &err), 0);
    for (int v = 0; v < COUNT; v++)
        ck_assert_uint_eq(plan.offset[v], (size_t)values[v].place * LINE);
    ck_assert_uint_eq(plan.arena_bytes, 26 * LINE);
    cs_memory_plan_release(&plan);
    cs_graph_release(&s.graph);
}
END_TEST

static bool overlap(const struct cs_memory_plan *plan, int a, int b)
{
    return plan->offset[a] < plan->offset[b] + plan->bytes[b] &&
           plan->offset[b] < plan->offset[a] + plan->bytes[a];
}

// What must be intact at times that no reader of its own tells.
START_TEST(core_plan_lives)
{
    struct schedule s = {.lines = {0}};
    struct cs_memory_plan plan;
    struct cs_err err = {0};
    cs_graph_init(&s.graph, 17);
    int x = add_lines(&s, 0), late = add_lines(&s, 2), early = add_lines(&s, 2);
    int part = add_lines(&s, 1), whole = add_lines(&s, 2), added = add_lines(&s, 3);
    int none = add_lines(&s, 2), between = add_lines(&s, 2), last = add_lines(&s, 2);
    cs_graph_add_input(&s.graph, x);
    cs_graph_add_input(&s.graph, late); // read at time 2 for the first time
    cs_graph_add_output(&s.graph, last);
    cs_graph_add_node(&s.graph, "Any", "0", &x, 1, (int[]){early, part}, 2);
    cs_graph_add_node(&s.graph, "Any", "1", &early, 1, &added, 1);
    cs_graph_add_node(&s.graph, "Any", "2", (int[]){part, late}, 2, &whole, 1);
    struct cs_node *node = cs_graph_add_node(&s.graph, "Any", "3", &whole, 1, &none, 1);
    node->fusion.add = added;
    cs_graph_add_node(&s.graph, "Any", "4", &x, 1, &between, 1);
    cs_graph_add_node(&s.graph, "Any", "5", (int[]){none, between}, 2, &last, 1);
    // `part` is made where `whole` will be; `none` is worked out by who reads it.
    int share[] = {x, late, early, whole, whole, added, CS_MEMORY_NONE, between, last};
    ck_assert_int_eq(
        cs_memory_plan_make_shared(&s.graph, size_in_lines, &s, share, NULL, &plan, &err), 0);
    ck_assert_uint_eq(plan.offset[part], plan.offset[whole]);
    ck_assert(plan.offset[none] == SIZE_MAX);
    ck_assert(!overlap(&plan, early, late));
    ck_assert(!overlap(&plan, early, whole));
    ck_assert(!overlap(&plan, between, whole));
    ck_assert(!overlap(&plan, between, added));
    ck_assert(!overlap(&plan, last, added));
    cs_memory_plan_release(&plan);
    cs_graph_release(&s.graph);
}
END_TEST

static size_t huge_size(const struct cs_graph *graph, int value, void *context)
{
    (void)graph, (void)value, (void)context;
    return SIZE_MAX / 8;
}

START_TEST(limits_plan)
{
    struct opcase c;
    struct cs_graph concrete;
    struct cs_memory_plan plan;
    struct cs_err err = {0};
    opcase_init(&c, 17, 3);
    random_graph(&c, 20);
    ck_assert_int_eq(cs_graph_infer(&c.graph, c.shapes, &concrete, &err), 0);
    ck_assert_int_eq(cs_memory_plan_make(&concrete, huge_size, NULL, &plan, &err), -1);
    ck_assert_int_eq(err.code, CS_ENOMEM);
    cs_graph_release(&concrete);
    opcase_release(&c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("graph");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_test(core, core_build);
    tcase_add_test(core, core_attributes);
    tcase_add_test(core, core_shapes);
    tcase_add_loop_test(core, core_plan, 0, 20);
    tcase_add_test(core, core_plan_chain);
    tcase_add_test(core, core_plan_none);
    tcase_add_test(core, core_plan_times);
    tcase_add_test(core, core_plan_gaps);
    tcase_add_test(core, core_plan_lives);
    tcase_add_test(limits, limits_order);
    tcase_add_test(limits, limits_plan);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
