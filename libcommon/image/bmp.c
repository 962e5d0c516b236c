// SPDX-License-Identifier: MIT
// Windows bitmaps: 1, 4, 8 bits with a palette, 16, 24 and 32 bits, uncompressed or with bit
// fields; rows from the bottom or from the top. Run-length coding, and JPEG or PNG inside, are
// refused. Each row is read on its own.
// The format: BITMAPFILEHEADER and BITMAP{CORE,INFO,V4,V5}HEADER in Microsoft's documentation.
#include <stdlib.h>
#include <string.h>

#include "image/codec.h"

enum { FILE_HEADER = 14, MAX_HEADER = 124, RGB = 0, BITFIELDS = 3, ALPHABITFIELDS = 6 };

struct bmp_file {
    int fd;
    uint64_t file_bytes, samples; // samples: offset of the first stored row
    struct cs_page page;
    uint16_t palette[3 * 256], stored_bits;
    uint32_t masks[3]; // red, green, blue of 16 and 32 bits
    bool from_top;
    size_t row_bytes, stored_bytes; // of a row
    uint8_t *row;
};

static bool bmp_sniff(const uint8_t *head, size_t bytes)
{
    return bytes >= 2 && head[0] == 'B' && head[1] == 'M';
}

static uint32_t u16(const uint8_t *bytes)
{
    return (uint32_t)(bytes[0] | bytes[1] << 8);
}

static uint32_t u32(const uint8_t *bytes)
{
    return u16(bytes) | u16(bytes + 2) << 16;
}

// Indices beyond the palette's end are black.
static int read_palette(struct bmp_file *file, uint64_t offset, uint32_t colours, bool core,
                        struct cs_err *err)
{
    uint8_t entries[4 * 256];
    size_t entry = core ? 3 : 4;
    uint32_t most = 1u << file->stored_bits;
    if (colours == 0 || colours > most)
        colours = most;
    if (cs_codec_pread(file->fd, entries, colours * entry, offset, err) != 0)
        return -1;
    for (uint32_t i = 0; i < colours; i++)
        for (uint32_t k = 0; k < 3; k++)
            file->palette[k * most + i] = (uint16_t)(entries[i * entry + 2 - k] * 257);
    file->page.palette = file->palette;
    return 0;
}

static int read_masks(struct bmp_file *file, const uint8_t *header, uint32_t size,
                      uint32_t compression, struct cs_err *err)
{
    uint8_t bytes[12];
    static const uint32_t usual[2][3] = {{0x7c00, 0x3e0, 0x1f}, {0xff0000, 0xff00, 0xff}};
    memcpy(file->masks, usual[file->stored_bits == 32], sizeof file->masks);
    if (compression == RGB)
        return 0;
    if (size >= 52)
        memcpy(bytes, header + 40, sizeof bytes);
    else if (cs_codec_pread(file->fd, bytes, sizeof bytes, FILE_HEADER + size, err) != 0)
        return -1;
    for (int k = 0; k < 3; k++) {
        uint32_t mask = file->masks[k] = u32(bytes + 4 * k);
        uint32_t run = mask ? mask >> __builtin_ctz(mask) : 0;
        if (!mask || (run & (run + 1)))
            return cs_fail(err, CS_EINPUT, "BMP: bit fields that are no run of bits");
    }
    return 0;
}

