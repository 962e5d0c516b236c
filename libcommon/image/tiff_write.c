// SPDX-License-Identifier: MIT
// TIFF files with libtiff, through a cs_outfile. Pixel size: ImageJ's convention, that is pixels
// a micrometre in the resolution tags, no unit in the tag, and the unit in the description.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "image/tiff_file.h"
#include "image/write.h"

enum {
    STRIP_BYTES = 256 << 10,
    TILED_FROM = 4096, // columns: of wider planes viewers want parts
    TILE = 512,
};

// Above this many bytes of samples the 32-bit offsets of a classic TIFF may not suffice, whatever
// the compression does.
static const uint64_t classic_limit = 4000000000u;

static tmsize_t file_read(thandle_t handle, void *data, tmsize_t bytes)
{
    return (tmsize_t)fread(data, 1, (size_t)bytes, (FILE *)handle);
}

static tmsize_t file_write(thandle_t handle, void *data, tmsize_t bytes)
{
    return (tmsize_t)fwrite(data, 1, (size_t)bytes, (FILE *)handle);
}

static toff_t file_seek(thandle_t handle, toff_t offset, int whence)
{
    if (fseeko((FILE *)handle, (off_t)offset, whence) != 0)
        return (toff_t)-1;
    return (toff_t)ftello((FILE *)handle);
}

static int file_close(thandle_t handle)
{
    (void)handle; // the cs_outfile closes it
    return 0;
}

static toff_t file_size(thandle_t handle)
{
    (void)handle;
    return 0; // asked for reading only
}

// The first message of libtiff becomes the error, unless the file has one of its own: of a full
// disk libtiff says that a file is too large.
static int keep_message(TIFF *tif, void *user, const char *module, const char *fmt, va_list ap)
{
    (void)tif;
    (void)module;
    struct cs_err *err = user;
    char text[sizeof err->text];
    vsnprintf(text, sizeof text, fmt, ap);
    tiff_check_memory(text);
    if (err->code == CS_OK) {
        if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG || errno == EIO ||
            errno == ENOMEM) {
            cs_fail(err, errno == ENOMEM ? CS_ENOMEM : CS_EIO, "%s", strerror(errno));
            return 1;
        }
        cs_fail(err, CS_EIO, "%s", text);
    }
    return 1;
}

static int drop_message(TIFF *tif, void *user, const char *module, const char *fmt, va_list ap)
{
    (void)tif;
    (void)user;
    (void)module;
    (void)fmt;
    (void)ap;
    return 1;
}

static TIFF *open_tiff(FILE *file, bool big, struct cs_err *err)
{
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
    if (!options) {
        cs_fail(err, CS_ENOMEM, "no memory for a TIFF file");
        return NULL;
    }
    TIFFOpenOptionsSetErrorHandlerExtR(options, keep_message, err);
    TIFFOpenOptionsSetWarningHandlerExtR(options, drop_message, NULL);
    TIFF *tif =
        TIFFClientOpenExt("output", big ? "w8l" : "wl", (thandle_t)file, file_read, file_write,
                          file_seek, file_close, file_size, NULL, NULL, options);
    TIFFOpenOptionsFree(options);
    return tif;
}

static int sample_format(enum cs_dtype dtype)
{
    if (dtype >= CS_F16)
        return SAMPLEFORMAT_IEEEFP;
    return dtype >= CS_I8 ? SAMPLEFORMAT_INT : SAMPLEFORMAT_UINT;
}

// All of these: false when libtiff refuses a field, or has no memory for it. Going on then could
// write without end.
static bool set_compression(TIFF *tif, const struct cs_image *image, enum cs_compression wanted)
{
    if (wanted == CS_COMPRESS_NONE)
        return TIFFSetField(tif, TIFFTAG_COMPRESSION, COMPRESSION_NONE);
    if (!TIFFSetField(tif, TIFFTAG_COMPRESSION,
                      wanted == CS_COMPRESS_ZSTD ? COMPRESSION_ZSTD : COMPRESSION_ADOBE_DEFLATE))
        return false;
    // Labels and maps become 1 % smaller by the default of 6, in a third more time.
    if (wanted == CS_COMPRESS_DEFLATE && !TIFFSetField(tif, TIFFTAG_ZIPQUALITY, 4))
        return false;
    // Differences of 64-bit integers and of binary16 are not something other readers know.
    if (cs_dtype_bytes(image->dtype) > 4 || image->dtype == CS_F16)
        return true;
    return TIFFSetField(tif, TIFFTAG_PREDICTOR,
                        image->dtype >= CS_F16 ? PREDICTOR_FLOATINGPOINT : PREDICTOR_HORIZONTAL);
}

