// SPDX-License-Identifier: MIT
// Any bytes as an ONNX file, and what becomes of the graph: passes, shapes, reach, memory plan, and
// a run on ref and on cpu if it is small; the same of a part of it, as of a tile.
#include <stdlib.h>

#include "backend/cpu/backend_cpu.h"
#include "backend/ref/backend_ref.h"
#include "base/mem.h"
#include "graph/graph.h"
#include "model/onnx.h"

enum { MAX_NODES = 64, MAX_ELEMENTS = 2048 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_small(const struct cs_graph *graph)
{
    for (int v = 0; v < graph->value_count; v++)
        if (cs_shape_elements(&graph->values[v].shape) > MAX_ELEMENTS)
            return false;
    return graph->node_count <= MAX_NODES;
}

static void run(const struct cs_graph *graph, const struct cs_backend *backend)
{
    const struct cs_device_options options = {.threads = 1};
    struct cs_device *device = NULL;
    struct cs_network *network = NULL;
    struct cs_plan *plan = NULL;
    struct cs_slot *slot = NULL;
    const void *inputs[64];
    void *outputs[64];
    unsigned char *samples = cs_xcalloc(MAX_ELEMENTS, 8); // as float32 tiny, as integers any
    for (int i = 0; i < MAX_ELEMENTS * 8; i++)
        samples[i] = (unsigned char)(i % 8 < 1 ? i / 8 % 5 : 0);
    for (int i = 0; i < graph->input_count; i++)
        inputs[i] = samples;
    for (int i = 0; i < graph->output_count; i++)
        outputs[i] = cs_xcalloc(MAX_ELEMENTS, 8);
    if (backend->device_open(&options, &device, NULL) == 0 &&
        backend->network_open(device, &network, NULL) == 0 &&
        backend->plan_open(network, graph, CS_FP32, false, &plan, NULL) == 0 &&
        backend->slot_open(network, &plan, 1, &slot, NULL) == 0)
        backend->run_tensors(slot, plan, inputs, outputs, NULL);
    backend->slot_close(slot);
    backend->plan_close(plan);
    backend->network_close(network);
    backend->device_close(device);
    for (int i = 0; i < graph->output_count; i++)
        free(outputs[i]);
    free(samples);
}

// What is done with a concrete graph.
static void plan_and_run(struct cs_graph *graph)
{
    struct cs_memory_plan plan;
    struct cs_buf text = {0};
    if (cs_graph_run_passes(graph, CS_PASSES_FUSION, NULL) != 0)
        return;
    if (cs_memory_plan_make(graph, NULL, NULL, &plan, NULL) == 0)
        cs_memory_plan_release(&plan);
    cs_graph_dump(graph, &text);
    cs_buf_release(&text);
    if (is_small(graph)) {
        run(graph, &cs_backend_ref);
        run(graph, &cs_backend_cpu);
    }
}

// One square of the grid of strides, in the middle, as of a tile.
static void cut(const struct cs_graph *graph, const struct cs_shape *shapes,
                const struct cs_reach *reach)
{
    struct cs_graph concrete;
    struct cs_part part;
    int64_t origin[2];
    if (!graph->input_count || shapes[0].rank != 4 ||
        cs_graph_infer(graph, shapes, &concrete, NULL) < 0)
        return;
    for (int a = 0; a < 2; a++) {
        int64_t side = shapes[0].dim[2 + a];
        part.begin[a] = side / 2 / reach->stride * reach->stride;
        part.end[a] = part.begin[a] + reach->stride < side ? part.begin[a] + reach->stride : side;
    }
    if (cs_graph_cut(&concrete, &part, origin, NULL) == 0)
        plan_and_run(&concrete);
    cs_graph_release(&concrete);
}

static void use(struct cs_graph *graph)
{
    struct cs_shape shapes[64];
    struct cs_graph concrete;
    struct cs_reach reach;
    static const int64_t usual[] = {1, 3, 16, 16};
    if (graph->input_count > 64 || cs_graph_run_passes(graph, CS_PASSES_ALGEBRA, NULL) < 0)
        return;
    for (int i = 0; i < graph->input_count; i++) {
        shapes[i] = graph->values[graph->inputs[i]].shape;
        if (shapes[i].rank < 0)
            shapes[i] = (struct cs_shape){4, {1, 3, 16, 16}};
        for (int d = 0; d < shapes[i].rank; d++)
            if (shapes[i].dim[d] < 0)
                shapes[i].dim[d] = d < 4 ? usual[d] : 1;
    }
    if (cs_graph_infer(graph, shapes, &concrete, NULL) < 0)
        return;
    if (cs_graph_reach(&concrete, &reach, NULL) == 0 && reach.tile_safe)
        cut(graph, shapes, &reach);
    plan_and_run(&concrete);
    cs_graph_release(&concrete);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cs_graph graph;
    struct cs_onnx *file;
    if (cs_onnx_parse(data, size, NULL, &graph, &file, NULL) == 0) {
        use(&graph);
        cs_graph_release(&graph);
        cs_onnx_free(file);
    }
    return 0;
}
