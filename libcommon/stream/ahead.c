// SPDX-License-Identifier: MIT
// Slot i % slots belongs to input i. Threads take inputs in order, as long as a slot is free.
#include "stream/ahead.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

// ---- Records -------------------------------------------------------------------------------

struct entry {
    enum cs_frame_kind kind;
    struct cs_meta meta;   // BEGIN, DONE
    struct cs_image shape; // DATA
    enum cs_plane plane;
    uint32_t first_row, rows;
    const uint8_t *samples; // in the record's block
};

struct cs_record {
    struct entry *entries;
    size_t count, capacity;
    uint8_t *block; // of most_bytes, kept from input to input; NULL: not needed yet
    size_t bytes, most_bytes;
};

static struct entry *add_entry(struct cs_record *r, enum cs_frame_kind kind)
{
    if (r->count == r->capacity) {
        r->capacity = r->capacity ? 2 * r->capacity : 4;
        r->entries = cs_xrealloc(r->entries, r->capacity, sizeof *r->entries);
    }
    r->entries[r->count] = (struct entry){.kind = kind};
    return &r->entries[r->count++];
}

static void record_clear(struct cs_record *r)
{
    for (size_t i = 0; i < r->count; i++)
        cs_meta_release(&r->entries[i].meta);
    r->count = r->bytes = 0;
}

int cs_record_begin(struct cs_record *record, const struct cs_meta *begin, struct cs_err *err)
{
    (void)err;
    cs_meta_copy(&add_entry(record, CS_FRAME_BEGIN)->meta, begin);
    return 0;
}

void *cs_record_reserve(struct cs_record *record, size_t bytes, struct cs_err *err)
{
    if (bytes > record->most_bytes - record->bytes)
        cs_fail(err, CS_ENOMEM, "more than %zu bytes to be recorded", record->most_bytes);
    else if (!record->block && !(record->block = malloc(record->most_bytes)))
        cs_fail(err, CS_ENOMEM, "no memory for %zu bytes", record->most_bytes);
    else
        return record->block + record->bytes;
    return NULL;
}

int cs_record_data(struct cs_record *record, enum cs_plane plane, const struct cs_image *shape,
                   uint32_t first_row, uint32_t rows, const void *samples, struct cs_err *err)
{
    enum { LINE = 64 }; // bands begin at cache lines
    size_t bytes = rows * cs_image_row_bytes(shape), end;
    uint8_t *place = cs_record_reserve(record, bytes, err);
    if (!place)
        return -1;
    if (place != samples)
        memcpy(place, samples, bytes);
    end = (record->bytes + bytes + LINE - 1) / LINE * LINE;
    record->bytes = end < record->most_bytes ? end : record->most_bytes;
    struct entry *e = add_entry(record, CS_FRAME_DATA);
    e->plane = plane;
    e->shape = *shape;
    e->first_row = first_row;
    e->rows = rows;
    e->samples = place;
    return 0;
}

int cs_record_done(struct cs_record *record, const struct cs_meta *done, struct cs_err *err)
{
    (void)err;
    cs_meta_copy(&add_entry(record, CS_FRAME_DONE)->meta, done);
    return 0;
}

int cs_record_write(const struct cs_record *record, struct cs_writer *writer,
                    void (*done)(const struct cs_meta *done, void *context), void *context,
                    struct cs_err *err)
{
    for (size_t i = 0; i < record->count; i++) {
        const struct entry *e = &record->entries[i];
        int status = 0;
        if (e->kind == CS_FRAME_BEGIN) {
            status = cs_writer_begin(writer, &e->meta, err);
        } else if (e->kind == CS_FRAME_DATA) {
            status =
                cs_writer_data(writer, e->plane, &e->shape, e->first_row, e->rows, e->samples, err);
        } else {
            done(&e->meta, context);
            status = cs_writer_done(writer, &e->meta, err);
        }
        if (status != 0)
            return -1;
    }
    return 0;
}

// ---- Threads -------------------------------------------------------------------------------

struct slot {
    struct cs_record record;
    bool ready, declined;
};

struct thread {
    struct cs_ahead *ahead;
    int index;
    pthread_t id;
};

struct cs_ahead {
    struct cs_ahead_how how;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct thread *threads;
    int thread_count;
    struct slot *slots;
    size_t slot_count;
    size_t taken, given; // inputs that threads took; that the caller has or had
    bool over;
};

static void *thread_main(void *context)
{
    const struct thread *self = context;
    struct cs_ahead *a = self->ahead;
    pthread_mutex_lock(&a->lock);
    for (;;) {
        // The slot of the input that the caller has is not free yet.
        while (!a->over && a->taken < a->how.count && a->taken + 1 >= a->given + a->slot_count)
            pthread_cond_wait(&a->changed, &a->lock);
        if (a->over || a->taken == a->how.count)
            break;
        size_t i = a->taken++;
        struct slot *slot = &a->slots[i % a->slot_count];
        pthread_mutex_unlock(&a->lock);
        record_clear(&slot->record);
        bool declined = a->how.make(i, self->index, &slot->record, a->how.context) != 0;
        if (declined)
            record_clear(&slot->record);
        pthread_mutex_lock(&a->lock);
        slot->declined = declined;
        slot->ready = true;
        pthread_cond_broadcast(&a->changed);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

int cs_ahead_open(struct cs_ahead **ahead, const struct cs_ahead_how *how, struct cs_err *err)
{
    struct cs_ahead *a = *ahead = cs_xcalloc(1, sizeof *a);
    sigset_t all, old;
    int failure = 0;
    a->how = *how;
    a->slot_count = (size_t)how->threads + 2;
    a->slots = cs_xcalloc(a->slot_count, sizeof *a->slots);
    for (size_t i = 0; i < a->slot_count; i++)
        a->slots[i].record.most_bytes = how->most_bytes;
    a->threads = cs_xcalloc((size_t)how->threads, sizeof *a->threads);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->changed, NULL);
    // Signals are for the caller's thread.
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (int i = 0; i < how->threads && !failure; i++) {
        a->threads[i] = (struct thread){.ahead = a, .index = i};
        failure = pthread_create(&a->threads[i].id, NULL, thread_main, &a->threads[i]);
        a->thread_count += !failure;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (a->thread_count)
        return 0; // fewer than wanted will do
    cs_ahead_close(a);
    *ahead = NULL;
    return cs_fail(err, CS_ENOMEM, "thread: %s", strerror(failure));
}

const struct cs_record *cs_ahead_next(struct cs_ahead *a)
{
    pthread_mutex_lock(&a->lock);
    struct slot *slot = &a->slots[a->given % a->slot_count];
    while (!slot->ready)
        pthread_cond_wait(&a->changed, &a->lock);
    slot->ready = false;
    a->given++;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
    return slot->declined ? NULL : &slot->record;
}

void cs_ahead_close(struct cs_ahead *a)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    a->over = true;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
    for (int i = 0; i < a->thread_count; i++)
        pthread_join(a->threads[i].id, NULL);
    for (size_t i = 0; i < a->slot_count; i++) {
        record_clear(&a->slots[i].record);
        free(a->slots[i].record.entries);
        free(a->slots[i].record.block);
    }
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->changed);
    free(a->slots);
    free(a->threads);
    free(a);
}
