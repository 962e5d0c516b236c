// SPDX-License-Identifier: MIT
// Inside of the backend "cpu". A plan is a list of steps, wave by wave (waves.h), within a wave in
// the graph's order; a step is a function with its parameters, all sizes and addresses decided when
// the plan is made.
//
// Activations of images lie in memory as N, H, W, C, all others row-major (backend/order.h).
// Constants are as ONNX has them, unless a step packed them. Every activation has a fixed place in
// the slot's arena.
//
// Threads are OpenMP's: those of a wave share out its steps, a step alone in its wave has its own
// parallel regions. The slot's thread sets their number before the first step.
#ifndef CS_BACKEND_CPU_CPU_H
#define CS_BACKEND_CPU_CPU_H

#include "backend/backend.h"
#include "backend/cpu/band.h"
#include "backend/cpu/dnn.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/nd.h"
#include "backend/cpu/winograd.h"
#include "base/arena.h"

struct cs_device {
    struct cs_dnn *dnn;
    const struct cs_kernels *kernels;
    struct cs_winograd_caches caches;
    int threads;
    char text[256];
};

// A constant in the order that a step wants, shared by all plans and slots (packed.c), and how it
// is made from the constant's samples.
struct cs_cpu_packed;
typedef int cs_cpu_fill(const void *context, const void *data, void *packed, struct cs_err *err);
struct cs_cpu_want {
    struct cs_cpu_packed *packed;
    const struct cs_value *constant;
    cs_cpu_fill *fill;
    const void *context;
};

struct cs_cpu_wave;
struct cs_cpu_slab;
enum cs_cpu_slab_of { CS_CPU_SLAB_ARENA, CS_CPU_SLAB_SCRATCH, CS_CPU_SLAB_KINDS };

struct cs_network {
    struct cs_device *device;
    struct cs_cpu_slab *slabs[CS_CPU_SLAB_KINDS]; // memory that no slot has (slab.c)
    size_t kept_bytes;                            // all of it
    struct cs_cpu_packed **packed;
    int packed_count, packed_capacity;
    size_t packed_bytes;
};

// Where a tensor is: a constant's address, or bytes from the start of the arena.
struct cs_cpu_place {
    const float *constant;
    size_t offset;
    int window; // of a band, plus 1 (band.h)
};

struct cs_cpu_run { // what a step sees while it runs
    char *arena;
    char *scratch; // of a part of a step: the thread's alone
    char *shared;  // of the step, the same for all its parts
    bool again;    // scratch is as the last part, of the same step, left it
    const struct cs_kernels *kernels;
    float *windows[CS_CPU_BAND_NODES]; // of a band, where row 0 of image 0 would lie
};

struct cs_cpu_step {
    // All of it, with all threads, or with one within a parallel region. NULL: run the op, or the
    // parts.
    int (*run)(const struct cs_cpu_step *step, const struct cs_cpu_run *run, struct cs_err *err);
    // Rows [begin, end) of one image by one thread, with scratch of its own; NULL: it cannot.
    void (*rows)(const struct cs_cpu_step *step, const struct cs_cpu_run *run, int64_t image,
                 int64_t begin, int64_t end);
    const struct cs_cpu_band *band; // whose first step it is; NULL: of none
    // A step that any threads may share: parts [begin, end) of `parts`, by one thread; and what is
    // left to do after all of them, by one thread or all, or NULL.
    void (*part)(const struct cs_cpu_step *step, const struct cs_cpu_run *run, int64_t begin,
                 int64_t end);
    void (*finish)(const struct cs_cpu_step *step, const struct cs_cpu_run *run);
    int64_t parts, at_once; // how many there are; fewer in one go would take longer each
    size_t scratch_bytes, shared_bytes; // wants; of rows or a part, of all of them
    size_t shared;                      // where that lies in scratch
    double work;                        // in multiplications and additions or as long as they take
    const void *params;
    const struct cs_node *node;
    struct cs_dnn_op *op;                        // NULL for steps without oneDNN
    struct cs_cpu_place src, weights, bias, dst; // of the op
    double flops;                                // multiplications and additions, for profiles
    const char *kernel;                          // for profiles; NULL: the op's name, or "own"
};

enum { CS_CPU_RESIZES = 4 }; // that one step adds up, at most

