// SPDX-License-Identifier: MIT
#include "backend/cpu/kernels.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

const char *cs_isa_limit(void)
{
    const char *limit = getenv("CELLSTREAM_ISA");
    return limit && *limit ? limit : NULL;
}

static bool has_avx512(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
    return false;
#endif
}

static bool has_avx2(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return false;
#endif
}

const struct cs_kernels *cs_kernels_pick(struct cs_err *err)
{
    // Best first; the last needs nothing.
    const struct cs_kernels *tables[] = {&cs_kernels_avx512, &cs_kernels_avx2, &cs_kernels_plain};
    const bool has[] = {has_avx512(), has_avx2(), true};
    const char *limit = cs_isa_limit();
    int count = (int)(sizeof tables / sizeof *tables), first = 0;
    while (limit && first < count && strcmp(tables[first]->name, limit) != 0)
        first++;
    if (first == count) {
        cs_fail(err, CS_EUSAGE, "CELLSTREAM_ISA: '%s' is not avx512, avx2 or plain", limit);
        return NULL;
    }
    while (!has[first])
        first++;
    return tables[first];
}
