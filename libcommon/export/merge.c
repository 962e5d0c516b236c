// SPDX-License-Identifier: MIT
// The lines are read twice: once for what orders them, then, in that order, for what they say, so
// that memory holds a short record an item and not the lines of a million.
#include "export/merge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json_read.h"
#include "base/line.h"
#include "base/mem.h"
#include "export/features.h"
#include "export/segments.h"

struct shard {
    FILE *lines;
    int rows_fd; // -1: no rows
    char *lines_path, *rows_path;
};

// One line of a manifest, by place.
struct entry {
    char *name; // of the item
    int64_t n, time_ms;
    size_t shard, number; // number: of the line, in reading order
    off_t offset;
    size_t bytes;
};

struct merge {
    const char *out;
    struct shard *shards;
    size_t shard_count;
    struct entry *entries;
    size_t count, capacity;
    bool shape;        // of the rows: some have the columns of shape
    unsigned channels; // the most that any row has
};

// What a line says about its rows.
struct rows {
    int64_t offset, bytes, channels;
    bool shape;
};

static bool find_rows(const struct cs_json *line, struct rows *rows)
{
    const struct cs_json *outputs = cs_json_get(line, "outputs");
    for (const struct cs_json *o = outputs ? outputs->child : NULL; o; o = o->next) {
        const char *kind = cs_json_text(cs_json_get(o, "kind"));
        if (!kind || strcmp(kind, "objects") != 0)
            continue;
        const struct cs_json *shape = cs_json_get(o, "shape");
        *rows = (struct rows){cs_json_int(cs_json_get(o, "offset"), -1),
                              cs_json_int(cs_json_get(o, "bytes"), -1),
                              cs_json_int(cs_json_get(o, "channels"), -1), shape && shape->truth};
        return rows->offset >= 0 && rows->bytes >= 0 && rows->channels >= 0 &&
               rows->channels <= UINT16_MAX;
    }
    return false;
}

// ---- First reading -------------------------------------------------------------------------

static void add_entry(struct merge *m, const struct cs_json *line, size_t shard, off_t offset,
                      size_t bytes)
{
    const char *name = cs_json_text(cs_json_get(line, "name"));
    const char *image = cs_json_text(cs_json_get(line, "image"));
    struct rows rows;
    if (!cs_json_text(cs_json_get(line, "status")) || (!name && !image))
        return;
    if (m->count == m->capacity) {
        m->capacity = m->capacity ? 2 * m->capacity : 256;
        m->entries = cs_xrealloc(m->entries, m->capacity, sizeof *m->entries);
    }
    m->entries[m->count] = (struct entry){.name = cs_xstrdup(name ? name : image),
                                          .n = cs_json_int(cs_json_get(line, "n"), 0),
                                          .time_ms = cs_json_int(cs_json_get(line, "time_ms"), 0),
                                          .shard = shard,
                                          .number = m->count,
                                          .offset = offset,
                                          .bytes = bytes};
    m->count++;
    if (find_rows(line, &rows)) {
        m->shape |= rows.shape;
        m->channels = rows.channels > m->channels ? (unsigned)rows.channels : m->channels;
    }
}

static int read_shard(struct merge *m, size_t index, struct cs_err *err)
{
    struct shard *shard = &m->shards[index];
    char *line = NULL;
    size_t capacity = 0;
    ssize_t len;
    off_t offset = 0;
    while ((len = getline(&line, &capacity, shard->lines)) > 0) {
        struct cs_arena arena = {0};
        const struct cs_json *root;
        // A line without its end, or that is no JSON, was cut off when a process died.
        if (line[len - 1] == '\n' && cs_json_parse(line, (size_t)len - 1, &arena, &root, NULL) == 0)
            add_entry(m, root, index, offset, (size_t)len);
        cs_arena_release(&arena);
        offset += len;
    }
    free(line);
    if (!feof(shard->lines)) // also where a line finds no memory
        return cs_fail_errno(err, CS_EIO, "%s", shard->lines_path);
    return 0;
}

static int open_shards(struct merge *m, struct cs_err *err)
{
    struct cs_segments found;
    int status = cs_segments_list(&found, m->out, err);
    m->shards = cs_xcalloc((size_t)found.count, sizeof *m->shards);
    for (int i = 0; i < found.count && status == 0; i++) {
        const char *path = found.paths[i];
        struct shard *shard = &m->shards[m->shard_count++];
        shard->lines_path = cs_xstrdup(path);
        shard->rows_path =
            cs_xasprintf("%.*s.objects.csv", (int)(strlen(path) - strlen(CS_SEGMENT_SUFFIX)), path);
        shard->rows_fd = open(shard->rows_path, O_RDONLY | O_CLOEXEC);
        if (shard->rows_fd < 0 && errno != ENOENT)
            status = cs_fail_errno(err, CS_EIO, "%s", shard->rows_path);
        else if (!(shard->lines = fopen(path, "re")))
            status = cs_fail_errno(err, CS_EIO, "%s", path);
        else
            status = read_shard(m, (size_t)i, err);
    }
    cs_segments_release(&found);
    return status;
}

