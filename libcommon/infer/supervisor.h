// SPDX-License-Identifier: MIT
// The worker process as its parent sees it: started, spoken to, ended and started again. A worker
// is this program, executed anew with the argument --worker and the socket as descriptor 3, so
// that no state of a process with threads is inherited. All calls come from one thread, the
// process's first: the kernel ends the worker when the thread that started it is gone.
#ifndef CS_INFER_SUPERVISOR_H
#define CS_INFER_SUPERVISOR_H

#include <sys/types.h>

#include "infer/buffers.h"
#include "infer/wire.h"

struct cs_supervisor {
    pid_t pid;       // 0: no worker now
    int socket;      // -1 then
    bool loading;    // it has not said yet that it is ready
    double ready_by; // monotonic seconds by which it is to say so; 0: any time
    struct cs_wire_load load;
    double load_timeout;            // seconds, 0: none
    struct cs_session_info info;    // of the last worker that was ready
    enum cs_precision precision;    // that it computes in
    uint32_t known[CS_MAX_BUFFERS]; // generation of each buffer that the worker has, 0: none
    union cs_wire_packet *packet;
};

// load: what every worker is started with; load_timeout: seconds that it may take to be ready, 0
// for any time. No worker is started yet.
void cs_supervisor_init(struct cs_supervisor *s, const struct cs_wire_load *load,
                        double load_timeout);
// End the worker and release.
void cs_supervisor_release(struct cs_supervisor *s);

// Start a worker, which is then loading. Errors of this and of the next two are those of the load,
// CS_EDEVICE, CS_ETIMEOUT, or CS_ENOMEM for a worker that was killed.
int cs_supervisor_begin(struct cs_supervisor *s, struct cs_err *err);
// The loading worker's answer: it is ready, or (-1) was ended. Blocks; poll s->socket first.
int cs_supervisor_loaded(struct cs_supervisor *s, struct cs_err *err);
// Start a worker, unless one was begun, and wait until it has loaded the network. One that dies
// meanwhile or takes too long is replaced, until there were so many tries.
int cs_supervisor_start(struct cs_supervisor *s, int tries, struct cs_err *err);
// CS_ETIMEOUT for a worker that is not ready in time. -1.
int cs_supervisor_late(const struct cs_supervisor *s, struct cs_err *err);
// Whether a run can be sent now without waiting for the worker, which may hang.
bool cs_supervisor_ready(const struct cs_supervisor *s);
// Send a run. Each job's buffer and those that changed since are sent first. CS_EIO: the worker
// is gone.
int cs_supervisor_run(struct cs_supervisor *s, struct cs_buffers *pool,
                      const struct cs_wire_run *run, struct cs_err *err);
// The next BEGUN or DONE: 1, or 0 when the worker is gone. Blocks; poll s->socket first.
int cs_supervisor_receive(struct cs_supervisor *s, union cs_wire_packet *packet,
                          struct cs_err *err);
// End the worker at once and say in `why` what became of it, unless that says something already.
void cs_supervisor_end(struct cs_supervisor *s, struct cs_err *why);

#endif
