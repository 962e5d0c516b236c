// SPDX-License-Identifier: MIT
#include "image/pick.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "image/layout.h"

int cs_range_parse(struct cs_range *range, const char *text, const char *what, bool projections,
                   struct cs_err *err)
{
    int64_t first, last;
    *range = (struct cs_range){0};
    if (strcmp(text, "all") == 0)
        range->kind = CS_RANGE_ALL;
    else if (projections && strcmp(text, "max") == 0)
        range->kind = CS_RANGE_MAX;
    else if (projections && strcmp(text, "mean") == 0)
        range->kind = CS_RANGE_MEAN;
    if (range->kind != CS_RANGE_UNSET)
        return 0;
    const char *dash = strchr(text, '-');
    char *head = dash ? cs_xstrndup(text, (size_t)(dash - text)) : cs_xstrdup(text);
    int status = cs_num_int(head, 0, CS_MAX_PLANES, what, &first, NULL);
    last = first;
    if (status == 0 && dash)
        status = cs_num_int(dash + 1, first, CS_MAX_PLANES, what, &last, NULL);
    free(head);
    if (status != 0)
        return cs_fail(err, CS_EUSAGE, "%s: '%s' is no number (from 0), range A-B, %s", what, text,
                       projections ? "'all', 'max' or 'mean'" : "or 'all'");
    *range = (struct cs_range){CS_RANGE_SPAN, (uint32_t)first, (uint32_t)last};
    return 0;
}

int cs_crop_parse(struct cs_pick *pick, const char *text, struct cs_err *err)
{
    const char *at = text;
    for (int i = 0; i < 4; i++) {
        size_t len = strcspn(at, ",");
        char *part = cs_xstrndup(at, len);
        int64_t value;
        int status = cs_num_int(part, i < 2 ? 0 : 1, UINT32_MAX, "--crop", &value, NULL);
        free(part);
        if (status != 0 || (at[len] == ',') != (i < 3))
            return cs_fail(err, CS_EUSAGE, "--crop: '%s' is not X,Y,WIDTH,HEIGHT", text);
        pick->crop[i] = (uint32_t)value;
        at += len + 1;
    }
    pick->cropped = true;
    return 0;
}
