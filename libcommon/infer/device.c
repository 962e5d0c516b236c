// SPDX-License-Identifier: MIT
#include "infer/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/mem.h"
#include "base/num.h"

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
        if (count == 1)
            snprintf(choice->why, sizeof choice->why, "1 GPU");
        else
            snprintf(choice->why, sizeof choice->why,
                     "the first of %d GPUs, -d cuda:0-%d takes all", count, count - 1);
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

// What follows the backend's name: "" for nothing; NULL where the text names another one.
static const char *behind(const char *text, const char *backend)
{
    size_t n = strlen(backend);
    if (strncmp(text, backend, n) != 0 || (text[n] && text[n] != ':'))
        return NULL;
    return text[n] ? text + n + 1 : "";
}

bool cs_device_names(const char *text, const char *backend)
{
    return behind(text, backend) != NULL;
}

int cs_device_choose(const char *text, struct cs_device_choice *choice, struct cs_err *err)
{
    static const char *const with_detail[] = {"fake", "cuda"};
    *choice = (struct cs_device_choice){.backend = text};
    if (strcmp(text, "auto") == 0)
        return choose_auto(choice, err);
    for (size_t i = 0; i < sizeof with_detail / sizeof *with_detail; i++) {
        const char *detail = behind(text, with_detail[i]);
        if (!detail)
            continue;
        choice->backend = with_detail[i];
        choice->detail = *detail ? detail : NULL;
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

// ---- Several -----------------------------------------------------------------------------

// One more, which is taken over; -1 where there are too many or it is there already.
static int add_detail(char **details, int count, char *detail, bool unique, struct cs_err *err)
{
    for (int i = 0; unique && i < count; i++)
        if (strcmp(details[i], detail) == 0) {
            cs_fail(err, CS_EUSAGE, "--device: %s is named twice", detail);
            free(detail);
            return -1;
        }
    if (count == CS_MAX_DEVICES) {
        free(detail);
        return cs_fail(err, CS_EUSAGE, "--device: more than %d devices", CS_MAX_DEVICES);
    }
    details[count] = detail;
    return 0;
}

// "2" or "0-3".
static int add_numbers(char **details, int *count, char *part, struct cs_err *err)
{
    enum { MOST = 1023 };
    char *dash = strchr(part, '-');
    int64_t first, last;
    if (dash)
        *dash++ = '\0';
    if (cs_num_int(part, 0, MOST, "--device: number of a GPU", &first, err) != 0 ||
        cs_num_int(dash ? dash : part, first, MOST, "--device: number of a GPU", &last, err) != 0)
        return -1;
    for (int64_t i = first; i <= last; i++, ++*count)
        if (add_detail(details, *count, cs_xasprintf("%d", (int)i), true, err) != 0)
            return -1;
    return 0;
}

int cs_device_each(const struct cs_device_choice *choice, char *details[CS_MAX_DEVICES],
                   struct cs_err *err)
{
    bool cuda = strcmp(choice->backend, "cuda") == 0;
    char *text = cs_xstrdup(choice->detail ? choice->detail : cuda ? "0" : "");
    int count = 0, result = 0;
    for (char *part = text, *next; part && result == 0; part = next) {
        next = strchr(part, cuda ? ',' : ';');
        if (next)
            *next++ = '\0';
        if (cuda) {
            result = add_numbers(details, &count, part, err);
        } else {
            result = add_detail(details, count, cs_xstrdup(part), false, err);
            count += result == 0;
        }
    }
    free(text);
    while (result != 0 && count)
        free(details[--count]);
    return result == 0 ? count : -1;
}
