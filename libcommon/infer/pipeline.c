// SPDX-License-Identifier: MIT
// Reader and writer threads, and the loop of the first.
#include "infer/pipeline.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "backend/job_area.h"
#include "base/log.h"
#include "base/mem.h"
#include "infer/budget.h"
#include "infer/device.h"
#include "infer/flights.h"

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
    return p->alive >= p->recipe->slots * p->lane_count + 2 ||
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

// An image that exceeds the images' share of memory is computed with no other on its way.
static void make_way(struct cs_pipeline *p, const struct cs_item *item)
{
    if (cs_draft_bytes(item, p->recipe) <= p->recipe->image_bytes)
        return;
    pthread_mutex_lock(&p->lock);
    close_open_batch(p);
    while (!p->halt && p->alive > 0)
        pthread_cond_wait(&p->changed, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

// What memory makes of an image.
static void tell_of(const struct cs_pipeline *p, const struct cs_draft *draft)
{
    const char *name = item_name(&draft->unit.item);
    if (draft->work_count > 1)
        cs_log(CS_LOG_INFO, "%s: %d tiles of %u x %u", name, draft->work_count, draft->plane_width,
               draft->plane_height);
    if (draft->work_count && draft->slots < p->recipe->slots)
        cs_log(CS_LOG_INFO, "%s: memory suffices for %d of %d slots", name, draft->slots,
               p->recipe->slots);
}

static void *reader_main(void *context)
{
    struct cs_pipeline *p = context;
    struct cs_item item = {.number = 0};
    struct cs_item_limits limits = {.spill_bytes = p->recipe->image_bytes,
                                    .scratch_dir = p->options->scratch_dir,
                                    .stage = p->options->tool};
    struct cs_err err = {0};
    int result;
    bool going = true;
    while (going && (result = cs_item_read(p->reader, &item, &limits, &err)) == 1) {
        struct cs_draft draft;
        make_way(p, &item);
        cs_draft_make(&draft, &item, p->recipe, &p->buffers);
        tell_of(p, &draft);
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

// The most that one of the unit's works was tried; 0 when one of them is not over.
static int tries_of(const struct cs_batch *batch, int unit)
{
    int tries = 0;
    for (int i = 0; i < batch->work_count; i++) {
        const struct cs_work *work = &batch->works[i];
        if (work->unit != unit)
            continue;
        if (work->state != CS_WORK_OVER)
            return 0;
        tries = work->tries > tries ? work->tries : tries;
    }
    return tries;
}

static void finish_unit(struct cs_pipeline *p, struct cs_unit *unit, int tries)
{
    struct cs_item *item = &unit->item;
    const char *stage = cs_meta_get(&item->done, CS_KEY_ERROR_STAGE);
    if (unit->buffer) {
        cs_meta_setf(&item->done, CS_KEY_MS "infer", "%.0f", unit->milliseconds);
        cs_meta_setf(&item->done, CS_KEY_TRIES, "%d", tries);
        if (unit->careful)
            cs_meta_set(&item->done, CS_KEY_PRECISION, cs_precision_name(CS_FP32));
    }
    if (cs_item_failed(item) && stage && strcmp(stage, p->options->tool) == 0) {
        p->failures++;
        cs_log(CS_LOG_ERROR, "%s: %s", item_name(item),
               cs_meta_get(&item->done, CS_KEY_ERROR_TEXT));
    }
}

// Rows of the maps of a tiled image that are final. With the lock held.
static uint32_t final_rows(struct cs_batch *batch)
{
    const struct cs_work *works = batch->works;
    while (batch->settled < batch->work_count && works[batch->settled].over)
        batch->settled++;
    if (batch->spoiled)
        return batch->rows_written; // what is over may have failed
    return batch->settled < batch->work_count ? works[batch->settled].job.part_y
                                              : works[0].job.out_height;
}

// Rows [from, end) of a plane in the unit's buffer at `offset`; keep: they are needed once more.
static int write_rows(struct cs_pipeline *p, struct cs_unit *unit, enum cs_plane kind,
                      const struct cs_image *shape, size_t offset, uint32_t from, uint32_t end,
                      bool keep, struct cs_err *err)
{
    size_t row = cs_image_row_bytes(shape);
    uint32_t rows = row < CS_BAND_BYTES ? (uint32_t)(CS_BAND_BYTES / row) : 1;
    struct cs_buffer *buffer = unit->buffer;
    for (uint32_t y = from; y < end; y += rows) {
        rows = rows < end - y ? rows : end - y;
        size_t at = offset + y * row, over = at + rows * row;
        if (cs_writer_data(p->writer, kind, shape, y, rows, (char *)buffer->data + at, err) != 0)
            return -1;
        if (!keep) // from a page on that the last band may have left in part
            cs_buffer_discard(buffer, y ? at - p->recipe->page_bytes : at, over);
        else if (buffer->scratch)
            cs_shared_forget(buffer->data, at, over);
    }
    return 0;
}

static int begin_tiled(struct cs_pipeline *p, struct cs_unit *unit, struct cs_err *err)
{
    struct cs_item *item = &unit->item;
    if (cs_writer_begin(p->writer, &item->begin, err) != 0)
        return -1;
    for (int i = 0; i < CS_PLANE_COUNT; i++) {
        struct cs_image *plane = &item->planes[i];
        if (i == CS_PLANE_PROBABILITY || !(p->options->keep & 1u << i) || !plane->data)
            continue;
        int result = plane->data == unit->buffer->data
                         ? write_rows(p, unit, i, plane, 0, 0, plane->height, true, err)
                         : cs_plane_write(p->writer, i, plane, err);
        if (result != 0)
            return -1;
        cs_image_release(plane);
    }
    return 0;
}

// What is final of a tiled image, as soon as it is: the stages behind work on it meanwhile, and its
// maps need not be kept. Pixels above the next tile are given back too.
static int write_part(struct cs_pipeline *p, struct cs_batch *batch, uint32_t rows,
                      struct cs_err *err)
{
    struct cs_unit *unit = &batch->units[0];
    const struct cs_job *job = &batch->works[0].job;
    const struct cs_image maps = {.width = job->out_width,
                                  .height = job->out_height,
                                  .channels = job->out_channels,
                                  .dtype = job->out_dtype};
    if (!batch->begun && begin_tiled(p, unit, err) != 0)
        return -1;
    batch->begun = true;
    if (write_rows(p, unit, CS_PLANE_PROBABILITY, &maps, unit->out_offset, batch->rows_written,
                   rows, false, err) != 0)
        return -1;
    batch->rows_written = rows;
    if (batch->settled < batch->work_count) {
        size_t row = (size_t)job->width * job->channels * cs_dtype_bytes(job->dtype);
        struct cs_job_area next = cs_job_image_area(
            &batch->works[batch->settled].job, (int)batch->plane_width, (int)batch->plane_height);
        cs_buffer_discard(unit->buffer, 0, next.y * row);
    }
    return 0;
}

static int write_batch(struct cs_pipeline *p, struct cs_batch *batch, struct cs_err *err)
{
    unsigned planes = 1u << CS_PLANE_PROBABILITY | p->options->keep;
    if (batch->begun) {
        int tries = tries_of(batch, 0);
        if (!tries)
            return 0; // END closes it
        finish_unit(p, &batch->units[0], tries);
        return cs_writer_done(p->writer, &batch->units[0].item.done, err);
    }
    for (int i = 0; i < batch->unit_count; i++) {
        int tries = tries_of(batch, i);
        if (batch->units[i].buffer && !tries)
            continue; // it was not computed, and nothing more is
        finish_unit(p, &batch->units[i], tries);
        if (cs_item_write(p->writer, &batch->units[i].item, planes, err) != 0)
            return -1;
    }
    return 0;
}

// The oldest batch is done, or *rows of a tiled image are to be written. With the lock held.
static bool something_final(struct cs_pipeline *p, uint32_t *rows)
{
    struct cs_batch *batch = p->head;
    if (!batch)
        return false;
    if (batch->tiled) {
        uint32_t final = final_rows(batch);
        *rows = final > batch->rows_written ? final : 0;
    }
    return *rows || !batch->works_left;
}

// With the lock held.
static void output_failed(struct cs_pipeline *p, const struct cs_err *err)
{
    p->write_err = *err;
    p->output_over = true;
    pthread_cond_broadcast(&p->changed);
    wake_first(p);
}

static void *writer_main(void *context)
{
    struct cs_pipeline *p = context;
    struct cs_err err = {0};
    pthread_mutex_lock(&p->lock);
    for (;;) {
        uint32_t rows = 0;
        while (!p->output_over && !p->lost && !something_final(p, &rows))
            pthread_cond_wait(&p->changed, &p->lock);
        if (p->output_over || !p->head)
            break;
        struct cs_batch *batch = p->head;
        if (rows) {
            pthread_mutex_unlock(&p->lock);
            int result = write_part(p, batch, rows, &err);
            pthread_mutex_lock(&p->lock);
            if (result != 0)
                output_failed(p, &err);
            continue;
        }
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
        if (result != 0)
            output_failed(p, &err);
        pthread_cond_broadcast(&p->changed);
        wake_first(p);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

// ---- First thread ------------------------------------------------------------------------

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
        int wait_ms, lanes = p->lane_count;
        if (cs_drain_status()) {
            halt_reader(p);
            for (int i = 0; i < lanes; i++)
                cs_breaker_hasten(&p->lanes[i].breaker);
        }
        if (cs_flights_tend(p, &wait_ms, err) != 0)
            return -1;
        struct pollfd fds[CS_MAX_DEVICES + 1];
        for (int i = 0; i < lanes; i++)
            fds[i] = (struct pollfd){.fd = p->lanes[i].supervisor.socket, .events = POLLIN};
        fds[lanes] = (struct pollfd){.fd = p->wake_fd, .events = POLLIN};
        if (poll(fds, (nfds_t)lanes + 1, wait_ms) < 0)
            continue; // a signal
        uint64_t count;
        if (fds[lanes].revents && read(p->wake_fd, &count, sizeof count) < 0 && errno != EAGAIN)
            return cs_fail_errno(err, CS_EIO, "eventfd");
        for (int i = 0; i < lanes; i++)
            if (fds[i].revents && cs_flights_hear(p, &p->lanes[i], err) != 0)
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
    p->buffers.scratch_dir = p->options->scratch_dir;
    p->tail = &p->head;
    if (cs_flights_init(p, err) != 0 || start_threads(p, &reader, &writer, err) != 0)
        return -1;
    int result = first_thread(p, err);
    p->halted = p->halt;
    halt_reader(p);
    pthread_mutex_lock(&p->lock);
    p->lost = true;
    pthread_cond_broadcast(&p->changed);
    p->reader_left = !p->input_over;
    pthread_mutex_unlock(&p->lock);
    pthread_join(writer, NULL);
    cs_flights_release(p);
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