static bool set_channels(TIFF *tif, const struct cs_image *image)
{
    bool colour = image->channels == 3 && image->dtype <= CS_U16;
    if (!TIFFSetField(tif, TIFFTAG_SAMPLESPERPIXEL, image->channels) ||
        !TIFFSetField(tif, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG) ||
        !TIFFSetField(tif, TIFFTAG_PHOTOMETRIC, colour ? PHOTOMETRIC_RGB : PHOTOMETRIC_MINISBLACK))
        return false;
    if (colour || image->channels < 2)
        return true;
    uint16_t extra = (uint16_t)(image->channels - 1);
    uint16_t *kinds = cs_xcalloc(extra, sizeof *kinds); // EXTRASAMPLE_UNSPECIFIED
    int set = TIFFSetField(tif, TIFFTAG_EXTRASAMPLES, extra, kinds);
    free(kinds);
    return set;
}

static bool set_scale(TIFF *tif, const struct cs_write_options *options)
{
    if (options->pixel_um <= 0)
        return true;
    double y_um = options->pixel_um_y > 0 ? options->pixel_um_y : options->pixel_um;
    return TIFFSetField(tif, TIFFTAG_XRESOLUTION, 1 / options->pixel_um) &&
           TIFFSetField(tif, TIFFTAG_YRESOLUTION, 1 / y_um) &&
           TIFFSetField(tif, TIFFTAG_RESOLUTIONUNIT, RESUNIT_NONE) &&
           TIFFSetField(tif, TIFFTAG_IMAGEDESCRIPTION, "ImageJ=1.53t\nunit=micron\n");
}

static bool set_fields(TIFF *tif, const struct cs_image *image,
                       const struct cs_write_options *options)
{
    size_t row_bytes = cs_image_row_bytes(image);
    uint32_t rows = (uint32_t)(STRIP_BYTES / row_bytes);
    bool tiled = image->width > TILED_FROM;
    bool parts = tiled ? TIFFSetField(tif, TIFFTAG_TILEWIDTH, TILE) &&
                             TIFFSetField(tif, TIFFTAG_TILELENGTH, TILE)
                       : TIFFSetField(tif, TIFFTAG_ROWSPERSTRIP, rows ? rows : 1);
    return parts && TIFFSetField(tif, TIFFTAG_IMAGEWIDTH, image->width) &&
           TIFFSetField(tif, TIFFTAG_IMAGELENGTH, image->height) &&
           TIFFSetField(tif, TIFFTAG_BITSPERSAMPLE, (int)(8 * cs_dtype_bytes(image->dtype))) &&
           TIFFSetField(tif, TIFFTAG_SAMPLEFORMAT, sample_format(image->dtype)) &&
           TIFFSetField(tif, TIFFTAG_ORIENTATION, ORIENTATION_TOPLEFT) &&
           set_channels(tif, image) && set_compression(tif, image, options->compression) &&
           set_scale(tif, options);
}

struct cs_tiff_out {
    struct cs_outfile file;
    TIFF *tif;
    struct cs_image shape;
    struct cs_err why; // of libtiff
    uint8_t *rows;     // of a strip or of a row of tiles; libtiff differences samples in place
    uint8_t *tile;     // NULL: strips
    uint32_t unit_rows, filled, next_row;
};

static int write_tiles(struct cs_tiff_out *out, uint32_t first_row)
{
    size_t row_bytes = cs_image_row_bytes(&out->shape), pixel = row_bytes / out->shape.width;
    for (uint32_t x = 0; x < out->shape.width; x += TILE) {
        uint32_t columns = out->shape.width - x < TILE ? out->shape.width - x : TILE;
        memset(out->tile, 0, TILE * TILE * pixel);
        for (uint32_t y = 0; y < out->filled; y++)
            memcpy(out->tile + y * TILE * pixel, out->rows + y * row_bytes + x * pixel,
                   columns * pixel);
        if (TIFFWriteEncodedTile(out->tif, TIFFComputeTile(out->tif, x, first_row, 0, 0), out->tile,
                                 (tmsize_t)(TILE * TILE * pixel)) < 0)
            return -1;
    }
    return 0;
}

