// SPDX-License-Identifier: MIT
#include "infer/works.h"

#include <assert.h>

#include "base/clock.h"
#include "base/log.h"

// The batch may be gone afterwards, if this was its last.
static void work_over(struct cs_pipeline *p, struct cs_batch *batch, struct cs_work *work)
{
    assert(work->state != CS_WORK_OVER && batch->works_left > 0);
    pthread_mutex_lock(&p->lock);
    work->state = CS_WORK_OVER;
    work->over = true;
    batch->works_left--;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

// The item of this work, which does not wait, fails; those of its works that wait are not run,
// those in flight end by themselves.
static void work_fail(struct cs_pipeline *p, struct cs_batch *batch, struct cs_work *work,
                      const struct cs_err *why)
{
    int unit = work->unit;
    if (!cs_item_failed(&batch->units[unit].item))
        cs_item_fail(&batch->units[unit].item, p->options->tool, why);
    pthread_mutex_lock(&p->lock);
    batch->spoiled = true;
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < batch->work_count; i++)
        if (batch->works[i].unit == unit && batch->works[i].state == CS_WORK_WAITING)
            work_over(p, batch, &batch->works[i]);
    work_over(p, batch, work);
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

// Values that a reduced precision cannot hold may be fine in fp32, and those of a device that
// failed once may be fine anyway.
static bool try_carefully(const struct cs_pipeline *p, struct cs_unit *unit, struct cs_work *work)
{
    if (work->careful || cs_item_failed(&unit->item))
        return false;
    unit->careful = unit->careful || p->lanes[0].supervisor.precision != CS_FP32;
    work->careful = true;
    work->state = CS_WORK_WAITING;
    return true;
}

void cs_works_done(struct cs_pipeline *p, struct cs_lane *lane, const struct cs_flight *f,
                   const struct cs_wire_done *done)
{
    cs_breaker_good(&lane->breaker);
    for (int i = 0; i < f->count; i++) {
        struct cs_work *work = &f->batch->works[f->first + i];
        struct cs_unit *unit = &f->batch->units[work->unit];
        unit->milliseconds += done->milliseconds / f->count;
        if (done->nonfinite[i] && try_carefully(p, unit, work))
            continue;
        if (done->nonfinite[i]) {
            struct cs_err why = {0};
            cs_fail(&why, CS_EMODEL, "%llu values of the network's output are not finite",
                    (unsigned long long)done->nonfinite[i]);
            work_fail(p, f->batch, work, &why);
        } else {
            set_probability(p->recipe, unit, &work->job);
            work_over(p, f->batch, work);
        }
    }
}

// A failure that counts: the image waits for its next try, or for its end.
static void count_failure(struct cs_pipeline *p, const struct cs_lane *lane, struct cs_work *work,
                          bool last)
{
    int number = (int)(lane - p->lanes);
    if (!work->failures++ || work->lane != number)
        work->proofs = lane->breaker.proofs;
    work->lane = number;
    work->ready = cs_clock_seconds() + cs_retry_delay(work->failures, p->options->pause);
    if (last || work->failures > p->options->retries)
        work->state = CS_WORK_DOOMED;
}

// Half as many pixels at once as this run had, from now on.
static void fly_smaller(struct cs_pipeline *p, const struct cs_flight *f)
{
    uint64_t plane = (uint64_t)f->batch->plane_width * f->batch->plane_height;
    uint64_t pixels = plane * (uint64_t)(f->count / 2);
    if (p->most_pixels && p->most_pixels <= pixels)
        return;
    p->most_pixels = pixels;
    cs_log(CS_LOG_WARN, "no memory for %d images of %u x %u at once: %d from now on", f->count,
           f->batch->plane_width, f->batch->plane_height, f->count / 2);
}

void cs_works_failed(struct cs_pipeline *p, struct cs_lane *lane, const struct cs_flight *f,
                     const struct cs_failure *failure, const struct cs_err *why)
{
    enum cs_retry retry = cs_retry_judge(failure);
    if (retry == CS_RETRY_SMALLER)
        fly_smaller(p, f);
    for (int i = 0; i < f->count; i++) {
        struct cs_work *work = &f->batch->works[f->first + i];
        struct cs_unit *unit = &f->batch->units[work->unit];
        if (cs_item_failed(&unit->item) || retry == CS_RETRY_FAIL) {
            work_fail(p, f->batch, work, why);
            continue;
        }
        unit->why = *why;
        work->state = CS_WORK_WAITING;
        work->alone = work->alone || retry != CS_RETRY_SMALLER;
        if (retry == CS_RETRY_COUNT || retry == CS_RETRY_MEMORY)
            count_failure(p, lane, work, retry == CS_RETRY_MEMORY);
        // Whether others were computed since it failed first, or the device is to be asked.
        if (work->state == CS_WORK_DOOMED) {
            if (retry == CS_RETRY_COUNT && lane->breaker.proofs > work->proofs)
                work_fail(p, f->batch, work, why);
            else
                cs_breaker_ask(&lane->breaker);
        }
    }
}

// The first work that waits for this lane's word, or NULL.
static struct cs_work *find_doomed(struct cs_pipeline *p, int lane, struct cs_batch **batch)
{
    struct cs_work *found = NULL;
    pthread_mutex_lock(&p->lock);
    for (struct cs_batch *b = p->head; b && !found; b = b->next)
        for (int i = 0; i < b->work_count && !found; i++)
            if (b->works[i].state == CS_WORK_DOOMED && b->works[i].lane == lane) {
                found = &b->works[i];
                *batch = b;
            }
    pthread_mutex_unlock(&p->lock);
    return found;
}

void cs_works_give_up(struct cs_pipeline *p, const struct cs_lane *lane)
{
    struct cs_batch *batch = NULL;
    struct cs_work *work;
    while ((work = find_doomed(p, (int)(lane - p->lanes), &batch)))
        work_fail(p, batch, work, &batch->units[work->unit].why);
}

void cs_works_forgive(struct cs_pipeline *p, const struct cs_lane *lane)
{
    pthread_mutex_lock(&p->lock);
    for (struct cs_batch *b = p->head; b; b = b->next)
        for (int i = 0; i < b->work_count; i++) {
            if (b->works[i].lane != (int)(lane - p->lanes))
                continue;
            b->works[i].failures = 0;
            b->works[i].ready = 0;
            if (b->works[i].state == CS_WORK_DOOMED)
                b->works[i].state = CS_WORK_WAITING;
        }
    pthread_mutex_unlock(&p->lock);
}
