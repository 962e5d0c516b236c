// SPDX-License-Identifier: MIT
// The Winograd kernels for tiles of 2x2 on processors with AVX-512 (F, BW, DQ, VL): 32 registers.
#define WINOGRAD      cs_winograd2_avx512
#define WINOGRAD_NAME "winograd2:avx512"
#define TILE          2
#define SMALLER       NULL

#include "backend/cpu/winograd_avx512.h"

#include "backend/cpu/winograd_body.h"
