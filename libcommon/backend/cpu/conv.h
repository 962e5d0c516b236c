// SPDX-License-Identifier: MIT
// What the convolutions of ours share: inputs read in place and mapped on the way (late.c), and
// statistics for the norm that follows.
#ifndef CS_BACKEND_CPU_CONV_H
#define CS_BACKEND_CPU_CONV_H

#include "backend/cpu/norm.h"

// Input channels that lie together: a whole tensor, or a part of a concatenation that is not made.
struct cs_cpu_source {
    struct cs_cpu_place src, maps;
    int64_t channels;
    bool mapped; // by a norm, with `maps` and what is below zero times `slope`
    float slope;
};

struct cs_cpu_sources {
    struct cs_cpu_source source[CS_WINOGRAD_SOURCES];
    int count;
};
// Of the value that a node reads.
void cs_cpu_sources_of(const struct cs_plan *plan, int value, struct cs_cpu_sources *sources);

// How one of ours computes rows of its output: in multiples of `grain`, rows [begin, end) from rows
// [begin * stride - pad, (end - 1) * stride - pad + span) of the input. False where it cannot, or
// gathers statistics.
struct cs_cpu_conv_rows {
    int64_t grain, stride, pad, span;
};
bool cs_cpu_conv_rows_of(const struct cs_plan *plan, const struct cs_node *node,
                         struct cs_cpu_conv_rows *rows);

// How many registers of output channels a panel of weights should have for a product of so many
// columns: few mean many loads a product.
int cs_cpu_panel_vectors(const struct cs_kernels *kernels, int64_t columns);

// False when the activation has to be a step of its own.
bool cs_cpu_finish_of(const struct cs_cpu_activation *activation, struct cs_finish *finish);

// Statistics of the node's output for the norm that reads it, if it wants them. Sums lie in what
// parts of the step share: for each image and chunk of it sums of y, then of y * y, of `step`
// channels.
struct cs_cpu_gather {
    bool wanted;
    struct cs_cpu_norm norm;
    struct cs_cpu_place maps;
    int64_t chunks, step;
    size_t bytes;
};
// Asks for the memory of sums.
void cs_cpu_gather_init(struct cs_plan *plan, const struct cs_node *node, int64_t chunks,
                        int64_t step, struct cs_cpu_gather *gather);
// NULL when none are wanted.
double *cs_cpu_gather_sums(const struct cs_cpu_gather *gather, const struct cs_cpu_run *run);
// From sums to maps.
void cs_cpu_gather_finish(const struct cs_cpu_gather *gather, const struct cs_cpu_run *run);

#endif
