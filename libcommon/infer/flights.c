// SPDX-License-Identifier: MIT
// Runs in flight. A lane is a device with its worker process; works go to whichever lane has a free
// slot, and what a lane loses is taken up by any other. The loading of a worker is waited for in
// the same loop as everything else, so that a device that comes up slowly holds no other one up.
//
// What goes wrong with a run is either an answer (the worker says why) or a death (crash, kill, our
// own end to a run over its time limit, or to a worker that says that its device failed: a device's
// context may be poisoned for good). After a death the images concerned are run again one by one
// with nothing else in flight there, so that only an image that is itself at fault is counted
// against its tries (retry.h), and is given up only when the device is known to work (breaker.h).
// Between its tries others fly. The order of the output is not touched.
#include "infer/flights.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "infer/works.h"

// A signal between the look at it and poll would wait for the next event: this long at most.
enum { LOOK_MS = 500 };
static const double LONG_PREPARATION = 0.01; // seconds that are worth a line

int cs_flights_init(struct cs_pipeline *p, struct cs_err *err)
{
    p->message = cs_xcalloc(1, sizeof *p->message);
    for (int i = 0; i < p->lane_count; i++)
        cs_breaker_init(&p->lanes[i].breaker, p->options->pause);
    p->check_buffer = cs_buffer_acquire(&p->buffers, 2 * p->recipe->page_bytes, false, err);
    return p->check_buffer ? 0 : -1;
}

void cs_flights_release(struct cs_pipeline *p)
{
    cs_buffer_release(&p->buffers, p->check_buffer);
    free(p->message);
}

// For messages: "cuda:1: ", or "" where there is no other.
static const char *name_of(const struct cs_lane *lane)
{
    return lane->name ? lane->name : "";
}

// ---- The worker --------------------------------------------------------------------------

// The worker is gone, `why` says how.
static void worker_lost(struct cs_pipeline *p, struct cs_lane *lane, const struct cs_err *why)
{
    struct cs_failure failure = {.code = why->code, .only = lane->flying == 1};
    cs_log(CS_LOG_WARN, "%s%s; %d %s in flight, a new worker starts", name_of(lane), why->text,
           lane->flying, lane->flying == 1 ? "batch was" : "batches were");
    cs_breaker_error(&lane->breaker);
    for (int i = 0; i < p->recipe->slots; i++) {
        struct cs_flight *f = &lane->flights[i];
        if (!f->batch)
            continue;
        failure.images = f->count;
        cs_works_failed(p, lane, f, &failure, why);
        f->batch = NULL;
    }
    lane->flying = 0;
}

// ---- Asking the device -------------------------------------------------------------------

// The device has not worked at any of its openings: the others go on, if there is one.
static int lose_lane(struct cs_pipeline *p, struct cs_lane *lane, const struct cs_err *why,
                     struct cs_err *err)
{
    lane->lost = true;
    for (int i = 0; i < p->lane_count; i++)
        if (!p->lanes[i].lost) {
            cs_log(CS_LOG_WARN, "%sthe device does not work, asked %d times, the others go on: %s",
                   name_of(lane), CS_BREAKER_OPENINGS, why->text);
            return 0;
        }
    return cs_fail(err, CS_EDEVICE, "%sthe device does not work, asked %d times: %s", name_of(lane),
                   CS_BREAKER_OPENINGS, why->text);
}

// The device has shown that it works (why == NULL) or why it does not.
static int answered(struct cs_pipeline *p, struct cs_lane *lane, const struct cs_err *why,
                    struct cs_err *err)
{
    struct cs_breaker *b = &lane->breaker;
    struct cs_err ignored = {.code = CS_EDEVICE};
    lane->check = 0;
    cs_breaker_answer(b, !why, cs_clock_seconds());
    if (!why) {
        cs_works_give_up(p, lane);
        return 0;
    }
    cs_works_forgive(p, lane);
    // Whatever holds the device in that state ends with its process.
    if (lane->supervisor.pid)
        cs_supervisor_end(&lane->supervisor, &ignored);
    if (b->state == CS_BREAKER_LOST)
        return lose_lane(p, lane, why, err);
    cs_log(CS_LOG_WARN, "%sthe device does not work, next try in %g s: %s", name_of(lane),
           p->options->pause, why->text);
    return 0;
}

// Any time that poll must not sleep through.
static void sooner(double *soonest, double time)
{
    if (time > 0 && (*soonest <= 0 || time < *soonest))
        *soonest = time;
}

