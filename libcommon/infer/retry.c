// SPDX-License-Identifier: MIT
#include "infer/retry.h"

enum { FIRST_PART = 64 }; // of the pause, before the second try

// Errors that another try cannot cure.
static bool is_final(const struct cs_failure *f)
{
    return f->told && (f->code == CS_EMODEL || f->code == CS_EINPUT || f->code == CS_EUSAGE);
}

static bool is_memory(const struct cs_failure *f)
{
    return f->told && f->code == CS_ENOMEM;
}

enum cs_retry cs_retry_judge(const struct cs_failure *f)
{
    if (is_memory(f) && f->images > 1)
        return CS_RETRY_SMALLER;
    if (f->images > 1 || (!f->only && !is_final(f)))
        return CS_RETRY_ALONE;
    return is_final(f) ? CS_RETRY_FAIL : is_memory(f) ? CS_RETRY_MEMORY : CS_RETRY_COUNT;
}

bool cs_failure_of_device(const struct cs_failure *f)
{
    return !is_final(f) && !is_memory(f);
}

double cs_retry_delay(int failures, double pause)
{
    double delay = pause / FIRST_PART;
    while (--failures > 0 && delay < pause)
        delay *= 2;
    return delay < pause ? delay : pause;
}
