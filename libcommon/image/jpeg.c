// SPDX-License-Identifier: MIT
// JPEG by libjpeg-turbo: gray, RGB (from YCbCr) and CMYK of 8 bits. Rows come one after another;
// a progressive file is held as coefficients by the library, within CS_MAX_CHUNK_BYTES.
// A file that ends early, or whose codes are broken, is an error: the library would fill in gray.
//
// libjpeg reports errors through a hook that must not return: it jumps back. Every call that may
// do so stands in a function that holds no variable that must survive (`guarded_*`).
#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#include "image/codec.h"

enum {
    INPUT_BYTES = 1 << 16,
    MAX_SCANS =
        100, // of a progressive file: an empty one costs a few bytes and a whole image's time
    LIBRARY_BYTES = 1 << 20, // of libjpeg, beside rows and coefficients
    MOST_BLOCK = 32,         // sides are rounded up to as many samples
    ROWS_AT_ONCE = 128,      // four rows of such blocks, which are upsampled
};

struct jpeg_file {
    int fd;
    uint64_t file_bytes, position;
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf back;
    char message[JMSG_LENGTH_MAX];
    struct cs_err read; // of a read that failed
    bool created, started;
    struct cs_page page;
    size_t row_bytes;
    uint8_t *skipped; // one row
    uint8_t input[INPUT_BYTES];
};

static bool jpeg_sniff(const uint8_t *head, size_t bytes)
{
    return bytes >= 3 && head[0] == 0xff && head[1] == 0xd8 && head[2] == 0xff;
}

static void on_error(j_common_ptr common)
{
    struct jpeg_file *file = common->client_data;
    common->err->format_message(common, file->message);
    longjmp(file->back, 1);
}

// Warnings (level -1): those that mean made-up samples are errors, stray bytes are not.
static void on_message(j_common_ptr common, int level)
{
    int code = common->err->msg_code;
    if (level < 0 && (code == JWRN_HIT_MARKER || code == JWRN_JPEG_EOF ||
                      code == JWRN_HUFF_BAD_CODE || code == JWRN_MUST_RESYNC))
        on_error(common);
}

// Called now and then while the library works.
static void on_progress(j_common_ptr common)
{
    struct jpeg_file *file = common->client_data;
    if (file->jpeg.input_scan_number <= MAX_SCANS)
        return;
    snprintf(file->message, sizeof file->message, "more than %d scans", MAX_SCANS);
    longjmp(file->back, 1);
}

// ---- Input ---------------------------------------------------------------------------------

static void on_start(j_decompress_ptr jpeg)
{
    (void)jpeg;
}

static boolean on_fill(j_decompress_ptr jpeg)
{
    struct jpeg_file *file = jpeg->client_data;
    uint64_t left = file->file_bytes - file->position;
    size_t n = left < INPUT_BYTES ? (size_t)left : INPUT_BYTES;
    if (n == 0 || cs_codec_pread(file->fd, file->input, n, file->position, &file->read) != 0)
        ERREXIT(jpeg, JERR_INPUT_EOF);
    file->position += n;
    file->source.next_input_byte = file->input;
    file->source.bytes_in_buffer = n;
    return TRUE;
}

static void on_skip(j_decompress_ptr jpeg, long bytes)
{
    struct jpeg_file *file = jpeg->client_data;
    if (bytes <= 0)
        return;
    if ((size_t)bytes <= file->source.bytes_in_buffer) {
        file->source.next_input_byte += bytes;
        file->source.bytes_in_buffer -= (size_t)bytes;
        return;
    }
    uint64_t beyond = (uint64_t)bytes - file->source.bytes_in_buffer;
    if (beyond > file->file_bytes - file->position)
        beyond = file->file_bytes - file->position; // the next fill finds the end
    file->position += beyond;
    file->source.bytes_in_buffer = 0;
}

// ---- Header --------------------------------------------------------------------------------

static int failed(struct jpeg_file *file, struct cs_err *err)
{
    if (file->read.code == CS_EIO)
        return cs_fail(err, CS_EIO, "%s", file->read.text);
    return cs_fail(err, cs_codec_code(), "JPEG: %s", file->message);
}

static int guarded_header(struct jpeg_file *file)
{
    if (setjmp(file->back))
        return -1;
    jpeg_create_decompress(&file->jpeg);
    file->created = true;
    file->jpeg.client_data = file;
    file->source.init_source = on_start;
    file->source.fill_input_buffer = on_fill;
    file->source.skip_input_data = on_skip;
    file->source.resync_to_restart = jpeg_resync_to_restart;
    file->source.term_source = on_start;
    file->source.bytes_in_buffer = 0;
    file->jpeg.src = &file->source;
    file->progress.progress_monitor = on_progress;
    file->jpeg.progress = &file->progress;
    file->jpeg.mem->max_memory_to_use = CS_MAX_CHUNK_BYTES;
    jpeg_read_header(&file->jpeg, TRUE);
    return 0;
}

static void stop(struct jpeg_file *file)
{
    if (file->created)
        jpeg_destroy_decompress(&file->jpeg);
    file->created = false;
}

