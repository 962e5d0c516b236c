// SPDX-License-Identifier: MIT
// A session: one network on one device, ready for batches of any plane the network takes. Lives in
// the worker process; cs-model uses it in its own.
//
// Plans (one a batch size, plane, part of it and precision) are kept in a least-recently-used set.
// cs_session_prepare makes a slot ready for a plan and is called from one thread, with the slot
// idle; a plan that is not yet there needs all slots idle. cs_session_run then runs in the slot's
// own thread.
#ifndef CS_INFER_SESSION_H
#define CS_INFER_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/backend.h"
#include "model/package.h"

enum {
    CS_MAX_SLOTS = 64,
    CS_MAX_BATCH = 32,
    CS_FLEXIBLE_PART = 4, // flexible slots take up to a quarter of the memory limit
};

struct cs_session_options {
    const char *device; // name of a backend
    const char *detail; // fake
    int slots;
    int threads;     // of one slot
    bool flexible;   // slots are a wish: fewer with more threads each where memory is short
    uint64_t memory; // limit of this process, shared memory not counted; 0: none
    // Limit of a device's own memory, which then counts instead: bytes, or percent of all there is.
    // Both 0: CS_DEVICE_PERCENT of what is free.
    uint64_t device_memory;
    double device_percent;
    bool check_files; // compare the weights with the package's sha256
    bool direct;      // convolutions by direct sums only (backend.h, plan_open)
    bool all_outputs; // compute also outputs that give no map
};

// What the callers of a session must know of its network.
struct cs_session_info {
    char device_text[160];
    char weights_sha256[CS_SHA256_HEX]; // "" when files were not checked
    // Where the time of loading went; the hash is taken beside the rest.
    double load_seconds, read_seconds, network_seconds, hash_seconds;
    unsigned precisions;                // that the device offers, bits 1 << enum cs_precision
    int channels, maps;                 // of the input, and of all that is given
    int max_batch;                      // 1 where the network says so
    uint32_t plane_height, plane_width; // 0: any
    bool same_size;                     // the maps' planes are as large as the input plane
    struct cs_map_source sources[CS_JOB_MAX_MAPS];
    int16_t output_of[CS_PACKAGE_MAX_TENSORS]; // graph output of each of the package's; -1: dropped
    char unused[256];                          // names of outputs that give no map, or ""
    bool tile_safe;
    char unsafe[128];              // operator and node that make it unsafe for tiles
    uint32_t stride, halo, margin; // graph.h, struct cs_reach
    uint64_t parameters;
    uint64_t device_bytes; // limit of the device's own memory; 0: it has none
    uint64_t device_most;  // that this limit could be
    uint64_t fixed_bytes;  // program, libraries, weights: all but slots (struct cs_session_memory)
    // One slot for one image of this plane; others grow in proportion.
    uint64_t probe_bytes;
    uint32_t probe_height, probe_width;
    // The same for a plane as large as tiles are; 0: not looked at, since memory is not scarce.
    uint64_t large_bytes, large_pixels;
    bool flexible; // as in the options
};

enum { CS_DEVICE_PERCENT = 80 };

struct cs_session;

// What a plan is for.
struct cs_session_key {
    int batch;
    uint32_t height, width;      // of the network's planes
    struct cs_part part;         // of them that jobs are about; ends 0: all
    enum cs_precision precision; // one that the device offers
    bool direct;                 // as in the options, for this plan
};

// Load the package's network on the device. CS_EMODEL names file, node and reason; CS_EDEVICE and
// CS_ENOMEM likewise. The package is borrowed.
int cs_session_open(struct cs_session **session, const struct cs_package *package,
                    const struct cs_session_options *options, struct cs_session_info *info,
                    struct cs_err *err);
void cs_session_close(struct cs_session *session); // accepts NULL

// How many slots, from the first one on, may be prepared for such a plan while others run; 0: every
// slot has to be idle, and only the first may be prepared. As many as the memory limit allows.
int cs_session_slots(const struct cs_session *session, const struct cs_session_key *key);
// CS_ENOMEM when the plan does not fit the memory limit.
int cs_session_prepare(struct cs_session *session, int slot, const struct cs_session_key *key,
                       struct cs_err *err);
// After cs_session_prepare failed for want of memory, with every slot idle: give up what is kept
// beside the plan that was used last, and the slots from this one on, if it is not the first.
// False: there was nothing to give up, and trying again is no use.
bool cs_session_retreat(struct cs_session *session, int slot);
// Whether memory is running out on the device, whoever has it, and something can be given up by
// cs_session_shed, with every slot idle. `now`: monotonic seconds; looks once a second.
bool cs_session_pressed(struct cs_session *session, double now);
void cs_session_shed(struct cs_session *session);
// After a run failed: whether this process has lost the device, and must end (backend.h).
bool cs_session_lost(const struct cs_session *session);
// Run n jobs on the slot with the plan it was prepared for, all of the plan's part if it has one.
int cs_session_run(struct cs_session *session, int slot, struct cs_job *jobs, int n,
                   struct cs_err *err);
// The network alone on dense tensors (backend.h), slot 0, after cs_session_prepare.
int cs_session_run_tensors(struct cs_session *session, const void *const *inputs,
                           void *const *outputs, struct cs_err *err);
// Pin memory that images will lie in (backend.h, memory_pin): 1; 0 where the device gains nothing;
// -1 with why the driver does not take it.
int cs_session_pin(struct cs_session *session, void *data, size_t bytes, struct cs_err *err);
void cs_session_unpin(struct cs_session *session, void *data); // that was pinned
// What this process has and needs for one plan. Exact where the backend is: what is there was
// measured, what is to come is planned.
struct cs_session_memory {
    uint64_t process;   // program, libraries with what they keep for the plan, constants
    uint64_t constants; // of `process`: those of the network that stay beside the packed ones
    uint64_t weights;   // packed, once for all slots
    struct cs_memory_use slot;
};
// `slots` of them, images apart.
uint64_t cs_session_memory_bytes(const struct cs_session_memory *memory, int slots);
// Build the plan, whatever the limit, without memory for it. Every slot is closed, and gone with
// the next plan that is not the same. *graph: as the device would run it, borrowed until then.
int cs_session_look(struct cs_session *session, const struct cs_session_key *key,
                    struct cs_session_memory *memory, const struct cs_graph **graph,
                    struct cs_err *err);
// Of the plan that slot 0 was prepared for: its memory, and its concrete graph as the device runs
// it, borrowed.
struct cs_memory_use cs_session_memory(const struct cs_session *session);
const struct cs_graph *cs_session_graph(const struct cs_session *session);

// For benchmarks (backend.h): profile that plan, and what the device can do at best. false where
// the backend does not say.
bool cs_session_profile_start(struct cs_session *session);
bool cs_session_profile_step(const struct cs_session *session, int i, struct cs_profile *step);
bool cs_session_peak(const struct cs_session *session, struct cs_peak *peak);

#endif
