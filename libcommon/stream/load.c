// SPDX-License-Identifier: MIT
#include "stream/load.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

enum {
    MOST_AHEAD = 16,               // threads
    AHEAD_BYTES = 8 << 20,         // samples of a file that is decoded ahead; of the file itself
    AHEAD_ROOM = 40 << 20,         // for decoding it
    AHEAD_THREAD_BYTES = 64 << 20, // with its record, and tables of strips that libtiff makes up
    PROGRAM_BYTES = 16 << 20,      // of code, libraries and their tables
};

int cs_load_share(struct cs_load *load, uint64_t memory, uint64_t ring_bytes, int threads,
                  struct cs_err *err)
{
    uint64_t fit = memory / 4 / AHEAD_THREAD_BYTES;
    // Nothing is gained on one processor.
    load->threads = threads < 2 ? 0 : threads < MOST_AHEAD ? threads : MOST_AHEAD;
    if (fit < (uint64_t)load->threads)
        load->threads = (int)fit;
    // Two records more than threads: the one that is written, and the one that comes next.
    uint64_t records = load->threads ? 2 * AHEAD_BYTES : 0;
    if (cs_room_init(&load->room, memory, PROGRAM_BYTES + ring_bytes + records, err) != 0)
        return -1;
    // With more memory there are records, and a ring of the usual size.
    load->room.program =
        PROGRAM_BYTES + 2 * AHEAD_BYTES + (ring_bytes > CS_RING_BYTES ? ring_bytes : CS_RING_BYTES);
    return 0;
}

// ---- Ahead ---------------------------------------------------------------------------------

struct ahead {
    struct cs_loader threads[MOST_AHEAD]; // what each works with
    struct cs_loader *main;
    const char *path; // that is being written
};

// Files of few samples; commands and standard input have their turn only.
static int make_ahead(size_t i, int thread, struct cs_record *record, void *context)
{
    struct ahead *a = context;
    struct cs_loader *loader = &a->threads[thread];
    const struct cs_load *load = loader->load;
    const struct cs_input *input = &load->inputs.list[i];
    struct cs_err err;
    struct stat st;
    if (cs_drain_status() || strcmp(input->path, "-") == 0 ||
        cs_decoder_find(load->decoders, load->decoder_count, input->path) ||
        stat(input->path, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > AHEAD_BYTES)
        return -1;
    loader->record = record;
    return cs_loader_file(loader, input, &err);
}

static void tell_failure(const struct cs_meta *done, void *context)
{
    const struct ahead *a = context;
    const char *text = cs_meta_get(done, CS_KEY_ERROR_TEXT);
    if (text)
        cs_loader_failed(a->main, a->path, text);
}

// Decoding is never what the stages behind wait for, as long as there are threads for it.
static struct cs_ahead *open_ahead(struct ahead *a)
{
    const struct cs_load *load = a->main->load;
    struct cs_err ignored;
    struct cs_ahead *ahead;
    struct cs_ahead_how how = {.count = load->inputs.count,
                               .threads = load->threads,
                               .most_bytes = AHEAD_BYTES,
                               .make = make_ahead,
                               .context = a};
    if (how.count < 2 || how.threads < 1)
        return NULL;
    for (int i = 0; i < how.threads; i++)
        a->threads[i] = (struct cs_loader){
            .load = load, .room = {.bytes = AHEAD_ROOM, .program = load->room.program}};
    return cs_ahead_open(&ahead, &how, &ignored) == 0 ? ahead : NULL;
}

int cs_load_run(const struct cs_load *load, struct cs_writer *writer, uint64_t *failed,
                struct cs_err *err)
{
    struct cs_loader main = {.load = load, .room = load->room, .writer = writer};
    struct ahead *a = cs_xcalloc(1, sizeof *a);
    a->main = &main;
    struct cs_ahead *ahead = open_ahead(a);
    int status = 0;
    for (size_t i = 0; i < load->inputs.count && status == 0 && !cs_drain_status(); i++) {
        const struct cs_input *input = &load->inputs.list[i];
        const struct cs_record *record = ahead ? cs_ahead_next(ahead) : NULL;
        cs_log(CS_LOG_INFO, "%s", input->path);
        a->path = input->path;
        status = record ? cs_record_write(record, writer, tell_failure, a, err)
                        : cs_loader_file(&main, input, err);
    }
    cs_ahead_close(ahead);
    free(a);
    cs_loader_release(&main);
    *failed = main.failed;
    return status;
}
