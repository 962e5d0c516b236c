// SPDX-License-Identifier: MIT
#include "infer/trial.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "infer/batcher.h"

enum { DEFAULT_SIDE = 1024 };

struct cs_trial {
    struct cs_session *session;
    struct cs_session_info info;
    struct cs_recipe recipe;
    struct cs_buffers pool;
    struct cs_image image;
    uint32_t plane_width, plane_height;
    int slots, threads, batch;
    struct cs_draft drafts[CS_MAX_SLOTS * CS_MAX_BATCH]; // CS_MAX_BATCH a slot
    int draft_count[CS_MAX_SLOTS];
    double draft_seconds;
};

// Seeded noise on soft blobs: percentiles and moments of an ordinary image.
static int draw_image(struct cs_trial *t, uint32_t width, uint32_t height, struct cs_err *err)
{
    bool rgb = t->recipe.package->input_channels == CS_INPUT_RGB;
    uint16_t channels = rgb ? (uint16_t)t->info.channels : 1;
    if (cs_image_init(&t->image, width, height, channels, CS_U8, 0, NULL, err) != 0)
        return -1;
    uint64_t seed = 1;
    uint8_t *sample = t->image.data;
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++)
            for (uint16_t c = 0; c < channels; c++) {
                seed = seed * 6364136223846793005u + 1442695040888963407u;
                uint32_t blob = (x / 32 + y / 32) % 3 == 0 ? 120 : 0;
                *sample++ = (uint8_t)(blob + (seed >> 33) % 64);
            }
    return 0;
}

static void choose_size(const struct cs_trial *t, const struct cs_trial_options *o, uint32_t *width,
                        uint32_t *height)
{
    const struct cs_fit_rule *fit = &t->recipe.fit;
    *width = o->width ? o->width : fit->width ? fit->width : DEFAULT_SIDE;
    *height = o->height ? o->height : fit->height ? fit->height : DEFAULT_SIDE;
}

static int make_draft(struct cs_trial *t, int slot, struct cs_err *err)
{
    struct cs_draft *draft = &t->drafts[slot * CS_MAX_BATCH + t->draft_count[slot]++];
    struct cs_item item = {.number = 0};
    item.planes[CS_PLANE_IMAGE] = t->image; // only looked at: no plane is kept
    double start = cs_clock_seconds();
    cs_draft_make(draft, &item, &t->recipe, &t->pool);
    t->draft_seconds = cs_clock_seconds() - start;
    if (cs_item_failed(&draft->unit.item))
        return cs_fail(err, CS_EINPUT, "%u x %u pixels: %s", t->image.width, t->image.height,
                       cs_meta_get(&draft->unit.item.done, CS_KEY_ERROR_TEXT));
    if (draft->work_count != 1)
        return cs_fail(err, CS_ENOMEM, "%u x %u pixels would be run in tiles: take a smaller size",
                       t->image.width, t->image.height);
    t->plane_width = draft->plane_width;
    t->plane_height = draft->plane_height;
    // As cs-infer's worker does with the memory that it shares.
    struct cs_buffer *buffer = draft->unit.buffer;
    struct cs_job *job = &draft->works[0].job;
    job->pinned = cs_buffer_stays(buffer) &&
                  cs_session_pin(t->session, buffer->data, buffer->bytes, NULL) > 0;
    return 0;
}

static int open_parts(struct cs_trial *t, const struct cs_package *package,
                      const struct cs_trial_options *o, struct cs_err *err)
{
    uint64_t memory = cs_usable_memory() / 4 * 3;
    uint32_t width, height;
    t->slots = o->slots;
    t->threads = (o->threads ? o->threads : cs_usable_threads()) / o->slots;
    t->threads = t->threads > 0 ? t->threads : 1;
    struct cs_session_options session = {.device = o->backend,
                                         .detail = o->detail,
                                         .slots = t->slots,
                                         .threads = t->threads,
                                         .direct = o->direct,
                                         .memory = memory - memory / 4,
                                         .check_files = true};
    const struct cs_infer_options options = {
        .tool = "cs-infer", .batch = CS_MAX_BATCH, .map = CS_U16};
    if (cs_session_open(&t->session, package, &session, &t->info, err) != 0 ||
        cs_recipe_init(&t->recipe, package, &t->info, &options, t->slots, 1, memory, err) != 0)
        return -1;
    choose_size(t, o, &width, &height);
    return draw_image(t, width, height, err) != 0 ? -1 : make_draft(t, 0, err);
}

