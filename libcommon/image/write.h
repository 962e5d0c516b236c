// SPDX-License-Identifier: MIT
// Image files, written: TIFF, PNG and NPY. Each file appears under its name only when it is
// complete, and its bytes depend on the samples and the options alone (no dates, no names).
#ifndef CS_IMAGE_WRITE_H
#define CS_IMAGE_WRITE_H

#include "base/buf.h"
#include "base/err.h"
#include "image/image.h"

enum cs_compression { CS_COMPRESS_DEFLATE, CS_COMPRESS_ZSTD, CS_COMPRESS_NONE };

struct cs_write_options {
    enum cs_compression compression; // PNG: deflate unless none; NPY: never compressed
    double pixel_um, pixel_um_y;     // micrometres a pixel; 0: unknown (y: as x)
};

// All fail with CS_EIO (the file cannot be written) or CS_EINPUT (the format cannot hold such
// samples: a message says what can).

// Any dtype and number of channels; strips of about 256 KiB, above 4096 columns tiles of 512 x 512;
// horizontal differencing where it applies, BigTIFF above 4 GB. The pixel size is written in
// ImageJ's way, which Fiji, QuPath and cs-load read.
int cs_tiff_write(const char *path, const struct cs_image *image,
                  const struct cs_write_options *options, struct cs_err *err);
// The same as rows come, in order and `shape.height` in all (its data is not read). cs_tiff_end
// makes the file appear, and releases like cs_tiff_drop, after which nothing is left of it.
struct cs_tiff_out;
int cs_tiff_begin(struct cs_tiff_out **out, const char *path, const struct cs_image *shape,
                  const struct cs_write_options *options, struct cs_err *err);
int cs_tiff_rows(struct cs_tiff_out *out, const void *samples, uint32_t rows, struct cs_err *err);
int cs_tiff_end(struct cs_tiff_out *out, struct cs_err *err);
void cs_tiff_drop(struct cs_tiff_out *out); // accepts NULL
// u8 and u16, 1 to 4 channels.
int cs_png_write(const char *path, const struct cs_image *image,
                 const struct cs_write_options *options, struct cs_err *err);
// Any dtype: shape (height, width), or (height, width, channels) where there are several.
int cs_npy_write(const char *path, const struct cs_image *image, struct cs_err *err);
// What stands before the samples in an NPY file, appended to out.
void cs_npy_header(const struct cs_image *image, struct cs_buf *out);
// The same for any type ("<f4") and at least two dimensions.
void cs_npy_header_of(const char *type, const uint64_t *dims, int rank, struct cs_buf *out);

#endif
