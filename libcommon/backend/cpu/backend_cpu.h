// SPDX-License-Identifier: MIT
#ifndef CS_BACKEND_CPU_BACKEND_CPU_H
#define CS_BACKEND_CPU_BACKEND_CPU_H

#include "backend/backend.h"

extern const struct cs_backend cs_backend_cpu; // oneDNN, and kernels of our own

#endif
