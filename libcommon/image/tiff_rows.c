// SPDX-License-Identifier: MIT
// Samples of a TIFF page. Strips and tiles are decoded whole, as libtiff stores them, and spread
// into interleaved rows; one strip, or one row of tiles, is kept. A strip that is too large for
// that is read line by line, or, uncompressed, straight from the file, so that memory stays small
// where a writer put a whole plane into one strip (ImageJ does).
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "image/tiff_file.h"

enum {
    LARGE_STRIP_BYTES = 16 << 20, // above this a strip is not decoded whole if avoidable
    LIBRARY_BYTES = 1 << 20,      // that libtiff and a codec take whatever the size
};

// ---- Choosing the way ----------------------------------------------------------------------

bool tiff_rows_contiguous(struct tiff_file *file)
{
    uint16_t fill = FILLORDER_MSB2LSB;
    TIFFGetFieldDefaulted(file->tif, TIFFTAG_FILLORDER, &fill);
    if (file->compression != COMPRESSION_NONE || file->tiled || file->separate || file->packed ||
        fill != FILLORDER_MSB2LSB)
        return false;
    uint32_t strips = TIFFNumberOfStrips(file->tif), rows = file->page.height;
    uint64_t start = TIFFGetStrileOffset(file->tif, 0), at = start;
    for (uint32_t i = 0; i < strips; i++) {
        uint32_t here = rows < file->unit_rows ? rows : file->unit_rows;
        if (TIFFGetStrileOffset(file->tif, i) != at ||
            (!file->extended &&
             TIFFGetStrileByteCount(file->tif, i) < (uint64_t)file->row_bytes * here))
            return false;
        rows -= here;
        at += (uint64_t)file->row_bytes * file->unit_rows;
    }
    file->direct_offset = start;
    return start != 0;
}

static int reserve(uint8_t **block, size_t *have, size_t need, const char *what, struct cs_err *err)
{
    if (*have >= need)
        return 0;
    free(*block);
    *have = 0;
    *block = cs_alloc(1, need, what, err);
    if (!*block)
        return -1;
    *have = need;
    return 0;
}

// libtiff turns subsampled YCbCr and old JPEG into RGBA itself; it would also turn each strip or
// tile as the orientation tag says, and go on with a random range where it has no memory for the
// default one.
static int use_rgba(struct tiff_file *file, struct cs_err *err)
{
    float *range;
    if (!TIFFGetFieldDefaulted(file->tif, TIFFTAG_REFERENCEBLACKWHITE, &range))
        return tiff_fail(file, "no range of samples", err);
    TIFFSetField(file->tif, TIFFTAG_ORIENTATION, ORIENTATION_TOPLEFT);
    file->way = TIFF_RGBA;
    file->page.samples = 3;
    file->page.alpha = 0;
    file->page.dtype = CS_U8;
    file->page.bits = 8;
    file->page.colour = CS_RGB;
    file->page.done = "ycbcr";
    file->row_bytes = (size_t)file->page.width * 3;
    return 0;
}

static int unit_size(struct tiff_file *file, struct cs_err *err)
{
    struct cs_page *page = &file->page;
    uint32_t width = page->width, rows = 0;
    if (file->tiled) {
        if (!TIFFGetField(file->tif, TIFFTAG_TILEWIDTH, &width) ||
            !TIFFGetField(file->tif, TIFFTAG_TILELENGTH, &rows) || !width || !rows)
            return cs_fail(err, CS_EINPUT, "tiles of no size");
    } else {
        TIFFGetFieldDefaulted(file->tif, TIFFTAG_ROWSPERSTRIP, &rows);
        if (!rows)
            return cs_fail(err, CS_EINPUT, "strips of no rows");
        rows = rows < page->height ? rows : page->height;
    }
    file->unit_width = width;
    file->unit_rows = rows;
    page->chunk_rows = rows;
    uint64_t bits = (uint64_t)width * (file->separate ? 1 : page->samples) *
                    (file->way == TIFF_RGBA ? 8 : file->bits); // below 2^49
    file->unit_row_bytes = (size_t)((bits + 7) / 8);
    return 0;
}

