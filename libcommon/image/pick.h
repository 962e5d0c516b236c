// SPDX-License-Identifier: MIT
// What the user wants of each file (-c, -z, --time, --series, --page, --crop...), and the plan that
// follows for one file: which items it gives and which pages each is made of. Axes are never
// guessed: where the file leaves a choice that the user did not make, planning fails with a
// message that names the option. Time points are the exception in form only: without --time each
// is an item of its own, and nothing is lost.
#ifndef CS_IMAGE_PICK_H
#define CS_IMAGE_PICK_H

#include "image/convert.h"
#include "image/source.h"

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

struct cs_plan {
    const struct cs_source *source; // borrowed, as pick
    const struct cs_pick *pick;
    const struct cs_series *series; // of the source, or `own`
    struct cs_series own;
    int32_t series_number; // -1: the file has no series
    bool paged;            // the time axis of `series` is the file's pages; they may differ
    uint32_t *times, *zs;  // positions chosen on each axis
    uint32_t time_count, z_count;
    enum cs_range_kind projection; // CS_RANGE_MAX, CS_RANGE_MEAN, or CS_RANGE_UNSET for none
    uint32_t items;

    // Of all items; where the plan is paged, of the item that was started last.
    struct cs_plan_channel {
        uint32_t c;      // on the series' axis
        uint16_t sample; // of the converted page
        char *name;      // owned, NULL unknown
    } * channels;
    uint16_t channel_count;
    struct cs_page page; // what every page of an item must agree with
    struct cs_conversion conversion;
    uint32_t x, y, width, height; // part of the page that is given out
    bool rgb;
    double pixel_um[2]; // 0 unknown
};

// Item n of a plan: its place on the axes.
struct cs_plan_item {
    uint32_t t, z;   // z: nothing with a projection
    char suffix[40]; // of the output name: "", ".t000.z003", ".p000"
};

// Both pick and source stay borrowed. CS_EINPUT: the file does not give what is asked for, or
// leaves a choice. Release also then.
int cs_plan_make(struct cs_plan *plan, const struct cs_pick *pick, const struct cs_source *source,
                 struct cs_err *err);
void cs_plan_item(const struct cs_plan *plan, uint32_t n, struct cs_plan_item *item);
// Before an item is decoded: describes its page where the plan is paged. CS_EINPUT.
int cs_plan_start(struct cs_plan *plan, uint32_t n, struct cs_err *err);
void cs_plan_release(struct cs_plan *plan); // accepts a zeroed struct

#endif
