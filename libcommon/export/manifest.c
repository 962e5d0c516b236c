// SPDX-License-Identifier: MIT
#include "export/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/io.h"
#include "base/json.h"
#include "base/num.h"

// A group is closed by whichever comes first.
enum { GROUP_ITEMS = 64, GROUP_SECONDS = 5 };

struct cs_manifest {
    char *out;       // the folder, without a slash at its end
    char *rows_name; // below the folder
    char key[17];
    struct cs_meta head;
    int rows_fd, lines_fd;
    uint64_t rows_bytes;              // of the file of rows
    uint64_t item_offset, item_bytes; // rows of the next item
    unsigned item_channels;
    bool item_rows, item_shape;
    struct cs_buf lines; // of the group
    char **files;        // of the group, to be brought to disk
    size_t file_count;
    int items;
    time_t since;
    bool broken; // a group did not reach the disk: nothing more can be promised
};

void cs_manifest_key(const struct cs_meta *head, char key[17])
{
    struct cs_buf text = {0};
    const char *sha = cs_meta_get(head, CS_KEY_MODEL_SHA);
    cs_buf_addf(&text, "%s\n%s\n", CS_VERSION, sha ? sha : "");
    for (int i = 0; i < head->count; i++)
        if (strncmp(head->pairs[i].key, CS_KEY_PROV, strlen(CS_KEY_PROV)) == 0)
            cs_buf_addf(&text, "%s=%s\n", head->pairs[i].key, head->pairs[i].value);
    snprintf(key, 17, "%016llx", (unsigned long long)cs_xxh3(text.data, text.len));
    cs_buf_release(&text);
}

// ---- Opening -------------------------------------------------------------------------------

// Cut off what an earlier process left behind after its last whole line.
static int cut_unfinished(int fd, off_t *bytes)
{
    char block[4096];
    off_t end = *bytes;
    while (end > 0) {
        off_t start = end > (off_t)sizeof block ? end - (off_t)sizeof block : 0;
        if (pread(fd, block, (size_t)(end - start), start) != end - start)
            return -1;
        const char *newline = memrchr(block, '\n', (size_t)(end - start));
        if (newline) {
            end = start + (newline - block) + 1;
            break;
        }
        end = start;
    }
    if (end != *bytes && ftruncate(fd, end) != 0)
        return -1;
    *bytes = end;
    return 0;
}

// Open for appending, alone.
static int open_segment(const char *path, uint64_t *bytes, struct cs_err *err)
{
    struct stat st;
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0)
        return cs_fail_errno(err, CS_EIO, "%s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int failure = errno;
        close(fd);
        if (failure == EWOULDBLOCK)
            return cs_fail(err, CS_EUSAGE, "%s: another process writes it (see --shard-id)", path);
        errno = failure;
        return cs_fail_errno(err, CS_EIO, "%s", path);
    }
    if (fstat(fd, &st) != 0 || cut_unfinished(fd, &st.st_size) != 0) {
        cs_fail_errno(err, CS_EIO, "%s", path);
        close(fd);
        return -1;
    }
    *bytes = (uint64_t)st.st_size;
    return fd;
}

int cs_manifest_open(struct cs_manifest **manifest, const char *out, int64_t shard,
                     const struct cs_meta *head, struct cs_err *err)
{
    struct cs_manifest *m = cs_xcalloc(1, sizeof *m);
    size_t len = strlen(out);
    uint64_t ignored;
    while (len > 1 && out[len - 1] == '/')
        len--;
    m->out = cs_xstrndup(out, len);
    m->rows_name = cs_xasprintf(".cs/%04lld.objects.csv", (long long)shard);
    m->rows_fd = m->lines_fd = -1;
    m->since = time(NULL);
    cs_meta_copy(&m->head, head);
    cs_manifest_key(head, m->key);
    char *rows = cs_xasprintf("%s/%s", m->out, m->rows_name);
    char *lines = cs_xasprintf("%s/.cs/%04lld.manifest.jsonl", m->out, (long long)shard);
    int status = cs_make_parents(lines, err);
    if (status == 0 && (m->lines_fd = open_segment(lines, &ignored, err)) < 0)
        status = -1;
    if (status == 0 && (m->rows_fd = open_segment(rows, &m->rows_bytes, err)) < 0)
        status = -1;
    free(rows);
    free(lines);
    if (status != 0) {
        cs_manifest_close(m, NULL);
        return -1;
    }
    *manifest = m;
    return 0;
}

// ---- One item ------------------------------------------------------------------------------

