// SPDX-License-Identifier: MIT
// Reading image files: one small contract that every codec fulfils. A file has pages; a page is a
// plane of stored samples, read in rows from the top. Which codec reads a file is decided by its
// first bytes, never by its name. What the pages mean (channels, z, time) is not a codec's matter:
// see layout.h and source.h.
//
// Hostile files: every codec checks what it reads against the limits below before it allocates.
#ifndef CS_IMAGE_CODEC_H
#define CS_IMAGE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "image/image.h"
#include "image/room.h"

enum {
    CS_CODEC_SNIFF_BYTES = 16,
    CS_MAX_SAMPLES = 1024,        // a pixel
    CS_MAX_PAGES = 1 << 20,       // a file
    CS_MAX_ROW_BYTES = 1 << 28,   // decoded
    CS_MAX_CHUNK_BYTES = 1 << 30, // decoded at once: a strip, a row of tiles, an interlaced image
    // Decompression bombs: what is decoded at once may be CHUNK_RATIO times the file above
    // FREE_CHUNK_BYTES, a whole plane PLANE_RATIO times the file above FREE_PLANE_BYTES, and all
    // planes of a file, which may share their samples, as much above 2^FREE_TOTAL_BITS.
    CS_FREE_CHUNK_BYTES = 1 << 26,
    CS_MAX_CHUNK_RATIO = 2000,
    CS_FREE_PLANE_BYTES = 1 << 30,
    CS_MAX_PLANE_RATIO = 20000,
    CS_FREE_TOTAL_BITS = 36,
};

enum cs_colour {
    CS_GRAY,          // channels without a colour space: one or many
    CS_GRAY_INVERTED, // 0 is white
    CS_PALETTE,       // indices into cs_page.palette
    CS_RGB,           // three colours, then alpha if any
    CS_COLOUR_OTHER,  // CMYK, CIELAB, raw sensor...: see cs_page.colour_name
};

struct cs_page {
    uint32_t width, height; // at least 1
    uint16_t samples;       // a pixel, interleaved
    uint16_t alpha;         // how many of them, at the end, are alpha or of no stated meaning
    enum cs_dtype dtype;    // of the samples as `read` gives them
    uint8_t bits;           // stored bits a sample, 1..64; less than dtype's: not scaled
    enum cs_colour colour;
    const char *colour_name; // static; of CS_COLOUR_OTHER
    const char *done;        // static; what the codec itself changed ("scale"), NULL nothing
    bool gray;               // CS_RGB from a palette of grays only: the three are equal
    const uint16_t *palette; // 3 << bits entries of 0..65535: reds, greens, blues; borrowed
                             // until the next select
    bool reduced;            // a smaller copy of another page (thumbnail, level of a pyramid)
    uint16_t orientation;    // of the tag, 1 is upright; nothing here applies it
    double resolution[2];    // pixels a unit in x and y as the file says; 0: not said
    double unit_um;          // that unit in micrometres; 0: none said
    uint32_t chunk_rows;     // rows that are decoded together: what a reread costs
    uint64_t memory;         // that reading it takes at most, with all that the open file holds
};

struct cs_layout; // layout.h

struct cs_codec {
    const char *name; // "TIFF"
    bool (*sniff)(const uint8_t *head, size_t bytes);
    // fd: a regular file of file_bytes bytes, borrowed until close; only pread is used on it.
    // room: for what is held of the file before a page is read; NULL: no limit.
    // CS_EINPUT: not readable as this format; CS_ENOMEM: beyond the room.
    int (*open)(void **file, int fd, uint64_t file_bytes, const struct cs_room *room,
                struct cs_err *err);
    void (*close)(void *file); // accepts NULL
    uint32_t (*pages)(const void *file);
    // Memory that the open file holds apart from what reading takes. NULL: next to none.
    uint64_t (*held)(const void *file);
    // Text that may hold OME-XML or ImageJ's lines. NULL: none. Lives as long as the file.
    const char *(*description)(const void *file);
    // Axes that the format states outside of the description: adds no series where it states none.
    // CS_EINPUT: they are of no use. NULL: the format states none.
    int (*layout)(void *file, struct cs_layout *layout, struct cs_err *err);
    // `planes` planes follow one another uncompressed from page 0's first sample on, though the
    // file lists one page only (ImageJ above 4 GiB). NULL: the format knows no such thing.
    int (*extend)(void *file, uint32_t planes, struct cs_err *err);
    // Make a page the current one and describe it.
    int (*select)(void *file, uint32_t page, struct cs_page *out, struct cs_err *err);
    // Rows first..first+rows-1 of the current page; calls ascend until the next select.
    int (*read)(void *file, uint32_t first, uint32_t rows, void *out, struct cs_err *err);
};

// The codec for a file that begins so; NULL when there is none.
const struct cs_codec *cs_codec_find(const uint8_t *head, size_t bytes);
// Names of all codecs, ", " between them. Static storage.
const char *cs_codec_names(void);

// Bytes of one row of the page; CS_EINPUT when the page breaks a limit. For codecs.
int cs_page_check(const struct cs_page *page, uint64_t file_bytes, size_t *row_bytes,
                  struct cs_err *err);
// CS_EINPUT when `bytes` are too many to be decoded at once, whatever the memory.
int cs_chunk_check(uint64_t bytes, uint64_t file_bytes, struct cs_err *err);
// pread of exactly these bytes; CS_EINPUT "truncated" when the file ends before.
int cs_codec_pread(int fd, void *data, size_t bytes, uint64_t offset, struct cs_err *err);
// What a decoding library's failure is: CS_ENOMEM where an allocation failed since errno was set to
// 0, CS_EINPUT else.
enum cs_code cs_codec_code(void);
// Reverse the bytes of each sample, in place.
void cs_swap_samples(void *data, size_t samples, size_t sample_bytes);

extern const struct cs_codec cs_codec_tiff, cs_codec_png, cs_codec_jpeg, cs_codec_bmp, cs_codec_npy;

#endif
