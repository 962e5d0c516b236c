// SPDX-License-Identifier: MIT
#include "infer/device.h"

#include <stdio.h>
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
    struct cs_err why = {0};
    int count = 0;
    const char *gpu = allocated_gpu();
    const struct cs_backend *cuda = cs_backend_get("cuda", &why);
    choice->chosen = true;
    if (cuda && cuda->device_count(&count, &why) == 0) {
        choice->backend = "cuda";
        snprintf(choice->why, sizeof choice->why, "%d GPU%s", count, count == 1 ? "" : "s");
        return 0;
    }
    if (gpu)
        return cs_fail(err, CS_EDEVICE,
                       "a GPU was allocated (%s=%s) but cannot be used: %s; -d cpu computes on the "
                       "CPU",
                       gpu, getenv(gpu), why.text);
    choice->backend = cs_backend_find("cpu") ? "cpu" : "ref";
    snprintf(choice->why, sizeof choice->why, "%s", why.text);
    return 0;
}

int cs_device_choose(const char *text, struct cs_device_choice *choice, struct cs_err *err)
{
    static const char *const with_detail[] = {"fake", "cuda"};
    *choice = (struct cs_device_choice){.backend = text};
    if (strcmp(text, "auto") == 0)
        return choose_auto(choice, err);
    for (size_t i = 0; i < sizeof with_detail / sizeof *with_detail; i++) {
        size_t n = strlen(with_detail[i]);
        if (strncmp(text, with_detail[i], n) != 0 || (text[n] && text[n] != ':'))
            continue;
        choice->backend = with_detail[i];
        choice->detail = text[n] ? text + n + 1 : NULL;
    }
    if (strcmp(choice->backend, "cuda") == 0) {
        const struct cs_backend *cuda = cs_backend_get("cuda", err);
        int count;
        return cuda ? cuda->device_count(&count, err) : -1;
    }
    if (!cs_backend_find(choice->backend))
        return cs_fail(err, CS_EUSAGE, "--device: '%s' is none of auto, cuda, cpu, ref", text);
    return 0;
}
