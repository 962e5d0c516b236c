// SPDX-License-Identifier: MIT
// Segments are read one after the other, line by line; of each line a small entry stays in memory.
#include "export/segments.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"

enum { MAX_LINE_BYTES = 1 << 20 };
static const char suffix[] = ".manifest.jsonl";

static int by_name(const void *a, const void *b)
{
    const char *const *left = a, *const *right = b;
    // "9999" comes before "10000": the shorter number is the smaller.
    size_t m = strlen(*left), n = strlen(*right);
    return m != n ? (m < n ? -1 : 1) : strcmp(*left, *right);
}

static int list_segments(struct cs_segments *s, const char *out, struct cs_err *err)
{
    char *folder = cs_xasprintf("%s/.cs", out);
    DIR *dir = opendir(folder);
    if (!dir) {
        cs_fail_errno(err, CS_EIO, "%s", folder);
        free(folder);
        return -1;
    }
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        size_t digits = strspn(entry->d_name, "0123456789");
        if (!digits || strcmp(entry->d_name + digits, suffix) != 0)
            continue;
        s->paths = cs_xrealloc(s->paths, (size_t)s->path_count + 1, sizeof *s->paths);
        s->paths[s->path_count++] = cs_xasprintf("%s/%s", folder, entry->d_name);
    }
    closedir(dir);
    free(folder);
    if (s->path_count)
        qsort(s->paths, (size_t)s->path_count, sizeof *s->paths, by_name);
    return 0;
}

static int parse_status(const char *text, enum cs_entry_status *status)
{
    static const char *const names[] = {"ok", "empty", "failed"};
    for (int i = 0; text && i < 3; i++)
        if (strcmp(text, names[i]) == 0) {
            *status = (enum cs_entry_status)i;
            return 0;
        }
    return -1;
}

static char *keep_text(struct cs_segments *s, const struct cs_json *value)
{
    const char *text = cs_json_text(value);
    return text ? cs_arena_strdup(&s->arena, text) : NULL;
}

// A path below the folder: from a file that others may have edited.
static bool path_ok(const char *path)
{
    return path && *path && *path != '/' && strncmp(path, "../", 3) != 0 && !strstr(path, "/../");
}

static int fill_entry(struct cs_segments *s, struct cs_entry *e, const struct cs_json *line,
                      struct cs_err *err)
{
    const struct cs_json *input = cs_json_get(line, "input");
    if (!cs_json_text(cs_json_get(line, "image")) ||
        parse_status(cs_json_text(cs_json_get(line, "status")), &e->status) != 0)
        return cs_fail(err, CS_EINPUT, "no line of a manifest");
    e->image = keep_text(s, cs_json_get(line, "image"));
    e->number = cs_json_int(cs_json_get(line, "n"), 0);
    e->objects = cs_json_int(cs_json_get(line, "objects"), 0);
    e->items = cs_json_int(cs_json_get(line, "items"), 0);
    e->index = cs_json_int(cs_json_get(input, "index"), 0);
    e->bytes = cs_json_int(cs_json_get(input, "bytes"), -1);
    e->mtime_ns = cs_json_int(cs_json_get(input, "mtime_ns"), -1);
    e->xxh3 = keep_text(s, cs_json_get(input, "xxh3"));
    const struct cs_json *outputs = cs_json_get(line, "outputs");
    for (const struct cs_json *o = outputs ? outputs->child : NULL; o; o = o->next) {
        const char *kind = cs_json_text(cs_json_get(o, "kind"));
        if (!kind || strcmp(kind, "objects") != 0)
            continue;
        e->rows = keep_text(s, cs_json_get(o, "path"));
        e->rows_offset = cs_json_int(cs_json_get(o, "offset"), -1);
        e->rows_bytes = cs_json_int(cs_json_get(o, "bytes"), -1);
        if (!path_ok(e->rows) || e->rows_offset < 0 || e->rows_bytes < 0)
            return cs_fail(err, CS_EINPUT, "the rows of objects are not named rightly");
    }
    return 0;
}

