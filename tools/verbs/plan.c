// SPDX-License-Identifier: MIT
// cs-model plan: the memory of cs-infer's worker process for images of one size, before it runs.
// What the process has with the network's plan made is measured here, in a process like it; what
// packing and slots add is planned. For CUDA an estimate.
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "infer/batcher.h"
#include "infer/device.h"
#include "infer/estimate.h"
#include "infer/tuned.h"
#include "verbs.h"

struct plan {
    const struct cs_package *package;
    struct cs_session *session;
    struct cs_session_info info;
    uint32_t width, height; // of an image
    uint32_t plane_width, plane_height;
    int slots, batch;
    size_t map_bytes; // of a sample of a map
    uint64_t limit;   // of the worker; 0: none
    struct cs_session_memory memory;
    const struct cs_graph *graph;
};

static void print_bytes(const char *what, uint64_t bytes, const char *comment)
{
    printf("%s\t%.1f MiB%s%s\n", what, (double)bytes / (1 << 20), *comment ? "\t" : "", comment);
}

// Images and maps of one batch in memory that cs-infer and the worker share.
static uint64_t buffer_bytes(const struct plan *p)
{
    uint64_t pixels = (uint64_t)p->width * p->height;
    return (uint64_t)p->batch * pixels *
           ((uint64_t)p->info.channels + (uint64_t)p->info.maps * p->map_bytes);
}

// A batch a slot, one that is ready, one being written and one being made (pipeline.c).
static uint64_t all_buffers(const struct plan *p)
{
    return (uint64_t)(p->slots + 3) * buffer_bytes(p);
}

static int choose_plane(struct plan *p, const struct model_options *o, struct cs_err *err)
{
    // The defaults of cs-infer.
    const struct cs_infer_options options = {
        .tool = "cs-model", .hub = o->compat, .map = o->compat ? CS_F32 : CS_U16};
    struct cs_recipe recipe;
    p->map_bytes = cs_dtype_bytes(options.map);
    if (cs_recipe_init(&recipe, p->package, &p->info, &options, 1, 1, UINT64_MAX, err) != 0)
        return -1;
    p->width = p->info.probe_width;
    p->height = p->info.probe_height;
    if (o->size && model_size(o->size, &p->width, &p->height, err) != 0)
        return -1;
    return cs_fit_plane(&recipe.fit, p->width, p->height, &p->plane_width, &p->plane_height, err);
}

static int look(struct plan *p, struct cs_err *err)
{
    const struct cs_session_key key = {
        .batch = p->batch, .height = p->plane_height, .width = p->plane_width};
    return cs_session_look(p->session, &key, &p->memory, &p->graph, err);
}

static bool fits(const struct plan *p)
{
    return !p->limit || cs_session_memory_bytes(&p->memory, p->slots) <= p->limit;
}

// As cs-infer would: smaller batches, then fewer slots.
static int obey_limit(struct plan *p, struct cs_err *err)
{
    if (look(p, err) != 0)
        return -1;
    while (!fits(p) && p->batch > 1) {
        p->batch--;
        if (look(p, err) != 0)
            return -1;
    }
    while (!fits(p) && p->slots > 1)
        p->slots--;
    if (fits(p))
        return 0;
    char need[CS_SIZE_TEXT], share[CS_SIZE_TEXT], would[CS_SIZE_TEXT];
    uint64_t bytes = cs_session_memory_bytes(&p->memory, 1);
    bool large = p->plane_width > p->info.probe_width || p->plane_height > p->info.probe_height;
    cs_size_text(bytes, need);
    cs_size_text(p->limit, share);
    cs_size_option(bytes / 3 * 4, would);
    return cs_fail(err, CS_ENOMEM,
                   "%s needs %s for one plane of %u x %u, there are %s: --memory %s%s would do",
                   p->package->short_name, need, p->plane_width, p->plane_height, share, would,
                   large ? " or --fit tile" : "");
}

static void print_head(const struct plan *p, const char *device)
{
    printf("model\t%s\ndevice\t%s\nplane\t%ux%u\nslots\t%d\nbatch\t%d\n", p->package->name, device,
           p->plane_width, p->plane_height, p->slots, p->batch);
}

