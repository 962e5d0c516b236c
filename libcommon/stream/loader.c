// SPDX-License-Identifier: MIT
#include "stream/loader.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "image/decode.h"
#include "stream/plan_meta.h"
#include "stream/relay.h"

void cs_loader_failed(struct cs_loader *loader, const char *path, const char *text)
{
    cs_log(CS_LOG_ERROR, "%s: %s", path, text);
    loader->failed++;
}

void cs_loader_release(struct cs_loader *loader)
{
    free(loader->band);
    loader->band = NULL;
    loader->band_bytes = 0;
}

// ---- The file ------------------------------------------------------------------------------

// What is known of the file before it is read, and, after that, whether it is still so: rows of a
// file that is being written are no image.
static int note_input(struct cs_loader *l, const char *path, struct cs_err *err)
{
    l->input.st_mode = 0;
    if (strcmp(path, "-") == 0)
        return 0;
    if (stat(path, &l->input) != 0)
        return cs_fail_errno(err, CS_EIO, "cannot be read");
    if (!S_ISREG(l->input.st_mode))
        l->input.st_mode = 0;
    return 0;
}

static int check_unchanged(const struct cs_loader *l, const char *path, struct cs_err *err)
{
    const struct stat *was = &l->input;
    struct stat now;
    if (!was->st_mode || stat(path, &now) != 0 || // gone, but what was open could be read
        (now.st_size == was->st_size && now.st_mtim.tv_sec == was->st_mtim.tv_sec &&
         now.st_mtim.tv_nsec == was->st_mtim.tv_nsec))
        return 0;
    return cs_fail(err, CS_EINPUT, "the file changed while it was read");
}

static void set_input(struct cs_meta *begin, const struct cs_loader *l,
                      const struct cs_input *input)
{
    const struct stat *st = &l->input;
    uint64_t hash;
    cs_meta_setf(begin, CS_KEY_INPUT "index", "%zu", input->index);
    if (!st->st_mode)
        return;
    cs_meta_setf(begin, CS_KEY_INPUT "bytes", "%lld", (long long)st->st_size);
    cs_meta_setf(begin, CS_KEY_INPUT "mtime_ns", "%lld",
                 (long long)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec);
    if (l->load->checksum && cs_xxh3_file(input->path, &hash, NULL) == 0)
        cs_meta_setf(begin, CS_KEY_INPUT "xxh3", "%016llx", (unsigned long long)hash);
}

// ---- Where items go ------------------------------------------------------------------------

static int begin_item(struct cs_loader *l, const struct cs_meta *begin, struct cs_err *err)
{
    return l->record ? cs_record_begin(l->record, begin, err)
                     : cs_writer_begin(l->writer, begin, err);
}

static int end_item(struct cs_loader *l, const struct cs_meta *done, struct cs_err *err)
{
    return l->record ? cs_record_done(l->record, done, err) : cs_writer_done(l->writer, done, err);
}

static int put_rows(struct cs_loader *l, const struct cs_image *shape, uint32_t first,
                    uint32_t rows, const void *samples, struct cs_err *err)
{
    return l->record ? cs_record_data(l->record, CS_PLANE_IMAGE, shape, first, rows, samples, err)
                     : cs_writer_data(l->writer, CS_PLANE_IMAGE, shape, first, rows, samples, err);
}

// Space for some rows: in the record itself, or of our own.
static void *band_of(struct cs_loader *l, size_t bytes, struct cs_err *err)
{
    if (l->record)
        return cs_record_reserve(l->record, bytes, err);
    if (bytes > l->band_bytes) {
        cs_loader_release(l);
        l->band = cs_alloc(1, bytes, "image rows", err);
        l->band_bytes = l->band ? bytes : 0;
    }
    return l->band;
}

// ---- Items ---------------------------------------------------------------------------------

// -1 with *fatal set when the output failed, -1 when the item did.
static int write_rows(struct cs_loader *l, const struct cs_plan *plan, uint32_t n, bool *fatal,
                      struct cs_err *err)
{
    struct cs_decode decode;
    struct cs_image shape = {.width = plan->width,
                             .height = plan->height,
                             .channels = plan->channel_count,
                             .dtype = plan->conversion.dtype};
    int status = cs_decode_init(&decode, plan, n, err);
    uint32_t band = status == 0 ? cs_decode_band_rows(&decode, CS_BAND_BYTES) : 1;
    for (uint32_t y = 0; y < plan->height && status == 0; y += band) {
        uint32_t rows = plan->height - y < band ? plan->height - y : band;
        void *samples = band_of(l, rows * cs_image_row_bytes(&shape), err);
        status = samples ? cs_decode_rows(&decode, rows, samples, err) : -1;
        if (status == 0 && (status = put_rows(l, &shape, y, rows, samples, err)) != 0)
            *fatal = true;
    }
    cs_decode_release(&decode);
    return status;
}

