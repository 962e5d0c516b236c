// SPDX-License-Identifier: MIT
#include "segment/postprocess.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "segment/post_plan.h"

// Limits that keep arithmetic on areas and radii exact and cheap.
static const double max_radius_px = 1000, max_area_value = 1e15, max_depth = 65535;
// What a rise must be to make an object of its own, unless said otherwise.
static const double default_depth_map = 0.1, default_depth_px = 1;

void cs_post_init(struct cs_post *post)
{
    *post = (struct cs_post){
        .threshold = 0.5, .min_area = {50, false}, .connectivity = 8, .seed_depth = -1};
}

static int parse_switch(const char *text, const char *what, bool *value, struct cs_err *err)
{
    if (strcmp(text, "1") == 0 || strcmp(text, "true") == 0 || strcmp(text, "yes") == 0)
        *value = true;
    else if (strcmp(text, "0") == 0 || strcmp(text, "false") == 0 || strcmp(text, "no") == 0)
        *value = false;
    else
        return cs_fail(err, CS_EUSAGE, "%s: '%s' is none of 1, 0, true, false, yes, no", what,
                       text);
    return 0;
}

static int parse_area(const char *text, const char *what, struct cs_area *area, struct cs_err *err)
{
    size_t len = strlen(text);
    struct cs_area parsed = {.um2 = len > 3 && strcmp(text + len - 3, "um2") == 0};
    char *number = cs_xstrndup(text, parsed.um2 ? len - 3 : len);
    int status = cs_num_real(number, 0, max_area_value, what, &parsed.value, err);
    free(number);
    if (status == 0)
        *area = parsed;
    return status;
}

static int parse_split(const char *text, const char *what, enum cs_split *split, struct cs_err *err)
{
    static const char *const names[] = {"none", "distance", "boundary"};
    for (int i = 0; i < 3; i++)
        if (strcmp(text, names[i]) == 0) {
            *split = (enum cs_split)i;
            return 0;
        }
    return cs_fail(err, CS_EUSAGE, "%s: '%s' is none of none, distance, boundary", what, text);
}

static int parse_connectivity(const char *text, const char *what, int *value, struct cs_err *err)
{
    if (strcmp(text, "4") != 0 && strcmp(text, "8") != 0)
        return cs_fail(err, CS_EUSAGE, "%s: '%s' is neither 4 nor 8", what, text);
    *value = text[0] - '0';
    return 0;
}

int cs_post_set(struct cs_post *post, const char *name, const char *text, struct cs_err *err)
{
    char key[32], what[40];
    size_t len = strlen(name);
    if (len >= sizeof key)
        return cs_fail(err, CS_EUSAGE, "no parameter of postprocessing is called '%s'", name);
    for (size_t i = 0; i <= len; i++)
        key[i] = name[i] == '_' ? '-' : name[i];
    snprintf(what, sizeof what, "--%s", key);
    if (strcmp(key, "threshold") == 0)
        return cs_num_real(text, 0, 1, what, &post->threshold, err);
    if (strcmp(key, "min-area") == 0)
        return parse_area(text, what, &post->min_area, err);
    if (strcmp(key, "max-area") == 0)
        return parse_area(text, what, &post->max_area, err);
    if (strcmp(key, "fill-holes") == 0)
        return parse_switch(text, what, &post->fill_holes, err);
    if (strcmp(key, "clear-border") == 0)
        return parse_switch(text, what, &post->clear_border, err);
    if (strcmp(key, "open") == 0)
        return cs_num_real(text, 0, max_radius_px, what, &post->open_px, err);
    if (strcmp(key, "close") == 0)
        return cs_num_real(text, 0, max_radius_px, what, &post->close_px, err);
    if (strcmp(key, "connectivity") == 0)
        return parse_connectivity(text, what, &post->connectivity, err);
    if (strcmp(key, "split") == 0)
        return parse_split(text, what, &post->split, err);
    if (strcmp(key, "seed-depth") == 0)
        return cs_num_real(text, 0, max_depth, what, &post->seed_depth, err);
    if (strcmp(key, "seed-min") == 0)
        return cs_num_real(text, 0, max_depth, what, &post->seed_min, err);
    return cs_fail(err, CS_EUSAGE, "no parameter of postprocessing is called '%s'", key);
}

static void add_real(struct cs_buf *out, const char *name, double value, const char *unit)
{
    char text[32];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    cs_buf_addf(out, "%s%s=%s%s", out->len ? " " : "", name, text, unit);
}