int cs_manifest_rows(struct cs_manifest *manifest, const char *rows, size_t bytes, bool shape,
                     unsigned channels, struct cs_err *err)
{
    if (!manifest->item_rows)
        manifest->item_offset = manifest->rows_bytes;
    manifest->item_rows = true;
    manifest->item_shape = shape;
    manifest->item_channels = channels;
    if (cs_write_full(manifest->rows_fd, rows, bytes, err) != 0) {
        // What reached the file stays there, promised by nobody.
        off_t end = lseek(manifest->rows_fd, 0, SEEK_END);
        manifest->rows_bytes = end > 0 ? (uint64_t)end : 0;
        manifest->item_rows = false;
        manifest->item_bytes = 0;
        return cs_err_context(err, "%s/%s", manifest->out, manifest->rows_name);
    }
    manifest->rows_bytes += bytes;
    manifest->item_bytes += bytes;
    return 0;
}

void cs_manifest_wrote(struct cs_item *item, const char *kind, const char *path)
{
    char key[32];
    int n = 0;
    do
        snprintf(key, sizeof key, "%s%d", CS_KEY_WROTE, n++);
    while (cs_meta_get(&item->done, key));
    cs_meta_setf(&item->done, key, "%s %s", kind, path);
}

static void put_name(struct cs_buf *out, const char *name)
{
    if (out->len && out->data[out->len - 1] != '{' && out->data[out->len - 1] != '[')
        cs_buf_addc(out, ',');
    cs_json_string(out, name);
    cs_buf_addc(out, ':');
}

static void put_text(struct cs_buf *out, const char *name, const char *text)
{
    if (!text)
        return;
    put_name(out, name);
    cs_json_string(out, text);
}

// A value that is a number where it looks like one: metadata comes as text.
static void put_value(struct cs_buf *out, const char *name, const char *text)
{
    double value;
    int64_t whole;
    if (!text)
        return;
    put_name(out, name);
    if (cs_num_int(text, INT64_MIN / 2, INT64_MAX / 2, name, &whole, NULL) == 0)
        cs_buf_addf(out, "%lld", (long long)whole);
    else if (cs_num_real(text, -1e300, 1e300, name, &value, NULL) == 0)
        cs_json_real(out, value);
    else
        cs_json_string(out, text);
}

// Names with commas between them, "\," being a comma of a name.
static void put_channels(struct cs_buf *out, const char *names)
{
    struct cs_buf name = {0};
    if (!names)
        return;
    put_name(out, "c");
    cs_buf_addc(out, '[');
    for (const char *at = names;; at++) {
        if (*at == '\\' && at[1]) {
            cs_buf_addc(&name, *++at);
        } else if (*at && *at != ',') {
            cs_buf_addc(&name, *at);
        } else {
            cs_json_string(out, name.data ? name.data : "");
            cs_buf_clear(&name);
            if (!*at)
                break;
            cs_buf_addc(out, ',');
        }
    }
    cs_buf_addc(out, ']');
    cs_buf_release(&name);
}

static void put_plane(struct cs_buf *out, const struct cs_meta *begin)
{
    put_name(out, "plane");
    cs_buf_addc(out, '{');
    put_value(out, "series", cs_meta_get(begin, CS_KEY_SERIES));
    put_value(out, "page", cs_meta_get(begin, CS_KEY_PAGE));
    put_value(out, "t", cs_meta_get(begin, CS_KEY_TIME));
    put_value(out, "z", cs_meta_get(begin, CS_KEY_Z));
    put_channels(out, cs_meta_get(begin, CS_KEY_CHANNELS));
    cs_buf_addc(out, '}');
}

static void put_input(struct cs_buf *out, const struct cs_meta *begin)
{
    put_name(out, "input");
    cs_buf_addc(out, '{');
    put_value(out, "bytes", cs_meta_get(begin, CS_KEY_INPUT "bytes"));
    put_value(out, "mtime_ns", cs_meta_get(begin, CS_KEY_INPUT "mtime_ns"));
    put_text(out, "xxh3", cs_meta_get(begin, CS_KEY_INPUT "xxh3"));
    cs_buf_addc(out, '}');
}

static void put_size(struct cs_buf *out, const struct cs_item *item)
{
    for (int p = CS_PLANE_COUNT - 1; p >= 0; p--) {
        const struct cs_image *plane = &item->planes[p];
        if (!plane->height)
            continue;
        put_name(out, "width");
        cs_buf_addf(out, "%u", plane->width);
        put_name(out, "height");
        cs_buf_addf(out, "%u", plane->height);
        return;
    }
}