// BEGIN, the rows unless there already is an error, DONE. -1: the output failed, or the item is to
// be made once more with more memory than a thread has.
static int write_item(struct cs_loader *l, const struct cs_meta *begin, struct cs_plan *plan,
                      uint32_t n, const char *path, struct cs_err *why, struct cs_err *err)
{
    struct cs_meta done = {0};
    bool fatal = false;
    int64_t start = cs_clock_ms();
    if (begin_item(l, begin, err) != 0)
        return -1;
    if (why->code == CS_OK && write_rows(l, plan, n, &fatal, why) == 0)
        check_unchanged(l, path, why);
    if (fatal || (l->record && why->code == CS_ENOMEM)) {
        *err = *why;
        return -1;
    }
    cs_meta_set(&done, CS_KEY_STATUS, why->code == CS_OK ? "ok" : "failed");
    if (why->code != CS_OK) {
        // A file that cannot be read is as bad as one that cannot be decoded.
        enum cs_code code = why->code == CS_EIO ? CS_EINPUT : why->code;
        cs_meta_set(&done, CS_KEY_ERROR_CODE, cs_err_item_code(code));
        cs_meta_set(&done, CS_KEY_ERROR_STAGE, l->load->tool);
        cs_meta_set(&done, CS_KEY_ERROR_TEXT, why->text);
        if (!l->record) // else when it is written
            cs_loader_failed(l, path, why->text);
    } else {
        cs_meta_setf(&done, CS_KEY_MS "load", "%lld", (long long)(cs_clock_ms() - start));
    }
    int status = end_item(l, &done, err);
    cs_meta_release(&done);
    return status;
}

// All items of a source that is open; one that says why, where it is not.
static int load_source(struct cs_loader *l, const struct cs_input *input,
                       const struct cs_source *source, const struct cs_err *failure,
                       struct cs_err *err)
{
    struct cs_plan plan = {0};
    struct cs_err why = *failure;
    int status = 0;
    bool fine = why.code == CS_OK && cs_plan_make(&plan, &l->load->pick, source, &why) == 0 &&
                cs_input_check_items(input, plan.items, &why) == 0;
    if (!fine)
        plan.items = 1;
    for (uint32_t n = 0; n < plan.items && status == 0 && !cs_drain_status(); n++) {
        struct cs_plan_item item = {0};
        struct cs_meta begin = {0};
        cs_meta_set(&begin, CS_KEY_SOURCE, input->path);
        cs_meta_set(&begin, CS_KEY_OUTPUT, input->output);
        cs_meta_set(&begin, CS_KEY_ITEMS, "1");
        set_input(&begin, l, input);
        if (fine) {
            why = (struct cs_err){0};
            cs_plan_item(&plan, n, &item);
            cs_plan_meta_item(&begin, &plan, n);
            if (cs_plan_start(&plan, n, &why) == 0)
                cs_plan_meta_page(&begin, &plan);
        }
        cs_meta_setf(&begin, CS_KEY_OUTPUT, "%s%s", input->output, item.suffix);
        status = write_item(l, &begin, &plan, n, input->path, &why, err);
        cs_meta_release(&begin);
    }
    cs_plan_release(&plan);
    return status;
}

// ---- Streams of a decoder ------------------------------------------------------------------

struct relayed {
    struct cs_loader *loader;
    const struct cs_input *input;
    uint32_t items;
};

static void relay_begin(struct cs_meta *begin, uint32_t n, void *context)
{
    const struct relayed *r = context;
    const struct cs_pick *pick = &r->loader->load->pick;
    cs_meta_set(begin, CS_KEY_SOURCE, r->input->path);
    cs_meta_setf(begin, CS_KEY_ITEMS, "%u", r->items);
    set_input(begin, r->loader, r->input);
    if (r->items > 1)
        cs_meta_setf(begin, CS_KEY_PAGE, "%u", n);
    if (pick->pixel_um > 0) {
        cs_meta_setf(begin, CS_KEY_PIXEL, "%.9g", pick->pixel_um);
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
    cs_loader_failed(r->loader, r->input->path, text ? text : "failed in the decoder's stream");
}

static bool chooses_planes(const struct cs_pick *pick)
{
    return pick->channels || pick->z.kind != CS_RANGE_UNSET || pick->time.kind != CS_RANGE_UNSET ||
           pick->page.kind != CS_RANGE_UNSET || pick->series >= 0 || pick->cropped;
}

// 1: the descriptor holds no stream; else as load_source.
static int load_stream(struct cs_loader *l, const struct cs_input *input, int fd,
                       struct cs_err *why, struct cs_err *err)
{
    char magic[4];
    struct relayed relayed = {.loader = l, .input = input};
    struct cs_relay relay = {relay_begin, relay_done, &relayed};
    if (pread(fd, magic, sizeof magic, 0) != sizeof magic || memcmp(magic, "CSF1", 4) != 0)
        return 1;
    if (chooses_planes(&l->load->pick))
        cs_fail(why, CS_EINPUT,
                "the decoder gives a stream: -c, -z, --time, --series, --page and --crop are its "
                "own business");
    else if (check_unchanged(l, input->path, why) == 0 &&
             cs_relay_check(fd, &l->room, &relayed.items, why) == 0 &&
             cs_input_check_items(input, relayed.items, why) == 0)
        return cs_relay_run(&relay, fd, l->writer, err);
    return load_source(l, input, NULL, why, err);
}

// ---- Files ---------------------------------------------------------------------------------

int cs_loader_file(struct cs_loader *l, const struct cs_input *input, struct cs_err *err)
{
    struct cs_source source = {.fd = -1};
    struct cs_err why = {0};
    int fd = -1, status = 1;
    const struct cs_decoder *decoder =
        cs_decoder_find(l->load->decoders, l->load->decoder_count, input->path);
    bool there = note_input(l, input->path, &why) == 0;
    if (there && !decoder)
        cs_source_open(&source, input->path, &l->room, &why);
    else if (there && cs_decoder_run(decoder, input->path, &fd, &why) == 0)
        status = load_stream(l, input, fd, &why, err);
    if (fd >= 0 && status == 1)
        cs_source_open_fd(&source, fd, &l->room, &why);
    else if (fd >= 0)
        close(fd);
    if (status == 1)
        status = load_source(l, input, &source, &why, err);
    cs_source_close(&source);
    return status;
}
