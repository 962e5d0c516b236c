// SPDX-License-Identifier: MIT
#include "image/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/plan_inside.h"

static const double LEAST_UM = 1e-4, MOST_UM = 1e4, PRINT_UM = 10, INCH_UM = 25400;

// ---- Which series --------------------------------------------------------------------------

static bool has_planes(const struct cs_series *series)
{
    size_t count = (size_t)series->t * series->z * series->c;
    for (size_t i = 0; i < count; i++)
        if (series->pages[i] != CS_NO_PAGE)
            return true;
    return false;
}

static int choose_series(struct cs_plan *plan, const struct cs_pick *pick, struct cs_err *err)
{
    const struct cs_layout *layout = &plan->source->layout;
    uint32_t found = 0;
    if (pick->series >= layout->count)
        return cs_fail(err, CS_EINPUT, "--series %lld: the file has %u series, counted from 0",
                       (long long)pick->series, layout->count);
    for (uint32_t i = 0; i < layout->count && pick->series < 0; i++)
        if (has_planes(&layout->series[i])) {
            plan->series_number = (int32_t)i;
            found++;
        }
    if (pick->series >= 0)
        plan->series_number = (int32_t)pick->series;
    else if (found > 1)
        return cs_fail(err, CS_EINPUT, "%u series: choose --series N", found);
    else if (!found)
        return cs_fail(
            err, CS_EINPUT,
            "none of its %u series has a plane in this file (--page N|all reads the pages)",
            layout->count);
    plan->series = &layout->series[plan->series_number];
    return 0;
}

// Pages first..first+count-1 (from `map` where given) along one axis.
static int pages_as(struct cs_plan *plan, char axis, const uint32_t *map, uint32_t first,
                    uint32_t count, struct cs_err *err)
{
    if (cs_series_init(&plan->own, &plan->source->room, axis == 't' ? count : 1,
                       axis == 'z' ? count : 1, axis == 'c' ? count : 1, err) != 0)
        return -1;
    for (uint32_t i = 0; i < count; i++)
        plan->own.pages[i] = map ? map[first + i] : first + i;
    plan->series = &plan->own;
    return 0;
}

static int choose_pages(struct cs_plan *plan, const struct cs_range *range, struct cs_err *err)
{
    uint32_t pages = plan->source->pages, first = 0, last = pages - 1;
    if (range->kind == CS_RANGE_SPAN) {
        first = range->first;
        last = range->last;
    }
    if (last >= pages)
        return cs_fail(err, CS_EINPUT, "--page %u: the file has %u page%s, counted from 0", last,
                       pages, pages == 1 ? "" : "s");
    // The first page keeps its number: the axis begins at page 0.
    if (pages_as(plan, 't', NULL, 0, last + 1, err) != 0)
        return -1;
    plan->paged = true;
    for (uint32_t i = 0; i < first; i++)
        plan->own.pages[i] = CS_NO_PAGE;
    return 0;
}

// A file that says nothing of axes. Smaller copies of a page do not count.
static int choose_without_axes(struct cs_plan *plan, const struct cs_pick *pick, struct cs_err *err)
{
    const struct cs_source *source = plan->source;
    uint32_t count = 0, *full = cs_xcalloc(source->pages, sizeof *full);
    uint16_t samples = 1;
    int status = 0;
    for (uint32_t i = 0; i < source->pages && status == 0; i++) {
        struct cs_page page;
        status = source->codec->select(source->file, i, &page, err);
        if (status != 0 && source->pages > 1)
            cs_err_context(err, "page %u", i);
        if (status == 0 && (!page.reduced || source->pages == 1)) {
            full[count++] = i;
            samples = page.samples - page.alpha;
        }
    }
    bool z = pick->z.kind != CS_RANGE_UNSET, t = pick->time.kind != CS_RANGE_UNSET;
    bool c = pick->channels && samples == 1;
    if (status == 0 && pick->series > 0)
        status = cs_fail(err, CS_EINPUT, "--series %lld: the file has no series",
                         (long long)pick->series);
    else if (status == 0 && count == 0)
        status = cs_fail(err, CS_EINPUT, "only reduced pages: choose --page N");
    else if (status == 0 && count > 1 && z + t + c > 1)
        status = cs_fail(err, CS_EINPUT,
                         "%u pages and no axes: they can be only one of -z, --time and -c", count);
    else if (status == 0 && count > 1 && z + t + c == 0)
        status = cs_fail(err, CS_EINPUT,
                         "%u pages and no axes: choose --page N|all, or say what they are with "
                         "-z, --time or -c",
                         count);
    if (status == 0)
        status = pages_as(plan, count == 1 || t ? 't' : z ? 'z' : 'c', full, 0, count, err);
    free(full);
    return status;
}

