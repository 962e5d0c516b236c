// SPDX-License-Identifier: MIT
// Samples of a tensor may lie in raw_data, in one of the typed lists, or in an external file. They
// are copied or converted into the store, but for large ones that may stay in the file.
#include "model/onnx_tensor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "image/image.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "raw tensors are little-endian");

// Numbers of ONNX's TensorProto.DataType and TensorProto.DataLocation.
enum { FLOAT32 = 1, INT32 = 6, INT64 = 7, BOOL = 9, FLOAT16 = 10, FLOAT64 = 11 };
enum { EXTERNAL = 1 };
enum { LARGE_BYTES = 64 << 10 }; // from here on samples may stay in the file

static const int64_t MAX_ELEMENTS = INT64_C(1) << 33;

enum cs_type cs_onnx_type(int data_type)
{
    switch (data_type) {
    case FLOAT32:
        return CS_TYPE_F32;
    case INT32:
        return CS_TYPE_I32;
    case INT64:
        return CS_TYPE_I64;
    case BOOL:
        return CS_TYPE_BOOL;
    default:
        return CS_TYPE_NONE;
    }
}

static size_t stored_bytes(int data_type)
{
    return data_type == FLOAT64   ? 8
           : data_type == FLOAT16 ? 2
                                  : cs_type_bytes(cs_onnx_type(data_type));
}

static int fail(const Onnx__TensorProto *proto, struct cs_err *err, const char *reason)
{
    return cs_fail(err, CS_EMODEL, "tensor \"%.120s\": %s", proto->name ? proto->name : "", reason);
}

// ---- External files ------------------------------------------------------------------------

void cs_onnx_store_release(struct cs_onnx_store *store)
{
    for (int i = 0; i < store->map_count; i++) {
        free(store->maps[i].path);
        if (store->maps[i].bytes)
            munmap(store->maps[i].data, store->maps[i].bytes);
    }
    store->map_count = 0;
    cs_arena_release(&store->arena);
}

// A relative path that stays below its folder whatever it is called.
static bool path_is_tame(const char *path)
{
    if (!*path || *path == '/' || strchr(path, '\\'))
        return false;
    for (const char *part = path; part;) {
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0'))
            return false;
        part = strchr(part, '/');
        part = part ? part + 1 : NULL;
    }
    return true;
}

// Follows links, and refuses those that lead out of the folder.
static bool is_below(const char *folder, const char *path)
{
    char top[PATH_MAX], file[PATH_MAX];
    if (!realpath(folder, top) || !realpath(path, file))
        return false;
    size_t len = strlen(top);
    return strncmp(file, top, len) == 0 && (file[len] == '/' || strcmp(top, "/") == 0);
}

static int map_file(const char *path, struct cs_onnx_map *map, struct cs_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat info;
    if (fd < 0)
        return cs_fail_errno(err, CS_EMODEL, "external weights %s", path);
    if (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode)) {
        close(fd);
        return cs_fail(err, CS_EMODEL, "external weights %s: not a regular file", path);
    }
    map->bytes = (size_t)info.st_size;
    map->data = map->bytes ? mmap(NULL, map->bytes, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    int saved = errno;
    close(fd);
    errno = saved;
    if (map->data == MAP_FAILED)
        return cs_fail_errno(err, CS_ENOMEM, "external weights %s", path);
    return 0;
}

static int find_map(struct cs_onnx_store *store, const char *location, struct cs_onnx_map **map,
                    struct cs_err *err)
{
    for (int i = 0; i < store->map_count; i++)
        if (strcmp(store->maps[i].path, location) == 0) {
            *map = &store->maps[i];
            return 0;
        }
    if (!store->folder)
        return cs_fail(err, CS_EMODEL, "external weights are not possible here");
    if (!path_is_tame(location))
        return cs_fail(err, CS_EMODEL, "external weights \"%.200s\" leave the model's folder",
                       location);
    if (store->map_count == CS_ONNX_MAX_FILES)
        return cs_fail(err, CS_EMODEL, "more than %d files of external weights", CS_ONNX_MAX_FILES);
    *map = &store->maps[store->map_count];
    char *path = cs_xasprintf("%s/%s", store->folder, location);
    int result = map_file(path, *map, err);
    if (result == 0 && !is_below(store->folder, path)) {
        if ((*map)->bytes)
            munmap((*map)->data, (*map)->bytes);
        result = cs_fail(err, CS_EMODEL, "external weights \"%.200s\" leave the model's folder",
                         location);
    }
    free(path);
    if (result < 0)
        return -1;
    (*map)->path = cs_xstrdup(location);
    store->map_count++;
    return 0;
}

