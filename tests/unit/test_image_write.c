// SPDX-License-Identifier: MIT
// image/write.h: what is written reads back the same, with the pixel size, the same bytes every
// time; a failed write leaves no file.
#include <check.h>
#include <png.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <tiffio.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/io.h"
#include "image/write.h"
#include "suite.h"

static char folder[64];

static void set_up(void)
{
    strncpy(folder, "/tmp/test_image_write.XXXXXX", sizeof folder - 1);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
}

static void tear_down(void)
{
    for (const char *name = "abct"; *name; name++) {
        char path[] = {*name, '\0'};
        unlink(path);
    }
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(rmdir(folder), 0); // nothing else is left behind
}

// Samples that differ, with runs in them.
static struct cs_image make_image(uint32_t width, uint32_t height, uint16_t channels,
                                  enum cs_dtype dtype)
{
    struct cs_image image;
    struct cs_err err;
    ck_assert_int_eq(cs_image_init(&image, width, height, channels, dtype, 0, NULL, &err), 0);
    uint8_t *bytes = image.data;
    uint32_t state = 12345;
    for (size_t i = 0; i < cs_image_bytes(&image); i++) {
        if (i % 5 == 0)
            state = state * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(state >> 24);
    }
    if (dtype == CS_F32)
        for (size_t i = 0; i < (size_t)width * height * channels; i++)
            ((float *)image.data)[i] = (float)i * 0.37f - 20;
    return image;
}

static void check_tiff(enum cs_dtype dtype, uint16_t channels, enum cs_compression compression)
{
    struct cs_image image = make_image(301, 403, channels, dtype);
    struct cs_write_options options = {compression, 0.325, 0.65};
    struct cs_err err;
    ck_assert_int_eq(cs_tiff_write("t", &image, &options, &err), 0);
    TIFF *tif = TIFFOpen("t", "r");
    ck_assert_ptr_nonnull(tif);
    uint32_t width = 0, height = 0;
    uint16_t samples = 0, bits = 0;
    float x = 0, y = 0;
    char *text = NULL;
    ck_assert(TIFFGetField(tif, TIFFTAG_IMAGEWIDTH, &width));
    ck_assert(TIFFGetField(tif, TIFFTAG_IMAGELENGTH, &height));
    ck_assert(TIFFGetField(tif, TIFFTAG_SAMPLESPERPIXEL, &samples));
    ck_assert(TIFFGetField(tif, TIFFTAG_BITSPERSAMPLE, &bits));
    ck_assert(TIFFGetField(tif, TIFFTAG_XRESOLUTION, &x));
    ck_assert(TIFFGetField(tif, TIFFTAG_YRESOLUTION, &y));
    ck_assert(TIFFGetField(tif, TIFFTAG_IMAGEDESCRIPTION, &text));
    ck_assert(!TIFFGetField(tif, TIFFTAG_DATETIME, &text) && !TIFFIsBigEndian(tif));
    ck_assert_uint_eq(width, image.width);
    ck_assert_uint_eq(height, image.height);
    ck_assert_uint_eq(samples, channels);
    ck_assert_uint_eq(bits, 8 * cs_dtype_bytes(dtype));
    ck_assert_float_eq_tol(1 / x, 0.325, 1e-6);
    ck_assert_float_eq_tol(1 / y, 0.65, 1e-6);
    size_t row_bytes = cs_image_row_bytes(&image);
    uint8_t *row = cs_xmalloc(row_bytes);
    for (uint32_t r = 0; r < height; r++) {
        ck_assert_int_eq(TIFFReadScanline(tif, row, r, 0), 1);
        ck_assert_mem_eq(row, (uint8_t *)image.data + r * row_bytes, row_bytes);
    }
    free(row);
    TIFFClose(tif);
    cs_image_release(&image);
}

START_TEST(tiff_reads_back)
{
    static const enum cs_dtype types[] = {CS_U8, CS_U16, CS_U32, CS_I16, CS_U64, CS_F32, CS_F64};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        for (uint16_t channels = 1; channels <= 4; channels++)
            for (int c = CS_COMPRESS_DEFLATE; c <= CS_COMPRESS_NONE; c++)
                check_tiff(types[i], channels, (enum cs_compression)c);
}
END_TEST

START_TEST(png_reads_back)
{
    static const int formats[] = {PNG_FORMAT_GRAY, PNG_FORMAT_GA, PNG_FORMAT_RGB, PNG_FORMAT_RGBA};
    struct cs_write_options options = {.pixel_um = 0.5};
    struct cs_err err;
    for (uint16_t channels = 1; channels <= 4; channels++) {
        struct cs_image image = make_image(77, 31, channels, CS_U8);
        ck_assert_int_eq(cs_png_write("t", &image, &options, &err), 0);
        png_image png = {.version = PNG_IMAGE_VERSION};
        ck_assert(png_image_begin_read_from_file(&png, "t"));
        png.format = (png_uint_32)formats[channels - 1];
        uint8_t *back = cs_xmalloc(PNG_IMAGE_SIZE(png));
        ck_assert(png_image_finish_read(&png, NULL, back, 0, NULL));
        ck_assert_uint_eq(PNG_IMAGE_SIZE(png), cs_image_bytes(&image));
        ck_assert_mem_eq(back, image.data, cs_image_bytes(&image));
        free(back);
        cs_image_release(&image);
    }
}
END_TEST