// The path of a file as the manifest has it: below the folder, where it is there.
static const char *relative(const struct cs_manifest *m, const char *path)
{
    size_t len = strlen(m->out);
    if (strncmp(path, m->out, len) != 0 || path[len] != '/')
        return path;
    for (path += len; *path == '/';)
        path++;
    return path;
}

static int put_file(struct cs_manifest *m, struct cs_buf *out, const char *value,
                    struct cs_err *err)
{
    struct stat st;
    uint64_t hash;
    const char *space = strchr(value, ' ');
    if (!space)
        return cs_fail(err, CS_ESTREAM, "'%s' is no kind and path of a file", value);
    const char *path = space + 1;
    if (stat(path, &st) != 0)
        return cs_fail_errno(err, CS_EIO, "%s", path);
    if (cs_xxh3_file(path, &hash, err) != 0)
        return -1;
    char *kind = cs_xstrndup(value, (size_t)(space - value));
    cs_buf_adds(out, out->data[out->len - 1] == '[' ? "{" : ",{");
    put_text(out, "kind", kind);
    put_text(out, "path", relative(m, path));
    cs_buf_addf(out, ",\"bytes\":%lld,\"xxh3\":\"%016llx\"}", (long long)st.st_size,
                (unsigned long long)hash);
    free(kind);
    m->files = cs_xrealloc(m->files, m->file_count + 1, sizeof *m->files);
    m->files[m->file_count++] = cs_xstrdup(path);
    return 0;
}

// Of a failed item nothing is promised, whatever was written before it failed.
static int put_outputs(struct cs_manifest *m, struct cs_buf *out, const struct cs_item *item,
                       struct cs_err *err)
{
    const struct cs_meta *done = &item->done;
    bool promised = !cs_item_failed(item);
    put_name(out, "outputs");
    cs_buf_addc(out, '[');
    for (int i = 0; promised && i < done->count; i++)
        if (strncmp(done->pairs[i].key, CS_KEY_WROTE, strlen(CS_KEY_WROTE)) == 0 &&
            put_file(m, out, done->pairs[i].value, err) != 0)
            return -1;
    if (promised && m->item_rows) {
        cs_buf_adds(out, out->data[out->len - 1] == '[' ? "{" : ",{");
        put_text(out, "kind", "objects");
        put_text(out, "path", m->rows_name);
        cs_buf_addf(out, ",\"offset\":%llu,\"bytes\":%llu,\"shape\":%s,\"channels\":%u}",
                    (unsigned long long)m->item_offset, (unsigned long long)m->item_bytes,
                    m->item_shape ? "true" : "false", m->item_channels);
    }
    cs_buf_addc(out, ']');
    return 0;
}

static void put_stages(struct cs_manifest *m, struct cs_buf *out, const struct cs_item *item)
{
    const struct cs_meta *done = &item->done;
    const char *precision = cs_meta_get(done, CS_KEY_PRECISION); // where the item's own differs
    put_text(out, "model", cs_meta_get(&m->head, CS_KEY_MODEL));
    put_text(out, "model_sha256", cs_meta_get(&m->head, CS_KEY_MODEL_SHA));
    put_text(out, "device", cs_meta_get(&m->head, CS_KEY_DEVICE));
    put_text(out, "precision", precision ? precision : cs_meta_get(&m->head, CS_KEY_PRECISION));
    put_value(out, "batch", cs_meta_get(&m->head, CS_KEY_BATCH));
    put_value(out, "tries", cs_meta_get(done, CS_KEY_TRIES));
    if (cs_item_failed(item)) {
        put_name(out, "error");
        cs_buf_addc(out, '{');
        put_text(out, "code", cs_meta_get(done, CS_KEY_ERROR_CODE));
        put_text(out, "stage", cs_meta_get(done, CS_KEY_ERROR_STAGE));
        put_text(out, "text", cs_meta_get(done, CS_KEY_ERROR_TEXT));
        cs_buf_addc(out, '}');
    }
    put_name(out, "ms");
    cs_buf_addc(out, '{');
    for (int i = 0; i < done->count; i++)
        if (strncmp(done->pairs[i].key, CS_KEY_MS, strlen(CS_KEY_MS)) == 0)
            put_value(out, done->pairs[i].key + strlen(CS_KEY_MS), done->pairs[i].value);
    cs_buf_addc(out, '}');
}

