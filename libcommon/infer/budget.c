// SPDX-License-Identifier: MIT
#include "infer/budget.h"

#include "base/num.h"

// Plans do not grow quite in proportion.
static const double margin = 0.95;

void cs_budget_init(struct cs_recipe *r, uint64_t memory)
{
    bool own = r->info.device_bytes > 0;
    r->image_bytes = own ? memory / 2 : memory / 4;
    r->run_bytes = own ? r->info.device_bytes : (memory - memory / 4) / (uint64_t)r->devices;
}

// Of a slot for one plane. Small plans have more for each pixel than large ones.
static double slot_bytes(const struct cs_session_info *info, double pixels)
{
    double probe = (double)info->probe_height * info->probe_width,
           bytes = (double)info->probe_bytes;
    double large = (double)info->large_pixels, large_bytes = (double)info->large_bytes;
    if (large <= probe || pixels <= probe)
        return bytes * pixels / probe;
    if (pixels >= large)
        return large_bytes * pixels / large;
    return bytes + (large_bytes - bytes) * (pixels - probe) / (large - probe);
}

// Of the worker process, for `count` planes in each slot. In double: estimates, never sizes of
// blocks.
static double need(const struct cs_recipe *r, int slots, int count, uint32_t width, uint32_t height)
{
    return (double)r->info.fixed_bytes +
           (double)slots * count * slot_bytes(&r->info, (double)width * height);
}

int cs_budget_slots(const struct cs_recipe *r, int count, uint32_t width, uint32_t height)
{
    int slots = r->slots;
    while (slots && need(r, slots, count, width, height) > margin * (double)r->run_bytes)
        slots--;
    return slots;
}

int cs_budget_refuse(const struct cs_recipe *r, uint32_t width, uint32_t height, const char *also,
                     struct cs_err *err)
{
    char needs[CS_SIZE_TEXT], share[CS_SIZE_TEXT], would[CS_SIZE_TEXT];
    double bytes = need(r, 1, 1, width, height);
    cs_size_text((uint64_t)bytes, needs);
    cs_size_text(r->run_bytes, share);
    double all = bytes / margin;
    if (r->info.device_bytes && all > (double)r->info.device_most)
        return cs_fail(err, CS_ENOMEM,
                       "the network needs %s for one plane of %u x %u, the device has %s left",
                       needs, width, height, share);
    cs_size_option((uint64_t)(r->info.device_bytes ? all : all * r->devices * 4 / 3), would);
    return cs_fail(err, CS_ENOMEM,
                   "the network needs %s for one plane of %u x %u, there are %s: --%smemory %s%s "
                   "would do",
                   needs, width, height, share, r->info.device_bytes ? "gpu-" : "", would, also);
}

int cs_budget_check(const struct cs_recipe *r, struct cs_err *err)
{
    uint32_t width = r->info.probe_width, height = r->info.probe_height, least_width, least_height;
    if (r->fit.kind == CS_FIT_KIND_RESIZE) {
        width = least_width = r->fit.width;
        height = least_height = r->fit.height;
    } else if (cs_fit_plane(&r->fit, 1, 1, &least_width, &least_height, NULL) != 0) {
        least_width = least_height = 1; // native
    }
    return cs_budget_slots(r, 1, least_width, least_height)
               ? 0
               : cs_budget_refuse(r, width, height, "", err);
}
