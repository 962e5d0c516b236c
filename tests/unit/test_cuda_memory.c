// SPDX-License-Identifier: MIT
// Where activations lie on a CUDA device. Networks are walked through with a tag for every element:
// what a node makes gets new tags, what moves keeps them, and every read must find the tags that
// its value had when it was made, whoever shares the memory.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/memory.h"
#include "base/mem.h"
#include "graph/params.h"
#include "model/onnx.h"
#include "opcase.h"
#include "suite.h"

struct walk {
    const struct cs_graph *graph;
    struct cs_cuda_memory memory;
    uint64_t *arena; // a tag a byte
    uint64_t **tags; // of the elements of each value, in ONNX's order
    uint64_t next;
};

static int64_t elements(const struct walk *w, int value)
{
    return cs_shape_elements(&w->graph->values[value].shape);
}

static size_t address(const struct walk *w, int value, int64_t index)
{
    const struct cs_value *v = &w->graph->values[value];
    const struct cs_cuda_place *place = &w->memory.places[value];
    int64_t at = 0;
    for (int d = v->shape.rank - 1; d >= 0; d--) {
        at += index % v->shape.dim[d] * place->stride[d];
        index /= v->shape.dim[d];
    }
    return place->offset + (size_t)at * cs_cuda_type_bytes(cs_cuda_type_of(v, w->memory.real));
}

static bool has_place(const struct walk *w, int value)
{
    return value >= 0 && !w->graph->values[value].data && elements(w, value) > 0 &&
           w->memory.places[value].offset != SIZE_MAX;
}

static void write_value(struct walk *w, int value)
{
    size_t bytes = cs_cuda_type_bytes(cs_cuda_type_of(&w->graph->values[value], w->memory.real));
    for (int64_t i = 0; i < elements(w, value); i++)
        for (size_t b = 0; b < bytes; b++) {
            ck_assert_uint_lt(address(w, value, i) + b, w->memory.arena_bytes);
            w->arena[address(w, value, i) + b] = w->tags[value][i];
        }
}

static void read_value(const struct walk *w, int value, const struct cs_node *node)
{
    for (int64_t i = 0; has_place(w, value) && i < elements(w, value); i++)
        ck_assert_msg(w->arena[address(w, value, i)] == w->tags[value][i],
                      "%s (%s) does not find element %lld of %s", node->name, node->op,
                      (long long)i, w->graph->values[value].name);
}

// The tags of a node's first output that its operator moves from its inputs.
static void move_tags(struct walk *w, const struct cs_node *node)
{
    int out = node->outputs[0];
    const struct cs_shape *shape = &w->graph->values[out].shape;
    static const char *const same[] = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        if (strcmp(node->op, same[i]) == 0 && w->tags[node->inputs[0]])
            memcpy(w->tags[out], w->tags[node->inputs[0]],
                   (size_t)elements(w, out) * sizeof **w->tags);
    int axis;
    if (strcmp(node->op, "Concat") != 0 || cs_node_axis(node, 0, shape->rank, &axis, NULL) != 0)
        return;
    int64_t inner = 1, outer = 1, first = 0;
    for (int d = 0; d < shape->rank; d++)
        *(d < axis ? &outer : &inner) *= d == axis ? 1 : shape->dim[d];
    for (int k = 0; k < node->input_count; k++) {
        int in = node->inputs[k];
        int64_t count = w->graph->values[in].shape.dim[axis];
        for (int64_t o = 0; w->tags[in] && o < outer; o++)
            memcpy(w->tags[out] + (o * shape->dim[axis] + first) * inner,
                   w->tags[in] + o * count * inner, (size_t)(count * inner) * sizeof **w->tags);
        first += count;
    }
}

static void make_value(struct walk *w, int value)
{
    w->tags[value] = cs_xcalloc((size_t)elements(w, value) + 1, sizeof **w->tags);
    for (int64_t i = 0; i < elements(w, value); i++)
        w->tags[value][i] = ++w->next;
}

