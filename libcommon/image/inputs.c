// SPDX-License-Identifier: MIT
#include "image/inputs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/line.h"
#include "base/mem.h"
#include "base/num.h"

enum { MAX_DEPTH = 256 };
#define MAX_LIST_BYTES ((size_t)4 << 30)

// Longest first where one ends another.
static const char *const extensions[] = {".ome.tiff", ".ome.tif", ".ome.tf8", ".ome.btf", ".tiff",
                                         ".tif",      ".tf8",     ".btf",     ".png",     ".jpeg",
                                         ".jpg",      ".bmp",     ".npy"};

static size_t extension_length(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++) {
        size_t n = strlen(extensions[i]);
        if (len > n && strcasecmp(name + len - n, extensions[i]) == 0)
            return n;
    }
    return 0;
}

char *cs_output_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    size_t cut = extension_length(name);
    const char *dot = strrchr(name, '.');
    if (!cut && dot && dot > name)
        cut = strlen(dot);
    return cs_xstrndup(path, strlen(path) - cut);
}

int cs_shard_parse(struct cs_inputs_options *options, const char *text, struct cs_err *err)
{
    const char *slash = strchr(text, '/');
    char *head = slash ? cs_xstrndup(text, (size_t)(slash - text)) : NULL;
    int64_t shard, shards;
    int status = slash && cs_num_int(slash + 1, 1, 1000000, "--shard", &shards, NULL) == 0 &&
                         cs_num_int(head, 1, shards, "--shard", &shard, NULL) == 0
                     ? 0
                     : -1;
    free(head);
    if (status != 0)
        return cs_fail(err, CS_EUSAGE, "--shard: '%s' is not I/N with I from 1 to N", text);
    options->shard = (uint64_t)shard;
    options->shards = (uint64_t)shards;
    return 0;
}

// ---- Filters -------------------------------------------------------------------------------

static bool matches(const char *const *patterns, int count, const char *relative)
{
    const char *slash = strrchr(relative, '/');
    for (int i = 0; i < count; i++)
        if (fnmatch(patterns[i],
                    strchr(patterns[i], '/') ? relative
                    : slash                  ? slash + 1
                                             : relative,
                    0) == 0)
            return true;
    return false;
}

static bool wanted(const struct cs_inputs_options *options, const char *relative, bool named)
{
    if (matches(options->exclude, options->exclude_count, relative))
        return false;
    if (options->include_count)
        return matches(options->include, options->include_count, relative);
    return named || extension_length(relative) > 0 ||
           cs_decoder_find(options->decoders, options->decoder_count, relative);
}

// Takes over path and output.
static void add(struct cs_inputs *inputs, char *path, char *output)
{
    if ((inputs->count & (inputs->count - 1)) == 0)
        inputs->list =
            cs_xrealloc(inputs->list, inputs->count ? 2 * inputs->count : 1, sizeof *inputs->list);
    inputs->list[inputs->count] = (struct cs_input){.path = path, .output = output};
    inputs->count++;
}

// ---- Folders -------------------------------------------------------------------------------

struct walk {
    struct cs_inputs *inputs;
    const struct cs_inputs_options *options;
    size_t root; // bytes of every path before the part that is relative
    struct {
        dev_t device;
        ino_t inode;
    } above[MAX_DEPTH]; // the folders that we are in: a link to one of them is a loop
};

static int walk_folder(struct walk *walk, const char *path, int depth, struct cs_err *err);

static bool exists_beside(const char *path, const char *name)
{
    struct stat st;
    const char *slash = strrchr(path, '/');
    char *beside = cs_xasprintf("%.*s/%s", (int)(slash - path), path, name);
    bool there = stat(beside, &st) == 0;
    free(beside);
    return there;
}

// A folder of pictures that an earlier run made: they are no images to work on. Images beside it
// are.
static bool is_result(const char *folder)
{
    static const char *const names[] = {"labels", "masks", "overlays", "probability", "images"};
    const char *slash = strrchr(folder, '/');
    for (size_t i = 0; slash && i < sizeof names / sizeof *names; i++)
        if (strcmp(slash + 1, names[i]) == 0)
            return exists_beside(folder, ".cs") && exists_beside(folder, "run.json");
    return false;
}

// What cannot be looked at stands in the list itself: reading it fails, and says why.
static void add_unreadable(struct walk *walk, const char *path)
{
    size_t len = strlen(path);
    const char *name = len > walk->root ? path + walk->root : "folder";
    add(walk->inputs, cs_xstrdup(path),
        extension_length(name) ? cs_output_name(name) : cs_xstrdup(name));
}

// A link that leads nowhere, or what is gone since it was listed.
static bool is_nothing(int error)
{
    return error == ENOENT || error == ENOTDIR || error == ELOOP;
}