// ---- Order ---------------------------------------------------------------------------------

static int sign(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

// By item, the latest line first.
static int by_item(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    if (!order)
        order = sign(y->time_ms, x->time_ms);
    return order ? order : sign((int64_t)y->number, (int64_t)x->number);
}

static int by_input(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = sign(x->n, y->n);
    return order ? order : strcmp(x->name, y->name);
}

static void keep_latest(struct merge *m)
{
    size_t kept = 0;
    if (m->count)
        qsort(m->entries, m->count, sizeof *m->entries, by_item);
    for (size_t i = 0; i < m->count; i++) {
        if (kept && strcmp(m->entries[kept - 1].name, m->entries[i].name) == 0)
            free(m->entries[i].name);
        else
            m->entries[kept++] = m->entries[i];
    }
    m->count = kept;
    if (kept)
        qsort(m->entries, kept, sizeof *m->entries, by_input);
}

// ---- Second reading ------------------------------------------------------------------------

enum table { MANIFEST, OBJECTS, IMAGES, FAILED, TABLES };
static const char *const table_names[TABLES] = {"manifest.jsonl", "objects.csv", "images.csv",
                                                "failed.txt"};

struct tables {
    struct cs_outfile files[TABLES];
    struct cs_buf text;
    char *last_failed;
    bool failed;
};

static int put(struct tables *t, enum table table, const char *text, size_t len, struct cs_err *err)
{
    if (len && fwrite(text, 1, len, t->files[table].file) != len)
        return cs_fail_errno(err, CS_EIO, "%s", t->files[table].path);
    return 0;
}

// Rows of one item, with empty fields for the columns that others have and these have not.
static void pad_rows(struct cs_buf *out, const char *rows, size_t len, unsigned before_channels,
                     unsigned at_end)
{
    bool quoted = false;
    int fields = 0;
    for (size_t i = 0; i < len; i++) {
        char c = rows[i];
        if (c == '"')
            quoted = !quoted;
        bool line_end = c == '\n' && !quoted;
        if (!quoted && (c == ',' || line_end) && ++fields == 2)
            for (unsigned k = 0; k < before_channels; k++)
                cs_buf_addc(out, ',');
        if (line_end) {
            for (unsigned k = 0; k < at_end; k++)
                cs_buf_addc(out, ',');
            fields = 0;
        }
        cs_buf_addc(out, c);
    }
}

static int merge_rows(struct merge *m, struct tables *t, const struct entry *e,
                      const struct rows *rows, struct cs_err *err)
{
    const struct shard *shard = &m->shards[e->shard];
    struct stat st;
    if (rows->bytes == 0)
        return 0;
    if (shard->rows_fd < 0 || fstat(shard->rows_fd, &st) != 0 || rows->offset > st.st_size ||
        rows->bytes > st.st_size - rows->offset)
        return cs_fail(err, CS_EIO, "%s: the rows of %s are not there", shard->rows_path, e->name);
    char *data = cs_alloc(1, (size_t)rows->bytes, "rows of an image", err);
    if (!data)
        return -1;
    ssize_t got = pread(shard->rows_fd, data, (size_t)rows->bytes, rows->offset);
    int status = got == rows->bytes ? 0 : cs_fail_errno(err, CS_EIO, "%s", shard->rows_path);
    if (status == 0) {
        cs_buf_clear(&t->text);
        pad_rows(&t->text, data, (size_t)rows->bytes,
                 m->shape && !rows->shape ? cs_feature_shape_columns() : 0,
                 3 * (m->channels - (unsigned)rows->channels));
        status = put(t, OBJECTS, t->text.data, t->text.len, err);
    }
    free(data);
    return status;
}

static int merge_image(struct tables *t, const struct cs_json *line, struct cs_err *err)
{
    static const char *const plain[] = {"image", "name",   "status",  "objects",
                                        "width", "height", "pixel_um"};
    static const char *const of_error[] = {"code", "stage", "text"};
    cs_buf_clear(&t->text);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        const char *text = cs_json_text(cs_json_get(line, plain[i]));
        if (i)
            cs_buf_addc(&t->text, ',');
        cs_csv_field(&t->text, text ? text : "");
    }
    for (size_t i = 0; i < 3; i++) {
        const char *text = cs_json_text(cs_json_get(cs_json_get(line, "error"), of_error[i]));
        cs_buf_addc(&t->text, ',');
        cs_csv_field(&t->text, text ? text : "");
    }
    cs_buf_adds(&t->text, "\n");
    return put(t, IMAGES, t->text.data, t->text.len, err);
}

