// SPDX-License-Identifier: MIT
// The whole of cs-infer: items in, items with probability maps out, in the order of the input.
//
//   reader thread   reads items, takes statistics, forms batches (batcher.h)
//   first thread    hands batches to the worker process and keeps it alive (supervisor.h)
//   writer thread   writes items in order
//
// Batches in the three together are limited, and so is what they hold.
#ifndef CS_INFER_INFER_H
#define CS_INFER_INFER_H

#include "image/image.h"
#include "model/package.h"
#include "stream/stream.h"

enum cs_infer_fit {
    CS_INFER_FIT_MODEL, // as the package says
    CS_INFER_FIT_NATIVE,
    CS_INFER_FIT_RESIZE,
    CS_INFER_FIT_PAD,
    CS_INFER_FIT_TILE,
};

#define CS_RESCALE_AUTO (-1.0)
#define CS_TIMEOUT_AUTO (-1.0) // half a minute on a GPU, else none

struct cs_infer_options {
    const char *tool;       // "cs-infer"
    const char *parameters; // canonical, for the provenance
    const char *model;      // name or path of the package
    const char *device;     // as the user says it (device.h)
    int slots;              // 0: auto
    int batch;              // 0: auto
    int threads;            // of all slots together; 0: all that may be used
    uint64_t memory;        // 0: three quarters of what this process may have
    uint64_t gpu_memory;    // bytes; 0: as gpu_percent says
    double gpu_percent;     // of all memory of the GPU; 0: of what is free (session.h)
    int precision;          // CS_PRECISION_AUTO, or one
    bool direct;            // convolutions by direct sums only
    const char *cache;      // folder of what was measured before; NULL: $CELLSTREAM_CACHE
    enum cs_infer_fit fit;
    double rescale;      // factor on images; 0: none; CS_RESCALE_AUTO: to the model's pixel size
    uint32_t tile;       // side of a tile; 0: auto
    bool hub;            // --compat hub (hub.h)
    enum cs_dtype map;   // sample type of the maps
    double timeout;      // seconds for one image on the device; 0: none; CS_TIMEOUT_AUTO
    double load_timeout; // seconds for a worker process to be ready; 0: none
    double pause;        // seconds before a device that does not work is tried again
    int retries;
    unsigned keep;           // planes that pass beside the probability
    const char *scratch_dir; // for images that exceed the memory; as for cs_scratch_open
    const char *input;       // path, NULL: standard input
    enum cs_transport transport;
    uint64_t ring_bytes;
};

// Returns the exit status.
int cs_infer_run(const struct cs_infer_options *options);

// Memory that this process may have: the machine's, or its cgroup's if that is less.
uint64_t cs_usable_memory(void);
// Memory that this process has now, shared memory apart.
uint64_t cs_resident_bytes(void);
// For a process that runs a network: large blocks go back to the system when they are freed.
void cs_settle_memory(void);

#endif