static int write_unit(struct cs_tiff_out *out)
{
    uint32_t first_row = out->next_row - out->filled;
    size_t bytes = out->filled * cs_image_row_bytes(&out->shape);
    int status = out->tile ? write_tiles(out, first_row)
                 : TIFFWriteEncodedStrip(out->tif, first_row / out->unit_rows, out->rows,
                                         (tmsize_t)bytes) < 0
                     ? -1
                     : 0;
    out->filled = 0;
    return status;
}

static int out_failed(struct cs_tiff_out *out, struct cs_err *err)
{
    return cs_fail(err, out->why.code ? out->why.code : CS_EIO, "%s: %s", out->file.path,
                   out->why.code ? out->why.text : "cannot write");
}

static int start(struct cs_tiff_out *out, const struct cs_write_options *options,
                 struct cs_err *err)
{
    const struct cs_image *shape = &out->shape;
    errno = 0;
    out->tif = open_tiff(out->file.file, cs_image_bytes(shape) > classic_limit, &out->why);
    if (!out->tif)
        return out_failed(out, err);
    if (!set_fields(out->tif, shape, options))
        return out_failed(out, err);
    if (shape->width > TILED_FROM) {
        out->unit_rows = TILE;
        out->tile = cs_alloc(TILE * TILE, cs_image_row_bytes(shape) / shape->width, "tile", err);
        if (!out->tile)
            return -1;
    } else {
        TIFFGetField(out->tif, TIFFTAG_ROWSPERSTRIP, &out->unit_rows);
        out->unit_rows = out->unit_rows < shape->height ? out->unit_rows : shape->height;
    }
    out->rows = cs_alloc(out->unit_rows, cs_image_row_bytes(shape), "rows of a TIFF file", err);
    return out->rows ? 0 : -1;
}

int cs_tiff_begin(struct cs_tiff_out **tiff, const char *path, const struct cs_image *shape,
                  const struct cs_write_options *options, struct cs_err *err)
{
    *tiff = NULL;
    if (!shape->width || !shape->height || !shape->channels)
        return cs_fail(err, CS_EINPUT, "%s: a TIFF file cannot hold an image without pixels", path);
    struct cs_tiff_out *out = cs_xcalloc(1, sizeof *out);
    out->shape = *shape;
    if (cs_outfile_open(&out->file, path, err) != 0) {
        free(out);
        return -1;
    }
    if (start(out, options, err) != 0) {
        cs_tiff_drop(out);
        return -1;
    }
    *tiff = out;
    return 0;
}

int cs_tiff_rows(struct cs_tiff_out *out, const void *samples, uint32_t rows, struct cs_err *err)
{
    size_t row_bytes = cs_image_row_bytes(&out->shape);
    const uint8_t *from = samples;
    errno = 0;
    while (rows) {
        uint32_t n = out->unit_rows - out->filled < rows ? out->unit_rows - out->filled : rows;
        memcpy(out->rows + out->filled * row_bytes, from, n * row_bytes);
        out->filled += n;
        out->next_row += n;
        from += n * row_bytes;
        rows -= n;
        if ((out->filled == out->unit_rows || out->next_row == out->shape.height) &&
            write_unit(out) != 0)
            return out_failed(out, err);
    }
    return 0;
}

int cs_tiff_end(struct cs_tiff_out *out, struct cs_err *err)
{
    int status = 0;
    errno = 0;
    if (!TIFFWriteDirectory(out->tif))
        status = -1;
    TIFFClose(out->tif);
    out->tif = NULL;
    if (status != 0 || out->why.code != CS_OK)
        status = out_failed(out, err);
    else
        status = cs_outfile_commit(&out->file, 0, err);
    cs_tiff_drop(out);
    return status;
}

void cs_tiff_drop(struct cs_tiff_out *out)
{
    if (!out)
        return;
    if (out->tif)
        TIFFClose(out->tif);
    cs_outfile_abort(&out->file);
    free(out->rows);
    free(out->tile);
    free(out);
}

int cs_tiff_write(const char *path, const struct cs_image *image,
                  const struct cs_write_options *options, struct cs_err *err)
{
    struct cs_tiff_out *out;
    if (cs_tiff_begin(&out, path, image, options, err) != 0)
        return -1;
    if (cs_tiff_rows(out, image->data, image->height, err) == 0)
        return cs_tiff_end(out, err);
    cs_tiff_drop(out);
    return -1;
}
