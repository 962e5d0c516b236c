// SPDX-License-Identifier: MIT
// Any bytes as an ONNX file, and what becomes of the graph: passes, shapes, reach, memory plan.
#include "graph/graph.h"
#include "model/onnx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(struct cs_graph *graph)
{
    struct cs_shape shapes[64];
    struct cs_graph concrete;
    struct cs_memory_plan plan;
    struct cs_reach reach;
    struct cs_buf text = {0};
    static const int64_t usual[] = {1, 3, 32, 32};
    if (graph->input_count > 64 || cs_graph_run_passes(graph, CS_PASSES_ALGEBRA, NULL) < 0)
        return;
    for (int i = 0; i < graph->input_count; i++) {
        shapes[i] = graph->values[graph->inputs[i]].shape;
        if (shapes[i].rank < 0)
            shapes[i] = (struct cs_shape){4, {1, 3, 32, 32}};
        for (int d = 0; d < shapes[i].rank; d++)
            if (shapes[i].dim[d] < 0)
                shapes[i].dim[d] = d < 4 ? usual[d] : 1;
    }
    if (cs_graph_infer(graph, shapes, &concrete, NULL) < 0)
        return;
    if (cs_graph_run_passes(&concrete, CS_PASSES_FUSION, NULL) == 0) {
        cs_graph_reach(&concrete, &reach, NULL);
        if (cs_memory_plan_make(&concrete, NULL, NULL, &plan, NULL) == 0)
            cs_memory_plan_release(&plan);
        cs_graph_dump(&concrete, &text);
        cs_buf_release(&text);
    }
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
