// SPDX-License-Identifier: MIT
// Results that may depend on neither threads nor batch.
#ifndef TESTS_SUPPORT_SAME_BYTES_H
#define TESTS_SUPPORT_SAME_BYTES_H

#include "opcase.h"

// Asserts that "cpu" gives the same bytes with one to four threads, and for each image of the
// batch (of the first input, which must be float32) alone.
void same_bytes_expect(struct opcase *c);

#endif
