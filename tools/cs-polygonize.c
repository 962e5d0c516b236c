// SPDX-License-Identifier: MIT
// cs-polygonize: labels in; polygons, measurements and the record of the run out. The last stage.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "export/merge.h"
#include "export/polygons.h"
#include "export/progress.h"
#include "shared_options.h"

static const char *input, *output, *format, *measure, *scratch_dir;
static double simplify_px;
static int64_t shard_id;
static uint64_t spill_bytes = SPILL_BYTES;
static bool merge, progress;
static int transport, edge, plane;

static const struct cs_opt options[] = {
    {'o', "output", CS_OPT_STRING, &output, "DIR", "folder to write to; - for standard output",
     .env = NULL},
    {'f', "format", CS_OPT_STRING, &format, "LIST", "of geojson,ndjson,csv (geojson,csv)", true,
     .env = NULL},
    {0, "simplify", CS_OPT_REAL, &simplify_px, "PX", "leave out vertices, up to this far off", true,
     .min = 0, .max = 10000},
    {0, "edge", CS_OPT_CHOICE, &edge, "HOW", "where outlines run", true, "pixel", .env = NULL},
    {0, "measure", CS_OPT_STRING, &measure, "LIST", "of shape,intensity; or none", true,
     .env = NULL},
    {0, "plane", CS_OPT_CHOICE, &plane, "NAME", "plane that holds the labels", true, "labels|image",
     .env = NULL},
    {0, "shard-id", CS_OPT_INT, &shard_id, "N", "number of the shard that is recorded", .min = 0,
     .max = 999999},
    {0, "merge", CS_OPT_FLAG, &merge, NULL, "merge the records of all shards; read no stream",
     .env = NULL},
    {0, "progress", CS_OPT_FLAG, &progress, NULL, "show progress on standard error", .env = NULL},
    OPT_SCRATCH(&scratch_dir),
    OPT_SPILL(&spill_bytes),
    OPT_INPUT(&input),
    OPT_TRANSPORT(&transport),
    {.name = NULL},
};
static const struct cs_tool tool = {"cs-polygonize", "-o DIR|- [OPTION]...",
                                    "Turn labels into polygons and measurements.", options};

struct context {
    struct cs_polygons polygons;
    struct cs_progress progress;
    bool count_inputs; // progress knows the number of files, not of items
    int64_t seen;      // items of the present file
};

static int on_head(struct cs_meta *head, void *data, struct cs_err *err)
{
    struct context *context = data;
    struct cs_buf parameters = {0};
    int64_t total;
    context->count_inputs = !cs_meta_get(head, CS_KEY_TOTAL);
    if (cs_meta_int(head, context->count_inputs ? CS_KEY_INPUTS : CS_KEY_TOTAL, 0, INT64_MAX, 0,
                    &total, err) != 0)
        return -1;
    cs_opt_canonical(&tool, &parameters);
    cs_prov_add(head, tool.name, parameters.data);
    cs_buf_release(&parameters);
    if (progress)
        cs_progress_start(&context->progress, total);
    if (!context->polygons.dir)
        return 0;
    return cs_manifest_open(&context->polygons.manifest, output, shard_id, head, err);
}

static int on_band(struct cs_item *item, const struct cs_frame_header *header, const void *samples,
                   void *data, struct cs_err *err)
{
    struct context *context = data;
    const struct cs_image band = {.width = header->width,
                                  .height = header->rows,
                                  .channels = header->channels,
                                  .dtype = (enum cs_dtype)header->dtype,
                                  .data = (void *)(uintptr_t)samples};
    (void)item;
    return cs_polygons_band(&context->polygons, &band, header->first_row, err);
}

// Nothing more can be written to standard output: end like any filter whose reader went away, or
// with the error of the disk.
static int check_stdout(struct cs_err *err)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    if (errno == EPIPE) {
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
    }
    return cs_fail_errno(err, CS_EIO, "standard output");
}

static int on_item(struct cs_item *item, void *data, struct cs_err *err)
{
    struct context *context = data;
    int64_t start = cs_clock_ms();
    if (cs_polygons_item(&context->polygons, item, err) != 0)
        return !context->polygons.dir && ferror(stdout) ? check_stdout(err) : -1;
    cs_meta_setf(&item->done, CS_KEY_MS "polygons", "%lld", (long long)(cs_clock_ms() - start));
    return 0;
}