static void run_node(struct walk *w, const struct cs_node *node)
{
    for (int i = 0; i < node->input_count; i++)
        read_value(w, node->inputs[i], node);
    read_value(w, node->fusion.add, node);
    for (int i = 0; i < node->output_count; i++) {
        int out = node->outputs[i];
        if (out < 0 || !has_place(w, out))
            continue;
        make_value(w, out);
        if (i == 0)
            move_tags(w, node);
        if (!w->memory.places[out].view)
            write_value(w, out);
        read_value(w, out, node); // a view is there already, and a slice
    }
}

// Bytes of the arena; walks through the graph unless it is too large for that.
static size_t walk_graph(const struct cs_graph *graph, enum cs_precision precision, bool walk)
{
    struct cs_err err = {0};
    struct walk w = {.graph = graph};
    ck_assert_msg(cs_cuda_memory_plan(graph, precision, &w.memory, &err) == 0, "%s", err.text);
    size_t bytes = w.memory.arena_bytes;
    w.arena = walk ? cs_xcalloc(bytes + 1, sizeof *w.arena) : NULL;
    w.tags = cs_xcalloc((size_t)graph->value_count + 1, sizeof *w.tags);
    for (int v = 0; v < graph->value_count; v++)
        if (has_place(&w, v) && graph->values[v].shape.rank == 4 && elements(&w, v) % 8 == 0)
            ck_assert_uint_eq(w.memory.places[v].offset % 16, 0);
    for (int i = 0; walk && i < graph->input_count; i++) {
        make_value(&w, graph->inputs[i]);
        write_value(&w, graph->inputs[i]);
    }
    for (int n = 0; walk && n < graph->node_count; n++)
        run_node(&w, &graph->nodes[n]);
    static const struct cs_node end = {.op = "output", .name = "output"};
    for (int i = 0; walk && i < graph->output_count; i++)
        read_value(&w, graph->outputs[i], &end);
    for (int v = 0; v < graph->value_count; v++)
        free(w.tags[v]);
    free(w.tags);
    free(w.arena);
    cs_cuda_memory_release(&w.memory);
    return bytes;
}

// ---- Networks of the package folder ------------------------------------------------------

static size_t walk_file(const char *path, int batch, int side, enum cs_precision precision,
                        bool walk)
{
    struct cs_graph graph, concrete;
    struct cs_onnx *file;
    struct cs_err err = {0};
    ck_assert_msg(cs_onnx_read(path, &graph, &file, &err) == 0, "%s", err.text);
    struct cs_shape shape = graph.values[graph.inputs[0]].shape;
    shape.dim[0] = batch;
    shape.dim[2] = shape.dim[3] = side;
    ck_assert_msg(cs_graph_run_passes(&graph, CS_PASSES_ALGEBRA, &err) == 0 &&
                      cs_graph_infer(&graph, &shape, &concrete, &err) == 0 &&
                      cs_graph_run_passes(&concrete, CS_PASSES_FUSION, &err) == 0,
                  "%s", err.text);
    size_t bytes = walk_graph(&concrete, precision, walk);
    cs_graph_release(&concrete);
    cs_graph_release(&graph);
    cs_onnx_free(file);
    return bytes;
}

static const char *model_file(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s/%s.onnx", getenv("CELLSTREAM_MODEL_PATH"), name, name);
    return path;
}

START_TEST(bundled_networks)
{
    static const char *const names[] = {"nuclei", "spheroid"};
    for (int p = 0; p < 2; p++)
        walk_file(model_file(names[_i]), 2, 32, p ? CS_FP16 : CS_FP32, true);
}
END_TEST

// 16 bits take half, but for what is padded and aligned.
START_TEST(half_takes_half)
{
    static const char *const names[] = {"nuclei", "spheroid"};
    const char *path = model_file(names[_i]);
    size_t full = walk_file(path, 1, 512, CS_FP32, false);
    size_t half = walk_file(path, 1, 512, CS_FP16, false);
    ck_assert_uint_le(half * 100, full * 55);
    ck_assert_uint_eq(walk_file(path, 1, 512, CS_TF32, false), full);
}
END_TEST

