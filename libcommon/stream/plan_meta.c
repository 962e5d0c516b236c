// SPDX-License-Identifier: MIT
#include "stream/plan_meta.h"

#include "base/buf.h"
#include "stream/stream.h"

static void set_channels(struct cs_meta *begin, const struct cs_plan *plan)
{
    struct cs_buf text = {0};
    for (uint16_t i = 0; i < plan->channel_count; i++) {
        const struct cs_plan_channel *channel = &plan->channels[i];
        if (i)
            cs_buf_addc(&text, ',');
        if (!channel->name)
            cs_buf_addf(&text, "%u", channel->c + channel->sample);
        // A comma or backslash of the name itself is escaped by a backslash.
        for (const char *at = channel->name; at && *at; at++) {
            if (*at == ',' || *at == '\\')
                cs_buf_addc(&text, '\\');
            cs_buf_addc(&text, *at);
        }
    }
    cs_meta_set(begin, CS_KEY_CHANNELS, text.data);
    cs_buf_release(&text);
}

void cs_plan_meta_item(struct cs_meta *begin, const struct cs_plan *plan, uint32_t n)
{
    struct cs_plan_item item;
    cs_plan_item(plan, n, &item);
    cs_meta_setf(begin, CS_KEY_ITEMS, "%u", plan->items);
    if (plan->series_number >= 0)
        cs_meta_setf(begin, CS_KEY_SERIES, "%d", plan->series_number);
    if (plan->paged)
        cs_meta_setf(begin, CS_KEY_PAGE, "%u", item.t);
    else if (plan->series->t > 1)
        cs_meta_setf(begin, CS_KEY_TIME, "%u", item.t);
    if (plan->projection)
        cs_meta_set(begin, CS_KEY_Z, plan->projection == CS_RANGE_MAX ? "max" : "mean");
    else if (plan->series->z > 1)
        cs_meta_setf(begin, CS_KEY_Z, "%u", item.z);
}

void cs_plan_meta_page(struct cs_meta *begin, const struct cs_plan *plan)
{
    if (!plan->channel_count)
        return;
    set_channels(begin, plan);
    if (plan->pixel_um[0] > 0)
        cs_meta_setf(begin, CS_KEY_PIXEL, "%.9g", plan->pixel_um[0]);
    if (plan->pixel_um[0] > 0 && plan->pixel_um[1] != plan->pixel_um[0])
        cs_meta_setf(begin, CS_KEY_PIXEL_Y, "%.9g", plan->pixel_um[1]);
    if (plan->conversion.note[0])
        cs_meta_set(begin, CS_KEY_CONVERT, plan->conversion.note);
    if (plan->rgb)
        cs_meta_set(begin, CS_KEY_COLOUR, "rgb");
    if (plan->x || plan->y || plan->width != plan->page.width || plan->height != plan->page.height)
        cs_meta_setf(begin, CS_KEY_CROP, "%u,%u,%u,%u", plan->x, plan->y, plan->width,
                     plan->height);
}
