// SPDX-License-Identifier: MIT
// Both outputs of the command are files, not pipes: nothing has to be read while it runs, and a
// codec can seek in what it wrote. A Ctrl-C for the pipeline is not for the command, so that a
// drain finishes the file that is being read; it dies with this process.
#include "image/decoder.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
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

enum { STATUS_NOT_RUN = 127, LOG_TAIL = 400 };

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
    char *folder; // the command's $TMPDIR
    int out, log; // its standard output and error
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
    job->log = job->out < 0 ? -1 : cs_scratch_open(NULL, err);
    return job->log < 0 ? -1 : 0;
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
    if (job->log >= 0)
        close(job->log);
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
        dup2(job->log, STDERR_FILENO) < 0 || dup2(nothing, STDIN_FILENO) < 0)
        _exit(STATUS_NOT_RUN);
    execve("/bin/sh", job->arguments, job->environment);
    _exit(STATUS_NOT_RUN);
}

static int job_run(struct job *job, int *status, struct cs_err *err)
{
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        become_command(job, parent);
    if (pid < 0)
        return cs_fail_errno(err, CS_EIO, "the decoder cannot be run");
    while (waitpid(pid, status, 0) < 0)
        if (errno != EINTR)
            return cs_fail_errno(err, CS_EIO, "the decoder");
    return 0;
}

// The last line of the log that is not empty, made fit for a message.
static void last_line(int log, char line[LOG_TAIL + 1])
{
    struct stat st;
    off_t from = fstat(log, &st) == 0 && st.st_size > LOG_TAIL ? st.st_size - LOG_TAIL : 0;
    ssize_t n = pread(log, line, LOG_TAIL, from);
    size_t len = n > 0 ? (size_t)n : 0;
    while (len && isspace((unsigned char)line[len - 1]))
        len--;
    line[len] = '\0';
    char *start = strrchr(line, '\n');
    if (start)
        memmove(line, start + 1, strlen(start + 1) + 1);
    for (char *c = line; *c; c++)
        *c = iscntrl((unsigned char)*c) ? ' ' : *c;
}

static int judge(const struct job *job, int status, struct cs_err *err)
{
    struct stat st;
    char line[LOG_TAIL + 1];
    last_line(job->log, line);
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
    struct job job = {.out = -1, .log = -1};
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
