// SPDX-License-Identifier: MIT
// Which device a user's words mean.
#ifndef CS_INFER_DEVICE_H
#define CS_INFER_DEVICE_H

#include <stdbool.h>

#include "base/err.h"

enum { CS_MAX_DEVICES = 16 }; // at work in one run

struct cs_device_choice {
    const char *backend; // its name (backend.h)
    const char *detail;  // what follows the name and a colon; borrowed from the text
    bool chosen;         // by us, from "auto": the user is to be told
    char why[512];       // chosen: the reason
};

// "auto", the name of a backend, "cuda:N" (the N-th GPU that this process sees, from 0), or
// "fake:SCRIPT" (backend/fake/fake.h). auto takes a GPU where one can be used, the first of
// several, else the CPU, but not where a GPU was allocated to this process (CUDA_VISIBLE_DEVICES,
// SLURM_JOB_GPUS), which would then stand idle in silence: CS_EDEVICE. CS_EUSAGE for unknown words.
int cs_device_choose(const char *text, struct cs_device_choice *choice, struct cs_err *err);

// The same words, without a look at what is there: whether they name this backend.
bool cs_device_names(const char *text, const char *backend);

// Of a choice of several devices, "cuda:0,2-3" or "fake:SCRIPT;SCRIPT", the detail of each. Their
// number, at least 1; the caller frees each with free(). -1 with CS_EUSAGE.
int cs_device_each(const struct cs_device_choice *choice, char *details[CS_MAX_DEVICES],
                   struct cs_err *err);

#endif
