// SPDX-License-Identifier: MIT
// Entries are looked up by binary search over an index sorted by image.
#include "export/resume.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "base/mem.h"

static bool input_same(const struct cs_entry *e, const char *path, bool checksum)
{
    struct stat st;
    if (stat(path, &st) != 0 || e->bytes < 0 || st.st_size != e->bytes)
        return false;
    if (checksum && e->xxh3) {
        uint64_t hash;
        char text[CS_XXH3_HEX];
        if (cs_xxh3_file(path, &hash, NULL) != 0)
            return false;
        snprintf(text, sizeof text, "%016" PRIx64, hash);
        return strcmp(text, e->xxh3) == 0;
    }
    return st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec == e->mtime_ns;
}

// Every file that the line promises. Rows of the table of objects lie in a file that grows.
static bool outputs_there(const struct cs_segments *s, const struct cs_entry *e, const char *out)
{
    struct cs_arena arena = {0};
    const struct cs_json *line;
    const char *text;
    bool there = cs_segments_line(s, e, &arena, &text, &line, NULL) == 0;
    const struct cs_json *outputs = there ? cs_json_get(line, "outputs") : NULL;
    for (const struct cs_json *o = outputs ? outputs->child : NULL; there && o; o = o->next) {
        const char *path = cs_json_text(cs_json_get(o, "path"));
        int64_t bytes = cs_json_int(cs_json_get(o, "bytes"), -1);
        int64_t offset = cs_json_int(cs_json_get(o, "offset"), -1);
        struct stat st;
        char *full =
            path ? cs_xasprintf("%s%s%s", *path == '/' ? "" : out, *path == '/' ? "" : "/", path)
                 : NULL;
        there = full && stat(full, &st) == 0 &&
                (offset >= 0 ? st.st_size >= offset + bytes : bytes < 0 || st.st_size == bytes);
        free(full);
    }
    cs_arena_release(&arena);
    return there;
}

bool cs_resume_done(const struct cs_segments *s, const struct cs_entry *entries, size_t count,
                    const char *path, const char *out, const struct cs_resume_options *options)
{
    if (!count || (entries[0].items > 0 && count < (size_t)entries[0].items))
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct cs_entry *e = &entries[i];
        if (e->status == CS_ENTRY_FAILED && options->retry_failed)
            return false;
        // An input that could not be read at all has no size to compare: it is tried again.
        if (!input_same(e, path, options->checksum) || !outputs_there(s, e, out))
            return false;
    }
    return true;
}

static int by_image(const void *a, const void *b)
{
    const struct cs_entry *const *left = a, *const *right = b;
    int order = strcmp((*left)->image, (*right)->image);
    // Entries of one image lie together in the segments: their addresses keep that order.
    return order ? order : *left < *right ? -1 : *left > *right;
}

static int find_image(const void *key, const void *item)
{
    const struct cs_entry *const *entry = item;
    return strcmp(key, (*entry)->image);
}

int cs_resume_list(const struct cs_segments *s, const char *list, size_t bytes, const char *out,
                   const struct cs_resume_options *options, struct cs_buf *done, struct cs_err *err)
{
    if (bytes && list[bytes - 1])
        return cs_fail(err, CS_EUSAGE, "the list of inputs does not end with a NUL byte");
    const struct cs_entry **sorted = cs_xcalloc(s->count + 1, sizeof *sorted);
    for (size_t i = 0; i < s->count; i++)
        sorted[i] = &s->entries[i];
    qsort(sorted, s->count, sizeof *sorted, by_image);
    for (const char *path = list; path < list + bytes; path += strlen(path) + 1) {
        const struct cs_entry **found = bsearch(path, sorted, s->count, sizeof *sorted, find_image);
        if (!found)
            continue;
        while (found > sorted && strcmp(found[-1]->image, path) == 0)
            found--;
        size_t count = 1;
        while (found + count < sorted + s->count && strcmp(found[count]->image, path) == 0)
            count++;
        if (cs_resume_done(s, found[0], count, path, out, options))
            cs_buf_add(done, path, strlen(path) + 1);
    }
    free(sorted);
    return 0;
}
