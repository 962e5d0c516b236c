// SPDX-License-Identifier: MIT
// Large and many images out of small real ones, for bench/huge and bench/soak. The images are cut
// into pieces, which are laid out in a fixed, seeded order, turned and mirrored.
//
//     mosaic plane WIDTH HEIGHT tiles|strips none|lzw|deflate OUT.tif IMAGE...   one BigTIFF
//     mosaic crops COUNT DIR IMAGE...                 COUNT PNG files of 64 to 128 pixels a side
//
// Only gray images of 8 bits are taken; others are passed over.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tiffio.h>

#include "base/num.h"
#include "image/decode.h"
#include "image/write.h"

enum { PIECE = 256, TILE = 256, STRIP_ROWS = 16, LEAST_CROP = 64, MOST_CROP = 128 };

struct pieces {
    uint8_t *pixels; // PIECE x PIECE each
    size_t count;
};

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static void cut(struct pieces *pieces, const uint8_t *image, uint32_t width, uint32_t height)
{
    for (uint32_t y = 0; y + PIECE <= height; y += PIECE)
        for (uint32_t x = 0; x + PIECE <= width; x += PIECE) {
            size_t bytes = (size_t)PIECE * PIECE;
            pieces->pixels = cs_xrealloc(pieces->pixels, pieces->count + 1, bytes);
            uint8_t *to = pieces->pixels + pieces->count++ * bytes;
            for (uint32_t row = 0; row < PIECE; row++)
                memcpy(to + (size_t)row * PIECE, image + ((size_t)y + row) * width + x, PIECE);
        }
}

static int add_image(struct pieces *pieces, const char *path)
{
    struct cs_err err = {0};
    struct cs_source source;
    struct cs_plan plan = {0};
    struct cs_pick pick = {.series = -1};
    int status = cs_source_open(&source, path, NULL, &err);
    if (status == 0)
        status = cs_plan_make(&plan, &pick, &source, &err);
    if (status == 0 && plan.channel_count == 1 && plan.conversion.dtype == CS_U8) {
        struct cs_decode decode;
        uint8_t *image = cs_xmalloc((size_t)plan.width * plan.height);
        status = cs_decode_init(&decode, &plan, 0, &err);
        if (status == 0)
            status = cs_decode_rows(&decode, plan.height, image, &err);
        if (status == 0)
            cut(pieces, image, plan.width, plan.height);
        cs_decode_release(&decode);
        free(image);
    }
    cs_plan_release(&plan);
    cs_source_close(&source);
    if (status != 0)
        fprintf(stderr, "mosaic: %s: %s\n", path, err.text);
    return status;
}

// One piece, turned in one of eight ways, to a place in an image.
static void place(const uint8_t *piece, unsigned turn, uint8_t *to, size_t stride, uint32_t width,
                  uint32_t height)
{
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++) {
            uint32_t u = turn & 1 ? PIECE - 1 - x : x, v = turn & 2 ? PIECE - 1 - y : y;
            to[y * stride + x] = turn & 4 ? piece[u * PIECE + v] : piece[v * PIECE + u];
        }
}

static int write_band(TIFF *tif, const uint8_t *band, uint32_t width, uint32_t y, uint32_t rows,
                      bool tiles)
{
    if (!tiles) {
        for (uint32_t r = 0; r < rows; r += STRIP_ROWS) {
            uint32_t n = rows - r < STRIP_ROWS ? rows - r : STRIP_ROWS;
            if (TIFFWriteEncodedStrip(tif, (y + r) / STRIP_ROWS,
                                      (void *)(uintptr_t)(band + (size_t)r * width),
                                      (tmsize_t)n * width) < 0)
                return -1;
        }
        return 0;
    }
    uint8_t *tile = cs_xcalloc(TILE, TILE);
    int status = 0;
    for (uint32_t x = 0; x < width && status == 0; x += TILE) {
        uint32_t n = width - x < TILE ? width - x : TILE;
        for (uint32_t r = 0; r < rows; r++)
            memcpy(tile + (size_t)r * TILE, band + (size_t)r * width + x, n);
        if (TIFFWriteEncodedTile(tif, TIFFComputeTile(tif, x, y, 0, 0), tile, TILE * TILE) < 0)
            status = -1;
    }
    free(tile);
    return status;
}

