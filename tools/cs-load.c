// SPDX-License-Identifier: MIT
// cs-load: image files in, a stream of planes out.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/backend.h"
#include "base/log.h"
#include "export/resume.h"
#include "infer/infer.h"
#include "shared_options.h"
#include "stream/load.h"

#define MOST_MEMORY ((uint64_t)4 << 30) // the default, where there is as much

static struct cs_opt_list include, exclude, decoder_list;
static const char *files_from, *shard, *channels, *z, *times, *page, *crop;
static const char *resume_from;
static bool nul, raw, checksum, list_only, retry_failed;
static int64_t sample, series = -1;
static double pixel_um;
static int transport;
static uint64_t memory, ring_bytes;

static const struct cs_opt options[] = {
    {'F', "files-from", CS_OPT_STRING, &files_from, "FILE", "read names of files from FILE or -",
     .env = NULL},
    {'0', "null", CS_OPT_FLAG, &nul, NULL, "names in that list end with NUL, not newline",
     .env = NULL},
    {0, "include", CS_OPT_LIST, &include, "GLOB", "take only files that match", .env = NULL},
    {0, "exclude", CS_OPT_LIST, &exclude, "GLOB", "leave out files and folders that match",
     .env = NULL},
    {0, "shard", CS_OPT_STRING, &shard, "I/N", "take the Ith of N parts of the files", .env = NULL},
    {0, "sample", CS_OPT_INT, &sample, "N", "take N files, evenly spread", .min = 1, .max = 1e9},
    {'c', "channel", CS_OPT_STRING, &channels, "LIST", "channels by index or name, or all", true,
     .env = NULL},
    {'z', "z", CS_OPT_STRING, &z, "N", "z plane N, A-B, all, or the max or mean along z", true,
     .env = NULL},
    {0, "time", CS_OPT_STRING, &times, "N", "time point N, A-B or all", true, .env = NULL},
    {0, "series", CS_OPT_INT, &series, "N", "series (image) of the file", true, .min = 0,
     .max = 4095},
    {0, "page", CS_OPT_STRING, &page, "N", "page N, A-B or all, whatever the axes", true,
     .env = NULL},
    {'p', "pixel-size", CS_OPT_REAL, &pixel_um, "UM", "micrometres a pixel", true, .min = 1e-6,
     .max = 1e6},
    {0, "crop", CS_OPT_STRING, &crop, "X,Y,W,H", "only this part of each plane", true, .env = NULL},
    {0, "raw", CS_OPT_FLAG, &raw, NULL, "samples as stored, without conversion", true, .env = NULL},
    {0, "decoder", CS_OPT_LIST, &decoder_list, "EXT=CMD",
     "a command that reads files of this extension", true, .env = NULL},
    {0, "checksum", CS_OPT_FLAG, &checksum, NULL, "record a hash of each file", .env = NULL},
    {0, "resume", CS_OPT_STRING, &resume_from, "DIR",
     "leave out files that are done by the manifest in DIR", .env = NULL},
    {0, "retry-failed", CS_OPT_FLAG, &retry_failed, NULL,
     "with --resume: files that failed are not done", .env = NULL},
    {0, "list", CS_OPT_FLAG, &list_only, NULL,
     "print \"todo\" or \"done\" and the name of each file", .env = NULL},
    {0, "memory", CS_OPT_SIZE, &memory, "SIZE", "limit; 0: 4G, or half of what there is",
     .env = "CELLSTREAM_MEMORY"},
    OPT_TRANSPORT(&transport),
    OPT_RING(&ring_bytes),
    {.name = NULL},
};
static const struct cs_tool tool = {"cs-load", "[OPTION]... FILE|DIR...",
                                    "Read image files into a stream.", options};

// ---- What was asked for --------------------------------------------------------------------

static int parse_pick(struct cs_pick *pick, struct cs_err *err)
{
    *pick =
        (struct cs_pick){.series = series, .channels = channels, .pixel_um = pixel_um, .raw = raw};
    if (page && (z || times || series >= 0))
        return cs_fail(err, CS_EUSAGE, "--page goes without -z, --time and --series");
    if ((z && cs_range_parse(&pick->z, z, "-z", true, err) != 0) ||
        (times && cs_range_parse(&pick->time, times, "--time", false, err) != 0) ||
        (page && cs_range_parse(&pick->page, page, "--page", false, err) != 0) ||
        (crop && cs_crop_parse(pick, crop, err) != 0))
        return -1;
    return 0;
}

static int parse_decoders(struct cs_load *load, struct cs_err *err)
{
    if (decoder_list.count > CS_MAX_DECODERS)
        return cs_fail(err, CS_EUSAGE, "--decoder: more than %d", CS_MAX_DECODERS);
    for (int i = 0; i < decoder_list.count; i++)
        if (cs_decoder_parse(&load->decoders[load->decoder_count++], decoder_list.items[i], err) !=
            0)
            return -1;
    return 0;
}

static int collect(struct cs_load *load, char **operands, int count, struct cs_err *err)
{
    struct cs_inputs *inputs = &load->inputs;
    if (parse_decoders(load, err) != 0)
        return -1;
    struct cs_inputs_options filter = {.include = include.items,
                                       .include_count = include.count,
                                       .exclude = exclude.items,
                                       .exclude_count = exclude.count,
                                       .sample = (uint64_t)sample,
                                       .decoders = load->decoders,
                                       .decoder_count = load->decoder_count};
    int images_on_stdin = 0;
    if (!count && !files_from)
        return cs_fail(err, CS_EUSAGE, "no files given (see --help)");
    if (shard && cs_shard_parse(&filter, shard, err) != 0)
        return -1;
    for (int i = 0; i < count; i++)
        images_on_stdin += strcmp(operands[i], "-") == 0;
    if (images_on_stdin + (files_from && strcmp(files_from, "-") == 0) > 1)
        return cs_fail(err, CS_EUSAGE, "standard input can be used once only");
    for (int i = 0; i < count; i++)
        if (cs_inputs_add(inputs, operands[i], &filter, err) != 0)
            return -1;
    if (files_from && cs_inputs_add_list(inputs, files_from, nul, &filter, err) != 0)
        return -1;
    return cs_inputs_finish(inputs, &filter, err);
}