// ---- Which positions on an axis ------------------------------------------------------------

static bool present(const struct cs_series *s, char axis, uint32_t at)
{
    for (uint32_t t = axis == 't' ? at : 0; t < (axis == 't' ? at + 1 : s->t); t++)
        for (uint32_t z = axis == 'z' ? at : 0; z < (axis == 'z' ? at + 1 : s->z); z++)
            for (uint32_t c = axis == 'c' ? at : 0; c < (axis == 'c' ? at + 1 : s->c); c++)
                if (*cs_series_page(s, t, z, c) != CS_NO_PAGE)
                    return true;
    return false;
}

// All positions that the file has a plane for.
uint32_t *cs_plan_present(const struct cs_series *s, char axis, uint32_t *count)
{
    uint32_t size = axis == 't' ? s->t : axis == 'z' ? s->z : s->c;
    uint32_t *list = cs_xcalloc(size, sizeof *list);
    *count = 0;
    for (uint32_t i = 0; i < size; i++)
        if (present(s, axis, i))
            list[(*count)++] = i;
    return list;
}

static int choose_span(const struct cs_range *range, uint32_t size, const char *option,
                       uint32_t **list, uint32_t *count, struct cs_err *err)
{
    if (range->last >= size)
        return cs_fail(err, CS_EINPUT, "%s %u: the file has %u, counted from 0", option,
                       range->last, size);
    *count = range->last - range->first + 1;
    *list = cs_xcalloc(*count, sizeof **list);
    for (uint32_t i = 0; i < *count; i++)
        (*list)[i] = range->first + i;
    return 0;
}

static int choose_times(struct cs_plan *plan, const struct cs_range *range, struct cs_err *err)
{
    if (range->kind == CS_RANGE_SPAN)
        return choose_span(range, plan->series->t, "--time", &plan->times, &plan->time_count, err);
    plan->times = cs_plan_present(plan->series, 't', &plan->time_count);
    return 0;
}

static int choose_zs(struct cs_plan *plan, const struct cs_range *range, struct cs_err *err)
{
    const struct cs_series *s = plan->series;
    if (range->kind == CS_RANGE_SPAN)
        return choose_span(range, s->z, "-z", &plan->zs, &plan->z_count, err);
    plan->zs = cs_plan_present(s, 'z', &plan->z_count);
    if (range->kind == CS_RANGE_UNSET && plan->z_count > 1)
        return cs_fail(err, CS_EINPUT, "%u z planes: choose -z max, -z mean, -z all or -z N",
                       plan->z_count);
    if (range->kind == CS_RANGE_MAX || range->kind == CS_RANGE_MEAN) {
        plan->projection = range->kind;
        for (uint32_t i = 0; s->others && i < s->z; i++)
            plan->zs[i] = i; // what is missing is looked for there
        plan->z_count = s->others ? s->z : plan->z_count;
        if (plan->z_count < s->z)
            return cs_fail(err, CS_EINPUT, "%u of %u z planes are in other files",
                           s->z - plan->z_count, s->z);
    }
    return 0;
}

// ---- The rest ------------------------------------------------------------------------------