static int describe(struct jpeg_file *file, struct cs_err *err)
{
    struct jpeg_decompress_struct *jpeg = &file->jpeg;
    bool gray = jpeg->num_components == 1, four = jpeg->num_components == 4;
    if (!gray && !four && jpeg->num_components != 3)
        return cs_fail(err, CS_EINPUT, "JPEG: %d components", jpeg->num_components);
    jpeg->out_color_space = gray ? JCS_GRAYSCALE : four ? JCS_CMYK : JCS_RGB;
    file->page = (struct cs_page){
        .width = jpeg->image_width,
        .height = jpeg->image_height,
        .samples = gray   ? 1
                   : four ? 4
                          : 3,
        .dtype = CS_U8,
        .bits = 8,
        .colour = gray   ? CS_GRAY
                  : four ? CS_COLOUR_OTHER
                         : CS_RGB,
        .colour_name = jpeg->saw_Adobe_marker ? "inverted CMYK" : "CMYK",
        .orientation = 1,
        .resolution = {jpeg->X_density, jpeg->Y_density},
        .unit_um = jpeg->density_unit == 1   ? 25400
                   : jpeg->density_unit == 2 ? 10000
                                             : 0,
        .chunk_rows = jpeg->image_height,
    };
    // Coefficients of all rows, two bytes each, are kept for a progressive image and where the
    // colours come one after the other.
    bool kept = jpeg_has_multiple_scans(jpeg);
    uint64_t samples = file->page.samples;
    uint64_t whole = (uint64_t)jpeg->image_width * jpeg->image_height * samples * 2;
    if (kept && cs_chunk_check(whole, file->file_bytes, err) != 0)
        return cs_err_context(err, "JPEG: of several scans");
    if (cs_page_check(&file->page, file->file_bytes, &file->row_bytes, err) != 0)
        return -1;
    uint64_t blocks = ((uint64_t)jpeg->image_width + MOST_BLOCK) *
                      ((uint64_t)jpeg->image_height + MOST_BLOCK) * samples * 2;
    file->page.memory = LIBRARY_BYTES + (file->row_bytes + MOST_BLOCK * samples) * ROWS_AT_ONCE +
                        (kept ? blocks : 0);
    return 0;
}

static int restart(struct jpeg_file *file, struct cs_err *err)
{
    stop(file);
    file->position = 0;
    file->started = false;
    errno = 0;
    file->jpeg = (struct jpeg_decompress_struct){0};
    file->jpeg.err = jpeg_std_error(&file->errors);
    file->jpeg.client_data = file;
    file->errors.error_exit = on_error;
    file->errors.emit_message = on_message;
    return guarded_header(file) != 0 ? failed(file, err) : describe(file, err);
}

// ---- The codec -----------------------------------------------------------------------------

static void jpeg_close(void *state)
{
    struct jpeg_file *file = state;
    if (!file)
        return;
    stop(file);
    free(file->skipped);
    free(file);
}

static int jpeg_open(void **out, int fd, uint64_t file_bytes, const struct cs_room *room,
                     struct cs_err *err)
{
    (void)room;
    struct jpeg_file *file = cs_xcalloc(1, sizeof *file);
    file->fd = fd;
    file->file_bytes = file_bytes;
    if (restart(file, err) != 0) {
        jpeg_close(file);
        return -1;
    }
    *out = file;
    return 0;
}

static uint32_t jpeg_pages(const void *state)
{
    (void)state;
    return 1;
}

static const char *jpeg_description(const void *state)
{
    (void)state;
    return NULL;
}

static int jpeg_select(void *state, uint32_t page, struct cs_page *out, struct cs_err *err)
{
    struct jpeg_file *file = state;
    (void)page;
    if (file->started && restart(file, err) != 0)
        return -1;
    *out = file->page;
    return 0;
}

// Up to and without row `end`; those from `first` on go to out.
static int guarded_rows(struct jpeg_file *file, uint32_t first, uint32_t end, uint8_t *out)
{
    struct jpeg_decompress_struct *jpeg = &file->jpeg;
    if (setjmp(file->back))
        return -1;
    if (!file->started) {
        file->started = true;
        jpeg_start_decompress(jpeg);
    }
    while (jpeg->output_scanline < end) {
        uint32_t y = jpeg->output_scanline;
        JSAMPROW row = y >= first ? out + (y - first) * file->row_bytes : file->skipped;
        jpeg_read_scanlines(jpeg, &row, 1);
    }
    return 0;
}

static int jpeg_read(void *state, uint32_t first, uint32_t rows, void *out, struct cs_err *err)
{
    struct jpeg_file *file = state;
    if (!file->skipped)
        file->skipped = cs_alloc(1, file->row_bytes, "JPEG row", err);
    if (!file->skipped)
        return -1;
    errno = 0;
    if (guarded_rows(file, first, first + rows, out) != 0) {
        failed(file, err);
        return cs_err_context(err, "row %u", file->jpeg.output_scanline);
    }
    return 0;
}

const struct cs_codec cs_codec_jpeg = {
    .name = "JPEG",
    .sniff = jpeg_sniff,
    .open = jpeg_open,
    .close = jpeg_close,
    .pages = jpeg_pages,
    .description = jpeg_description,
    .select = jpeg_select,
    .read = jpeg_read,
};
