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
static uint64_t ring_bytes, spill_bytes = (uint64_t)1 << 30;
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

static int on_item(struct cs_item *item, void *data, struct cs_err *err)
{
    struct context *context = data;
    int64_t start = cs_clock_ms();
    uint32_t count = 0;
    struct cs_image labels = {0};
    struct cs_post_item about = {.probability = &item->planes[CS_PLANE_PROBABILITY],
                                 .maps = context->maps};
    if (!about.probability->data)
        return cs_fail(err, CS_EINPUT, "no probabilities in the stream (is cs-infer before this?)");
    if (cs_meta_real(&item->begin, CS_KEY_PIXEL, 0, 1e9, 0, &about.um_x, err) != 0 ||
        cs_meta_real(&item->begin, CS_KEY_PIXEL_Y, 0, 1e9, about.um_x, &about.um_y, err) != 0 ||
        cs_post_apply(&context->post, &about, &labels, &count, &context->scratch, err) != 0)
        return -1;
    cs_image_release(&item->planes[CS_PLANE_LABELS]);
    item->planes[CS_PLANE_LABELS] = labels;
    cs_meta_setf(&item->done, CS_KEY_OBJECTS, "%u", count);
    cs_meta_set(&item->done, CS_KEY_STATUS, count ? "ok" : "empty");
    cs_meta_setf(&item->done, CS_KEY_MS "post", "%lld", (long long)(cs_clock_ms() - start));
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
        .limits = {.spill_bytes = spill_bytes, .scratch_dir = scratch_dir},
        .head = on_head,
        .item = on_item,
        .context = &context,
    };
    int status = cs_filter_run(&context.filter);
    cs_buf_release(&context.parameters);
    free(context.maps);
    return status;
}
