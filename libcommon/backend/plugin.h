// SPDX-License-Identifier: MIT
// Backends that are loaded at run time, so that one build of the programs starts on machines with
// and without the libraries of a device. NAME.so lies in ../lib/cellstream beside the program's
// folder, or in the folder that CELLSTREAM_PLUGINS names, and exports one struct cs_plugin. Both
// sides are built together: a plug-in of another build is refused.
#ifndef CS_BACKEND_PLUGIN_H
#define CS_BACKEND_PLUGIN_H

#include "backend/backend.h"

struct cs_plugin {
    const char *(*build)(void); // cs_plugin_build of its build
    const struct cs_backend *backend;
};
#define CS_PLUGIN_SYMBOL "cs_plugin"

// What must be the same on both sides for calls to work, as text: the version and the sizes of the
// structs that cross. Written by each side for itself.
const char *cs_plugin_build(void);

// Loads it on the first call. NULL with CS_EDEVICE: what is missing, in one line.
const struct cs_backend *cs_plugin_load(const char *name, struct cs_err *err);

#endif