// What is not computed where the graph has it (late.c). Of a value.
struct cs_cpu_late {
    bool chained; // a Resize and its addend that the next Resize adds on the way; it has no memory
    bool gated;   // a product with a factor a channel that its readers make; it has no memory
    bool joined;  // a concatenation that convolutions read in parts; it has no memory
    bool mapped;  // a norm that its readers apply, with these maps and slope
    // A norm whose statistics come from the convolution before it, which makes the maps: of each
    // image offset, scale and shift of the channels.
    bool gathered;
    struct cs_cpu_place maps;
    float slope;
    // A mean or maximum that was made on the way, in this place: a maximum with the mean of the
    // same values, both with the norm whose result they are of.
    bool taken;
    struct cs_cpu_place result;
    int norm;   // of a convolution's result: the node whose statistics are gathered, plus 1
    int window; // the value's number in its band, plus 1, where it is never whole; it has no memory
};

struct cs_plan {
    struct cs_network *network;
    const struct cs_graph *graph;
    bool direct;              // convolutions by direct sums only
    bool *channels_last;      // per value
    struct cs_cpu_late *late; // per value
    struct cs_cpu_band *bands;
    int band_count;
    struct cs_memory_plan memory;
    struct cs_cpu_want *wants; // packed constants of its steps
    int want_count, want_capacity;
    struct cs_arena params;
    struct cs_cpu_step *steps;
    int step_count, step_capacity;
    struct cs_cpu_wave *waves; // waves.h
    int wave_count, piece_count;
    size_t step_scratch, step_shared; // of the node that is being built
    size_t scratch_bytes;
    double *seconds; // of prepare, each step, finish; NULL while no profile is taken
    double *busy;    // of each step, all threads' together, in a wave; likewise
    bool cpu_time;   // of the profile
};

static inline float *cs_cpu_at(const struct cs_cpu_run *run, struct cs_cpu_place place)
{
    if (place.window)
        return run->windows[place.window - 1];
    if (place.constant)
        return (float *)(uintptr_t)place.constant; // only ever read
    // A tensor without elements has no place.
    return place.offset == SIZE_MAX ? NULL : (float *)(void *)(run->arena + place.offset);
}

// ---- The backend's table (backend/backend.h) ----------------------------------------------

bool cs_cpu_supports(const struct cs_graph *graph, const struct cs_node *node, char *why,
                     size_t why_size);
int cs_cpu_plan_open(struct cs_network *network, const struct cs_graph *graph,
                     enum cs_precision precision, bool direct, struct cs_plan **plan,
                     struct cs_err *err);
void cs_cpu_plan_close(struct cs_plan *plan);
struct cs_memory_use cs_cpu_plan_memory(const struct cs_plan *plan);
int cs_cpu_slot_open(struct cs_network *network, struct cs_plan *const *plans, int plan_count,
                     struct cs_slot **slot, struct cs_err *err);
void cs_cpu_slot_close(struct cs_slot *slot);
int cs_cpu_run_jobs(struct cs_slot *slot, struct cs_plan *plan, struct cs_job *jobs, int n,
                    struct cs_err *err);
int cs_cpu_run_tensors(struct cs_slot *slot, struct cs_plan *plan, const void *const *inputs,
                       void *const *outputs, struct cs_err *err);

// ---- Profile (profile.c) -------------------------------------------------------------------

void cs_cpu_profile_start(struct cs_plan *plan, bool cpu_time);
bool cs_cpu_profile_step(const struct cs_plan *plan, int i, struct cs_profile *profile);
// The clock of the profile, 0 while none is taken; add what passed since `start` to time i (0
// prepare, 1 the first step) and return the clock.
double cs_cpu_profile_now(const struct cs_plan *plan);
double cs_cpu_profile_add(struct cs_plan *plan, int i, double start);

// ---- For the files that make steps (steps.c) -----------------------------------------------

struct cs_cpu_place cs_cpu_place_of(const struct cs_plan *plan, int value);
// Strides of the value in logical order, whether constant or activation.
void cs_cpu_strides_of(const struct cs_plan *plan, int value, int64_t stride[CS_MAX_RANK]);
// Zeroed, lives as long as the plan.
void *cs_cpu_params(struct cs_plan *plan, size_t bytes);
// The step is valid until the next is added.
struct cs_cpu_step *cs_cpu_add_step(struct cs_plan *plan, const struct cs_node *node,
                                    int (*run)(const struct cs_cpu_step *,
                                               const struct cs_cpu_run *, struct cs_err *),
                                    const void *params);
