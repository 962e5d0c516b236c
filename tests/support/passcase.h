// SPDX-License-Identifier: MIT
// Passes over small graphs (opcase.h): what one of them makes of a graph, or that it leaves it
// alone, and that all of them leave the results on ref the same.
#ifndef TESTS_SUPPORT_PASSCASE_H
#define TESTS_SUPPORT_PASSCASE_H

#include "opcase.h"

// The case with one input, which is not pending: the value.
int passcase_begin(struct opcase *c, int opset, const struct cs_shape *shape);
// A node of a value and a constant of one element: the value it makes.
int passcase_scalar(struct opcase *c, const char *op, int of, float number);

// The pass makes so many rewrites in the concrete graph, which has these nodes then
// (cs_graph_dump). Releases the case.
void passcase_expect(struct opcase *c, const char *pass, int rewrites, const char *nodes);
// It makes none, so that the nodes are what they were. Releases the case.
void passcase_leaves(struct opcase *c, const char *pass);

#endif