// Every plane has its place. An item belongs to the file that its first plane is in, so that it is
// given once, whichever files of a set are named.
static int check_planes(const struct cs_plan *plan, struct cs_err *err)
{
    for (uint32_t t = 0; t < plan->time_count; t++)
        for (uint32_t z = 0; z < plan->z_count; z++)
            for (uint16_t i = 0; i < plan->channel_count; i++) {
                struct cs_place place;
                if (!cs_series_place(plan->series, plan->times[t], plan->zs[z], plan->channels[i].c,
                                     &place))
                    return cs_fail(err, CS_EINPUT,
                                   "the plane of time %u, z %u, channel %u is not in this file",
                                   plan->times[t], plan->zs[z], plan->channels[i].c);
                if (place.file && i == 0 && (z == 0 || !plan->projection))
                    return cs_fail(err, CS_EINPUT,
                                   "its planes belong to the items of %s: leave this file out "
                                   "(--include, --exclude)",
                                   plan->source->layout.files[place.file - 1]);
            }
    return 0;
}

static int describe_page(struct cs_plan *plan, uint32_t page, const struct cs_pick *pick,
                         struct cs_err *err)
{
    const struct cs_series *s = plan->series;
    const struct cs_source *source = plan->source;
    if (source->codec->select(source->file, page, &plan->page, err) != 0)
        return source->pages > 1 ? cs_err_context(err, "page %u", page) : -1;
    if (s->width && (s->width != plan->page.width || s->height != plan->page.height))
        return cs_fail(err, CS_EINPUT, "described as %u x %u pixels, but stored as %u x %u",
                       s->width, s->height, plan->page.width, plan->page.height);
    return cs_convert_plan(&plan->conversion, &plan->page, source->intensities, pick->raw, err);
}

static int choose_area(struct cs_plan *plan, const struct cs_pick *pick, struct cs_err *err)
{
    plan->width = plan->page.width;
    plan->height = plan->page.height;
    if (!pick->cropped)
        return 0;
    const uint32_t *crop = pick->crop;
    if (crop[0] > plan->width || crop[2] > plan->width - crop[0] || crop[1] > plan->height ||
        crop[3] > plan->height - crop[1])
        return cs_fail(err, CS_EINPUT, "--crop %u,%u,%u,%u: the image has %u x %u pixels", crop[0],
                       crop[1], crop[2], crop[3], plan->width, plan->height);
    plan->x = crop[0];
    plan->y = crop[1];
    plan->width = crop[2];
    plan->height = crop[3];
    return 0;
}

// The user's word, the description, or the resolution tags. Tags of files without a description
// mostly hold a print resolution, as do inches that ImageJ passes on: they count only where they
// give at most 10 um a pixel. What no microscope has, below an angstrom or above a centimetre, is
// no size.
static void find_pixel_size(struct cs_plan *plan, const struct cs_pick *pick)
{
    const struct cs_layout *layout = &plan->source->layout;
    bool described = layout->count && !layout->pixel_in_tags;
    double unit = layout->pixel_in_tags && layout->unit_um ? layout->unit_um : plan->page.unit_um;
    bool stated = layout->pixel_in_tags && layout->unit_um > 0 && layout->unit_um != INCH_UM;
    for (int i = 0; i < 2; i++) {
        double um = 0;
        if (pick->pixel_um > 0)
            um = pick->pixel_um;
        else if (described)
            um = plan->paged ? 0 : plan->series->pixel_um[i];
        else if (plan->page.resolution[i] > 0 && unit > 0)
            um = unit / plan->page.resolution[i];
        if (!pick->pixel_um && (um < LEAST_UM || um > (described || stated ? MOST_UM : PRINT_UM)))
            um = 0;
        plan->pixel_um[i] = um;
    }
    if (!plan->pixel_um[0] || !plan->pixel_um[1])
        plan->pixel_um[0] = plan->pixel_um[1] =
            plan->pixel_um[0] ? plan->pixel_um[0] : plan->pixel_um[1];
}

static void forget_channels(struct cs_plan *plan)
{
    for (uint16_t i = 0; i < plan->channel_count; i++)
        free(plan->channels[i].name);
    free(plan->channels);
    plan->channels = NULL;
    plan->channel_count = 0;
}

