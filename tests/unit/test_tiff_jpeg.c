// SPDX-License-Identifier: MIT
// JPEG in TIFF: the samples are those of libtiff's own decoder, of strips and tiles, gray and
// colour, at the edges too; what is cut short is an error.
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <tiffio.h>
#include <unistd.h>

#include "base/mem.h"
#include "image/codec.h"
#include "suite.h"

static const struct kind {
    uint16_t samples, photometric, subsampling[2];
    uint32_t tile; // 0: strips of 32 rows
} kinds[] = {
    {1, PHOTOMETRIC_MINISBLACK, {1, 1}, 0}, {1, PHOTOMETRIC_MINISBLACK, {1, 1}, 48},
    {1, PHOTOMETRIC_MINISWHITE, {1, 1}, 0}, {3, PHOTOMETRIC_RGB, {1, 1}, 0},
    {3, PHOTOMETRIC_RGB, {1, 1}, 48},       {3, PHOTOMETRIC_YCBCR, {1, 1}, 48},
    {3, PHOTOMETRIC_YCBCR, {2, 1}, 48},     {3, PHOTOMETRIC_YCBCR, {2, 2}, 48},
    {3, PHOTOMETRIC_YCBCR, {2, 2}, 0},      {3, PHOTOMETRIC_YCBCR, {4, 2}, 0},
    {4, PHOTOMETRIC_SEPARATED, {1, 1}, 48},
};
enum { WIDTH = 133, HEIGHT = 101, ROWS = 32 };

static const char pattern[] = "/tmp/test_tiff_jpeg.XXXXXX";
static char path[sizeof pattern];

static void set_tags(TIFF *tif, const struct kind *k)
{
    TIFFSetField(tif, TIFFTAG_IMAGEWIDTH, WIDTH);
    TIFFSetField(tif, TIFFTAG_IMAGELENGTH, HEIGHT);
    TIFFSetField(tif, TIFFTAG_SAMPLESPERPIXEL, k->samples);
    TIFFSetField(tif, TIFFTAG_BITSPERSAMPLE, 8);
    TIFFSetField(tif, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
    TIFFSetField(tif, TIFFTAG_COMPRESSION, COMPRESSION_JPEG);
    TIFFSetField(tif, TIFFTAG_PHOTOMETRIC, k->photometric);
    if (k->photometric == PHOTOMETRIC_YCBCR) {
        TIFFSetField(tif, TIFFTAG_YCBCRSUBSAMPLING, k->subsampling[0], k->subsampling[1]);
        TIFFSetField(tif, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
    }
    if (k->tile) {
        TIFFSetField(tif, TIFFTAG_TILEWIDTH, k->tile);
        TIFFSetField(tif, TIFFTAG_TILELENGTH, k->tile);
    } else {
        TIFFSetField(tif, TIFFTAG_ROWSPERSTRIP, ROWS);
    }
}

static void write_file(const struct kind *k)
{
    TIFF *tif = TIFFOpen(path, "w");
    ck_assert_ptr_nonnull(tif);
    set_tags(tif, k);
    size_t bytes = (size_t)(k->tile ? TIFFTileSize(tif) : TIFFStripSize(tif));
    uint8_t *unit = cs_xmalloc(bytes);
    uint32_t seed = 1, count = k->tile ? TIFFNumberOfTiles(tif) : TIFFNumberOfStrips(tif);
    for (uint32_t n = 0; n < count; n++) {
        for (size_t i = 0; i < bytes; i++) {
            seed = seed * 1664525u + 1013904223u;
            unit[i] = (uint8_t)(128 + 100 * (i / 300 % 2) - 40 + (seed >> 27));
        }
        if (k->tile)
            ck_assert_int_eq(TIFFWriteEncodedTile(tif, n, unit, (tmsize_t)bytes), (int)bytes);
        else
            ck_assert_int_gt(TIFFWriteEncodedStrip(tif, n, unit, (tmsize_t)bytes), 0);
    }
    free(unit);
    TIFFClose(tif);
}

// The whole image by libtiff alone.
static uint8_t *expected(const struct kind *k)
{
    TIFF *tif = TIFFOpen(path, "r");
    ck_assert_ptr_nonnull(tif);
    if (k->photometric == PHOTOMETRIC_YCBCR)
        TIFFSetField(tif, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
    size_t row = (size_t)WIDTH * k->samples, side = k->tile ? k->tile : WIDTH;
    uint32_t high = k->tile ? k->tile : ROWS;
    uint8_t *image = cs_xmalloc(row * HEIGHT), *unit = cs_xmalloc(side * high * k->samples);
    for (uint32_t y = 0; y < HEIGHT; y += high)
        for (uint32_t x = 0; x < WIDTH; x += (uint32_t)side) {
            tmsize_t got = k->tile ? TIFFReadTile(tif, unit, x, y, 0, 0)
                                   : TIFFReadEncodedStrip(tif, y / ROWS, unit, -1);
            ck_assert_int_gt(got, 0);
            size_t pixels = WIDTH - x < side ? WIDTH - x : side;
            for (uint32_t i = 0; i < high && y + i < HEIGHT; i++)
                memcpy(image + (y + i) * row + (size_t)x * k->samples, unit + i * side * k->samples,
                       pixels * k->samples);
        }
    free(unit);
    TIFFClose(tif);
    return image;
}

static int read_file(int fd, uint64_t bytes, const struct kind *k, uint32_t band, uint8_t *image)
{
    struct cs_err err;
    struct cs_page page;
    void *file;
    ck_assert_int_eq(cs_codec_tiff.open(&file, fd, bytes, NULL, &err), 0);
    int status = cs_codec_tiff.select(file, 0, &page, &err);
    for (uint32_t y = 0; y < HEIGHT && status == 0; y += band) {
        ck_assert_uint_eq(page.samples, k->samples);
        status = cs_codec_tiff.read(file, y, HEIGHT - y < band ? HEIGHT - y : band,
                                    image + (size_t)y * WIDTH * k->samples, &err);
    }
    cs_codec_tiff.close(file);
    return status;
}

START_TEST(same_samples)
{
    static const uint32_t bands[] = {HEIGHT, 48, 32, 7};
    const struct kind *k = &kinds[_i];
    size_t bytes = (size_t)WIDTH * HEIGHT * k->samples;
    memcpy(path, pattern, sizeof path);
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    write_file(k);
    uint8_t *wanted = expected(k), *image = cs_xmalloc(bytes);
    uint64_t size = (uint64_t)lseek(fd, 0, SEEK_END);
    for (size_t i = 0; i < sizeof bands / sizeof *bands; i++) {
        memset(image, 0, bytes);
        ck_assert_int_eq(read_file(fd, size, k, bands[i], image), 0);
        ck_assert_mem_eq(image, wanted, bytes);
    }
    // The last bytes of a strip or tile become others.
    TIFF *tif = TIFFOpen(path, "r");
    uint64_t at = TIFFGetStrileOffset(tif, 1), count = TIFFGetStrileByteCount(tif, 1);
    TIFFClose(tif);
    static const uint8_t end[] = {0xff, 0xd9, 0xff, 0xd9};
    ck_assert_int_eq(pwrite(fd, end, sizeof end, (off_t)(at + count / 2)), (int)sizeof end);
    ck_assert_int_eq(read_file(fd, size, k, HEIGHT, image), -1);
    free(wanted);
    free(image);
    close(fd);
    unlink(path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tiff_jpeg");
    TCase *core = tcase_create("core");
    tcase_add_loop_test(core, same_samples, 0, (int)(sizeof kinds / sizeof *kinds));
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