static int add_line(struct cs_segments *s, size_t *capacity, const char *text, size_t len,
                    const struct cs_entry *place, struct cs_err *err)
{
    struct cs_arena scratch = {0};
    const struct cs_json *line;
    struct cs_entry entry = *place;
    int status = cs_json_parse(text, len, &scratch, &line, err);
    if (status == 0)
        status = fill_entry(s, &entry, line, err);
    cs_arena_release(&scratch);
    if (status != 0)
        return -1;
    if (s->count == *capacity) {
        *capacity = *capacity ? 2 * *capacity : 1024;
        s->entries = cs_xrealloc(s->entries, *capacity, sizeof *s->entries);
    }
    s->entries[s->count++] = entry;
    return 0;
}

static int read_segment(struct cs_segments *s, int segment, size_t *capacity, struct cs_err *err)
{
    FILE *file = fopen(s->paths[segment], "rbe");
    if (!file)
        return cs_fail_errno(err, CS_EIO, "%s", s->paths[segment]);
    char *text = NULL;
    size_t size = 0;
    struct cs_entry place = {.segment = segment};
    int status = 0;
    ssize_t len;
    while (status == 0 && (len = getline(&text, &size, file)) > 0) {
        if (text[len - 1] != '\n')
            break; // cut off: it did not happen
        place.length = len;
        if (len > MAX_LINE_BYTES)
            status = cs_fail(err, CS_EINPUT, "a line of %zd bytes", len);
        else
            status = add_line(s, capacity, text, (size_t)len - 1, &place, err);
        place.offset += len;
    }
    if (status != 0)
        cs_err_context(err, "%s: byte %lld", s->paths[segment],
                       (long long)(place.offset - place.length));
    else if (ferror(file))
        status = cs_fail_errno(err, CS_EIO, "%s", s->paths[segment]);
    free(text);
    fclose(file);
    return status;
}

static int by_image(const void *a, const void *b)
{
    const struct cs_entry *left = a, *right = b;
    int order = strcmp(left->image, right->image);
    if (order)
        return order;
    return right->segment - left->segment; // the last run first
}

static int by_place(const void *a, const void *b)
{
    const struct cs_entry *left = a, *right = b;
    if (left->index != right->index)
        return left->index < right->index ? -1 : 1;
    int order = strcmp(left->image, right->image);
    if (order)
        return order;
    if (left->number != right->number)
        return left->number < right->number ? -1 : 1;
    return left->offset < right->offset ? -1 : left->offset > right->offset;
}

static void keep_last_runs(struct cs_segments *s)
{
    struct cs_entry last_run = {0};
    size_t kept = 0;
    if (!s->count)
        return;
    qsort(s->entries, s->count, sizeof *s->entries, by_image);
    for (size_t i = 0; i < s->count; i++) {
        if (!last_run.image || strcmp(last_run.image, s->entries[i].image) != 0)
            last_run = s->entries[i];
        if (s->entries[i].segment == last_run.segment)
            s->entries[kept++] = s->entries[i];
    }
    s->count = kept;
    qsort(s->entries, s->count, sizeof *s->entries, by_place);
}

int cs_segments_read(struct cs_segments *s, const char *out, struct cs_err *err)
{
    size_t capacity = 0;
    *s = (struct cs_segments){0};
    int status = list_segments(s, out, err);
    for (int i = 0; status == 0 && i < s->path_count; i++)
        status = read_segment(s, i, &capacity, err);
    if (status == 0)
        keep_last_runs(s);
    else
        cs_segments_release(s);
    return status;
}

void cs_segments_release(struct cs_segments *s)
{
    for (int i = 0; i < s->path_count; i++)
        free(s->paths[i]);
    free(s->paths);
    free(s->entries);
    cs_arena_release(&s->arena);
    *s = (struct cs_segments){0};
}

int cs_segments_line(const struct cs_segments *s, const struct cs_entry *entry,
                     struct cs_arena *arena, const char **text, const struct cs_json **root,
                     struct cs_err *err)
{
    const char *path = s->paths[entry->segment];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cs_fail_errno(err, CS_EIO, "%s", path);
    size_t len = (size_t)entry->length - 1;
    char *line = cs_arena_alloc(arena, len + 1, 1);
    ssize_t got = pread(fd, line, len, (off_t)entry->offset);
    close(fd);
    if (got != (ssize_t)len)
        return cs_fail(err, CS_EIO, "%s: changed while it was read", path);
    *text = line;
    return cs_json_parse(line, len, arena, root, err);
}
