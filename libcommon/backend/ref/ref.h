// SPDX-License-Identifier: MIT
// Every operator that the engine knows in plain loops, one call a node: what backend "ref" runs,
// and what another backend on the CPU may call for operators that it has no kernel of its own for.
//
// Tensors are dense, row-major, of the types and shapes that shape inference found; rank 4
// activations are N, C, H, W. Constants are passed like any other tensor. A call allocates nothing
// and needs no workspace; it shares its loops out among OpenMP threads without changing a bit.
// Outputs must not overlap inputs. Empty tensors may be NULL.
#ifndef CS_BACKEND_REF_REF_H
#define CS_BACKEND_REF_REF_H

#include "graph/graph.h"

struct cs_ref_call {
    const struct cs_graph *graph; // concrete
    const struct cs_node *node;
    const void *in[CS_MAX_NODE_IO]; // the node's inputs, NULL where omitted
    void *out[CS_MAX_NODE_IO];      // its outputs, NULL where omitted or read by nobody
    const void *add;                // the value of node->fusion.add; NULL when there is none
};

// Whether there are loops for this node of a concrete graph; writes the reason when not.
bool cs_ref_supports(const struct cs_graph *graph, const struct cs_node *node, char *why,
                     size_t why_size);
// The node's outputs, its fusion included. Ask cs_ref_supports first. CS_EMODEL with
// "node NAME (Op): reason" when samples are impossible: an index outside, an integer divisor of 0.
int cs_ref_run(const struct cs_ref_call *call, struct cs_err *err);

#endif
