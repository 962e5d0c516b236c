// SPDX-License-Identifier: MIT
// cs-load: image files in, a stream of planes out.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/backend.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "export/resume.h"
#include "image/decode.h"
#include "image/inputs.h"
#include "shared_options.h"
#include "stream/ahead.h"
#include "stream/plan_meta.h"
#include "stream/relay.h"

static struct cs_opt_list include, exclude, decoder_list;
static const char *files_from, *shard, *channels, *z, *times, *page, *crop;
static const char *resume_from;
static bool nul, raw, checksum, list_only, retry_failed;
static int64_t sample, series = -1;
static double pixel_um;
static int transport;
static uint64_t ring_bytes;

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
    OPT_TRANSPORT(&transport),
    OPT_RING(&ring_bytes),
    {.name = NULL},
};
static const struct cs_tool tool = {"cs-load", "[OPTION]... FILE|DIR...",
                                    "Read image files into a stream.", options};

struct load {
    struct cs_inputs inputs;
    struct cs_pick pick;
    struct cs_decoder decoders[CS_MAX_DECODERS];
    int decoder_count;
    struct cs_writer *writer;
    struct cs_record *record; // takes the items instead, in a thread that is ahead
    void *band;
    size_t band_bytes;
    uint64_t failed;
    struct stat input; // the present file before it was opened; no regular file: mode 0
};

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

static int parse_decoders(struct load *load, struct cs_err *err)
{
    if (decoder_list.count > CS_MAX_DECODERS)
        return cs_fail(err, CS_EUSAGE, "--decoder: more than %d", CS_MAX_DECODERS);
    for (int i = 0; i < decoder_list.count; i++)
        if (cs_decoder_parse(&load->decoders[load->decoder_count++], decoder_list.items[i], err) !=
            0)
            return -1;
    return 0;
}

static int collect(struct load *load, char **operands, int count, struct cs_err *err)
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
        if (done || list_only) {
            free(input->path);
            free(input->output);
        } else {
            inputs->list[kept++] = *input;
        }
    }
    inputs->count = kept;
    cs_resume_close(resume);
    if (list_only)
        return fflush(stdout) == 0 ? 0 : cs_fail_errno(err, CS_EIO, "standard output");
    if (!kept)
        return cs_fail(err, CS_ENOINPUT, "all %zu inputs are done already", total);
    return 0;
}

// ---- Metadata ------------------------------------------------------------------------------

static int write_head(struct load *load, struct cs_err *err)
{
    struct cs_meta head = {0};
    struct cs_buf parameters = {0};
    cs_opt_canonical(&tool, &parameters);
    cs_meta_set(&head, CS_KEY_TOOL, tool.name);
    cs_meta_setf(&head, CS_KEY_INPUTS, "%zu", load->inputs.count);
    cs_meta_setf(&head, CS_KEY_PROV "cs-load", "%s %s", CS_VERSION, parameters.data);
    int status = cs_writer_head(load->writer, &head, err);
    cs_buf_release(&parameters);
    cs_meta_release(&head);
    return status;
}

static void set_input(struct cs_meta *begin, const struct load *load, const struct cs_input *input)
{
    const struct stat *st = &load->input;
    uint64_t hash;
    cs_meta_setf(begin, CS_KEY_INPUT "index", "%zu", input->index);
    if (!st->st_mode)
        return;
    cs_meta_setf(begin, CS_KEY_INPUT "bytes", "%lld", (long long)st->st_size);
    cs_meta_setf(begin, CS_KEY_INPUT "mtime_ns", "%lld",
                 (long long)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec);
    if (checksum && cs_xxh3_file(input->path, &hash, NULL) == 0)
        cs_meta_setf(begin, CS_KEY_INPUT "xxh3", "%016llx", (unsigned long long)hash);
}

// ---- Items ---------------------------------------------------------------------------------

// What is known of the file before it is read, and, after that, whether it is still so: rows of a
// file that is being written are no image.
static int note_input(struct load *load, const char *path, struct cs_err *err)
{
    load->input.st_mode = 0;
    if (strcmp(path, "-") == 0)
        return 0;
    if (stat(path, &load->input) != 0)
        return cs_fail_errno(err, CS_EIO, "cannot be read");
    if (!S_ISREG(load->input.st_mode))
        load->input.st_mode = 0;
    return 0;
}

