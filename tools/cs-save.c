// SPDX-License-Identifier: MIT
// cs-save: the planes of a stream as image files, one folder a kind.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "image/overlay.h"
#include "image/write.h"
#include "shared_options.h"
#include "stream/stream.h"

enum kind { LABELS, MASK, OVERLAY, PROBABILITY, IMAGE, KINDS };
enum file_type { TIF, PNG, NPY };
static const struct {
    const char *name, *folder;
    enum cs_plane plane;
} kinds[KINDS] = {
    [LABELS] = {"labels", "labels", CS_PLANE_LABELS},
    [MASK] = {"mask", "masks", CS_PLANE_LABELS},
    [OVERLAY] = {"overlay", "overlays", CS_PLANE_IMAGE},
    [PROBABILITY] = {"probability", "probability", CS_PLANE_PROBABILITY},
    [IMAGE] = {"image", "images", CS_PLANE_IMAGE},
};
static const char *const extensions[] = {"tif", "png", "npy"};

static const char *input, *output, *keep, *format = "labels";
static int transport, file_type = TIF, compression = CS_COMPRESS_DEFLATE;
static uint64_t ring_bytes;
static bool pass;

static const struct cs_opt options[] = {
    OPT_INPUT(&input),
    {'o', "output", CS_OPT_STRING, &output, "DIR", "folder to write to", .env = NULL},
    {'f', "format", CS_OPT_STRING, &format, "LIST",
     "of labels,mask,overlay,probability,image (labels)", true, .env = NULL},
    {0, "as", CS_OPT_CHOICE, &file_type, "TYPE", "type of the files (tif)", true, "tif|png|npy",
     .env = NULL},
    {0, "compress", CS_OPT_CHOICE, &compression, "HOW", "compression (deflate)", true,
     "deflate|zstd|none", .env = NULL},
    {0, "pass", CS_OPT_FLAG, &pass, NULL, "pass the stream on to standard output", .env = NULL},
    {'k', "keep", CS_OPT_STRING, &keep, "LIST", "planes that --pass passes on (all)", .env = NULL},
    OPT_TRANSPORT(&transport),
    OPT_RING(&ring_bytes),
    {.name = NULL},
};
static const struct cs_tool tool = {"cs-save", "[OPTION]... -o DIR",
                                    "Save the planes of a stream as image files.", options};

static int parse_kinds(const char *list, unsigned *mask, struct cs_err *err)
{
    *mask = 0;
    for (const char *at = list;; at++) {
        size_t len = strcspn(at, ",");
        int kind = 0;
        while (kind < KINDS &&
               (strlen(kinds[kind].name) != len || strncmp(at, kinds[kind].name, len) != 0))
            kind++;
        if (kind == KINDS)
            return cs_fail(err, CS_EUSAGE,
                           "--format: '%.*s' is none of labels, mask, overlay, probability, image",
                           (int)len, at);
        *mask |= 1u << kind;
        at += len;
        if (!*at)
            return 0;
    }
}

static int make_mask(const struct cs_image *labels, struct cs_image *mask, struct cs_err *err)
{
    if (labels->channels != 1)
        return cs_fail(err, CS_EINPUT, "labels must be one channel");
    if (cs_image_init(mask, labels->width, labels->height, 1, CS_U8, 0, NULL, err) != 0)
        return -1;
    size_t bytes = cs_dtype_bytes(labels->dtype), count = (size_t)labels->width * labels->height;
    const uint8_t *from = labels->data;
    uint8_t *to = mask->data;
    for (size_t i = 0; i < count; i++, from += bytes) {
        unsigned any = 0;
        for (size_t b = 0; b < bytes; b++)
            any |= from[b];
        to[i] = any ? 255 : 0;
    }
    return 0;
}

static int write_file(const char *path, const struct cs_image *image, enum file_type type,
                      const struct cs_write_options *how, struct cs_err *err)
{
    switch (type) {
    case TIF:
        return cs_tiff_write(path, image, how, err);
    case PNG:
        return cs_png_write(path, image, how, err);
    case NPY:
        return cs_npy_write(path, image, err);
    }
    return 0;
}

