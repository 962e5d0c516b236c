// SPDX-License-Identifier: MIT
#include "infer/session_inside.h"

#include <assert.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "infer/infer.h"

// ---- Plans -------------------------------------------------------------------------------

static bool is_direct(const struct cs_session *s, const struct cs_session_key *key)
{
    return key->direct || s->options.direct;
}

static struct cs_session_plan *find_plan(const struct cs_session *s,
                                         const struct cs_session_key *key)
{
    for (int i = 0; i < s->plan_count; i++) {
        const struct cs_session_key *k = &s->plans[i]->key;
        if (k->batch == key->batch && k->height == key->height && k->width == key->width &&
            memcmp(&k->part, &key->part, sizeof k->part) == 0 && k->precision == key->precision &&
            is_direct(s, k) == is_direct(s, key))
            return s->plans[i];
    }
    return NULL;
}

static void plan_free(struct cs_session *s, struct cs_session_plan *p)
{
    s->backend->plan_close(p->plan);
    cs_graph_release(&p->graph);
    free(p);
}

static void close_slots(struct cs_session *s)
{
    for (int i = 0; i < s->options.slots; i++) {
        s->backend->slot_close(s->slots[i].slot);
        s->slots[i] = (struct cs_session_slot){.bytes = s->slots[i].bytes};
    }
    s->set++;
}

// Back to the system what closed slots left for the next ones.
static void trim_memory(struct cs_session *s)
{
    if (s->backend->network_trim)
        s->backend->network_trim(s->network);
    malloc_trim(0);
    for (int i = 0; i < CS_MAX_SLOTS; i++)
        s->slots[i].bytes = 0;
}

static void drop_plan(struct cs_session *s, int index)
{
    plan_free(s, s->plans[index]);
    s->plans[index] = s->plans[--s->plan_count];
}

// Plans that were never used go, and the least recently used one when the set is full.
static void make_room(struct cs_session *s)
{
    int oldest = 0;
    for (int i = s->plan_count - 1; i >= 0; i--)
        if (!s->plans[i]->last_use)
            drop_plan(s, i);
    for (int i = 1; i < s->plan_count; i++)
        if (s->plans[i]->last_use < s->plans[oldest]->last_use)
            oldest = i;
    if (s->plan_count == MAX_PLANS)
        drop_plan(s, oldest);
}

static int plan_init(struct cs_session *s, struct cs_session_plan *p, struct cs_err *err)
{
    const struct cs_session_key *key = &p->key;
    struct cs_shape shape = {.rank = 4, .dim = {key->batch, s->channels, key->height, key->width}};
    if (cs_graph_infer(&s->graph, &shape, &p->graph, err) != 0)
        return -1;
    if (key->part.end[0] && cs_graph_cut(&p->graph, &key->part, p->origin, err) != 0)
        return -1;
    if (cs_graph_run_passes(&p->graph, s->backend->passes, err) != 0 ||
        cs_backend_check(s->backend, &p->graph, err) != 0 ||
        s->backend->plan_open(s->network, &p->graph, key->precision, is_direct(s, key), &p->plan,
                              err) != 0)
        return -1;
    return 0;
}

// ---- Preparing ---------------------------------------------------------------------------

// How many slots each plan may have, now that the set has changed; other plans give way to `p`.
static int share_memory(struct cs_session *s, struct cs_session_plan *p, struct cs_err *err)
{
    if (cs_session_look_at_device(s, err) != 0)
        return -1;
    if (!cs_session_slots_within(s, p)) {
        for (int i = s->plan_count - 1; i >= 0; i--)
            if (s->plans[i] != p)
                drop_plan(s, i);
        trim_memory(s);
        if (!cs_session_slots_within(s, p))
            return cs_session_refuse(s, p, err);
    }
    for (int i = 0; i < s->plan_count; i++) {
        s->plans[i]->slots = cs_session_slots_within(s, s->plans[i]);
        if (!s->plans[i]->slots && s->plans[i] != p)
            drop_plan(s, i--);
    }
    return 0;
}

// A plan that was not there.
static struct cs_session_plan *add_plan(struct cs_session *s, const struct cs_session_key *key,
                                        struct cs_err *err)
{
    close_slots(s);
    make_room(s);
    struct cs_session_plan *p = cs_xcalloc(1, sizeof *p);
    p->key = *key;
    if (plan_init(s, p, err) != 0) {
        plan_free(s, p);
        return NULL;
    }
    s->plans[s->plan_count++] = p;
    return p;
}

