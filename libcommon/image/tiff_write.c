// SPDX-License-Identifier: MIT
// TIFF files with libtiff, through a cs_outfile. Pixel size: ImageJ's convention, that is pixels
// a micrometre in the resolution tags, no unit in the tag, and the unit in the description.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <tiffio.h>

#include "base/io.h"
#include "image/write.h"

enum { STRIP_BYTES = 256 << 10 };

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
    if (err->code == CS_OK) {
        if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG || errno == EIO) {
            cs_fail(err, CS_EIO, "%s", strerror(errno));
            return 1;
        }
        err->code = CS_EIO;
        vsnprintf(err->text, sizeof err->text, fmt, ap);
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

static void set_compression(TIFF *tif, const struct cs_image *image, enum cs_compression wanted)
{
    if (wanted == CS_COMPRESS_NONE) {
        TIFFSetField(tif, TIFFTAG_COMPRESSION, COMPRESSION_NONE);
        return;
    }
    TIFFSetField(tif, TIFFTAG_COMPRESSION,
                 wanted == CS_COMPRESS_ZSTD ? COMPRESSION_ZSTD : COMPRESSION_ADOBE_DEFLATE);
    // Labels and maps become 1 % smaller by the default of 6, in a third more time.
    if (wanted == CS_COMPRESS_DEFLATE)
        TIFFSetField(tif, TIFFTAG_ZIPQUALITY, 4);
    bool real = image->dtype >= CS_F16;
    // Differences of 64-bit integers and of binary16 are not something other readers know.
    if (cs_dtype_bytes(image->dtype) <= 4 && image->dtype != CS_F16)
        TIFFSetField(tif, TIFFTAG_PREDICTOR, real ? PREDICTOR_FLOATINGPOINT : PREDICTOR_HORIZONTAL);
}

static void set_channels(TIFF *tif, const struct cs_image *image)
{
    bool colour = image->channels == 3 && image->dtype <= CS_U16;
    TIFFSetField(tif, TIFFTAG_SAMPLESPERPIXEL, image->channels);
    TIFFSetField(tif, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
    TIFFSetField(tif, TIFFTAG_PHOTOMETRIC, colour ? PHOTOMETRIC_RGB : PHOTOMETRIC_MINISBLACK);
    if (!colour && image->channels > 1) {
        uint16_t extra = (uint16_t)(image->channels - 1);
        uint16_t *kinds = cs_xcalloc(extra, sizeof *kinds); // EXTRASAMPLE_UNSPECIFIED
        TIFFSetField(tif, TIFFTAG_EXTRASAMPLES, extra, kinds);
        free(kinds);
    }
}

static void set_fields(TIFF *tif, const struct cs_image *image,
                       const struct cs_write_options *options)
{
    size_t row_bytes = cs_image_row_bytes(image);
    uint32_t rows = (uint32_t)(STRIP_BYTES / row_bytes);
    TIFFSetField(tif, TIFFTAG_IMAGEWIDTH, image->width);
    TIFFSetField(tif, TIFFTAG_IMAGELENGTH, image->height);
    TIFFSetField(tif, TIFFTAG_BITSPERSAMPLE, (int)(8 * cs_dtype_bytes(image->dtype)));
    TIFFSetField(tif, TIFFTAG_SAMPLEFORMAT, sample_format(image->dtype));
    TIFFSetField(tif, TIFFTAG_ORIENTATION, ORIENTATION_TOPLEFT);
    TIFFSetField(tif, TIFFTAG_ROWSPERSTRIP, rows ? rows : 1);
    set_channels(tif, image);
    set_compression(tif, image, options->compression);
    if (options->pixel_um > 0) {
        double y_um = options->pixel_um_y > 0 ? options->pixel_um_y : options->pixel_um;
        TIFFSetField(tif, TIFFTAG_XRESOLUTION, 1 / options->pixel_um);
        TIFFSetField(tif, TIFFTAG_YRESOLUTION, 1 / y_um);
        TIFFSetField(tif, TIFFTAG_RESOLUTIONUNIT, RESUNIT_NONE);
        TIFFSetField(tif, TIFFTAG_IMAGEDESCRIPTION, "ImageJ=1.53t\nunit=micron\n");
    }
}

static int write_strips(TIFF *tif, const struct cs_image *image)
{
    size_t row_bytes = cs_image_row_bytes(image);
    uint32_t per_strip = 0;
    TIFFGetField(tif, TIFFTAG_ROWSPERSTRIP, &per_strip);
    size_t most = per_strip < image->height ? per_strip : image->height;
    // libtiff differences samples in place: it gets a copy.
    uint8_t *strip = cs_xmalloc(most * row_bytes);
    int status = 0;
    for (uint32_t y = 0, index = 0; y < image->height && status == 0; y += per_strip, index++) {
        uint32_t left = image->height - y;
        size_t bytes = (left < per_strip ? left : per_strip) * row_bytes;
        memcpy(strip, (const uint8_t *)image->data + y * row_bytes, bytes);
        if (TIFFWriteEncodedStrip(tif, index, strip, (tmsize_t)bytes) < 0)
            status = -1;
    }
    free(strip);
    return status;
}

int cs_tiff_write(const char *path, const struct cs_image *image,
                  const struct cs_write_options *options, struct cs_err *err)
{
    struct cs_outfile out;
    struct cs_err why = {0};
    if (!image->width || !image->height || !image->channels)
        return cs_fail(err, CS_EINPUT, "%s: a TIFF file cannot hold an image without pixels", path);
    if (cs_outfile_open(&out, path, err) != 0)
        return -1;
    errno = 0;
    TIFF *tif = open_tiff(out.file, cs_image_bytes(image) > classic_limit, &why);
    int status = tif ? 0 : -1;
    if (tif) {
        set_fields(tif, image, options);
        status = write_strips(tif, image);
        if (status == 0 && !TIFFWriteDirectory(tif))
            status = -1;
        TIFFClose(tif);
    }
    if (status == 0 && why.code == CS_OK)
        return cs_outfile_commit(&out, 0, err);
    cs_outfile_abort(&out);
    return cs_fail(err, why.code ? why.code : CS_EIO, "%s: %s", path,
                   why.code ? why.text : "cannot write");
}
