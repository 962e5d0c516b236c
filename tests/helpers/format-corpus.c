// SPDX-License-Identifier: MIT
// format-corpus FOLDER [-v]: read a corpus of image files and compare with what its tables say.
// manifest.csv names the files and what is expected of a decoder, refs.csv the SHA-256 of each
// page's stored samples, axes.csv the axes of described files. Prints counts; exit 1 when a file
// decodes to something else, when a core file does not decode, or when a broken one is taken.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/io.h"
#include "image/decode.h"

enum { MAX_COLUMNS = 24, MAX_PLANE_BYTES = 1 << 30 };

// ---- CSV -----------------------------------------------------------------------------------

struct table {
    struct cs_buf text;
    char **cells; // rows x columns
    int columns, rows;
};

// The next cell of a line, unquoted in place; *at moves behind its comma or newline.
static char *next_cell(char **at, bool *last)
{
    char *in = *at, *out = in, *cell = in;
    bool quoted = *in == '"';
    in += quoted;
    while (*in && (quoted || (*in != ',' && *in != '\n' && *in != '\r'))) {
        if (quoted && *in == '"') {
            in++;
            if (*in != '"')
                break;
        }
        *out++ = *in++;
    }
    while (*in && *in != ',' && *in != '\n')
        in++;
    *last = *in != ',';
    *at = *in ? in + 1 : in;
    *out = '\0';
    return cell;
}

static int table_read(struct table *table, const char *folder, const char *name)
{
    struct cs_err err;
    char *path = cs_xasprintf("%s/%s", folder, name);
    int status = cs_read_file(path, 64 << 20, &table->text, &err);
    free(path);
    if (status != 0) {
        fprintf(stderr, "format-corpus: %s\n", err.text);
        return -1;
    }
    for (char *at = table->text.data; *at;) {
        bool last = false;
        table->cells =
            cs_xrealloc(table->cells, (size_t)(table->rows + 1) * MAX_COLUMNS, sizeof(char *));
        char **row = table->cells + (size_t)table->rows++ * MAX_COLUMNS;
        for (int i = 0; i < MAX_COLUMNS; i++)
            row[i] = last ? "" : next_cell(&at, &last);
    }
    return 0;
}

static const char *cell(const struct table *table, int row, const char *column)
{
    for (int i = 0; i < MAX_COLUMNS; i++)
        if (strcmp(table->cells[i], column) == 0)
            return table->cells[(size_t)row * MAX_COLUMNS + (size_t)i];
    fprintf(stderr, "format-corpus: no column %s\n", column);
    exit(2);
}

static void table_release(struct table *table)
{
    cs_buf_release(&table->text);
    free(table->cells);
}

// ---- Decoding ------------------------------------------------------------------------------

// What Pillow makes of 16-bit samples: their high bytes.
static void hash_high_bytes(const struct cs_image *image, char hex[CS_SHA256_HEX])
{
    size_t samples = cs_image_bytes(image) / cs_dtype_bytes(image->dtype);
    uint8_t *bytes = cs_xmalloc(samples);
    for (size_t i = 0; i < samples; i++)
        bytes[i] = (uint8_t)(((const uint16_t *)image->data)[i] >> 8);
    cs_sha256_hex(bytes, samples, hex);
    free(bytes);
}

// The SHA-256 of one page's samples as stored, read in bands of a height that divides nothing.
static int hash_page(struct cs_plan *plan, uint32_t n, bool high, char hex[CS_SHA256_HEX],
                     struct cs_err *err)
{
    struct cs_decode decode;
    struct cs_image image = {0};
    if (cs_plan_start(plan, n, err) != 0)
        return -1;
    struct cs_image shape = {.width = plan->width,
                             .height = plan->height,
                             .channels = plan->channel_count,
                             .dtype = plan->conversion.dtype};
    if (cs_image_bytes(&shape) > MAX_PLANE_BYTES)
        return cs_fail(err, CS_ENOMEM, "too large for this test");
    if (cs_image_init(&image, shape.width, shape.height, shape.channels, shape.dtype, 0, NULL,
                      err) != 0)
        return -1;
    int status = cs_decode_init(&decode, plan, n, err);
    for (uint32_t y = 0, band = 37; y < plan->height && status == 0; y += band) {
        uint32_t rows = plan->height - y < band ? plan->height - y : band;
        status =
            cs_decode_rows(&decode, rows, (char *)image.data + y * cs_image_row_bytes(&image), err);
    }
    if (status == 0 && high && image.dtype == CS_U16)
        hash_high_bytes(&image, hex);
    else if (status == 0)
        cs_sha256_hex(image.data, cs_image_bytes(&image), hex);
    cs_decode_release(&decode);
    cs_image_release(&image);
    return status;
}

struct outcome {
    uint32_t pages, decoded, matched, lossy, wrong;
    struct cs_err err; // the first
};

static int find_ref(const struct table *refs, const char *file, uint32_t page)
{
    for (int i = 1; i < refs->rows; i++)
        if (strcmp(cell(refs, i, "file"), file) == 0 &&
            strtoul(cell(refs, i, "page"), NULL, 10) == page)
            return i;
    return -1;
}

