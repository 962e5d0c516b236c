// SPDX-License-Identifier: MIT
// PNG files with libpng, row by row, through a cs_outfile. libpng reports errors by longjmp, which
// stays inside write_rows.
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>

#include "base/io.h"
#include "image/write.h"

struct png_job {
    const struct cs_image *image;
    const struct cs_write_options *options;
    FILE *file;
    struct cs_err *err;
};

static void on_error(png_structp png, png_const_charp text)
{
    struct png_job *job = png_get_error_ptr(png);
    cs_fail_errno(job->err, CS_EIO, "%s", text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static int colour_type(int channels)
{
    static const int types[] = {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB,
                                PNG_COLOR_TYPE_RGB_ALPHA};
    return types[channels - 1];
}

static void set_header(png_structp png, png_infop info, const struct png_job *job)
{
    const struct cs_write_options *options = job->options;
    png_set_IHDR(png, info, job->image->width, job->image->height,
                 (int)(8 * cs_dtype_bytes(job->image->dtype)), colour_type(job->image->channels),
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_BASE, PNG_FILTER_TYPE_BASE);
    if (options->compression == CS_COMPRESS_NONE)
        png_set_compression_level(png, 0);
    double x_um = options->pixel_um, y_um = options->pixel_um_y > 0 ? options->pixel_um_y : x_um;
    // pHYs holds pixels a metre in 31 bits.
    if (x_um > 1e-3 && y_um > 1e-3)
        png_set_pHYs(png, info, (png_uint_32)(1e6 / x_um + 0.5), (png_uint_32)(1e6 / y_um + 0.5),
                     PNG_RESOLUTION_METER);
}

static int write_rows(png_structp png, png_infop info, struct png_job *job)
{
    if (setjmp(png_jmpbuf(png)) != 0)
        return -1;
    png_init_io(png, job->file);
    set_header(png, info, job);
    png_write_info(png, info);
    if (job->image->dtype == CS_U16)
        png_set_swap(png); // samples are little-endian here, big-endian in the file
    size_t row_bytes = cs_image_row_bytes(job->image);
    for (uint32_t y = 0; y < job->image->height; y++)
        png_write_row(png, (png_const_bytep)job->image->data + y * row_bytes);
    png_write_end(png, info);
    return 0;
}

int cs_png_write(const char *path, const struct cs_image *image,
                 const struct cs_write_options *options, struct cs_err *err)
{
    struct cs_outfile out;
    if (image->dtype > CS_U16 || image->channels < 1 || image->channels > 4)
        return cs_fail(err, CS_EINPUT, "%s: a PNG file cannot hold %u channels of %s (use TIFF)",
                       path, image->channels, cs_dtype_name(image->dtype));
    if (!image->width || !image->height || image->width > 1000000 || image->height > 1000000)
        return cs_fail(err, CS_EINPUT, "%s: a PNG file cannot hold %u x %u pixels (use TIFF)", path,
                       image->width, image->height);
    if (cs_outfile_open(&out, path, err) != 0)
        return -1;
    struct cs_err why = {0};
    struct png_job job = {image, options, out.file, &why};
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &job, on_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    int status = info ? write_rows(png, info, &job) : cs_fail(&why, CS_ENOMEM, "no memory");
    png_destroy_write_struct(&png, &info);
    if (status == 0)
        return cs_outfile_commit(&out, 0, err);
    cs_outfile_abort(&out);
    return cs_fail(err, why.code, "%s: %s", path, why.text);
}
