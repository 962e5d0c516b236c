// SPDX-License-Identifier: MIT
#include "infer/device.h"

#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"

// The variable that says so, NULL for none.
static const char *allocated_gpu(void)
{
    static const char *const names[] = {"CUDA_VISIBLE_DEVICES", "SLURM_JOB_GPUS"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        if (value && *value && strcmp(value, "-1") != 0 && strcmp(value, "NoDevFiles") != 0)
            return names[i];
    }
    return NULL;
}

static int choose_auto(struct cs_device_choice *choice, struct cs_err *err)
{
    const char *gpu = allocated_gpu();
    if (gpu)
        return cs_fail(err, CS_EDEVICE,
                       "a GPU was allocated (%s=%s) but this build cannot use one: -d cpu computes "
                       "on the CPU",
                       gpu, getenv(gpu));
    choice->backend = cs_backend_find("cpu") ? "cpu" : "ref";
    choice->chosen = true;
    return 0;
}

int cs_device_choose(const char *text, struct cs_device_choice *choice, struct cs_err *err)
{
    static const char fake[] = "fake:";
    *choice = (struct cs_device_choice){.backend = text};
    if (strcmp(text, "auto") == 0)
        return choose_auto(choice, err);
    if (strncmp(text, "cuda", 4) == 0 && (!text[4] || text[4] == ':'))
        return cs_fail(err, CS_EDEVICE, "device %s: this build has no CUDA backend", text);
    if (strncmp(text, fake, sizeof fake - 1) == 0) {
        choice->backend = "fake";
        choice->scenario = text + sizeof fake - 1;
    }
    if (!cs_backend_find(choice->backend))
        return cs_fail(err, CS_EUSAGE, "--device: '%s' is none of auto, cpu, ref", text);
    return 0;
}
