// SPDX-License-Identifier: MIT
#include "export/segments.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void add(struct cs_segments *s, const char *folder, const char *name)
{
    size_t digits = strspn(name, "0123456789");
    if (!digits || strcmp(name + digits, CS_SEGMENT_SUFFIX) != 0)
        return;
    s->paths = cs_xrealloc(s->paths, (size_t)s->count + 1, sizeof *s->paths);
    s->paths[s->count++] = cs_xasprintf("%s/%s", folder, name);
}

int cs_segments_list(struct cs_segments *segments, const char *out, struct cs_err *err)
{
    char *folder = cs_xasprintf("%s/.cs", out);
    DIR *dir = opendir(folder);
    *segments = (struct cs_segments){0};
    int status = dir || errno == ENOENT ? 0 : cs_fail_errno(err, CS_EIO, "%s", folder);
    while (dir) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry)
            break;
        add(segments, folder, entry->d_name);
    }
    // A list that breaks off is no list: what it lacks would be done again, or left out.
    if (dir && errno)
        status = cs_fail_errno(err, CS_EIO, "%s", folder);
    if (dir)
        closedir(dir);
    if (segments->count)
        qsort(segments->paths, (size_t)segments->count, sizeof *segments->paths, by_name);
    free(folder);
    return status;
}

void cs_segments_release(struct cs_segments *segments)
{
    for (int i = 0; i < segments->count; i++)
        free(segments->paths[i]);
    free(segments->paths);
    *segments = (struct cs_segments){0};
}
