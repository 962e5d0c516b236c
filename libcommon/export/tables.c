// SPDX-License-Identifier: MIT
// Rows are copied by the offset and length that the manifest recorded, so that a half-written row
// is never seen. All segments must have the same header line.
#include "export/tables.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/mem.h"

enum { MAX_HEADER_BYTES = 1 << 16, COPY_BYTES = 1 << 16 };

// The segment whose rows are being copied: neighbours in input order mostly share it.
struct rows_file {
    char *path; // below OUT; owned
    FILE *file;
};

static void close_rows(struct rows_file *rows)
{
    if (rows->file)
        fclose(rows->file);
    free(rows->path);
    *rows = (struct rows_file){0};
}

// Open `path` and check its header line against the table's, which is empty at first.
static int open_rows(struct rows_file *rows, const char *out, const char *path, char **header,
                     FILE *table, struct cs_err *err)
{
    if (rows->path && strcmp(rows->path, path) == 0)
        return 0;
    close_rows(rows);
    rows->path = cs_xstrdup(path);
    char *full = cs_xasprintf("%s/%s", out, path), *line = NULL;
    size_t size = 0;
    int status = 0;
    rows->file = fopen(full, "rbe");
    if (!rows->file)
        status = cs_fail_errno(err, CS_EIO, "%s", full);
    else if (getline(&line, &size, rows->file) <= 0 || strlen(line) > MAX_HEADER_BYTES)
        status = cs_fail(err, CS_EINPUT, "%s: no header line", full);
    else if (*header && strcmp(*header, line) != 0)
        status = cs_fail(err, CS_EINPUT, "%s: other columns than the segments before", full);
    else if (!*header && fputs(line, table) < 0)
        status = cs_fail_errno(err, CS_EIO, "%s/objects.csv", out);
    if (status == 0 && !*header) {
        *header = line;
        line = NULL;
    }
    free(line);
    free(full);
    return status;
}

static int copy_rows(FILE *from, FILE *to, const struct cs_entry *e, struct cs_err *err)
{
    char block[COPY_BYTES];
    if (fseeko(from, (off_t)e->rows_offset, SEEK_SET) != 0)
        return cs_fail_errno(err, CS_EIO, "%s", e->rows);
    for (int64_t left = e->rows_bytes; left > 0;) {
        size_t want = left < COPY_BYTES ? (size_t)left : COPY_BYTES;
        size_t got = fread(block, 1, want, from);
        if (got == 0)
            return cs_fail(err, CS_EINPUT, "%s: shorter than the manifest says", e->rows);
        if (fwrite(block, 1, got, to) != got)
            return cs_fail_errno(err, CS_EIO, "objects.csv");
        left -= (int64_t)got;
    }
    return 0;
}

// ".cs/NNNN.objects.csv" for "OUT/.cs/NNNN.manifest.jsonl", where there is one; caller frees.
static char *rows_beside(const char *manifest, const char *out)
{
    const char *name = manifest + strlen(out) + 1;
    char *path = cs_xasprintf("%.*s.objects.csv", (int)strcspn(name + 1, ".") + 1, name);
    char *full = cs_xasprintf("%s/%s", out, path);
    struct stat st;
    if (stat(full, &st) != 0 || st.st_size == 0) {
        free(path);
        path = NULL;
    }
    free(full);
    return path;
}

static int write_objects(const struct cs_segments *s, const char *out, FILE *table,
                         struct cs_err *err)
{
    struct rows_file rows = {0};
    char *header = NULL;
    int status = 0;
    for (size_t i = 0; status == 0 && i < s->count; i++) {
        const struct cs_entry *e = &s->entries[i];
        if (!e->rows)
            continue;
        status = open_rows(&rows, out, e->rows, &header, table, err);
        if (status == 0)
            status = copy_rows(rows.file, table, e, err);
    }
    // No object anywhere: the columns all the same.
    for (int i = 0; status == 0 && !header && i < s->path_count; i++) {
        char *path = rows_beside(s->paths[i], out);
        if (path && open_rows(&rows, out, path, &header, table, err) != 0)
            status = -1;
        free(path);
    }
    free(header);
    close_rows(&rows);
    return status;
}

// A field and its comma, by RFC 4180.
static void add_csv(struct cs_buf *row, const char *text)
{
    bool quoted = text && strpbrk(text, "\",\r\n");
    if (quoted)
        cs_buf_addc(row, '"');
    for (; text && *text; text++) {
        if (*text == '"')
            cs_buf_addc(row, '"');
        cs_buf_addc(row, *text);
    }
    cs_buf_adds(row, quoted ? "\"," : ",");
}

