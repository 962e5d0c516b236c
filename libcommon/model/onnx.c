// SPDX-License-Identifier: MIT
// An ONNX file, mapped, and what is kept of it while its graph lives.
#include "model/onnx.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "model/onnx_graph.h"

struct cs_onnx {
    struct cs_onnx_store store;
    void *map; // the file, where weights stay in it
    size_t map_bytes;
};

// Takes the file over, which is freed on failure.
static int parse_into(struct cs_onnx *made, const void *bytes, size_t size, const char *folder,
                      struct cs_graph *graph, struct cs_onnx **file, struct cs_err *err)
{
    *graph = (struct cs_graph){0};
    made->store.folder = folder;
    int result = cs_onnx_graph_read(&made->store, bytes, size, graph, err);
    made->store.folder = NULL; // borrowed from the caller
    if (result < 0) {
        cs_graph_release(graph);
        cs_onnx_free(made);
        return -1;
    }
    *file = made;
    return 0;
}

int cs_onnx_parse(const void *bytes, size_t size, const char *folder, struct cs_graph *graph,
                  struct cs_onnx **file, struct cs_err *err)
{
    return parse_into(cs_xcalloc(1, sizeof **file), bytes, size, folder, graph, file, err);
}

static int map_file(const char *path, void **map, size_t *bytes, struct cs_err *err)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return cs_fail_errno(err, CS_EIO, "%s", path);
    if (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode) || info.st_size == 0) {
        close(fd);
        return cs_fail(err, CS_EMODEL, "%s: empty or not a regular file", path);
    }
    *bytes = (size_t)info.st_size;
    *map = mmap(NULL, *bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    int saved = errno;
    close(fd);
    errno = saved;
    return *map == MAP_FAILED ? cs_fail_errno(err, CS_EIO, "%s", path) : 0;
}

static int read_file(const char *path, bool lends, struct cs_graph *graph, struct cs_onnx **file,
                     struct cs_err *err)
{
    void *map;
    size_t bytes = 0;
    if (map_file(path, &map, &bytes, err) < 0)
        return -1;
    struct cs_onnx *made = cs_xcalloc(1, sizeof *made);
    made->store.lends = lends;
    if (lends) {
        made->map = map;
        made->map_bytes = bytes;
    }
    const char *slash = strrchr(path, '/');
    char *folder =
        slash ? cs_xstrndup(path, slash == path ? 1 : (size_t)(slash - path)) : cs_xstrdup(".");
    int result = parse_into(made, map, bytes, folder, graph, file, err);
    free(folder);
    if (!lends)
        munmap(map, bytes);
    else if (result == 0)
        cs_onnx_rest(*file);
    return result < 0 ? cs_err_context(err, "%s", path) : 0;
}

int cs_onnx_read(const char *path, struct cs_graph *graph, struct cs_onnx **file,
                 struct cs_err *err)
{
    return read_file(path, false, graph, file, err);
}

int cs_onnx_map(const char *path, struct cs_graph *graph, struct cs_onnx **file, struct cs_err *err)
{
    return read_file(path, true, graph, file, err);
}

const char *cs_onnx_external(const struct cs_onnx *file, int index)
{
    return index >= 0 && index < file->store.map_count ? file->store.maps[index].path : NULL;
}

void cs_onnx_free(struct cs_onnx *file)
{
    if (!file)
        return;
    cs_onnx_store_release(&file->store);
    if (file->map)
        munmap(file->map, file->map_bytes);
    free(file);
}

void cs_onnx_rest(const struct cs_onnx *file)
{
    if (file->map)
        madvise(file->map, file->map_bytes, MADV_DONTNEED);
    for (int i = 0; i < file->store.map_count; i++)
        if (file->store.maps[i].bytes)
            madvise(file->store.maps[i].data, file->store.maps[i].bytes, MADV_DONTNEED);
}

size_t cs_onnx_bytes(const struct cs_onnx *file)
{
    return cs_arena_bytes(&file->store.arena);
}