// Everything that follows from the first page, which all pages of an item must be like.
static int plan_page(struct cs_plan *plan, uint32_t page, struct cs_err *err)
{
    forget_channels(plan);
    if (describe_page(plan, page, plan->pick, err) != 0 ||
        cs_plan_choose_channels(plan, plan->pick, err) != 0 ||
        choose_area(plan, plan->pick, err) != 0)
        return -1;
    find_pixel_size(plan, plan->pick);
    return 0;
}

// Planes that share their samples: a small file that would be read for days.
static int check_total(struct cs_plan *plan, double planes, struct cs_err *err)
{
    const struct cs_page *page = &plan->page;
    plan->given_bytes +=
        planes * page->width * page->height * page->samples * (double)cs_dtype_bytes(page->dtype);
    if (plan->given_bytes > (double)((uint64_t)1 << CS_FREE_TOTAL_BITS) &&
        plan->given_bytes > (double)CS_MAX_PLANE_RATIO * (double)plan->source->bytes)
        return cs_fail(err, CS_EINPUT,
                       "%.0f bytes in all from a file of %llu: refused as a decompression bomb",
                       plan->given_bytes, (unsigned long long)plan->source->bytes);
    return 0;
}

int cs_plan_start(struct cs_plan *plan, uint32_t n, struct cs_err *err)
{
    if (!plan->paged)
        return 0;
    return plan_page(plan, plan->series->pages[plan->times[n]], err) != 0
               ? -1
               : check_total(plan, 1, err);
}

static int choose_planes(struct cs_plan *plan, const struct cs_pick *pick, struct cs_err *err)
{
    const struct cs_series *s = plan->series;
    size_t count = (size_t)s->t * s->z * s->c, first = 0;
    while (first < count && s->pages[first] == CS_NO_PAGE)
        first++;
    if (first == count)
        return cs_fail(err, CS_EINPUT, "no plane of the series is in this file");
    if (choose_times(plan, &pick->time, err) != 0 || choose_zs(plan, &pick->z, err) != 0)
        return -1;
    plan->items = plan->time_count * (plan->projection ? 1 : plan->z_count);
    if (plan->paged)
        return 0;
    if (plan_page(plan, s->pages[first], err) != 0 || check_planes(plan, err) != 0)
        return -1;
    uint32_t channels = s->c == 1 ? 1 : plan->channel_count; // samples of one plane, or planes
    double planes = (double)plan->time_count * plan->z_count * channels;
    return check_total(plan, planes, err);
}

int cs_plan_make(struct cs_plan *plan, const struct cs_pick *pick, const struct cs_source *source,
                 struct cs_err *err)
{
    *plan = (struct cs_plan){.source = source, .pick = pick, .series_number = -1};
    int status;
    if (pick->page.kind != CS_RANGE_UNSET) {
        status = choose_pages(plan, &pick->page, err);
    } else if (source->layout_err.code != CS_OK) {
        if (err)
            *err = source->layout_err;
        size_t used = err ? strlen(err->text) : 0;
        if (err)
            snprintf(err->text + used, sizeof err->text - used, " (--page N|all reads the pages)");
        return -1;
    } else if (source->layout.count) {
        status = choose_series(plan, pick, err);
    } else {
        status = choose_without_axes(plan, pick, err);
    }
    return status == 0 ? choose_planes(plan, pick, err) : -1;
}

void cs_plan_item(const struct cs_plan *plan, uint32_t n, struct cs_plan_item *item)
{
    uint32_t zs = plan->projection ? 1 : plan->z_count;
    *item = (struct cs_plan_item){.t = plan->times[n / zs], .z = plan->zs[n % zs]};
    char *at = item->suffix;
    if (plan->time_count > 1)
        at += snprintf(at, 16, ".%c%03u", plan->paged ? 'p' : 't', item->t);
    if (zs > 1)
        snprintf(at, 16, ".z%03u", item->z);
}

void cs_plan_release(struct cs_plan *plan)
{
    forget_channels(plan);
    free(plan->times);
    free(plan->zs);
    cs_series_release(&plan->own);
    *plan = (struct cs_plan){0};
}
