// SPDX-License-Identifier: MIT
// What was compiled in, and what every backend needs.
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "backend/cpu/backend_cpu.h"
#include "backend/fake/fake.h"
#include "backend/plugin.h"
#include "backend/ref/backend_ref.h"

const struct cs_backend *const cs_backends[] = {&cs_backend_cpu, &cs_backend_ref, &cs_backend_fake,
                                                NULL};

const struct cs_backend *cs_backend_find(const char *name)
{
    for (int i = 0; cs_backends[i]; i++)
        if (strcmp(cs_backends[i]->name, name) == 0)
            return cs_backends[i];
    return NULL;
}

const struct cs_backend *cs_backend_get(const char *name, struct cs_err *err)
{
    const struct cs_backend *found = cs_backend_find(name);
    return found ? found : cs_plugin_load(name, err);
}

const char *cs_precision_name(enum cs_precision precision)
{
    static const char *const names[] = {"fp32", "tf32", "fp16", "bf16"};
    return names[precision];
}

unsigned cs_precisions_fp32(const struct cs_device *device)
{
    (void)device;
    return 1U << CS_FP32;
}

int cs_backend_check(const struct cs_backend *backend, const struct cs_graph *graph,
                     struct cs_err *err)
{
    for (int i = 0; i < graph->node_count; i++) {
        const struct cs_node *node = &graph->nodes[i];
        char why[256] = "not supported";
        if (!backend->supports(graph, node, why, sizeof why))
            return cs_fail(err, CS_EMODEL, "node %s (%s): %s on %s", node->name, node->op, why,
                           backend->name);
    }
    return 0;
}