// The same of a step in parts; finish may be NULL.
struct cs_cpu_step *cs_cpu_add_parts(
    struct cs_plan *plan, const struct cs_node *node, int64_t parts,
    void (*part)(const struct cs_cpu_step *, const struct cs_cpu_run *, int64_t begin, int64_t end),
    void (*finish)(const struct cs_cpu_step *, const struct cs_cpu_run *), const void *params);
// Memory in the arena from a step to later ones, never shared. While nodes are built.
struct cs_cpu_place cs_cpu_reserve(struct cs_plan *plan, size_t bytes);
// Scratch of the node's steps: of `run`, or of one part; and what parts, and a step and its
// `finish`, share.
void cs_cpu_need_scratch(struct cs_plan *plan, size_t bytes);
void cs_cpu_need_shared(struct cs_plan *plan, size_t bytes);
// A step that runs the op, which the plan takes over. The caller sets its places.
struct cs_cpu_step *cs_cpu_add_op(struct cs_plan *plan, const struct cs_node *node,
                                  struct cs_dnn_op *op);
// Memory for what `fill` makes of a constant, shared by all plans that ask for the same constant,
// key and size, and freed with the last of them. It is filled when the plan's first slot opens,
// many constants side by side, each by one thread; it is zeroed before. `fill` may fail; its
// context lives as long as the plan. NULL with CS_ENOMEM.
void *cs_cpu_pack(struct cs_plan *plan, const struct cs_value *constant, uint64_t key, size_t bytes,
                  cs_cpu_fill *fill, const void *context, struct cs_err *err);
// The weights of a convolution in the op's order; the op lives as long as the plan. NULL with an
// error.
const float *cs_cpu_pack_weights(struct cs_plan *plan, const struct cs_dnn_op *op,
                                 const struct cs_value *weights, struct cs_err *err);
// A copy, as ONNX has it, of a constant that lies in the file, for steps that read it as it is: it
// is there if it was needed first.
int cs_cpu_need_plain(struct cs_plan *plan, const struct cs_value *constant, struct cs_err *err);
const void *cs_cpu_plain(const struct cs_plan *plan, const struct cs_value *constant);
// The place of a float32 constant of rank 3 and up, channels last, and its strides (turned.c).
int cs_cpu_turn_constant(struct cs_plan *plan, int value, struct cs_cpu_place *place,
                         int64_t stride[CS_MAX_RANK], struct cs_err *err);
// Memory of one slot, whatever is in it (slab.c): what it takes for `bytes`, never nothing; from
// what slots left or new; left for the next slot; given back to the system.
size_t cs_cpu_slab_bytes(size_t bytes);
char *cs_cpu_slab_take(struct cs_network *network, enum cs_cpu_slab_of kind, size_t bytes,
                       struct cs_err *err);
void cs_cpu_slab_give(struct cs_network *network, enum cs_cpu_slab_of kind, char *memory,
                      size_t bytes);
void cs_cpu_slab_trim(struct cs_network *network);
// Fill what the plans need and is not there yet.
int cs_cpu_fill_packed(struct cs_plan *const *plans, int plan_count, struct cs_err *err);
size_t cs_cpu_filled_bytes(const struct cs_network *network);
// The plan uses its packed constants no more.
void cs_cpu_drop_packed(struct cs_plan *plan);

// An activation by its ONNX name; false when the backend has none such.
struct cs_cpu_activation {
    enum cs_unary unary;
    float alpha, beta;
};
bool cs_cpu_activation_of(const struct cs_fusion *fusion, struct cs_cpu_activation *activation);
// The slope below zero that stands for the activation, if one does.
bool cs_cpu_slope_of(const struct cs_cpu_activation *activation, float *slope);
// Steps that add and activate the node's output in place, for nodes whose own step does not;
// with_add false: the addition is already done.
int cs_cpu_build_fusion(struct cs_plan *plan, const struct cs_node *node, bool with_add,
                        struct cs_err *err);
// A step that adds a value, broadcast, to the node's output.
int cs_cpu_build_add(struct cs_plan *plan, const struct cs_node *node, int value,
                     struct cs_err *err);

