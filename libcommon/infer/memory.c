// SPDX-License-Identifier: MIT
// The memory that this process may have: the machine's, or the limit of any control group above
// it (version 2 by memory.max, version 1 by memory.limit_in_bytes), whichever is least. And the
// memory that it has.
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "infer/infer.h"

static uint64_t read_limit(const char *folder, const char *name)
{
    struct cs_buf text = {0};
    struct cs_err ignored;
    char *path = cs_xasprintf("%s/%s", folder, name);
    uint64_t limit = UINT64_MAX;
    if (cs_read_file(path, 64, &text, &ignored) == 0 && text.len && text.data[0] >= '0' &&
        text.data[0] <= '9')
        limit = strtoull(text.data, NULL, 10);
    free(path);
    cs_buf_release(&text);
    return limit;
}

// The least limit of a group and the groups above it. group: "/a/b", cut to pieces.
static uint64_t group_limit(const char *root, char *group, const char *name)
{
    uint64_t least = UINT64_MAX;
    for (;;) {
        char *folder = cs_xasprintf("%s%s", root, group);
        uint64_t limit = read_limit(folder, name);
        free(folder);
        least = limit < least ? limit : least;
        char *slash = strrchr(group, '/');
        if (!slash)
            return least;
        *slash = '\0';
    }
}

uint64_t cs_usable_memory(void)
{
    uint64_t least = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    struct cs_buf text = {0};
    struct cs_err ignored;
    if (cs_read_file("/proc/self/cgroup", 1 << 16, &text, &ignored) == 0 && text.len) {
        char *rest = NULL;
        for (char *line = strtok_r(text.data, "\n", &rest); line;
             line = strtok_r(NULL, "\n", &rest)) {
            char *v1 = strstr(line, ":memory:");
            uint64_t limit = UINT64_MAX;
            if (strncmp(line, "0::", 3) == 0)
                limit = group_limit("/sys/fs/cgroup", line + 3, "memory.max");
            else if (v1)
                limit = group_limit("/sys/fs/cgroup/memory", v1 + 8, "memory.limit_in_bytes");
            least = limit < least ? limit : least;
        }
    }
    cs_buf_release(&text);
    return least;
}

uint64_t cs_resident_bytes(void)
{
    struct cs_buf text = {0};
    struct cs_err ignored;
    uint64_t total = 0;
    if (cs_read_file("/proc/self/status", 1 << 16, &text, &ignored) == 0 && text.len) {
        static const char *const parts[] = {"\nRssAnon:", "\nRssFile:"};
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            const char *line = strstr(text.data, parts[i]);
            total += line ? strtoull(line + strlen(parts[i]), NULL, 10) << 10 : 0;
        }
    }
    cs_buf_release(&text);
    return total;
}

void cs_settle_memory(void)
{
    // Otherwise the threshold grows with what was freed, and freed memory is kept.
    mallopt(M_MMAP_THRESHOLD, 128 << 10);
}
