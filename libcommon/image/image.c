// SPDX-License-Identifier: MIT
#include "image/image.h"

#include <string.h>

static const struct {
    const char *name;
    size_t bytes;
} types[] = {
    [CS_U8] = {"u8", 1},   [CS_U16] = {"u16", 2}, [CS_U32] = {"u32", 4}, [CS_U64] = {"u64", 8},
    [CS_I8] = {"i8", 1},   [CS_I16] = {"i16", 2}, [CS_I32] = {"i32", 4}, [CS_I64] = {"i64", 8},
    [CS_F16] = {"f16", 2}, [CS_F32] = {"f32", 4}, [CS_F64] = {"f64", 8},
};

size_t cs_dtype_bytes(enum cs_dtype dtype)
{
    return (size_t)dtype < sizeof types / sizeof *types ? types[dtype].bytes : 0;
}

const char *cs_dtype_name(enum cs_dtype dtype)
{
    return cs_dtype_bytes(dtype) ? types[dtype].name : "?";
}

size_t cs_image_row_bytes(const struct cs_image *image)
{
    size_t bytes;
    return cs_mul4_size(image->width, image->channels, cs_dtype_bytes(image->dtype), 1, &bytes)
               ? bytes
               : 0;
}

size_t cs_image_bytes(const struct cs_image *image)
{
    size_t bytes;
    return cs_mul_size(cs_image_row_bytes(image), image->height, &bytes) ? bytes : 0;
}

int cs_image_init(struct cs_image *image, uint32_t width, uint32_t height, uint16_t channels,
                  enum cs_dtype dtype, size_t spill_bytes, const char *scratch_dir,
                  struct cs_err *err)
{
    *image =
        (struct cs_image){.width = width, .height = height, .channels = channels, .dtype = dtype};
    size_t bytes = cs_image_bytes(image);
    if (!bytes && width && height && channels)
        return cs_fail(err, CS_ENOMEM, "%u x %u x %u samples are beyond the address space", width,
                       height, channels);
    if (cs_big_init(&image->block, bytes, spill_bytes, scratch_dir, err) != 0)
        return -1;
    image->data = image->block.data;
    return 0;
}

void cs_image_release(struct cs_image *image)
{
    cs_big_release(&image->block);
    *image = (struct cs_image){0};
}

float cs_half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = (half >> 10) & 31, mantissa = half & 0x3ff;
    union {
        uint32_t bits;
        float value;
    } out;
    if (exponent == 0) {
        // Subnormal or zero: mantissa x 2^-24, exact in binary32.
        out.value = (float)mantissa * 0x1p-24f;
        out.bits |= sign;
    } else if (exponent == 31) {
        out.bits = sign | 0x7f800000 | mantissa << 13;
    } else {
        out.bits = sign | (exponent + 112) << 23 | mantissa << 13;
    }
    return out.value;
}

double cs_image_sample(const struct cs_image *image, uint32_t x, uint32_t y, uint16_t channel)
{
    size_t i = ((size_t)y * image->width + x) * image->channels + channel;
    switch (image->dtype) {
    case CS_U8:
        return ((const uint8_t *)image->data)[i];
    case CS_U16:
        return ((const uint16_t *)image->data)[i];
    case CS_U32:
        return ((const uint32_t *)image->data)[i];
    case CS_U64:
        return (double)((const uint64_t *)image->data)[i];
    case CS_I8:
        return ((const int8_t *)image->data)[i];
    case CS_I16:
        return ((const int16_t *)image->data)[i];
    case CS_I32:
        return ((const int32_t *)image->data)[i];
    case CS_I64:
        return (double)((const int64_t *)image->data)[i];
    case CS_F16:
        return cs_half_to_float(((const uint16_t *)image->data)[i]);
    case CS_F32:
        return ((const float *)image->data)[i];
    case CS_F64:
        return ((const double *)image->data)[i];
    }
    return 0;
}