static int print_exact(struct plan *p, struct cs_err *err)
{
    const struct cs_session_memory *m = &p->memory;
    if (obey_limit(p, err) != 0)
        return -1;
    print_head(p, p->info.device_text);
    print_bytes("program", m->process - m->constants, "with libraries and their primitives");
    print_bytes("constants", m->constants, "of the network, beside packed weights");
    print_bytes("weights", m->weights, "packed, once for all slots");
    print_bytes("arena", m->slot.arena, "a slot");
    print_bytes("workspace", m->slot.workspace, "a slot");
    print_bytes("buffers", buffer_bytes(p), "images and maps of a batch, shared with cs-infer");
    print_bytes("total", cs_session_memory_bytes(m, p->slots) + all_buffers(p), "");
    return 0;
}

static int print_estimate(struct plan *p, struct cs_err *err)
{
    static const enum cs_precision precisions[] = {CS_FP32, CS_FP16};
    if (look(p, err) != 0)
        return -1;
    print_head(p, "cuda, an estimate from the graph: no device was asked");
    for (size_t i = 0; i < sizeof precisions / sizeof *precisions; i++) {
        struct cs_memory_use use;
        if (cs_estimate_cuda(p->graph, precisions[i], &use, err) != 0)
            return -1;
        uint64_t slot = (uint64_t)use.arena + use.workspace + buffer_bytes(p);
        printf("precision\t%s\n", cs_precision_name(precisions[i]));
        print_bytes("weights", use.weights, "once for all slots");
        print_bytes("arena", use.arena, "a slot");
        print_bytes("workspace", use.workspace, "a slot, an allowance");
        print_bytes("buffers", buffer_bytes(p), "a slot");
        print_bytes("total", use.weights + (uint64_t)p->slots * slot, "without the driver's own");
    }
    return 0;
}

static int open_session(struct plan *p, const struct cs_device_choice *choice, int threads,
                        const struct model_options *options, struct cs_err *err)
{
    struct cs_session_options o = {.device = choice->backend,
                                   .detail = choice->detail,
                                   .slots = p->slots,
                                   .threads = threads > p->slots ? threads / p->slots : 1};
    if (cs_session_open(&p->session, p->package, &o, &p->info, err) != 0)
        return -1;
    if (p->batch > p->info.max_batch)
        p->batch = p->info.max_batch;
    return choose_plane(p, options, err);
}

// As a session does: fewer slots with more threads each, until theirs fit their part of the memory.
static int share_flexibly(struct plan *p, const struct cs_device_choice *choice, int threads,
                          const struct model_options *options, struct cs_err *err)
{
    uint64_t memory = options->memory ? options->memory : cs_usable_memory() / 4 * 3;
    uint64_t part = (memory - memory / 4) / CS_FLEXIBLE_PART;
    for (;;) {
        int slots = p->slots;
        if (look(p, err) != 0)
            return -1;
        while (slots > 1 && cs_session_memory_bytes(&p->memory, slots) > part)
            slots--;
        if (slots == p->slots)
            return 0;
        while (threads % slots)
            slots--;
        p->slots = slots;
        cs_session_close(p->session);
        p->session = NULL;
        if (open_session(p, choice, threads, options, err) != 0)
            return -1;
    }
}

int model_plan(const struct model_options *options, const struct cs_package *package,
               struct cs_err *err)
{
    const char *device = options->device ? options->device : "auto";
    bool cuda = cs_device_names(device, "cuda"), flexible = !options->slots && !cuda;
    const struct cs_device_choice gpu = {.backend = "cuda"};
    struct cs_device_choice choice;
    struct plan p = {.package = package,
                     .slots = options->slots ? (int)options->slots : 1,
                     .batch = options->batch ? (int)options->batch : 1,
                     .limit = options->memory - options->memory / 4};
    cs_settle_memory();
    if (cs_device_choose(cuda ? "cpu" : device, &choice, err) != 0)
        return -1;
    int threads = options->threads ? (int)options->threads : cs_usable_threads();
    if (flexible)
        p.slots = cs_untuned_slots(&choice, threads, 0);
    else if (cuda && !options->slots)
        p.slots = cs_untuned_slots(&gpu, threads, 0);
    int result = open_session(&p, &choice, threads, options, err);
    if (result == 0 && flexible)
        result = share_flexibly(&p, &choice, threads, options, err);
    if (result == 0)
        result = cuda ? print_estimate(&p, err) : print_exact(&p, err);
    cs_session_close(p.session);
    return result;
}