// Differences of whole samples are left to tiff_undo_differences.
static void take_differences(struct tiff_file *file)
{
    uint16_t predictor = PREDICTOR_NONE;
    file->differences = file->way == TIFF_CHUNKS && !file->packed && file->bits <= 32 &&
                        file->compression != COMPRESSION_NONE &&
                        TIFFGetField(file->tif, TIFFTAG_PREDICTOR, &predictor) &&
                        predictor == PREDICTOR_HORIZONTAL &&
                        TIFFSetField(file->tif, TIFFTAG_PREDICTOR, PREDICTOR_NONE);
}

// The largest strip or tile as it is compressed; libtiff takes no more than ten times what it
// gives.
static uint64_t most_compressed(const struct tiff_file *file, uint64_t unit)
{
    uint64_t most = 0, limit = 10 * unit + 4096;
    uint32_t count = file->tiled ? TIFFNumberOfTiles(file->tif) : TIFFNumberOfStrips(file->tif);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t bytes = TIFFGetStrileByteCount(file->tif, i);
        most = bytes > most ? bytes : most;
    }
    most = most < limit ? most : limit;
    return most < file->file_bytes ? most : file->file_bytes;
}

// What a codec keeps while it decodes a unit of so many bytes.
static uint64_t codec_memory(uint16_t compression, uint64_t unit)
{
    enum { MOST_WINDOW = 256 << 20 }; // of zstd; libtiff lets libjpeg have less
    switch (compression) {
    case COMPRESSION_NONE:
    case COMPRESSION_PACKBITS:
    case COMPRESSION_LZW:
    case COMPRESSION_DEFLATE:
    case COMPRESSION_ADOBE_DEFLATE:
    case COMPRESSION_CCITTRLE:
    case COMPRESSION_CCITTFAX3:
    case COMPRESSION_CCITTFAX4:
        return 0;
    case COMPRESSION_LZMA:
        return unit; // a window as long, at most
    case COMPRESSION_ZSTD:
        return unit < MOST_WINDOW ? unit : MOST_WINDOW;
    case COMPRESSION_JPEG:
        return 3 * unit < MOST_WINDOW ? 3 * unit : MOST_WINDOW;
    default:
        return 3 * unit; // the whole of it in other forms
    }
}

// libtiff's rows are those that are given out: they need no place of their own.
static bool rows_as_given(const struct tiff_file *file)
{
    return !file->tiled && !file->separate && !file->packed;
}

// What decoding takes: rows of whole units, a unit beside them, what is compressed of it, and the
// codec's own.
static uint64_t decode_memory(const struct tiff_file *file)
{
    uint64_t unit = (uint64_t)file->unit_row_bytes * file->unit_rows;
    uint64_t chunk = (uint64_t)file->row_bytes * file->unit_rows;
    if (file->way == TIFF_DIRECT)
        return 0;
    uint64_t kept =
        LIBRARY_BYTES + most_compressed(file, unit) + codec_memory(file->compression, unit);
    if (file->way == TIFF_SCANLINES)
        return kept + file->unit_row_bytes;
    if (file->way == TIFF_RGBA)
        return kept + chunk + unit + (uint64_t)file->unit_width * file->unit_rows * 4;
    return kept + chunk + (rows_as_given(file) ? 0 : unit);
}

