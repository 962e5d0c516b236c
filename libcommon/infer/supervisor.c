// SPDX-License-Identifier: MIT
#include "infer/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

void cs_supervisor_init(struct cs_supervisor *s, const struct cs_wire_load *load,
                        double load_timeout)
{
    cs_limit_spinning(); // before there are threads that read the environment
    *s = (struct cs_supervisor){.socket = -1, .load = *load, .load_timeout = load_timeout};
    s->packet = cs_xcalloc(1, sizeof *s->packet);
}

void cs_supervisor_release(struct cs_supervisor *s)
{
    struct cs_err ignored = {0};
    if (s->pid)
        cs_supervisor_end(s, &ignored);
    free(s->packet);
    s->packet = NULL;
}

// Runs in the child of a process with threads: only async-signal-safe calls.
static void become_worker(int socket, pid_t parent)
{
    static char *const arguments[] = {"cs-infer", "--worker", NULL};
    // Ignored signals stay ignored over exec: a Ctrl-C for the pipeline is not for the worker.
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1); // it died before the call above
    // dup2 clears the close-on-exec flag, but not when both numbers are the same.
    if (socket == CS_WIRE_FD)
        socket = dup(socket);
    if (dup2(socket, CS_WIRE_FD) != CS_WIRE_FD)
        _exit(126);
    // The stream belongs to the parent: a worker must not keep a pipe open.
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    dup2(STDERR_FILENO, STDIN_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    execve("/proc/self/exe", arguments, environ);
    _exit(126);
}

static int spawn(struct cs_supervisor *s, struct cs_err *err)
{
    int pair[2];
    pid_t parent = getpid();
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return cs_fail_errno(err, CS_EDEVICE, "worker process");
    pid_t pid = fork();
    if (pid == 0)
        become_worker(pair[1], parent);
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        return cs_fail_errno(err, CS_EDEVICE, "worker process");
    }
    s->pid = pid;
    s->socket = pair[0];
    memset(s->known, 0, sizeof s->known);
    return 0;
}

void cs_supervisor_end(struct cs_supervisor *s, struct cs_err *why)
{
    int status = 0;
    close(s->socket);
    kill(s->pid, SIGKILL);
    while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    s->pid = 0;
    s->socket = -1;
    s->loading = false;
    if (why->code != CS_OK)
        return;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        cs_fail(why, CS_ENOMEM, "the worker process was killed (SIGKILL: out of memory?)");
    else if (WIFSIGNALED(status))
        cs_fail(why, CS_EDEVICE, "the worker process died: %s", strsignal(WTERMSIG(status)));
    else
        cs_fail(why, CS_EDEVICE, "the worker process ended with status %d", WEXITSTATUS(status));
}

int cs_supervisor_begin(struct cs_supervisor *s, struct cs_err *err)
{
    if (spawn(s, err) != 0)
        return -1;
    s->loading = true;
    s->ready_by = s->load_timeout > 0 ? cs_clock_seconds() + s->load_timeout : 0;
    // A worker that is gone already is noticed when its answer is read.
    cs_wire_send(s->socket, &s->load, sizeof s->load, -1, NULL);
    return 0;
}

// Wait for the first answer. -1: over the time limit.
static int await_load(const struct cs_supervisor *s, struct cs_err *err)
{
    struct pollfd fd = {.fd = s->socket, .events = POLLIN};
    int n;
    do {
        double left = s->ready_by - cs_clock_seconds();
        n = poll(&fd, 1, s->ready_by <= 0 ? -1 : left > 0 ? (int)(left * 1000) + 1 : 0);
    } while (n < 0 && errno == EINTR);
    return n != 0 ? 0 : cs_supervisor_late(s, err);
}