static bool read_number(const char *text, uint64_t *value)
{
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && errno == 0;
}

static int external_bytes(struct cs_onnx_store *store, const Onnx__TensorProto *proto,
                          const uint8_t **data, size_t *bytes, struct cs_err *err)
{
    const char *location = NULL;
    uint64_t offset = 0, length = UINT64_MAX;
    for (size_t i = 0; i < proto->n_external_data; i++) {
        const Onnx__StringStringEntryProto *entry = proto->external_data[i];
        if (!entry->key || !entry->value)
            continue;
        if (strcmp(entry->key, "location") == 0)
            location = entry->value;
        else if (strcmp(entry->key, "offset") == 0 && !read_number(entry->value, &offset))
            return fail(proto, err, "bad offset of external weights");
        else if (strcmp(entry->key, "length") == 0 && !read_number(entry->value, &length))
            return fail(proto, err, "bad length of external weights");
    }
    struct cs_onnx_map *map = NULL;
    if (!location)
        return fail(proto, err, "external weights have no location");
    if (find_map(store, location, &map, err) < 0)
        return -1;
    if (offset > map->bytes)
        return fail(proto, err, "external weights begin behind the end of their file");
    if (length == UINT64_MAX)
        length = map->bytes - offset;
    if (length > map->bytes - offset)
        return fail(proto, err, "external weights reach behind the end of their file");
    *data = map->bytes ? (const uint8_t *)map->data + offset : NULL;
    *bytes = length;
    return 0;
}

// ---- Samples -------------------------------------------------------------------------------

static void *room(struct cs_onnx_store *store, int64_t elements, enum cs_type type)
{
    return cs_arena_alloc(&store->arena, (size_t)elements + 1, cs_type_bytes(type));
}

const void *cs_onnx_store_copy(struct cs_onnx_store *store, const void *data, size_t bytes)
{
    return cs_arena_copy(&store->arena, data, bytes);
}

static void convert_raw(int data_type, const uint8_t *bytes, int64_t elements, float *out)
{
    for (int64_t i = 0; i < elements; i++) {
        uint16_t half;
        double wide;
        if (data_type == FLOAT16) {
            memcpy(&half, bytes + 2 * i, sizeof half);
            out[i] = cs_half_to_float(half);
        } else {
            memcpy(&wide, bytes + 8 * i, sizeof wide);
            out[i] = (float)wide;
        }
    }
}

static int take_raw(struct cs_onnx_store *store, const Onnx__TensorProto *proto,
                    const struct cs_onnx_raw *raw, struct cs_onnx_tensor *tensor,
                    struct cs_err *err)
{
    int64_t elements = cs_shape_elements(&tensor->shape);
    if (raw->bytes != (size_t)elements * stored_bytes(proto->data_type))
        return cs_fail(err, CS_EMODEL, "tensor \"%.120s\": %zu bytes for %lld elements",
                       proto->name ? proto->name : "", raw->bytes, (long long)elements);
    if (proto->data_type == FLOAT16 || proto->data_type == FLOAT64) {
        float *converted = room(store, elements, CS_TYPE_F32);
        convert_raw(proto->data_type, raw->data, elements, converted);
        tensor->data = converted;
    } else if (store->lends && raw->bytes >= LARGE_BYTES && proto->data_type == FLOAT32) {
        tensor->data = raw->data;
        tensor->in_file = true;
    } else {
        tensor->data = cs_onnx_store_copy(store, raw->data, raw->bytes);
    }
    return 0;
}