static void add_channels(struct cs_buf *row, const struct cs_json *list)
{
    struct cs_buf names = {0};
    for (const struct cs_json *c = list ? list->child : NULL; c; c = c->next)
        cs_buf_addf(&names, "%s%s", names.len ? ";" : "", cs_json_text(c) ? cs_json_text(c) : "");
    add_csv(row, names.data ? names.data : "");
    cs_buf_release(&names);
}

static const char image_columns[] =
    "image,series,t,z,channels,status,objects,width,height,pixel_um,error_code,error_stage,"
    "error_text\n";

static void build_image_row(const struct cs_json *line, struct cs_buf *row)
{
    static const char *const sizes[] = {"objects", "width", "height", "pixel_um"};
    static const char *const reasons[] = {"code", "stage", "text"};
    const struct cs_json *plane = cs_json_get(line, "plane"), *error = cs_json_get(line, "error");
    cs_buf_clear(row);
    add_csv(row, cs_json_text(cs_json_get(line, "image")));
    add_csv(row, cs_json_text(cs_json_get(plane, "series")));
    add_csv(row, cs_json_text(cs_json_get(plane, "t")));
    add_csv(row, cs_json_text(cs_json_get(plane, "z")));
    add_channels(row, cs_json_get(plane, "c"));
    add_csv(row, cs_json_text(cs_json_get(line, "status")));
    for (int i = 0; i < 4; i++)
        add_csv(row, cs_json_text(cs_json_get(line, sizes[i])));
    for (int i = 0; i < 3; i++)
        add_csv(row, cs_json_text(cs_json_get(error, reasons[i])));
    row->data[row->len - 1] = '\n'; // in place of the last comma
}

// images.csv and manifest.jsonl, from the same lines.
static int write_lines(const struct cs_segments *s, FILE *images, FILE *manifest,
                       struct cs_err *err)
{
    struct cs_buf row = {0};
    int status = fputs(image_columns, images) < 0 ? cs_fail_errno(err, CS_EIO, "images.csv") : 0;
    for (size_t i = 0; status == 0 && i < s->count; i++) {
        struct cs_arena arena = {0};
        const struct cs_json *line;
        const char *text;
        status = cs_segments_line(s, &s->entries[i], &arena, &text, &line, err);
        if (status == 0) {
            build_image_row(line, &row);
            if (fputs(row.data, images) < 0 || fprintf(manifest, "%s\n", text) < 0)
                status = cs_fail_errno(err, CS_EIO, "images.csv, manifest.jsonl");
        }
        cs_arena_release(&arena);
    }
    cs_buf_release(&row);
    return status;
}

// Each input with a failed item, once: its entries follow each other.
static int write_failed(const struct cs_segments *s, FILE *failed, struct cs_err *err)
{
    const char *last = NULL;
    for (size_t i = 0; i < s->count; i++) {
        const struct cs_entry *e = &s->entries[i];
        if (e->status != CS_ENTRY_FAILED || (last && strcmp(last, e->image) == 0))
            continue;
        last = e->image;
        if (fprintf(failed, "%s\n", e->image) < 0)
            return cs_fail_errno(err, CS_EIO, "failed.txt");
    }
    return 0;
}

static void count_entries(const struct cs_segments *s, struct cs_tables_count *count)
{
    *count = (struct cs_tables_count){.items = (int64_t)s->count};
    for (size_t i = 0; i < s->count; i++) {
        count->ok += s->entries[i].status == CS_ENTRY_OK;
        count->empty += s->entries[i].status == CS_ENTRY_EMPTY;
        count->failed += s->entries[i].status == CS_ENTRY_FAILED;
        count->objects += s->entries[i].objects;
    }
}

int cs_tables_merge(const char *out, struct cs_tables_count *count, struct cs_err *err)
{
    enum { OBJECTS, IMAGES, MANIFEST, FAILED, FILES };
    static const char *const names[] = {"objects.csv", "images.csv", "manifest.jsonl",
                                        "failed.txt"};
    struct cs_outfile files[FILES] = {0};
    struct cs_segments s;
    if (cs_segments_read(&s, out, err) != 0)
        return -1;
    int status = 0;
    for (int i = 0; status == 0 && i < FILES; i++) {
        char *path = cs_xasprintf("%s/%s", out, names[i]);
        status = cs_outfile_open(&files[i], path, err);
        free(path);
    }
    if (status == 0)
        status = write_objects(&s, out, files[OBJECTS].file, err);
    if (status == 0)
        status = write_lines(&s, files[IMAGES].file, files[MANIFEST].file, err);
    if (status == 0)
        status = write_failed(&s, files[FAILED].file, err);
    for (int i = 0; i < FILES; i++) {
        if (status == 0)
            status = cs_outfile_commit(&files[i], 0, err);
        else
            cs_outfile_abort(&files[i]);
    }
    count_entries(&s, count);
    cs_segments_release(&s);
    return status;
}
