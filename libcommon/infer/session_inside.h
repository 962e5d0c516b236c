// SPDX-License-Identifier: MIT
// Inside of a session: session.c keeps its plans and slots, session_load.c opens it,
// session_memory.c says how much memory they may have.
#ifndef CS_INFER_SESSION_INSIDE_H
#define CS_INFER_SESSION_INSIDE_H

#include "infer/session.h"
#include "model/onnx.h"

// Plans kept at once. Image sizes of one run are few; each plan holds primitives, not activations.
enum { MAX_PLANS = 16 };

struct cs_session_plan {
    struct cs_session_key key;
    uint64_t last_use;     // 0: never used, only looked at
    int slots;             // that may have it at once
    struct cs_graph graph; // concrete, borrowed by the backend's plan
    int64_t origin[2];     // of its outputs' planes on the network's (graph.h, cs_graph_cut)
    struct cs_plan *plan;
};

struct cs_session_slot {
    struct cs_slot *slot;           // NULL: not open
    uint64_t opened_for;            // which set of plans, see `set`
    size_t bytes;                   // the most that a plan it was opened for takes
    struct cs_session_plan *chosen; // that the next run uses
};

struct cs_session {
    const struct cs_backend *backend;
    struct cs_device *device;
    struct cs_network *network;
    struct cs_graph graph; // as read
    struct cs_onnx *file;  // its weights
    struct cs_session_options options;
    int channels;
    struct cs_session_plan *plans[MAX_PLANS]; // each at one place: the backend borrows its graph
    int plan_count;
    uint64_t clock; // counts uses
    uint64_t set;   // changes with the set of plans, and with `open`
    int open;       // slots that may be open now: as many as the plan in use may have
    struct cs_session_slot slots[CS_MAX_SLOTS];
    // Of a device's own memory; options.memory is the limit as it was seen last.
    uint64_t wish; // the limit that was asked for
    uint64_t most; // that could be had
    uint64_t shed; // `set` when memory was last given up: nothing more can be until it changes
    double looked; // monotonic seconds of the last look; 0: none yet
    bool warned;   // that there is little, and there still is
};

// What the process has, and will have once the weights of its plans are packed; no slot is open.
struct cs_session_memory cs_session_memory_of(const struct cs_session *s,
                                              const struct cs_session_plan *p);
// As many slots as the limit allows, with the plan's slot open in each; 0: not even one, for which
// cs_session_refuse has the words (CS_ENOMEM, -1).
int cs_session_slots_within(const struct cs_session *s, const struct cs_session_plan *p);
int cs_session_refuse(const struct cs_session *s, const struct cs_session_plan *p,
                      struct cs_err *err);
// Decide the limit of a device's own memory at first, and see again what it can be with no slot
// open. Nothing where plans lie in the process's memory.
int cs_session_limit_device(struct cs_session *s, struct cs_session_info *info, struct cs_err *err);
int cs_session_look_at_device(struct cs_session *s, struct cs_err *err);

#endif
