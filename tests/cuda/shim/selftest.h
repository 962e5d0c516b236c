// SPDX-License-Identifier: MIT
// Kernels that the shim's own test runs, on SHIM_SIZE floats in one block.
#ifndef TESTS_CUDA_SELFTEST_H
#define TESTS_CUDA_SELFTEST_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SHIM_SIZE = 64 };

void shim_turn(float *data, bool barrier); // the last becomes the first
void shim_sum(float *data);                // every float the sum of its 32
void shim_leave(void);                     // half of the threads wait for the others, who left
float shim_half_to_float(unsigned short bits);
unsigned short shim_half_of_float(float value);

#ifdef __cplusplus
}
#endif

#endif
