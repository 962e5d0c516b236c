// SPDX-License-Identifier: MIT
#include "base/num.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cs_num_int(const char *text, int64_t min, int64_t max, const char *what, int64_t *value,
               struct cs_err *err)
{
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (end == text || *end || isspace((unsigned char)*text) || errno)
        return cs_fail(err, CS_EUSAGE, "%s: '%s' is not a whole number", what, text);
    if (n < min || n > max)
        return cs_fail(err, CS_EUSAGE, "%s: %lld is not between %" PRId64 " and %" PRId64, what, n,
                       min, max);
    *value = n;
    return 0;
}

int cs_num_real(const char *text, double min, double max, const char *what, double *value,
                struct cs_err *err)
{
    char *end;
    errno = 0;
    // The tools never call setlocale, so strtod reads the C locale's decimal point.
    double x = strtod(text, &end);
    if (end == text || *end || isspace((unsigned char)*text) || !isfinite(x))
        return cs_fail(err, CS_EUSAGE, "%s: '%s' is not a number", what, text);
    if (x < min || x > max)
        return cs_fail(err, CS_EUSAGE, "%s: %s is not between %g and %g", what, text, min, max);
    *value = x;
    return 0;
}

int cs_num_size(const char *text, const char *what, uint64_t *bytes, struct cs_err *err)
{
    char *end;
    errno = 0;
    unsigned long long n = isdigit((unsigned char)*text) ? strtoull(text, &end, 10) : 0;
    if (!isdigit((unsigned char)*text) || errno)
        return cs_fail(err, CS_EUSAGE, "%s: '%s' is not a size (such as 64M)", what, text);
    static const char units[] = "KMGT";
    const char *unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
    int shift = unit ? 10 * (int)(unit - units + 1) : 0;
    if (*end && (!unit || end[1]))
        return cs_fail(err, CS_EUSAGE, "%s: '%s' is not a size (such as 64M)", what, text);
    if (n > UINT64_MAX >> shift)
        return cs_fail(err, CS_EUSAGE, "%s: %s is too large", what, text);
    *bytes = (uint64_t)n << shift;
    return 0;
}

void cs_size_text(uint64_t bytes, char text[CS_SIZE_TEXT])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes / 1024;
    size_t unit = 0;
    while (value >= 1000 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1024;
        unit++;
    }
    snprintf(text, CS_SIZE_TEXT, "%.*f %s", value < 10, value, units[unit]);
}

void cs_size_option(uint64_t bytes, char text[CS_SIZE_TEXT])
{
    uint64_t mib = (bytes >> 20) + 1;
    if (mib > 2048)
        snprintf(text, CS_SIZE_TEXT, "%lluG", (unsigned long long)(mib + 1023) / 1024);
    else
        snprintf(text, CS_SIZE_TEXT, "%lluM", (unsigned long long)(mib + 15) / 16 * 16);
}
