// SPDX-License-Identifier: MIT
// A plane of samples in memory: rows x columns x channels, interleaved (H, W, C), native byte
// order, rows without padding.
#ifndef CS_IMAGE_IMAGE_H
#define CS_IMAGE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

// The numbers are those of the stream (cs-stream(5)).
enum cs_dtype {
    CS_U8 = 1,
    CS_U16,
    CS_U32,
    CS_U64,
    CS_I8,
    CS_I16,
    CS_I32,
    CS_I64,
    CS_F16 = 9,
    CS_F32,
    CS_F64,
};

size_t cs_dtype_bytes(enum cs_dtype dtype);     // 0 for no such type
const char *cs_dtype_name(enum cs_dtype dtype); // "u8" .. "f64"

struct cs_image {
    uint32_t width, height;
    uint16_t channels;
    enum cs_dtype dtype;
    void *data; // borrowed or owned by `block`, as the maker says
    struct cs_big block;
};

// Bytes of the whole plane; 0 when it does not fit a size_t.
size_t cs_image_bytes(const struct cs_image *image);
size_t cs_image_row_bytes(const struct cs_image *image);

// Zeroed plane with memory of its own (spilled to scratch above spill_bytes, see mem.h).
// Fails with CS_ENOMEM. Release with cs_image_release.
int cs_image_init(struct cs_image *image, uint32_t width, uint32_t height, uint16_t channels,
                  enum cs_dtype dtype, size_t spill_bytes, const char *scratch_dir,
                  struct cs_err *err);
// Accepts a zeroed struct; leaves a zeroed struct.
void cs_image_release(struct cs_image *image);

// IEEE 754 binary16 to binary32, exactly.
float cs_half_to_float(uint16_t half);

// One sample as a double, whatever the dtype (64-bit integers may round). For code where speed
// does not matter; loops over samples switch on dtype outside the loop instead.
double cs_image_sample(const struct cs_image *image, uint32_t x, uint32_t y, uint16_t channel);

#endif
