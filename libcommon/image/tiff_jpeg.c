// SPDX-License-Identifier: MIT
// JPEG strips and tiles of 8-bit gray or RGB, by libjpeg-turbo without libtiff between: its rows go
// where they are wanted, grays without a conversion sample by sample, and the library's fast
// decoder of Huffman codes, which wants some hundred bytes ahead of it, also works at the end of a
// tile. The samples are those that libtiff gives.
//
// What is unusual, or broken in any way, is left to libtiff, and with it what to say of it.
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#include "image/tiff_file.h"

// Behind the data there are ends of images: what is cut short is seen as such.
enum { PADDING = 8192, ROWS = 16 };

struct tiff_jpeg {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    jmp_buf back;
    bool usable; // for this page
    bool from_ycbcr;
    uint8_t *raw;
    size_t raw_bytes;
};

static void on_error(j_common_ptr common)
{
    struct tiff_jpeg *j = common->client_data;
    longjmp(j->back, 1);
}

// Samples that are made up (level -1) are no samples.
static void on_message(j_common_ptr common, int level)
{
    int code = common->err->msg_code;
    if (level < 0 &&
        (code == JWRN_HIT_MARKER || code == JWRN_JPEG_EOF || code == JWRN_HUFF_BAD_CODE))
        on_error(common);
}

// The tables that the page's strips or tiles share, if there are any.
static bool guarded_tables(struct tiff_jpeg *j, const void *tables, uint32_t bytes)
{
    if (setjmp(j->back))
        return false;
    jpeg_create_decompress(&j->jpeg);
    if (!tables)
        return true;
    jpeg_mem_src(&j->jpeg, tables, bytes);
    return jpeg_read_header(&j->jpeg, FALSE) == JPEG_HEADER_TABLES_ONLY;
}

void tiff_jpeg_close(struct tiff_jpeg *j)
{
    if (!j)
        return;
    jpeg_destroy_decompress(&j->jpeg);
    free(j->raw);
    free(j);
}

static struct tiff_jpeg *open_page(struct tiff_file *file)
{
    struct tiff_jpeg *j = cs_xcalloc(1, sizeof *j);
    uint16_t photometric = PHOTOMETRIC_MINISBLACK, samples = file->page.samples;
    uint32_t bytes = 0;
    const void *tables = NULL;
    j->jpeg.err = jpeg_std_error(&j->errors);
    j->errors.error_exit = on_error;
    j->errors.emit_message = on_message;
    j->jpeg.client_data = j;
    TIFFGetField(file->tif, TIFFTAG_PHOTOMETRIC, &photometric);
    if (!TIFFGetField(file->tif, TIFFTAG_JPEGTABLES, &bytes, &tables))
        tables = NULL;
    j->from_ycbcr = photometric == PHOTOMETRIC_YCBCR;
    j->usable = file->bits == 8 && !file->separate && (samples == 1 || samples == 3) &&
                guarded_tables(j, tables, bytes);
    return j;
}

static bool read_raw(struct tiff_file *file, struct tiff_jpeg *j, uint32_t unit, size_t *bytes)
{
    uint64_t stated = TIFFGetStrileByteCount(file->tif, unit);
    uint64_t most = (uint64_t)file->unit_row_bytes * file->unit_rows;
    if (!stated || stated > most)
        return false;
    *bytes = (size_t)stated;
    if (*bytes + PADDING > j->raw_bytes) {
        free(j->raw);
        j->raw_bytes = 0;
        if (!(j->raw = malloc(*bytes + PADDING)))
            return false;
        j->raw_bytes = *bytes + PADDING;
    }
    tmsize_t got = file->tiled ? TIFFReadRawTile(file->tif, unit, j->raw, (tmsize_t)*bytes)
                               : TIFFReadRawStrip(file->tif, unit, j->raw, (tmsize_t)*bytes);
    for (size_t i = 0; i < PADDING; i += 2) {
        j->raw[*bytes + i] = 0xff;
        j->raw[*bytes + i + 1] = JPEG_EOI;
    }
    return got == (tmsize_t)*bytes && !file->message[0];
}

// As the page's tags have it, in one scan, with colours in full or half resolution.
static bool as_expected(const struct tiff_file *file, struct tiff_jpeg *j, uint32_t rows)
{
    struct jpeg_decompress_struct *jpeg = &j->jpeg;
    uint32_t height = file->tiled ? file->unit_rows : rows;
    if (jpeg->image_width != file->unit_width || jpeg->image_height != height ||
        jpeg->num_components != file->page.samples || jpeg->data_precision != 8 ||
        jpeg_has_multiple_scans(jpeg))
        return false;
    for (int i = 0; i < jpeg->num_components; i++) {
        int most = i == 0 && j->from_ycbcr ? 2 : 1;
        if (jpeg->comp_info[i].h_samp_factor > most || jpeg->comp_info[i].v_samp_factor > most)
            return false;
    }
    return true;
}

static bool guarded_decode(struct tiff_file *file, struct tiff_jpeg *j, size_t bytes, uint32_t rows,
                           uint8_t *out, size_t stride)
{
    struct jpeg_decompress_struct *jpeg = &j->jpeg;
    if (setjmp(j->back)) {
        jpeg_abort_decompress(jpeg);
        return false;
    }
    jpeg_mem_src(jpeg, j->raw, bytes + PADDING);
    if (jpeg_read_header(jpeg, TRUE) != JPEG_HEADER_OK || !as_expected(file, j, rows)) {
        jpeg_abort_decompress(jpeg);
        return false;
    }
    jpeg->out_color_space = file->page.samples == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg->jpeg_color_space = j->from_ycbcr ? JCS_YCbCr : jpeg->out_color_space;
    jpeg_start_decompress(jpeg);
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW lines[ROWS];
        uint32_t left = jpeg->output_height - jpeg->output_scanline;
        uint32_t count = left < ROWS ? left : ROWS;
        for (uint32_t i = 0; i < count; i++)
            lines[i] = out + (jpeg->output_scanline + i) * stride;
        jpeg_read_scanlines(jpeg, lines, count);
    }
    jpeg_finish_decompress(jpeg);
    return true;
}

bool tiff_jpeg_unit(struct tiff_file *file, uint32_t unit, uint32_t rows, uint32_t x, uint8_t *to)
{
    size_t bytes, pixel = file->page.samples;
    if (!file->jpeg)
        file->jpeg = open_page(file);
    if (!file->jpeg->usable || !read_raw(file, file->jpeg, unit, &bytes)) {
        tiff_clear(file);
        return false;
    }
    uint32_t pixels = file->page.width - x;
    bool whole = pixels >= file->unit_width && (!file->tiled || rows == file->unit_rows);
    if (whole)
        return guarded_decode(file, file->jpeg, bytes, rows, to + x * pixel, file->row_bytes);
    pixels = pixels < file->unit_width ? pixels : file->unit_width;
    if (!guarded_decode(file, file->jpeg, bytes, rows, file->unit, file->unit_row_bytes))
        return false;
    for (uint32_t y = 0; y < rows; y++)
        memcpy(to + y * file->row_bytes + x * pixel, file->unit + y * file->unit_row_bytes,
               pixels * pixel);
    return true;
}
