// SPDX-License-Identifier: MIT
// An open TIFF file, shared by tiff.c (tags), tiff_chain.c (directories), tiff_scope.c (dialects)
// and tiff_rows.c (samples) with tiff_jpeg.c and tiff_predictor.c.
#ifndef CS_IMAGE_TIFF_FILE_H
#define CS_IMAGE_TIFF_FILE_H

#include <tiffio.h>

#include "image/codec.h"
#include "image/layout.h"

// How the rows of the current page are had.
enum tiff_way {
    TIFF_CHUNKS,    // whole strips or rows of tiles, decoded into `chunk`
    TIFF_SCANLINES, // one large compressed strip, line after line
    TIFF_DIRECT,    // uncompressed rows in one run, straight from the file
    TIFF_RGBA,      // libtiff's conversion to RGBA, for colour spaces that are left to it
};

struct tiff_file {
    int fd;
    uint64_t file_bytes, position; // position: of the read procedure
    struct cs_room room;
    uint64_t held_bytes; // of the list of pages and the description
    uint64_t tag_bytes;  // of the current directory's tags
    TIFF *tif;
    char message[300];     // first error of libtiff since tiff_clear
    int read_errno;        // of a read that failed since then; -1: it found the end too early
    bool lost_tag;         // the current directory has a tag that could not be read
    uint32_t jpeg_size[2]; // columns and rows of a JPEG strip or tile that has too few; else 0

    bool big_endian, big_tiff;
    uint64_t *directories; // offset of each
    uint32_t directory_count;
    uint32_t extended; // planes that page 0 stands for; 0: only itself
    char *description;
    bool lsm; // Zeiss LSM, with what its tag says of the axes
    uint32_t lsm_z, lsm_time, lsm_channels;
    double lsm_um[2];

    // The current page.
    struct cs_page page;
    uint16_t palette[3 * 256];
    uint16_t bits, compression;
    bool tiled, separate;
    bool differences; // of neighbours along a row: undone here, faster than by libtiff
    bool packed;      // samples are not whole bytes, or three: they have to be spread
    uint32_t plane;   // of an extended page
    size_t row_bytes; // as given out

    enum tiff_way way;
    uint32_t unit_width, unit_rows; // of a strip or tile
    size_t unit_row_bytes;          // of one plane of it, as libtiff gives it
    uint64_t direct_offset;         // of row 0
    uint32_t next_line;             // of TIFF_SCANLINES

    struct tiff_jpeg *jpeg; // of the page; NULL: not needed yet
    uint8_t *chunk, *unit;  // decoded rows as given out; one strip or tile as libtiff gives it
    size_t chunk_bytes, unit_bytes;
    uint32_t chunk_index; // what is in `chunk`; UINT32_MAX nothing
};

// Looks at each error of libtiff, from within its handler, and ends the process at the one that
// libtiff does not survive: no memory for its tables of fields, a kilobyte.
void tiff_check_memory(const char *text);

// Before calls of libtiff: forget earlier errors.
void tiff_clear(struct tiff_file *file);
// Why a read failed, or the message of libtiff, or `otherwise`. CS_EINPUT, CS_EIO, CS_ENOMEM.
int tiff_fail(struct tiff_file *file, const char *otherwise, struct cs_err *err);

// Find the offsets of all directories. CS_EINPUT: a loop, or too many. CS_ENOMEM: beyond the room.
int tiff_chain_walk(struct tiff_file *file, struct cs_err *err);
// The memory that the tags of the directory at `offset` take at most.
int tiff_chain_tags(const struct tiff_file *file, uint64_t offset, uint64_t *bytes,
                    struct cs_err *err);

// Page 0 stands for `planes` planes (codec.h).
int tiff_extend(void *file, uint32_t planes, struct cs_err *err);

// Read the tags of microscopes' own dialects in the first directory, which is selected. CS_EINPUT.
int tiff_scope_open(struct tiff_file *file, struct cs_err *err);
// The axes that they state, if any (codec.h).
int tiff_scope_layout(void *file, struct cs_layout *layout, struct cs_err *err);

// Choose how rows are read, once the page is described. CS_EINPUT: beyond the limits.
int tiff_rows_start(struct tiff_file *file, struct cs_err *err);
int tiff_rows_read(struct tiff_file *file, uint32_t first, uint32_t rows, void *out,
                   struct cs_err *err);
// Decode strip or tile `unit`, of `rows` rows, to column x of the rows at `to`, where it is a JPEG
// of the usual kind and whole. False: libtiff is to do it, or to say why not.
bool tiff_jpeg_unit(struct tiff_file *file, uint32_t unit, uint32_t rows, uint32_t x, uint8_t *to);
void tiff_jpeg_close(struct tiff_jpeg *jpeg); // accepts NULL
// Running sums of each channel along a row; samples of 1, 2 or 4 bytes.
void tiff_undo_differences(uint8_t *row, size_t samples, size_t channels, size_t sample_bytes);
// Are the page's rows one uncompressed run of bytes? Sets direct_offset.
bool tiff_rows_contiguous(struct tiff_file *file);

#endif
