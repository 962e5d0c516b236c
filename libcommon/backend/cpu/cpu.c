// SPDX-License-Identifier: MIT
// The backend "cpu": kernels of our own for most convolutions and for what else takes time, oneDNN
// for the other convolutions, the plain loops of "ref" for the rest. Here are its device and its
// table; plan.c, steps.c and slot.c are what the table leads to.
#include "backend/cpu/cpu.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/backend_cpu.h"
#include "backend/cpu/peak.h"
#include "base/mem.h"

// ---- Device ------------------------------------------------------------------------------

static void processor_name(char *name, size_t size)
{
    snprintf(name, size, "CPU");
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (!file)
        return;
    char line[256];
    while (fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon && colon[1]) {
            colon[strcspn(colon, "\n")] = '\0';
            snprintf(name, size, "%s", colon + 2);
            break;
        }
    }
    fclose(file);
}

static int device_open(const struct cs_device_options *options, struct cs_device **device,
                       struct cs_err *err)
{
    struct cs_device *made = cs_xcalloc(1, sizeof *made);
    made->kernels = cs_kernels_pick(err);
    if (!made->kernels || cs_dnn_open(&made->dnn, cs_isa_limit(), err) != 0) {
        free(made);
        return -1;
    }
    made->caches = cs_winograd_find_caches();
    made->threads = options && options->threads > 0 ? options->threads : cs_usable_threads();
    char name[128];
    processor_name(name, sizeof name);
    snprintf(made->text, sizeof made->text, "cpu: %s, %d thread%s, %s, %s", name, made->threads,
             made->threads == 1 ? "" : "s", made->kernels->name, cs_dnn_text());
    *device = made;
    return 0;
}

static void device_close(struct cs_device *device)
{
    if (!device)
        return;
    cs_dnn_close(device->dnn);
    free(device);
}

static const char *device_text(const struct cs_device *device)
{
    return device->text;
}

// ---- Network -----------------------------------------------------------------------------

static int network_open(struct cs_device *device, struct cs_network **network, struct cs_err *err)
{
    (void)err;
    *network = cs_xcalloc(1, sizeof **network);
    (*network)->device = device;
    return 0;
}

static void network_close(struct cs_network *network)
{
    if (!network)
        return;
    cs_cpu_slab_trim(network);
    free(network->packed); // empty: plans are closed before their network
    free(network);
}

// ---- The table ---------------------------------------------------------------------------

static void measure_peak(const struct cs_device *device, bool cpu_time, struct cs_peak *peak)
{
    omp_set_num_threads(device->threads);
    cs_cpu_peak(cpu_time, peak);
}

const struct cs_backend cs_backend_cpu = {
    .name = "cpu",
    .device_open = device_open,
    .device_close = device_close,
    .device_text = device_text,
    .precisions = cs_precisions_fp32,
    .passes = CS_PASSES_FUSION,
    .reads_file = true,
    .supports = cs_cpu_supports,
    .network_open = network_open,
    .network_close = network_close,
    .plan_open = cs_cpu_plan_open,
    .plan_close = cs_cpu_plan_close,
    .plan_memory = cs_cpu_plan_memory,
    .slot_open = cs_cpu_slot_open,
    .slot_close = cs_cpu_slot_close,
    .network_trim = cs_cpu_slab_trim,
    .run = cs_cpu_run_jobs,
    .run_tensors = cs_cpu_run_tensors,
    .peak = measure_peak,
    .profile_start = cs_cpu_profile_start,
    .profile_step = cs_cpu_profile_step,
};
