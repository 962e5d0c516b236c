// SPDX-License-Identifier: MIT
// How kernels on the host (cuda_runtime.h beside this) may be made to run otherwise.
#ifndef TESTS_CUDA_SHIM_H
#define TESTS_CUDA_SHIM_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

// Whether the last blocks of a grid and the last threads of a block run first, from now on. No
// kernel's result may depend on it.
void shim_set_backward(bool backward);

// Reports of ThreadSanitizer since the last call; from the first on, one ends the program no more.
// -1: built without it.
int shim_reports(void);

#ifdef __cplusplus
}
#endif

#endif
