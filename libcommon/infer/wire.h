// SPDX-License-Identifier: MIT
// What cs-infer and its worker process say to each other: fixed structs, one a packet, over a
// SOCK_SEQPACKET socket pair. Both ends are the same program, so structs travel as they are.
//
//   cs-infer -> worker   LOAD, then BUFFER (with a file descriptor) and RUN, any number
//   worker -> cs-infer   READY or FAILED once, then for each RUN a BEGUN, once plan and memory are
//                        there, and a DONE, in any order; a DONE alone where they cannot be had
//
// The end of the socket is the end of the other process.
#ifndef CS_INFER_WIRE_H
#define CS_INFER_WIRE_H

#include <sys/types.h>

#include "backend/job.h"
#include "infer/precision.h"

enum { CS_WIRE_FD = 3, CS_WIRE_PATH = 4096 };

enum cs_wire_kind {
    CS_WIRE_LOAD = 1,
    CS_WIRE_BUFFER,
    CS_WIRE_RUN,
    CS_WIRE_READY,
    CS_WIRE_FAILED,
    CS_WIRE_BEGUN,
    CS_WIRE_DONE,
};

struct cs_wire_load {
    uint32_t kind;
    int32_t slots, threads, check_files;
    int32_t flexible;  // slots and threads (session.h)
    int32_t precision; // CS_PRECISION_AUTO, or one
    int32_t direct;    // convolutions by direct sums only
    int32_t log;       // enum cs_level: the least that is shown
    uint64_t memory, device_memory;
    double device_percent;
    char device[32], package[CS_WIRE_PATH], detail[CS_WIRE_PATH], cache[CS_WIRE_PATH];
};

// The memory behind a buffer's id: new, another, or (bytes 0, no descriptor) none any more.
struct cs_wire_buffer {
    uint32_t kind;
    int32_t id;
    uint64_t bytes;
    int32_t stays; // other images follow in it: it is worth while to pin
};

struct cs_wire_job {
    int32_t buffer;
    uint64_t out_offset; // of the maps in the buffer; a multiple of the page size
    struct cs_job job;   // pointers mean nothing
};

struct cs_wire_run {
    uint32_t kind;
    uint32_t run;           // names the run in DONE
    uint32_t height, width; // of the plane
    struct cs_part part;    // that the jobs are about; ends 0: all
    int32_t count;
    int32_t careful;                       // not 0: in fp32 and direct, whatever was chosen
    struct cs_wire_job jobs[CS_MAX_BATCH]; // only `count` of them travel
};

struct cs_wire_ready {
    uint32_t kind;
    struct cs_session_info info;
    enum cs_precision precision; // that runs are computed in, unless they are careful
};

struct cs_wire_failed {
    uint32_t kind;
    struct cs_err err;
};

struct cs_wire_begun {
    uint32_t kind;
    uint32_t run;
};

struct cs_wire_done {
    uint32_t kind;
    uint32_t run;
    struct cs_err err; // CS_OK, or why the whole run failed
    double milliseconds;
    double prepared;                  // seconds that plan and memory took where they were not there
    uint64_t nonfinite[CS_MAX_BATCH]; // of each job
};

union cs_wire_packet {
    uint32_t kind;
    struct cs_wire_load load;
    struct cs_wire_buffer buffer;
    struct cs_wire_run run;
    struct cs_wire_ready ready;
    struct cs_wire_failed failed;
    struct cs_wire_begun begun;
    struct cs_wire_done done;
};

// fd < 0: none goes along. CS_EIO (errno EPIPE or ECONNRESET: the other end is gone).
int cs_wire_send(int socket, const void *packet, size_t bytes, int fd, struct cs_err *err);
// Bytes received, 0 at the end of the socket, -1. *fd: a descriptor that came along, or -1.
ssize_t cs_wire_receive(int socket, union cs_wire_packet *packet, int *fd, struct cs_err *err);

// The worker process: serves the socket until its end. Returns an exit status.
int cs_worker_main(int socket);

#endif
