// SPDX-License-Identifier: MIT
// TIFF and BigTIFF by libtiff. The chain of directories is walked by tiff_chain.c. Pages in SubIFDs
// are not listed (pyramids keep their smaller levels there).
// libtiff reads through our own procedures (no mapping, so that a file cut while it is read gives
// an error and not SIGBUS), prints nothing, and may allocate at most CS_MAX_CHUNK_BYTES at once.
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image/tiff_file.h"

static bool tiff_sniff(const uint8_t *head, size_t bytes)
{
    static const uint8_t magic[4][4] = {
        {'I', 'I', 42, 0}, {'M', 'M', 0, 42}, {'I', 'I', 43, 0}, {'M', 'M', 0, 43}};
    for (int i = 0; i < 4; i++)
        if (bytes >= 4 && memcmp(head, magic[i], 4) == 0)
            return true;
    return false;
}

enum { CUT = -1 }; // in read_errno: the file has become shorter than it was

// ---- libtiff's procedures ------------------------------------------------------------------

static tmsize_t read_proc(thandle_t handle, void *data, tmsize_t bytes)
{
    struct tiff_file *file = handle;
    tmsize_t done = 0;
    while (done < bytes && file->position < file->file_bytes) {
        ssize_t n =
            pread(file->fd, (char *)data + done, (size_t)(bytes - done), (off_t)file->position);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            file->read_errno = n ? errno : CUT;
            break;
        }
        done += n;
        file->position += (uint64_t)n;
    }
    return done;
}

static tmsize_t write_proc(thandle_t handle, void *data, tmsize_t bytes)
{
    (void)handle, (void)data, (void)bytes;
    return 0;
}

static toff_t seek_proc(thandle_t handle, toff_t offset, int whence)
{
    struct tiff_file *file = handle;
    uint64_t base = whence == SEEK_CUR ? file->position : whence == SEEK_END ? file->file_bytes : 0;
    file->position = base + offset;
    if (file->position > INT64_MAX)
        file->position = INT64_MAX;
    return file->position;
}

static int close_proc(thandle_t handle)
{
    (void)handle;
    return 0;
}

static toff_t size_proc(thandle_t handle)
{
    return ((struct tiff_file *)handle)->file_bytes;
}

void tiff_check_memory(const char *text)
{
    if (strstr(text, "fields array") || strstr(text, "list of custom values"))
        cs_out_of_memory();
}

static int on_error(TIFF *tif, void *context, const char *module, const char *fmt, va_list ap)
{
    struct tiff_file *file = context;
    char text[sizeof file->message];
    (void)tif, (void)module;
    vsnprintf(text, sizeof text, fmt, ap);
    tiff_check_memory(text);
    if (!file->message[0])
        memcpy(file->message, text, sizeof text);
    return 1;
}

// Warnings are dropped, but for those that mean something else than the file says: libjpeg's that
// samples are made up, a JPEG that is too small for its strip or tile, and tags that lie behind the
// file's end (without its colour map, a palette image would be taken for gray).
static int on_warning(TIFF *tif, void *context, const char *module, const char *fmt, va_list ap)
{
    char text[200];
    struct tiff_file *file = context;
    (void)tif;
    vsnprintf(text, sizeof text, fmt, ap);
    bool made_up = module && strncmp(module, "JPEG", 4) == 0 &&
                   (strstr(text, "remature end") || strstr(text, "bad Huffman"));
    if (made_up && !file->message[0])
        snprintf(file->message, sizeof file->message, "%s", text);
    sscanf(text, "Improper JPEG strip/tile size, expected %*ux%*u, got %" SCNu32 "x%" SCNu32,
           &file->jpeg_size[0], &file->jpeg_size[1]);
    if (strstr(text, "IO error during reading of"))
        file->lost_tag = true;
    return 1;
}

void tiff_clear(struct tiff_file *file)
{
    file->message[0] = '\0';
    file->read_errno = 0;
    errno = 0;
}

int tiff_fail(struct tiff_file *file, const char *otherwise, struct cs_err *err)
{
    if (file->read_errno == CUT) {
        tiff_clear(file);
        return cs_fail(err, CS_EINPUT, "truncated: the file was cut while it was read");
    }
    if (file->read_errno) {
        errno = file->read_errno;
        cs_fail_errno(err, CS_EIO, "read");
        tiff_clear(file);
        return -1;
    }
    enum cs_code code = cs_codec_code();
    for (char *c = file->message; *c; c++)
        if (*c == '\n' || *c == '\r')
            *c = ' ';
    cs_fail(err, code, "%s", file->message[0] ? file->message : otherwise);
    tiff_clear(file);
    return -1;
}