// When a run of so many images is late; one that has not begun may make a plan first, which takes
// as long as the loading of a network may. 0: never.
static double deadline_of(const struct cs_pipeline *p, int images, bool begun)
{
    double limit = p->timeout * images + (begun ? 0 : p->options->load_timeout);
    return p->timeout > 0 && (begun || p->options->load_timeout > 0) ? cs_clock_seconds() + limit
                                                                     : 0;
}

// A worker that does not start is one more failure of the device, or its answer when it is asked.
static int not_started(struct cs_pipeline *p, struct cs_lane *lane, const struct cs_err *why,
                       struct cs_err *err)
{
    if (why->code != CS_EDEVICE && why->code != CS_ENOMEM && why->code != CS_ETIMEOUT) {
        *err = *why;
        return -1;
    }
    if (lane->breaker.state != CS_BREAKER_CLOSED)
        return answered(p, lane, why, err);
    cs_log(CS_LOG_WARN, "%s%s", name_of(lane), why->text);
    cs_breaker_error(&lane->breaker);
    return 0;
}

// Let there be a worker, if only one that is loading.
static int start_worker(struct cs_pipeline *p, struct cs_lane *lane, struct cs_err *err)
{
    struct cs_err why = {0};
    if (lane->supervisor.pid || cs_supervisor_begin(&lane->supervisor, &why) == 0)
        return 0;
    return not_started(p, lane, &why, err);
}

// Send p->message. A worker that is gone is noticed here: 1.
static int send_run(struct cs_pipeline *p, struct cs_lane *lane, struct cs_err *why)
{
    if (cs_supervisor_run(&lane->supervisor, &p->buffers, p->message, why) == 0)
        return 0;
    *why = (struct cs_err){0};
    cs_supervisor_end(&lane->supervisor, why);
    return 1;
}

// The network over one pixel, which is mirrored to the small plane that was tried when the model
// was loaded. What comes out does not count, only that there is an answer.
static int ask_device(struct cs_pipeline *p, struct cs_lane *lane, struct cs_err *err)
{
    const struct cs_session_info *info = &p->recipe->info;
    struct cs_err why;
    *(float *)p->check_buffer->data = -1; // which no image of a scripted test begins with
    *p->message = (struct cs_wire_run){
        .kind = CS_WIRE_RUN,
        .run = ++p->runs,
        .height = info->probe_height,
        .width = info->probe_width,
        .count = 1,
        .jobs[0].buffer = p->check_buffer->id,
        .jobs[0].out_offset = p->recipe->page_bytes,
        .jobs[0].job = {.width = 1,
                        .height = 1,
                        .channels = 1,
                        .dtype = CS_F32,
                        .placement = CS_PLACE_COPY,
                        .out_width = 1,
                        .out_height = 1,
                        .out_channels = 1,
                        .out_dtype = CS_F32,
                        .part_width = 1,
                        .part_height = 1},
    };
    lane->check = p->runs;
    lane->check_deadline = deadline_of(p, 1, false);
    return send_run(p, lane, &why) ? answered(p, lane, &why, err) : 0;
}

// ---- Handing out works -------------------------------------------------------------------

// Images of this batch in one run: as many as memory was seen to suffice for.
static int run_limit(const struct cs_pipeline *p, const struct cs_batch *b)
{
    uint64_t plane = (uint64_t)b->plane_width * b->plane_height;
    uint64_t fit = p->most_pixels && plane ? p->most_pixels / plane : CS_MAX_BATCH;
    return fit >= (uint64_t)b->run_limit ? b->run_limit : fit ? (int)fit : 1;
}

// Tiles at the plane's ends have more of their own than others.
static bool same_part(const struct cs_batch *batch, int a, int b)
{
    return memcmp(&batch->works[a].part, &batch->works[b].part, sizeof(struct cs_part)) == 0;
}

