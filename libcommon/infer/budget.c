// SPDX-License-Identifier: MIT
#include "infer/budget.h"

#include "base/num.h"

// Plans do not grow quite in proportion.
static const double margin = 0.95;

void cs_budget_init(struct cs_recipe *r, uint64_t memory)
{
    bool own = r->info.device_bytes > 0;
    r->image_bytes = own ? memory / 2 : memory / 4;
    r->run_bytes = own ? r->info.device_bytes : memory - memory / 4;
}

// Of the worker process. In double: estimates, never sizes of blocks.
static double need(const struct cs_recipe *r, int slots, double pixels)
{
    double probe = (double)r->info.probe_height * r->info.probe_width;
    return (double)r->info.fixed_bytes +
           (double)slots * (double)r->info.probe_bytes * pixels / probe;
}

int cs_budget_slots(const struct cs_recipe *r, uint64_t budget, int count, uint32_t width,
                    uint32_t height)
{
    int slots = r->slots;
    while (slots && need(r, slots, (double)count * width * height) > margin * (double)budget)
        slots--;
    return slots;
}

// The --memory with which `needed` bytes of the worker fit, beside what an image takes of its
// share.
static void memory_for(const struct cs_recipe *r, uint64_t budget, double needed,
                       char text[CS_SIZE_TEXT])
{
    double taken = (double)(r->run_bytes - budget);
    double all = needed / margin + taken;
    cs_size_option((uint64_t)(r->info.device_bytes ? all : all * 4 / 3), text);
}

int cs_budget_refuse(const struct cs_recipe *r, uint64_t budget, uint32_t width, uint32_t height,
                     const char *also, struct cs_err *err)
{
    char needs[CS_SIZE_TEXT], share[CS_SIZE_TEXT], would[CS_SIZE_TEXT];
    double bytes = need(r, 1, (double)width * height);
    cs_size_text((uint64_t)bytes, needs);
    cs_size_text(budget, share);
    memory_for(r, budget, bytes, would);
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
    return cs_budget_slots(r, r->run_bytes, 1, least_width, least_height)
               ? 0
               : cs_budget_refuse(r, r->run_bytes, width, height, "", err);
}

uint64_t cs_budget_item(const struct cs_recipe *r)
{
    if (r->info.device_bytes)
        return r->image_bytes;
    uint64_t rest = r->run_bytes > r->info.fixed_bytes ? r->run_bytes - r->info.fixed_bytes : 0;
    return rest / 2 > r->image_bytes ? rest / 2 : r->image_bytes;
}

int cs_budget_beside(const struct cs_recipe *r, uint32_t width, uint32_t height, size_t pixels,
                     size_t maps, uint64_t *budget, struct cs_err *err)
{
    // The stream's reader has the pixels too. A small image that follows has the quarter.
    double taken = 2 * (double)pixels + (double)maps;
    double left = (double)r->run_bytes - taken;
    bool own = r->info.device_bytes > 0;
    *budget = r->run_bytes;
    if ((double)pixels + (double)maps <= (double)r->image_bytes ||
        (own && taken <= 2 * (double)r->image_bytes))
        return 0;
    if (!own && left > (double)r->info.fixed_bytes) {
        *budget = (uint64_t)left;
        return 0;
    }
    char needs[CS_SIZE_TEXT], would[CS_SIZE_TEXT];
    double small = own ? 0 : need(r, 1, (double)r->info.probe_width * r->info.probe_height);
    cs_size_text((uint64_t)taken, needs);
    cs_size_option((uint64_t)((taken + small / margin) * 4 / 3), would);
    return cs_fail(err, CS_ENOMEM,
                   "%u x %u pixels with their maps need %s beside the network: --memory %s would "
                   "do",
                   width, height, needs, would);
}
