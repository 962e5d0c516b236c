// SPDX-License-Identifier: MIT
// What the files of the backend "cuda" share beside operators: the parts of its table, what a plan
// and a network hold, memory of the device, images on their way.
#ifndef CS_BACKEND_CUDA_INSIDE_H
#define CS_BACKEND_CUDA_INSIDE_H

#include "backend/cuda/cuda.h"

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

struct cs_cuda_profile { // seconds since it was switched on
    bool on;
    double upload, compute, download, wait;
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
    size_t scratch_bytes, kept_bytes;
    struct cs_cuda_late *late; // per value
    struct cs_cuda_profile profile;
};

// The bytes that the node's steps move (traffic.c).
double cs_cuda_traffic(const struct cs_plan *plan, const struct cs_node *node);

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

// Memory of the device for what goes up or comes down, and as much of the host, pinned, for images
// that do not lie in such memory themselves.
struct cs_cuda_stage {
    char *host, *device;
    size_t host_bytes, bytes;
};
// Let there be `bytes` at least, on the host too where that is asked for. Allocates when there are
// not, which happens no more once the largest image has been seen. Nothing may be under way.
int cs_cuda_stage_grow(struct cs_cuda_stage *stage, size_t bytes, bool host, const char *what,
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
// The staged jobs' places on the device, from 0 on till now, for `in` and `out`.
void cs_cuda_stage_place(struct cs_cuda_job *staged, int n, const struct cs_cuda_stage *in,
                         const struct cs_cuda_stage *out);
// The pixels of the staged jobs to the host's side of `in`; maps from the host's side of `out`.
void cs_cuda_stage_pixels(const struct cs_job *jobs, int n, const struct cs_cuda_job *staged,
                          const struct cs_cuda_stage *in);
void cs_cuda_stage_maps(struct cs_job *jobs, int n, const struct cs_cuda_job *staged,
                        const struct cs_cuda_stage *out);
// The same between the device and pinned images themselves, put on the stream: cudaStream_t.
int cs_cuda_pinned_pixels(void *stream, const struct cs_job *jobs, int n,
                          const struct cs_cuda_job *staged, struct cs_err *err);
int cs_cuda_pinned_maps(void *stream, const struct cs_job *jobs, int n,
                        const struct cs_cuda_job *staged, struct cs_err *err);

// ---- Functions of the backend's table --------------------------------------------------------

int cs_cuda_device_count(int *count, struct cs_err *err);
int cs_cuda_device_open(const struct cs_device_options *options, struct cs_device **device,
                        struct cs_err *err);
void cs_cuda_device_close(struct cs_device *device);
int cs_cuda_device_memory(const struct cs_device *device, uint64_t *left, uint64_t *total,
                          struct cs_err *err);
bool cs_cuda_device_lost(const struct cs_device *device);
int cs_cuda_memory_pin(struct cs_device *device, void *data, size_t bytes, struct cs_err *err);
void cs_cuda_memory_unpin(struct cs_device *device, void *data);
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

#endif