static int choose_way(struct tiff_file *file, struct cs_err *err)
{
    struct cs_page *page = &file->page;
    file->way = TIFF_CHUNKS;
    file->next_line = 0;
    if (page->colour == CS_COLOUR_OTHER && strcmp(page->colour_name, "YCbCr") == 0 &&
        file->bits == 8 && page->samples == 3 && use_rgba(file, err) != 0)
        return -1;
    if (unit_size(file, err) != 0)
        return -1;
    uint64_t chunk = (uint64_t)file->row_bytes * file->unit_rows; // below 2^60
    if (file->extended) {
        if (!tiff_rows_contiguous(file))
            return cs_fail(err, CS_EINPUT, "the planes do not follow one another");
        file->direct_offset += (uint64_t)file->row_bytes * page->height * file->plane;
        file->way = TIFF_DIRECT;
        return 0;
    }
    if (file->way == TIFF_CHUNKS && tiff_rows_contiguous(file)) {
        file->way = TIFF_DIRECT;
        return 0;
    }
    if (file->way == TIFF_CHUNKS && chunk > LARGE_STRIP_BYTES && !file->tiled && !file->separate) {
        file->way = TIFF_SCANLINES;
        return 0;
    }
    uint64_t unit = (uint64_t)file->unit_row_bytes * file->unit_rows;
    if (file->way == TIFF_RGBA)
        unit = (uint64_t)file->unit_width * file->unit_rows * 4;
    if (cs_chunk_check(chunk > unit ? chunk : unit, file->file_bytes, err) != 0)
        return cs_err_context(err, "%s of %u x %u pixels", file->tiled ? "tiles" : "strips",
                              file->unit_width, file->unit_rows);
    take_differences(file);
    return 0;
}

int tiff_rows_start(struct tiff_file *file, struct cs_err *err)
{
    if (choose_way(file, err) != 0)
        return -1;
    uint64_t tables =
        16 * (uint64_t)(file->tiled ? TIFFNumberOfTiles(file->tif) : TIFFNumberOfStrips(file->tif));
    file->page.memory = file->held_bytes + file->tag_bytes + tables + decode_memory(file);
    return 0;
}

// ---- Spreading samples ---------------------------------------------------------------------

// Floats of 24 bits (a sign, 7 bits of exponent, 16 of fraction) as ones of 32, exactly.
static uint32_t widen_float(uint32_t value)
{
    uint32_t sign = (value & 0x800000) << 8, exponent = value >> 16 & 0x7f;
    uint32_t fraction = (value & 0xffff) << 7;
    if (exponent == 0x7f)
        return sign | 0x7f800000 | fraction;
    if (exponent)
        return sign | (exponent - 63 + 127) << 23 | fraction;
    float small = ldexpf((float)(value & 0xffff), -62 - 16);
    memcpy(&value, &small, sizeof value);
    return sign | value;
}

static uint64_t extend_sign(uint64_t value, unsigned bits)
{
    uint64_t sign = (uint64_t)1 << (bits - 1);
    return (value ^ sign) - sign;
}

static void put(uint8_t *out, size_t bytes, uint64_t value)
{
    if (bytes == 1) {
        *out = (uint8_t)value;
    } else if (bytes == 2) {
        uint16_t v = (uint16_t)value;
        memcpy(out, &v, sizeof v);
    } else if (bytes == 4) {
        uint32_t v = (uint32_t)value;
        memcpy(out, &v, sizeof v);
    } else {
        memcpy(out, &value, sizeof value);
    }
}

// Samples of 40, 48 or 56 bits, in the file's byte order.
static void spread_bytes(const uint8_t *in, unsigned bytes, bool little, bool is_signed,
                         size_t count, uint8_t *out, size_t step)
{
    for (size_t i = 0; i < count; i++, in += bytes, out += step) {
        uint64_t value = 0;
        for (unsigned k = 0; k < bytes; k++)
            value = value << 8 | in[little ? bytes - 1 - k : k];
        put(out, 8, is_signed ? extend_sign(value, 8 * bytes) : value);
    }
}

