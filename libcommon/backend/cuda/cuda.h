// SPDX-License-Identifier: MIT
// Inside of the backend "cuda". A plan is a list of steps in the graph's order; a step puts kernels
// or cuDNN's work on the slot's stream. Steps run when a slot opens: once plainly, so that
// everything is loaded, once more while the stream is captured. From then on the slot replays the
// captured graph, so what a step costs the host does not matter, and it must not wait.
//
// float32 values are stored as fp16 in plans of that precision; all others as they are. Layout and
// places come from memory.h. Constants are uploaded when a plan is made, once for all plans.
#ifndef CS_BACKEND_CUDA_CUDA_H
#define CS_BACKEND_CUDA_CUDA_H

#include "backend/backend.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/memory.h"
#include "base/arena.h"

struct cs_cuda_dnn; // dnn.h

struct cs_device {
    int index;               // of the devices that are visible to this process
    int capability;          // 10 * major + minor
    struct cs_cuda_dnn *dnn; // plans are made with it
    char text[256];
};

// A constant on the device, as one kind of step wants it.
struct cs_cuda_packed {
    const void *data; // of the constant: its name
    uint64_t key;
    size_t bytes;
    void *device;
    int plans; // that use it
};

struct cs_network {
    struct cs_device *device;
    struct cs_cuda_packed **packed;
    int packed_count, packed_capacity;
    size_t packed_bytes;
};

struct cs_plan {
    struct cs_network *network;
    const struct cs_graph *graph;
    enum cs_precision precision;
    bool direct;
    struct cs_cuda_memory memory;
    struct cs_arena params;
    struct cs_cuda_step *steps;
    int step_count, step_capacity;
    struct cs_cuda_packed **packed; // that it uses
    int packed_count, packed_capacity;
    size_t scratch_bytes;
};

enum { CS_CUDA_COUNTERS = 4096 };

struct cs_cuda_run { // what a step sees while it runs
    const struct cs_plan *plan;
    char *arena, *scratch; // on the device
    void *stream;          // cudaStream_t
    struct cs_cuda_dnn *dnn;
    uint32_t *fault;    // set to 1 by kernels that meet an impossible sample; the run then fails
    uint32_t *counters; // CS_CUDA_COUNTERS, 0 before and after each step
};

struct cs_cuda_step {
    // 0, or a cudaError_t as kernels.h has it; -1 with err.
    int (*run)(const struct cs_cuda_step *step, const struct cs_cuda_run *run, struct cs_err *err);
    void *params;                  // of the plan's arena
    void (*release)(void *params); // NULL: nothing to release
    const struct cs_node *node;
    double flops; // multiplications and additions
};

// ---- Errors, memory of the device (device.c) ------------------------------------------------

// What a CUDA call returned, 0 included, as this library's error: CS_ENOMEM or CS_EDEVICE with
// `what` was being done. 0 or -1.
int cs_cuda_check(int code, const char *what, struct cs_err *err);
// Make the device that of the calling thread.
int cs_cuda_use(const struct cs_device *device, struct cs_err *err);
// NULL with CS_ENOMEM that says how much was asked for and how much is free. At least one byte.
void *cs_cuda_alloc(size_t bytes, const char *what, struct cs_err *err);
void cs_cuda_free(void *memory); // accepts NULL
// Memory of the host that copies do not wait for.
void *cs_cuda_alloc_pinned(size_t bytes, const char *what, struct cs_err *err);
void cs_cuda_free_pinned(void *memory); // accepts NULL

// ---- Images on their way (stage.c) -----------------------------------------------------------

// Memory for what goes up or comes down: pinned on the host, and as much on the device.
struct cs_cuda_stage {
    char *host, *device;
    size_t bytes;
};
// Let there be `bytes` at least. Allocates when there are not, which happens no more once the
// largest image has been seen. Nothing may be under way.
int cs_cuda_stage_grow(struct cs_cuda_stage *stage, size_t bytes, const char *what,
                       struct cs_err *err);
void cs_cuda_stage_release(struct cs_cuda_stage *stage);

// What a plan's images need at first: 16-bit samples of the input's size, and maps of the outputs'.
size_t cs_cuda_input_bytes(const struct cs_plan *plan);
size_t cs_cuda_output_bytes(const struct cs_plan *plan);
// The jobs as the kernels want them, in `staged`: those of `jobs` and then missing ones up to the
// batch. Fills in the places of pixels and maps on the device, from 0 on; *up and *down are their
// sums. CS_EMODEL where a job asks for an image or a channel that the network has not.
int cs_cuda_stage_jobs(const struct cs_plan *plan, const struct cs_job *jobs, int n,
                       struct cs_cuda_job *staged, size_t *up, size_t *down, struct cs_err *err);
// The pixels of the staged jobs to the host's side of `in`; maps from the host's side of `out`.
void cs_cuda_stage_pixels(const struct cs_job *jobs, int n, struct cs_cuda_job *staged,
                          const struct cs_cuda_stage *in, const struct cs_cuda_stage *out);
