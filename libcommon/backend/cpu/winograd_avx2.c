// SPDX-License-Identifier: MIT
// The Winograd kernels for tiles of 4x4 on processors with AVX2 and FMA: 16 registers.
#define WINOGRAD      cs_winograd_avx2
#define WINOGRAD_NAME "winograd:avx2"
#define TILE          4
#define SMALLER       &cs_winograd2_avx2

#include "backend/cpu/winograd_avx2.h"

#include "backend/cpu/winograd_body.h"