// Samples of `bits` bits, most significant first, as a row packs them. libtiff has 24-bit samples
// already in the machine's order.
static void spread_bits(const uint8_t *in, unsigned bits, enum cs_dtype dtype, size_t count,
                        uint8_t *out, size_t step)
{
    size_t sample_bytes = cs_dtype_bytes(dtype);
    bool is_signed = dtype >= CS_I8 && dtype <= CS_I64;
    uint64_t window = 0;
    unsigned have = 0;
    if (bits == 24) {
        for (size_t i = 0; i < count; i++, in += 3, out += step) {
            const uint16_t one = 1; // the machine's order
            bool little = *(const uint8_t *)&one == 1;
            uint32_t value = little ? (uint32_t)(in[0] | in[1] << 8) | (uint32_t)in[2] << 16
                                    : (uint32_t)(in[2] | in[1] << 8) | (uint32_t)in[0] << 16;
            put(out, sample_bytes,
                dtype == CS_F32 ? widen_float(value)
                : is_signed     ? extend_sign(value, bits)
                                : value);
        }
        return;
    }
    // Above 32 bits in two steps: the window holds at most 7 bits more than one takes.
    unsigned low = bits > 32 ? 32 : 0, first = bits - low;
    uint64_t first_mask = ((uint64_t)1 << first) - 1;
    for (size_t i = 0; i < count; i++, out += step) {
        for (; have < first; have += 8)
            window = window << 8 | *in++;
        have -= first;
        uint64_t value = window >> have & first_mask;
        for (; low && have < low; have += 8)
            window = window << 8 | *in++;
        have -= low;
        if (low)
            value = value << low | (window >> have & UINT32_MAX);
        put(out, sample_bytes, is_signed ? extend_sign(value, bits) : value);
    }
}

static void spread_whole(const uint8_t *in, size_t count, uint8_t *out, size_t sample_bytes,
                         size_t step)
{
    if (step == sample_bytes) {
        memcpy(out, in, count * sample_bytes);
        return;
    }
    for (size_t i = 0; i < count; i++)
        memcpy(out + i * step, in + i * sample_bytes, sample_bytes);
}

// One row of a unit: `pixels` pixels into a row of the image from column x on; plane: of separate
// planes.
static void spread_row(const struct tiff_file *file, const uint8_t *in, uint32_t pixels, uint32_t x,
                       uint16_t plane, uint8_t *row)
{
    const struct cs_page *page = &file->page;
    size_t sample = cs_dtype_bytes(page->dtype), pixel = sample * page->samples;
    uint8_t *out = row + x * pixel + plane * sample;
    size_t count = file->separate ? pixels : (size_t)pixels * page->samples;
    size_t step = file->separate ? pixel : sample;
    bool is_signed = page->dtype >= CS_I8 && page->dtype <= CS_I64;
    if (file->packed && file->bits >= 40 && file->bits % 8 == 0)
        spread_bytes(in, file->bits / 8, !TIFFIsBigEndian(file->tif), is_signed, count, out, step);
    else if (file->packed)
        spread_bits(in, file->bits, page->dtype, count, out, step);
    else
        spread_whole(in, count, out, sample, step);
}

// ---- Decoding ------------------------------------------------------------------------------

// A sparse file leaves strips and tiles out.
static int unit_failed(struct tiff_file *file, uint32_t unit, struct cs_err *err)
{
    bool there = TIFFGetStrileByteCount(file->tif, unit) != 0;
    tiff_fail(file, there ? "the samples end too early" : "the file holds no samples of it", err);
    return cs_err_context(err, "%s %u", file->tiled ? "tile" : "strip", unit);
}

// libtiff leaves 0 where the JPEG of a strip or tile is too small. At the right and at the bottom
// some writers cut tiles to the image, which is fine.
static bool jpeg_lacks(const struct tiff_file *file, uint32_t columns, uint32_t rows)
{
    return file->jpeg_size[0] && (file->jpeg_size[0] < columns || file->jpeg_size[1] < rows);
}

