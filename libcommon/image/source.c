// SPDX-License-Identifier: MIT
#include "image/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "image/imagej.h"
#include "image/ome.h"

// Copy what a pipe holds and put the copy in its place.
static int spool(struct cs_source *source, struct cs_err *err)
{
    enum { CHUNK = 1 << 18 };
    int copy = cs_scratch_open(NULL, err), status = -1;
    char *block = cs_xmalloc(CHUNK);
    ssize_t n = 0;
    while (copy >= 0 && (n = cs_read_full(source->fd, block, CHUNK, err)) > 0)
        if (cs_write_full(copy, block, (size_t)n, err) != 0) {
            cs_err_context(err, "scratch folder");
            break;
        }
    if (copy >= 0 && n == 0)
        status = 0;
    free(block);
    if (source->fd > STDIN_FILENO)
        close(source->fd);
    source->fd = copy;
    return status;
}

static int open_file(struct cs_source *source, struct cs_err *err)
{
    struct stat st;
    if (source->fd < 0 || fstat(source->fd, &st) != 0)
        return cs_fail_errno(err, CS_EIO, "cannot be read");
    if (S_ISDIR(st.st_mode))
        return cs_fail(err, CS_EIO, "is a folder");
    // Such a file may have no end.
    if ((S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) && source->fd != STDIN_FILENO)
        return cs_fail(err, CS_EIO, "is a device");
    if (!S_ISREG(st.st_mode)) {
        if (spool(source, err) != 0 || fstat(source->fd, &st) != 0)
            return err && err->code ? -1 : cs_fail_errno(err, CS_EIO, "cannot be read");
    } else {
        source->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    }
    source->bytes = (uint64_t)st.st_size;
    return 0;
}

static int find_codec(struct cs_source *source, struct cs_err *err)
{
    uint8_t head[CS_CODEC_SNIFF_BYTES];
    size_t bytes = source->bytes < sizeof head ? (size_t)source->bytes : sizeof head;
    if (bytes == 0)
        return cs_fail(err, CS_EINPUT, "the file is empty");
    if (cs_codec_pread(source->fd, head, bytes, 0, err) != 0)
        return -1;
    source->codec = cs_codec_find(head, bytes);
    return source->codec ? 0
                         : cs_fail(err, CS_EINPUT, "no known image format (%s)", cs_codec_names());
}

// Another file of the set, beside this one. -1 with CS_EINPUT or CS_EIO.
static int open_beside(struct cs_source *other, const struct cs_source *source, const char *name,
                       uint64_t taken, struct cs_err *err)
{
    struct stat st;
    char *path = cs_xasprintf("%s%s", source->folder, name);
    *other = (struct cs_source){.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK),
                                .room = cs_room_less(&source->room, taken)};
    free(path);
    // Not a device or a pipe, which a description could name to be read without end.
    if (other->fd >= 0 && fstat(other->fd, &st) == 0 && !S_ISREG(st.st_mode))
        return cs_fail(err, CS_EINPUT, "is no file");
    return open_file(other, err);
}

// What OME-XML takes at most while it is read: names of elements and of attributes weigh most.
enum { OME_WEIGHT = 32 };

static uint64_t held(const struct cs_source *source)
{
    return source->codec && source->codec->held ? source->codec->held(source->file) : 0;
}

static int check_ome(const struct cs_source *source, uint64_t bytes, struct cs_err *err)
{
    return cs_room_check(&source->room, held(source) + bytes * OME_WEIGHT, "OME-XML", err);
}

// The text of the file that describes the set: XML, or the description of an image.
static int master_text(struct cs_source *master, struct cs_buf *text, struct cs_err *err)
{
    if (find_codec(master, NULL) == 0) {
        if (master->codec->open(&master->file, master->fd, master->bytes, &master->room, err) != 0)
            return -1;
        const char *description = master->codec->description(master->file);
        if (check_ome(master, description ? strlen(description) : 0, err) != 0)
            return -1;
        cs_buf_adds(text, description ? description : "");
        return 0;
    }
    if (master->bytes > CS_MAX_OME_BYTES)
        return cs_fail(err, CS_EINPUT, "OME-XML of more than %d MiB", CS_MAX_OME_BYTES >> 20);
    if (check_ome(master, master->bytes, err) != 0)
        return -1;
    char *bytes = cs_xmalloc((size_t)master->bytes + 1);
    int status = cs_codec_pread(master->fd, bytes, (size_t)master->bytes, 0, err);
    if (status == 0)
        cs_buf_add(text, bytes, strnlen(bytes, (size_t)master->bytes));
    free(bytes);
    return status;
}

