// SPDX-License-Identifier: MIT
// Run a command and let one of its system calls fail, as a disk or a file server would:
//     fault-inject -s disk|read -d DIR -e ERROR -n N[+] [-m MARK] COMMAND...
// Counted are calls on files below DIR, of all processes that the command starts: with `disk` those
// that need room there (create, write, sync, close of what was written, rename), with `read` those
// that look (open, read, stat, list). The Nth of them, with + also every later one, is not carried
// out and gives ERROR; a close is carried out all the same. ERROR `end` lets a read find the end of
// the file. MARK is made when a call has failed; it says which. The exit status is the command's.
//
// Method: ptrace(2), PTRACE_SEIZE. Only on x86-64 Linux; elsewhere, and where ptrace is not
// allowed, the exit status is 77.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SKIPPED = 77, USAGE = 2, MAX_PENDING = 256, PATH_BYTES = 4096 };

#ifdef __x86_64__

enum how { ON_FD, ON_PATH, ON_PATH_AT, ON_NEW, ON_NEW_AT, ON_CLOSE, ON_READ };

// What a call works on: a descriptor, a path, a path below a descriptor; ON_NEW only where the
// flags create.
static const struct call {
    long number;
    const char *name;
    bool disk;
    enum how how;
} calls[] = {
    {SYS_write, "write", true, ON_FD},
    {SYS_pwrite64, "pwrite64", true, ON_FD},
    {SYS_writev, "writev", true, ON_FD},
    {SYS_fsync, "fsync", true, ON_FD},
    {SYS_fdatasync, "fdatasync", true, ON_FD},
    {SYS_ftruncate, "ftruncate", true, ON_FD},
    {SYS_fallocate, "fallocate", true, ON_FD},
    {SYS_close, "close", true, ON_CLOSE},
    {SYS_open, "open", true, ON_NEW},
    {SYS_openat, "openat", true, ON_NEW_AT},
    {SYS_mkdir, "mkdir", true, ON_PATH},
    {SYS_mkdirat, "mkdirat", true, ON_PATH_AT},
    {SYS_rename, "rename", true, ON_PATH},
    {SYS_renameat, "renameat", true, ON_PATH_AT},
    {SYS_renameat2, "renameat2", true, ON_PATH_AT},
    {SYS_read, "read", false, ON_READ},
    {SYS_pread64, "pread64", false, ON_READ},
    {SYS_readv, "readv", false, ON_READ},
    {SYS_fstat, "fstat", false, ON_FD},
    {SYS_getdents64, "getdents64", false, ON_FD},
    {SYS_stat, "stat", false, ON_PATH},
    {SYS_lstat, "lstat", false, ON_PATH},
    {SYS_newfstatat, "newfstatat", false, ON_PATH_AT},
    {SYS_open, "open", false, ON_PATH},
    {SYS_openat, "openat", false, ON_PATH_AT},
};

static const struct {
    const char *name;
    int number;
} errors[] = {{"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT}, {"EIO", EIO},
              {"ESTALE", ESTALE}, {"EACCES", EACCES}, {"end", 0}};

static struct {
    bool disk, on;
    const char *mark;
    char folder[PATH_BYTES];
    int error;
    long n, seen;
    pid_t pending[MAX_PENDING]; // whose present call fails
    int pending_count;
} fault;

// ---- What a call works on ------------------------------------------------------------------

static bool below(const char *path)
{
    size_t len = strlen(fault.folder);
    return strncmp(path, fault.folder, len) == 0 && (path[len] == '/' || !path[len]);
}

static bool link_of(pid_t pid, const char *what, long fd, char path[PATH_BYTES])
{
    char link[64];
    snprintf(link, sizeof link, fd >= 0 ? "/proc/%d/%s/%ld" : "/proc/%d/%s", (int)pid, what, fd);
    ssize_t n = readlink(link, path, PATH_BYTES - 1);
    path[n > 0 ? n : 0] = '\0';
    return n > 0;
}

static bool text_of(pid_t pid, uint64_t address, char text[PATH_BYTES])
{
    size_t done = 0;
    while (done < PATH_BYTES - 1) {
        size_t step = 4096 - (address + done) % 4096; // never over the end of a page
        step = step < PATH_BYTES - 1 - done ? step : PATH_BYTES - 1 - done;
        struct iovec here = {text + done, step}, there = {(void *)(address + done), step};
        ssize_t n = process_vm_readv(pid, &here, 1, &there, 1, 0);
        if (n <= 0)
            return false;
        if (memchr(text + done, '\0', (size_t)n))
            return true;
        done += (size_t)n;
    }
    text[done] = '\0';
    return true;
}

static bool path_below(pid_t pid, long folder_fd, uint64_t address)
{
    char text[PATH_BYTES], full[2 * PATH_BYTES], base[PATH_BYTES] = "";
    if (!text_of(pid, address, text))
        return false;
    if (text[0] == '/')
        return below(text);
    bool here = (int)folder_fd == AT_FDCWD;
    if (!link_of(pid, here ? "cwd" : "fd", here ? -1 : folder_fd, base))
        return false;
    snprintf(full, sizeof full, "%s%s%s", base, *text ? "/" : "", text);
    return below(full);
}

static bool fd_below(pid_t pid, long fd)
{
    char path[PATH_BYTES];
    return fd >= 0 && link_of(pid, "fd", fd, path) && below(path);
}

static bool fd_writes(pid_t pid, long fd)
{
    char name[64], line[128];
    unsigned flags = 0;
    snprintf(name, sizeof name, "/proc/%d/fdinfo/%ld", (int)pid, fd);
    FILE *file = fopen(name, "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "flags: %o", &flags) == 1)
            break;
    if (file)
        fclose(file);
    return (flags & O_ACCMODE) != O_RDONLY;
}

static bool creates(uint64_t flags)
{
    return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
}

static bool counts(pid_t pid, const struct call *call, const uint64_t *args)
{
    switch (call->how) {
    case ON_FD:
    case ON_READ:
        return fd_below(pid, (long)args[0]);
    case ON_CLOSE:
        return fd_below(pid, (long)args[0]) && fd_writes(pid, (long)args[0]);
    case ON_PATH:
        return path_below(pid, AT_FDCWD, args[0]);
    case ON_PATH_AT:
        return path_below(pid, (long)args[0], args[1]);
    case ON_NEW:
        return creates(args[1]) && path_below(pid, AT_FDCWD, args[0]);
    case ON_NEW_AT:
        return creates(args[2]) && path_below(pid, (long)args[0], args[1]);
    }
    return false;
}

// ---- Tracing -------------------------------------------------------------------------------

static void set_mark(const char *name)
{
    FILE *file = fault.mark ? fopen(fault.mark, "ae") : NULL;
    if (!file)
        return;
    fprintf(file, "%s\n", name);
    fclose(file);
}

static void on_entry(pid_t pid, const struct __ptrace_syscall_info *info)
{
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        const struct call *call = &calls[i];
        if (call->disk != fault.disk || (long)info->entry.nr != call->number ||
            (fault.error == 0 && call->how != ON_READ) ||
            !counts(pid, call, (const uint64_t *)info->entry.args))
            continue;
        if (++fault.seen != fault.n && !(fault.on && fault.seen > fault.n))
            return;
        set_mark(call->name);
        if (call->how != ON_CLOSE)
            ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, orig_rax), -1L);
        if (fault.pending_count < MAX_PENDING)
            fault.pending[fault.pending_count++] = pid;
        return;
    }
}

