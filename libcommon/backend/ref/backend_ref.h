// SPDX-License-Identifier: MIT
// Backend "ref": plain loops with double sums, for any machine; the oracle of the tests.
#ifndef CS_BACKEND_REF_BACKEND_REF_H
#define CS_BACKEND_REF_BACKEND_REF_H

#include "backend/backend.h"

extern const struct cs_backend cs_backend_ref;

#endif