// --resume: keep what is not done. --list: say which is which, and keep nothing.
static int leave_out_done(struct cs_inputs *inputs, struct cs_err *err)
{
    struct cs_resume_options how = {.checksum = checksum, .retry_failed = retry_failed};
    struct cs_resume *resume = NULL;
    size_t kept = 0, total = inputs->count;
    if (resume_from && cs_resume_open(&resume, resume_from, &how, err) != 0)
        return -1;
    for (size_t i = 0; i < total; i++) {
        struct cs_input *input = &inputs->list[i];
        bool done = resume && cs_resume_done(resume, input->path);
        if (list_only)
            printf("%s\t%s%c", done ? "done" : "todo", input->path, nul ? '\0' : '\n');
        if (done || list_only)
            cs_input_release(input);
        else
            inputs->list[kept++] = *input;
    }
    inputs->count = kept;
    cs_resume_close(resume);
    if (list_only)
        return fflush(stdout) == 0 ? 0 : cs_fail_errno(err, CS_EIO, "standard output");
    if (!kept)
        return cs_fail(err, CS_ENOINPUT, "all %zu inputs are done already", total);
    return 0;
}

// ---- The stream ----------------------------------------------------------------------------

static int write_head(struct cs_writer *writer, size_t inputs, struct cs_err *err)
{
    struct cs_meta head = {0};
    struct cs_buf parameters = {0};
    cs_opt_canonical(&tool, &parameters);
    cs_meta_set(&head, CS_KEY_TOOL, tool.name);
    cs_meta_setf(&head, CS_KEY_INPUTS, "%zu", inputs);
    cs_meta_setf(&head, CS_KEY_PROV "cs-load", "%s %s", CS_VERSION, parameters.data);
    int status = cs_writer_head(writer, &head, err);
    cs_buf_release(&parameters);
    cs_meta_release(&head);
    return status;
}

// No input is told to the stages behind, so that the last of them ends with the same status.
static int end_empty(struct cs_writer *writer, const struct cs_err *why)
{
    struct cs_err err;
    cs_log(CS_LOG_ERROR, "%s", why->text);
    if (write_head(writer, 0, &err) != 0 ||
        cs_writer_end(writer, cs_err_status(why->code), why->text, &err) != 0)
        return cs_opt_die(&tool, &err);
    return cs_err_status(why->code);
}

static int run(const struct cs_load *load, struct cs_writer *writer, uint64_t *failed,
               struct cs_err *err)
{
    if (write_head(writer, load->inputs.count, err) != 0 ||
        cs_load_run(load, writer, failed, err) != 0)
        return -1;
    int drained = cs_drain_status();
    return cs_writer_end(writer, drained, drained ? "stopped by a signal" : NULL, err);
}

// By default half of what there is, and no more than any file needs.
static int share_memory(struct cs_load *load, struct cs_err *err)
{
    uint64_t usable = cs_usable_memory() / 2, all = memory;
    if (!all)
        all = usable < MOST_MEMORY ? usable : MOST_MEMORY;
    if (!ring_bytes)
        ring_bytes = all / 8 < CS_RING_BYTES ? all / 8 : CS_RING_BYTES;
    cs_settle_memory();
    return cs_load_share(load, all, ring_bytes, cs_usable_threads(), err);
}

int main(int argc, char **argv)
{
    struct cs_load load = {.tool = tool.name};
    struct cs_writer *writer = NULL;
    struct cs_err err = {0};
    uint64_t failed = 0;
    int first, status = cs_opt_parse(&tool, argc, argv, &first, &err);
    if (status != 0)
        return status > 0 ? 0 : cs_opt_die(&tool, &err);
    cs_drain_install();
    if (list_only) {
        bool listed = collect(&load, argv + first, argc - first, &err) == 0 &&
                      leave_out_done(&load.inputs, &err) == 0;
        cs_inputs_release(&load.inputs);
        return listed ? 0 : cs_opt_die(&tool, &err);
    }
    if (parse_pick(&load.pick, &err) != 0 || share_memory(&load, &err) != 0 ||
        cs_writer_open(&writer, STDOUT_FILENO, (enum cs_transport)transport, ring_bytes, &err) != 0)
        return cs_opt_die(&tool, &err);
    load.checksum = checksum;
    if (collect(&load, argv + first, argc - first, &err) != 0 ||
        (resume_from && leave_out_done(&load.inputs, &err) != 0))
        status = err.code == CS_ENOINPUT ? end_empty(writer, &err) : cs_opt_die(&tool, &err);
    else if (run(&load, writer, &failed, &err) != 0)
        status = cs_writer_closed(writer) ? 128 + SIGPIPE : cs_opt_die(&tool, &err);
    else
        status = cs_drain_status() ? cs_drain_status() : failed ? 1 : 0;
    cs_writer_close(writer);
    cs_inputs_release(&load.inputs);
    cs_opt_list_release(&include);
    cs_opt_list_release(&exclude);
    cs_opt_list_release(&decoder_list);
    return status;
}
