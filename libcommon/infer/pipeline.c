// SPDX-License-Identifier: MIT
// Reader and writer threads, and the first thread's life with the worker.
//
// What goes wrong with a run is either an answer (the worker says why) or a death (crash, kill, or
// our own end to a run over its time limit). After either, the images concerned are run again one
// by one with nothing else in flight, so that only an image that is itself at fault is counted
// against its retries; the order of the output is not touched.
#include "infer/pipeline.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

// A signal between the look at it and poll would wait for the next event: this long at most.
enum { LOOK_MS = 500 };

static void wake_first(struct cs_pipeline *p)
{
    uint64_t one = 1;
    ssize_t ignored = write(p->wake_fd, &one, sizeof one);
    (void)ignored;
}

static const char *item_name(const struct cs_item *item)
{
    const char *source = cs_meta_get(&item->begin, CS_KEY_SOURCE);
    return source ? source : "an item";
}

// ---- Reader ------------------------------------------------------------------------------

// With the lock held.
static void close_open_batch(struct cs_pipeline *p)
{
    if (!p->open)
        return;
    *p->tail = p->open;
    p->tail = &p->open->next;
    p->alive++;
    p->alive_bytes += p->open->bytes;
    p->open = NULL;
    pthread_cond_broadcast(&p->changed);
    wake_first(p);
}

// A batch a slot, one more ready and one being written; and the bytes of their images.
static bool too_much(const struct cs_pipeline *p, uint64_t more)
{
    return p->alive >= p->recipe->slots + 2 ||
           (p->alive > 0 && p->alive_bytes + more > p->recipe->image_bytes);
}

// False: nothing more is taken.
static bool add_draft(struct cs_pipeline *p, struct cs_draft *draft)
{
    uint64_t bytes = draft->bytes;
    bool taken = false;
    pthread_mutex_lock(&p->lock);
    if (p->open && !cs_batch_takes(p->open, draft, p->recipe))
        close_open_batch(p);
    while (!p->halt && too_much(p, bytes))
        pthread_cond_wait(&p->changed, &p->lock);
    if (!p->halt) {
        if (!p->open)
            p->open = cs_batch_new();
        cs_batch_add(p->open, draft, p->recipe);
        if (p->open->full)
            close_open_batch(p);
        taken = true;
    }
    pthread_mutex_unlock(&p->lock);
    return taken;
}

