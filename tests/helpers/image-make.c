// SPDX-License-Identifier: MIT
// Writes a TIFF file of any kind, for tests. Sample s of pixel x, y of page n has the value
// 7 n + 3 x + 5 y + 50 s, modulo what its bits hold.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tiffio.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/opt.h"

static int64_t pages = 1, width = 9, height = 7, samples = 1, bits = 8, tile, rows = 3;
static int format, photometric = PHOTOMETRIC_MINISBLACK, compression, order, predictor;
static bool separate, big, alpha, reduced, one_directory, stk, thumbnails;
static int64_t lsm_z;
static double resolution, resolution_y;
static int unit;
static int64_t orientation;
static const char *description, *description_file;

static const struct cs_opt options[] = {
    {'n', "pages", CS_OPT_INT, &pages, "N", "pages", .min = 1, .max = 10000},
    {'W', "width", CS_OPT_INT, &width, "N", "columns", .min = 1, .max = 1e6},
    {'H', "height", CS_OPT_INT, &height, "N", "rows", .min = 1, .max = 1e6},
    {'s', "samples", CS_OPT_INT, &samples, "N", "samples a pixel", .min = 1, .max = 100},
    {'b', "bits", CS_OPT_INT, &bits, "N", "bits a sample", .min = 1, .max = 64},
    {'f', "format", CS_OPT_CHOICE, &format, "TYPE", "sample format", .choices = "uint|int|float"},
    {'p', "photometric", CS_OPT_CHOICE, &photometric, "HOW", "meaning of the samples",
     .choices = "white|black|rgb|palette|mask|cmyk|ycbcr"},
    {'c', "compression", CS_OPT_CHOICE, &compression, "HOW", "compression",
     .choices = "none|lzw|deflate|zstd|packbits|jpeg"},
    {0, "predictor", CS_OPT_CHOICE, &predictor, "HOW", "predictor",
     .choices = "none|horizontal|float"},
    {'t', "tile", CS_OPT_INT, &tile, "N", "tiles of this size, not strips", .min = 16, .max = 4096},
    {'r', "rows", CS_OPT_INT, &rows, "N", "rows a strip", .min = 1, .max = 1e6},
    {0, "order", CS_OPT_CHOICE, &order, "HOW", "byte order", .choices = "little|big"},
    {0, "separate", CS_OPT_FLAG, &separate, NULL, "planes apart", .env = NULL},
    {0, "big", CS_OPT_FLAG, &big, NULL, "BigTIFF", .env = NULL},
    {0, "alpha", CS_OPT_FLAG, &alpha, NULL, "the last sample is alpha", .env = NULL},
    {0, "reduced", CS_OPT_FLAG, &reduced, NULL, "later pages are smaller copies", .env = NULL},
    {0, "one-directory", CS_OPT_FLAG, &one_directory, NULL,
     "list the first page only, as ImageJ above 4 GiB", .env = NULL},
    {0, "stk", CS_OPT_FLAG, &stk, NULL, "with that: as MetaMorph writes it", .env = NULL},
    {0, "lsm", CS_OPT_INT, &lsm_z, "Z", "as Zeiss writes it, so many z planes a time", .min = 1,
     .max = 1000},
    {0, "thumbnails", CS_OPT_FLAG, &thumbnails, NULL, "every other page is a smaller copy",
     .env = NULL},
    {0, "resolution", CS_OPT_REAL, &resolution, "N", "pixels a unit", .min = 0, .max = 1e9},
    {0, "resolution-y", CS_OPT_REAL, &resolution_y, "N",
     "pixels a unit downwards, where they differ", .min = 0, .max = 1e9},
    {0, "unit", CS_OPT_CHOICE, &unit, "HOW", "that unit", .choices = "none|inch|cm"},
    {0, "orientation", CS_OPT_INT, &orientation, "N", "orientation tag", .min = 1, .max = 8},
    {'d', "description", CS_OPT_STRING, &description, "TEXT", "image description", .env = NULL},
    {'D', "description-file", CS_OPT_STRING, &description_file, "FILE", "that, from a file",
     .env = NULL},
    {.name = NULL},
};
static const struct cs_tool tool = {"image-make", "[OPTION]... FILE", "Write a TIFF file.",
                                    options};

static uint64_t value(int64_t n, int64_t x, int64_t y, int64_t s)
{
    uint64_t v = (uint64_t)(7 * n + 3 * x + 5 * y + 50 * s);
    return bits < 64 ? v & (((uint64_t)1 << bits) - 1) : v;
}