static int put_line(struct cs_manifest *m, struct cs_buf *out, const struct cs_item *item,
                    struct cs_err *err)
{
    const struct cs_meta *begin = &item->begin;
    const char *source = cs_meta_get(begin, CS_KEY_SOURCE);
    const char *index = cs_meta_get(begin, CS_KEY_INPUT "index");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    cs_buf_adds(out, "{\"v\":1");
    put_name(out, "n");
    if (index && *index && strspn(index, "0123456789") == strlen(index))
        cs_buf_adds(out, index);
    else
        cs_buf_addf(out, "%llu", (unsigned long long)item->number);
    put_text(out, "image", source ? source : "");
    put_text(out, "name", cs_meta_get(begin, CS_KEY_OUTPUT));
    put_value(out, "items", cs_meta_get(begin, CS_KEY_ITEMS));
    put_plane(out, begin);
    put_text(out, "status", cs_meta_get(&item->done, CS_KEY_STATUS));
    if (!cs_item_failed(item))
        put_value(out, "objects", cs_meta_get(&item->done, CS_KEY_OBJECTS));
    put_size(out, item);
    put_value(out, "pixel_um", cs_meta_get(begin, CS_KEY_PIXEL));
    put_value(out, "pixel_um_y", cs_meta_get(begin, CS_KEY_PIXEL_Y));
    put_input(out, begin);
    put_text(out, "key", m->key);
    if (put_outputs(m, out, item, err) != 0)
        return -1;
    put_stages(m, out, item);
    put_name(out, "time_ms");
    cs_buf_addf(out, "%lld}\n", (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000);
    return 0;
}

// ---- Groups --------------------------------------------------------------------------------

static int sync_path(const char *path, struct cs_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL)) {
        cs_fail_errno(err, CS_EIO, "%s", path);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    close(fd);
    return 0;
}

// Files, then the folders that name them (each once in a row), then rows, then the lines.
static int close_group(struct cs_manifest *m, struct cs_err *err)
{
    int status = 0;
    char *last = NULL;
    for (size_t i = 0; i < m->file_count; i++) {
        if (status == 0)
            status = sync_path(m->files[i], err);
        char *slash = strrchr(m->files[i], '/');
        char *folder = slash ? cs_xstrndup(m->files[i], (size_t)(slash - m->files[i])) : NULL;
        if (status == 0 && folder && (!last || strcmp(last, folder) != 0))
            status = sync_path(*folder ? folder : "/", err);
        free(last);
        last = folder;
        free(m->files[i]);
    }
    free(last);
    m->file_count = 0;
    if (status == 0 && m->lines.len) {
        if (fdatasync(m->rows_fd) != 0 && errno != EINVAL)
            status = cs_fail_errno(err, CS_EIO, "%s/%s", m->out, m->rows_name);
        if (status == 0 && cs_write_full(m->lines_fd, m->lines.data, m->lines.len, err) != 0) {
            cs_err_context(err, "%s: manifest", m->out);
            status = -1;
        }
        if (status == 0 && fdatasync(m->lines_fd) != 0 && errno != EINVAL)
            status = cs_fail_errno(err, CS_EIO, "%s: manifest", m->out);
    }
    cs_buf_clear(&m->lines);
    m->items = 0;
    m->since = time(NULL);
    m->broken = status != 0;
    return status;
}

int cs_manifest_item(struct cs_manifest *manifest, const struct cs_item *item, struct cs_err *err)
{
    size_t before = manifest->lines.len;
    if (manifest->broken)
        return cs_fail(err, CS_EIO, "%s: the manifest cannot be written", manifest->out);
    int status = put_line(manifest, &manifest->lines, item, err);
    manifest->item_rows = false;
    manifest->item_bytes = 0;
    if (status != 0) {
        manifest->lines.len = before;
        return -1;
    }
    if (++manifest->items >= GROUP_ITEMS || time(NULL) - manifest->since >= GROUP_SECONDS)
        return close_group(manifest, err);
    return 0;
}

int cs_manifest_close(struct cs_manifest *manifest, struct cs_err *err)
{
    int status = 0;
    if (!manifest)
        return 0;
    if (manifest->lines_fd >= 0 && manifest->rows_fd >= 0)
        status = close_group(manifest, err);
    if (manifest->rows_fd >= 0)
        close(manifest->rows_fd);
    if (manifest->lines_fd >= 0)
        close(manifest->lines_fd);
    cs_meta_release(&manifest->head);
    cs_buf_release(&manifest->lines);
    free(manifest->files);
    free(manifest->out);
    free(manifest->rows_name);
    free(manifest);
    return status;
}