static int check_unchanged(const struct load *load, const char *path, struct cs_err *err)
{
    const struct stat *was = &load->input;
    struct stat now;
    if (!was->st_mode || stat(path, &now) != 0 || // gone, but what was open could be read
        (now.st_size == was->st_size && now.st_mtim.tv_sec == was->st_mtim.tv_sec &&
         now.st_mtim.tv_nsec == was->st_mtim.tv_nsec))
        return 0;
    return cs_fail(err, CS_EINPUT, "the file changed while it was read");
}

// -1 with *fatal set when the output failed, -1 when the item did.
static int write_rows(struct load *load, const struct cs_plan *plan, uint32_t n, bool *fatal,
                      struct cs_err *err)
{
    struct cs_decode decode;
    struct cs_image shape = {.width = plan->width,
                             .height = plan->height,
                             .channels = plan->channel_count,
                             .dtype = plan->conversion.dtype};
    cs_decode_init(&decode, plan, n);
    uint32_t band = cs_decode_band_rows(&decode, CS_BAND_BYTES);
    size_t row_bytes = cs_image_row_bytes(&shape);
    int status = 0;
    if (row_bytes * band > load->band_bytes) {
        free(load->band);
        load->band_bytes = 0;
        load->band = cs_alloc(band, row_bytes, "image rows", err);
        status = load->band ? 0 : -1;
        load->band_bytes = load->band ? row_bytes * band : 0;
    }
    for (uint32_t y = 0; y < plan->height && status == 0; y += band) {
        uint32_t rows = plan->height - y < band ? plan->height - y : band;
        status = cs_decode_rows(&decode, rows, load->band, err);
        if (status != 0)
            break;
        status =
            load->record
                ? cs_record_data(load->record, CS_PLANE_IMAGE, &shape, y, rows, load->band, err)
                : cs_writer_data(load->writer, CS_PLANE_IMAGE, &shape, y, rows, load->band, err);
        *fatal = status != 0;
    }
    cs_decode_release(&decode);
    return status;
}

static void log_failure(struct load *load, const char *path, const char *text)
{
    cs_log(CS_LOG_ERROR, "%s: %s", path, text);
    load->failed++;
}

// BEGIN, the rows unless there already is an error, DONE. -1: the output failed.
static int write_item(struct load *load, const struct cs_meta *begin, struct cs_plan *plan,
                      uint32_t n, const char *path, struct cs_err *why, struct cs_err *err)
{
    struct cs_meta done = {0};
    bool fatal = false;
    int64_t start = cs_clock_ms();
    if ((load->record ? cs_record_begin(load->record, begin, err)
                      : cs_writer_begin(load->writer, begin, err)) != 0)
        return -1;
    if (why->code == CS_OK && write_rows(load, plan, n, &fatal, why) == 0)
        check_unchanged(load, path, why);
    if (fatal) {
        *err = *why;
        return -1;
    }
    cs_meta_set(&done, CS_KEY_STATUS, why->code == CS_OK ? "ok" : "failed");
    if (why->code != CS_OK) {
        // A file that cannot be read is as bad as one that cannot be decoded.
        enum cs_code code = why->code == CS_EIO ? CS_EINPUT : why->code;
        cs_meta_set(&done, CS_KEY_ERROR_CODE, cs_err_item_code(code));
        cs_meta_set(&done, CS_KEY_ERROR_STAGE, tool.name);
        cs_meta_set(&done, CS_KEY_ERROR_TEXT, why->text);
        if (!load->record) // else when it is written
            log_failure(load, path, why->text);
    } else {
        cs_meta_setf(&done, CS_KEY_MS "load", "%lld", (long long)(cs_clock_ms() - start));
    }
    int status = load->record ? cs_record_done(load->record, &done, err)
                              : cs_writer_done(load->writer, &done, err);
    cs_meta_release(&done);
    return status;
}