void cs_post_canonical(const struct cs_post *post, struct cs_buf *out)
{
    static const char *const splits[] = {"none", "distance", "boundary"};
    add_real(out, "threshold", post->threshold, "");
    add_real(out, "min-area", post->min_area.value, post->min_area.um2 ? "um2" : "");
    add_real(out, "max-area", post->max_area.value, post->max_area.um2 ? "um2" : "");
    cs_buf_addf(out, " fill-holes=%d", post->fill_holes);
    add_real(out, "open", post->open_px, "");
    add_real(out, "close", post->close_px, "");
    cs_buf_addf(out, " clear-border=%d connectivity=%d split=%s", post->clear_border,
                post->connectivity, splits[post->split]);
    if (post->seed_depth < 0)
        cs_buf_adds(out, " seed-depth=default");
    else
        add_real(out, "seed-depth", post->seed_depth, "");
    add_real(out, "seed-min", post->seed_min, "");
}

// Index of a name in a comma-separated list, -1 if it is not there.
static int map_index(const char *maps, const char *name)
{
    size_t len = strlen(name);
    int index = 0;
    for (const char *at = maps; at; index++) {
        const char *end = strchrnul(at, ',');
        if ((size_t)(end - at) == len && strncmp(at, name, len) == 0)
            return index;
        at = *end ? end + 1 : NULL;
    }
    return -1;
}

static int area_px(const struct cs_area *area, const struct cs_post_item *item, const char *what,
                   double *px, struct cs_err *err)
{
    *px = area->value;
    if (!area->um2 || area->value == 0)
        return 0;
    if (!(item->um_x > 0 && item->um_y > 0))
        return cs_fail(err, CS_EINPUT,
                       "%s is in um2, but the pixel size is not known (cs-load --pixel-size)",
                       what);
    *px = area->value / (item->um_x * item->um_y);
    return 0;
}

static int filter_of(const struct cs_post *post, const struct cs_post_item *item,
                     struct cs_object_filter *filter, struct cs_err *err)
{
    double least, most;
    if (area_px(&post->min_area, item, "--min-area", &least, err) != 0 ||
        area_px(&post->max_area, item, "--max-area", &most, err) != 0)
        return -1;
    *filter = (struct cs_object_filter){.min_area = (uint64_t)fmin(ceil(least), 1e18),
                                        .clear_border = post->clear_border};
    if (post->max_area.value > 0) // below one pixel: no object is small enough
        filter->max_area = most < 1 ? 0 : (uint64_t)fmin(floor(most), 1e18);
    if (post->max_area.value > 0 && !filter->max_area)
        filter->min_area = UINT64_MAX;
    return 0;
}

static uint32_t in_steps(double value, double steps)
{
    double s = value * steps + 0.5;
    return s < UINT32_MAX ? (uint32_t)s : UINT32_MAX;
}

int cs_post_plan(const struct cs_post *post, const struct cs_post_item *item,
                 struct cs_post_plan *plan, struct cs_err *err)
{
    const char *name = post->split == CS_SPLIT_BOUNDARY ? "boundary" : "distance";
    double steps = 65535, depth = default_depth_map;
    int foreground = map_index(item->maps, "foreground");
    *plan = (struct cs_post_plan){.foreground = (uint16_t)(foreground < 0 ? 0 : foreground),
                                  .relief = -1,
                                  .rule = {.width = item->probability->width,
                                           .height = item->probability->height,
                                           .connectivity = post->connectivity,
                                           .split = post->split != CS_SPLIT_NONE,
                                           .fill_holes = post->fill_holes}};
    if (filter_of(post, item, &plan->rule.filter, err) != 0)
        return -1;
    if (!plan->rule.split)
        return 0;
    plan->relief = map_index(item->maps, name);
    if (plan->relief < 0 && post->split == CS_SPLIT_BOUNDARY)
        return cs_fail(err, CS_EINPUT, "--split boundary: the model has no map 'boundary' (%s)",
                       item->maps ? item->maps : "no maps named");
    if (plan->relief < 0) {
        plan->distance = true;
        steps = CS_RELIEF_STEPS_PX;
        depth = default_depth_px;
    }
    if (post->seed_depth >= 0)
        depth = post->seed_depth;
    plan->rule.depth = in_steps(depth, steps);
    plan->rule.least_peak = in_steps(post->seed_min, steps);
    return 0;
}
