// SPDX-License-Identifier: MIT
// The three threads of cs-infer between an open reader, a headed writer and started workers.
#ifndef CS_INFER_PIPELINE_H
#define CS_INFER_PIPELINE_H

#include <pthread.h>

#include "infer/batcher.h"
#include "infer/breaker.h"
#include "infer/supervisor.h"

// A run that the worker has.
struct cs_flight {
    struct cs_batch *batch; // NULL: free
    uint32_t run;
    int first, count; // works of the batch
    double deadline;  // monotonic seconds; 0: none
};

// A device, its worker process, and what flies there.
struct cs_lane {
    const char *name; // "cuda:1", for messages; NULL where it is the only one
    struct cs_supervisor supervisor;
    struct cs_flight flights[CS_MAX_SLOTS];
    int flying;
    bool lonely; // what flies must fly alone
    bool lost;   // given up: the other lanes have its images
    struct cs_breaker breaker;
    uint32_t check;        // the run that asks the device whether it works; 0: none
    double check_deadline; // monotonic seconds; 0: none
};

struct cs_pipeline {
    const struct cs_infer_options *options;
    const struct cs_recipe *recipe;
    struct cs_lane *lanes;
    int lane_count;
    double timeout; // seconds for one image on the device; 0: none
    struct cs_reader *reader;
    struct cs_writer *writer;
    struct cs_buffers buffers;

    // First thread only.
    uint32_t runs;
    struct cs_wire_run *message;
    struct cs_buffer *check_buffer; // the plane of nothing, and what comes out
    double ready; // monotonic seconds of the next try of an image that waits for it; 0: none
    uint64_t most_pixels; // of planes in one run, for which memory suffices; 0: no limit known

    // Shared, under the lock.
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int wake_fd;                   // eventfd: the first thread has something to look at
    struct cs_batch *head, **tail; // closed batches that are not written, in order
    struct cs_batch *open;         // that the reader still adds to
    int alive;                     // batches in the queue or being written
    uint64_t alive_bytes;
    bool input_over;  // nothing more comes into the queue
    bool output_over; // nothing more is to be written
    bool lost;        // nothing more is computed: what is finished is written, the rest left out
    bool halt;        // the reader takes nothing new
    int read_result;  // of the last read: 0 END, -1 broken
    struct cs_err read_err;
    struct cs_err write_err; // code set: the output is broken
    uint64_t failures;       // items that failed here

    // After the run.
    bool halted;      // a drain, not the input's end, ended it
    bool reader_left; // the reader still waits for input
};

// Run until the input's end, a drain or an error. 0: all that was read is written; the input's own
// trouble is in read_result and read_err. -1: the device is lost (items that were computed are all
// written, those that were not are left out) or the output broken. A reader that still waits for
// input is left to the end of the process: what it uses must not be released.
int cs_pipeline_run(struct cs_pipeline *pipeline, struct cs_err *err);

#endif