static int parse(struct bmp_file *file, struct cs_err *err)
{
    uint8_t head[FILE_HEADER + MAX_HEADER] = {0};
    if (cs_codec_pread(file->fd, head, FILE_HEADER + 4, 0, err) != 0)
        return -1;
    const uint8_t *info = head + FILE_HEADER;
    uint32_t size = u32(info), compression = RGB, colours = 0;
    bool core = size == 12;
    if (!core && (size < 40 || size > MAX_HEADER))
        return cs_fail(err, CS_EINPUT, "BMP: a header of %u bytes", size);
    if (cs_codec_pread(file->fd, head, FILE_HEADER + size, 0, err) != 0)
        return -1;
    int64_t width = core ? (int32_t)u16(info + 4) : (int32_t)u32(info + 4);
    int64_t height = core ? (int32_t)u16(info + 6) : (int32_t)u32(info + 8);
    file->stored_bits = (uint16_t)u16(info + (core ? 10 : 14));
    if (!core) {
        compression = u32(info + 16);
        colours = u32(info + 32);
    }
    unsigned bits = file->stored_bits;
    bool indexed = bits == 1 || bits == 4 || bits == 8;
    if (!indexed && bits != 16 && bits != 24 && bits != 32)
        return cs_fail(err, CS_EINPUT, "BMP: %u bits a pixel", bits);
    if (compression != RGB && !((compression == BITFIELDS || compression == ALPHABITFIELDS) &&
                                (bits == 16 || bits == 32)))
        return cs_fail(err, CS_EINPUT, "BMP: compression %u is not supported", compression);
    if (width < 1 || height == 0)
        return cs_fail(err, CS_EINPUT, "BMP: %lld x %lld pixels", (long long)width,
                       (long long)height);
    file->from_top = height < 0;
    file->samples = u32(head + 10);
    file->page = (struct cs_page){
        .width = (uint32_t)width,
        .height = (uint32_t)(height < 0 ? -height : height),
        .samples = indexed ? 1 : 3,
        .dtype = CS_U8,
        .bits = (uint8_t)(indexed ? bits : 8),
        .colour = indexed ? CS_PALETTE : CS_RGB,
        .orientation = 1,
        .resolution = {core ? 0 : u32(info + 24), core ? 0 : u32(info + 28)},
        .unit_um = 1e6,
        .chunk_rows = 1,
    };
    file->stored_bytes = ((size_t)width * bits + 31) / 32 * 4;
    if (file->samples > file->file_bytes ||
        file->stored_bytes > (file->file_bytes - file->samples) / file->page.height)
        return cs_fail(err, CS_EINPUT, "BMP: truncated");
    return indexed ? read_palette(file, FILE_HEADER + size, colours, core, err)
                   : read_masks(file, info, size, compression, err);
}

static void bmp_close(void *state)
{
    struct bmp_file *file = state;
    if (file)
        free(file->row);
    free(file);
}

static int bmp_open(void **out, int fd, uint64_t file_bytes, const struct cs_room *room,
                    struct cs_err *err)
{
    (void)room;
    struct bmp_file *file = cs_xcalloc(1, sizeof *file);
    file->fd = fd;
    file->file_bytes = file_bytes;
    if (parse(file, err) != 0 || cs_page_check(&file->page, file_bytes, &file->row_bytes, err) != 0)
        goto failed;
    file->row = cs_alloc(1, file->stored_bytes, "BMP row", err);
    if (!file->row)
        goto failed;
    file->page.memory = file->stored_bytes;
    *out = file;
    return 0;
failed:
    bmp_close(file);
    return -1;
}

static uint32_t bmp_pages(const void *state)
{
    (void)state;
    return 1;
}

static const char *bmp_description(const void *state)
{
    (void)state;
    return NULL;
}

static int bmp_select(void *state, uint32_t page, struct cs_page *out, struct cs_err *err)
{
    (void)page, (void)err;
    *out = ((struct bmp_file *)state)->page;
    return 0;
}

// The field of a mask, scaled to 0..255.
static uint8_t field(uint32_t pixel, uint32_t mask)
{
    uint32_t top = mask >> __builtin_ctz(mask), value = (pixel & mask) >> __builtin_ctz(mask);
    return (uint8_t)(((uint64_t)value * 255 + top / 2) / top);
}

static void spread(const struct bmp_file *file, uint8_t *out)
{
    const uint8_t *in = file->row;
    unsigned bits = file->stored_bits;
    for (uint32_t x = 0; x < file->page.width; x++) {
        if (bits <= 8) {
            size_t at = (size_t)x * bits;
            *out++ = (uint8_t)(in[at / 8] >> (8 - bits - at % 8) & ((1u << bits) - 1));
        } else if (bits == 24) {
            *out++ = in[3 * (size_t)x + 2];
            *out++ = in[3 * (size_t)x + 1];
            *out++ = in[3 * (size_t)x];
        } else {
            uint32_t pixel = bits == 16 ? u16(in + 2 * (size_t)x) : u32(in + 4 * (size_t)x);
            for (int k = 0; k < 3; k++)
                *out++ = field(pixel, file->masks[k]);
        }
    }
}

static int bmp_read(void *state, uint32_t first, uint32_t rows, void *out, struct cs_err *err)
{
    struct bmp_file *file = state;
    for (uint32_t y = first; y < first + rows; y++) {
        uint32_t stored = file->from_top ? y : file->page.height - 1 - y;
        if (cs_codec_pread(file->fd, file->row, file->stored_bytes,
                           file->samples + (uint64_t)stored * file->stored_bytes, err) != 0)
            return cs_err_context(err, "row %u", y);
        spread(file, (uint8_t *)out + (y - first) * file->row_bytes);
    }
    return 0;
}

const struct cs_codec cs_codec_bmp = {
    .name = "BMP",
    .sniff = bmp_sniff,
    .open = bmp_open,
    .close = bmp_close,
    .pages = bmp_pages,
    .description = bmp_description,
    .select = bmp_select,
    .read = bmp_read,
};
