// SPDX-License-Identifier: MIT
#include "image/convert.h"

#include <stdio.h>
#include <string.h>

static void note(struct cs_conversion *c, const char *text)
{
    size_t used = strlen(c->note);
    snprintf(c->note + used, sizeof c->note - used, "%s%s", used ? "," : "", text);
}

// Colour maps hold 16-bit values; some writers leave them at 8 bits.
static void plan_palette(struct cs_conversion *c, const struct cs_page *page)
{
    size_t count = (size_t)1 << page->bits;
    unsigned shift = 0;
    bool gray = true;
    for (size_t i = 0; i < 3 * count; i++)
        if (page->palette[i] > 255)
            shift = 8;
    for (size_t i = 0; i < count; i++)
        gray = gray && page->palette[i] == page->palette[count + i] &&
               page->palette[i] == page->palette[2 * count + i];
    c->kind = CS_CONVERT_PALETTE;
    c->channels = gray ? 1 : 3;
    c->rgb = !gray;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < c->channels; k++)
            c->table[i * c->channels + k] = (uint8_t)(page->palette[k * count + i] >> shift);
    note(c, "palette");
}

// 1 to 7 bits to 0..255, and the inversion of 8-bit samples in the same table.
static void plan_scale(struct cs_conversion *c, const struct cs_page *page, bool invert)
{
    unsigned top = (1u << page->bits) - 1;
    c->kind = CS_CONVERT_SCALE;
    for (unsigned i = 0; i < 256; i++) {
        unsigned value = i < top ? i : top;
        value = invert ? top - value : value;
        c->table[i] = (uint8_t)((value * 255 + top / 2) / top);
    }
    if (page->bits < 8)
        note(c, "scale");
    if (invert)
        note(c, "invert");
}

static int plan_other(struct cs_conversion *c, const struct cs_page *page, struct cs_err *err)
{
    if (page->samples == 4 && page->dtype == CS_U8 && page->bits == 8 &&
        strstr(page->colour_name, "CMYK")) {
        c->kind = CS_CONVERT_CMYK;
        c->top = strcmp(page->colour_name, "CMYK") == 0 ? 0 : 255; // Adobe's JPEG: 255 is no ink
        c->channels = 3;
        c->rgb = true;
        note(c, "cmyk");
        return 0;
    }
    return cs_fail(err, CS_EINPUT, "%s with %u samples of %u bits cannot be made plain: see --raw",
                   page->colour_name, page->samples, page->bits);
}

int cs_convert_plan(struct cs_conversion *c, const struct cs_page *page, bool intensities, bool raw,
                    struct cs_err *err)
{
    *c = (struct cs_conversion){.in_channels = page->samples,
                                .channels = page->samples,
                                .dtype_in = page->dtype,
                                .dtype = page->dtype,
                                .kind = CS_CONVERT_COPY};
    if (page->done)
        note(c, page->done);
    c->rgb = page->colour == CS_RGB;
    if (raw)
        return 0;
    if (page->colour == CS_COLOUR_OTHER)
        return plan_other(c, page, err);
    if (page->colour == CS_PALETTE && !intensities) {
        plan_palette(c, page);
        return 0;
    }
    if (page->colour == CS_PALETTE || (page->colour == CS_GRAY_INVERTED && intensities))
        note(c, "lut");
    if (page->alpha && page->alpha < page->samples) {
        c->channels = page->samples - page->alpha;
        note(c, "alpha");
    }
    if (page->gray) {
        c->channels = 1;
        c->rgb = false;
    }
    bool unsigned_samples = page->dtype >= CS_U8 && page->dtype <= CS_U64;
    bool invert = page->colour == CS_GRAY_INVERTED && unsigned_samples && !intensities;
    if (page->dtype == CS_U8 && page->colour != CS_PALETTE && (page->bits < 8 || invert)) {
        plan_scale(c, page, invert);
    } else if (invert) {
        c->kind = CS_CONVERT_INVERT;
        c->top = page->bits >= 64 ? UINT64_MAX : ((uint64_t)1 << page->bits) - 1;
        note(c, "invert");
    }
    return 0;
}

bool cs_convert_is_identity(const struct cs_conversion *c)
{
    return c->kind == CS_CONVERT_COPY && c->channels == c->in_channels;
}

static void run_copy(const struct cs_conversion *c, const uint8_t *in, size_t pixels, uint8_t *out)
{
    size_t sample = cs_dtype_bytes(c->dtype);
    size_t from = sample * c->in_channels, to = sample * c->channels;
    if (from == to) {
        memmove(out, in, pixels * to);
        return;
    }
    for (size_t i = 0; i < pixels; i++)
        memcpy(out + i * to, in + i * from, to);
}

static void run_table(const struct cs_conversion *c, const uint8_t *in, size_t pixels, uint8_t *out)
{
    size_t skip = c->in_channels;
    if (c->kind == CS_CONVERT_PALETTE && c->channels == 3)
        for (size_t i = 0; i < pixels; i++, out += 3)
            memcpy(out, c->table + 3 * (size_t)in[i], 3);
    else
        for (size_t i = 0; i < pixels; i++, in += skip)
            for (size_t k = 0; k < c->channels; k++)
                *out++ = c->table[in[k]];
}

static void run_invert(const struct cs_conversion *c, const void *in, size_t pixels, void *out)
{
    size_t skip = c->in_channels, channels = c->channels;
#define INVERT(type)                                                                               \
    do {                                                                                           \
        const type *from = in;                                                                     \
        type *to = out;                                                                            \
        for (size_t i = 0; i < pixels; i++, from += skip)                                          \
            for (size_t k = 0; k < channels; k++)                                                  \
                *to++ = (type)(c->top - from[k]);                                                  \
    } while (0)
    if (c->dtype == CS_U16)
        INVERT(uint16_t);
    else if (c->dtype == CS_U32)
        INVERT(uint32_t);
    else
        INVERT(uint64_t);
#undef INVERT
}

static void run_cmyk(const struct cs_conversion *c, const uint8_t *in, size_t pixels, uint8_t *out)
{
    int white = c->top ? 0 : 255; // what is subtracted from, whose sign the product loses
    for (size_t i = 0; i < pixels; i++, in += 4)
        for (int k = 0; k < 3; k++)
            *out++ = (uint8_t)(((white - in[k]) * (white - in[3]) + 127) / 255);
}

void cs_convert_run(const struct cs_conversion *c, const void *in, size_t pixels, void *out)
{
    switch (c->kind) {
    case CS_CONVERT_COPY:
        run_copy(c, in, pixels, out);
        return;
    case CS_CONVERT_PALETTE:
    case CS_CONVERT_SCALE:
        run_table(c, in, pixels, out);
        return;
    case CS_CONVERT_INVERT:
        run_invert(c, in, pixels, out);
        return;
    case CS_CONVERT_CMYK:
        run_cmyk(c, in, pixels, out);
        return;
    }
}