// ---- Shapes of sharing -------------------------------------------------------------------

// conv(x) -> a; a is read twice; a and its norm are joined, and joined again with a third.
START_TEST(joined_twice)
{
    struct opcase c;
    struct cs_graph g;
    struct cs_err err = {0};
    opcase_init(&c, 17, 3);
    int in = opcase_input(&c, SHAPE(2, 8, 6, 5));
    opcase_weight(&c, SHAPE(16, 8, 1, 1));
    opcase_node(&c, "Conv", 1);
    int a = c.graph.value_count - 1;
    opcase_value(&c, a);
    opcase_weight(&c, SHAPE(16));
    opcase_weight(&c, SHAPE(16));
    opcase_node(&c, "InstanceNormalization", 1);
    int norm = c.graph.value_count - 1;
    opcase_value(&c, a);
    opcase_value(&c, norm);
    cs_node_add_int(&c.graph, opcase_node(&c, "Concat", 1), "axis", 1);
    int first = c.graph.value_count - 1;
    opcase_value(&c, first);
    opcase_node(&c, "Sigmoid", 1);
    int sigmoid = c.graph.value_count - 1;
    opcase_value(&c, in);
    opcase_weight(&c, SHAPE(8, 8, 1, 1));
    opcase_node(&c, "Conv", 1);
    int third = c.graph.value_count - 1;
    opcase_value(&c, third);
    opcase_value(&c, first);
    opcase_value(&c, third);
    opcase_value(&c, sigmoid);
    cs_node_add_int(&c.graph, opcase_node(&c, "Concat", 1), "axis", -3);
    ck_assert_msg(cs_graph_infer(&c.graph, c.shapes, &g, &err) == 0, "%s", err.text);
    if (_i & 1)
        ck_assert_int_eq(cs_graph_run_passes(&g, CS_PASSES_FUSION, &err), 0);
    walk_graph(&g, _i & 2 ? CS_FP16 : CS_FP32, true);
    cs_graph_release(&g);
    opcase_release(&c);
}
END_TEST

// A concatenation that is written over must not take what others still read along.
START_TEST(joined_and_overwritten)
{
    struct opcase c;
    struct cs_graph g;
    struct cs_err err = {0};
    opcase_init(&c, 17, 3);
    opcase_input(&c, SHAPE(1, 8, 4, 4));
    opcase_weight(&c, SHAPE(8, 8, 1, 1));
    opcase_node(&c, "Conv", 1);
    int a = c.graph.value_count - 1;
    opcase_value(&c, a);
    opcase_node(&c, "Exp", 1);
    int e = c.graph.value_count - 1;
    opcase_value(&c, a);
    opcase_value(&c, e);
    cs_node_add_int(&c.graph, opcase_node(&c, "Concat", 1), "axis", 1);
    opcase_value(&c, c.graph.value_count - 1);
    opcase_node(&c, "Relu", 1);
    int relu = c.graph.value_count - 1;
    opcase_value(&c, relu);
    opcase_weight(&c, SHAPE(8, 16, 1, 1));
    opcase_node(&c, "Conv", 1);
    opcase_value(&c, c.graph.value_count - 1);
    opcase_value(&c, a);
    opcase_node(&c, "Add", 1);
    ck_assert_msg(cs_graph_infer(&c.graph, c.shapes, &g, &err) == 0, "%s", err.text);
    walk_graph(&g, CS_FP32, true);
    cs_graph_release(&g);
    opcase_release(&c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cuda memory");
    TCase *core = tcase_create("core");
    tcase_add_loop_test(core, bundled_networks, 0, 2);
    tcase_add_loop_test(core, half_takes_half, 0, 2);
    tcase_add_loop_test(core, joined_twice, 0, 4);
    tcase_add_test(core, joined_and_overwritten);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