// The layout names the file that describes the axes: read them there. A layout that names none has
// its error already.
static int read_master(struct cs_source *source, const char *name, struct cs_err *err)
{
    struct cs_source other = {.fd = -1};
    struct cs_buf text = {0};
    struct cs_layout pointer = source->layout;
    if (!pointer.master || !source->folder || !*pointer.master)
        return -1;
    source->layout = (struct cs_layout){.room = &source->room};
    *err = (struct cs_err){0};
    int status = open_beside(&other, source, pointer.master, held(source), err);
    if (status == 0)
        status = master_text(&other, &text, err);
    if (status == 0)
        status = cs_ome_parse(&source->layout, text.data ? text.data : "", text.len, name,
                              pointer.uuid, source->pages, err);
    if (status != 0)
        cs_err_context(err, "%s of the set", pointer.master);
    cs_buf_release(&text);
    cs_source_close(&other);
    cs_layout_release(&pointer);
    return status;
}

// The axes that the description tells of, if any.
static void read_layout(struct cs_source *source, const char *name)
{
    const char *text = source->codec->description(source->file);
    struct cs_err *err = &source->layout_err;
    source->layout.room = &source->room;
    if (source->codec->layout && source->codec->layout(source->file, &source->layout, err) != 0)
        return;
    if (source->layout.count || !text) {
        source->intensities = source->layout.count;
        return;
    }
    if (cs_ome_sniff(text)) {
        source->intensities = true;
        if (check_ome(source, strlen(text), err) != 0 ||
            (cs_ome_parse(&source->layout, text, strlen(text), name, NULL, source->pages, err) !=
                 0 &&
             read_master(source, name, err) != 0))
            cs_layout_release(&source->layout);
    } else if (cs_imagej_sniff(text)) {
        source->intensities = true;
        if (cs_imagej_parse(&source->layout, text, source->pages, err) != 0)
            cs_layout_release(&source->layout);
    }
    uint32_t planes = source->layout.planes;
    if (planes > source->pages && source->codec->extend &&
        source->codec->extend(source->file, planes, err) != 0)
        cs_layout_release(&source->layout);
    source->pages = source->codec->pages(source->file);
}

static int open_pages(struct cs_source *source, struct cs_err *err)
{
    if (find_codec(source, err) != 0 ||
        source->codec->open(&source->file, source->fd, source->bytes, &source->room, err) != 0)
        return -1;
    source->pages = source->codec->pages(source->file);
    return 0;
}

// name: of the file; NULL unknown.
static int open_source(struct cs_source *source, const char *name, struct cs_err *err)
{
    struct cs_err local = {0};
    err = err ? err : &local;
    err->code = CS_OK;
    if (open_file(source, err) != 0 || open_pages(source, err) != 0)
        return -1;
    read_layout(source, name);
    return 0;
}

int cs_source_open_other(struct cs_source *other, const struct cs_source *source, uint32_t file,
                         uint64_t taken, struct cs_err *err)
{
    const char *name = source->layout.files[file - 1];
    *other = (struct cs_source){.fd = -1};
    if (!source->folder)
        return cs_fail(err, CS_EINPUT, "the plane is in %s, another file of the set", name);
    if (open_beside(other, source, name, taken, err) == 0 && open_pages(other, err) == 0)
        return 0;
    cs_source_close(other);
    return cs_err_context(err, "%s of the set", name);
}

static struct cs_room room_or_none(const struct cs_room *room)
{
    return room ? *room : (struct cs_room){0};
}

int cs_source_open(struct cs_source *source, const char *path, const struct cs_room *room,
                   struct cs_err *err)
{
    bool standard = strcmp(path, "-") == 0;
    const char *slash = strrchr(path, '/');
    *source = (struct cs_source){.fd = STDIN_FILENO, .room = room_or_none(room)};
    if (!standard) {
        source->fd = open(path, O_RDONLY | O_CLOEXEC);
        source->folder = cs_xstrndup(path, slash ? (size_t)(slash + 1 - path) : 0);
    }
    return open_source(source, standard ? NULL : slash ? slash + 1 : path, err);
}

int cs_source_open_fd(struct cs_source *source, int fd, const struct cs_room *room,
                      struct cs_err *err)
{
    *source = (struct cs_source){.fd = fd, .room = room_or_none(room)};
    return open_source(source, NULL, err);
}

void cs_source_close(struct cs_source *source)
{
    if (source->codec && source->file)
        source->codec->close(source->file);
    if (source->fd > STDIN_FILENO)
        close(source->fd);
    cs_layout_release(&source->layout);
    free(source->folder);
    *source = (struct cs_source){.fd = -1};
}
