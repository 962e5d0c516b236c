// SPDX-License-Identifier: MIT
// The Winograd kernels for tiles of 2x2 on processors with AVX2 and FMA: 16 registers.
#define WINOGRAD      cs_winograd2_avx2
#define WINOGRAD_NAME "winograd2:avx2"
#define TILE          2
#define SMALLER       NULL

#include "backend/cpu/winograd_avx2.h"

#include "backend/cpu/winograd_body.h"
