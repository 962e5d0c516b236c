// SPDX-License-Identifier: MIT
// Operators that only move elements, on dense row-major tensors of any type: used to fold
// constants and by backends on the CPU. Identity, Dropout, Reshape, Flatten, Squeeze, Unsqueeze,
// Transpose, Concat, Split, Slice, Gather, Pad, Expand, Tile, DepthToSpace, SpaceToDepth.
#ifndef CS_GRAPH_MOVE_H
#define CS_GRAPH_MOVE_H

#include "graph/graph.h"

bool cs_move_knows(const char *op);
// The node went through shape inference. inputs[i] and outputs[i] are those of the node; inputs
// that are parameters (shapes, axes, indices) are read from the graph's constants. Allocates
// nothing, cannot fail, gives the same bytes for any number of threads.
void cs_move_run(const struct cs_graph *graph, const struct cs_node *node,
                 const void *const *inputs, void *const *outputs);

#endif
