// SPDX-License-Identifier: MIT
// cs-postprocess: probabilities in, labelled objects out.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "segment/postprocess.h"
#include "shared_options.h"
#include "stream/stream.h"

static const char *input, *keep = "", *scratch_dir, *threshold, *min_area, *max_area, *open_px,
                          *close_px, *connectivity, *split, *seed_depth, *seed_min;
static bool fill_holes, keep_holes, clear_border;
static uint64_t ring_bytes, spill_bytes = SPILL_BYTES;
static int transport;

static const struct cs_opt options[] = {
    {'t', "threshold", CS_OPT_STRING, &threshold, "P", "objects are where the probability is above",
     .env = NULL},
    {'a', "min-area", CS_OPT_STRING, &min_area, "AREA", "drop smaller objects (50, 20um2)",
     .env = NULL},
    {0, "max-area", CS_OPT_STRING, &max_area, "AREA", "drop larger objects; 0: keep them",
     .env = NULL},
    {0, "fill-holes", CS_OPT_FLAG, &fill_holes, NULL, "fill holes in objects", .env = NULL},
    {0, "keep-holes", CS_OPT_FLAG, &keep_holes, NULL, "do not, though the model asks for it",
     .env = NULL},
    {0, "open", CS_OPT_STRING, &open_px, "R", "open by a disc of this radius in pixels",
     .env = NULL},
    {0, "close", CS_OPT_STRING, &close_px, "R", "close by a disc of this radius in pixels",
     .env = NULL},
    {0, "clear-border", CS_OPT_FLAG, &clear_border, NULL,
     "drop objects that touch the image's edge", .env = NULL},
    {0, "connectivity", CS_OPT_STRING, &connectivity, "N", "4 or 8 neighbours", .env = NULL},
    {0, "split", CS_OPT_STRING, &split, "HOW", "split touching objects: none|distance|boundary",
     .env = NULL},
    {0, "seed-depth", CS_OPT_STRING, &seed_depth, "D", "rise that makes an object of its own",
     .env = NULL},
    {0, "seed-min", CS_OPT_STRING, &seed_min, "D", "least peak of an object of its own",
     .env = NULL},
    OPT_SCRATCH(&scratch_dir),
    OPT_SPILL(&spill_bytes),
    {'k', "keep", CS_OPT_STRING, &keep, "LIST", "planes to pass on beside the labels", .env = NULL},
    OPT_INPUT(&input),
    OPT_TRANSPORT(&transport),
    OPT_RING(&ring_bytes),
    {.name = NULL},
};
static const struct cs_tool tool = {"cs-postprocess", "[OPTION]...",
                                    "Turn probabilities into labelled objects.", options};

struct context {
    struct cs_post post;
    struct cs_post_run *run; // of the item whose rows come
    struct cs_item *item;
    uint32_t height;
    double seconds;
    struct cs_filter filter;
    struct cs_scratch scratch;
    char *maps;
    struct cs_buf parameters;
};

// What the user said, over what is in post.
static int apply_options(struct cs_post *post, struct cs_err *err)
{
    const struct {
        const char *name, *text;
    } given[] = {
        {"threshold", threshold},
        {"min-area", min_area},
        {"max-area", max_area},
        {"fill-holes", fill_holes   ? "1"
                       : keep_holes ? "0"
                                    : NULL},
        {"open", open_px},
        {"close", close_px},
        {"clear-border", clear_border ? "1" : NULL},
        {"connectivity", connectivity},
        {"split", split},
        {"seed-depth", seed_depth},
        {"seed-min", seed_min},
    };
    for (size_t i = 0; i < sizeof given / sizeof *given; i++)
        if (given[i].text && cs_post_set(post, given[i].name, given[i].text, err) != 0)
            return -1;
    if (fill_holes && keep_holes)
        return cs_fail(err, CS_EUSAGE, "--fill-holes and --keep-holes contradict each other");
    return 0;
}

// Defaults, then the model's wishes, then the options: in that order.
static int on_head(struct cs_meta *head, void *data, struct cs_err *err)
{
    struct context *context = data;
    size_t prefix = strlen(CS_KEY_POST);
    cs_post_init(&context->post);
    for (int i = 0; i < head->count; i++) {
        const struct cs_meta_pair *pair = &head->pairs[i];
        if (strncmp(pair->key, CS_KEY_POST, prefix) != 0)
            continue;
        if (cs_post_set(&context->post, pair->key + prefix, pair->value, err) != 0) {
            if (err)
                err->code = CS_EMODEL;
            return cs_err_context(err, "the model's %s", pair->key);
        }
    }
    if (apply_options(&context->post, err) != 0)
        return -1;
    const char *maps = cs_meta_get(head, CS_KEY_MAPS);
    context->maps = maps ? cs_xstrdup(maps) : NULL;
    cs_post_canonical(&context->post, &context->parameters);
    context->filter.parameters = context->parameters.data;
    return 0;
}

