// SPDX-License-Identifier: MIT
// The loop of the stages between the first and the last: read an item, change it, write it.
// What went wrong upstream goes on downstream: failed items pass, END's exit status wins. A broken
// input ends this stage's own output in good order, with the reason in END.
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "stream/stream.h"

enum { STATUS_PIPE = 128 + SIGPIPE };

struct run {
    const struct cs_filter *filter;
    struct cs_reader *reader;
    struct cs_writer *writer; // NULL for a sink
    struct cs_item item;
    struct cs_item_limits limits;
    bool headed;       // HEAD was written
    uint64_t failures; // items that failed here
};

void cs_prov_add(struct cs_meta *head, const char *tool, const char *parameters)
{
    struct cs_buf key = {0};
    cs_buf_addf(&key, "%s%s", CS_KEY_PROV, tool);
    // The same tool twice in a pipeline: "prov.cs-save", "prov.cs-save.2".
    for (int n = 2; cs_meta_get(head, key.data); n++) {
        cs_buf_clear(&key);
        cs_buf_addf(&key, "%s%s.%d", CS_KEY_PROV, tool, n);
    }
    cs_meta_set(head, CS_KEY_TOOL, tool);
    cs_meta_setf(head, key.data, "%s%s%s", CS_VERSION, parameters && *parameters ? " " : "",
                 parameters ? parameters : "");
    cs_buf_release(&key);
}

int cs_planes_parse(const char *list, unsigned *mask, struct cs_err *err)
{
    *mask = 0;
    for (const char *at = list;; at++) {
        size_t len = strcspn(at, ",");
        int plane = 0;
        while (plane < CS_PLANE_COUNT &&
               (strlen(cs_plane_name(plane)) != len || strncmp(at, cs_plane_name(plane), len) != 0))
            plane++;
        if (plane == CS_PLANE_COUNT)
            return cs_fail(err, CS_EUSAGE, "'%.*s' is none of image, probability, labels", (int)len,
                           at);
        *mask |= 1u << plane;
        at += len;
        if (!*at)
            return 0;
    }
}

// HEAD: what came from upstream, what the stage adds, its provenance.
static int pass_head(struct run *run, struct cs_err *err)
{
    const struct cs_filter *f = run->filter;
    struct cs_meta head = {0};
    cs_meta_copy(&head, cs_reader_head(run->reader));
    int result = f->head ? f->head(&head, f->context, err) : 0;
    if (result == 0 && run->writer) {
        cs_prov_add(&head, f->tool, f->parameters);
        result = cs_writer_head(run->writer, &head, err);
        run->headed = result == 0;
    }
    cs_meta_release(&head);
    return result;
}

static void log_failure(const struct run *run)
{
    const char *source = cs_meta_get(&run->item.begin, CS_KEY_SOURCE);
    const char *text = cs_meta_get(&run->item.done, CS_KEY_ERROR_TEXT);
    if (source)
        cs_log(CS_LOG_ERROR, "%s: %s", source, text);
    else
        cs_log(CS_LOG_ERROR, "item %llu: %s", (unsigned long long)run->item.number, text);
}

static void work_on_item(struct run *run)
{
    const struct cs_filter *f = run->filter;
    struct cs_err why = {0};
    const char *stage = cs_meta_get(&run->item.done, CS_KEY_ERROR_STAGE);
    if (cs_item_failed(&run->item)) {
        // It came in failed, or found no memory here.
        if (!stage || strcmp(stage, f->tool) != 0)
            return;
    } else if (f->item(&run->item, f->context, &why) == 0) {
        return;
    } else {
        cs_item_fail(&run->item, f->tool, &why);
    }
    if (run->writer && cs_writer_broken(run->writer))
        return; // that is no fault of the item, and is said when the stream ends
    run->failures++;
    log_failure(run);
}

static int finish_item(struct run *run, struct cs_err *err)
{
    const struct cs_filter *f = run->filter;
    bool failed = cs_item_failed(&run->item);
    if (!f->finished)
        return 0;
    int result = f->finished(&run->item, f->context, err);
    if (!failed && cs_item_failed(&run->item)) {
        run->failures++;
        log_failure(run);
    }
    return result;
}

