// SPDX-License-Identifier: MIT
// NumPy arrays (format versions 1 to 3): integers, floats and booleans of either byte order, in C
// order, of shape (height, width) or (height, width, channels).
// The format: numpy.lib.format in NumPy's documentation. The header is a Python dictionary; only
// the three keys that NumPy writes are understood, in any order.
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "image/codec.h"

enum { MAX_HEADER = 64 << 10, MAX_DIMENSIONS = 8 };

struct npy_file {
    int fd;
    uint64_t samples; // offset of the first
    struct cs_page page;
    size_t row_bytes;
    bool swapped;
};

static bool npy_sniff(const uint8_t *head, size_t bytes)
{
    return bytes >= 6 && memcmp(head, "\x93NUMPY", 6) == 0;
}

// ---- The header's dictionary ---------------------------------------------------------------

struct header {
    const char *at;
    char descr[16];
    bool fortran, has_descr, has_order, has_shape;
    uint64_t shape[MAX_DIMENSIONS];
    int dimensions;
};

static void skip_space(struct header *h)
{
    while (*h->at == ' ' || *h->at == '\n' || *h->at == '\t')
        h->at++;
}

static bool take(struct header *h, char c)
{
    skip_space(h);
    if (*h->at != c)
        return false;
    h->at++;
    return true;
}

static bool take_string(struct header *h, char *text, size_t size)
{
    skip_space(h);
    char quote = *h->at;
    if (quote != '\'' && quote != '"')
        return false;
    const char *end = strchr(h->at + 1, quote);
    if (!end || (size_t)(end - h->at) > size)
        return false;
    memcpy(text, h->at + 1, (size_t)(end - h->at - 1));
    text[end - h->at - 1] = '\0';
    h->at = end + 1;
    return true;
}

static bool take_word(struct header *h, const char *word)
{
    skip_space(h);
    size_t len = strlen(word);
    if (strncmp(h->at, word, len) != 0)
        return false;
    h->at += len;
    return true;
}

static bool take_shape(struct header *h)
{
    if (!take(h, '('))
        return false;
    h->dimensions = 0;
    while (!take(h, ')')) {
        uint64_t size = 0;
        skip_space(h);
        if (!isdigit((unsigned char)*h->at) || h->dimensions == MAX_DIMENSIONS)
            return false;
        for (; isdigit((unsigned char)*h->at); h->at++)
            if ((size = size * 10 + (uint64_t)(*h->at - '0')) > UINT32_MAX)
                return false;
        h->shape[h->dimensions++] = size;
        if (!take(h, ',') && *h->at != ')')
            return false;
    }
    return true;
}

static bool parse_dictionary(struct header *h)
{
    if (!take(h, '{'))
        return false;
    while (!take(h, '}')) {
        char key[16];
        if (!take_string(h, key, sizeof key) || !take(h, ':'))
            return false;
        if (strcmp(key, "descr") == 0) {
            if (!(h->has_descr = take_string(h, h->descr, sizeof h->descr)))
                return false;
        } else if (strcmp(key, "fortran_order") == 0) {
            h->fortran = take_word(h, "True");
            if (!(h->has_order = h->fortran || take_word(h, "False")))
                return false;
        } else if (strcmp(key, "shape") == 0) {
            if (!(h->has_shape = take_shape(h)))
                return false;
        } else {
            return false;
        }
        if (!take(h, ',')) {
            skip_space(h);
            if (*h->at != '}')
                return false;
        }
    }
    return h->has_descr && h->has_order && h->has_shape;
}

// ---- What it means -------------------------------------------------------------------------

static int parse_type(struct npy_file *file, const char *descr, struct cs_err *err)
{
    static const struct {
        const char *name;
        enum cs_dtype dtype;
    } types[] = {{"b1", CS_U8},  {"u1", CS_U8},  {"u2", CS_U16}, {"u4", CS_U32},
                 {"u8", CS_U64}, {"i1", CS_I8},  {"i2", CS_I16}, {"i4", CS_I32},
                 {"i8", CS_I64}, {"f2", CS_F16}, {"f4", CS_F32}, {"f8", CS_F64}};
    const uint16_t one = 1;
    char native = *(const uint8_t *)&one == 1 ? '<' : '>';
    bool order = *descr && strchr("<>|=", *descr);
    const char *name = descr + order;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(name, types[i].name) == 0) {
            file->page.dtype = types[i].dtype;
            file->page.bits =
                i == 0 ? 1 : (uint8_t)(8 * cs_dtype_bytes(types[i].dtype)); // booleans are 0 and 1
            file->swapped = order && (*descr == '<' || *descr == '>') && *descr != native;
            return 0;
        }
    return cs_fail(err, CS_EINPUT, "NPY: elements of type '%s' are not supported", descr);
}

