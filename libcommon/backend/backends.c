// SPDX-License-Identifier: MIT
// What was compiled in, and what every backend needs.
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "backend/cpu/backend_cpu.h"
#include "backend/fake/fake.h"
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

// CPUs by the quota of the control group (version 2), 0 when there is none.
static int quota_cpus(void)
{
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (!file)
        return 0;
    long quota, period;
    int fields = fscanf(file, "%ld %ld", &quota, &period); // "max 100000" gives none
    fclose(file);
    if (fields != 2 || quota <= 0 || period <= 0)
        return 0;
    long cpus = (quota + period / 2) / period;
    return cpus < 1 ? 1 : cpus > 4096 ? 4096 : (int)cpus;
}

int cs_usable_threads(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    int quota = quota_cpus();
    count = quota > 0 && quota < count ? quota : count;
    return count < 1 ? 1 : count;
}