static int put_labels(const struct cs_image *band, uint32_t first_row, void *data,
                      struct cs_err *err)
{
    struct context *context = data;
    struct cs_image shape = *band;
    shape.height = context->height;
    return cs_item_emit(context->item, CS_PLANE_LABELS, &shape, first_row, band->height, band->data,
                        err);
}

static int open_item(struct context *context, struct cs_item *item,
                     const struct cs_frame_header *header, struct cs_err *err)
{
    const struct cs_image shape = {.width = header->width,
                                   .height = header->height,
                                   .channels = header->channels,
                                   .dtype = (enum cs_dtype)header->dtype};
    struct cs_post_item about = {.probability = &shape, .maps = context->maps};
    context->item = item;
    context->height = header->height;
    context->seconds = 0;
    return cs_meta_real(&item->begin, CS_KEY_PIXEL, 0, 1e9, 0, &about.um_x, err) != 0 ||
                   cs_meta_real(&item->begin, CS_KEY_PIXEL_Y, 0, 1e9, about.um_x, &about.um_y,
                                err) != 0 ||
                   cs_post_open(&context->run, &context->post, &about, &context->scratch,
                                put_labels, context, err) != 0
               ? -1
               : 0;
}

static int on_band(struct cs_item *item, const struct cs_frame_header *header, const void *samples,
                   void *data, struct cs_err *err)
{
    struct context *context = data;
    if (header->first_row == 0 && open_item(context, item, header, err) != 0)
        return -1;
    double start = cs_clock_seconds();
    int status = cs_post_rows(context->run, samples, header->rows, err);
    context->seconds += cs_clock_seconds() - start;
    return status;
}

static int on_item(struct cs_item *item, void *data, struct cs_err *err)
{
    struct context *context = data;
    double start = cs_clock_seconds();
    uint32_t count = 0;
    if (!context->run)
        return cs_fail(err, CS_EINPUT, "no probabilities in the stream (is cs-infer before this?)");
    cs_image_release(&item->planes[CS_PLANE_LABELS]);
    if (cs_post_end(context->run, &count, err) != 0)
        return -1;
    context->seconds += cs_clock_seconds() - start;
    cs_meta_setf(&item->done, CS_KEY_OBJECTS, "%u", count);
    cs_meta_set(&item->done, CS_KEY_STATUS, count ? "ok" : "empty");
    cs_meta_setf(&item->done, CS_KEY_MS "post", "%.0f", context->seconds * 1e3);
    return 0;
}

static int on_finished(struct cs_item *item, void *data, struct cs_err *err)
{
    struct context *context = data;
    (void)item, (void)err;
    cs_post_close(context->run);
    context->run = NULL;
    return 0;
}

int main(int argc, char **argv)
{
    struct cs_err err = {0};
    struct context context = {0};
    unsigned planes = 0;
    int first;
    int parsed = cs_opt_parse(&tool, argc, argv, &first, &err);
    if (parsed)
        return parsed > 0 ? 0 : cs_opt_die(&tool, &err);
    if (first < argc) {
        cs_fail(&err, CS_EUSAGE, "unexpected argument '%s' (see --help)", argv[first]);
        return cs_opt_die(&tool, &err);
    }
    cs_post_init(&context.post);
    if (apply_options(&context.post, &err) != 0 ||
        (*keep && cs_planes_parse(keep, &planes, &err) != 0))
        return cs_opt_die(&tool, &err);
    context.scratch = (struct cs_scratch){spill_bytes, scratch_dir};
    context.filter = (struct cs_filter){
        .tool = tool.name,
        .input = input,
        .transport = (enum cs_transport)transport,
        .ring_bytes = ring_bytes,
        .keep = planes | 1u << CS_PLANE_LABELS,
        .limits = {.spill_bytes = spill_bytes,
                   .scratch_dir = scratch_dir,
                   .shown = 1u << CS_PLANE_PROBABILITY,
                   .loose = 1u << CS_PLANE_PROBABILITY & ~planes,
                   .band = on_band,
                   .context = &context},
        .head = on_head,
        .item = on_item,
        .finished = on_finished,
        .context = &context,
    };
    int status = cs_filter_run(&context.filter);
    cs_post_close(context.run); // of a stream that broke off
    cs_buf_release(&context.parameters);
    free(context.maps);
    return status;
}
