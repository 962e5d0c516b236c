// SPDX-License-Identifier: MIT
// The Winograd kernels for tiles of 4x4 on processors with AVX-512 (F, BW, DQ, VL): 32 registers.
#define WINOGRAD      cs_winograd_avx512
#define WINOGRAD_NAME "winograd:avx512"
#define TILE          4
#define SMALLER       &cs_winograd2_avx512

#include "backend/cpu/winograd_avx512.h"

#include "backend/cpu/winograd_body.h"
