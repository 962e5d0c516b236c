// SPDX-License-Identifier: MIT
// What the user wants of each file: -c, -z, --time, --series, --page, --crop... See plan.h for what
// follows.
#ifndef CS_IMAGE_PICK_H
#define CS_IMAGE_PICK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum cs_range_kind { CS_RANGE_UNSET, CS_RANGE_SPAN, CS_RANGE_ALL, CS_RANGE_MAX, CS_RANGE_MEAN };

struct cs_range {
    enum cs_range_kind kind;
    uint32_t first, last; // CS_RANGE_SPAN
};

struct cs_pick {
    struct cs_range z, time, page;
    int64_t series;       // -1 unset
    const char *channels; // list of indices and names, or "all"; NULL unset; borrowed
    double pixel_um;      // 0 unset
    bool cropped;
    uint32_t crop[4]; // x, y, width, height
    bool raw;
};

// "7", "2-5", "all", and where `projections` says so "max" and "mean". CS_EUSAGE.
int cs_range_parse(struct cs_range *range, const char *text, const char *what, bool projections,
                   struct cs_err *err);
// "X,Y,W,H". CS_EUSAGE.
int cs_crop_parse(struct cs_pick *pick, const char *text, struct cs_err *err);

#endif
