// SPDX-License-Identifier: MIT
// The floor of every benchmark on this processor.
#ifndef CS_BACKEND_CPU_PEAK_H
#define CS_BACKEND_CPU_PEAK_H

#include "backend/backend.h"

// As `peak` of struct cs_backend, with the number of OpenMP threads that the caller has set.
void cs_cpu_peak(bool cpu_time, struct cs_peak *peak);

#endif
