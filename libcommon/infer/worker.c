// SPDX-License-Identifier: MIT
// The worker process: the only one that touches the device. Its first thread reads the socket,
// keeps plans and slots; one thread a slot runs batches and answers. It knows nothing of items or
// streams: it may die at any moment, and cs-infer goes on with another one.
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "infer/buffers.h"
#include "infer/infer.h"
#include "infer/wire.h"

struct slot {
    struct worker *worker;
    int index;
    pthread_t thread;
    bool busy;
    struct cs_wire_run run; // while busy
    double prepared;        // seconds that it took to get ready for it
    struct cs_job jobs[CS_MAX_BATCH];
};

struct worker {
    int socket;
    struct cs_package package;
    struct cs_session *session;
    enum cs_precision precision; // of runs that are not careful
    struct slot *slots;
    int slot_count;
    pthread_mutex_t lock; // over busy of all slots and `over`
    pthread_cond_t changed;
    bool over;
    struct buffer {
        char *data;
        size_t bytes;
        bool pinned;
    } buffers[CS_MAX_BUFFERS];
    bool no_pins; // there is nothing to gain, or the driver does not take them
    size_t page_bytes;
};

// ---- Slots -------------------------------------------------------------------------------

// slot: that ran it, NULL for none.
static void answer(const struct worker *w, const struct slot *slot, uint32_t run,
                   const struct cs_err *err, double milliseconds)
{
    struct cs_wire_done done = {.kind = CS_WIRE_DONE, .run = run, .milliseconds = milliseconds};
    struct cs_err ignored;
    if (err)
        done.err = *err;
    for (int i = 0; slot && i < slot->run.count; i++)
        done.nonfinite[i] = slot->jobs[i].nonfinite;
    if (slot)
        done.prepared = slot->prepared;
    // Fails only when cs-infer is gone, which the first thread notices.
    cs_wire_send(w->socket, &done, sizeof done, -1, &ignored);
}

// Let go of the pages of files. Other slots that use them get them again.
static void forget_pages(const struct worker *w, const struct cs_wire_run *run)
{
    for (int i = 0; i < run->count; i++)
        if (run->jobs[i].job.paged)
            cs_shared_forget(w->buffers[run->jobs[i].buffer].data, 0,
                             w->buffers[run->jobs[i].buffer].bytes);
}

