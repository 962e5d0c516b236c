// SPDX-License-Identifier: MIT
// What cs-model asks of a package and its network.
#ifndef CS_INFER_CHECK_H
#define CS_INFER_CHECK_H

#include "infer/session.h"

// Multiplications of a concrete graph: convolutions and matrix products.
uint64_t cs_graph_macs(const struct cs_graph *graph);

// Run the package's own test: its input tensor as an image, through preprocessing, network and
// postprocessing, against its output tensor. *largest: of the differences; *different: share of
// values that differ by more than `tolerance`. 1: done, 0: the package has no test, -1 with the
// reason.
int cs_check_test(struct cs_session *session, const struct cs_package *package,
                  const struct cs_session_info *info, double tolerance, double *largest,
                  double *different, struct cs_err *err);

#endif
