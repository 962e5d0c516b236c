// SPDX-License-Identifier: MIT
#include "image/imagej.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "image/unit.h"

bool cs_imagej_sniff(const char *text)
{
    return strncmp(text, "ImageJ=", 7) == 0;
}

// The value of "key=" up to the end of its line; -1 when there is no such line.
static int find_line(const char *text, const char *key, char *value, size_t size)
{
    size_t key_len = strlen(key);
    for (const char *line = text; *line;) {
        size_t len = strcspn(line, "\r\n");
        if (len > key_len && line[key_len] == '=' && strncmp(line, key, key_len) == 0) {
            size_t n = len - key_len - 1;
            n = n < size - 1 ? n : size - 1;
            memcpy(value, line + key_len + 1, n);
            value[n] = '\0';
            return 0;
        }
        line += len;
        line += strspn(line, "\r\n");
    }
    return -1;
}

static int find_count(const char *text, const char *key, int64_t *count, struct cs_err *err)
{
    char value[32];
    *count = 1;
    if (find_line(text, key, value, sizeof value) != 0)
        return 0;
    if (cs_num_int(value, 1, 1 << 20, key, count, err) != 0) {
        if (err)
            err->code = CS_EINPUT;
        return cs_err_context(err, "ImageJ description");
    }
    return 0;
}

int cs_imagej_parse(struct cs_layout *layout, const char *text, uint32_t pages, struct cs_err *err)
{
    int64_t images, c, z, t;
    char unit[64];
    struct cs_series series;
    if (find_count(text, "images", &images, err) != 0 ||
        find_count(text, "channels", &c, err) != 0 || find_count(text, "slices", &z, err) != 0 ||
        find_count(text, "frames", &t, err) != 0)
        return -1;
    // ImageJ takes the resolution to be in the unit of its own line, whatever the tag says.
    layout->pixel_in_tags = true;
    if (find_line(text, "unit", unit, sizeof unit) == 0)
        layout->unit_um = cs_unit_um(unit) > 0 ? cs_unit_um(unit) : -1;
    if (c * z * t == 1 && (images > 1 || pages > 1))
        return 0;
    if (c * z * t != images)
        return cs_fail(err, CS_EINPUT,
                       "ImageJ description: %lld images, but %lld channels x %lld slices x %lld "
                       "frames",
                       (long long)images, (long long)c, (long long)z, (long long)t);
    if (cs_series_init(&series, layout->room, (uint64_t)t, (uint64_t)z, (uint64_t)c, err) != 0)
        return -1;
    if (pages == 1 && images > 1)
        layout->planes = (uint32_t)images;
    for (uint32_t i = 0; i < (uint32_t)images; i++)
        series.pages[i] = layout->planes || i < pages ? i : CS_NO_PAGE;
    return cs_layout_add(layout, &series, err);
}
