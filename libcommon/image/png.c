// SPDX-License-Identifier: MIT
// PNG by libpng. Grays of 1, 2 and 4 bits become 0..255, palettes become RGB or RGBA, 16 bits stay
// 16 bits in the machine's order; gamma, colour profiles and the transparent colour of gray and RGB
// images are left alone. Rows come one after another; an interlaced image is decoded whole.
//
// libpng reports errors by longjmp. Every call that may do so stands in a function that does
// nothing else and holds no variable that must survive (`guarded_*`).
#include <errno.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image/codec.h"

enum { LIBRARY_BYTES = 1 << 20 }; // of libpng and zlib, beside four rows

struct png_file {
    int fd;
    uint64_t file_bytes, position;
    png_structp png;
    png_infop info;
    char message[160];
    struct cs_err read; // of a read that failed
    struct cs_page page;
    size_t row_bytes;
    bool interlaced, started;
    uint32_t next_row;
    uint8_t *whole; // interlaced: all rows; else: one row, for skipped ones
};

static bool png_sniff(const uint8_t *head, size_t bytes)
{
    return bytes >= 8 && png_sig_cmp(head, 0, 8) == 0;
}

static void on_error(png_structp png, png_const_charp text)
{
    struct png_file *file = png_get_error_ptr(png);
    size_t n = strnlen(text, sizeof file->message - 1);
    memcpy(file->message, text, n);
    file->message[n] = '\0';
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png, (void)text;
}

static void on_read(png_structp png, png_bytep data, size_t bytes)
{
    struct png_file *file = png_get_io_ptr(png);
    if (cs_codec_pread(file->fd, data, bytes, file->position, &file->read) != 0)
        png_error(png, "truncated");
    file->position += bytes;
}

static void stop(struct png_file *file)
{
    png_destroy_read_struct(&file->png, &file->info, NULL);
    file->png = NULL;
    file->info = NULL;
}

static int failed(struct png_file *file, struct cs_err *err)
{
    if (file->read.code == CS_EIO)
        return cs_fail(err, CS_EIO, "%s", file->read.text);
    return cs_fail(err, cs_codec_code(), "PNG: %s", file->message[0] ? file->message : "broken");
}

static int guarded_header(struct png_file *file)
{
    if (setjmp(png_jmpbuf(file->png)))
        return -1;
    // Texts and profiles, of which there may be a thousand of megabytes each, are of no use here.
    static const png_byte unused[] = "tEXt\0zTXt\0iTXt\0iCCP\0sPLT\0eXIf\0hIST\0pCAL\0sCAL";
    png_set_keep_unknown_chunks(file->png, PNG_HANDLE_CHUNK_NEVER, unused, sizeof unused / 5);
    png_set_user_limits(file->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_read_fn(file->png, file, on_read);
    png_read_info(file->png, file->info);
    int type = png_get_color_type(file->png, file->info);
    if (type == PNG_COLOR_TYPE_PALETTE) {
        png_set_palette_to_rgb(file->png);
        if (png_get_valid(file->png, file->info, PNG_INFO_tRNS))
            png_set_tRNS_to_alpha(file->png);
    } else if (type == PNG_COLOR_TYPE_GRAY) {
        png_set_expand_gray_1_2_4_to_8(file->png);
    }
    const uint16_t one = 1;
    if (*(const uint8_t *)&one == 1)
        png_set_swap(file->png);
    return 0;
}

static bool gray_palette(struct png_file *file)
{
    png_colorp colours;
    int count;
    if (!png_get_PLTE(file->png, file->info, &colours, &count))
        return false;
    for (int i = 0; i < count; i++)
        if (colours[i].red != colours[i].green || colours[i].red != colours[i].blue)
            return false;
    return true;
}

static void describe(struct png_file *file)
{
    png_structp png = file->png;
    png_infop info = file->info;
    int type = png_get_color_type(png, info), bits = png_get_bit_depth(png, info);
    bool has_palette = type == PNG_COLOR_TYPE_PALETTE;
    struct cs_page *page = &file->page;
    *page = (struct cs_page){
        .width = png_get_image_width(png, info),
        .height = png_get_image_height(png, info),
        .samples = has_palette ? 3 : png_get_channels(png, info),
        .dtype = bits == 16 ? CS_U16 : CS_U8,
        .bits = bits == 16 ? 16 : 8,
        .colour = type & PNG_COLOR_MASK_COLOR ? CS_RGB : CS_GRAY,
        .alpha = type & PNG_COLOR_MASK_ALPHA ? 1 : 0,
        .done = has_palette ? "palette"
                : bits < 8  ? "scale"
                            : NULL,
        .gray = has_palette && gray_palette(file),
        .orientation = 1,
        .resolution = {png_get_x_pixels_per_meter(png, info),
                       png_get_y_pixels_per_meter(png, info)},
        .unit_um = 1e6,
    };
    if (has_palette && png_get_valid(png, info, PNG_INFO_tRNS)) {
        page->samples = 4;
        page->alpha = 1;
    }
    file->interlaced = png_get_interlace_type(png, info) != PNG_INTERLACE_NONE;
    page->chunk_rows = page->height;
}

// Read the header and describe the page; rows follow.
static int restart(struct png_file *file, struct cs_err *err)
{
    stop(file);
    file->position = 0;
    file->next_row = 0;
    file->started = false;
    file->message[0] = '\0';
    errno = 0;
    file->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, file, on_error, on_warning);
    file->info = file->png ? png_create_info_struct(file->png) : NULL;
    if (!file->info)
        return cs_fail(err, CS_ENOMEM, "no memory for libpng");
    if (guarded_header(file) != 0)
        return failed(file, err);
    describe(file);
    if (cs_page_check(&file->page, file->file_bytes, &file->row_bytes, err) != 0)
        return -1;
    file->page.memory =
        LIBRARY_BYTES +
        file->row_bytes * (4 + (file->interlaced ? (uint64_t)file->page.height : 0));
    return 0;
}