int cs_trial_open(struct cs_trial **trial, const struct cs_package *package,
                  const struct cs_trial_options *options, struct cs_err *err)
{
    struct cs_trial *t = cs_xcalloc(1, sizeof *t);
    cs_buffers_init(&t->pool);
    if (open_parts(t, package, options, err) != 0) {
        cs_trial_close(t);
        return -1;
    }
    *trial = t;
    return 0;
}

void cs_trial_close(struct cs_trial *t)
{
    if (!t)
        return;
    for (int slot = 0; slot < t->slots; slot++)
        for (int i = 0; i < t->draft_count[slot]; i++) {
            struct cs_draft *draft = &t->drafts[slot * CS_MAX_BATCH + i];
            if (draft->work_count == 1 && draft->works[0].job.pinned)
                cs_session_unpin(t->session, draft->unit.buffer->data);
            cs_item_release(&draft->unit.item);
            cs_buffer_release(&t->pool, draft->unit.buffer);
            free(draft->works);
        }
    cs_image_release(&t->image);
    cs_session_close(t->session);
    cs_buffers_release(&t->pool);
    free(t);
}

struct cs_trial_facts cs_trial_facts(const struct cs_trial *t)
{
    return (struct cs_trial_facts){.session = t->session,
                                   .info = &t->info,
                                   .width = t->image.width,
                                   .height = t->image.height,
                                   .plane_width = t->plane_width,
                                   .plane_height = t->plane_height,
                                   .threads = t->threads,
                                   .draft_seconds = t->draft_seconds};
}

static int run_slot(struct cs_trial *t, int slot, struct cs_err *err)
{
    struct cs_job jobs[CS_MAX_BATCH];
    for (int i = 0; i < t->batch; i++)
        jobs[i] = t->drafts[slot * CS_MAX_BATCH + i].works[0].job;
    return cs_session_run(t->session, slot, jobs, t->batch, err);
}

int cs_trial_prepare(struct cs_trial *t, int batch, enum cs_precision precision, struct cs_err *err)
{
    t->batch = batch;
    for (int slot = 0; slot < t->slots; slot++)
        while (t->draft_count[slot] < batch)
            if (make_draft(t, slot, err) != 0)
                return -1;
    const struct cs_session_key key = {
        .batch = batch, .height = t->plane_height, .width = t->plane_width, .precision = precision};
    for (int slot = 0; slot < t->slots; slot++)
        if (cs_session_prepare(t->session, slot, &key, err) != 0 || run_slot(t, slot, err) != 0)
            return -1;
    return 0;
}

int cs_trial_run(struct cs_trial *t, struct cs_err *err)
{
    return run_slot(t, 0, err);
}

// ---- All slots at once -------------------------------------------------------------------

// A slot goes on, uncounted, until all have been counted: the last one must not have the processor
// to itself.
struct race {
    struct cs_trial *trial;
    double seconds;
    atomic_int left; // slots that are still counted
};

struct runner {
    struct race *race;
    int slot;
    pthread_t thread;
    double rate;
    int result;
    struct cs_err err;
};

static void *run_for(void *context)
{
    struct runner *r = context;
    struct race *race = r->race;
    int64_t images = 0;
    double start = cs_clock_seconds();
    while (atomic_load(&race->left) > 0) {
        r->result = run_slot(race->trial, r->slot, &r->err);
        if (r->result != 0) {
            atomic_store(&race->left, 0);
            break;
        }
        images += race->trial->batch;
        double passed = cs_clock_seconds() - start;
        if (r->rate > 0 || passed < race->seconds)
            continue;
        r->rate = (double)images / passed;
        atomic_fetch_sub(&race->left, 1);
    }
    return NULL;
}

int cs_trial_rate(struct cs_trial *t, int slots, double seconds, double *images_per_second,
                  struct cs_err *err)
{
    struct runner *runners = cs_xcalloc((size_t)slots, sizeof *runners);
    struct race race = {.trial = t, .seconds = seconds, .left = slots};
    int result = 0, started = 0, failure = 0;
    *images_per_second = 0;
    for (; started < slots && !failure; started += !failure) {
        struct runner *r = &runners[started];
        *r = (struct runner){.race = &race, .slot = started, .err = {0}};
        failure = pthread_create(&r->thread, NULL, run_for, r);
    }
    if (failure) {
        atomic_store(&race.left, 0);
        result = cs_fail(err, CS_ENOMEM, "thread: %s", strerror(failure));
    }
    for (int i = 0; i < started; i++) {
        pthread_join(runners[i].thread, NULL);
        *images_per_second += runners[i].rate;
        if (runners[i].result != 0 && result == 0) {
            result = -1;
            if (err)
                *err = runners[i].err;
        }
    }
    free(runners);
    return result;
}
