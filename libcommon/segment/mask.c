// SPDX-License-Identifier: MIT
#include "segment/mask.h"

#include <math.h>

#include "segment/edt.h"

static int check_plane(const struct cs_image *plane, uint16_t channel, struct cs_err *err)
{
    if (plane->dtype != CS_U8 && plane->dtype != CS_U16 && plane->dtype != CS_F32)
        return cs_fail(err, CS_EINPUT, "probabilities of type %s (u8, u16 and f32 are known)",
                       cs_dtype_name(plane->dtype));
    if (channel >= plane->channels)
        return cs_fail(err, CS_EINPUT, "probability plane has %u channels, map %u is asked for",
                       plane->channels, channel + 1u);
    return 0;
}

// The smallest sample of an integer type that is above the threshold (top + 1 if none is).
static uint32_t first_above(double threshold, uint32_t top)
{
    double guess = floor(threshold * top);
    uint32_t v = guess < 1 ? 0 : guess > top ? top : (uint32_t)guess - 1;
    while (v <= top && !((double)v / top > threshold))
        v++;
    return v;
}

int cs_mask_threshold(struct cs_image *mask, const struct cs_image *probability, uint16_t channel,
                      double threshold, const struct cs_scratch *scratch, struct cs_err *err)
{
    if (check_plane(probability, channel, err) != 0 ||
        cs_image_init(mask, probability->width, probability->height, 1, CS_U8, scratch->spill_bytes,
                      scratch->dir, err) != 0)
        return -1;
    size_t n = (size_t)mask->width * mask->height, step = probability->channels;
    uint8_t *out = mask->data;
    if (probability->dtype == CS_U8) {
        const uint8_t *in = (const uint8_t *)probability->data + channel;
        uint32_t from = first_above(threshold, 255);
        for (size_t i = 0; i < n; i++)
            out[i] = in[i * step] >= from;
    } else if (probability->dtype == CS_U16) {
        const uint16_t *in = (const uint16_t *)probability->data + channel;
        uint32_t from = first_above(threshold, 65535);
#pragma omp simd
        for (size_t i = 0; i < n; i++)
            out[i] = in[i * step] >= from;
    } else {
        const float *in = (const float *)probability->data + channel;
        for (size_t i = 0; i < n; i++)
            out[i] = in[i * step] > threshold;
    }
    return 0;
}

static uint16_t quantise(float p)
{
    // The first comparison is false for NaN too.
    return p > 0 ? (uint16_t)(p < 1 ? p * 65535.0 + 0.5 : 65535.0) : 0;
}

static uint16_t relief_at(const struct cs_image *plane, size_t i)
{
    switch (plane->dtype) {
    case CS_U8:
        return (uint16_t)(((const uint8_t *)plane->data)[i] * 257);
    case CS_U16:
        return ((const uint16_t *)plane->data)[i];
    default:
        return quantise(((const float *)plane->data)[i]);
    }
}

int cs_relief_channel(struct cs_image *relief, const struct cs_image *probability, uint16_t channel,
                      const struct cs_scratch *scratch, struct cs_err *err)
{
    if (check_plane(probability, channel, err) != 0 ||
        cs_image_init(relief, probability->width, probability->height, 1, CS_U16,
                      scratch->spill_bytes, scratch->dir, err) != 0)
        return -1;
    size_t n = (size_t)relief->width * relief->height, step = probability->channels;
    uint16_t *out = relief->data;
    if (probability->dtype == CS_U16) { // what cs-infer gives
        const uint16_t *in = (const uint16_t *)probability->data + channel;
#pragma omp simd
        for (size_t i = 0; i < n; i++)
            out[i] = in[i * step];
        return 0;
    }
    for (size_t i = 0; i < n; i++)
        out[i] = relief_at(probability, i * step + channel);
    return 0;
}

int cs_relief_boundary(struct cs_image *relief, const struct cs_image *probability,
                       uint16_t foreground, uint16_t boundary, const struct cs_scratch *scratch,
                       struct cs_err *err)
{
    if (check_plane(probability, foreground, err) != 0 ||
        check_plane(probability, boundary, err) != 0 ||
        cs_image_init(relief, probability->width, probability->height, 1, CS_U16,
                      scratch->spill_bytes, scratch->dir, err) != 0)
        return -1;
    size_t n = (size_t)relief->width * relief->height;
    uint16_t *out = relief->data;
    for (size_t i = 0; i < n; i++) {
        uint16_t inside = relief_at(probability, i * probability->channels + foreground);
        uint16_t edge = relief_at(probability, i * probability->channels + boundary);
        out[i] = inside > edge ? (uint16_t)(inside - edge) : 0;
    }
    return 0;
}

int cs_relief_distance(struct cs_image *relief, const struct cs_image *mask,
                       const struct cs_scratch *scratch, struct cs_err *err)
{
    struct cs_image squared = {0};
    if (cs_edt_squared(&squared, mask, CS_EDT_TO_BACKGROUND, scratch, err) != 0)
        return -1;
    int status = cs_image_init(relief, mask->width, mask->height, 1, CS_U16, scratch->spill_bytes,
                               scratch->dir, err);
    if (status == 0) {
        size_t n = (size_t)mask->width * mask->height;
        const uint32_t *in = squared.data;
        uint16_t *out = relief->data;
        for (size_t i = 0; i < n; i++) {
            double d = sqrt((double)in[i]) * CS_RELIEF_STEPS_PX + 0.5;
            out[i] = d < 65535 ? (uint16_t)d : 65535;
        }
    }
    cs_image_release(&squared);
    return status;
}