static void png_close(void *state)
{
    struct png_file *file = state;
    if (!file)
        return;
    stop(file);
    free(file->whole);
    free(file);
}

static int png_open(void **out, int fd, uint64_t file_bytes, const struct cs_room *room,
                    struct cs_err *err)
{
    (void)room;
    struct png_file *file = cs_xcalloc(1, sizeof *file);
    file->fd = fd;
    file->file_bytes = file_bytes;
    if (restart(file, err) != 0) {
        png_close(file);
        return -1;
    }
    *out = file;
    return 0;
}

static uint32_t png_pages(const void *state)
{
    (void)state;
    return 1;
}

static const char *png_description(const void *state)
{
    (void)state;
    return NULL;
}

static int png_select(void *state, uint32_t page, struct cs_page *out, struct cs_err *err)
{
    struct png_file *file = state;
    (void)page;
    if (file->started && restart(file, err) != 0)
        return -1;
    *out = file->page;
    return 0;
}

static int guarded_start(struct png_file *file)
{
    if (setjmp(png_jmpbuf(file->png)))
        return -1;
    png_set_interlace_handling(file->png);
    png_read_update_info(file->png, file->info);
    return 0;
}

static int guarded_interlaced(struct png_file *file)
{
    if (setjmp(png_jmpbuf(file->png)))
        return -1;
    for (int pass = 0; pass < PNG_INTERLACE_ADAM7_PASSES; pass++)
        for (uint32_t y = 0; y < file->page.height; y++)
            png_read_row(file->png, file->whole + y * file->row_bytes, NULL);
    png_read_end(file->png, NULL);
    return 0;
}

static int start(struct png_file *file, struct cs_err *err)
{
    size_t rows = file->interlaced ? file->page.height : 1;
    if (file->interlaced && cs_chunk_check(file->row_bytes * rows, file->file_bytes, err) != 0)
        return cs_err_context(err, "interlaced");
    free(file->whole);
    file->whole = cs_alloc(rows, file->row_bytes, "PNG rows", err);
    if (!file->whole)
        return -1;
    file->started = true;
    errno = 0;
    if (guarded_start(file) != 0)
        return failed(file, err);
    if (png_get_rowbytes(file->png, file->info) != file->row_bytes)
        return cs_fail(err, CS_EINPUT, "PNG: rows of an unexpected size");
    return file->interlaced && guarded_interlaced(file) != 0 ? failed(file, err) : 0;
}

// Up to and without row `end`; those from `first` on go to out. The end of the file is read with
// the last row: it holds the check sums.
static int guarded_rows(struct png_file *file, uint32_t first, uint32_t end, uint8_t *out)
{
    if (setjmp(png_jmpbuf(file->png)))
        return -1;
    while (file->next_row < end) {
        bool wanted = file->next_row >= first;
        png_read_row(file->png,
                     wanted ? out + (file->next_row - first) * file->row_bytes : file->whole, NULL);
        file->next_row++;
    }
    if (end == file->page.height)
        png_read_end(file->png, NULL);
    return 0;
}

static int png_read(void *state, uint32_t first, uint32_t rows, void *out, struct cs_err *err)
{
    struct png_file *file = state;
    if (!file->started && start(file, err) != 0)
        return -1;
    if (file->interlaced) {
        memcpy(out, file->whole + first * file->row_bytes, rows * file->row_bytes);
        return 0;
    }
    errno = 0;
    if (guarded_rows(file, first, first + rows, out) != 0) {
        failed(file, err);
        return cs_err_context(err, "row %u", file->next_row);
    }
    return 0;
}

const struct cs_codec cs_codec_png = {
    .name = "PNG",
    .sniff = png_sniff,
    .open = png_open,
    .close = png_close,
    .pages = png_pages,
    .description = png_description,
    .select = png_select,
    .read = png_read,
};
