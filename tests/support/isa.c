// SPDX-License-Identifier: MIT
#include "isa.h"

#include <stdlib.h>

void isa_limit(int limit)
{
    static const char *const dnn[ISA_LIMITS] = {"ALL", "AVX2", "SSE41"};
    static const char *const own[ISA_LIMITS] = {"avx512", "avx2", "plain"};
    setenv("DNNL_MAX_CPU_ISA", dnn[limit], 1);
    setenv("CELLSTREAM_ISA", own[limit], 1);
}