// All items of a source that is open; one that says why, where it is not.
static int load_source(struct load *load, const struct cs_input *input,
                       const struct cs_source *source, const struct cs_err *failure,
                       struct cs_err *err)
{
    struct cs_plan plan = {0};
    struct cs_err why = *failure;
    int status = 0;
    bool fine = why.code == CS_OK && cs_plan_make(&plan, &load->pick, source, &why) == 0;
    if (!fine)
        plan.items = 1;
    for (uint32_t n = 0; n < plan.items && status == 0 && !cs_drain_status(); n++) {
        struct cs_plan_item item = {0};
        struct cs_meta begin = {0};
        cs_meta_set(&begin, CS_KEY_SOURCE, input->path);
        cs_meta_set(&begin, CS_KEY_OUTPUT, input->output);
        cs_meta_set(&begin, CS_KEY_ITEMS, "1");
        set_input(&begin, load, input);
        if (fine) {
            why = (struct cs_err){0};
            cs_plan_item(&plan, n, &item);
            cs_plan_meta_item(&begin, &plan, n);
            if (cs_plan_start(&plan, n, &why) == 0)
                cs_plan_meta_page(&begin, &plan);
        }
        cs_meta_setf(&begin, CS_KEY_OUTPUT, "%s%s", input->output, item.suffix);
        status = write_item(load, &begin, &plan, n, input->path, &why, err);
        cs_meta_release(&begin);
    }
    cs_plan_release(&plan);
    return status;
}

// ---- Streams of a decoder ------------------------------------------------------------------

struct relayed {
    struct load *load;
    const struct cs_input *input;
    uint32_t items;
};

static void relay_begin(struct cs_meta *begin, uint32_t n, void *context)
{
    const struct relayed *r = context;
    cs_meta_set(begin, CS_KEY_SOURCE, r->input->path);
    cs_meta_setf(begin, CS_KEY_ITEMS, "%u", r->items);
    set_input(begin, r->load, r->input);
    if (r->items > 1)
        cs_meta_setf(begin, CS_KEY_PAGE, "%u", n);
    if (pixel_um > 0) {
        cs_meta_setf(begin, CS_KEY_PIXEL, "%.9g", pixel_um);
        cs_meta_remove(begin, CS_KEY_PIXEL_Y);
    }
    if (r->items > 1)
        cs_meta_setf(begin, CS_KEY_OUTPUT, "%s.p%03u", r->input->output, n);
    else
        cs_meta_set(begin, CS_KEY_OUTPUT, r->input->output);
}

static void relay_done(const struct cs_meta *done, void *context)
{
    const struct relayed *r = context;
    const char *status = cs_meta_get(done, CS_KEY_STATUS), *text;
    if (!status || strcmp(status, "failed") != 0)
        return;
    text = cs_meta_get(done, CS_KEY_ERROR_TEXT);
    log_failure(r->load, r->input->path, text ? text : "failed in the decoder's stream");
}

// 1: the descriptor holds no stream; else as load_source.
static int load_stream(struct load *load, const struct cs_input *input, int fd, struct cs_err *why,
                       struct cs_err *err)
{
    char magic[4];
    struct relayed relayed = {.load = load, .input = input};
    struct cs_relay relay = {relay_begin, relay_done, &relayed};
    if (pread(fd, magic, sizeof magic, 0) != sizeof magic || memcmp(magic, "CSF1", 4) != 0)
        return 1;
    if (channels || z || times || page || series >= 0 || crop)
        cs_fail(why, CS_EINPUT,
                "the decoder gives a stream: -c, -z, --time, --series, --page and --crop are its "
                "own business");
    else if (check_unchanged(load, input->path, why) == 0 &&
             cs_relay_check(fd, &relayed.items, why) == 0)
        return cs_relay_run(&relay, fd, load->writer, err);
    return load_source(load, input, NULL, why, err);
}

// ---- Files ---------------------------------------------------------------------------------

static int load_file(struct load *load, const struct cs_input *input, struct cs_err *err)
{
    struct cs_source source = {.fd = -1};
    struct cs_err why = {0};
    int fd = -1, status = 1;
    const struct cs_decoder *decoder =
        cs_decoder_find(load->decoders, load->decoder_count, input->path);
    bool there = note_input(load, input->path, &why) == 0;
    if (there && !decoder)
        cs_source_open(&source, input->path, &why);
    else if (there && cs_decoder_run(decoder, input->path, &fd, &why) == 0)
        status = load_stream(load, input, fd, &why, err);
    if (fd >= 0 && status == 1)
        cs_source_open_fd(&source, fd, &why);
    else if (fd >= 0)
        close(fd);
    if (status == 1)
        status = load_source(load, input, &source, &why, err);
    cs_source_close(&source);
    return status;
}

// ---- Ahead ---------------------------------------------------------------------------------

enum { MOST_AHEAD = 16, AHEAD_BYTES = 8 << 20 }; // threads, samples of a file