static void *reader_main(void *context)
{
    struct cs_pipeline *p = context;
    struct cs_item item = {.number = 0};
    struct cs_item_limits limits = {.max_bytes = p->recipe->image_bytes, .stage = p->options->tool};
    struct cs_err err = {0};
    int result;
    bool going = true;
    while (going && (result = cs_item_read(p->reader, &item, &limits, &err)) == 1) {
        struct cs_draft draft;
        cs_draft_make(&draft, &item, p->recipe, &p->buffers);
        if (draft.work_count > 1)
            cs_log(CS_LOG_INFO, "%s: %d tiles of %u x %u", item_name(&draft.unit.item),
                   draft.work_count, draft.plane_width, draft.plane_height);
        going = add_draft(p, &draft);
        if (!going) {
            cs_item_release(&draft.unit.item);
            cs_buffer_release(&p->buffers, draft.unit.buffer);
            free(draft.works);
        }
    }
    cs_item_release(&item);
    pthread_mutex_lock(&p->lock);
    if (!p->halt) {
        p->read_result = result;
        p->read_err = err;
        close_open_batch(p);
    }
    p->input_over = true;
    wake_first(p);
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

// ---- Writer ------------------------------------------------------------------------------

static void finish_unit(struct cs_pipeline *p, struct cs_unit *unit)
{
    struct cs_item *item = &unit->item;
    const char *stage = cs_meta_get(&item->done, CS_KEY_ERROR_STAGE);
    if (unit->buffer) {
        cs_meta_setf(&item->done, CS_KEY_MS "infer", "%.0f", unit->milliseconds);
        cs_meta_setf(&item->done, CS_KEY_TRIES, "%d",
                     unit->failures + (cs_item_failed(item) ? 0 : 1));
        if (unit->careful)
            cs_meta_set(&item->done, CS_KEY_PRECISION, cs_precision_name(CS_FP32));
    }
    if (cs_item_failed(item) && stage && strcmp(stage, p->options->tool) == 0) {
        p->failures++;
        cs_log(CS_LOG_ERROR, "%s: %s", item_name(item),
               cs_meta_get(&item->done, CS_KEY_ERROR_TEXT));
    }
}

static int write_batch(struct cs_pipeline *p, struct cs_batch *batch, struct cs_err *err)
{
    unsigned planes = 1u << CS_PLANE_PROBABILITY | p->options->keep;
    for (int i = 0; i < batch->unit_count; i++) {
        finish_unit(p, &batch->units[i]);
        if (cs_item_write(p->writer, &batch->units[i].item, planes, err) != 0)
            return -1;
    }
    return 0;
}

static void *writer_main(void *context)
{
    struct cs_pipeline *p = context;
    struct cs_err err = {0};
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!p->output_over && (!p->head || p->head->works_left))
            pthread_cond_wait(&p->changed, &p->lock);
        if (p->output_over)
            break;
        struct cs_batch *batch = p->head;
        p->head = batch->next;
        if (!p->head)
            p->tail = &p->head;
        uint64_t bytes = batch->bytes;
        pthread_mutex_unlock(&p->lock);
        int result = write_batch(p, batch, &err);
        cs_batch_free(batch, &p->buffers);
        pthread_mutex_lock(&p->lock);
        p->alive--;
        p->alive_bytes -= bytes;
        if (result != 0) {
            p->write_err = err;
            p->output_over = true;
        }
        pthread_cond_broadcast(&p->changed);
        wake_first(p);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

// ---- First thread: what becomes of works -------------------------------------------------

static void work_over(struct cs_pipeline *p, struct cs_batch *batch, struct cs_work *work)
{
    assert(work->state != CS_WORK_OVER);
    work->state = CS_WORK_OVER;
    pthread_mutex_lock(&p->lock);
    batch->works_left--;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

// The item fails; its works that wait are not run. Those in flight end by themselves.
static void unit_fail(struct cs_pipeline *p, struct cs_batch *batch, int unit,
                      const struct cs_err *why)
{
    if (!cs_item_failed(&batch->units[unit].item))
        cs_item_fail(&batch->units[unit].item, p->options->tool, why);
    for (int i = 0; i < batch->work_count; i++)
        if (batch->works[i].unit == unit && batch->works[i].state == CS_WORK_WAITING)
            work_over(p, batch, &batch->works[i]);
}

static void set_probability(const struct cs_recipe *r, struct cs_unit *unit,
                            const struct cs_job *job)
{
    unit->item.planes[CS_PLANE_PROBABILITY] = (struct cs_image){
        .width = job->out_width,
        .height = job->out_height,
        .channels = job->out_channels,
        .dtype = r->map,
        .data = (char *)unit->buffer->data + unit->out_offset,
    };
}

// Values that reduced precision cannot hold may be fine in fp32: once more so.
static bool try_carefully(const struct cs_pipeline *p, struct cs_unit *unit, struct cs_work *work)
{
    if (work->careful || p->supervisor->precision == CS_FP32)
        return false;
    unit->careful = work->careful = work->alone = true;
    work->state = CS_WORK_WAITING;
    return true;
}

static void flight_good(struct cs_pipeline *p, const struct cs_flight *f,
                        const struct cs_wire_done *done)
{
    for (int i = 0; i < f->count; i++) {
        struct cs_work *work = &f->batch->works[f->first + i];
        struct cs_unit *unit = &f->batch->units[work->unit];
        unit->milliseconds += done->milliseconds / f->count;
        if (done->nonfinite[i] && try_carefully(p, unit, work))
            continue;
        if (done->nonfinite[i]) {
            struct cs_err why = {0};
            unit->failures++;
            cs_fail(&why, CS_EMODEL, "%llu values of the network's output are not finite",
                    (unsigned long long)done->nonfinite[i]);
            unit_fail(p, f->batch, work->unit, &why);
        } else {
            set_probability(p->recipe, unit, &work->job);
        }
        work_over(p, f->batch, work);
    }
}

// Errors that another try cannot cure.
static bool is_final(enum cs_code code)
{
    return code == CS_EMODEL || code == CS_EINPUT || code == CS_ENOMEM || code == CS_EUSAGE;
}

// The run is to be had again, work by work. `blame`: it was the only thing in flight, so that
// what happened is its own doing. `final`: no use in trying again.
static void flight_bad(struct cs_pipeline *p, const struct cs_flight *f, const struct cs_err *why,
                       bool blame, bool final)
{
    for (int i = 0; i < f->count; i++) {
        struct cs_work *work = &f->batch->works[f->first + i];
        struct cs_unit *unit = &f->batch->units[work->unit];
        unit->failures++;
        if (blame && f->count == 1 && (final || unit->failures > p->options->retries))
            unit_fail(p, f->batch, work->unit, why);
        if (cs_item_failed(&unit->item)) {
            work_over(p, f->batch, work); // the batch may be gone now, if this was its last
            continue;
        }
        work->state = CS_WORK_WAITING;
        work->alone = true;
    }
}

// ---- First thread: the worker ------------------------------------------------------------

// The worker is gone, or is ended here for the flight that is over its time.
static int worker_lost(struct cs_pipeline *p, struct cs_flight *late, struct cs_err *why,
                       struct cs_err *err)
{
    bool only = p->flying == 1;
    cs_log(CS_LOG_WARN, "%s; %d %s in flight, a new worker starts", why->text, p->flying,
           p->flying == 1 ? "batch was" : "batches were");
    for (int i = 0; i < p->recipe->slots; i++) {
        struct cs_flight *f = &p->flights[i];
        if (!f->batch)
            continue;
        flight_bad(p, f, why, late ? f == late : only, false);
        f->batch = NULL;
    }
    p->flying = 0;
    return cs_supervisor_start(p->supervisor, err);
}

// The next works to run: the first that wait, in the order of the input. 0: none now.
static int next_works(struct cs_pipeline *p, struct cs_batch **batch, int *first)
{
    int count = 0;
    pthread_mutex_lock(&p->lock);
    for (struct cs_batch *b = p->head; b && !count; b = b->next) {
        for (int i = 0; i < b->work_count && count < b->run_limit; i++) {
            struct cs_work *work = &b->works[i];
            if (work->state != CS_WORK_WAITING) {
                if (count)
                    break;
                continue;
            }
            if (count && work->alone)
                break;
            if (!count++) {
                *batch = b;
                *first = i;
            }
            if (work->alone)
                break;
        }
    }
    pthread_mutex_unlock(&p->lock);
    return count;
}

static void fill_message(struct cs_pipeline *p, const struct cs_flight *f)
{
    struct cs_wire_run *m = p->message;
    *m = (struct cs_wire_run){
        .kind = CS_WIRE_RUN,
        .run = f->run,
        .height = f->batch->plane_height,
        .width = f->batch->plane_width,
        .count = f->count,
        .careful = f->batch->works[f->first].careful,
    };
    for (int i = 0; i < f->count; i++) {
        const struct cs_work *work = &f->batch->works[f->first + i];
        const struct cs_unit *unit = &f->batch->units[work->unit];
        m->jobs[i].buffer = unit->buffer->id;
        m->jobs[i].out_offset = unit->out_offset;
        m->jobs[i].job = work->job;
    }
}

// Hand out works until every slot has a run. -1: no worker can be had any more.
static int dispatch(struct cs_pipeline *p, struct cs_err *err)
{
    while (p->flying < p->recipe->slots) {
        struct cs_batch *batch = NULL;
        int first = 0, count = next_works(p, &batch, &first);
        struct cs_flight *f = p->flights;
        if (!count)
            return 0;
        // One that flies alone waits for the others to land, and they for it.
        if (p->flying && (batch->works[first].alone || p->lonely))
            return 0;
        while (f->batch)
            f++;
        *f = (struct cs_flight){.batch = batch, .run = ++p->runs, .first = first, .count = count};
        if (p->options->timeout > 0)
            f->deadline = cs_clock_seconds() + p->options->timeout * count;
        p->lonely = batch->works[first].alone;
        p->flying++;
        for (int i = 0; i < count; i++)
            batch->works[first + i].state = CS_WORK_FLYING;
        fill_message(p, f);
        if (cs_supervisor_run(p->supervisor, &p->buffers, p->message, err) != 0) {
            struct cs_err why = {0};
            cs_supervisor_end(p->supervisor, &why);
            if (worker_lost(p, NULL, &why, err) != 0)
                return -1;
        }
    }
    return 0;
}

// The worker has something to say, or has died.
static int hear_worker(struct cs_pipeline *p, struct cs_err *err)
{
    struct cs_wire_done done;
    struct cs_err why = {0};
    if (cs_supervisor_receive(p->supervisor, &done, &why) == 0)
        return worker_lost(p, NULL, &why, err);
    for (int i = 0; i < p->recipe->slots; i++) {
        struct cs_flight *f = &p->flights[i];
        if (!f->batch || f->run != done.run)
            continue;
        if (done.err.code == CS_OK)
            flight_good(p, f, &done);
        else
            flight_bad(p, f, &done.err, true, is_final(done.err.code));
        f->batch = NULL;
        p->flying--;
        return 0;
    }
    return 0;
}

// Milliseconds until the next deadline, for poll; ends the worker when one has passed.
static int watch_time(struct cs_pipeline *p, int *wait_ms, struct cs_err *err)
{
    double least = 0, t = cs_clock_seconds();
    *wait_ms = LOOK_MS;
    for (int i = 0; i < p->recipe->slots; i++) {
        struct cs_flight *f = &p->flights[i];
        if (!f->batch || f->deadline <= 0)
            continue;
        if (f->deadline <= t) {
            struct cs_err why = {0};
            cs_fail(&why, CS_ETIMEOUT, "not done within %g s (--timeout)",
                    p->options->timeout * f->count);
            cs_supervisor_end(p->supervisor, &why);
            return worker_lost(p, f, &why, err);
        }
        if (least <= 0 || f->deadline < least)
            least = f->deadline;
    }
    if (least > 0 && (least - t) * 1000 < LOOK_MS)
        *wait_ms = (int)((least - t) * 1000) + 1;
    return 0;
}

// One signal: take nothing new, finish what is there.
static void halt_reader(struct cs_pipeline *p)
{
    pthread_mutex_lock(&p->lock);
    if (!p->halt) {
        p->halt = true;
        close_open_batch(p);
        pthread_cond_broadcast(&p->changed);
    }
    pthread_mutex_unlock(&p->lock);
}

// Everything that came in is written, or writing has failed.
static bool is_over(struct cs_pipeline *p)
{
    pthread_mutex_lock(&p->lock);
    bool over = p->output_over || ((p->input_over || p->halt) && p->alive == 0);
    pthread_mutex_unlock(&p->lock);
    return over;
}

static int first_thread(struct cs_pipeline *p, struct cs_err *err)
{
    while (!is_over(p)) {
        int wait_ms;
        if (cs_drain_status())
            halt_reader(p);
        if (dispatch(p, err) != 0 || watch_time(p, &wait_ms, err) != 0)
            return -1;
        struct pollfd fds[2] = {{.fd = p->wake_fd, .events = POLLIN},
                                {.fd = p->supervisor->socket, .events = POLLIN}};
        if (poll(fds, 2, wait_ms) < 0)
            continue; // a signal
        uint64_t count;
        if (fds[0].revents && read(p->wake_fd, &count, sizeof count) < 0 && errno != EAGAIN)
            return cs_fail_errno(err, CS_EIO, "eventfd");
        if (fds[1].revents && hear_worker(p, err) != 0)
            return -1;
    }
    return 0;
}

// ---- All three ---------------------------------------------------------------------------

static int start_threads(struct cs_pipeline *p, pthread_t *reader, pthread_t *writer,
                         struct cs_err *err)
{
    // Signals are for the first thread, whose poll they interrupt.
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failure = pthread_create(reader, NULL, reader_main, p);
    if (!failure)
        failure = pthread_create(writer, NULL, writer_main, p);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return failure ? cs_fail(err, CS_ENOMEM, "thread: %s", strerror(failure)) : 0;
}

int cs_pipeline_run(struct cs_pipeline *p, struct cs_err *err)
{
    pthread_t reader, writer;
    p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (p->wake_fd < 0)
        return cs_fail_errno(err, CS_EIO, "eventfd");
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    cs_buffers_init(&p->buffers);
    p->tail = &p->head;
    p->message = cs_xcalloc(1, sizeof *p->message);
    if (start_threads(p, &reader, &writer, err) != 0)
        return -1;
    int result = first_thread(p, err);
    pthread_mutex_lock(&p->lock);
    p->halted = p->halt;
    p->halt = true;
    p->output_over = true;
    pthread_cond_broadcast(&p->changed);
    p->reader_left = !p->input_over;
    pthread_mutex_unlock(&p->lock);
    pthread_join(writer, NULL);
    free(p->message);
    if (p->write_err.code != CS_OK) {
        *err = p->write_err;
        result = -1;
    }
    if (p->reader_left)
        return result;
    pthread_join(reader, NULL);
    cs_batch_free(p->open, &p->buffers);
    while (p->head) {
        struct cs_batch *batch = p->head;
        p->head = batch->next;
        cs_batch_free(batch, &p->buffers);
    }
    cs_buffers_release(&p->buffers);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->changed);
    close(p->wake_fd);
    return result;
}
