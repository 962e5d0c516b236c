// SPDX-License-Identifier: MIT
// Graphs of one node (or a few) with seeded random tensors, run on any backend:
//
//   struct opcase c;
//   opcase_init(&c, 17, seed);
//   opcase_input(&c, SHAPE(1, 3, 8, 8));
//   opcase_weight(&c, SHAPE(4, 3, 3, 3));
//   struct cs_node *node = opcase_node(&c, "Conv", 1);
//   cs_node_add_ints(&c.graph, node, "pads", (int64_t[]){1, 1, 1, 1}, 4);
//   double error = opcase_difference(&c, "cpu", "ref", &err);
//   opcase_release(&c);
//
// Each input is an input of the node added next, in order. Output buffers lie between guards.
#ifndef TESTS_SUPPORT_OPCASE_H
#define TESTS_SUPPORT_OPCASE_H

#include "backend/backend.h"
#include "graph/graph.h"

#define SHAPE(...)                                                                                 \
    (&(struct cs_shape){(int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), {__VA_ARGS__}})

struct opcase {
    struct cs_graph graph;
    uint64_t random;
    int pending[CS_MAX_NODE_IO], pending_count; // inputs of the next node
    struct cs_shape shapes[CS_MAX_NODE_IO];     // of the graph's inputs
    const void *data[CS_MAX_NODE_IO];
    bool fused;  // run the fusing passes of the backend first
    int threads; // of the backend; 0: two
    bool direct; // backend.h, plan_open
    enum cs_precision precision;
    const struct cs_backend *own; // found by its name too; NULL: none
};

void opcase_init(struct opcase *c, int opset, uint64_t seed);
void opcase_release(struct opcase *c);
double opcase_random(struct opcase *c, double low, double high);  // uniform
int64_t opcase_pick(struct opcase *c, int64_t low, int64_t high); // integer, both included

// All return the value. Random samples are uniform in -1..1, or low..high.
int opcase_input(struct opcase *c, const struct cs_shape *shape);
int opcase_input_data(struct opcase *c, const struct cs_shape *shape, const float *data);
int opcase_weight(struct opcase *c, const struct cs_shape *shape);
int opcase_weight_range(struct opcase *c, const struct cs_shape *shape, double low, double high);
int opcase_weight_data(struct opcase *c, const struct cs_shape *shape, const float *data);
int opcase_ints(struct opcase *c, const int64_t *values, int count);
int opcase_scalar(struct opcase *c, int64_t value); // int64 of rank 0
// An input or a constant of any type; samples are rounded to it.
int opcase_tensor(struct opcase *c, bool constant, enum cs_type type, const struct cs_shape *shape,
                  const double *values);
void opcase_value(struct opcase *c, int value); // an earlier value; -1: omitted
// A node that reads what is pending; its last output is the graph's output so far.
struct cs_node *opcase_node(struct opcase *c, const char *op, int outputs);
int opcase_last(const struct opcase *c); // the last node's first output

// Nodes of the values given, with seeded weights where they have any; each returns what it makes.
int opcase_unary(struct opcase *c, const char *op, int x);
int opcase_binary(struct opcase *c, const char *op, int a, int b);
int opcase_concat(struct opcase *c, int a, int b); // of channels
// kernel x kernel, padded by half of it, with a bias.
int opcase_conv(struct opcase *c, int x, int64_t in, int64_t out, int64_t kernel);
int opcase_norm(struct opcase *c, int x, int64_t channels);                // InstanceNormalization
int opcase_max_pool(struct opcase *c, int x, int64_t kernel, int64_t pad); // of stride 2
int opcase_enlarge(struct opcase *c, int x, float factor); // linear, half-pixel centres

// All outputs of the last node, one behind the other, as double whatever their type. Caller frees
// with free(); NULL with err.
double *opcase_values(const struct opcase *c, const char *backend, int64_t *elements,
                      struct cs_err *err);
// The same for outputs of float32.
float *opcase_run(const struct opcase *c, const char *backend, int64_t *elements,
                  struct cs_err *err);
// |a - b| / |b| over all outputs; -1 with err when either fails.
double opcase_difference(const struct opcase *c, const char *backend, const char *oracle,
                         struct cs_err *err);

#endif
