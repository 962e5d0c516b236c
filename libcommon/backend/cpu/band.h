// SPDX-License-Identifier: MIT
// Bands: nodes that follow one another and work row by row are computed some rows at a time, so
// that what one writes the next one finds in the core's cache. What only they read is never whole:
// a thread keeps a window of its rows. Pooling, the last 1x1 convolution and the resized and added
// map of a U-Net's level cost no trip to memory then, and planes between convolutions none either.
//
// A result does not depend on it: rows of the operators depend on their windows alone. A thread has
// consecutive rows of the last node's output, and computes for itself what it reads beyond them of
// values that have a window; those that have a place in the arena are written once.
#ifndef CS_BACKEND_CPU_BAND_H
#define CS_BACKEND_CPU_BAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cs_node;
struct cs_plan;
struct cs_cpu_run;

enum { CS_CPU_BAND_NODES = 8, CS_CPU_BAND_EDGES = 16 };

// Output rows [begin, end) of a reader need rows [begin * stride - pad, (end - 1) * stride - pad +
// span) of what `from` makes, as far as there are such. Nodes are numbered within the band.
struct cs_cpu_band_edge {
    int from, to;
    int64_t stride, pad, span;
};

struct cs_cpu_band_node {
    int node, value;
    int64_t rows, row_floats; // of the output
    int64_t grain;            // rows are computed in multiples of it, but for the last ones
    bool kept;                // in the arena: read elsewhere, too
    int64_t window_rows;      // of a window else
    size_t window;            // bytes from the start of a thread's memory
};

struct cs_cpu_band {
    struct cs_cpu_band_node nodes[CS_CPU_BAND_NODES];
    int count;
    struct cs_cpu_band_edge edges[CS_CPU_BAND_EDGES];
    int edge_count;
    int64_t batch;
    int64_t rows;        // of the last node's output that are computed at once
    size_t window_bytes; // of a thread; behind them its scratch
    size_t thread_bytes;
    int step; // of the first node; there is one a node
};

// Find the plan's bands and mark in plan->late what has a window. After cs_cpu_find_late.
void cs_cpu_find_bands(struct cs_plan *plan);
// Whether the node is one of a band's: then what it writes is read while it is in the cache.
bool cs_cpu_in_band(const struct cs_plan *plan, const struct cs_node *node);
// The first node of the node's band, or -1.
int cs_cpu_band_start_of(const struct cs_plan *plan, int node);
// Take memory from what has a window.
void cs_cpu_share_bands(const struct cs_plan *plan, int *share);
// When all steps are there, in the order in which they run: what the plan needs to run its bands.
void cs_cpu_finish_bands(struct cs_plan *plan);
void cs_cpu_run_band(struct cs_plan *plan, const struct cs_cpu_band *band,
                     const struct cs_cpu_run *run);

#endif
