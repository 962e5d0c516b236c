// SPDX-License-Identifier: MIT
// Labels from runs, and filters by one scan that collects and one that renumbers.
#include "segment/objects.h"

#include <stdlib.h>
#include <string.h>

#include "image/runs.h"

enum { NARROW = 512 }; // samples at once

int cs_objects_label(struct cs_image *labels, uint32_t *count, const struct cs_image *mask,
                     int connectivity, const struct cs_scratch *scratch, struct cs_err *err)
{
    struct cs_runs runs = {0};
    int status = cs_runs_find(&runs, mask, CS_RUNS_OBJECTS, connectivity, scratch->spill_bytes,
                              scratch->dir, err);
    if (status == 0)
        status = cs_image_init(labels, mask->width, mask->height, 1, CS_U32, scratch->spill_bytes,
                               scratch->dir, err);
    if (status == 0) {
        for (size_t i = 0; i < runs.count; i++) {
            const struct cs_run *run = &runs.items[i];
            uint32_t *row = (uint32_t *)labels->data + (size_t)run->row * labels->width;
            for (uint32_t x = run->first; x < run->end; x++)
                row[x] = run->component + 1;
        }
        *count = runs.components;
    }
    cs_runs_release(&runs);
    return status;
}

// What the filters ask of one object.
struct object {
    uint64_t area;
    uint32_t name; // new label, 0 while it has none
    bool at_border;
};

static void collect(struct object *objects, const struct cs_image *labels)
{
    const uint32_t *label = labels->data;
    for (uint32_t y = 0; y < labels->height; y++, label += labels->width) {
        bool edge_row = y == 0 || y + 1 == labels->height;
        for (uint32_t x = 0, end; x < labels->width; x = end) {
            end = cs_run_end(label, x, labels->width, sizeof *label);
            objects[label[x]].area += end - x;
            objects[label[x]].at_border |= edge_row;
        }
        objects[label[0]].at_border = true;
        objects[label[labels->width - 1]].at_border = true;
    }
}

static bool passes(const struct object *object, const struct cs_object_filter *filter)
{
    return object->area >= filter->min_area &&
           (!filter->max_area || object->area <= filter->max_area) &&
           !(filter->clear_border && object->at_border);
}

int cs_objects_filter(struct cs_image *labels, uint32_t *count,
                      const struct cs_object_filter *filter, struct cs_err *err)
{
    struct object *objects = cs_alloc((size_t)*count + 1, sizeof *objects, "table of objects", err);
    if (!objects)
        return -1;
    if (labels->width && labels->height)
        collect(objects, labels);
    uint32_t kept = 0;
    uint32_t *label = labels->data;
    for (uint32_t y = 0; y < labels->height; y++, label += labels->width)
        for (uint32_t x = 0, end; x < labels->width; x = end) {
            struct object *object = &objects[label[x]];
            end = cs_run_end(label, x, labels->width, sizeof *label);
            if (!label[x])
                continue;
            if (!object->name && passes(object, filter))
                object->name = ++kept;
            if (object->name == label[x])
                continue;
            for (uint32_t i = x; i < end; i++)
                label[i] = object->name;
        }
    free(objects);
    *count = kept;
    return 0;
}

void cs_objects_narrow(struct cs_image *labels, uint32_t count)
{
    if (labels->dtype != CS_U32 || count > UINT16_MAX)
        return;
    size_t n = (size_t)labels->width * labels->height;
    unsigned char *bytes = labels->data;
    // Forwards, so that no sample is overwritten before it is read.
    for (size_t i = 0; i < n; i += NARROW) {
        uint32_t wide[NARROW] = {0};
        uint16_t narrow[NARROW];
        size_t part = n - i < NARROW ? n - i : NARROW;
        memcpy(wide, bytes + 4 * i, 4 * part);
#pragma omp simd
        for (size_t k = 0; k < NARROW; k++)
            narrow[k] = (uint16_t)wide[k];
        memcpy(bytes + 2 * i, narrow, 2 * part);
    }
    labels->dtype = CS_U16;
}