// Decode strip or tile `unit`, of `rows` rows, and spread it.
static int decode_unit(struct tiff_file *file, uint32_t unit, uint32_t rows, uint32_t x,
                       uint16_t plane, uint8_t *to, struct cs_err *err)
{
    size_t bytes = file->unit_row_bytes * (file->tiled ? file->unit_rows : rows);
    bool as_given = rows_as_given(file);
    if (file->compression == COMPRESSION_JPEG && tiff_jpeg_unit(file, unit, rows, x, to))
        return 0;
    uint8_t *from = as_given ? to : file->unit;
    file->jpeg_size[0] = 0;
    // libtiff takes uncompressed samples from where they should be, whatever their stated size.
    uint64_t stated = TIFFGetStrileByteCount(file->tif, unit);
    if (stated == 0 || (file->compression == COMPRESSION_NONE && stated < bytes))
        return unit_failed(file, unit, err);
    tmsize_t got = file->tiled ? TIFFReadEncodedTile(file->tif, unit, from, (tmsize_t)bytes)
                               : TIFFReadEncodedStrip(file->tif, unit, from, (tmsize_t)bytes);
    uint32_t pixels = file->page.width - x;
    pixels = pixels < file->unit_width ? pixels : file->unit_width;
    if (got < (tmsize_t)bytes || file->message[0] || jpeg_lacks(file, pixels, rows))
        return unit_failed(file, unit, err);
    for (uint32_t y = 0; y < rows; y++) {
        uint8_t *in = from + y * file->unit_row_bytes;
        size_t channels = file->separate ? 1 : file->page.samples;
        if (file->differences)
            tiff_undo_differences(in, pixels * channels, channels, file->bits / 8);
        if (!as_given)
            spread_row(file, in, pixels, x, plane, to + y * file->row_bytes);
    }
    return 0;
}

// The same through libtiff's conversion; its rasters begin at the lower left.
static int decode_rgba(struct tiff_file *file, uint32_t first, uint32_t rows, uint32_t x,
                       uint8_t *to, struct cs_err *err)
{
    uint32_t *raster = (uint32_t *)(void *)file->unit;
    int fine = file->tiled ? TIFFReadRGBATileExt(file->tif, x, first, raster, 1)
                           : TIFFReadRGBAStripExt(file->tif, first, raster, 1);
    if (!fine || file->message[0])
        return unit_failed(file, first / file->unit_rows, err);
    uint32_t pixels = file->page.width - x;
    pixels = pixels < file->unit_width ? pixels : file->unit_width;
    uint32_t bottom = (file->tiled ? file->unit_rows : rows) - 1;
    for (uint32_t y = 0; y < rows; y++) {
        const uint32_t *in = raster + (size_t)(bottom - y) * file->unit_width;
        uint8_t *out = to + y * file->row_bytes + (size_t)x * 3;
        for (uint32_t i = 0; i < pixels; i++, out += 3) {
            out[0] = (uint8_t)TIFFGetR(in[i]);
            out[1] = (uint8_t)TIFFGetG(in[i]);
            out[2] = (uint8_t)TIFFGetB(in[i]);
        }
    }
    return 0;
}

// All rows of a strip, or of a row of tiles, to `to`.
static int decode_chunk(struct tiff_file *file, uint32_t index, uint8_t *to, struct cs_err *err)
{
    const struct cs_page *page = &file->page;
    uint32_t first = index * file->unit_rows, rows = page->height - first;
    rows = rows < file->unit_rows ? rows : file->unit_rows;
    size_t unit = file->way == TIFF_RGBA ? (size_t)file->unit_width * 4
                  : rows_as_given(file)  ? 0
                                         : file->unit_row_bytes;
    if (reserve(&file->unit, &file->unit_bytes, unit * file->unit_rows, "TIFF strip", err) != 0)
        return -1;
    for (uint32_t x = 0; x < page->width; x += file->unit_width) {
        if (file->way == TIFF_RGBA) {
            if (decode_rgba(file, first, rows, x, to, err) != 0)
                return -1;
        } else {
            for (uint16_t s = 0; s < (file->separate ? page->samples : 1); s++) {
                uint32_t n = file->tiled ? TIFFComputeTile(file->tif, x, first, 0, s)
                                         : TIFFComputeStrip(file->tif, first, s);
                if (decode_unit(file, n, rows, x, s, to, err) != 0)
                    return -1;
            }
        }
        if (page->width - x <= file->unit_width)
            break; // the next x could wrap round
    }
    return 0;
}

