// SPDX-License-Identifier: MIT
// What the fuzz targets of the image codecs share: the bytes become a file in memory, each of its
// first pages is read in uneven bands, and the samples are converted.
#ifndef CS_FUZZ_DECODE_H
#define CS_FUZZ_DECODE_H

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "image/convert.h"
#include "image/layout.h"

enum { FUZZ_PAGES = 3, FUZZ_PLANE_BYTES = 4 << 20, FUZZ_BAND = 5, FUZZ_ROOM = 256 << 20 };

static void fuzz_page(const struct cs_codec *codec, void *file, uint32_t index)
{
    struct cs_err err;
    struct cs_page page;
    struct cs_conversion conversion;
    if (codec->select(file, index, &page, &err) != 0)
        return;
    size_t row = (size_t)page.width * page.samples * cs_dtype_bytes(page.dtype);
    if (row * page.height > FUZZ_PLANE_BYTES)
        return;
    // Blocks of the exact size: a write past the end is seen.
    void *stored = malloc(row * FUZZ_BAND), *plain = malloc((size_t)page.width * FUZZ_BAND * 8 *
                                                            (page.samples > 3 ? page.samples : 3));
    int converts = cs_convert_plan(&conversion, &page, false, false, &err) == 0;
    for (uint32_t y = 0; y < page.height; y += FUZZ_BAND) {
        uint32_t rows = page.height - y < FUZZ_BAND ? page.height - y : FUZZ_BAND;
        if (codec->read(file, y, rows, stored, &err) != 0)
            break;
        if (converts)
            cs_convert_run(&conversion, stored, (size_t)page.width * rows, plain);
    }
    free(stored);
    free(plain);
}

static int fuzz_decode(const struct cs_codec *codec, const uint8_t *data, size_t size)
{
    struct cs_err err;
    void *file;
    const struct cs_room room = {.bytes = FUZZ_ROOM};
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd >= 0 && cs_write_full(fd, data, size, &err) == 0 &&
        codec->open(&file, fd, size, &room, &err) == 0) {
        uint32_t pages = codec->pages(file);
        struct cs_layout layout = {0};
        if (codec->layout)
            codec->layout(file, &layout, &err);
        cs_layout_release(&layout);
        for (uint32_t i = 0; i < pages && i < FUZZ_PAGES; i++)
            fuzz_page(codec, file, i);
        if (codec->extend && codec->extend(file, 2, &err) == 0)
            fuzz_page(codec, file, 1);
        codec->close(file);
    }
    if (fd >= 0)
        close(fd);
    return 0;
}

#endif
