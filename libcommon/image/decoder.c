// SPDX-License-Identifier: MIT
// What the command writes is a file, not a pipe: a codec can seek in it. Of what it says on
// standard error the end is kept, however much it is. A Ctrl-C for the pipeline is not for the
// command, so that a drain finishes the file that is being read; it dies with this process.
#include "image/decoder.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"

enum { STATUS_NOT_RUN = 127, LOG_TAIL = 400, LOG_BLOCK = 1 << 16 };

int cs_decoder_parse(struct cs_decoder *decoder, const char *text, struct cs_err *err)
{
    const char *name = text[0] == '.' ? text + 1 : text, *equals = strchr(name, '=');
    size_t len = equals ? (size_t)(equals - name) : 0;
    bool good = len > 0 && len <= CS_MAX_EXTENSION && equals[1];
    for (size_t i = 0; good && i < len; i++)
        good = isalnum((unsigned char)name[i]) || strchr(".-_+", name[i]);
    if (!good)
        return cs_fail(err, CS_EUSAGE, "--decoder: '%s' is not EXTENSION=COMMAND", text);
    snprintf(decoder->extension, sizeof decoder->extension, ".%.*s", (int)len, name);
    decoder->command = equals + 1;
    return 0;
}

const struct cs_decoder *cs_decoder_find(const struct cs_decoder *list, int count, const char *path)
{
    const struct cs_decoder *found = NULL;
    size_t len = strlen(path);
    for (int i = 0; i < count; i++) {
        size_t n = strlen(list[i].extension);
        if (len > n && path[len - n - 1] != '/' &&
            strcasecmp(path + len - n, list[i].extension) == 0 &&
            (!found || n >= strlen(found->extension)))
            found = &list[i];
    }
    return found;
}

// ---- The process ---------------------------------------------------------------------------

struct job {
    char *folder;            // the command's $TMPDIR
    int out;                 // its standard output
    int log[2];              // its standard error: the two ends of a pipe
    char tail[LOG_TAIL + 1]; // the last that came through it
    size_t tail_bytes;
    char *arguments[6], **environment;
};

// A copy of the environment with TMPDIR=folder.
static char **environment_with(char *assignment)
{
    size_t count = 0, kept = 0;
    while (environ[count])
        count++;
    char **copy = cs_xcalloc(count + 2, sizeof *copy);
    for (size_t i = 0; i < count; i++)
        if (strncmp(environ[i], "TMPDIR=", 7) != 0)
            copy[kept++] = environ[i];
    copy[kept] = assignment;
    return copy;
}

static int job_open(struct job *job, struct cs_err *err)
{
    const char *scratch = getenv("TMPDIR");
    char *folder = cs_xasprintf("%s/cs-decoder-XXXXXX", scratch && *scratch ? scratch : "/tmp");
    if (!mkdtemp(folder)) {
        cs_fail_errno(err, CS_EIO, "scratch folder %s", folder);
        free(folder);
        return -1;
    }
    job->folder = folder;
    job->out = cs_scratch_open(NULL, err);
    if (job->out < 0)
        return -1;
    if (pipe2(job->log, O_CLOEXEC | O_NONBLOCK) != 0 || fcntl(job->log[1], F_SETFL, 0) != 0)
        return cs_fail_errno(err, CS_EIO, "the decoder cannot be run");
    return 0;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st, (void)kind, (void)where;
    remove(path); // what cannot be removed stays
    return 0;
}