// One that is asked for in parts is kept.
static int keep_chunk(struct tiff_file *file, uint32_t index, struct cs_err *err)
{
    if (file->chunk_index == index)
        return 0;
    file->chunk_index = UINT32_MAX;
    if (reserve(&file->chunk, &file->chunk_bytes, file->row_bytes * file->unit_rows, "TIFF rows",
                err) != 0 ||
        decode_chunk(file, index, file->chunk, err) != 0)
        return -1;
    file->chunk_index = index;
    return 0;
}

static int read_chunks(struct tiff_file *file, uint32_t first, uint32_t rows, uint8_t *out,
                       struct cs_err *err)
{
    while (rows) {
        uint32_t index = first / file->unit_rows, skip = first % file->unit_rows;
        uint32_t n = file->unit_rows - skip < rows ? file->unit_rows - skip : rows;
        bool whole = !skip && (n == file->unit_rows || first + n == file->page.height);
        if (whole ? decode_chunk(file, index, out, err) : keep_chunk(file, index, err))
            return -1;
        if (!whole)
            memcpy(out, file->chunk + skip * file->row_bytes, n * file->row_bytes);
        out += n * file->row_bytes;
        first += n;
        rows -= n;
    }
    return 0;
}

static int read_scanlines(struct tiff_file *file, uint32_t first, uint32_t rows, uint8_t *out,
                          struct cs_err *err)
{
    if (reserve(&file->unit, &file->unit_bytes, file->unit_row_bytes, "TIFF row", err) != 0)
        return -1;
    for (; file->next_line < first + rows; file->next_line++) {
        uint32_t y = file->next_line, row = y % file->unit_rows;
        file->jpeg_size[0] = row ? file->jpeg_size[0] : 0;
        if (TIFFReadScanline(file->tif, file->unit, y, 0) != 1 || file->message[0] ||
            jpeg_lacks(file, file->page.width, row + 1)) {
            tiff_fail(file, "the samples end too early", err);
            return cs_err_context(err, "row %u", y);
        }
        if (y >= first)
            spread_row(file, file->unit, file->page.width, 0, 0,
                       out + (y - first) * file->row_bytes);
    }
    return 0;
}

static int read_direct(struct tiff_file *file, uint32_t first, uint32_t rows, uint8_t *out,
                       struct cs_err *err)
{
    size_t bytes = rows * file->row_bytes, sample = cs_dtype_bytes(file->page.dtype);
    uint64_t at = file->direct_offset + (uint64_t)first * file->row_bytes;
    if (cs_codec_pread(file->fd, out, bytes, at, err) != 0)
        return cs_err_context(err, "row %u", first);
    if (TIFFIsByteSwapped(file->tif))
        cs_swap_samples(out, bytes / sample, sample);
    return 0;
}

int tiff_rows_read(struct tiff_file *file, uint32_t first, uint32_t rows, void *out,
                   struct cs_err *err)
{
    tiff_clear(file);
    switch (file->way) {
    case TIFF_SCANLINES:
        return read_scanlines(file, first, rows, out, err);
    case TIFF_DIRECT:
        return read_direct(file, first, rows, out, err);
    case TIFF_CHUNKS:
    case TIFF_RGBA:
        break;
    }
    return read_chunks(file, first, rows, out, err);
}
