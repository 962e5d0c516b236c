// SPDX-License-Identifier: MIT
// The order of frames, HEAD (BEGIN DATA* DONE)* END, checked alike on reading and on writing:
// items are numbered 0, 1, 2... without gaps; the bands of a plane agree in shape, come in row
// order and are complete, unless DONE says that the item failed.
#ifndef CS_STREAM_ORDER_H
#define CS_STREAM_ORDER_H

#include "base/meta.h"
#include "stream/frame.h"

// Zero-initialise: nothing was seen.
struct cs_order {
    bool headed, open, ended;
    uint64_t items, failed; // items begun; items whose DONE said failed
    struct cs_order_plane {
        uint32_t width, height, next_row; // height 0: no band of this plane yet
        uint16_t channels;
        uint8_t dtype;
    } planes[CS_PLANE_COUNT];
};

// The next frame, with its metadata; CS_ESTREAM where it may not come here. Skippable frames are
// not shown to it.
int cs_order_next(struct cs_order *order, const struct cs_frame_header *header,
                  const struct cs_meta *meta, struct cs_err *err);

#endif