// Share the threads out among fewer slots, for all plans from now on: those there are go, since
// threads are part of a plan.
static int use_fewer_slots(struct cs_session *s, int slots, struct cs_err *err)
{
    int threads = s->options.slots * s->options.threads;
    while (threads % slots)
        slots--;
    struct cs_device_options options = {.threads = threads / slots, .detail = s->options.detail};
    struct cs_device *device;
    struct cs_network *network;
    if (s->backend->device_open(&options, &device, err) != 0)
        return -1;
    if (s->backend->network_open(device, &network, err) != 0) {
        s->backend->device_close(device);
        return -1;
    }
    close_slots(s);
    while (s->plan_count)
        drop_plan(s, s->plan_count - 1);
    trim_memory(s);
    s->backend->network_close(s->network);
    s->backend->device_close(s->device);
    s->network = network;
    s->device = device;
    s->options.slots = slots;
    s->options.threads = threads / slots;
    return 0;
}

static struct cs_session_plan *get_plan(struct cs_session *s, const struct cs_session_key *key,
                                        struct cs_err *err)
{
    for (;;) {
        struct cs_session_plan *p = find_plan(s, key);
        if (p && p->slots && (!s->options.flexible || p->slots == s->options.slots))
            return p;
        if (!p && !(p = add_plan(s, key, err)))
            return NULL;
        close_slots(s);
        if (share_memory(s, p, err) != 0) {
            for (int i = 0; i < s->plan_count; i++)
                if (s->plans[i] == p)
                    drop_plan(s, i);
            return NULL;
        }
        if (!s->options.flexible || p->slots == s->options.slots)
            return p;
        if (use_fewer_slots(s, p->slots, err) != 0)
            return NULL;
    }
}

int cs_session_slots(const struct cs_session *s, const struct cs_session_key *key)
{
    const struct cs_session_plan *p = find_plan(s, key);
    bool right = p && p->last_use && p->slots == s->open;
    return right && (!s->options.flexible || p->slots == s->options.slots) ? s->open : 0;
}

static size_t slot_bytes(const struct cs_session *s, const struct cs_session_plan *p)
{
    struct cs_memory_use use = s->backend->plan_memory(p->plan);
    return use.arena + use.workspace;
}

// For all plans up to the largest that the slot was ever asked for: one that large images never
// come to stays small.
static int open_slot(struct cs_session *s, struct cs_session_slot *slot,
                     const struct cs_session_plan *p, struct cs_err *err)
{
    struct cs_plan *plans[MAX_PLANS];
    int count = 0;
    s->backend->slot_close(slot->slot);
    slot->slot = NULL;
    slot->bytes = slot_bytes(s, p) > slot->bytes ? slot_bytes(s, p) : slot->bytes;
    // Not those that are too large to be had by so many slots.
    for (int i = 0; i < s->plan_count; i++)
        if (s->plans[i]->last_use && s->plans[i]->slots >= s->open &&
            slot_bytes(s, s->plans[i]) <= slot->bytes)
            plans[count++] = s->plans[i]->plan;
    if (s->backend->slot_open(s->network, plans, count, &slot->slot, err) != 0)
        return -1;
    slot->opened_for = s->set;
    cs_onnx_rest(s->file);
    return 0;
}

int cs_session_prepare(struct cs_session *s, int slot_index, const struct cs_session_key *key,
                       struct cs_err *err)
{
    struct cs_session_slot *slot = &s->slots[slot_index];
    struct cs_session_plan *p = get_plan(s, key, err);
    if (!p)
        return -1;
    if (p->slots != s->open || !p->last_use) {
        close_slots(s);
        if (p->slots < s->open)
            trim_memory(s);
        s->open = p->slots;
    }
    assert(slot_index < s->open);
    p->last_use = ++s->clock;
    bool ready = slot->slot && slot->opened_for == s->set && slot_bytes(s, p) <= slot->bytes;
    if (!ready && open_slot(s, slot, p, err) != 0)
        return -1;
    slot->chosen = p;
    return 0;
}

