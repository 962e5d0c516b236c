// SPDX-License-Identifier: MIT
// Which device a user's words mean.
#ifndef CS_INFER_DEVICE_H
#define CS_INFER_DEVICE_H

#include <stdbool.h>

#include "base/err.h"

struct cs_device_choice {
    const char *backend; // its name (backend.h)
    const char *detail;  // what follows the name and a colon; borrowed from the text
    bool chosen;         // by us, from "auto": the user is to be told
    char why[512];       // chosen: the reason
};

// "auto", the name of a backend, "cuda:N" (the N-th GPU that this process sees, from 0), or
// "fake:SCRIPT" (backend/fake/fake.h). auto takes a GPU where one can be used, else the CPU, but
// not where a GPU was allocated to this process (CUDA_VISIBLE_DEVICES, SLURM_JOB_GPUS), which would
// then stand idle in silence: CS_EDEVICE. CS_EUSAGE for unknown words.
int cs_device_choose(const char *text, struct cs_device_choice *choice, struct cs_err *err);

#endif
