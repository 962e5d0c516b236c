// SPDX-License-Identifier: MIT
// Elements of any type as double or int64, a run at a time: inside of the evaluators.
#ifndef CS_GRAPH_ELEMENT_H
#define CS_GRAPH_ELEMENT_H

#include <stdint.h>

#include "graph/graph.h"

enum { CS_RUN = 256 }; // elements computed at a time

// `count` elements from index `first`, `step` apart (0: the same again).
void cs_load_reals(enum cs_type type, const void *data, int64_t first, int64_t step, int64_t count,
                   double *out);
// float32 is cut to the integer towards 0; what does not fit becomes the nearest int64, NaN 0.
void cs_load_integers(enum cs_type type, const void *data, int64_t first, int64_t step,
                      int64_t count, int64_t *out);
void cs_store_reals(enum cs_type type, void *data, int64_t first, int64_t count,
                    const double *values);
void cs_store_integers(enum cs_type type, void *data, int64_t first, int64_t count,
                       const int64_t *values);

// Index into a tensor of shape `in` of the element that broadcasts to flat index `flat` of `out`.
int64_t cs_broadcast_index(const struct cs_shape *out, const struct cs_shape *in, int64_t flat);

#endif
