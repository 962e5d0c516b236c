// SPDX-License-Identifier: MIT
// Inside of a session: session.c keeps its plans and slots, session_load.c opens it.
#ifndef CS_INFER_SESSION_INSIDE_H
#define CS_INFER_SESSION_INSIDE_H

#include "infer/session.h"
#include "model/onnx.h"

// Plans kept at once. Image sizes of one run are few; each plan holds primitives, not activations.
enum { MAX_PLANS = 16 };

struct cs_session_key {
    int batch;
    uint32_t height, width;
    enum cs_precision precision;
    bool direct;
};

struct cs_session_plan {
    struct cs_session_key key;
    uint64_t last_use;     // 0: never used, only looked at
    int slots;             // that may have it at once
    struct cs_graph graph; // concrete, borrowed by the backend's plan
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
};

#endif
