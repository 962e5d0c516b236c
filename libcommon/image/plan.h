// SPDX-License-Identifier: MIT
// The plan that follows from the user's choices for one file: which items it gives and which pages
// each is made of. Axes are never guessed: where the file leaves a choice that the user did not
// make, planning fails with a message that names the option. Only time needs no word: without
// --time each point is an item of its own, and nothing is lost.
#ifndef CS_IMAGE_PLAN_H
#define CS_IMAGE_PLAN_H

#include "image/convert.h"
#include "image/pick.h"
#include "image/source.h"

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
    double given_bytes; // decoded for the items so far, all of them where it is not paged

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
