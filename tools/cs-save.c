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

static const char *input, *output, *keep, *format = "labels", *scratch_dir;
static int transport, file_type = TIF, compression = CS_COMPRESS_DEFLATE;
static uint64_t ring_bytes, spill_bytes = SPILL_BYTES;
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
    OPT_SCRATCH(&scratch_dir),
    OPT_SPILL(&spill_bytes),
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

struct context {
    unsigned wanted;   // kinds
    unsigned streamed; // of them: written as their rows come
    unsigned passing;  // planes
    struct cs_tiff_out *files[KINDS];
    char *paths[KINDS];
};

static int name_of(const struct cs_item *item, char fallback[32], const char **name,
                   struct cs_err *err)
{
    snprintf(fallback, 32, "item-%06llu", (unsigned long long)item->number);
    *name = cs_meta_get(&item->begin, CS_KEY_OUTPUT);
    if (!*name)
        *name = fallback;
    return cs_output_name_check(*name, err);
}

static char *path_of(enum kind kind, enum file_type type, const char *name)
{
    return cs_xasprintf("%s/%s/%s.%s", output, kinds[kind].folder, name, extensions[type]);
}

static int write_options(const struct cs_item *item, struct cs_write_options *how,
                         struct cs_err *err)
{
    *how = (struct cs_write_options){.compression = (enum cs_compression)compression};
    return cs_meta_real(&item->begin, CS_KEY_PIXEL, 0, 1e9, 0, &how->pixel_um, err) != 0 ||
                   cs_meta_real(&item->begin, CS_KEY_PIXEL_Y, 0, 1e9, 0, &how->pixel_um_y, err) != 0
               ? -1
               : 0;
}

static int no_plane(enum kind kind, struct cs_err *err)
{
    return cs_fail(err, CS_EINPUT, "--format %s: the stream has no %s plane (see --keep)",
                   kinds[kind].name, cs_plane_name(kinds[kind].plane));
}

// ---- As rows come --------------------------------------------------------------------------

static int begin_file(struct context *c, enum kind kind, const struct cs_item *item,
                      const struct cs_image *shape, struct cs_err *err)
{
    struct cs_write_options how;
    char fallback[32];
    const char *name;
    if (name_of(item, fallback, &name, err) != 0 || write_options(item, &how, err) != 0)
        return -1;
    c->paths[kind] = path_of(kind, TIF, name);
    return cs_tiff_begin(&c->files[kind], c->paths[kind], shape, &how, err);
}

static int on_band(struct cs_item *item, const struct cs_frame_header *header, const void *samples,
                   void *data, struct cs_err *err)
{
    struct context *c = data;
    const struct cs_image shape = {.width = header->width,
                                   .height = header->height,
                                   .channels = header->channels,
                                   .dtype = (enum cs_dtype)header->dtype};
    for (int kind = 0; kind < KINDS; kind++) {
        if (!(c->streamed >> kind & 1) || kinds[kind].plane != (enum cs_plane)header->plane)
            continue;
        if ((header->first_row == 0 && begin_file(c, (enum kind)kind, item, &shape, err) != 0) ||
            cs_tiff_rows(c->files[kind], samples, header->rows, err) != 0)
            return -1;
    }
    if (!(c->passing >> header->plane & 1))
        return 0;
    return cs_item_emit(item, (enum cs_plane)header->plane, &shape, header->first_row, header->rows,
                        samples, err);
}

static int end_file(struct context *c, enum kind kind, struct cs_item *item, struct cs_err *err)
{
    if (!c->files[kind])
        return no_plane(kind, err);
    int status = cs_tiff_end(c->files[kind], err);
    c->files[kind] = NULL;
    if (status == 0)
        add_written(&item->done, kinds[kind].name, c->paths[kind]);
    return status;
}

// ---- Whole planes --------------------------------------------------------------------------