// One more item, or one more file when its last item is done.
static void show_progress(struct context *context, const struct cs_item *item)
{
    int64_t items;
    if (cs_meta_int(&item->begin, CS_KEY_ITEMS, 1, INT64_MAX, 1, &items, NULL) != 0)
        items = 1;
    if (context->count_inputs && ++context->seen < items) {
        context->progress.failed += cs_item_failed(item);
        return;
    }
    context->seen = 0;
    cs_progress_item(&context->progress, cs_item_failed(item));
}

// Record the item. Where a file that it promises is not there, the item has failed.
static int on_finished(struct cs_item *item, void *data, struct cs_err *err)
{
    struct context *context = data;
    struct cs_manifest *manifest = context->polygons.manifest;
    struct cs_err why = {0};
    cs_polygons_drop(&context->polygons);
    if (manifest && cs_manifest_item(manifest, item, &why) != 0) {
        if (!cs_item_failed(item))
            cs_item_fail(item, tool.name, &why);
        if (cs_manifest_item(manifest, item, err) != 0)
            return -1;
    }
    if (!context->polygons.dir && check_stdout(err) != 0)
        return -1;
    if (progress)
        show_progress(context, item);
    return 0;
}

static int check_options(struct cs_polygons *p, struct cs_err *err)
{
    bool to_stdout = output && strcmp(output, "-") == 0;
    if (!output)
        return cs_fail(err, CS_EUSAGE, "no output given (-o DIR, or -o - for standard output)");
    if (merge)
        return to_stdout ? cs_fail(err, CS_EUSAGE, "--merge needs a folder (-o DIR)") : 0;
    p->dir = to_stdout ? NULL : output;
    if (!format)
        format = to_stdout ? "geojson" : "geojson,csv";
    if (cs_polygons_set_formats(p, format, err) != 0)
        return -1;
    if (to_stdout && (p->formats & (p->formats - 1)))
        return cs_fail(err, CS_EUSAGE, "one --format only goes to standard output");
    if (measure)
        return cs_polygons_set_measures(p, measure, err);
    p->shape = true;
    p->intensity = CS_INTENSITY_IF_THERE;
    return 0;
}

static int run(struct context *context)
{
    struct cs_err err = {0};
    struct cs_filter filter = {
        .tool = tool.name,
        .input = input,
        .transport = (enum cs_transport)transport,
        .limits = context->polygons.limits,
        .head = on_head,
        .item = on_item,
        .finished = on_finished,
        .context = context,
        .sink = true,
    };
    filter.limits.loose = filter.limits.shown = 1u << context->polygons.plane;
    filter.limits.band = on_band;
    filter.limits.context = context;
    int status = cs_filter_run(&filter);
    cs_polygons_drop(&context->polygons); // of a stream that broke off
    if (progress && context->progress.start > 0)
        cs_progress_end(&context->progress);
    if (cs_manifest_close(context->polygons.manifest, &err) != 0) {
        cs_log(CS_LOG_ERROR, "%s", err.text);
        status = status ? status : cs_err_status(err.code);
    }
    return status;
}

int main(int argc, char **argv)
{
    struct cs_err err = {0};
    struct context context = {.polygons = {.header_channels = -1}};
    int first, status;
    int parsed = cs_opt_parse(&tool, argc, argv, &first, &err);
    if (parsed)
        return parsed > 0 ? 0 : cs_opt_die(&tool, &err);
    if (first < argc) {
        cs_fail(&err, CS_EUSAGE, "unexpected argument '%s' (see --help)", argv[first]);
        return cs_opt_die(&tool, &err);
    }
    if (check_options(&context.polygons, &err) != 0)
        return cs_opt_die(&tool, &err);
    if (merge) {
        if (cs_merge(output, &status, &err) != 0)
            return cs_opt_die(&tool, &err);
        if (status == cs_err_status(CS_ENOINPUT))
            cs_log(CS_LOG_WARN, "%s holds no record of a run", output);
        return status;
    }
    context.polygons.simplify_px = simplify_px;
    context.polygons.plane = plane ? CS_PLANE_IMAGE : CS_PLANE_LABELS;
    context.polygons.limits =
        (struct cs_item_limits){.spill_bytes = spill_bytes, .scratch_dir = scratch_dir};
    return run(&context);
}