// Put sample i of a packed row.
static void put(uint8_t *row, int64_t i, uint64_t v)
{
    if (bits % 8) {
        for (int64_t k = 0; k < bits; k++)
            if (v >> (bits - 1 - k) & 1)
                row[(i * bits + k) / 8] |= (uint8_t)(0x80 >> (i * bits + k) % 8);
        return;
    }
    if (bits == 24) { // libtiff swaps them: the machine's order
        const uint32_t one = 1, low = (uint32_t)v;
        memcpy(row + i * 3, (const uint8_t *)&low + (*(const uint8_t *)&one ? 0 : 1), 3);
        return;
    }
    float f = (float)v;
    double d = (double)v;
    const void *from = format == 2 ? (bits == 32 ? (const void *)&f : &d) : (const void *)&v;
    memcpy(row + i * bits / 8, from, (size_t)bits / 8);
}

// The tags by which microscopes' dialects are known.
static void set_scope(TIFF *tif)
{
    static const TIFFFieldInfo fields[] = {
        {34412, TIFF_VARIABLE2, TIFF_VARIABLE2, TIFF_BYTE, FIELD_CUSTOM, 1, 1, (char *)"LSM"},
        {33629, TIFF_VARIABLE2, TIFF_VARIABLE2, TIFF_RATIONAL, FIELD_CUSTOM, 1, 1, (char *)"UIC2"},
    };
    TIFFMergeFieldInfo(tif, fields, 2);
    if (stk) {
        float *entries = cs_xcalloc((size_t)pages, sizeof *entries);
        TIFFSetField(tif, 33629, (uint32_t)pages, entries);
        free(entries);
    }
    if (lsm_z) {
        // Magic, size of the tag, x, y, z, channels, time; from byte 40 the pixel size in metres.
        uint32_t words[30] = {0x00400494C,
                              120,
                              (uint32_t)width,
                              (uint32_t)height,
                              (uint32_t)lsm_z,
                              (uint32_t)samples,
                              (uint32_t)(pages / (thumbnails ? 2 : 1) / lsm_z)};
        double metres[2] = {2.5e-7, 5e-7};
        memcpy(words + 10, metres, sizeof metres);
        TIFFSetField(tif, 34412, (uint32_t)sizeof words, words);
    }
}

static void set_tags(TIFF *tif, int64_t n)
{
    static const uint16_t codecs[] = {COMPRESSION_NONE,          COMPRESSION_LZW,
                                      COMPRESSION_ADOBE_DEFLATE, COMPRESSION_ZSTD,
                                      COMPRESSION_PACKBITS,      COMPRESSION_JPEG};
    TIFFSetField(tif, TIFFTAG_IMAGEWIDTH, (uint32_t)width);
    TIFFSetField(tif, TIFFTAG_IMAGELENGTH, (uint32_t)height);
    TIFFSetField(tif, TIFFTAG_SAMPLESPERPIXEL, (uint16_t)samples);
    TIFFSetField(tif, TIFFTAG_BITSPERSAMPLE, (uint16_t)bits);
    TIFFSetField(tif, TIFFTAG_SAMPLEFORMAT, (uint16_t)(format + 1));
    TIFFSetField(tif, TIFFTAG_PHOTOMETRIC, (uint16_t)photometric);
    TIFFSetField(tif, TIFFTAG_COMPRESSION, codecs[compression]);
    TIFFSetField(tif, TIFFTAG_PLANARCONFIG, separate ? PLANARCONFIG_SEPARATE : PLANARCONFIG_CONTIG);
    if (predictor)
        TIFFSetField(tif, TIFFTAG_PREDICTOR, (uint16_t)(predictor + 1));
    if (tile) {
        TIFFSetField(tif, TIFFTAG_TILEWIDTH, (uint32_t)tile);
        TIFFSetField(tif, TIFFTAG_TILELENGTH, (uint32_t)tile);
    } else {
        TIFFSetField(tif, TIFFTAG_ROWSPERSTRIP, (uint32_t)rows);
    }
    if (alpha) {
        uint16_t extra = EXTRASAMPLE_UNASSALPHA;
        TIFFSetField(tif, TIFFTAG_EXTRASAMPLES, 1, &extra);
    }
    if (photometric == PHOTOMETRIC_PALETTE) {
        // Red falls, green rises, blue is constant.
        uint16_t map[3][256];
        for (int i = 0; i < 256; i++) {
            map[0][i] = (uint16_t)(65535 - i * 257);
            map[1][i] = (uint16_t)(i * 257);
            map[2][i] = 0x4040;
        }
        TIFFSetField(tif, TIFFTAG_COLORMAP, map[0], map[1], map[2]);
    }
    if (resolution > 0) {
        TIFFSetField(tif, TIFFTAG_XRESOLUTION, resolution);
        TIFFSetField(tif, TIFFTAG_YRESOLUTION, resolution_y > 0 ? resolution_y : resolution);
        TIFFSetField(tif, TIFFTAG_RESOLUTIONUNIT, (uint16_t)(unit + 1));
    }
    if (orientation)
        TIFFSetField(tif, TIFFTAG_ORIENTATION, (uint16_t)orientation);
    if (photometric == PHOTOMETRIC_YCBCR)
        TIFFSetField(tif, TIFFTAG_YCBCRSUBSAMPLING, 1, 1);
    if (n == 0)
        set_scope(tif);
    if (description && n == 0)
        TIFFSetField(tif, TIFFTAG_IMAGEDESCRIPTION, description);
    if ((reduced && n > 0) || (thumbnails && n % 2))
        TIFFSetField(tif, TIFFTAG_SUBFILETYPE, FILETYPE_REDUCEDIMAGE);
}