// The next works to run: the first that wait and are ready, in the order of the input. 0: none now.
static int next_works(struct cs_pipeline *p, double now, struct cs_batch **batch, int *first)
{
    int count = 0;
    p->ready = 0;
    pthread_mutex_lock(&p->lock);
    for (struct cs_batch *b = p->head; b && !count; b = b->next) {
        int limit = run_limit(p, b);
        for (int i = 0; i < b->work_count && count < limit; i++) {
            struct cs_work *work = &b->works[i];
            bool single = work->alone || work->careful || (count && !same_part(b, *first, i));
            if (work->state != CS_WORK_WAITING || work->ready > now || (count && single)) {
                if (count)
                    break;
                if (work->state == CS_WORK_WAITING)
                    sooner(&p->ready, work->ready);
                continue;
            }
            if (!count++) {
                *batch = b;
                *first = i;
            }
            if (single)
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
        .part = f->batch->works[f->first].part,
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

static void take_off(struct cs_pipeline *p, struct cs_lane *lane, struct cs_batch *batch, int first,
                     int count)
{
    struct cs_flight *f = lane->flights;
    struct cs_err why;
    while (f->batch)
        f++;
    *f = (struct cs_flight){.batch = batch, .run = ++p->runs, .first = first, .count = count};
    f->deadline = deadline_of(p, count, false);
    lane->lonely = batch->works[first].alone;
    lane->flying++;
    for (int i = 0; i < count; i++) {
        batch->works[first + i].state = CS_WORK_FLYING;
        batch->works[first + i].tries++;
    }
    fill_message(p, f);
    if (send_run(p, lane, &why) != 0)
        worker_lost(p, lane, &why);
}

// As many runs as memory allows in flight on the lane, this batch's among them.
static int slots_with(const struct cs_pipeline *p, const struct cs_lane *lane,
                      const struct cs_batch *batch)
{
    int slots = batch->slots;
    for (int i = 0; i < p->recipe->slots; i++)
        if (lane->flights[i].batch && lane->flights[i].batch->slots < slots)
            slots = lane->flights[i].batch->slots;
    return slots;
}

// Hand out works to the lane until it has so many runs.
static int fill_lane(struct cs_pipeline *p, struct cs_lane *lane, int runs, struct cs_err *err)
{
    while (!lane->lost && lane->flying < runs && !lane->check && !lane->supervisor.loading) {
        struct cs_batch *batch = NULL;
        int first = 0, count;
        double now = cs_clock_seconds();
        bool closed = lane->breaker.state == CS_BREAKER_CLOSED;
        // Nothing is taken until the device has shown that it works; which stops the reader too,
        // where there is no other.
        if (!closed && (lane->flying || !cs_breaker_asks(&lane->breaker, now)))
            return 0;
        if (!lane->supervisor.pid) {
            if (start_worker(p, lane, err) != 0)
                return -1;
            continue;
        }
        if (!closed) {
            if (ask_device(p, lane, err) != 0)
                return -1;
            continue;
        }
        if (!cs_supervisor_ready(&lane->supervisor) ||
            !(count = next_works(p, now, &batch, &first)))
            return 0;
        // One that flies alone waits for the others to land, and they for it.
        if (lane->flying && (batch->works[first].alone || lane->lonely))
            return 0;
        if (lane->flying >= slots_with(p, lane, batch))
            return 0;
        take_off(p, lane, batch, first, count);
    }
    return 0;
}

// Until every slot has a run; lanes in turn, so that none waits for works that another has queued.
static int dispatch(struct cs_pipeline *p, struct cs_err *err)
{
    for (int runs = 1; runs <= p->recipe->slots; runs++)
        for (int i = 0; i < p->lane_count; i++)
            if (fill_lane(p, &p->lanes[i], runs, err) != 0)
                return -1;
    return 0;
}

// ---- Landing -----------------------------------------------------------------------------

static int hear_load(struct cs_pipeline *p, struct cs_lane *lane, struct cs_err *err)
{
    struct cs_err why = {0};
    return cs_supervisor_loaded(&lane->supervisor, &why) == 0 ? 0 : not_started(p, lane, &why, err);
}

// From now on its time counts.
static void begun(struct cs_pipeline *p, struct cs_lane *lane, uint32_t run)
{
    if (lane->check == run)
        lane->check_deadline = deadline_of(p, 1, true);
    for (int i = 0; i < p->recipe->slots; i++)
        if (lane->flights[i].batch && lane->flights[i].run == run)
            lane->flights[i].deadline = deadline_of(p, lane->flights[i].count, true);
}

static void landed(struct cs_pipeline *p, struct cs_lane *lane, struct cs_flight *f,
                   const struct cs_wire_done *done)
{
    struct cs_err why = done->err;
    struct cs_failure failure = {why.code, true, lane->flying == 1, f->count};
    if (done->prepared > LONG_PREPARATION)
        cs_log(CS_LOG_INFO, "%smade ready for %d x %u x %u in %.2f s", name_of(lane), f->count,
               f->batch->plane_width, f->batch->plane_height, done->prepared);
    if (why.code != CS_OK && cs_failure_of_device(&failure)) {
        cs_supervisor_end(&lane->supervisor, &why);
        worker_lost(p, lane, &why);
        return;
    }
    if (why.code == CS_OK)
        cs_works_done(p, lane, f, done);
    else
        cs_works_failed(p, lane, f, &failure, &why);
    f->batch = NULL;
    lane->flying--;
}

int cs_flights_hear(struct cs_pipeline *p, struct cs_lane *lane, struct cs_err *err)
{
    union cs_wire_packet *packet = lane->supervisor.packet;
    const struct cs_wire_done *done = &packet->done;
    struct cs_err why = {0};
    if (lane->supervisor.loading)
        return hear_load(p, lane, err);
    if (!cs_supervisor_receive(&lane->supervisor, packet, &why)) {
        if (lane->check)
            return answered(p, lane, &why, err);
        worker_lost(p, lane, &why);
    } else if (packet->kind == CS_WIRE_BEGUN) {
        begun(p, lane, packet->begun.run);
    } else if (lane->check && done->run == lane->check) {
        return answered(p, lane, done->err.code == CS_OK ? NULL : &done->err, err);
    } else {
        for (int i = 0; i < p->recipe->slots; i++)
            if (lane->flights[i].batch && lane->flights[i].run == done->run) {
                landed(p, lane, &lane->flights[i], done);
                break;
            }
    }
    return 0;
}

// A worker that is not ready in time.
static int end_late_load(struct cs_pipeline *p, struct cs_lane *lane, struct cs_err *err)
{
    struct cs_err why = {0};
    cs_supervisor_late(&lane->supervisor, &why);
    cs_supervisor_end(&lane->supervisor, &why);
    return not_started(p, lane, &why, err);
}

static bool is_over_time(double deadline, double now)
{
    return deadline > 0 && deadline <= now;
}

// End what is over its time.
static int watch_time(struct cs_pipeline *p, struct cs_lane *lane, struct cs_err *err)
{
    double now = cs_clock_seconds(), late = 0;
    if (lane->supervisor.loading)
        return is_over_time(lane->supervisor.ready_by, now) ? end_late_load(p, lane, err) : 0;
    if (lane->check && is_over_time(lane->check_deadline, now))
        late = p->timeout;
    for (int i = 0; i < p->recipe->slots; i++) {
        const struct cs_flight *f = &lane->flights[i];
        if (f->batch && is_over_time(f->deadline, now))
            late = p->timeout * f->count;
    }
    if (late <= 0)
        return 0;
    struct cs_err why = {0};
    cs_fail(&why, CS_ETIMEOUT, "not done within %g s (--timeout)", late);
    cs_supervisor_end(&lane->supervisor, &why);
    if (lane->check)
        return answered(p, lane, &why, err);
    worker_lost(p, lane, &why);
    return 0;
}

// The next time that the lane is to be looked at without an event.
static void lane_waits(const struct cs_pipeline *p, const struct cs_lane *lane, double *soonest)
{
    if (lane->lost)
        return;
    if (lane->supervisor.loading)
        sooner(soonest, lane->supervisor.ready_by);
    else if (lane->breaker.state == CS_BREAKER_OPEN)
        sooner(soonest, lane->breaker.until);
    else if (lane->breaker.state == CS_BREAKER_CLOSED)
        sooner(soonest, p->ready);
    if (lane->check)
        sooner(soonest, lane->check_deadline);
    for (int i = 0; i < p->recipe->slots; i++)
        if (lane->flights[i].batch)
            sooner(soonest, lane->flights[i].deadline);
}

int cs_flights_tend(struct cs_pipeline *p, int *wait_ms, struct cs_err *err)
{
    double soonest = 0;
    for (int i = 0; i < p->lane_count; i++)
        if (watch_time(p, &p->lanes[i], err) != 0)
            return -1;
    if (dispatch(p, err) != 0)
        return -1;
    for (int i = 0; i < p->lane_count; i++)
        lane_waits(p, &p->lanes[i], &soonest);
    double left = (soonest - cs_clock_seconds()) * 1000;
    *wait_ms = soonest <= 0 || left > LOOK_MS ? LOOK_MS : left > 0 ? (int)left + 1 : 0;
    return 0;
}
