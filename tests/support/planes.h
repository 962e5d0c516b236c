// SPDX-License-Identifier: MIT
// Small planes for tests: drawn in text or made from a seed.
#ifndef CS_TESTS_PLANES_H
#define CS_TESTS_PLANES_H

#include "image/image.h"

// A plane of labels (or a mask) from text: one string a row, ' ' and '.' are 0, '1'..'9' and
// 'a'..'z' are 1 to 9 and 10 to 35. Rows end with NULL and have one length.
void planes_draw(struct cs_image *plane, enum cs_dtype dtype, const char *const *rows);

// The next number of a generator that is the same everywhere.
uint32_t planes_random(uint64_t *seed);

// Random u8 mask; `percent` of the pixels are 1. smooth > 0: blobs of about that size.
void planes_random_mask(struct cs_image *mask, uint32_t width, uint32_t height, int percent,
                        int smooth, uint64_t seed);

#endif
