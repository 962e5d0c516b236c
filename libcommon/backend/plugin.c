// SPDX-License-Identifier: MIT
#include "backend/plugin.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

enum { MAX_PLUGINS = 4 };

// Loaded ones stay: libraries of devices do not like to be unloaded.
static const struct cs_backend *loaded[MAX_PLUGINS];

static char *path_of(const char *name)
{
    const char *folder = getenv("CELLSTREAM_PLUGINS");
    if (folder && *folder)
        return cs_xasprintf("%s/%s.so", folder, name);
    char program[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    program[n < 0 ? 0 : n] = '\0';
    char *slash = strrchr(program, '/');
    if (slash)
        *slash = '\0';
    return cs_xasprintf("%s/../lib/cellstream/%s.so", program, name);
}

// The loader's words name the library that it did not find.
static int fail_load(const char *name, const char *path, struct cs_err *err)
{
    const char *why = dlerror();
    if (access(path, F_OK) != 0)
        return cs_fail(err, CS_EDEVICE, "device %s: there is no plug-in %s", name, path);
    if (why && strstr(why, "libcudnn"))
        return cs_fail(err, CS_EDEVICE, "device %s: cuDNN 9 is missing: %s", name, why);
    return cs_fail(err, CS_EDEVICE, "device %s: %s", name, why ? why : path);
}

static const struct cs_backend *open_plugin(const char *name, const char *path, struct cs_err *err)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const struct cs_plugin *plugin = library ? dlsym(library, CS_PLUGIN_SYMBOL) : NULL;
    if (!plugin) {
        fail_load(name, path, err);
    } else if (strcmp(plugin->build(), cs_plugin_build()) != 0 ||
               strcmp(plugin->backend->name, name) != 0) {
        cs_fail(err, CS_EDEVICE, "device %s: %s is of another build", name, path);
        plugin = NULL;
    }
    if (!plugin && library)
        dlclose(library);
    return plugin ? plugin->backend : NULL;
}

const struct cs_backend *cs_plugin_load(const char *name, struct cs_err *err)
{
    int at = 0;
    for (; at < MAX_PLUGINS && loaded[at]; at++)
        if (strcmp(loaded[at]->name, name) == 0)
            return loaded[at];
    if (at == MAX_PLUGINS) {
        cs_fail(err, CS_EDEVICE, "device %s: too many devices", name);
        return NULL;
    }
    char *path = path_of(name);
    loaded[at] = open_plugin(name, path, err);
    free(path);
    return loaded[at];
}