// The path of an input with "/./" in front of the part that its outputs are named by, so that they
// get the same names when it is read from a list: as many components as the item's name has.
static void add_rooted(struct cs_buf *out, const char *image, const char *name)
{
    const char *at = strrchr(image, '/');
    for (const char *slash = strchr(name, '/'); slash && at; slash = strchr(slash + 1, '/'))
        do
            at = at > image ? at - 1 : NULL;
        while (at && *at != '/');
    if (at && strchr(name, '/'))
        cs_buf_addf(out, "%.*s/.%s", (int)(at - image), image, at);
    else
        cs_buf_adds(out, image);
}

// Each input once.
static int merge_failed(struct tables *t, const struct cs_json *line, struct cs_err *err)
{
    const char *image = cs_json_text(cs_json_get(line, "image"));
    const char *name = cs_json_text(cs_json_get(line, "name"));
    struct cs_buf rooted = {0};
    t->failed = true;
    if (!image || (t->last_failed && strcmp(t->last_failed, image) == 0))
        return 0;
    free(t->last_failed);
    t->last_failed = cs_xstrdup(image);
    add_rooted(&rooted, image, name ? name : "");
    cs_buf_clear(&t->text);
    cs_line_add(&t->text, rooted.data ? rooted.data : "");
    cs_buf_release(&rooted);
    return put(t, FAILED, t->text.data, t->text.len, err);
}

static int merge_line(struct merge *m, struct tables *t, const struct entry *e, const char *text,
                      struct cs_err *err)
{
    struct cs_arena arena = {0};
    const struct cs_json *line;
    struct rows rows;
    int status = cs_json_parse(text, e->bytes - 1, &arena, &line, err);
    if (status == 0)
        status = put(t, MANIFEST, text, e->bytes, err);
    if (status == 0)
        status = merge_image(t, line, err);
    if (status == 0 && strcmp(cs_json_text(cs_json_get(line, "status")), "failed") == 0)
        status = merge_failed(t, line, err);
    else if (status == 0 && find_rows(line, &rows))
        status = merge_rows(m, t, e, &rows, err);
    cs_arena_release(&arena);
    return status;
}

static int merge_lines(struct merge *m, struct tables *t, struct cs_err *err)
{
    struct cs_buf line = {0};
    int status = 0;
    for (size_t i = 0; i < m->count && status == 0; i++) {
        const struct entry *e = &m->entries[i];
        const struct shard *shard = &m->shards[e->shard];
        cs_buf_clear(&line);
        ssize_t got =
            pread(fileno(shard->lines), cs_buf_reserve(&line, e->bytes), e->bytes, e->offset);
        if (got != (ssize_t)e->bytes)
            status = cs_fail_errno(err, CS_EIO, "%s", shard->lines_path);
        else
            status = merge_line(m, t, e, line.data, err);
    }
    cs_buf_release(&line);
    return status;
}

static int write_tables(struct merge *m, struct tables *t, struct cs_err *err)
{
    static const char images[] =
        "image,name,status,objects,width,height,pixel_um,error_code,error_stage,error_text\n";
    int status = 0;
    for (int i = 0; i < TABLES && status == 0; i++) {
        char *path = cs_xasprintf("%s/%s", m->out, table_names[i]);
        status = cs_outfile_open(&t->files[i], path, err);
        free(path);
    }
    if (status == 0) {
        cs_feature_header(&t->text, m->shape, m->channels);
        status = put(t, OBJECTS, t->text.data, t->text.len, err);
    }
    if (status == 0)
        status = put(t, IMAGES, images, sizeof images - 1, err);
    if (status == 0)
        status = merge_lines(m, t, err);
    for (int i = 0; i < TABLES && status == 0; i++)
        status = cs_outfile_commit(&t->files[i], 1, err);
    for (int i = 0; i < TABLES; i++)
        cs_outfile_abort(&t->files[i]);
    cs_buf_release(&t->text);
    free(t->last_failed);
    return status;
}

int cs_merge(const char *out, int *status, struct cs_err *err)
{
    struct merge m = {.out = out};
    struct tables tables = {0};
    int result = open_shards(&m, err);
    if (result == 0) {
        keep_latest(&m);
        *status = 3;
        if (m.count) {
            result = write_tables(&m, &tables, err);
            *status = tables.failed ? 1 : 0;
        }
    }
    for (size_t i = 0; i < m.count; i++)
        free(m.entries[i].name);
    free(m.entries);
    for (size_t i = 0; i < m.shard_count; i++) {
        if (m.shards[i].lines)
            fclose(m.shards[i].lines);
        if (m.shards[i].rows_fd >= 0)
            close(m.shards[i].rows_fd);
        free(m.shards[i].lines_path);
        free(m.shards[i].rows_path);
    }
    free(m.shards);
    return result;
}