struct ahead {
    struct load threads[MOST_AHEAD]; // what each works with
    struct load *main;
    const char *path; // that is being written
};

// Files of few samples; commands and standard input have their turn only.
static int make_ahead(size_t i, int thread, struct cs_record *record, void *context)
{
    struct ahead *a = context;
    struct load *load = &a->threads[thread];
    const struct cs_input *input = &a->main->inputs.list[i];
    struct cs_err err;
    struct stat st;
    if (cs_drain_status() || strcmp(input->path, "-") == 0 ||
        cs_decoder_find(load->decoders, load->decoder_count, input->path) ||
        stat(input->path, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > AHEAD_BYTES)
        return -1;
    load->record = record;
    return load_file(load, input, &err);
}

static void tell_failure(const struct cs_meta *done, void *context)
{
    const struct ahead *a = context;
    const char *text = cs_meta_get(done, CS_KEY_ERROR_TEXT);
    if (text)
        log_failure(a->main, a->path, text);
}

// Decoding is never what the stages behind wait for, as long as there are threads for it.
static struct cs_ahead *open_ahead(struct ahead *a)
{
    struct cs_err ignored;
    struct cs_ahead *ahead;
    int threads = cs_usable_threads();
    struct cs_ahead_how how = {.count = a->main->inputs.count,
                               .threads = threads < MOST_AHEAD ? threads : MOST_AHEAD,
                               .most_bytes = AHEAD_BYTES,
                               .make = make_ahead,
                               .context = a};
    if (how.count < 2 || threads < 2)
        return NULL;
    for (int i = 0; i < how.threads; i++) {
        a->threads[i] = *a->main;
        a->threads[i].band = NULL;
        a->threads[i].band_bytes = 0;
    }
    return cs_ahead_open(&ahead, &how, &ignored) == 0 ? ahead : NULL;
}

static int run(struct load *load, struct cs_err *err)
{
    struct ahead *a = cs_xcalloc(1, sizeof *a);
    int status = write_head(load, err);
    a->main = load;
    struct cs_ahead *ahead = status == 0 ? open_ahead(a) : NULL;
    for (size_t i = 0; i < load->inputs.count && status == 0 && !cs_drain_status(); i++) {
        const struct cs_input *input = &load->inputs.list[i];
        const struct cs_record *record = ahead ? cs_ahead_next(ahead) : NULL;
        cs_log(CS_LOG_INFO, "%s", input->path);
        a->path = input->path;
        status = record ? cs_record_write(record, load->writer, tell_failure, a, err)
                        : load_file(load, input, err);
    }
    cs_ahead_close(ahead);
    for (int i = 0; i < MOST_AHEAD; i++)
        free(a->threads[i].band);
    free(a);
    if (status != 0)
        return -1;
    int drained = cs_drain_status();
    return cs_writer_end(load->writer, drained, drained ? "stopped by a signal" : NULL, err);
}

// No input is told to the stages behind, so that the last of them ends with the same status.
static int end_empty(struct load *load, const struct cs_err *why)
{
    struct cs_err err;
    cs_log(CS_LOG_ERROR, "%s", why->text);
    if (write_head(load, &err) != 0 ||
        cs_writer_end(load->writer, cs_err_status(why->code), why->text, &err) != 0)
        return cs_opt_die(&tool, &err);
    return cs_err_status(why->code);
}

int main(int argc, char **argv)
{
    struct load load = {0};
    struct cs_err err = {0};
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
    if (parse_pick(&load.pick, &err) != 0 ||
        cs_writer_open(&load.writer, STDOUT_FILENO, (enum cs_transport)transport, ring_bytes,
                       &err) != 0)
        return cs_opt_die(&tool, &err);
    if (collect(&load, argv + first, argc - first, &err) != 0 ||
        (resume_from && leave_out_done(&load.inputs, &err) != 0))
        status = err.code == CS_ENOINPUT ? end_empty(&load, &err) : cs_opt_die(&tool, &err);
    else if (run(&load, &err) != 0)
        status = cs_writer_closed(load.writer) ? 128 + SIGPIPE : cs_opt_die(&tool, &err);
    else
        status = cs_drain_status() ? cs_drain_status() : load.failed ? 1 : 0;
    cs_writer_close(load.writer);
    cs_inputs_release(&load.inputs);
    cs_opt_list_release(&include);
    cs_opt_list_release(&exclude);
    cs_opt_list_release(&decoder_list);
    free(load.band);
    return status;
}