static int save_kind(struct cs_item *item, enum kind kind, const char *name, struct cs_err *err)
{
    struct cs_image made = {0};
    const struct cs_image *image = &item->planes[kinds[kind].plane];
    struct cs_write_options how;
    if (!image->data)
        return no_plane(kind, err);
    if (write_options(item, &how, err) != 0)
        return -1;
    const struct cs_image *labels = &item->planes[CS_PLANE_LABELS];
    int status = 0;
    if (kind == MASK)
        status = make_mask(image, &made, err);
    else if (kind == OVERLAY)
        status = cs_overlay_draw(image, labels->data ? labels : NULL, &made, err);
    if (status == 0) {
        enum file_type type = kind == OVERLAY ? PNG : (enum file_type)file_type;
        char *path = path_of(kind, type, name);
        status = write_file(path, made.data ? &made : image, type, &how, err);
        if (status == 0)
            add_written(&item->done, kinds[kind].name, path);
        free(path);
    }
    cs_image_release(&made);
    return status;
}

static int save_item(struct cs_item *item, void *data, struct cs_err *err)
{
    struct context *c = data;
    char fallback[32];
    const char *name;
    if (name_of(item, fallback, &name, err) != 0)
        return -1;
    for (int kind = 0; kind < KINDS; kind++) {
        if (!(c->wanted >> kind & 1))
            continue;
        if ((c->streamed >> kind & 1 ? end_file(c, (enum kind)kind, item, err)
                                     : save_kind(item, (enum kind)kind, name, err)) != 0)
            return -1;
    }
    return 0;
}

static int on_finished(struct cs_item *item, void *data, struct cs_err *err)
{
    struct context *c = data;
    (void)item, (void)err;
    for (int kind = 0; kind < KINDS; kind++) {
        cs_tiff_drop(c->files[kind]);
        free(c->paths[kind]);
        c->files[kind] = NULL;
        c->paths[kind] = NULL;
    }
    return 0;
}

// Planes that have to be put together: those of files that are made of whole planes.
static unsigned whole_planes(struct context *c)
{
    unsigned whole = 0;
    c->streamed =
        file_type == TIF ? c->wanted & (1u << LABELS | 1u << PROBABILITY | 1u << IMAGE) : 0;
    for (int kind = 0; kind < KINDS; kind++)
        if (c->wanted & ~c->streamed & 1u << kind)
            whole |= 1u << kinds[kind].plane;
    return c->wanted >> OVERLAY & 1 ? whole | 1u << CS_PLANE_LABELS : whole;
}

static unsigned streamed_planes(const struct context *c)
{
    unsigned planes = 0;
    for (int kind = 0; kind < KINDS; kind++)
        if (c->streamed >> kind & 1)
            planes |= 1u << kinds[kind].plane;
    return planes;
}

int main(int argc, char **argv)
{
    struct cs_err err = {0};
    struct cs_buf parameters = {0};
    int first;
    unsigned all = (1u << CS_PLANE_COUNT) - 1, planes = all;
    struct context context = {.wanted = 0};
    int parsed = cs_opt_parse(&tool, argc, argv, &first, &err);
    if (parsed)
        return parsed > 0 ? 0 : cs_opt_die(&tool, &err);
    if (first < argc)
        cs_fail(&err, CS_EUSAGE, "unexpected argument '%s' (see --help)", argv[first]);
    else if (!output || !*output)
        cs_fail(&err, CS_EUSAGE, "--output DIR is missing (see --help)");
    else if (parse_kinds(format, &context.wanted, &err) == 0 && keep)
        cs_planes_parse(keep, &planes, &err);
    if (err.code)
        return cs_opt_die(&tool, &err);
    cs_opt_canonical(&tool, &parameters);
    unsigned whole = whole_planes(&context);
    context.passing = pass ? planes & ~whole : 0;
    struct cs_filter filter = {
        .tool = tool.name,
        .parameters = parameters.data,
        .input = input,
        .transport = (enum cs_transport)transport,
        .ring_bytes = ring_bytes,
        .keep = planes,
        .limits = {.spill_bytes = spill_bytes,
                   .scratch_dir = scratch_dir,
                   .loose = all & ~whole,
                   .shown = (all & ~whole) | streamed_planes(&context),
                   .band = on_band,
                   .context = &context},
        .item = save_item,
        .finished = on_finished,
        .context = &context,
        .sink = !pass,
    };
    int status = cs_filter_run(&filter);
    on_finished(NULL, &context, NULL); // of a stream that broke off
    cs_buf_release(&parameters);
    return status;
}