int cs_session_look(struct cs_session *s, const struct cs_session_key *key,
                    struct cs_session_memory *memory, const struct cs_graph **graph,
                    struct cs_err *err)
{
    struct cs_session_plan *p = find_plan(s, key);
    close_slots(s);
    if (!p && !(p = add_plan(s, key, err)))
        return -1;
    *memory = cs_session_memory_of(s, p);
    *graph = &p->graph;
    return 0;
}

// ---- Giving memory up --------------------------------------------------------------------

// Close every slot and drop every plan but the one that was used last. False: that was all there
// is.
static bool shed(struct cs_session *s)
{
    int kept = 0, open = 0;
    for (int i = 0; i < s->options.slots; i++)
        open += s->slots[i].slot != NULL;
    bool any = s->plan_count > 1 || open > 0;
    close_slots(s);
    for (int i = 1; i < s->plan_count; i++)
        if (s->plans[i]->last_use > s->plans[kept]->last_use)
            kept = i;
    for (int i = s->plan_count - 1; i >= 0; i--)
        if (i != kept)
            drop_plan(s, i);
    trim_memory(s);
    return any;
}

bool cs_session_retreat(struct cs_session *s, int slot)
{
    if (!s->backend->device_memory)
        return false;
    int most = slot > 0 ? slot : s->options.slots;
    bool any = shed(s) || most < s->options.slots;
    if (most < s->options.slots)
        cs_log(CS_LOG_WARN, "no memory for %d slots: %d from now on", s->options.slots, most);
    s->options.slots = most;
    for (int i = 0; i < s->plan_count; i++)
        s->plans[i]->slots = s->plans[i]->slots < most ? s->plans[i]->slots : most;
    return any;
}

void cs_session_shed(struct cs_session *s)
{
    shed(s);
    s->shed = s->set;
}

bool cs_session_lost(const struct cs_session *s)
{
    return s->backend->device_lost && s->backend->device_lost(s->device);
}

int cs_session_run(struct cs_session *s, int slot, struct cs_job *jobs, int n, struct cs_err *err)
{
    const struct cs_session_plan *p = s->slots[slot].chosen;
    for (int i = 0; i < n; i++) {
        jobs[i].skip_y = (uint32_t)p->origin[0];
        jobs[i].skip_x = (uint32_t)p->origin[1];
    }
    return s->backend->run(s->slots[slot].slot, p->plan, jobs, n, err);
}

int cs_session_run_tensors(struct cs_session *s, const void *const *inputs, void *const *outputs,
                           struct cs_err *err)
{
    return s->backend->run_tensors(s->slots[0].slot, s->slots[0].chosen->plan, inputs, outputs,
                                   err);
}

int cs_session_pin(struct cs_session *s, void *data, size_t bytes, struct cs_err *err)
{
    if (!s->backend->memory_pin)
        return 0;
    return s->backend->memory_pin(s->device, data, bytes, err) == 0 ? 1 : -1;
}

void cs_session_unpin(struct cs_session *s, void *data)
{
    s->backend->memory_unpin(s->device, data);
}

struct cs_memory_use cs_session_memory(const struct cs_session *s)
{
    return s->backend->plan_memory(s->slots[0].chosen->plan);
}

bool cs_session_profile_start(struct cs_session *s)
{
    if (!s->backend->profile_start)
        return false;
    s->backend->profile_start(s->slots[0].chosen->plan, false);
    return true;
}

bool cs_session_profile_step(const struct cs_session *s, int i, struct cs_profile *step)
{
    return s->backend->profile_step && s->backend->profile_step(s->slots[0].chosen->plan, i, step);
}

bool cs_session_peak(const struct cs_session *s, struct cs_peak *peak)
{
    if (!s->backend->peak)
        return false;
    s->backend->peak(s->device, false, peak);
    return true;
}

const struct cs_graph *cs_session_graph(const struct cs_session *s)
{
    return &s->slots[0].chosen->graph;
}

void cs_session_close(struct cs_session *s)
{
    if (!s)
        return;
    if (s->backend) {
        close_slots(s);
        for (int i = 0; i < s->plan_count; i++)
            plan_free(s, s->plans[i]);
        s->backend->network_close(s->network);
        s->backend->device_close(s->device);
    }
    cs_graph_release(&s->graph);
    cs_onnx_free(s->file);
    free(s);
}