// What the kernels of an operator may write over (share.c).
enum cs_cpu_overwrites {
    CS_CPU_VIEWS, // nothing to write where no element changes its place
    CS_CPU_OVERWRITES_NOTHING,
    CS_CPU_OVERWRITES_INPUT,  // input 0
    CS_CPU_OVERWRITES_EITHER, // input 0 or 1
    CS_CPU_OVERWRITES_ADDEND, // the fused addition's operand
};

// An operator: whether a node of it can run, and its steps.
struct cs_cpu_op {
    const char *name;
    int (*build)(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err);
    bool (*supports)(const struct cs_graph *graph, const struct cs_node *node, char *why,
                     size_t why_size); // NULL: whenever the types are right
    bool fuses;                        // the build looks at node->fusion itself
    enum cs_cpu_overwrites overwrites;
};
// The operator whose own kernels can run the node; but for cs_cpu_typed_ops they take float32
// alone. NULL: the plain loops.
const struct cs_cpu_op *cs_cpu_op_of(const struct cs_graph *graph, const struct cs_node *node);
// Fill plan->late.
void cs_cpu_find_late(struct cs_plan *plan);
// Take memory from what has none.
void cs_cpu_leave_out(const struct cs_plan *plan, int *share);
// For every value the one whose memory it uses. Caller frees with free().
int *cs_cpu_share(const struct cs_graph *graph, const bool *channels_last);
// The node's step through the plain loops of backend "ref", its fusion included (plain.c).
void cs_cpu_build_plain(struct cs_plan *plan, const struct cs_node *node);
// What reads a product that is not made (op_gate.c): a product with a factor a pixel; the mean or
// maximum over channels.
void cs_cpu_build_gate(struct cs_plan *plan, const struct cs_node *node, int gated);
void cs_cpu_build_gated_pool(struct cs_plan *plan, const struct cs_node *node);
// Convolutions that have steps of their own.
bool cs_cpu_suits_pointwise(const struct cs_plan *plan, const struct cs_node *node,
                            const struct cs_dnn_conv *conv);
int cs_cpu_build_pointwise(struct cs_plan *plan, const struct cs_node *node,
                           const struct cs_dnn_conv *conv, struct cs_err *err);
int cs_cpu_build_transposed(struct cs_plan *plan, const struct cs_node *node,
                            const struct cs_dnn_conv *conv, struct cs_err *err);
bool cs_cpu_conv_is_winograd(const struct cs_plan *plan, const struct cs_node *node,
                             struct cs_winograd *winograd);
bool cs_cpu_conv_is_direct(const struct cs_plan *plan, const struct cs_node *node);
bool cs_cpu_conv_is_pointwise(const struct cs_plan *plan, const struct cs_node *node);
bool cs_cpu_suits_winograd(const struct cs_plan *plan, const struct cs_node *node,
                           const struct cs_dnn_conv *conv, struct cs_winograd *winograd);
int cs_cpu_build_winograd(struct cs_plan *plan, const struct cs_node *node,
                          const struct cs_winograd *winograd, struct cs_err *err);
bool cs_cpu_suits_direct(const struct cs_plan *plan, const struct cs_node *node,
                         const struct cs_dnn_conv *conv);
int cs_cpu_build_direct(struct cs_plan *plan, const struct cs_node *node,
                        const struct cs_dnn_conv *conv, struct cs_err *err);
bool cs_cpu_suits_rows(const struct cs_plan *plan, const struct cs_node *node,
                       const struct cs_dnn_conv *conv);
int cs_cpu_build_rows(struct cs_plan *plan, const struct cs_node *node,
                      const struct cs_dnn_conv *conv, struct cs_err *err);
// One table a file, ended by a NULL name; plan.c lists them.
extern const struct cs_cpu_op cs_cpu_conv_ops[], cs_cpu_norm_ops[], cs_cpu_pool_ops[],
    cs_cpu_element_ops[], cs_cpu_move_ops[], cs_cpu_reduce_ops[], cs_cpu_resize_ops[],
    cs_cpu_matmul_ops[], cs_cpu_layer_norm_ops[], cs_cpu_pad_ops[], cs_cpu_typed_ops[],
    cs_cpu_attention_ops[];

#endif