static int parse(struct npy_file *file, uint64_t file_bytes, struct cs_err *err)
{
    uint8_t head[12];
    if (cs_codec_pread(file->fd, head, 10, 0, err) != 0)
        return -1;
    bool wide = head[6] >= 2;
    if (head[6] < 1 || head[6] > 3)
        return cs_fail(err, CS_EINPUT, "NPY: format version %u", head[6]);
    if (wide && cs_codec_pread(file->fd, head, 12, 0, err) != 0)
        return -1;
    size_t bytes = head[8] | (size_t)head[9] << 8;
    if (wide)
        bytes |= (size_t)head[10] << 16 | (size_t)head[11] << 24;
    if (bytes > MAX_HEADER)
        return cs_fail(err, CS_EINPUT, "NPY: a header of %zu bytes", bytes);
    char *text = cs_xcalloc(bytes + 1, 1);
    struct header header = {.at = text};
    int status = cs_codec_pread(file->fd, text, bytes, wide ? 12 : 10, err);
    if (status == 0 && !parse_dictionary(&header))
        status = cs_fail(err, CS_EINPUT,
                         *header.at == '[' ? "NPY: an array of records is not supported"
                                           : "NPY: the header is broken or not understood");
    free(text);
    if (status != 0 || parse_type(file, header.descr, err) != 0)
        return -1;
    if (header.fortran)
        return cs_fail(err, CS_EINPUT, "NPY: an array in Fortran order is not supported");
    if (header.dimensions != 2 && header.dimensions != 3)
        return cs_fail(err, CS_EINPUT,
                       "NPY: %d dimensions; an image has two, or three with channels last",
                       header.dimensions);
    uint64_t samples = header.dimensions == 3 ? header.shape[2] : 1;
    if (samples > CS_MAX_SAMPLES)
        return cs_fail(err, CS_EINPUT, "NPY: %llu channels (they come last); at most %d",
                       (unsigned long long)samples, CS_MAX_SAMPLES);
    file->samples = (wide ? 12 : 10) + bytes;
    file->page.height = (uint32_t)header.shape[0];
    file->page.width = (uint32_t)header.shape[1];
    file->page.samples = (uint16_t)samples;
    file->page.colour = CS_GRAY;
    file->page.orientation = 1;
    file->page.chunk_rows = 1;
    if (cs_page_check(&file->page, file_bytes, &file->row_bytes, err) != 0)
        return -1;
    if (file->row_bytes > (file_bytes - file->samples) / file->page.height)
        return cs_fail(err, CS_EINPUT, "NPY: truncated");
    return 0;
}

// ---- The codec -----------------------------------------------------------------------------

static void npy_close(void *state)
{
    free(state);
}

static int npy_open(void **out, int fd, uint64_t file_bytes, const struct cs_room *room,
                    struct cs_err *err)
{
    (void)room;
    struct npy_file *file = cs_xcalloc(1, sizeof *file);
    file->fd = fd;
    if (parse(file, file_bytes, err) != 0) {
        npy_close(file);
        return -1;
    }
    *out = file;
    return 0;
}

static uint32_t npy_pages(const void *state)
{
    (void)state;
    return 1;
}

static const char *npy_description(const void *state)
{
    (void)state;
    return NULL;
}

static int npy_select(void *state, uint32_t page, struct cs_page *out, struct cs_err *err)
{
    (void)page, (void)err;
    *out = ((struct npy_file *)state)->page;
    return 0;
}

static int npy_read(void *state, uint32_t first, uint32_t rows, void *out, struct cs_err *err)
{
    struct npy_file *file = state;
    size_t bytes = rows * file->row_bytes, sample = cs_dtype_bytes(file->page.dtype);
    if (cs_codec_pread(file->fd, out, bytes, file->samples + (uint64_t)first * file->row_bytes,
                       err) != 0)
        return cs_err_context(err, "row %u", first);
    if (file->swapped)
        cs_swap_samples(out, bytes / sample, sample);
    return 0;
}

const struct cs_codec cs_codec_npy = {
    .name = "NPY",
    .sniff = npy_sniff,
    .open = npy_open,
    .close = npy_close,
    .pages = npy_pages,
    .description = npy_description,
    .select = npy_select,
    .read = npy_read,
};