static void on_exit_of_call(pid_t pid)
{
    for (int i = 0; i < fault.pending_count; i++)
        if (fault.pending[i] == pid) {
            fault.pending[i] = fault.pending[--fault.pending_count];
            ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rax),
                   (long)-fault.error);
            return;
        }
}

static void on_stop(pid_t pid, int status)
{
    struct __ptrace_syscall_info info;
    int signal = WSTOPSIG(status), event = status >> 16;
    enum __ptrace_request go = PTRACE_SYSCALL;
    long pass = 0;
    if (signal == (SIGTRAP | 0x80)) {
        if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) > 0) {
            if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
                on_entry(pid, &info);
            else if (info.op == PTRACE_SYSCALL_INFO_EXIT)
                on_exit_of_call(pid);
        }
    } else if (event == PTRACE_EVENT_STOP) {
        if (signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU)
            go = PTRACE_LISTEN;
    } else if (!event) {
        pass = signal;
    }
    ptrace(go, pid, NULL, pass);
}

static int trace(pid_t command)
{
    int status, result = 1;
    for (;;) {
        pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0 && errno == EINTR)
            continue;
        if (pid < 0)
            return result;
        if (WIFSTOPPED(status))
            on_stop(pid, status);
        else if (pid == command)
            result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
}

static int run(char **command)
{
    int gate[2];
    char byte;
    if (pipe2(gate, O_CLOEXEC) != 0)
        return 1;
    pid_t pid = fork();
    if (pid == 0) {
        close(gate[1]);
        ssize_t ignored = read(gate[0], &byte, 1); // until this process is traced
        (void)ignored;
        execvp(command[0], command);
        perror(command[0]);
        _exit(127);
    }
    long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
                   PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
    if (pid < 0 || ptrace(PTRACE_SEIZE, pid, NULL, options) != 0 ||
        ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) != 0) {
        perror("fault-inject: ptrace");
        if (pid > 0)
            kill(pid, SIGKILL);
        return SKIPPED;
    }
    close(gate[1]);
    close(gate[0]);
    return trace(pid);
}

static bool set_error(const char *name)
{
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (strcmp(name, errors[i].name) == 0) {
            fault.error = errors[i].number;
            return true;
        }
    return false;
}

int main(int argc, char **argv)
{
    char *end = NULL;
    const char *set = "";
    bool good = true;
    for (int letter; (letter = getopt(argc, argv, "+s:d:e:n:m:")) != -1;) {
        if (letter == 's')
            set = optarg;
        else if (letter == 'd')
            good = good && realpath(optarg, fault.folder);
        else if (letter == 'e')
            good = good && set_error(optarg);
        else if (letter == 'n')
            fault.n = strtol(optarg, &end, 10);
        else if (letter == 'm')
            fault.mark = optarg;
        else
            good = false;
    }
    fault.disk = strcmp(set, "disk") == 0;
    fault.on = end && *end == '+';
    if (!good || (!fault.disk && strcmp(set, "read") != 0) || !fault.folder[0] || fault.n < 1 ||
        optind == argc) {
        fprintf(stderr, "usage: fault-inject -s disk|read -d DIR -e ERROR -n N[+] [-m MARK] "
                        "COMMAND...\n");
        return USAGE;
    }
    return run(argv + optind);
}

#else

int main(void)
{
    fprintf(stderr, "fault-inject: made for x86-64\n");
    return SKIPPED;
}

#endif