static void read_pages(const char *path, const char *file, const struct table *refs, bool raw,
                       struct outcome *outcome)
{
    struct cs_source source;
    struct cs_plan plan = {0};
    struct cs_pick pick = {.series = -1, .raw = raw, .page = {.kind = CS_RANGE_ALL}};
    struct cs_err err = {0};
    char hex[CS_SHA256_HEX];
    if (cs_source_open(&source, path, NULL, &outcome->err) != 0 ||
        cs_plan_make(&plan, &pick, &source, &outcome->err) != 0) {
        cs_plan_release(&plan);
        cs_source_close(&source);
        return;
    }
    outcome->pages = plan.items;
    for (uint32_t n = 0; n < plan.items; n++) {
        int ref = find_ref(refs, file, n);
        bool pillow = ref >= 0 && strncmp(cell(refs, ref, "layout"), "Pillow", 6) == 0;
        err.code = CS_OK;
        if (hash_page(&plan, n, pillow, hex, &err) != 0) {
            if (outcome->err.code == CS_OK)
                outcome->err = err;
            continue;
        }
        outcome->decoded++;
        if (!raw || ref < 0)
            continue;
        if (strcmp(cell(refs, ref, "sha256_pixels"), hex) == 0)
            outcome->matched++;
        else if (pillow)
            outcome->lossy++;
        else
            outcome->wrong++;
    }
    cs_plan_release(&plan);
    cs_source_close(&source);
}

static uint32_t count_refs(const struct table *refs, const char *file)
{
    uint32_t count = 0;
    for (int i = 1; i < refs->rows; i++)
        count += strcmp(cell(refs, i, "file"), file) == 0;
    return count;
}

// ---- Verdicts ------------------------------------------------------------------------------

struct totals {
    int files, core, core_matched, matched, lossy, refused, taken, bad;
};

static const char *judge(const char *expect, bool core, const struct outcome *o, uint32_t refs,
                         struct totals *totals)
{
    bool failed = o->err.code != CS_OK, ok = strcmp(expect, "ok") == 0;
    totals->files++;
    totals->core += ok && core;
    if (o->wrong && strcmp(expect, "nocrash") != 0)
        return "WRONG samples";
    if (ok && core && (failed || o->matched < refs))
        return "WRONG: a core file does not match";
    if (strcmp(expect, "error") == 0 && !failed)
        return "WRONG: broken, but taken";
    if (ok && !failed && o->matched == refs) {
        totals->matched++;
        totals->core_matched += core;
        return "matched";
    }
    if (ok && !failed) {
        totals->lossy++;
        return "decoded, lossy codec not compared";
    }
    if (failed) {
        totals->refused++;
        return "refused";
    }
    totals->taken++;
    return "taken";
}

static int check_files(const char *folder, const struct table *manifest, const struct table *refs,
                       bool verbose)
{
    struct totals totals = {0};
    for (int i = 1; i < manifest->rows; i++) {
        const char *file = cell(manifest, i, "file"), *expect = cell(manifest, i, "expect");
        bool core = strcmp(cell(manifest, i, "tier"), "core") == 0;
        struct outcome raw = {0}, plain = {0};
        char *path = cs_xasprintf("%s/%s", folder, file);
        read_pages(path, file, refs, true, &raw);
        read_pages(path, file, refs, false, &plain); // conversions must stand it too
        const char *verdict = judge(expect, core, &raw, count_refs(refs, file), &totals);
        bool bad = strncmp(verdict, "WRONG", 5) == 0;
        totals.bad += bad;
        if (bad || verbose)
            printf("%s\t%s\t%s\t%u of %u pages\t%s\n", verdict, expect, file, raw.decoded,
                   raw.pages, raw.err.code != CS_OK ? raw.err.text : "");
        free(path);
    }
    printf("%d files: %d matched (%d of %d core), %d decoded with a lossy codec, %d refused "
           "cleanly, %d taken where either is allowed, %d wrong\n",
           totals.files, totals.matched, totals.core_matched, totals.core, totals.lossy,
           totals.refused, totals.taken, totals.bad);
    return totals.bad;
}

// "TZCYX" and "2x3x2x127x161" against the layout of the first series.
static bool same_axes(const struct cs_layout *layout, const char *axes, const char *shape)
{
    unsigned long t = 1, z = 1, c = 1;
    for (const char *at = shape; *axes; axes++) {
        char *end;
        unsigned long size = strtoul(at, &end, 10);
        at = *end ? end + 1 : end;
        t = *axes == 'T' ? size : t;
        z = *axes == 'Z' ? size : z;
        c = *axes == 'C' ? size : c;
    }
    if (!layout->count)
        return t * z * c == 1;
    return layout->series->t == t && layout->series->z == z && layout->series->c == c;
}

static int check_axes(const char *folder, const struct table *axes)
{
    int bad = 0;
    for (int i = 1; i < axes->rows; i++) {
        struct cs_source source;
        struct cs_err err = {0};
        const char *file = cell(axes, i, "file"), *shape = cell(axes, i, "shape");
        char *path = cs_xasprintf("%s/%s", folder, file);
        int opened = cs_source_open(&source, path, NULL, &err);
        if (opened != 0 || !same_axes(&source.layout, cell(axes, i, "axes"), shape)) {
            printf("WRONG axes\t%s\t%s\n", file, err.text);
            bad++;
        }
        cs_source_close(&source);
        free(path);
    }
    printf("%d files with axes, %d wrong\n", axes->rows - 1, bad);
    return bad;
}

int main(int argc, char **argv)
{
    struct table manifest = {0}, refs = {0}, axes = {0};
    if (argc < 2) {
        fprintf(stderr, "usage: format-corpus FOLDER [-v]\n");
        return 2;
    }
    bool verbose = argc > 2 && strcmp(argv[2], "-v") == 0;
    if (table_read(&manifest, argv[1], "manifest.csv") != 0 ||
        table_read(&refs, argv[1], "refs.csv") != 0 || table_read(&axes, argv[1], "axes.csv") != 0)
        return 2;
    int bad = check_files(argv[1], &manifest, &refs, verbose) + check_axes(argv[1], &axes);
    table_release(&manifest);
    table_release(&refs);
    table_release(&axes);
    return bad ? 1 : 0;
}