// int32_data also holds bool (one a number) and float16 (its bits).
static void take_int32(struct cs_onnx_store *store, const Onnx__TensorProto *proto,
                       int64_t elements, struct cs_onnx_tensor *tensor)
{
    if (tensor->type == CS_TYPE_I32) {
        tensor->data =
            cs_onnx_store_copy(store, proto->int32_data, (size_t)elements * sizeof(int32_t));
        return;
    }
    void *out = room(store, elements, tensor->type);
    for (int64_t i = 0; i < elements; i++) {
        if (tensor->type == CS_TYPE_BOOL)
            ((unsigned char *)out)[i] = proto->int32_data[i] != 0;
        else
            ((float *)out)[i] = cs_half_to_float((uint16_t)proto->int32_data[i]);
    }
    tensor->data = out;
}

static int take_list(struct cs_onnx_store *store, const Onnx__TensorProto *proto,
                     struct cs_onnx_tensor *tensor, struct cs_err *err)
{
    size_t elements = (size_t)cs_shape_elements(&tensor->shape), count = 0;
    switch (proto->data_type) {
    case FLOAT32:
        count = proto->n_float_data;
        break;
    case INT64:
        count = proto->n_int64_data;
        break;
    case FLOAT64:
        count = proto->n_double_data;
        break;
    default:
        count = proto->n_int32_data;
    }
    if (count != elements)
        return cs_fail(err, CS_EMODEL, "tensor \"%.120s\": %zu samples for %zu elements",
                       proto->name ? proto->name : "", count, elements);
    if (elements == 0) {
        tensor->data = room(store, 0, tensor->type);
    } else if (proto->data_type == FLOAT32) {
        tensor->data = cs_onnx_store_copy(store, proto->float_data, elements * sizeof(float));
    } else if (proto->data_type == INT64) {
        tensor->data = cs_onnx_store_copy(store, proto->int64_data, elements * sizeof(int64_t));
    } else if (proto->data_type == FLOAT64) {
        float *converted = room(store, (int64_t)elements, CS_TYPE_F32);
        for (size_t i = 0; i < elements; i++)
            converted[i] = (float)proto->double_data[i];
        tensor->data = converted;
    } else {
        take_int32(store, proto, (int64_t)elements, tensor);
    }
    return 0;
}

static int read_shape(const Onnx__TensorProto *proto, struct cs_shape *shape, struct cs_err *err)
{
    if (proto->n_dims > CS_MAX_RANK)
        return cs_fail(err, CS_EMODEL, "tensor \"%.120s\" has %zu dimensions",
                       proto->name ? proto->name : "", proto->n_dims);
    shape->rank = (int)proto->n_dims;
    for (int d = 0; d < shape->rank; d++)
        shape->dim[d] = proto->dims[d];
    int64_t elements = cs_shape_elements(shape);
    if (elements < 0 || elements > MAX_ELEMENTS)
        return fail(proto, err, "bad dimensions");
    return 0;
}

int cs_onnx_tensor_read(struct cs_onnx_store *store, const Onnx__TensorProto *proto,
                        const struct cs_onnx_raw *raw, struct cs_onnx_tensor *tensor,
                        struct cs_err *err)
{
    *tensor = (struct cs_onnx_tensor){.type = cs_onnx_type(proto->data_type)};
    if (proto->data_type == FLOAT16 || proto->data_type == FLOAT64)
        tensor->type = CS_TYPE_F32;
    if (tensor->type == CS_TYPE_NONE)
        return cs_fail(err, CS_EMODEL, "tensor \"%.120s\": type %d is not supported",
                       proto->name ? proto->name : "", proto->data_type);
    if (read_shape(proto, &tensor->shape, err) < 0)
        return -1;
    if (proto->data_location == EXTERNAL) {
        struct cs_onnx_raw there = {.data = NULL};
        if (external_bytes(store, proto, &there.data, &there.bytes, err) < 0)
            return -1;
        return take_raw(store, proto, &there, tensor, err);
    }
    if (raw && raw->data)
        return take_raw(store, proto, raw, tensor, err);
    if (proto->has_raw_data) {
        // Of a node's attribute: in the message, which does not last.
        const struct cs_onnx_raw there = {proto->raw_data.data, proto->raw_data.len};
        bool lends = store->lends;
        store->lends = false;
        int result = take_raw(store, proto, &there, tensor, err);
        store->lends = lends;
        return result;
    }
    return take_list(store, proto, tensor, err);
}
