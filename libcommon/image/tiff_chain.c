// SPDX-License-Identifier: MIT
// The chain of directories of a TIFF file, walked without libtiff: it costs two small reads a page,
// finds loops, and lets any page be selected by its offset at once. And the memory that libtiff
// takes for the tags of a directory: it reads them all, known or not, wherever they lie, and a
// hundred of them may name the same megabytes. Writers share small values, if any: what all tags
// together have, beyond SHARED_BYTES, may be SHARED_RATIO times the file.
#include "image/tiff_file.h"

enum { SHARED_BYTES = 16 << 20, SHARED_RATIO = 4 };

static uint64_t number(const struct tiff_file *file, const uint8_t *bytes, int count)
{
    uint64_t value = 0;
    for (int i = 0; i < count; i++)
        value = value << 8 | bytes[file->big_endian ? i : count - 1 - i];
    return value;
}

static size_t entry_bytes(const struct tiff_file *file)
{
    return file->big_tiff ? 20 : 12;
}

// How many entries the directory at `offset` has, and where they begin.
static int count_entries(const struct tiff_file *file, uint64_t offset, uint32_t *count,
                         uint64_t *first, struct cs_err *err)
{
    uint8_t bytes[8];
    int count_bytes = file->big_tiff ? 8 : 2;
    if (cs_codec_pread(file->fd, bytes, (size_t)count_bytes, offset, err) != 0)
        return -1;
    uint64_t entries = number(file, bytes, count_bytes);
    if (entries == 0 || entries > 65535)
        return cs_fail(err, CS_EINPUT, "a directory of %llu entries", (unsigned long long)entries);
    *count = (uint32_t)entries;
    *first = offset + (uint64_t)count_bytes;
    return 0;
}

// Offset of the directory after the one at `offset`.
static int next_directory(const struct tiff_file *file, uint64_t offset, uint64_t *next,
                          struct cs_err *err)
{
    uint8_t bytes[8];
    uint32_t count;
    uint64_t first;
    int offset_bytes = file->big_tiff ? 8 : 4;
    if (count_entries(file, offset, &count, &first, err) != 0 ||
        cs_codec_pread(file->fd, bytes, (size_t)offset_bytes, first + count * entry_bytes(file),
                       err) != 0)
        return -1;
    *next = number(file, bytes, offset_bytes);
    return 0;
}

// Bytes of one value of a tag, by its type; 0 for none that libtiff reads.
static unsigned type_bytes(uint64_t type)
{
    static const uint8_t bytes[] = {0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8};
    return type < sizeof bytes ? bytes[type] : 0;
}

// What the tags of the directory at `offset` take in memory, and what of the file libtiff reads for
// them, at most.
static int weigh_tags(const struct tiff_file *file, uint64_t offset, uint64_t *memory,
                      uint64_t *read, struct cs_err *err)
{
    enum { AT_ONCE = 64, ENTRY_MEMORY = 256, WIDEST = 8 };
    uint8_t entries[AT_ONCE * 20];
    uint32_t count;
    size_t step = entry_bytes(file);
    uint64_t at;
    *memory = *read = 0;
    if (count_entries(file, offset, &count, &at, err) != 0)
        return -1;
    for (uint32_t i = 0; i < count; i++) {
        if (i % AT_ONCE == 0) {
            size_t n = count - i < AT_ONCE ? count - i : AT_ONCE;
            if (cs_codec_pread(file->fd, entries, n * step, at + i * step, err) != 0)
                return -1;
        }
        const uint8_t *entry = entries + i % AT_ONCE * step;
        unsigned size = type_bytes(number(file, entry + 2, 2));
        uint64_t values = number(file, entry + 4, file->big_tiff ? 8 : 4);
        // libtiff reads no further than the file goes, and refuses tags that do.
        uint64_t most = size ? file->file_bytes / size : 0;
        values = values < most ? values : most;
        // As they are read, and as they are kept: offsets of strips, for one, in eight bytes.
        bool text = size == 1;
        *memory += ENTRY_MEMORY + values * (text ? 2 : 2 * WIDEST);
        uint64_t from = number(file, entry + (file->big_tiff ? 12 : 8), file->big_tiff ? 8 : 4);
        uint64_t there = from < file->file_bytes ? file->file_bytes - from : 0;
        *read += values * size < there ? values * size : there;
    }
    return 0;
}

int tiff_chain_tags(const struct tiff_file *file, uint64_t offset, uint64_t *bytes,
                    struct cs_err *err)
{
    uint64_t read;
    return weigh_tags(file, offset, bytes, &read, err);
}

int tiff_chain_walk(struct tiff_file *file, struct cs_err *err)
{
    uint8_t head[16] = {0};
    size_t capacity = 0;
    if (cs_codec_pread(file->fd, head, 8, 0, err) != 0)
        return -1;
    file->big_endian = head[0] == 'M';
    file->big_tiff = head[2] == 43 || head[3] == 43;
    if (file->big_tiff && cs_codec_pread(file->fd, head, 16, 0, err) != 0)
        return -1;
    uint64_t at = number(file, head + (file->big_tiff ? 8 : 4), file->big_tiff ? 8 : 4);
    // Brent's cycle finding: compare with a marker that moves up at each power of two.
    uint64_t marker = 0, memory, read, all = 0;
    uint32_t power = 1;
    while (at != 0) {
        if (at == marker)
            return cs_fail(err, CS_EINPUT, "the chain of pages has a loop");
        if (file->directory_count == power) {
            marker = at;
            power *= 2;
        }
        if (file->directory_count == CS_MAX_PAGES)
            return cs_fail(err, CS_EINPUT, "more than %d pages", CS_MAX_PAGES);
        if (file->directory_count == capacity) {
            capacity = capacity ? 2 * capacity : 4;
            // Beside the old ones; lists of the pages are as long (layout.h).
            file->held_bytes = capacity * (2 * sizeof *file->directories + 4 * sizeof(uint32_t));
            if (cs_room_check(&file->room, file->held_bytes, "the list of pages", err) != 0)
                return -1;
            file->directories = cs_xrealloc(file->directories, capacity, sizeof *file->directories);
        }
        file->directories[file->directory_count++] = at;
        if (weigh_tags(file, at, &memory, &read, err) != 0 ||
            next_directory(file, at, &at, err) != 0)
            return cs_err_context(err, "page %u", file->directory_count - 1);
        all += read;
        if (all > SHARED_BYTES && all - SHARED_BYTES > SHARED_RATIO * file->file_bytes)
            return cs_fail(err, CS_EINPUT, "tags that share their bytes: more than the file has");
    }
    return file->directory_count ? 0 : cs_fail(err, CS_EINPUT, "a TIFF file without an image");
}
