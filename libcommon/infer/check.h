// SPDX-License-Identifier: MIT
// What cs-model asks of a package and its network.
#ifndef CS_INFER_CHECK_H
#define CS_INFER_CHECK_H

#include "infer/session.h"
#include "model/npy_tensor.h"

// Multiplications of a concrete graph: convolutions and matrix products.
uint64_t cs_graph_macs(const struct cs_graph *graph);

// How near a device comes to the package's own test.
struct cs_check_result {
    double largest;   // of the differences
    double different; // share of values that differ by more than the tolerance
    double relative;  // L2 norm of the differences over that of the expected values
    double iou;       // of the masks at the package's threshold, intersection over union
    double seconds;   // the fastest run
};

// Run the package's own test in this precision, `runs` times: its input tensor as an image,
// through preprocessing, network and postprocessing, against the tensors of all outputs that the
// session computes. 1: done, 0: the package has no test, -1 with the reason.
int cs_check_test(struct cs_session *session, const struct cs_package *package,
                  const struct cs_session_info *info, enum cs_precision precision, int runs,
                  double tolerance, struct cs_check_result *result, struct cs_err *err);

// What the package's test should give for the image `in` (1, C, H, W), one tensor for each of the
// package's outputs, all of which the session computes. Release them with cs_tensor_release, also
// after a failure. CS_EMODEL: the image does not fit, or gives values that are not finite.
int cs_check_make(struct cs_session *session, const struct cs_package *package,
                  const struct cs_session_info *info, const struct cs_tensor *in,
                  struct cs_tensor *outputs, struct cs_err *err);

#endif