// libtiff leaves out a tag that it could not read, or had no memory for, and goes on.
static bool lacks_something(const struct tiff_file *file)
{
    return file->read_errno || cs_codec_code() == CS_ENOMEM;
}

static int open_handle(struct tiff_file *file, struct cs_err *err)
{
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
    if (!options)
        return cs_fail(err, CS_ENOMEM, "no memory for libtiff");
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, CS_MAX_CHUNK_BYTES);
    TIFFOpenOptionsSetErrorHandlerExtR(options, on_error, file);
    TIFFOpenOptionsSetWarningHandlerExtR(options, on_warning, file);
    // r read, m no mapping, h header only: directories are selected by offset.
    file->tif = TIFFClientOpenExt("image", "rmh", file, read_proc, write_proc, seek_proc,
                                  close_proc, size_proc, NULL, NULL, options);
    TIFFOpenOptionsFree(options);
    return file->tif ? 0 : tiff_fail(file, "not a TIFF file", err);
}

// ---- Open, close ---------------------------------------------------------------------------

static void tiff_close(void *state)
{
    struct tiff_file *file = state;
    if (!file)
        return;
    if (file->tif)
        TIFFClose(file->tif);
    tiff_jpeg_close(file->jpeg);
    free(file->directories);
    free(file->description);
    free(file->chunk);
    free(file->unit);
    free(file);
}

// Select a directory; its tags take memory, as many as they are.
static int select_directory(struct tiff_file *file, uint64_t offset, bool *there,
                            struct cs_err *err)
{
    if (tiff_chain_tags(file, offset, &file->tag_bytes, err) != 0 ||
        cs_room_check(&file->room, file->held_bytes + file->tag_bytes, "tags of a page", err) != 0)
        return -1;
    *there = TIFFSetSubDirectory(file->tif, offset);
    return 0;
}

static int tiff_open(void **out, int fd, uint64_t file_bytes, const struct cs_room *room,
                     struct cs_err *err)
{
    struct tiff_file *file = cs_xcalloc(1, sizeof *file);
    const char *text = NULL;
    bool there = false;
    file->fd = fd;
    file->file_bytes = file_bytes;
    file->room = room ? *room : (struct cs_room){0};
    file->chunk_index = UINT32_MAX;
    tiff_clear(file);
    // A first page that libtiff refuses is reported when it is selected.
    if (tiff_chain_walk(file, err) != 0 || open_handle(file, err) != 0 ||
        select_directory(file, file->directories[0], &there, err) != 0) {
        tiff_close(file);
        return -1;
    }
    int status = lacks_something(file) ? tiff_fail(file, "the first page", err) : 0;
    if (status == 0 && there) {
        if (TIFFGetField(file->tif, TIFFTAG_IMAGEDESCRIPTION, &text) && text) {
            file->description = cs_xstrdup(text);
            file->held_bytes += strlen(text);
        }
        status = tiff_scope_open(file, err);
    }
    if (status != 0) {
        tiff_close(file);
        return -1;
    }
    tiff_clear(file);
    *out = file;
    return 0;
}

static uint32_t tiff_pages(const void *state)
{
    const struct tiff_file *file = state;
    return file->extended ? file->extended : file->directory_count;
}

static uint64_t tiff_held(const void *state)
{
    const struct tiff_file *file = state;
    return file->held_bytes + file->tag_bytes;
}

static const char *tiff_description(const void *state)
{
    return ((const struct tiff_file *)state)->description;
}

// ---- The tags of a page --------------------------------------------------------------------

