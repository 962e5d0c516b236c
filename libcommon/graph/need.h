// SPDX-License-Identifier: MIT
// What of every value the pixels of an output depend on, from the outputs back, by the windows of
// local.h. Of a concrete graph that no pass for fusions has seen. An operator that is not local
// needs all of what it reads.
#ifndef CS_GRAPH_NEED_H
#define CS_GRAPH_NEED_H

#include "base/divisor.h"
#include "graph/local.h"

struct cs_span {
    int64_t begin, end;
};
struct cs_region { // of a value, in its own pixels: height, width
    struct cs_span axis[2];
};

// What is known of a value that has a plane.
struct cs_place {
    bool plane, needed;
    struct {
        int64_t num, den; // pixels of the input that one of its own is wide
        int64_t grid;     // of the input: where cuts may lie for all that follows
    } axis[2];
    struct cs_region whole; // as it was
    struct cs_region have;  // what is computed of it
    struct cs_region need;  // by all readers
};

struct cs_needs {
    const struct cs_graph *graph;
    struct cs_place *places; // per value
    struct cs_local *locals; // per node; `cuttable`: all its operands' planes may be cut, alike
};

// The region of all outputs with planes as large as the input's; others are needed whole.
struct cs_needs cs_needs_find(const struct cs_graph *graph, const struct cs_region *region);
void cs_needs_release(struct cs_needs *needs);

// NULL for -1.
struct cs_place *cs_place_of(const struct cs_needs *needs, int value);
bool cs_is_plane(const struct cs_needs *needs, int value);
// What is needed of the node's outputs, whose planes have one size, with the grid of what follows
// them. False: nothing.
bool cs_node_need(const struct cs_needs *needs, const struct cs_node *node, struct cs_place *all);
// What the pixels of an output read of an operand's plane of `dim`, and the place where they would
// lie there.
struct cs_span cs_read_span(const struct cs_local_axis *x, struct cs_span out, int64_t dim);
struct cs_region cs_whole_plane(const struct cs_value *value);

static inline int64_t cs_at_least(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static inline int64_t cs_at_most(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

#endif
