// SPDX-License-Identifier: MIT
// Greatest common divisor (Euclid) and least common multiple of positive numbers.
#ifndef CS_BASE_DIVISOR_H
#define CS_BASE_DIVISOR_H

#include <stdint.h>

static inline int64_t cs_common_divisor(int64_t a, int64_t b)
{
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

// It must fit int64_t.
static inline int64_t cs_common_multiple(int64_t a, int64_t b)
{
    return a / cs_common_divisor(a, b) * b;
}

#endif