static void *slot_main(void *context)
{
    struct slot *slot = context;
    struct worker *w = slot->worker;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (!slot->busy && !w->over)
            pthread_cond_wait(&w->changed, &w->lock);
        if (w->over)
            break;
        pthread_mutex_unlock(&w->lock);
        struct cs_err err = {0};
        double start = cs_clock_seconds();
        int result = cs_session_run(w->session, slot->index, slot->jobs, slot->run.count, &err);
        if (result != 0 && err.code == CS_EDEVICE && cs_session_lost(w->session)) {
            cs_log(CS_LOG_ERROR, "%s", err.text);
            _exit(cs_err_status(err.code)); // threads that wait for the device would not return
        }
        double ms = (cs_clock_seconds() - start) * 1e3;
        forget_pages(w, &slot->run);
        pthread_mutex_lock(&w->lock);
        // Idle before the answer: the next run may arrive at once.
        slot->busy = false;
        pthread_cond_broadcast(&w->changed);
        answer(w, slot, slot->run.run, result != 0 ? &err : NULL, ms);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

// An idle slot of the first `usable`; 0: the first, once every slot is idle. Called with the lock
// held.
static struct slot *wait_for_slot(struct worker *w, int usable)
{
    for (;;) {
        struct slot *idle = NULL;
        int busy = 0;
        for (int i = w->slot_count - 1; i >= 0; i--) {
            if (w->slots[i].busy)
                busy++;
            else if (i < usable || !usable)
                idle = &w->slots[i];
        }
        if (idle && (usable || !busy))
            return idle;
        pthread_cond_wait(&w->changed, &w->lock);
    }
}

// ---- Messages ----------------------------------------------------------------------------

static void drop_buffer(struct worker *w, int id)
{
    struct buffer *b = &w->buffers[id];
    if (b->pinned)
        cs_session_unpin(w->session, b->data);
    if (b->data)
        munmap(b->data, b->bytes);
    *b = (struct buffer){.data = NULL};
}

// Where the driver does not take shared memory, images are copied once more; once is enough to ask.
static void pin_buffer(struct worker *w, struct buffer *b)
{
    struct cs_err why = {0};
    int result = w->no_pins ? 0 : cs_session_pin(w->session, b->data, b->bytes, &why);
    b->pinned = result > 0;
    w->no_pins = result <= 0;
    if (result < 0)
        cs_log(CS_LOG_INFO, "images are copied to pinned memory: %s", why.text);
}

static int on_buffer(struct worker *w, const struct cs_wire_buffer *m, int fd, struct cs_err *err)
{
    if (m->id < 0 || m->id >= CS_MAX_BUFFERS)
        return cs_fail(err, CS_EIO, "worker: buffer %d", m->id);
    drop_buffer(w, m->id);
    if (fd < 0)
        return 0;
    struct buffer *b = &w->buffers[m->id];
    void *data = mmap(NULL, m->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED)
        return cs_fail_errno(err, CS_ENOMEM, "worker: %zu bytes of shared memory",
                             (size_t)m->bytes);
    b->data = data;
    b->bytes = m->bytes;
    if (m->stays)
        pin_buffer(w, b);
    // Pixels are read only; each run opens the part of its maps for writing.
    return mprotect(data, m->bytes, PROT_READ) == 0
               ? 0
               : cs_fail_errno(err, CS_ENOMEM, "worker: shared memory");
}

static size_t map_bytes(const struct cs_job *job)
{
    return (size_t)job->out_width * job->out_height * job->out_channels *
           cs_dtype_bytes(job->out_dtype);
}

static size_t pixel_bytes(const struct cs_job *job)
{
    return (size_t)job->width * job->height * job->channels * cs_dtype_bytes(job->dtype);
}

static int place_jobs(struct worker *w, struct slot *slot, const struct cs_wire_run *run,
                      struct cs_err *err)
{
    for (int i = 0; i < run->count; i++) {
        const struct cs_wire_job *from = &run->jobs[i];
        struct cs_job *job = &slot->jobs[i];
        *job = from->job;
        size_t bytes =
            from->buffer >= 0 && from->buffer < CS_MAX_BUFFERS ? w->buffers[from->buffer].bytes : 0;
        if (from->out_offset % w->page_bytes != 0 || pixel_bytes(job) > from->out_offset ||
            from->out_offset > bytes || map_bytes(job) > bytes - from->out_offset)
            return cs_fail(err, CS_EIO, "worker: job outside its buffer");
        char *base = w->buffers[from->buffer].data;
        if (mprotect(base + from->out_offset, bytes - from->out_offset, PROT_READ | PROT_WRITE))
            return cs_fail_errno(err, CS_ENOMEM, "worker: shared memory");
        job->pixels = base;
        job->out = base + from->out_offset;
        job->pinned = w->buffers[from->buffer].pinned;
    }
    return 0;
}

static void wait_for_all(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    wait_for_slot(w, 0);
    pthread_mutex_unlock(&w->lock);
}

// A slot that is ready for the run, and the time that it took; NULL with why there is none.
static struct slot *prepare_slot(struct worker *w, const struct cs_wire_run *run, double *seconds,
                                 struct cs_err *why)
{
    const struct cs_session_key key = {.batch = run->count,
                                       .height = run->height,
                                       .width = run->width,
                                       .part = run->part,
                                       .precision = run->careful ? CS_FP32 : w->precision,
                                       .direct = run->careful};
    *seconds = 0;
    if (cs_session_pressed(w->session, cs_clock_seconds())) {
        wait_for_all(w);
        cs_session_shed(w->session);
    }
    for (;;) {
        pthread_mutex_lock(&w->lock);
        struct slot *slot = wait_for_slot(w, cs_session_slots(w->session, &key));
        pthread_mutex_unlock(&w->lock);
        double start = cs_clock_seconds();
        int result = cs_session_prepare(w->session, slot->index, &key, why);
        *seconds += cs_clock_seconds() - start;
        if (result == 0)
            return slot;
        if (why->code != CS_ENOMEM)
            return NULL;
        wait_for_all(w);
        if (!cs_session_retreat(w->session, slot->index))
            return NULL;
    }
}

static int on_run(struct worker *w, const struct cs_wire_run *run, size_t bytes, struct cs_err *err)
{
    struct cs_err why = {0};
    double seconds;
    if (bytes < offsetof(struct cs_wire_run, jobs) || run->count < 1 || run->count > CS_MAX_BATCH ||
        bytes != offsetof(struct cs_wire_run, jobs) + (size_t)run->count * sizeof *run->jobs)
        return cs_fail(err, CS_EIO, "worker: broken message");
    struct slot *slot = prepare_slot(w, run, &seconds, &why);
    if (!slot) {
        answer(w, NULL, run->run, &why, 0);
        return 0;
    }
    memcpy(&slot->run, run, bytes);
    slot->prepared = seconds;
    if (place_jobs(w, slot, run, err) != 0)
        return -1;
    struct cs_wire_begun begun = {.kind = CS_WIRE_BEGUN, .run = run->run};
    cs_wire_send(w->socket, &begun, sizeof begun, -1, NULL); // as in answer()
    pthread_mutex_lock(&w->lock);
    slot->busy = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    return 0;
}

static int on_load(struct worker *w, struct cs_wire_load *m, struct cs_wire_ready *ready,
                   struct cs_err *err)
{
    struct cs_session_options options = {
        .device = m->device,
        .detail = m->detail,
        .slots = m->slots,
        .threads = m->threads,
        .flexible = m->flexible != 0,
        .memory = m->memory,
        .device_memory = m->device_memory,
        .device_percent = m->device_percent,
        .check_files = m->check_files != 0,
        .direct = m->direct != 0,
    };
    cs_log_limit((enum cs_level)m->log);
    if (m->slots < 1 || m->slots > CS_MAX_SLOTS)
        return cs_fail(err, CS_EUSAGE, "%d slots", m->slots);
    if (cs_package_open(&w->package, m->package, err) != 0 ||
        cs_session_open(&w->session, &w->package, &options, &ready->info, err) != 0 ||
        cs_precision_choose(w->session, &w->package, &ready->info, m->precision,
                            *m->cache ? m->cache : NULL, &w->precision, err) != 0)
        return -1;
    ready->precision = w->precision;
    w->slots = cs_xcalloc((size_t)m->slots, sizeof *w->slots);
    for (int i = 0; i < m->slots; i++) {
        w->slots[i].worker = w;
        w->slots[i].index = i;
        int failure = pthread_create(&w->slots[i].thread, NULL, slot_main, &w->slots[i]);
        if (failure)
            return cs_fail(err, CS_ENOMEM, "thread: %s", strerror(failure));
        w->slot_count++;
    }
    return 0;
}

// ---- The process -------------------------------------------------------------------------

static void settle_process(void)
{
    cs_settle_memory();
    static const int ignored[] = {SIGINT, SIGTERM, SIGUSR1, SIGPIPE};
    struct cs_err err;
    // Signals are for cs-infer, which drains; this process ends with its socket.
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        signal(ignored[i], SIG_IGN);
    prctl(PR_SET_NAME, "cs-infer-worker");
    // When memory runs out, this process and not the one that can start another.
    FILE *file = fopen("/proc/self/oom_score_adj", "we");
    if (file) {
        cs_write_full(fileno(file), "500", 3, &err);
        fclose(file);
    }
}

static int serve(struct worker *w, union cs_wire_packet *packet, struct cs_err *err)
{
    for (;;) {
        int fd, result;
        ssize_t n = cs_wire_receive(w->socket, packet, &fd, err);
        if (n <= 0)
            return (int)n;
        if (packet->kind == CS_WIRE_BUFFER && (size_t)n == sizeof packet->buffer)
            result = on_buffer(w, &packet->buffer, fd, err);
        else if (packet->kind == CS_WIRE_RUN)
            result = on_run(w, &packet->run, (size_t)n, err);
        else
            result = cs_fail(err, CS_EIO, "worker: unknown message");
        if (fd >= 0)
            close(fd);
        if (result != 0)
            return -1;
    }
}

static void worker_release(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    w->over = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    for (int i = 0; i < w->slot_count; i++)
        pthread_join(w->slots[i].thread, NULL);
    for (int i = 0; i < CS_MAX_BUFFERS; i++)
        drop_buffer(w, i);
    cs_session_close(w->session);
    cs_package_release(&w->package);
    free(w->slots);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
}

int cs_worker_main(int socket)
{
    struct worker *w = cs_xcalloc(1, sizeof *w);
    union cs_wire_packet *packet = cs_xcalloc(1, sizeof *packet);
    struct cs_wire_ready ready = {.kind = CS_WIRE_READY};
    struct cs_wire_failed failed = {.kind = CS_WIRE_FAILED};
    struct cs_err err = {0};
    int fd, status = 0;
    settle_process();
    w->socket = socket;
    w->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    ssize_t n = cs_wire_receive(socket, packet, &fd, &err);
    if (n != sizeof packet->load || packet->kind != CS_WIRE_LOAD) {
        status = 2; // started by hand
    } else if (on_load(w, &packet->load, &ready, &failed.err) != 0) {
        cs_wire_send(socket, &failed, sizeof failed, -1, &err);
    } else if (cs_wire_send(socket, &ready, sizeof ready, -1, &err) != 0 ||
               serve(w, packet, &err) != 0) {
        // Broken words between two halves of one program: end, and be replaced.
        status = cs_err_status(err.code);
    }
    worker_release(w);
    free(packet);
    free(w);
    return status;
}
