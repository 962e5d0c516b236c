// SPDX-License-Identifier: MIT
// A backend runs concrete graphs on one kind of device. One table of functions, each a contract;
// backends.c lists what was compiled in. Calls on different slots may come from different threads;
// everything else comes from one thread. Every call blocks until its work is done.
//
//   open -> device; load -> network (weights up, once); plan -> one input shape (primitives built,
//   memory known); slot_open -> memory of one concurrent batch; run: any number of times.
//
// `run` allocates nothing. A graph runs wholly on one backend: `supports` is asked for every node
// before anything is loaded, and a refusal names node and reason.
#ifndef CS_BACKEND_BACKEND_H
#define CS_BACKEND_BACKEND_H

#include "backend/job.h"
#include "base/err.h"
#include "graph/graph.h"

struct cs_device;
struct cs_network;
struct cs_plan;
struct cs_slot;

// Arithmetic of a plan: what the products of a network are computed with. Sums and statistics are
// in fp32 whatever is chosen.
enum cs_precision { CS_FP32, CS_TF32, CS_FP16, CS_BF16, CS_PRECISION_COUNT };
const char *cs_precision_name(enum cs_precision precision); // "fp32"

struct cs_device_options {
    int threads; // per slot, for backends that compute on the CPU; 0: all that may be used
    // What follows the backend's name; NULL or "": nothing. fake: script of faults (fake/fake.h);
    // cuda: number of the GPU, from 0.
    const char *detail;
};

// Bytes of memory, for cs-model info, --memory and the session's budget.
struct cs_memory_use {
    size_t weights;   // shared by all slots and plans
    size_t packed;    // of these, in memory by now; the rest comes with the first slot
    size_t arena;     // activations, one slot
    size_t workspace; // libraries' scratch, one slot
    size_t buffers;   // input and output, one slot
    size_t kept;      // that closed slots left for the next ones
};

// What a device can do at best, in one second.
struct cs_peak {
    double flops; // fp32 multiplications and additions
    double bytes; // of memory, reads and writes of a copy together; 0: unknown
};

// One step of a plan in a profile.
struct cs_profile {
    const struct cs_node *node; // NULL: a job's part before ("prepare") or behind ("finish") them;
                                // of a device that takes a batch as one: "upload", "compute",
                                // "download", and "wait", how long the host slept meanwhile
    const char *kernel;         // the library's name of its kernel, "own" or "plain" for ours
    double seconds;             // sum over the runs since profile_start
    double flops;               // of one run; 0 where memory decides
    double bytes;               // that one run moves; 0: those of the node's tensors
};

struct cs_backend {
    const char *name; // "ref", "cpu", "fake", "cuda"

    // How many devices there are, and whether they can be used: CS_EDEVICE with the reason. Opens
    // none. NULL: one.
    int (*device_count)(int *count, struct cs_err *err);
    // A device ready for work. CS_EDEVICE with the reason when it cannot be had.
    int (*device_open)(const struct cs_device_options *options, struct cs_device **device,
                       struct cs_err *err);
    void (*device_close)(struct cs_device *device); // accepts NULL
    // One line for people: "cpu: AMD EPYC, 4 threads, avx512, oneDNN 2.6.3".
    const char *(*device_text)(const struct cs_device *device);
    // Bytes of the device's own memory that are free, other programs' counted, and all. NULL: plans
    // and slots lie in the process's memory.
    int (*device_memory)(const struct cs_device *device, uint64_t *left, uint64_t *total,
                         struct cs_err *err);
    // After an error: whether this process can no longer use the device, and must end for another
    // one to go on. NULL: never.
    bool (*device_lost)(const struct cs_device *device);
    // Memory of this process that images lie in (job.h, `pinned`): copies between it and the device
    // need no other memory in between, until memory_unpin. CS_EDEVICE or CS_ENOMEM where the driver
    // does not take it, which is no reason not to go on. No run may use it during either call.
    // NULL: there is nothing to gain.
    int (*memory_pin)(struct cs_device *device, void *data, size_t bytes, struct cs_err *err);
    void (*memory_unpin)(struct cs_device *device, void *data);
    // The precisions that this device offers, bits 1 << enum cs_precision; fp32 always.
    unsigned (*precisions)(const struct cs_device *device);
    enum cs_pass_set passes; // that graphs for this backend go through
    bool reads_file;         // constants may be in_file (graph.h)