static int visit(struct walk *walk, char *path, int depth, struct cs_err *err)
{
    struct stat st;
    const char *relative = path + walk->root;
    if (stat(path, &st) != 0) {
        if (!is_nothing(errno) &&
            !matches(walk->options->exclude, walk->options->exclude_count, relative))
            add_unreadable(walk, path);
        return 0;
    }
    if (S_ISDIR(st.st_mode)) {
        if (matches(walk->options->exclude, walk->options->exclude_count, relative) ||
            is_result(path))
            return 0;
        return walk_folder(walk, path, depth + 1, err);
    }
    if (S_ISREG(st.st_mode) && wanted(walk->options, relative, false))
        add(walk->inputs, cs_xstrdup(path), cs_output_name(relative));
    return 0;
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int walk_folder(struct walk *walk, const char *path, int depth, struct cs_err *err)
{
    struct stat st;
    struct dirent **entries = NULL;
    if (stat(path, &st) != 0) {
        if (!is_nothing(errno))
            add_unreadable(walk, path);
        return 0;
    }
    for (int i = 0; i < depth; i++)
        if (walk->above[i].device == st.st_dev && walk->above[i].inode == st.st_ino)
            return 0;
    if (depth == MAX_DEPTH)
        return cs_fail(err, CS_EIO, "%s: folders are nested too deeply", path);
    walk->above[depth].device = st.st_dev;
    walk->above[depth].inode = st.st_ino;
    int count = scandir(path, &entries, visible, NULL);
    if (count < 0) {
        add_unreadable(walk, path);
        return 0;
    }
    int status = 0;
    for (int i = 0; i < count; i++) {
        const char *between = path[strlen(path) - 1] == '/' ? "" : "/";
        char *inner = cs_xasprintf("%s%s%s", path, between, entries[i]->d_name);
        if (status == 0)
            status = visit(walk, inner, depth, err);
        free(inner);
        free(entries[i]);
    }
    free(entries);
    return status;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct cs_input *)a)->path, ((const struct cs_input *)b)->path);
}

// A file by its name. Behind the last "/./" begins what its output is called; the path goes
// without.
static void add_file(struct cs_inputs *inputs, const char *path)
{
    const char *name = path, *slash = strrchr(path, '/'), *mark = strstr(path, "/./");
    for (const char *next = mark; next; next = strstr(next + 1, "/./"))
        mark = next;
    if (mark && mark[3]) {
        size_t root = (size_t)(mark - path) + 1;
        add(inputs, cs_xasprintf("%.*s%s", (int)root, path, mark + 3), cs_output_name(mark + 3));
        return;
    }
    if (slash && slash[1])
        name = slash + 1;
    add(inputs, cs_xstrdup(path), cs_output_name(name));
}

int cs_inputs_add(struct cs_inputs *inputs, const char *path,
                  const struct cs_inputs_options *options, struct cs_err *err)
{
    struct stat st;
    if (strcmp(path, "-") == 0) {
        add(inputs, cs_xstrdup("-"), cs_xstrdup("stdin"));
        return 0;
    }
    if (!*path || stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        if (wanted(options, path, true))
            add_file(inputs, path);
        return 0;
    }
    struct walk walk = {.inputs = inputs, .options = options};
    size_t before = inputs->count, len = strlen(path);
    walk.root = len + (path[len - 1] != '/');
    if (walk_folder(&walk, path, 0, err) != 0)
        return -1;
    if (inputs->count > before)
        qsort(inputs->list + before, inputs->count - before, sizeof *inputs->list, by_path);
    return 0;
}

// ---- Lists ---------------------------------------------------------------------------------

int cs_inputs_add_list(struct cs_inputs *inputs, const char *file, bool nul,
                       const struct cs_inputs_options *options, struct cs_err *err)
{
    struct cs_buf text = {0};
    bool standard = strcmp(file, "-") == 0;
    int status = cs_read_file(standard ? "/dev/stdin" : file, MAX_LIST_BYTES, &text, err);
    size_t at = 0;
    if (status == 0 && text.len > 3 && memcmp(text.data, "\xef\xbb\xbf", 3) == 0)
        at = 3; // the byte order mark that some editors write
    while (status == 0 && at < text.len) {
        char *line = text.data + at;
        char *end = memchr(line, nul ? '\0' : '\n', text.len - at);
        size_t len = end ? (size_t)(end - line) : text.len - at;
        at += len + 1;
        line[len] = '\0';
        if (!nul && len && line[len - 1] == '\r')
            line[len - 1] = '\0';
        if (!nul)
            cs_line_name(line);
        if (standard && strcmp(line, "-") == 0)
            status = cs_fail(err, CS_EUSAGE, "standard input cannot be both list and image");
        else if (*line)
            status = cs_inputs_add(inputs, line, options, err);
    }
    cs_buf_release(&text);
    return status;
}

