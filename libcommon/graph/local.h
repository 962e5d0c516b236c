// SPDX-License-Identifier: MIT
// What a pixel of a node's output reads of the planes that the node works on: the same window at
// every place, for operators that are local. Of a concrete graph. reach.c follows the windows from
// the input on, cut.c from the outputs back.
#ifndef CS_GRAPH_LOCAL_H
#define CS_GRAPH_LOCAL_H

#include "graph/graph.h"

// Along height or width: pixel o reads pixels floor((o * num + low) / den) to
// floor((o * num + high) / den), as far as there are such, and is num / den of them wide.
struct cs_local_axis {
    int64_t num, den, low, high;
    int64_t edge; // a pixel that reads beyond the plane's end reads this many from the end inwards
};

struct cs_local {
    struct cs_local_axis axis[2]; // height, width
    bool local; // no more than that is read, and no place is different; but for the plane's ends
    bool plane; // the output has a plane, whose pixels are as wide as `axis` says
    bool joins; // every operand with a plane is read so; else the first alone has one
    // Of a plane that is cut at a multiple of num pixels, the node makes the part of its output
    // from there on, as long as the window stays inside of what is left.
    bool cuttable;
};
struct cs_local cs_node_local(const struct cs_graph *graph, const struct cs_node *node);

static inline int64_t cs_floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

#endif
