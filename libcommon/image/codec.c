// SPDX-License-Identifier: MIT
// The table of codecs, and the checks that they share.
#include "image/codec.h"

#include <byteswap.h>
#include <errno.h>
#include <unistd.h>

static const struct cs_codec *const codecs[] = {
    &cs_codec_tiff, &cs_codec_png, &cs_codec_jpeg, &cs_codec_bmp, &cs_codec_npy,
};

const struct cs_codec *cs_codec_find(const uint8_t *head, size_t bytes)
{
    for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++)
        if (codecs[i]->sniff(head, bytes))
            return codecs[i];
    return NULL;
}

const char *cs_codec_names(void)
{
    return "TIFF, PNG, JPEG, BMP, NPY";
}

int cs_page_check(const struct cs_page *page, uint64_t file_bytes, size_t *row_bytes,
                  struct cs_err *err)
{
    size_t row;
    if (!page->width || !page->height || !page->samples)
        return cs_fail(err, CS_EINPUT, "an image of %u x %u pixels with %u samples", page->width,
                       page->height, page->samples);
    if (page->samples > CS_MAX_SAMPLES)
        return cs_fail(err, CS_EINPUT, "%u samples a pixel; at most %d are supported",
                       page->samples, CS_MAX_SAMPLES);
    if (!cs_mul4_size(page->width, page->samples, cs_dtype_bytes(page->dtype), 1, &row) ||
        row > CS_MAX_ROW_BYTES)
        return cs_fail(err, CS_EINPUT, "%u pixels wide: a row is larger than %d MiB", page->width,
                       CS_MAX_ROW_BYTES >> 20);
    uint64_t plane = (uint64_t)row * page->height; // below 2^60
    if (plane > CS_FREE_PLANE_BYTES && plane / CS_MAX_PLANE_RATIO > file_bytes)
        return cs_fail(err, CS_EINPUT,
                       "%u x %u pixels in a file of %llu bytes: refused as a decompression bomb",
                       page->width, page->height, (unsigned long long)file_bytes);
    *row_bytes = row;
    return 0;
}

int cs_chunk_check(uint64_t bytes, uint64_t file_bytes, struct cs_err *err)
{
    if (bytes > CS_MAX_CHUNK_BYTES ||
        (bytes > CS_FREE_CHUNK_BYTES && bytes / CS_MAX_CHUNK_RATIO > file_bytes))
        return cs_fail(err, CS_EINPUT, "%llu bytes would have to be decoded at once",
                       (unsigned long long)bytes);
    return 0;
}

int cs_codec_pread(int fd, void *data, size_t bytes, uint64_t offset, struct cs_err *err)
{
    size_t done = 0;
    if (offset > INT64_MAX - bytes)
        return cs_fail(err, CS_EINPUT, "an offset of %llu", (unsigned long long)offset);
    while (done < bytes) {
        ssize_t n = pread(fd, (char *)data + done, bytes - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return cs_fail_errno(err, CS_EIO, "read");
        if (n == 0)
            return cs_fail(err, CS_EINPUT, "truncated: the file ends %zu bytes too early",
                           bytes - done);
        done += (size_t)n;
    }
    return 0;
}

enum cs_code cs_codec_code(void)
{
    return errno == ENOMEM ? CS_ENOMEM : CS_EINPUT;
}

void cs_swap_samples(void *data, size_t samples, size_t sample_bytes)
{
    if (sample_bytes == 2)
        for (uint16_t *p = data; samples--; p++)
            *p = bswap_16(*p);
    else if (sample_bytes == 4)
        for (uint32_t *p = data; samples--; p++)
            *p = bswap_32(*p);
    else if (sample_bytes == 8)
        for (uint64_t *p = data; samples--; p++)
            *p = bswap_64(*p);
}