void cs_cuda_stage_maps(struct cs_job *jobs, int n, const struct cs_cuda_job *staged,
                        const struct cs_cuda_stage *out);

// ---- Functions of the backend's table --------------------------------------------------------

int cs_cuda_device_count(int *count, struct cs_err *err);
int cs_cuda_device_open(const struct cs_device_options *options, struct cs_device **device,
                        struct cs_err *err);
void cs_cuda_device_close(struct cs_device *device);
int cs_cuda_network_open(struct cs_device *device, struct cs_network **network, struct cs_err *err);
void cs_cuda_network_close(struct cs_network *network);
void cs_cuda_drop_packed(struct cs_plan *plan); // the plan uses its constants no more
bool cs_cuda_supports(const struct cs_graph *graph, const struct cs_node *node, char *why,
                      size_t why_size);
int cs_cuda_plan_open(struct cs_network *network, const struct cs_graph *graph,
                      enum cs_precision precision, bool direct, struct cs_plan **plan,
                      struct cs_err *err);
void cs_cuda_plan_close(struct cs_plan *plan);
struct cs_memory_use cs_cuda_plan_memory(const struct cs_plan *plan);
int cs_cuda_slot_open(struct cs_network *network, struct cs_plan *const *plans, int plan_count,
                      struct cs_slot **slot, struct cs_err *err);
void cs_cuda_slot_close(struct cs_slot *slot);
int cs_cuda_run_jobs(struct cs_slot *slot, struct cs_plan *plan, struct cs_job *jobs, int n,
                     struct cs_err *err);
int cs_cuda_run_tensors(struct cs_slot *slot, struct cs_plan *plan, const void *const *inputs,
                        void *const *outputs, struct cs_err *err);

// ---- For the files that make steps (op_*.c) ------------------------------------------------

// Zeroed, lives as long as the plan.
void *cs_cuda_params(struct cs_plan *plan, size_t bytes);
// The step is valid until the next is added.
struct cs_cuda_step *cs_cuda_add_step(struct cs_plan *plan, const struct cs_node *node,
                                      int (*run)(const struct cs_cuda_step *,
                                                 const struct cs_cuda_run *, struct cs_err *),
                                      void *params);
// Scratch of the slot, shared by all steps, from its start; not kept from step to step.
void cs_cuda_need_scratch(struct cs_plan *plan, size_t bytes);

// An activation where it lies in this slot. Constants: cs_cuda_constant.
struct cs_cuda_tensor cs_cuda_at(const struct cs_cuda_run *run, int value);
// A constant on the device, dense row-major, uploaded on the first call for it: `type` says how
// float32 is stored there, others stay what they are. To be called while steps are built.
int cs_cuda_constant(struct cs_plan *plan, int value, enum cs_cuda_type type,
                     struct cs_cuda_tensor *tensor, struct cs_err *err);
// Input i of the node: an activation's place is filled in by cs_cuda_operand_at, a constant's
// device address is known. Absent inputs have data NULL and rank 0.
struct cs_cuda_operand {
    int value;                    // -1: absent or constant
    struct cs_cuda_tensor tensor; // constant: ready
};
int cs_cuda_operand(struct cs_plan *plan, int value, struct cs_cuda_operand *operand,
                    struct cs_err *err); // constants of float32 in plan->memory.real's type
struct cs_cuda_tensor cs_cuda_operand_at(const struct cs_cuda_run *run,
                                         const struct cs_cuda_operand *operand);
// What `fill` makes of a constant on the host, uploaded; shared by all plans that ask for the same
// constant, key and size. `host` is zeroed before. The device address, NULL with err.
typedef int cs_cuda_fill(const void *context, const struct cs_value *constant, const void *data,
                         void *host, struct cs_err *err);
void *cs_cuda_pack(struct cs_plan *plan, int value, uint64_t key, size_t bytes, cs_cuda_fill *fill,
                   const void *context, struct cs_err *err);
uint16_t cs_cuda_half(float value); // binary16, nearest, ties to even

// A step that adds node->fusion.add (with_add) and activates the node's output in place.
int cs_cuda_build_fusion(struct cs_plan *plan, const struct cs_node *node, bool with_add,
                         struct cs_err *err);
// Whether there is such an activation; true for none.
bool cs_cuda_activates(const struct cs_fusion *fusion);

// An operator: whether a node of it can run, and its steps.
struct cs_cuda_op {
    const char *name;
    int (*build)(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err);
    bool (*supports)(const struct cs_graph *graph, const struct cs_node *node, char *why,
                     size_t why_size); // NULL: always
    bool fuses; // the build looks at node->fusion itself; else cs_cuda_build_fusion follows
};
// NULL-terminated list of tables (ops.c), each ended by a NULL name.
extern const struct cs_cuda_op *const cs_cuda_tables[];
extern const struct cs_cuda_op cs_cuda_conv_ops[]; // cuDNN's

#endif
