// SPDX-License-Identifier: MIT
// Time that only goes forwards, for durations and deadlines. Never part of an output's bytes.
#ifndef CS_BASE_CLOCK_H
#define CS_BASE_CLOCK_H

#include <stdint.h>

// The monotonic clock; its zero means nothing.
double cs_clock_seconds(void);
int64_t cs_clock_ms(void);

#endif
