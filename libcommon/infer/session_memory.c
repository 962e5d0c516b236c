// SPDX-License-Identifier: MIT
// The memory that a session may plan with, and what its plans take of it.
//
// On a device with memory of its own others may take some at any time. So what is free is asked for
// again whenever a plan is made, which counts against what leaves a tenth of the device to
// libraries, which load code when they please; and from time to time between plans, since less than
// a twentieth is too little to go on with what is kept for other images.
#include "infer/session_inside.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "infer/infer.h"

// What the first run adds: pages of libraries, stacks of threads.
static uint64_t first_run_bytes(const struct cs_session *s)
{
    return (3 << 19) + ((uint64_t)s->options.threads * (uint64_t)s->options.slots << 16);
}

// What the process has, and will have once the weights of its plans are packed; no slot is open.
struct cs_session_memory cs_session_memory_of(const struct cs_session *s,
                                              const struct cs_session_plan *p)
{
    struct cs_memory_use use = s->backend->plan_memory(p->plan);
    if (s->backend->device_memory)
        return (struct cs_session_memory){.weights = use.weights, .slot = use};
    return (struct cs_session_memory){
        .process = cs_resident_bytes() + first_run_bytes(s) - use.packed - use.kept,
        .constants = cs_arena_bytes(&s->graph.arena) + cs_onnx_bytes(s->file),
        .weights = use.weights,
        .slot = use,
    };
}

uint64_t cs_session_memory_bytes(const struct cs_session_memory *memory, int slots)
{
    const struct cs_memory_use *slot = &memory->slot;
    return memory->process + memory->weights +
           (uint64_t)slots * ((uint64_t)slot->arena + slot->workspace + slot->buffers);
}

// One slot may have all that the limit allows; flexible ones beside it a part.
static uint64_t limit_for(const struct cs_session *s, int slots)
{
    return s->options.flexible && slots > 1 ? s->options.memory / CS_FLEXIBLE_PART
                                            : s->options.memory;
}

int cs_session_slots_within(const struct cs_session *s, const struct cs_session_plan *p)
{
    struct cs_session_memory memory = cs_session_memory_of(s, p);
    int slots = s->options.slots;
    while (s->options.memory && slots &&
           cs_session_memory_bytes(&memory, slots) > limit_for(s, slots))
        slots--;
    return slots;
}

int cs_session_refuse(const struct cs_session *s, const struct cs_session_plan *p,
                      struct cs_err *err)
{
    struct cs_session_memory memory = cs_session_memory_of(s, p);
    uint64_t bytes = cs_session_memory_bytes(&memory, 1);
    char need[CS_SIZE_TEXT], limit[CS_SIZE_TEXT], would[CS_SIZE_TEXT];
    cs_size_text(bytes, need);
    cs_size_text(s->options.memory, limit);
    bool own = s->backend->device_memory != NULL;
    if (own && bytes > s->most) {
        cs_size_text(s->most, limit);
        return cs_fail(err, CS_ENOMEM,
                       "%d x %u x %u pixels need %s beside their images, the device has %s left",
                       p->key.batch, p->key.width, p->key.height, need, limit);
    }
    cs_size_option(own ? bytes : bytes / 3 * 4, would); // a quarter is for images (budget.h)
    return cs_fail(err, CS_ENOMEM,
                   "%d x %u x %u pixels need %s beside their images, there are %s: --%smemory %s "
                   "would do",
                   p->key.batch, p->key.width, p->key.height, need, limit, own ? "gpu-" : "",
                   would);
}

// ---- The device's own memory -------------------------------------------------------------

enum { RESERVE = 10, LITTLE = 20 };   // a tenth, a twentieth
static const double LOOK_SECONDS = 1; // between two looks while nothing changes

int cs_session_limit_device(struct cs_session *s, struct cs_session_info *info, struct cs_err *err)
{
    const struct cs_session_options *o = &s->options;
    uint64_t left, total;
    if (!s->backend->device_memory)
        return 0;
    if (s->backend->device_memory(s->device, &left, &total, err) != 0)
        return -1;
    s->wish = o->device_memory        ? o->device_memory
              : o->device_percent > 0 ? (uint64_t)((double)total * o->device_percent / 100)
                                      : left / 100 * CS_DEVICE_PERCENT;
    s->wish = s->wish ? s->wish : 1;
    if (cs_session_look_at_device(s, err) != 0)
        return -1;
    info->device_bytes = s->options.memory;
    info->device_most = s->most;
    return 0;
}

int cs_session_look_at_device(struct cs_session *s, struct cs_err *err)
{
    uint64_t left, total;
    if (!s->backend->device_memory)
        return 0;
    if (s->backend->device_memory(s->device, &left, &total, err) != 0)
        return -1;
    // Weights that are there are counted by every plan.
    if (s->plan_count)
        left += s->backend->plan_memory(s->plans[0]->plan).packed;
    s->most = left > total / RESERVE ? left - total / RESERVE : 1;
    s->options.memory = s->wish < s->most ? s->wish : s->most;
    return 0;
}

bool cs_session_pressed(struct cs_session *s, double now)
{
    uint64_t left, total;
    char rest[CS_SIZE_TEXT], all[CS_SIZE_TEXT];
    if (!s->backend->device_memory || (s->looked > 0 && now - s->looked < LOOK_SECONDS))
        return false;
    s->looked = now;
    if (s->backend->device_memory(s->device, &left, &total, NULL) != 0)
        return false; // the next run says why
    bool little = left < total / LITTLE, keeps = s->set != s->shed;
    if (little && !s->warned) {
        cs_size_text(left, rest);
        cs_size_text(total, all);
        cs_log(CS_LOG_WARN,
               "the device has %s of %s left: what is kept for other images is given up", rest,
               all);
    }
    if (little || left >= total / RESERVE)
        s->warned = little;
    return little && keeps;
}