static void add_written(struct cs_meta *done, const char *kind, const char *path)
{
    char key[32];
    int n = 0;
    do
        snprintf(key, sizeof key, "%s%d", CS_KEY_WROTE, n++);
    while (cs_meta_get(done, key));
    cs_meta_setf(done, key, "%s %s", kind, path);
}

static int save_kind(struct cs_item *item, enum kind kind, const char *name, struct cs_err *err)
{
    struct cs_image made = {0};
    const struct cs_image *image = &item->planes[kinds[kind].plane];
    struct cs_write_options how = {.compression = (enum cs_compression)compression};
    if (!image->data)
        return cs_fail(err, CS_EINPUT, "--format %s: the stream has no %s plane (see --keep)",
                       kinds[kind].name, cs_plane_name(kinds[kind].plane));
    if (cs_meta_real(&item->begin, CS_KEY_PIXEL, 0, 1e9, 0, &how.pixel_um, err) != 0 ||
        cs_meta_real(&item->begin, CS_KEY_PIXEL_Y, 0, 1e9, 0, &how.pixel_um_y, err) != 0)
        return -1;
    const struct cs_image *labels = &item->planes[CS_PLANE_LABELS];
    int status = 0;
    if (kind == MASK)
        status = make_mask(image, &made, err);
    else if (kind == OVERLAY)
        status = cs_overlay_draw(image, labels->data ? labels : NULL, &made, err);
    if (status == 0) {
        enum file_type type = kind == OVERLAY ? PNG : (enum file_type)file_type;
        char *path =
            cs_xasprintf("%s/%s/%s.%s", output, kinds[kind].folder, name, extensions[type]);
        status = write_file(path, made.data ? &made : image, type, &how, err);
        if (status == 0)
            add_written(&item->done, kinds[kind].name, path);
        free(path);
    }
    cs_image_release(&made);
    return status;
}

static int save_item(struct cs_item *item, void *context, struct cs_err *err)
{
    unsigned wanted = *(unsigned *)context;
    char fallback[32];
    snprintf(fallback, sizeof fallback, "item-%06llu", (unsigned long long)item->number);
    const char *name = cs_meta_get(&item->begin, CS_KEY_OUTPUT);
    if (!name)
        name = fallback;
    if (cs_output_name_check(name, err) != 0)
        return -1;
    for (int kind = 0; kind < KINDS; kind++)
        if (wanted >> kind & 1 && save_kind(item, (enum kind)kind, name, err) != 0)
            return -1;
    return 0;
}

int main(int argc, char **argv)
{
    struct cs_err err = {0};
    struct cs_buf parameters = {0};
    int first;
    unsigned wanted = 0, planes = (1u << CS_PLANE_COUNT) - 1;
    int parsed = cs_opt_parse(&tool, argc, argv, &first, &err);
    if (parsed)
        return parsed > 0 ? 0 : cs_opt_die(&tool, &err);
    if (first < argc)
        cs_fail(&err, CS_EUSAGE, "unexpected argument '%s' (see --help)", argv[first]);
    else if (!output || !*output)
        cs_fail(&err, CS_EUSAGE, "--output DIR is missing (see --help)");
    else if (parse_kinds(format, &wanted, &err) == 0 && keep)
        cs_planes_parse(keep, &planes, &err);
    if (err.code)
        return cs_opt_die(&tool, &err);
    cs_opt_canonical(&tool, &parameters);
    struct cs_filter filter = {
        .tool = tool.name,
        .parameters = parameters.data,
        .input = input,
        .transport = (enum cs_transport)transport,
        .ring_bytes = ring_bytes,
        .keep = planes,
        .limits = {.spill_bytes = (size_t)1 << 30},
        .item = save_item,
        .context = &wanted,
        .sink = !pass,
    };
    int status = cs_filter_run(&filter);
    cs_buf_release(&parameters);
    return status;
}