// A block of columns x0.. and rows y0.., of one sample where the planes are apart.
static int write_block(TIFF *tif, int64_t n, uint32_t index, int64_t plane, int64_t x0, int64_t y0,
                       int64_t w, int64_t h)
{
    int64_t per_pixel = separate ? 1 : samples;
    size_t row_bytes = (size_t)(w * per_pixel * bits + 7) / 8;
    uint8_t *block = cs_xcalloc((size_t)h, row_bytes);
    for (int64_t y = 0; y < h; y++)
        for (int64_t x = 0; x < w && x0 + x < width; x++)
            for (int64_t s = 0; s < per_pixel && y0 + y < height; s++)
                put(block + (size_t)y * row_bytes, x * per_pixel + s,
                    value(n, x0 + x, y0 + y, separate ? plane : s));
    tmsize_t bytes = (tmsize_t)(row_bytes * (size_t)h);
    tmsize_t done = tile ? TIFFWriteEncodedTile(tif, index, block, bytes)
                         : TIFFWriteEncodedStrip(tif, index, block, bytes);
    free(block);
    return done == bytes ? 0 : -1;
}

static int write_page(TIFF *tif, int64_t n)
{
    set_tags(tif, n);
    for (int64_t plane = 0; plane < (separate ? samples : 1); plane++) {
        int64_t step = tile ? tile : rows;
        for (int64_t y = 0; y < height; y += step)
            for (int64_t x = 0; x < width; x += tile ? tile : width) {
                int64_t w = tile ? tile : width;
                int64_t h = tile ? tile : height - y < rows ? height - y : rows;
                uint32_t index =
                    tile ? TIFFComputeTile(tif, (uint32_t)x, (uint32_t)y, 0, (uint16_t)plane)
                         : TIFFComputeStrip(tif, (uint32_t)y, (uint16_t)plane);
                if (write_block(tif, n, index, plane, x, y, w, h) != 0)
                    return -1;
            }
    }
    return 0;
}

// All planes in the one strip of the only directory: bytes in the file's order.
static int write_planes_in_a_row(TIFF *tif)
{
    size_t count = (size_t)(pages * height * width), sample = (size_t)bits / 8;
    uint8_t *bytes = cs_xcalloc(count, sample), *out = bytes;
    rows = height;
    set_tags(tif, 0);
    for (int64_t n = 0; n < pages; n++)
        for (int64_t y = 0; y < height; y++)
            for (int64_t x = 0; x < width; x++)
                for (size_t k = 0; k < sample; k++)
                    *out++ = (uint8_t)(value(n, x, y, 0) >> 8 * (order ? sample - 1 - k : k));
    tmsize_t done = TIFFWriteRawStrip(tif, 0, bytes, (tmsize_t)(count * sample));
    free(bytes);
    return done > 0 && TIFFWriteDirectory(tif) ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct cs_err err;
    int first, status = cs_opt_parse(&tool, argc, argv, &first, &err);
    if (status != 0)
        return status > 0 ? 0 : cs_opt_die(&tool, &err);
    if (first + 1 != argc)
        return 2;
    struct cs_buf text = {0};
    if (description_file && cs_read_file(description_file, 256 << 20, &text, &err) != 0)
        return cs_opt_die(&tool, &err);
    if (description_file)
        description = text.data;
    char mode[4] = {'w', order ? 'b' : 'l', big ? '8' : '\0', '\0'};
    TIFF *tif = TIFFOpen(argv[first], mode);
    if (!tif)
        return 1;
    if (one_directory)
        status = write_planes_in_a_row(tif);
    for (int64_t n = 0; n < pages && status == 0 && !one_directory; n++)
        status = write_page(tif, n) == 0 && TIFFWriteDirectory(tif) ? 0 : -1;
    TIFFClose(tif);
    cs_buf_release(&text);
    return status == 0 ? 0 : 1;
}
