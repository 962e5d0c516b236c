// SPDX-License-Identifier: MIT
// Connected components of a mask that comes row by row. A component is handed out as soon as no row
// to come can touch it, with the runs that it has; then it becomes objects, whose runs wait in
// their rows until no component of an earlier row is open. Rows leave from the top, with objects
// numbered in raster order of their first pixels: the result is that of the whole plane, whatever
// the bands, and memory follows the tallest component and not the plane.
#ifndef CS_SEGMENT_SWEEP_H
#define CS_SEGMENT_SWEEP_H

#include "segment/mask.h"

// A run of a component: pixels [first, end) of a row, and the relief at them.
struct cs_sweep_run {
    uint32_t row, first, end;
    uint32_t next;          // of the component; CS_SWEEP_NONE: the last
    const uint16_t *relief; // NULL where there is none
    struct cs_sweep_slab *slab;
};
#define CS_SWEEP_NONE UINT32_MAX

// A component that is complete: pixels in rows [top, bottom) and columns [left, right).
struct cs_sweep_part {
    uint32_t top, bottom, left, right;
    uint32_t runs, head; // how many, and the first: follow cs_sweep_run.next; in no order
    uint64_t pixels;
};

// Pixels [first, end) of a row that belong to object `id`.
struct cs_sweep_span {
    uint32_t first, end, id;
};

struct cs_sweep;

struct cs_sweep_how {
    uint32_t width, height;
    int connectivity; // 4 or 8
    bool relief;      // rows come with one
    bool bits;        // cs_sweep_is_empty is asked
    struct cs_scratch scratch;
    // Make objects of a component: cs_sweep_object and cs_sweep_put.
    int (*part)(struct cs_sweep *sweep, const struct cs_sweep_part *part, void *context,
                struct cs_err *err);
    // Row y is final: its spans from left to right, id now the number of the object, from 1 on in
    // raster order. Rows come in order.
    int (*row)(uint32_t y, const struct cs_sweep_span *spans, uint32_t count, void *context,
               struct cs_err *err);
    void *context;
};

// CS_ENOMEM, CS_EIO (scratch). Close also after a failure.
int cs_sweep_open(struct cs_sweep **sweep, const struct cs_sweep_how *how, struct cs_err *err);
// The next row: mask 0 or 1, and the relief (NULL if there is none), both of `width` samples.
int cs_sweep_row(struct cs_sweep *sweep, const uint8_t *mask, const uint16_t *relief,
                 struct cs_err *err);
// After the last row: everything that is left goes out. *count: objects.
int cs_sweep_end(struct cs_sweep *sweep, uint32_t *count, struct cs_err *err);
void cs_sweep_close(struct cs_sweep *sweep); // accepts NULL

// ---- For the part function -----------------------------------------------------------------

const struct cs_sweep_run *cs_sweep_run_at(const struct cs_sweep *sweep, uint32_t index);
// A new object. Names are not numbers: those follow when rows leave.
uint32_t cs_sweep_object(struct cs_sweep *sweep);
// Pixels [first, end) of a row of the part are of this object. Each pixel is put once.
void cs_sweep_put(struct cs_sweep *sweep, uint32_t row, uint32_t first, uint32_t end, uint32_t id);
// Objects within [first, end) of a row of the part are gone, as far as that row goes.
void cs_sweep_cut(struct cs_sweep *sweep, uint32_t row, uint32_t first, uint32_t end);
// Whether the mask has no pixel in [first, end) of a row of the part.
bool cs_sweep_is_empty(const struct cs_sweep *sweep, uint32_t row, uint32_t first, uint32_t end);

#endif
