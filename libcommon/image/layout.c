// SPDX-License-Identifier: MIT
#include "image/layout.h"

#include <stdlib.h>

#include "base/mem.h"

enum { PLANE_BYTES = 32 }; // a page, a place, and lists of positions

int cs_series_init(struct cs_series *series, const struct cs_room *room, uint64_t t, uint64_t z,
                   uint64_t c, struct cs_err *err)
{
    *series = (struct cs_series){0};
    if (!t || !z || !c || t > CS_MAX_PLANES || z > CS_MAX_PLANES || c > CS_MAX_CHANNELS ||
        t * z > CS_MAX_PLANES || t * z * c > CS_MAX_PLANES)
        return cs_fail(err, CS_EINPUT, "axes of %llu times, %llu z and %llu channels",
                       (unsigned long long)t, (unsigned long long)z, (unsigned long long)c);
    // Twice: a series may be made beside others.
    if (cs_room_check(room, t * z * c * PLANE_BYTES * 2, "the axes", err) != 0)
        return -1;
    series->t = (uint32_t)t;
    series->z = (uint32_t)z;
    series->c = (uint32_t)c;
    size_t count = (size_t)(t * z * c);
    series->pages = cs_xcalloc(count, sizeof *series->pages);
    for (size_t i = 0; i < count; i++)
        series->pages[i] = CS_NO_PAGE;
    return 0;
}

void cs_series_release(struct cs_series *series)
{
    for (uint32_t i = 0; series->names && i < series->c; i++)
        free(series->names[i]);
    free(series->names);
    free(series->pages);
    free(series->others);
    *series = (struct cs_series){0};
}

static size_t index_of(const struct cs_series *series, uint32_t t, uint32_t z, uint32_t c)
{
    return ((size_t)t * series->z + z) * series->c + c;
}

uint32_t *cs_series_page(const struct cs_series *series, uint32_t t, uint32_t z, uint32_t c)
{
    return &series->pages[index_of(series, t, z, c)];
}

void cs_series_put_elsewhere(struct cs_series *series, uint32_t t, uint32_t z, uint32_t c,
                             struct cs_place place)
{
    if (!series->others)
        series->others =
            cs_xcalloc((size_t)series->t * series->z * series->c, sizeof *series->others);
    series->others[index_of(series, t, z, c)] = place;
}

bool cs_series_place(const struct cs_series *series, uint32_t t, uint32_t z, uint32_t c,
                     struct cs_place *place)
{
    *place = (struct cs_place){0, *cs_series_page(series, t, z, c)};
    if (place->page != CS_NO_PAGE)
        return true;
    if (series->others)
        *place = series->others[index_of(series, t, z, c)];
    return place->file != 0;
}

void cs_series_name(struct cs_series *series, uint32_t c, const char *name)
{
    if (!series->names)
        series->names = cs_xcalloc(series->c, sizeof *series->names);
    free(series->names[c]);
    series->names[c] = cs_xstrdup(name);
}

int cs_layout_add(struct cs_layout *layout, struct cs_series *series, struct cs_err *err)
{
    if (layout->count == CS_MAX_SERIES)
        return cs_fail(err, CS_EINPUT, "more than %d series", CS_MAX_SERIES);
    uint64_t planes = (uint64_t)series->t * series->z * series->c;
    if (planes + cs_layout_bytes(layout) / PLANE_BYTES > CS_MAX_PLANES)
        return cs_fail(err, CS_EINPUT, "more than %d planes", CS_MAX_PLANES);
    layout->series = cs_xrealloc(layout->series, (size_t)layout->count + 1, sizeof *layout->series);
    layout->series[layout->count++] = *series;
    *series = (struct cs_series){0};
    return 0;
}

uint64_t cs_layout_bytes(const struct cs_layout *layout)
{
    uint64_t planes = 0;
    for (uint32_t i = 0; i < layout->count; i++)
        planes += (uint64_t)layout->series[i].t * layout->series[i].z * layout->series[i].c;
    return planes * PLANE_BYTES;
}

void cs_layout_release(struct cs_layout *layout)
{
    for (uint32_t i = 0; i < layout->count; i++)
        cs_series_release(&layout->series[i]);
    free(layout->series);
    for (uint32_t i = 0; i < layout->file_count; i++)
        free(layout->files[i]);
    free(layout->files);
    free(layout->master);
    free(layout->uuid);
    *layout = (struct cs_layout){.room = layout->room};
}
