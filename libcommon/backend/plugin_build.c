// SPDX-License-Identifier: MIT
// Compiled into both sides.
#include "backend/plugin.h"

#include <stdio.h>

const char *cs_plugin_build(void)
{
    static char text[128];
    if (!*text)
        snprintf(text, sizeof text, CS_VERSION " %zu %zu %zu %zu %zu %zu",
                 sizeof(struct cs_backend), sizeof(struct cs_graph), sizeof(struct cs_node),
                 sizeof(struct cs_value), sizeof(struct cs_job), sizeof(struct cs_device_options));
    return text;
}