static int sample_type(struct tiff_file *file, struct cs_err *err)
{
    uint16_t bits = 1, format = SAMPLEFORMAT_UINT;
    TIFFGetFieldDefaulted(file->tif, TIFFTAG_BITSPERSAMPLE, &bits);
    TIFFGetFieldDefaulted(file->tif, TIFFTAG_SAMPLEFORMAT, &format);
    enum cs_dtype dtype = 0;
    bool whole = bits == 8 || bits == 16 || bits == 32 || bits == 64;
    if (format == SAMPLEFORMAT_UINT || format == SAMPLEFORMAT_VOID)
        dtype = bits == 0    ? 0
                : bits <= 8  ? CS_U8
                : bits <= 16 ? CS_U16
                : bits <= 32 ? CS_U32
                : bits <= 64 ? CS_U64
                             : 0;
    else if (format == SAMPLEFORMAT_INT)
        dtype = bits < 2     ? 0
                : bits <= 8  ? CS_I8
                : bits <= 16 ? CS_I16
                : bits <= 32 ? CS_I32
                : bits <= 64 ? CS_I64
                             : 0;
    else if (format == SAMPLEFORMAT_IEEEFP)
        dtype = bits == 16 ? CS_F16 : bits == 24 || bits == 32 ? CS_F32 : bits == 64 ? CS_F64 : 0;
    if (!dtype)
        return cs_fail(err, CS_EINPUT, "%u-bit samples of format %u are not supported", bits,
                       format);
    file->bits = bits;
    file->packed = !whole;
    file->page.bits = (uint8_t)bits;
    file->page.dtype = dtype;
    return 0;
}

static int palette(struct tiff_file *file, struct cs_err *err)
{
    static const char *const name = "palette";
    uint16_t *red, *green, *blue;
    if (file->bits > 8 || file->page.samples != 1 ||
        !TIFFGetField(file->tif, TIFFTAG_COLORMAP, &red, &green, &blue))
        return cs_fail(err, CS_EINPUT, "a %s image without a usable %s", name, name);
    // libtiff keeps three arrays of their own; here one.
    size_t count = (size_t)1 << file->bits;
    memcpy(file->palette, red, count * sizeof *red);
    memcpy(file->palette + count, green, count * sizeof *green);
    memcpy(file->palette + 2 * count, blue, count * sizeof *blue);
    file->page.palette = file->palette;
    file->page.colour = CS_PALETTE;
    return 0;
}

static void other_colour(struct tiff_file *file, const char *name)
{
    file->page.colour = CS_COLOUR_OTHER;
    file->page.colour_name = name;
}

