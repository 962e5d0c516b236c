// SPDX-License-Identifier: MIT
// From probabilities to a mask, and the relief that touching objects are split on.
#ifndef CS_SEGMENT_MASK_H
#define CS_SEGMENT_MASK_H

#include "image/image.h"

// Where large planes live: see cs_big_init.
struct cs_scratch {
    size_t spill_bytes;
    const char *dir;
};

// mask = 1 where channel `channel` of the plane (u8, u16, f32) is above the threshold, else 0.
// The comparison is strict and exact: v / 255 > t, v / 65535 > t or p > t, in double precision;
// what is not a number is background. Initialises mask (u8): release with cs_image_release.
int cs_mask_threshold(struct cs_image *mask, const struct cs_image *probability, uint16_t channel,
                      double threshold, const struct cs_scratch *scratch, struct cs_err *err);

// Reliefs are u16 planes, initialised here: release with cs_image_release.

// The channel itself in steps of 1 / 65535: u8 times 257, f32 clamped to 0..1 and rounded.
int cs_relief_channel(struct cs_image *relief, const struct cs_image *probability, uint16_t channel,
                      const struct cs_scratch *scratch, struct cs_err *err);
// foreground - boundary, at least 0, in steps of 1 / 65535.
int cs_relief_boundary(struct cs_image *relief, const struct cs_image *probability,
                       uint16_t foreground, uint16_t boundary, const struct cs_scratch *scratch,
                       struct cs_err *err);
// The exact Euclidean distance of each mask pixel to the nearest background pixel, rounded to
// steps of 1 / CS_RELIEF_STEPS_PX pixel; 65535 from 2047.97 px on.
enum { CS_RELIEF_STEPS_PX = 32, CS_RELIEF_FAR_PX = 2048 };
int cs_relief_distance(struct cs_image *relief, const struct cs_image *mask,
                       const struct cs_scratch *scratch, struct cs_err *err);

#endif
