// SPDX-License-Identifier: MIT
#include "backend/job_area.h"

#include <assert.h>
#include <math.h>

#include "base/mem.h"

enum { FORGET_BYTES = 16 << 20 };

struct span {
    int64_t first, last; // and before `last`
};

static struct cs_job_area area_of(struct span x, struct span y)
{
    return (struct cs_job_area){(uint32_t)x.first, (uint32_t)y.first, (uint32_t)(x.last - x.first),
                                (uint32_t)(y.last - y.first)};
}

struct cs_job_area cs_job_scaled(const struct cs_job *job, int net_width, int net_height)
{
    if (!job->scaled_width)
        return (struct cs_job_area){0, 0, (uint32_t)net_width, (uint32_t)net_height};
    return (struct cs_job_area){(uint32_t)job->x0, (uint32_t)job->y0, job->scaled_width,
                                job->scaled_height};
}

// ---- The image -----------------------------------------------------------------------------

struct cs_job_filter cs_job_filter_at(int64_t i, int64_t size, int64_t image_size)
{
    double shrink = (double)image_size / (double)size;
    struct cs_job_filter f = {.centre = ((double)i + 0.5) * shrink,
                              .radius = shrink > 1 ? shrink : 1};
    f.first = (int64_t)floor(f.centre - f.radius + 0.5);
    f.last = (int64_t)ceil(f.centre + f.radius - 0.5) + 1;
    f.first = f.first < 0 ? 0 : f.first;
    f.last = f.last > image_size ? image_size : f.last;
    return f;
}

// `count` network pixels from `first` on.
static struct span filtered(int64_t first, int64_t count, int64_t size, int64_t image_size)
{
    return (struct span){cs_job_filter_at(first, size, image_size).first,
                         cs_job_filter_at(first + count - 1, size, image_size).last};
}

static struct span mirrored(int64_t first, int64_t count, int64_t size)
{
    int64_t over = first + count - size; // network pixels behind the image
    int64_t low = first > 0 ? first : 0, high = over > 0 ? size : first + count;
    if (first >= size || first + count <= 0) // wholly mirrored
        return (struct span){0, size};
    if (first < 0 && high < 1 - first)
        high = 1 - first;
    if (over > 0 && low > size - 1 - over)
        low = size - 1 - over;
    return (struct span){low < 0 ? 0 : low, high > size ? size : high};
}

struct cs_job_area cs_job_image_area(const struct cs_job *job, int net_width, int net_height)
{
    int64_t width = job->width, height = job->height;
    if (job->placement == CS_PLACE_COPY)
        return area_of(mirrored(job->x0, net_width, width), mirrored(job->y0, net_height, height));
    struct cs_job_area on = cs_job_scaled(job, net_width, net_height);
    return area_of(filtered(on.x, net_width, on.width, width),
                   filtered(on.y, net_height, on.height, height));
}

// ---- The plane -----------------------------------------------------------------------------

struct cs_job_blend cs_job_blend_at(int64_t i, int64_t size, int64_t plane_size)
{
    double at = ((double)i + 0.5) * ((double)plane_size / (double)size) - 0.5;
    double last = (double)(plane_size - 1);
    at = at < 0 ? 0 : at > last ? last : at;
    struct cs_job_blend blend = {.low = (int64_t)at};
    blend.high = blend.low + 1 < plane_size ? blend.low + 1 : blend.low;
    blend.part = (float)(at - (double)blend.low);
    return blend;
}

// Behind samples part .. part+count-1 of the map, of a plane of which the network's begins at
// `origin`.
static struct span behind(int64_t part, int64_t count, int64_t size, int64_t plane_size,
                          int64_t origin)
{
    int64_t end = part + count;
    int64_t first = part * plane_size / size, last = (end * plane_size + size - 1) / size;
    int64_t low = cs_job_blend_at(part, size, plane_size).low;
    int64_t high = cs_job_blend_at(end - 1, size, plane_size).high + 1;
    return (struct span){(low < first ? low : first) - origin,
                         (high > last ? high : last) - origin};
}

struct cs_job_area cs_job_plane_area(const struct cs_job *job, int net_width, int net_height)
{
    if (job->placement == CS_PLACE_COPY)
        return (struct cs_job_area){(uint32_t)((int64_t)job->part_x - job->x0 - job->skip_x),
                                    (uint32_t)((int64_t)job->part_y - job->y0 - job->skip_y),
                                    job->part_width, job->part_height};
    struct cs_job_area on = cs_job_scaled(job, net_width, net_height);
    return area_of(
        behind(job->part_x, job->part_width, job->out_width, on.width, on.x + job->skip_x),
        behind(job->part_y, job->part_height, job->out_height, on.height, on.y + job->skip_y));
}

// ---- Pages ---------------------------------------------------------------------------------

void cs_job_forget_rows(const void *data, size_t row_bytes, int64_t *from, int64_t end)
{
    if (end <= *from || (size_t)(end - *from) * row_bytes < FORGET_BYTES)
        return;
    cs_shared_forget((void *)(uintptr_t)data, (size_t)*from * row_bytes, (size_t)end * row_bytes);
    *from = end;
}