static int write_plane(const struct pieces *pieces, const char *path, uint32_t width,
                       uint32_t height, bool tiles, uint16_t compression)
{
    TIFF *tif = TIFFOpen(path, "w8");
    if (!tif)
        return -1;
    TIFFSetField(tif, TIFFTAG_IMAGEWIDTH, width);
    TIFFSetField(tif, TIFFTAG_IMAGELENGTH, height);
    TIFFSetField(tif, TIFFTAG_BITSPERSAMPLE, 8);
    TIFFSetField(tif, TIFFTAG_SAMPLESPERPIXEL, 1);
    TIFFSetField(tif, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
    TIFFSetField(tif, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
    TIFFSetField(tif, TIFFTAG_COMPRESSION, compression);
    if (tiles) {
        TIFFSetField(tif, TIFFTAG_TILEWIDTH, TILE);
        TIFFSetField(tif, TIFFTAG_TILELENGTH, TILE);
    } else {
        TIFFSetField(tif, TIFFTAG_ROWSPERSTRIP, STRIP_ROWS);
    }
    uint8_t *band = cs_xmalloc((size_t)width * PIECE);
    uint32_t seed = 1;
    int status = 0;
    for (uint32_t y = 0; y < height && status == 0; y += PIECE) {
        uint32_t rows = height - y < PIECE ? height - y : PIECE;
        for (uint32_t x = 0; x < width; x += PIECE) {
            size_t n = next_random(&seed) % pieces->count;
            place(pieces->pixels + n * PIECE * PIECE, next_random(&seed) & 7, band + x, width,
                  width - x < PIECE ? width - x : PIECE, rows);
        }
        status = write_band(tif, band, width, y, rows, tiles);
    }
    free(band);
    if (status == 0 && !TIFFWriteDirectory(tif))
        status = -1;
    TIFFClose(tif);
    return status;
}

static int write_crops(const struct pieces *pieces, const char *dir, int64_t count)
{
    uint32_t seed = 1;
    uint8_t *turned = cs_xmalloc(PIECE * PIECE), *crop = cs_xmalloc(MOST_CROP * MOST_CROP);
    int status = 0;
    for (int64_t i = 0; i < count && status == 0; i++) {
        struct cs_err err = {0};
        struct cs_write_options options = {.compression = CS_COMPRESS_DEFLATE};
        size_t n = next_random(&seed) % pieces->count;
        uint32_t side[2], at[2];
        place(pieces->pixels + n * PIECE * PIECE, next_random(&seed) & 7, turned, PIECE, PIECE,
              PIECE);
        for (int k = 0; k < 2; k++) {
            side[k] = LEAST_CROP + next_random(&seed) % (MOST_CROP - LEAST_CROP + 1);
            at[k] = next_random(&seed) % (PIECE - side[k] + 1);
        }
        for (uint32_t y = 0; y < side[1]; y++)
            memcpy(crop + (size_t)y * side[0], turned + ((size_t)at[1] + y) * PIECE + at[0],
                   side[0]);
        struct cs_image image = {
            .width = side[0], .height = side[1], .channels = 1, .dtype = CS_U8, .data = crop};
        char *path = cs_xasprintf("%s/%06lld.png", dir, (long long)i);
        status = cs_png_write(path, &image, &options, &err);
        if (status != 0)
            fprintf(stderr, "mosaic: %s\n", err.text);
        free(path);
    }
    free(turned);
    free(crop);
    return status;
}

static int usage(void)
{
    fputs("usage: mosaic plane WIDTH HEIGHT tiles|strips none|lzw|deflate OUT.tif IMAGE...\n"
          "       mosaic crops COUNT DIR IMAGE...\n",
          stderr);
    return 2;
}

static int compression_of(const char *name)
{
    return strcmp(name, "none") == 0      ? COMPRESSION_NONE
           : strcmp(name, "lzw") == 0     ? COMPRESSION_LZW
           : strcmp(name, "deflate") == 0 ? COMPRESSION_ADOBE_DEFLATE
                                          : 0;
}

int main(int argc, char **argv)
{
    struct cs_err err = {0};
    struct pieces pieces = {0};
    int64_t width = 0, height = 0, count = 0;
    bool plane = argc > 7 && strcmp(argv[1], "plane") == 0;
    if (!plane && (argc < 5 || strcmp(argv[1], "crops") != 0))
        return usage();
    if (plane && (cs_num_int(argv[2], 1, 1 << 20, "width", &width, &err) != 0 ||
                  cs_num_int(argv[3], 1, 1 << 20, "height", &height, &err) != 0))
        return usage();
    if (!plane && cs_num_int(argv[2], 1, 1 << 24, "count", &count, &err) != 0)
        return usage();
    for (int i = plane ? 7 : 4; i < argc; i++)
        if (add_image(&pieces, argv[i]) != 0)
            return 1;
    if (!pieces.count) {
        fputs("mosaic: no gray image of 8 bits\n", stderr);
        return 1;
    }
    int status = plane
                     ? write_plane(&pieces, argv[6], (uint32_t)width, (uint32_t)height,
                                   strcmp(argv[4], "tiles") == 0, (uint16_t)compression_of(argv[5]))
                     : write_crops(&pieces, argv[3], count);
    free(pieces.pixels);
    return status == 0 ? 0 : 1;
}