static void job_close(struct job *job)
{
    if (job->folder)
        nftw(job->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(job->folder);
    if (job->out >= 0)
        close(job->out);
    for (int i = 0; i < 2; i++)
        if (job->log[i] >= 0)
            close(job->log[i]);
}

// Runs in the child, of a process that may have threads: only async-signal-safe calls.
static void become_command(const struct job *job, pid_t parent)
{
    sigset_t none;
    signal(SIGINT, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int nothing = open("/dev/null", O_RDONLY);
    if (getppid() != parent || dup2(job->out, STDOUT_FILENO) < 0 ||
        dup2(job->log[1], STDERR_FILENO) < 0 || dup2(nothing, STDIN_FILENO) < 0)
        _exit(STATUS_NOT_RUN);
    execve("/bin/sh", job->arguments, job->environment);
    _exit(STATUS_NOT_RUN);
}

// Reads what there is; false at its end.
static bool read_log(struct job *job)
{
    char block[LOG_BLOCK];
    ssize_t n = read(job->log[0], block, sizeof block);
    if (n <= 0)
        return n < 0;
    size_t take = n < LOG_TAIL ? (size_t)n : LOG_TAIL, keep = LOG_TAIL - take;
    keep = keep < job->tail_bytes ? keep : job->tail_bytes;
    memmove(job->tail, job->tail + job->tail_bytes - keep, keep);
    memcpy(job->tail + keep, block + n - take, take);
    job->tail_bytes = keep + take;
    return true;
}

// The pipe may stay open behind the command, in what it left running, and may close before: neither
// is its end.
static int job_run(struct job *job, int *status, struct cs_err *err)
{
    enum { LOOK_MS = 100 };
    pid_t parent = getpid(), pid = fork(), ended;
    bool open = true;
    if (pid == 0)
        become_command(job, parent);
    if (pid < 0)
        return cs_fail_errno(err, CS_EIO, "the decoder cannot be run");
    close(job->log[1]);
    job->log[1] = -1;
    while ((ended = waitpid(pid, status, open ? WNOHANG : 0)) != pid) {
        struct pollfd log = {.fd = job->log[0], .events = POLLIN};
        if (ended < 0 && errno != EINTR)
            return cs_fail_errno(err, CS_EIO, "the decoder");
        if (open && poll(&log, 1, LOOK_MS) > 0)
            open = read_log(job);
    }
    read_log(job);
    return 0;
}

// The last line of the log that is not empty, made fit for a message.
static void last_line(struct job *job)
{
    char *line = job->tail;
    size_t len = job->tail_bytes;
    while (len && (isspace((unsigned char)line[len - 1]) || !line[len - 1]))
        len--;
    line[len] = '\0';
    char *start = memrchr(line, '\n', len);
    if (start)
        memmove(line, start + 1, len - (size_t)(start - line));
    len -= start ? (size_t)(start + 1 - line) : 0;
    for (size_t i = 0; i < len; i++)
        line[i] = iscntrl((unsigned char)line[i]) ? ' ' : line[i];
}

static int judge(struct job *job, int status, struct cs_err *err)
{
    struct stat st;
    const char *line = job->tail;
    last_line(job);
    const char *between = line[0] ? ": " : "";
    if (WIFSIGNALED(status))
        return cs_fail(err, CS_EINPUT, "decoder: %s%s%s", strsignal(WTERMSIG(status)), between,
                       line);
    if (WEXITSTATUS(status))
        return cs_fail(err, CS_EINPUT, "decoder: exit status %d%s%s", WEXITSTATUS(status), between,
                       line);
    if (fstat(job->out, &st) != 0 || !st.st_size)
        return cs_fail(err, CS_EINPUT, "decoder: it wrote nothing%s%s", between, line);
    return 0;
}

int cs_decoder_run(const struct cs_decoder *decoder, const char *path, int *fd, struct cs_err *err)
{
    struct job job = {.out = -1, .log = {-1, -1}};
    int status = 0, result = -1;
    *fd = -1;
    if (access(path, R_OK) != 0)
        return cs_fail_errno(err, CS_EIO, "cannot be read");
    if (job_open(&job, err) == 0) {
        // A name like an option of the command.
        char *name = cs_xasprintf("%s%s", path[0] == '-' ? "./" : "", path);
        char *command = cs_xstrdup(decoder->command);
        char *folder = cs_xasprintf("TMPDIR=%s", job.folder);
        char *arguments[] = {"sh", "-c", command, "sh", name, NULL};
        memcpy(job.arguments, arguments, sizeof arguments);
        job.environment = environment_with(folder);
        result = job_run(&job, &status, err) != 0 ? -1 : judge(&job, status, err);
        free(job.environment);
        free(folder);
        free(command);
        free(name);
    }
    if (result == 0) {
        *fd = job.out;
        job.out = -1;
        result = lseek(*fd, 0, SEEK_SET) == 0 ? 0 : cs_fail_errno(err, CS_EIO, "scratch folder");
    }
    job_close(&job);
    return result;
}
