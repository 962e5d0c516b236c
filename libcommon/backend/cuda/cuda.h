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

struct cs_cuda_run { // what a step sees while it runs
    const struct cs_plan *plan;
    char *arena, *scratch; // on the device
    char *kept;            // from step to step
    void *stream;          // cudaStream_t
    uint32_t *counters;    // of the slot: CS_CUDA_COUNTERS, 0 at first; kernels leave them 0
    uint32_t *fault;       // of the slot: kernels set it where samples are impossible, as an index
                           // outside or an integer divisor of 0 (CS_EMODEL)
    struct cs_cuda_dnn *dnn;
};

struct cs_cuda_step {
    // 0, or a cudaError_t as kernels.h has it; -1 with err.
    int (*run)(const struct cs_cuda_step *step, const struct cs_cuda_run *run, struct cs_err *err);
    void *params;                  // of the plan's arena
    void (*release)(void *params); // NULL: nothing to release
    const struct cs_node *node;
    double flops; // multiplications and additions
    double bytes; // of the device's memory that it reads and writes, but for caches (traffic.c)
};

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

// Memory of the slot that steps leave something in for others: where it lies in `kept`, aligned to
// 256 bytes, never at its start.
size_t cs_cuda_keep(struct cs_plan *plan, size_t bytes);

const struct cs_graph *cs_cuda_graph(const struct cs_plan *plan);
// The type that float32 activations have in this plan.
enum cs_cuda_type cs_cuda_real(const struct cs_plan *plan);

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
                    struct cs_err *err); // constants of float32 in cs_cuda_real's type
struct cs_cuda_tensor cs_cuda_operand_at(const struct cs_cuda_run *run,
                                         const struct cs_cuda_operand *operand);
// What `fill` makes of a constant on the host, uploaded; shared by all plans that ask for the same
// constant, key and size. `host` is zeroed before. The device address, NULL with err.
typedef int cs_cuda_fill(const void *context, const struct cs_value *constant, const void *data,
                         void *host, struct cs_err *err);
void *cs_cuda_pack(struct cs_plan *plan, int value, uint64_t key, size_t bytes, cs_cuda_fill *fill,
                   const void *context, struct cs_err *err);

// Where in kept memory, dense, the value lies before the step of its node copies it to its place;
// 0: it does not. Written while steps are built.
size_t *cs_cuda_early(const struct cs_plan *plan, int value);

// ---- Norms that convolutions do a part of (late.h) -------------------------------------------

// Elements between vectors of one number a channel.
int64_t cs_cuda_late_pitch(int64_t channels);
// For each image the sums of the value's channels, and those of their squares; NULL: they are not
// known, and the norm measures.
float *cs_cuda_sums(const struct cs_cuda_run *run, int value);
// For each image the scales and the shifts that who reads the value applies, since its memory still
// holds the norm's operand: a convolution, in fp16 and ReLU behind it, or a norm that adds it, in
// float32. NULL: the value is made.
void *cs_cuda_map(const struct cs_cuda_run *run, int value, enum cs_cuda_type *type);
// Decide, before its step is built, whether the norm's result is not made.
bool cs_cuda_defer(struct cs_plan *plan, const struct cs_node *norm);

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
