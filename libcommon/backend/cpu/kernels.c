// SPDX-License-Identifier: MIT
#include "backend/cpu/kernels.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

const struct cs_kernels *cs_kernels_pick(void)
{
#if defined(__x86_64__)
    const char *most = getenv("CELLSTREAM_ISA");
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (avx512 && !(most && strcmp(most, "avx512") != 0))
        return &cs_kernels_avx512;
    if (avx2 && !(most && strcmp(most, "plain") == 0))
        return &cs_kernels_avx2;
#endif
    return &cs_kernels_plain;
}
