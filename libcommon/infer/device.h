// SPDX-License-Identifier: MIT
// Which device a user's words mean.
#ifndef CS_INFER_DEVICE_H
#define CS_INFER_DEVICE_H

#include <stdbool.h>

#include "base/err.h"

struct cs_device_choice {
    const char *backend;  // a name of the backends' table
    const char *scenario; // fake; borrowed from the text
    bool chosen;          // by us, from "auto": the user is to be told
};

// "auto", the name of a backend, or "fake:SCRIPT" (backend/fake/fake.h). auto takes the CPU, but
// not where a GPU was allocated to this process (CUDA_VISIBLE_DEVICES, SLURM_JOB_GPUS), which
// would then stand idle in silence: CS_EDEVICE. CS_EUSAGE for unknown words.
int cs_device_choose(const char *text, struct cs_device_choice *choice, struct cs_err *err);

#endif