static int colour(struct tiff_file *file, uint16_t compression, struct cs_err *err)
{
    struct cs_page *page = &file->page;
    uint16_t photometric = PHOTOMETRIC_MINISBLACK, extras = 0, *extra = NULL;
    TIFFGetField(file->tif, TIFFTAG_PHOTOMETRIC, &photometric);
    TIFFGetFieldDefaulted(file->tif, TIFFTAG_EXTRASAMPLES, &extras, &extra);
    if (file->lsm && page->samples == file->lsm_channels)
        return 0; // channels, whatever they are shown as
    if (photometric == PHOTOMETRIC_YCBCR && compression == COMPRESSION_JPEG && page->samples == 3) {
        TIFFSetField(file->tif, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
        photometric = PHOTOMETRIC_RGB;
    }
    switch (photometric) {
    case PHOTOMETRIC_MINISBLACK:
    case PHOTOMETRIC_MINISWHITE:
        page->colour = photometric == PHOTOMETRIC_MINISBLACK ? CS_GRAY : CS_GRAY_INVERTED;
        if (extras && page->samples > 1 && extra &&
            (extra[extras - 1] == EXTRASAMPLE_ASSOCALPHA ||
             extra[extras - 1] == EXTRASAMPLE_UNASSALPHA))
            page->alpha = 1;
        return 0;
    case PHOTOMETRIC_RGB:
        if (page->samples < 3)
            return cs_fail(err, CS_EINPUT, "an RGB image of %u samples", page->samples);
        page->colour = CS_RGB;
        page->alpha = page->samples - 3;
        return 0;
    case PHOTOMETRIC_PALETTE:
        return palette(file, err);
    case PHOTOMETRIC_SEPARATED:
        other_colour(file, "CMYK");
        return 0;
    case PHOTOMETRIC_YCBCR:
        other_colour(file, "YCbCr");
        return 0;
    case PHOTOMETRIC_CIELAB:
    case PHOTOMETRIC_ICCLAB:
    case PHOTOMETRIC_ITULAB:
        other_colour(file, "CIELAB");
        return 0;
    default:
        other_colour(file, "an unusual colour space");
        return 0;
    }
}

static void resolution(struct tiff_file *file)
{
    float x = 0, y = 0;
    uint16_t unit = RESUNIT_INCH;
    TIFFGetField(file->tif, TIFFTAG_XRESOLUTION, &x);
    TIFFGetField(file->tif, TIFFTAG_YRESOLUTION, &y);
    TIFFGetFieldDefaulted(file->tif, TIFFTAG_RESOLUTIONUNIT, &unit);
    file->page.resolution[0] = x > 0 && x < 1e9f ? x : 0;
    file->page.resolution[1] = y > 0 && y < 1e9f ? y : 0;
    file->page.unit_um = unit == RESUNIT_INCH ? 25400 : unit == RESUNIT_CENTIMETER ? 10000 : 0;
}

static int describe(struct tiff_file *file, struct cs_err *err)
{
    TIFF *tif = file->tif;
    struct cs_page *page = &file->page;
    uint16_t compression = COMPRESSION_NONE, planar = PLANARCONFIG_CONTIG;
    uint32_t subfile = 0;
    *page = (struct cs_page){.orientation = 1, .colour = CS_GRAY};
    TIFFGetField(tif, TIFFTAG_IMAGEWIDTH, &page->width);
    TIFFGetField(tif, TIFFTAG_IMAGELENGTH, &page->height);
    TIFFGetFieldDefaulted(tif, TIFFTAG_SAMPLESPERPIXEL, &page->samples);
    TIFFGetFieldDefaulted(tif, TIFFTAG_COMPRESSION, &compression);
    TIFFGetFieldDefaulted(tif, TIFFTAG_PLANARCONFIG, &planar);
    TIFFGetFieldDefaulted(tif, TIFFTAG_ORIENTATION, &page->orientation);
    if (TIFFGetField(tif, TIFFTAG_SUBFILETYPE, &subfile))
        page->reduced = subfile & FILETYPE_REDUCEDIMAGE;
    if (!TIFFIsCODECConfigured(compression))
        return cs_fail(err, CS_EINPUT, "compression %u is not supported", compression);
    file->compression = compression;
    file->tiled = TIFFIsTiled(tif);
    file->separate = planar == PLANARCONFIG_SEPARATE && page->samples > 1;
    resolution(file);
    return sample_type(file, err) != 0 || colour(file, compression, err) != 0 ? -1 : 0;
}

static int tiff_select(void *state, uint32_t index, struct cs_page *out, struct cs_err *err)
{
    struct tiff_file *file = state;
    uint32_t directory = file->extended ? 0 : index;
    bool there;
    tiff_clear(file);
    tiff_jpeg_close(file->jpeg);
    file->jpeg = NULL;
    file->chunk_index = UINT32_MAX;
    file->plane = file->extended ? index : 0;
    file->lost_tag = false;
    if (select_directory(file, file->directories[directory], &there, err) != 0)
        return -1;
    if (!there || lacks_something(file))
        return tiff_fail(file, "the page cannot be read", err);
    tiff_clear(file);
    if (file->lost_tag)
        return cs_fail(err, CS_EINPUT, "truncated: a tag lies behind the end of the file");
    if (describe(file, err) != 0 ||
        cs_page_check(&file->page, file->file_bytes, &file->row_bytes, err) != 0 ||
        tiff_rows_start(file, err) != 0)
        return -1;
    *out = file->page;
    return 0;
}

static int tiff_read(void *state, uint32_t first, uint32_t rows, void *out, struct cs_err *err)
{
    return tiff_rows_read(state, first, rows, out, err);
}

// Planes that follow page 0 without directories: its strips must be uncompressed, in one run, and
// the file long enough.
int tiff_extend(void *state, uint32_t planes, struct cs_err *err)
{
    struct tiff_file *file = state;
    struct cs_page page;
    if (file->directory_count != 1)
        return cs_fail(err, CS_EINPUT, "%u pages for %u planes", file->directory_count, planes);
    if (tiff_select(file, 0, &page, err) != 0)
        return -1;
    uint64_t plane_bytes = (uint64_t)file->row_bytes * page.height;
    if (!tiff_rows_contiguous(file))
        return cs_fail(err, CS_EINPUT, "%u planes announced, but only one page", planes);
    if (planes > CS_MAX_PAGES || file->direct_offset > file->file_bytes ||
        plane_bytes > (file->file_bytes - file->direct_offset) / planes)
        return cs_fail(err, CS_EINPUT, "truncated: %u planes announced, the file is too short",
                       planes);
    file->extended = planes;
    return 0;
}

const struct cs_codec cs_codec_tiff = {
    .name = "TIFF",
    .sniff = tiff_sniff,
    .open = tiff_open,
    .close = tiff_close,
    .pages = tiff_pages,
    .held = tiff_held,
    .description = tiff_description,
    .layout = tiff_scope_layout,
    .extend = tiff_extend,
    .select = tiff_select,
    .read = tiff_read,
};
