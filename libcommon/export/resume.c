// SPDX-License-Identifier: MIT
// Of each line a small entry stays in memory, sorted by image; the line itself is read again where
// the files that it promises are looked at.
#include "export/resume.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/json_read.h"
#include "base/mem.h"
#include "export/segments.h"

enum { MAX_LINE_BYTES = 1 << 20 };

// One line of a manifest.
struct entry {
    const char *image; // the input as the user named it
    const char *name;  // of the outputs: one input may give several items
    bool failed;
    int64_t items;           // that the input gives; 0 where not said
    int64_t bytes, mtime_ns; // of the input; -1 where not said
    const char *xxh3;        // NULL where not said
    int segment;
    int64_t offset, length; // of the line in its segment, newline included
};

struct cs_resume {
    char *out;
    struct cs_resume_options options;
    struct entry *entries;
    size_t count, capacity;
    struct cs_segments segments;
    struct cs_arena arena;
};

// ---- Reading -------------------------------------------------------------------------------

static int fill_entry(struct cs_resume *r, struct entry *e, const struct cs_json *line,
                      struct cs_err *err)
{
    const struct cs_json *input = cs_json_get(line, "input");
    const char *image = cs_json_text(cs_json_get(line, "image"));
    const char *status = cs_json_text(cs_json_get(line, "status"));
    const char *name = cs_json_text(cs_json_get(line, "name"));
    const char *xxh3 = cs_json_text(cs_json_get(input, "xxh3"));
    if (!image || !status)
        return cs_fail(err, CS_EINPUT, "no line of a manifest");
    e->image = cs_arena_strdup(&r->arena, image);
    e->xxh3 = xxh3 ? cs_arena_strdup(&r->arena, xxh3) : NULL;
    e->name = cs_arena_strdup(&r->arena, name ? name : "");
    e->failed = strcmp(status, "ok") != 0 && strcmp(status, "empty") != 0;
    e->items = cs_json_int(cs_json_get(line, "items"), 0);
    e->bytes = cs_json_int(cs_json_get(input, "bytes"), -1);
    e->mtime_ns = cs_json_int(cs_json_get(input, "mtime_ns"), -1);
    return 0;
}

static int add_line(struct cs_resume *r, const char *text, const struct entry *place,
                    struct cs_err *err)
{
    struct cs_arena scratch = {0};
    const struct cs_json *line;
    struct entry entry = *place;
    if (place->length > MAX_LINE_BYTES)
        return cs_fail(err, CS_EINPUT, "a line of %" PRId64 " bytes", place->length);
    int status = cs_json_parse(text, (size_t)place->length - 1, &scratch, &line, err);
    if (status == 0)
        status = fill_entry(r, &entry, line, err);
    cs_arena_release(&scratch);
    if (status != 0)
        return -1;
    if (r->count == r->capacity) {
        r->capacity = r->capacity ? 2 * r->capacity : 1024;
        r->entries = cs_xrealloc(r->entries, r->capacity, sizeof *r->entries);
    }
    r->entries[r->count++] = entry;
    return 0;
}

static int read_segment(struct cs_resume *r, int segment, struct cs_err *err)
{
    const char *path = r->segments.paths[segment];
    FILE *file = fopen(path, "rbe");
    if (!file)
        return cs_fail_errno(err, CS_EIO, "%s", path);
    char *text = NULL;
    size_t size = 0;
    struct entry place = {.segment = segment};
    int status = 0;
    ssize_t len;
    while (status == 0 && (len = getline(&text, &size, file)) > 0 && text[len - 1] == '\n') {
        place.length = len;
        status = add_line(r, text, &place, err);
        if (status != 0)
            cs_err_context(err, "%s: byte %" PRId64, path, place.offset);
        place.offset += len;
    }
    if (status == 0 && !feof(file)) // also where a line finds no memory
        status = cs_fail_errno(err, CS_EIO, "%s", path);
    free(text);
    fclose(file);
    return status;
}

static int by_image_and_name(const void *a, const void *b)
{
    const struct entry *left = a, *right = b;
    int order = strcmp(left->image, right->image);
    return order ? order : strcmp(left->name, right->name);
}

