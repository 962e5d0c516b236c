// SPDX-License-Identifier: MIT
#include "isa.h"

#include <stdlib.h>

void isa_limit(int limit)
{
    static const char *const names[ISA_LIMITS] = {"avx512", "avx2", "plain"};
    setenv("CELLSTREAM_ISA", names[limit], 1);
}