START_TEST(png_keeps_16_bits_and_pixel_size)
{
    struct cs_image image = make_image(50, 20, 1, CS_U16);
    struct cs_write_options options = {.pixel_um = 0.5};
    struct cs_err err;
    ck_assert_int_eq(cs_png_write("t", &image, &options, &err), 0);
    FILE *file = fopen("t", "rb");
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_init_io(png, file);
    png_read_png(png, info, PNG_TRANSFORM_SWAP_ENDIAN, NULL);
    ck_assert_uint_eq(png_get_bit_depth(png, info), 16);
    ck_assert_uint_eq(png_get_pixels_per_meter(png, info), 2000000);
    for (uint32_t y = 0; y < 20; y++)
        ck_assert_mem_eq(png_get_rows(png, info)[y], (uint8_t *)image.data + y * 100, 100);
    png_destroy_read_struct(&png, &info, NULL);
    fclose(file);
    cs_image_release(&image);
}
END_TEST

START_TEST(npy_has_header_and_samples)
{
    struct cs_image image = make_image(5, 3, 2, CS_U16);
    struct cs_buf file = {0};
    struct cs_err err;
    ck_assert_int_eq(cs_npy_write("t", &image, &err), 0);
    ck_assert_int_eq(cs_read_file("t", 1 << 20, &file, &err), 0);
    ck_assert_uint_eq(file.len, 128 + 60);
    ck_assert_mem_eq(file.data, "\x93NUMPY\x01\x00\x76\x00", 10);
    ck_assert_ptr_nonnull(strstr(file.data + 10, "'descr': '<u2'"));
    ck_assert_ptr_nonnull(strstr(file.data + 10, "'shape': (3, 5, 2)"));
    ck_assert_int_eq(file.data[127], '\n');
    ck_assert_mem_eq(file.data + 128, image.data, 60);
    cs_buf_release(&file);
    cs_image_release(&image);
}
END_TEST

START_TEST(same_bytes_every_time)
{
    struct cs_image image = make_image(200, 300, 1, CS_U16);
    struct cs_write_options options = {.pixel_um = 0.3};
    struct cs_err err;
    uint64_t first = 0, second = 1;
    ck_assert_int_eq(cs_tiff_write("a", &image, &options, &err), 0);
    ck_assert_int_eq(cs_tiff_write("b", &image, &options, &err), 0);
    ck_assert_int_eq(cs_xxh3_file("a", &first, &err), 0);
    ck_assert_int_eq(cs_xxh3_file("b", &second, &err), 0);
    ck_assert(first == second);
    ck_assert_int_eq(cs_png_write("a", &image, &options, &err), 0);
    ck_assert_int_eq(cs_png_write("b", &image, &options, &err), 0);
    ck_assert_int_eq(cs_xxh3_file("a", &first, &err), 0);
    ck_assert_int_eq(cs_xxh3_file("b", &second, &err), 0);
    ck_assert(first == second);
    cs_image_release(&image);
}
END_TEST

START_TEST(unfitting_samples_are_refused)
{
    struct cs_write_options options = {0};
    struct cs_err err;
    struct cs_image image = make_image(5, 3, 1, CS_U32);
    ck_assert_int_eq(cs_png_write("t", &image, &options, &err), -1);
    ck_assert_int_eq(err.code, CS_EINPUT);
    ck_assert_ptr_nonnull(strstr(err.text, "u32"));
    cs_image_release(&image);
    image = make_image(0, 3, 1, CS_U8);
    ck_assert_int_eq(cs_tiff_write("t", &image, &options, &err), -1);
    ck_assert_int_eq(cs_png_write("t", &image, &options, &err), -1);
    cs_image_release(&image);
    ck_assert_int_ne(access("t", F_OK), 0);
}
END_TEST

// The limit of file sizes stands for a full disk: writes beyond it fail.
START_TEST(failed_write_leaves_nothing)
{
    struct cs_image image = make_image(400, 400, 1, CS_U16);
    struct cs_write_options options = {.compression = CS_COMPRESS_NONE};
    struct cs_err err;
    struct rlimit limit = {4096, 4096};
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(cs_tiff_write("t", &image, &options, &err), -1);
    ck_assert_int_eq(err.code, CS_EIO);
    ck_assert_int_eq(cs_png_write("t", &image, &options, &err), -1);
    ck_assert_int_eq(err.code, CS_EIO);
    ck_assert_int_eq(cs_npy_write("t", &image, &err), -1);
    ck_assert_int_eq(err.code, CS_EIO);
    ck_assert_int_ne(access("t", F_OK), 0);
    cs_image_release(&image);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("image/write");
    TCase *core = tcase_create("core");
    tcase_add_checked_fixture(core, set_up, tear_down);
    tcase_add_test(core, tiff_reads_back);
    tcase_add_test(core, png_reads_back);
    tcase_add_test(core, png_keeps_16_bits_and_pixel_size);
    tcase_add_test(core, npy_has_header_and_samples);
    tcase_add_test(core, same_bytes_every_time);
    suite_add_tcase(suite, core);
    TCase *limits = tcase_create("limits");
    tcase_add_checked_fixture(limits, set_up, tear_down);
    tcase_add_test(limits, unfitting_samples_are_refused);
    tcase_add_test(limits, failed_write_leaves_nothing);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