// A worker that is gone closed its socket before it can be waited for: do not kill what is
// about to tell its own end.
static void reap(struct cs_supervisor *s, struct cs_err *why)
{
    for (int i = 0; i < 100; i++) {
        siginfo_t info = {.si_pid = 0};
        if (waitid(P_PID, (id_t)s->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid)
            break;
        usleep(10000);
    }
    cs_supervisor_end(s, why);
}

// READY (0), FAILED (-1) or the worker's death (1), which it is ended with.
static int read_answer(struct cs_supervisor *s, struct cs_err *err)
{
    struct cs_err why = {0};
    int fd, result = 1;
    ssize_t n = cs_wire_receive(s->socket, s->packet, &fd, NULL);
    if (n == sizeof s->packet->ready && s->packet->kind == CS_WIRE_READY) {
        s->info = s->packet->ready.info;
        s->precision = s->packet->ready.precision;
        s->load.check_files = 0;                   // once is enough
        s->load.precision = (int32_t)s->precision; // the next worker goes on with it
        s->loading = false;
        return 0;
    }
    if (n == sizeof s->packet->failed && s->packet->kind == CS_WIRE_FAILED) {
        why = s->packet->failed.err;
        cs_supervisor_end(s, &why);
        result = -1;
    } else {
        reap(s, &why);
    }
    if (err)
        *err = why;
    return result;
}

int cs_supervisor_loaded(struct cs_supervisor *s, struct cs_err *err)
{
    return read_answer(s, err) == 0 ? 0 : -1;
}

int cs_supervisor_late(const struct cs_supervisor *s, struct cs_err *err)
{
    return cs_fail(err, CS_ETIMEOUT, "not ready within %g s (--load-timeout)", s->load_timeout);
}

int cs_supervisor_start(struct cs_supervisor *s, int tries, struct cs_err *err)
{
    struct cs_err why = {0};
    for (int i = 0; i < tries; i++) {
        why = (struct cs_err){0};
        if (!s->pid && cs_supervisor_begin(s, err) != 0)
            return -1;
        if (await_load(s, &why) != 0) {
            cs_supervisor_end(s, &why);
            continue;
        }
        int result = read_answer(s, &why);
        if (result == 0)
            return 0;
        if (result < 0) {
            *err = why;
            return -1;
        }
    }
    *err = why;
    return cs_err_context(err, "loading the model, %d %s", tries, tries == 1 ? "try" : "tries");
}

bool cs_supervisor_ready(const struct cs_supervisor *s)
{
    struct pollfd fd = {.fd = s->socket, .events = POLLOUT};
    return poll(&fd, 1, 0) != 0;
}

static int send_buffer(struct cs_supervisor *s, const struct cs_buffer *buffer, struct cs_err *err)
{
    struct cs_wire_buffer message = {
        .kind = CS_WIRE_BUFFER,
        .id = buffer->id,
        .bytes = buffer->bytes,
        .stays = cs_buffer_stays(buffer),
    };
    if (cs_wire_send(s->socket, &message, sizeof message, buffer->fd, err) != 0)
        return -1;
    s->known[buffer->id] = buffer->generation;
    return 0;
}

// Buffers whose memory went back to the system: the worker's mapping would keep it.
static int send_drops(struct cs_supervisor *s, struct cs_buffers *pool, struct cs_err *err)
{
    int result = 0;
    pthread_mutex_lock(&pool->lock);
    for (int i = 0; i < pool->count && result == 0; i++)
        if (pool->all[i]->fd < 0 && s->known[i] && s->known[i] != pool->all[i]->generation)
            result = send_buffer(s, pool->all[i], err);
    pthread_mutex_unlock(&pool->lock);
    return result;
}

int cs_supervisor_run(struct cs_supervisor *s, struct cs_buffers *pool,
                      const struct cs_wire_run *run, struct cs_err *err)
{
    if (send_drops(s, pool, err) != 0)
        return -1;
    for (int i = 0; i < run->count; i++) {
        const struct cs_buffer *buffer = pool->all[run->jobs[i].buffer];
        if (s->known[buffer->id] != buffer->generation && send_buffer(s, buffer, err) != 0)
            return -1;
    }
    return cs_wire_send(s->socket, run,
                        offsetof(struct cs_wire_run, jobs) + (size_t)run->count * sizeof *run->jobs,
                        -1, err);
}

int cs_supervisor_receive(struct cs_supervisor *s, union cs_wire_packet *packet, struct cs_err *err)
{
    int fd;
    ssize_t n = cs_wire_receive(s->socket, packet, &fd, NULL);
    if ((n == sizeof packet->begun && packet->kind == CS_WIRE_BEGUN) ||
        (n == sizeof packet->done && packet->kind == CS_WIRE_DONE))
        return 1;
    struct cs_err why = {0};
    reap(s, &why);
    if (err)
        *err = why;
    return 0;
}
