// SPDX-License-Identifier: MIT
// What the plug-in exports: the backend's table.
#include "backend/plugin.h"

#include "backend/cuda/inside.h"

static const char *device_text(const struct cs_device *device)
{
    return device->text;
}

static unsigned precisions(const struct cs_device *device)
{
    enum { FIRST_WITH_TF32 = 80 };
    return 1U << CS_FP32 | 1U << CS_FP16 |
           (device->capability >= FIRST_WITH_TF32 ? 1U << CS_TF32 : 0);
}

static void profile_start(struct cs_plan *plan, bool cpu_time)
{
    (void)cpu_time; // the device's time alone is of interest
    plan->profile = (struct cs_cuda_profile){.on = true};
}

static bool profile_step(const struct cs_plan *plan, int i, struct cs_profile *step)
{
    const struct cs_cuda_profile *p = &plan->profile;
    const struct cs_profile all[] = {{.kernel = "upload", .seconds = p->upload},
                                     {.kernel = "compute", .seconds = p->compute},
                                     {.kernel = "download", .seconds = p->download},
                                     {.kernel = "wait", .seconds = p->wait}};
    enum { PARTS = sizeof all / sizeof *all, COMPUTE = 1 };
    if (!p->on || i >= PARTS)
        return false;
    *step = all[i];
    for (int s = 0; i == COMPUTE && s < plan->step_count; s++) {
        step->flops += plan->steps[s].flops;
        step->bytes += plan->steps[s].bytes;
    }
    return true;
}

static const struct cs_backend cuda = {
    .name = "cuda",
    .device_count = cs_cuda_device_count,
    .device_open = cs_cuda_device_open,
    .device_close = cs_cuda_device_close,
    .device_text = device_text,
    .device_memory = cs_cuda_device_memory,
    .device_lost = cs_cuda_device_lost,
    .memory_pin = cs_cuda_memory_pin,
    .memory_unpin = cs_cuda_memory_unpin,
    .precisions = precisions,
    .passes = CS_PASSES_FUSION,
    .reads_file = true,
    .supports = cs_cuda_supports,
    .network_open = cs_cuda_network_open,
    .network_close = cs_cuda_network_close,
    .plan_open = cs_cuda_plan_open,
    .plan_close = cs_cuda_plan_close,
    .plan_memory = cs_cuda_plan_memory,
    .slot_open = cs_cuda_slot_open,
    .slot_close = cs_cuda_slot_close,
    .run = cs_cuda_run_jobs,
    .run_tensors = cs_cuda_run_tensors,
    .profile_start = profile_start,
    .profile_step = profile_step,
};

extern const struct cs_plugin cs_plugin;
__attribute__((visibility("default"))) const struct cs_plugin cs_plugin = {cs_plugin_build, &cuda};