int cs_resume_open(struct cs_resume **resume, const char *out,
                   const struct cs_resume_options *options, struct cs_err *err)
{
    struct cs_resume *r = cs_xcalloc(1, sizeof *r);
    *resume = NULL;
    r->out = cs_xstrdup(out);
    r->options = *options;
    int status = cs_segments_list(&r->segments, out, err);
    for (int i = 0; status == 0 && i < r->segments.count; i++)
        status = read_segment(r, i, err);
    if (status != 0) {
        cs_resume_close(r);
        return -1;
    }
    if (r->count)
        qsort(r->entries, r->count, sizeof *r->entries, by_image_and_name);
    *resume = r;
    return 0;
}

void cs_resume_close(struct cs_resume *r)
{
    if (!r)
        return;
    cs_segments_release(&r->segments);
    free(r->entries);
    free(r->out);
    cs_arena_release(&r->arena);
    free(r);
}

// ---- Asking --------------------------------------------------------------------------------

// The input as it is now.
struct input {
    const char *path;
    struct stat st;
    char xxh3[CS_XXH3_HEX]; // made when first asked for
};

static bool input_same(const struct cs_resume *r, const struct entry *e, struct input *input)
{
    if (input->st.st_size != e->bytes)
        return false;
    if (!r->options.checksum || !e->xxh3)
        return input->st.st_mtim.tv_sec * INT64_C(1000000000) + input->st.st_mtim.tv_nsec ==
               e->mtime_ns;
    uint64_t hash;
    if (!input->xxh3[0]) {
        if (cs_xxh3_file(input->path, &hash, NULL) != 0)
            return false;
        snprintf(input->xxh3, sizeof input->xxh3, "%016" PRIx64, hash);
    }
    return strcmp(input->xxh3, e->xxh3) == 0;
}

// One file that a line promises: whole, or a part of a table that grows.
static bool output_there(const char *out, const struct cs_json *output)
{
    const char *path = cs_json_text(cs_json_get(output, "path"));
    int64_t bytes = cs_json_int(cs_json_get(output, "bytes"), -1);
    int64_t offset = cs_json_int(cs_json_get(output, "offset"), -1);
    struct stat st;
    if (!path)
        return false;
    bool absolute = *path == '/';
    char *full = cs_xasprintf("%s%s%s", absolute ? "" : out, absolute ? "" : "/", path);
    bool there = stat(full, &st) == 0;
    free(full);
    if (there && offset >= 0)
        return bytes >= 0 && st.st_size - offset >= bytes;
    return there && st.st_size == bytes;
}

static bool outputs_there(const struct cs_resume *r, const struct entry *e)
{
    int fd = open(r->segments.paths[e->segment], O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    struct cs_arena arena = {0};
    const struct cs_json *line = NULL;
    size_t len = (size_t)e->length;
    char *text = cs_arena_alloc(&arena, len, 1);
    bool there = pread(fd, text, len, (off_t)e->offset) == (ssize_t)len &&
                 cs_json_parse(text, len, &arena, &line, NULL) == 0;
    const struct cs_json *outputs = there ? cs_json_get(line, "outputs") : NULL;
    for (const struct cs_json *o = outputs ? outputs->child : NULL; there && o; o = o->next)
        there = output_there(r->out, o);
    cs_arena_release(&arena);
    close(fd);
    return there;
}

static bool entry_good(const struct cs_resume *r, const struct entry *e, struct input *input)
{
    return !(e->failed && r->options.retry_failed) && input_same(r, e, input) &&
           outputs_there(r, e);
}

// First entry of an image, or the end of the list.
static size_t find_first(const struct cs_resume *r, const char *image)
{
    size_t low = 0, high = r->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(r->entries[middle].image, image) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool cs_resume_done(const struct cs_resume *r, const char *path)
{
    struct input input = {.path = path};
    size_t i = find_first(r, path);
    int64_t good_items = 0, items = 1;
    if (i == r->count || strcmp(r->entries[i].image, path) != 0 || stat(path, &input.st) != 0)
        return false;
    while (i < r->count && strcmp(r->entries[i].image, path) == 0) {
        // Several runs may have left a line for the same item: one good line is enough.
        const char *name = r->entries[i].name;
        bool good = false;
        for (; i < r->count && strcmp(r->entries[i].image, path) == 0 &&
               strcmp(r->entries[i].name, name) == 0;
             i++) {
            if (good || !entry_good(r, &r->entries[i], &input))
                continue;
            good = true;
            items = r->entries[i].items > items ? r->entries[i].items : items;
        }
        good_items += good;
    }
    return good_items >= items;
}
