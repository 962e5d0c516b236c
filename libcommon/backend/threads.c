// SPDX-License-Identifier: MIT
// CPUs that may be used: affinity and the quotas of control groups. A quota anywhere above the
// process binds it; inside a container the path that the kernel names may not be visible, but its
// parents up to the root are tried all the same.
#include "backend/threads.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/mem.h"

static long read_numbers(const char *folder, const char *name, long *second)
{
    char *path = cs_xasprintf("%s/%s", folder, name);
    FILE *file = fopen(path, "re");
    long first = -1;
    free(path);
    if (!file)
        return -1;
    int fields = fscanf(file, "%ld %ld", &first, second); // "max 100000" has no first number
    fclose(file);
    return fields >= 1 ? first : -1;
}

static int whole_cpus(long quota, long period)
{
    if (quota <= 0 || period <= 0)
        return 0;
    long cpus = quota / period + (quota % period * 2 >= period);
    return cpus < 1 ? 1 : cpus > INT_MAX ? INT_MAX : (int)cpus;
}

static int quota_of(const char *folder, bool unified)
{
    long period = 0, ignored;
    if (unified) {
        long quota = read_numbers(folder, "cpu.max", &period);
        return whole_cpus(quota, period);
    }
    long quota = read_numbers(folder, "cpu.cfs_quota_us", &ignored);
    return whole_cpus(quota, read_numbers(folder, "cpu.cfs_period_us", &ignored));
}

// The least quota from root/path up to root.
static int least_quota(const char *root, const char *path, bool unified)
{
    int least = 0;
    char *folder = cs_xasprintf("%s%s", root, path);
    for (;;) {
        int cpus = quota_of(folder, unified);
        least = cpus > 0 && (least == 0 || cpus < least) ? cpus : least;
        char *slash = strrchr(folder, '/');
        if (strlen(folder) <= strlen(root) || !slash)
            break;
        *slash = '\0';
    }
    free(folder);
    return least;
}

// Version 1 names its controllers between colons: "4:cpu,cpuacct:/path".
static bool has_cpu(const char *controllers)
{
    for (const char *at = controllers; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, "cpu", 3) == 0 && (at[3] == ',' || at[3] == '\0'))
            return true;
    }
    return false;
}

int cs_cgroup_cpus(const char *membership, const char *root)
{
    FILE *file = fopen(membership, "re");
    char line[PATH_MAX + 64];
    int least = 0;
    if (!file)
        return 0;
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':'), *path = NULL;
        if (controllers)
            path = strchr(++controllers, ':');
        if (!path)
            continue;
        *path++ = '\0';
        bool unified = *controllers == '\0';
        if (!unified && !has_cpu(controllers))
            continue;
        char *top = unified ? cs_xstrdup(root) : cs_xasprintf("%s/%s", root, controllers);
        int cpus = least_quota(top, strcmp(path, "/") == 0 ? "" : path, unified);
        least = cpus > 0 && (least == 0 || cpus < least) ? cpus : least;
        free(top);
    }
    fclose(file);
    return least;
}

int cs_usable_threads(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    int quota = cs_cgroup_cpus("/proc/self/cgroup", "/sys/fs/cgroup");
    count = quota > 0 && quota < count ? quota : count;
    return count < 1 ? 1 : count;
}

bool cs_limit_spinning(void)
{
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT"))
        return false;
    return setenv("GOMP_SPINCOUNT", "1000", 1) == 0;
}