// ---- The whole list ------------------------------------------------------------------------

static int by_output(const void *a, const void *b)
{
    const struct cs_input *const *x = a, *const *y = b;
    return strcmp((*x)->output, (*y)->output);
}

// Bytes of a name before what cs_plan_item appends where a file gives several items: ".t004",
// ".z012", ".p123". All of them where it ends otherwise.
static size_t without_suffix(const char *name, size_t len)
{
    size_t at = len;
    while (at && isdigit((unsigned char)name[at - 1]))
        at--;
    bool suffix = len - at >= 3 && at > 2 && strchr("tzp", name[at - 1]) && name[at - 2] == '.';
    return suffix ? at - 2 : len;
}

struct name {
    const char *text;
    size_t len;
};

static int by_name(const void *key, const void *element)
{
    const struct name *name = key;
    const char *output = (*(struct cs_input *const *)element)->output;
    int order = strncmp(name->text, output, name->len);
    return order ? order : -(output[name->len] != '\0');
}

// Tell the inputs whose items could be named as this one, or as one of its items.
static void find_namesakes(struct cs_input **sorted, size_t count, const struct cs_input *input)
{
    struct name name = {input->output, strlen(input->output)};
    for (size_t len; (len = without_suffix(name.text, name.len)) < name.len;) {
        name.len = len;
        struct cs_input **found = bsearch(&name, sorted, count, sizeof(struct cs_input *), by_name);
        if (found && !(*found)->namesake)
            (*found)->namesake = cs_xstrdup(input->path);
    }
}

static int check_outputs(struct cs_inputs *inputs, struct cs_err *err)
{
    struct cs_input **sorted = cs_xcalloc(inputs->count, sizeof *sorted);
    int status = 0;
    for (size_t i = 0; i < inputs->count; i++)
        sorted[i] = &inputs->list[i];
    qsort(sorted, inputs->count, sizeof *sorted, by_output);
    for (size_t i = 1; i < inputs->count && status == 0; i++)
        if (strcmp(sorted[i - 1]->output, sorted[i]->output) == 0)
            status = cs_fail(err, CS_EUSAGE,
                             "%s and %s would both be named '%s': choose with --exclude, or "
                             "give a folder above both",
                             sorted[i - 1]->path, sorted[i]->path, sorted[i]->output);
    for (size_t i = 0; i < inputs->count; i++)
        find_namesakes(sorted, inputs->count, sorted[i]);
    free(sorted);
    return status;
}

int cs_input_check_items(const struct cs_input *input, uint32_t items, struct cs_err *err)
{
    if (items < 2 || !input->namesake)
        return 0;
    return cs_fail(err, CS_EINPUT,
                   "its %u items could be named as %s: choose with --exclude, or rename one", items,
                   input->namesake);
}

void cs_input_release(struct cs_input *input)
{
    free(input->path);
    free(input->output);
    free(input->namesake);
    *input = (struct cs_input){0};
}

static void keep(struct cs_inputs *inputs, size_t *kept, size_t from)
{
    struct cs_input input = inputs->list[from];
    if (*kept != from) {
        // What lies at the target was dropped before.
        inputs->list[*kept] = input;
        inputs->list[from] = (struct cs_input){0};
    }
    (*kept)++;
}

int cs_inputs_finish(struct cs_inputs *inputs, const struct cs_inputs_options *options,
                     struct cs_err *err)
{
    if (inputs->count && check_outputs(inputs, err) != 0)
        return -1;
    for (size_t i = 0; i < inputs->count; i++)
        inputs->list[i].index = i;
    if (options->sample && options->sample < inputs->count) {
        // The middle file of each of `sample` equal parts.
        size_t kept = 0, total = inputs->count;
        for (size_t i = 0; i < total; i++) {
            size_t middle = (2 * kept + 1) * total / (2 * options->sample);
            if (kept < options->sample && i == middle)
                keep(inputs, &kept, i);
            else
                cs_input_release(&inputs->list[i]);
        }
        inputs->count = kept;
    }
    if (options->shards > 1) {
        // Every Nth: neighbours are often alike in size, and so are the shards then.
        size_t kept = 0, total = inputs->count;
        for (size_t i = 0; i < total; i++) {
            if (i % options->shards == options->shard - 1)
                keep(inputs, &kept, i);
            else
                cs_input_release(&inputs->list[i]);
        }
        inputs->count = kept;
    }
    if (!inputs->count)
        return cs_fail(err, CS_ENOINPUT, "no input images (other formats need --decoder)");
    return 0;
}

void cs_inputs_release(struct cs_inputs *inputs)
{
    for (size_t i = 0; i < inputs->count; i++)
        cs_input_release(&inputs->list[i]);
    free(inputs->list);
    *inputs = (struct cs_inputs){0};
}
