// SPDX-License-Identifier: MIT
// In a box round the component, with a margin of background where the image goes on: nothing that
// decides lies further out. The nearest background of a pixel is beside its own component, and what
// a component encloses, other components included, has come to its end before it.
#include "segment/part.h"

#include <stdlib.h>
#include <string.h>

#include "image/runs.h"
#include "segment/morph.h"

struct box {
    uint32_t x0, y0, width, height; // on the image
    struct cs_image mask, relief, labels;
    uint32_t count; // labels
};

static int box_init(struct box *b, const struct cs_sweep_part *p, const struct cs_part_rule *r,
                    struct cs_err *err)
{
    uint32_t right = p->right < r->width ? p->right + 1 : p->right;
    uint32_t bottom = p->bottom < r->height ? p->bottom + 1 : p->bottom;
    b->x0 = p->left ? p->left - 1 : 0;
    b->y0 = p->top ? p->top - 1 : 0;
    b->width = right - b->x0;
    b->height = bottom - b->y0;
    size_t spill = r->scratch.spill_bytes;
    if (r->split &&
        cs_image_init(&b->mask, b->width, b->height, 1, CS_U8, spill, r->scratch.dir, err) != 0)
        return -1;
    enum cs_dtype dtype = r->split ? CS_U16 : CS_U32;
    if (r->split && r->distance)
        return 0;
    return cs_image_init(r->split ? &b->relief : &b->labels, b->width, b->height, 1, dtype, spill,
                         r->scratch.dir, err);
}

static void box_release(struct box *b)
{
    cs_image_release(&b->mask);
    cs_image_release(&b->relief);
    cs_image_release(&b->labels);
}

// The component's runs into the planes of the box.
static void paint(struct box *b, const struct cs_sweep *sweep, const struct cs_sweep_part *part)
{
    const struct cs_sweep_run *run;
    for (uint32_t i = part->head; i != CS_SWEEP_NONE; i = run->next) {
        run = cs_sweep_run_at(sweep, i);
        size_t at = (size_t)(run->row - b->y0) * b->width + (run->first - b->x0);
        uint32_t count = run->end - run->first;
        if (b->mask.data)
            memset((uint8_t *)b->mask.data + at, 1, count);
        if (b->relief.data)
            memcpy((uint16_t *)b->relief.data + at, run->relief, count * sizeof(uint16_t));
        for (uint32_t k = 0; b->labels.data && k < count; k++)
            ((uint32_t *)b->labels.data)[at + k] = 1;
    }
}

static int split(struct box *b, const struct cs_part_rule *r, struct cs_err *err)
{
    if (r->distance && cs_relief_distance(&b->relief, &b->mask, &r->scratch, err) != 0)
        return -1;
    int status = cs_objects_split(&b->labels, &b->count, &b->mask, &b->relief, r->depth,
                                  r->least_peak, r->connectivity, &r->scratch, err);
    cs_image_release(&b->mask);
    cs_image_release(&b->relief);
    return status;
}

// Between split objects what lies in a hole keeps it open: it gets a label of its own meanwhile.
static void paint_others(struct box *b, const struct cs_sweep *sweep,
                         const struct cs_sweep_part *part)
{
    for (uint32_t y = part->top; y < part->bottom; y++) {
        uint32_t count;
        const struct cs_sweep_span *spans = cs_sweep_spans(sweep, y, &count);
        uint32_t *row = (uint32_t *)b->labels.data + (size_t)(y - b->y0) * b->width;
        for (uint32_t k = 0; k < count; k++) {
            if (spans[k].first < part->left || spans[k].end > part->right)
                continue;
            for (uint32_t x = spans[k].first; x < spans[k].end; x++)
                row[x - b->x0] = b->count + 1;
        }
    }
}

static int fill(struct box *b, const struct cs_sweep *sweep, const struct cs_sweep_part *part,
                const struct cs_part_rule *r, struct cs_err *err)
{
    if (part->runs == part->bottom - part->top)
        return 0; // one run a row: no holes
    if (r->split)
        paint_others(b, sweep, part);
    return cs_morph_fill_holes(&b->labels, r->connectivity, &r->scratch, err);
}

struct object {
    uint64_t area;
    uint32_t id;
    bool at_border;
};

static bool passes(const struct object *object, const struct cs_object_filter *filter)
{
    return object->area >= filter->min_area &&
           (!filter->max_area || object->area <= filter->max_area) &&
           !(filter->clear_border && object->at_border);
}

static void measure_run(struct object *o, const struct cs_part_rule *r, uint32_t y, uint32_t first,
                        uint32_t end)
{
    o->area += end - first;
    o->at_border |= y == 0 || y + 1 == r->height || first == 0 || end == r->width;
}

static int put_labels(struct cs_sweep *sweep, const struct box *b, const struct cs_part_rule *r,
                      struct cs_err *err)
{
    struct object *objects =
        cs_alloc((size_t)b->count + 2, sizeof *objects, "table of objects", err);
    if (!objects)
        return -1;
    for (int pass = 0; pass < 2; pass++) {
        const uint32_t *row = b->labels.data;
        for (uint32_t y = b->y0; y < b->y0 + b->height; y++, row += b->width)
            for (uint32_t x = 0, end; x < b->width; x = end) {
                end = cs_run_end(row, x, b->width, sizeof *row);
                if (!row[x] || row[x] > b->count)
                    continue;
                struct object *o = &objects[row[x]];
                if (!pass) {
                    measure_run(o, r, y, b->x0 + x, b->x0 + end);
                    continue;
                }
                if (!r->split)
                    cs_sweep_cut(sweep, y, b->x0 + x, b->x0 + end);
                cs_sweep_put(sweep, y, b->x0 + x, b->x0 + end, o->id);
            }
        for (uint32_t k = 1; !pass && k <= b->count; k++)
            objects[k].id =
                passes(&objects[k], &r->filter) ? cs_sweep_object(sweep) : CS_SWEEP_DROPPED;
    }
    free(objects);
    return 0;
}

// The component as it is.
static void put_whole(struct cs_sweep *sweep, const struct cs_sweep_part *part,
                      const struct cs_part_rule *r)
{
    struct object object = {.area = part->pixels};
    const struct cs_sweep_run *run;
    object.at_border =
        part->top == 0 || part->bottom == r->height || part->left == 0 || part->right == r->width;
    uint32_t id = passes(&object, &r->filter) ? cs_sweep_object(sweep) : CS_SWEEP_DROPPED;
    for (uint32_t i = part->head; i != CS_SWEEP_NONE; i = run->next) {
        run = cs_sweep_run_at(sweep, i);
        cs_sweep_put(sweep, run->row, run->first, run->end, id);
    }
}

int cs_part_objects(struct cs_sweep *sweep, const struct cs_sweep_part *part,
                    const struct cs_part_rule *r, struct cs_err *err)
{
    struct box box = {.count = 1};
    bool holes = r->fill_holes && part->runs > part->bottom - part->top;
    if (!r->split && !holes) {
        put_whole(sweep, part, r);
        return 0;
    }
    int status = box_init(&box, part, r, err);
    if (status == 0)
        paint(&box, sweep, part);
    if (status == 0 && r->split)
        status = split(&box, r, err);
    if (status == 0 && r->fill_holes)
        status = fill(&box, sweep, part, r, err);
    if (status == 0)
        status = put_labels(sweep, &box, r, err);
    box_release(&box);
    return status;
}
