// SPDX-License-Identifier: MIT
// Time that only goes forwards, for durations and deadlines. Never part of an output's bytes.
#ifndef CS_BASE_CLOCK_H
#define CS_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

// The monotonic clock; its zero means nothing.
double cs_clock_seconds(void);
// The same, or the processor time of the whole process: with one thread that tells on a busy
// machine what an idle one would take.
double cs_clock_of(bool cpu_time);
int64_t cs_clock_ms(void);

#endif
