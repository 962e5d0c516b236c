// SPDX-License-Identifier: MIT
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int cs_fail(struct cs_err *err, enum cs_code code, const char *fmt, ...)
{
    if (!err)
        return -1;
    va_list ap;
    va_start(ap, fmt);
    err->code = code;
    vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    return -1;
}

int cs_fail_errno(struct cs_err *err, enum cs_code code, const char *fmt, ...)
{
    int saved = errno;
    if (!err)
        return -1;
    va_list ap;
    va_start(ap, fmt);
    err->code = saved == ENOMEM ? CS_ENOMEM : code;
    vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    size_t used = strlen(err->text);
    char reason[128];
    snprintf(err->text + used, sizeof err->text - used, ": %s",
             strerror_r(saved, reason, sizeof reason));
    errno = saved;
    return -1;
}

int cs_err_context(struct cs_err *err, const char *fmt, ...)
{
    if (!err)
        return -1;
    char inner[sizeof err->text];
    memcpy(inner, err->text, sizeof inner);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    size_t used = strlen(err->text);
    snprintf(err->text + used, sizeof err->text - used, ": %s", inner);
    return -1;
}

int cs_err_status(enum cs_code code)
{
    switch (code) {
    case CS_OK:
        return 0;
    case CS_EUSAGE:
        return 2;
    case CS_ENOINPUT:
        return 3;
    case CS_EMODEL:
        return 4;
    case CS_EDEVICE:
    case CS_ENOMEM:
    case CS_ETIMEOUT:
        return 5;
    case CS_ESTREAM:
        return 6;
    case CS_EINPUT:
    case CS_EIO:
        return 1;
    }
    return 1;
}

const char *cs_err_item_code(enum cs_code code)
{
    switch (code) {
    case CS_EINPUT:
    case CS_EIO:
        return "INVALID_IMAGE";
    case CS_ETIMEOUT:
        return "TIMEOUT";
    case CS_EMODEL:
        return "MODEL_ERROR";
    case CS_ENOMEM:
        return "OUT_OF_MEMORY";
    default:
        return "UNKNOWN";
    }
}