// Items until END (0) or an error of the stream (-1).
static int pass_items(struct run *run, bool drains, struct cs_err *err)
{
    for (;;) {
        if (drains && cs_drain_status())
            return 0;
        int result = cs_item_read(run->reader, &run->item, &run->limits, err);
        if (result != 1)
            return result;
        work_on_item(run);
        if (finish_item(run, err) != 0)
            return -1;
        if (run->writer && cs_item_write(run->writer, &run->item, run->filter->keep, err) != 0)
            return -1;
    }
}

// After an error: log it and, where the output is sound, end it with the reason.
static int end_broken(struct run *run, const struct cs_err *why)
{
    struct cs_err ignored;
    int status = cs_err_status(why->code);
    if (run->writer && cs_writer_closed(run->writer))
        return STATUS_PIPE;
    cs_log(CS_LOG_ERROR, "%s", why->text);
    if (!run->writer)
        return status;
    if (!run->headed) {
        struct cs_meta head = {0};
        cs_prov_add(&head, run->filter->tool, run->filter->parameters);
        int result = cs_writer_head(run->writer, &head, &ignored);
        cs_meta_release(&head);
        if (result != 0)
            return status;
    }
    cs_writer_end(run->writer, status, why->text, &ignored);
    return status;
}

// After END, or after a drain of a stream from a file.
static int end_good(struct run *run, bool drained, struct cs_err *err)
{
    const struct cs_meta *end = cs_reader_end(run->reader);
    int status = drained ? cs_drain_status() : cs_reader_status(run->reader);
    const char *reason = drained ? "ended by a signal" : cs_meta_get(end, CS_KEY_REASON);
    if (!drained && status == cs_err_status(CS_ENOINPUT) && !reason)
        reason = "no items";
    // 1 for failed items is not carried: every stage counts them for itself.
    bool carried = drained || status > 1 || cs_meta_get(end, CS_KEY_EXIT);
    if (run->writer &&
        cs_writer_end(run->writer, carried ? status : 0, carried ? reason : NULL, err) != 0)
        return end_broken(run, err);
    if (!drained && reason)
        cs_log(CS_LOG_INFO, "the stream ended early: %s", reason);
    return status ? status : run->failures ? 1 : 0;
}

static int run_open(struct run *run, int fd, const char *name, struct cs_err *err)
{
    const struct cs_filter *f = run->filter;
    if (!f->sink &&
        cs_writer_open(&run->writer, STDOUT_FILENO, f->transport, f->ring_bytes, err) != 0)
        return -1;
    if (cs_reader_open(&run->reader, fd, name, f->transport, err) != 0)
        return -1;
    run->item.writer = run->writer;
    run->item.keep = f->keep;
    cs_log(CS_LOG_INFO, "payloads come by %s", cs_reader_transport(run->reader));
    return pass_head(run, err);
}

// Planes come and go with every item. By default the larger ones go back to the system each time,
// which then has to clear and map their pages anew.
static void keep_memory(void)
{
    enum { KEPT_BYTES = 64 << 20 };
    mallopt(M_MMAP_THRESHOLD, KEPT_BYTES / 2);
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
}

int cs_filter_run(const struct cs_filter *filter)
{
    struct run run = {.filter = filter, .limits = filter->limits};
    struct cs_err err = {0};
    const char *name = filter->input ? filter->input : "standard input";
    int fd = STDIN_FILENO, status;
    struct stat st;
    // A drain comes from upstream, as END: this stage only has to live until then. One that reads
    // a file is itself the start of the pipeline.
    cs_drain_install();
    keep_memory();
    run.limits.stage = filter->tool;
    if (filter->input && (fd = open(filter->input, O_RDONLY | O_CLOEXEC)) < 0) {
        cs_fail_errno(&err, CS_ENOINPUT, "%s", filter->input);
        status = end_broken(&run, &err);
    } else if (run_open(&run, fd, name, &err) != 0) {
        status = end_broken(&run, &err);
    } else {
        bool drains = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
        if (pass_items(&run, drains, &err) != 0)
            status = end_broken(&run, &err);
        else
            status = end_good(&run, drains && cs_drain_status(), &err);
    }
    cs_item_release(&run.item);
    cs_reader_close(run.reader);
    cs_writer_close(run.writer);
    if (fd > STDERR_FILENO)
        close(fd);
    return status;
}