    // Whether this node of a concrete graph can run; writes the reason when not.
    bool (*supports)(const struct cs_graph *graph, const struct cs_node *node, char *why,
                     size_t why_size);

    // Take the constants of the graph over to the device; shared by all plans. The graph's
    // constants must outlive the network. Constants are recognised by their data pointer.
    int (*network_open)(struct cs_device *device, struct cs_network **network, struct cs_err *err);
    void (*network_close)(struct cs_network *network); // accepts NULL

    // Build everything for one concrete graph, which has gone through the passes and is borrowed
    // until plan_close. `precision`: one that the device offers. `direct`: no convolution by a
    // transform, which is faster, a little less exact, and spreads a value that is not finite over
    // its neighbours. CS_EMODEL names the node, CS_ENOMEM says what was needed.
    int (*plan_open)(struct cs_network *network, const struct cs_graph *graph,
                     enum cs_precision precision, bool direct, struct cs_plan **plan,
                     struct cs_err *err);
    void (*plan_close)(struct cs_plan *plan); // accepts NULL
    struct cs_memory_use (*plan_memory)(const struct cs_plan *plan);

    // Memory of one concurrent batch, enough for any of the plans given.
    int (*slot_open)(struct cs_network *network, struct cs_plan *const *plans, int plan_count,
                     struct cs_slot **slot, struct cs_err *err);
    void (*slot_close)(struct cs_slot *slot); // accepts NULL
    // Give memory back that was kept for the next slots. NULL: none is.
    void (*network_trim)(struct cs_network *network);

    // One batch of images, decoded pixels to finished maps: n jobs, at most the plan's batch;
    // missing ones are padded. Graphs with one float32 input N,C,H,W.
    int (*run)(struct cs_slot *slot, struct cs_plan *plan, struct cs_job *jobs, int n,
               struct cs_err *err);

    // The network alone on dense row-major tensors as ONNX has them: inputs[i] for graph input i,
    // outputs[i] for graph output i, sizes as in the graph. For tests and cs-model check.
    int (*run_tensors)(struct cs_slot *slot, struct cs_plan *plan, const void *const *inputs,
                       void *const *outputs, struct cs_err *err);

    // ---- For benchmarks; NULL where a backend has nothing to say ----

    // Measure, in about a second, with the device's threads.
    void (*peak)(const struct cs_device *device, bool cpu_time, struct cs_peak *peak);
    // Sum up the time of every step of the plan, from zero, from now on: elapsed, or the process's
    // processor time. One slot at a time may then run the plan.
    void (*profile_start)(struct cs_plan *plan, bool cpu_time);
    // Step i, in the order of execution; false behind the last or when no profile is taken.
    bool (*profile_step)(const struct cs_plan *plan, int i, struct cs_profile *step);
};

// NULL-terminated, in order of preference for "auto".
extern const struct cs_backend *const cs_backends[];
const struct cs_backend *cs_backend_find(const char *name); // NULL: not in the table
// The same, and backends that are loaded at run time (plugin.h). NULL with CS_EDEVICE: what is
// missing. From one thread.
const struct cs_backend *cs_backend_get(const char *name, struct cs_err *err);

// `precisions` of a device that offers fp32 alone.
unsigned cs_precisions_fp32(const struct cs_device *device);

// Whether every node is supported; CS_EMODEL with "node NAME (Op): reason" when not.
int cs_backend_check(const struct cs_backend *backend, const struct cs_graph *graph,
                     struct cs_err *err);

// Threads this process may use: affinity and the cgroup's CPU quota, not the machine's count.
int cs_usable_threads(void);

// Idle OpenMP threads spin for milliseconds by default. Beside any other work on the machine that
// starves the very threads they wait for: networks of many small steps become several times slower.
// Asks for less in the environment, unless the user did; true when that changed. Programs executed
// from now on heed it, this one only when executed anew.
bool cs_limit_spinning(void);

#endif
