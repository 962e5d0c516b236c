// SPDX-License-Identifier: MIT
#include "infer/session.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "infer/maps.h"
#include "model/onnx.h"

// Plans kept at once. Image sizes of one run are few; each plan holds primitives, not activations.
enum { MAX_PLANS = 16, PROBE_SIDE = 256 };

struct plan {
    int batch;
    uint32_t height, width;
    enum cs_precision precision;
    bool direct;
    uint64_t last_use;
    struct cs_graph graph; // concrete, borrowed by the backend's plan
    struct cs_plan *plan;
};

struct slot {
    struct cs_slot *slot; // NULL: not open
    uint64_t opened_for;  // which set of plans, see `set`
    struct plan *chosen;  // that the next run uses
};

struct cs_session {
    const struct cs_backend *backend;
    struct cs_device *device;
    struct cs_network *network;
    struct cs_graph graph; // as read
    struct cs_onnx *file;  // its weights
    struct cs_session_options options;
    int channels;
    struct plan *plans[MAX_PLANS]; // each at one place: the backend borrows its graph
    int plan_count;
    uint64_t clock; // counts uses
    uint64_t set;   // changes with the set of plans
    struct slot slots[CS_MAX_SLOTS];
};

// ---- Plans -------------------------------------------------------------------------------

static struct plan *find_plan(const struct cs_session *s, int batch, uint32_t height,
                              uint32_t width, enum cs_precision precision, bool direct)
{
    for (int i = 0; i < s->plan_count; i++) {
        struct plan *p = s->plans[i];
        if (p->batch == batch && p->height == height && p->width == width &&
            p->precision == precision && p->direct == direct)
            return p;
    }
    return NULL;
}

bool cs_session_has(const struct cs_session *s, int batch, uint32_t height, uint32_t width,
                    enum cs_precision precision, bool direct)
{
    return find_plan(s, batch, height, width, precision, direct || s->options.direct) != NULL;
}

static void plan_free(struct cs_session *s, struct plan *p)
{
    s->backend->plan_close(p->plan);
    cs_graph_release(&p->graph);
    free(p);
}

static void close_slots(struct cs_session *s)
{
    for (int i = 0; i < s->options.slots; i++) {
        s->backend->slot_close(s->slots[i].slot);
        s->slots[i] = (struct slot){0};
    }
}

static uint64_t slot_bytes(const struct cs_memory_use *use)
{
    return (uint64_t)use->arena + use->workspace + use->buffers;
}

static int check_memory(const struct cs_session *s, const struct plan *p, struct cs_err *err)
{
    struct cs_memory_use use = s->backend->plan_memory(p->plan);
    uint64_t need = use.weights + (uint64_t)s->options.slots * slot_bytes(&use);
    if (!s->options.memory || need <= s->options.memory)
        return 0;
    return cs_fail(err, CS_ENOMEM,
                   "%d x %u x %u pixels on %d slots need %llu MiB, %llu MiB are allowed", p->batch,
                   p->height, p->width, s->options.slots, (unsigned long long)(need >> 20) + 1,
                   (unsigned long long)(s->options.memory >> 20));
}

static int plan_init(struct cs_session *s, struct plan *p, struct cs_err *err)
{
    struct cs_shape shape = {.rank = 4, .dim = {p->batch, s->channels, p->height, p->width}};
    if (cs_graph_infer(&s->graph, &shape, &p->graph, err) != 0)
        return -1;
    if (cs_graph_run_passes(&p->graph, s->backend->passes, err) != 0 ||
        cs_backend_check(s->backend, &p->graph, err) != 0 ||
        s->backend->plan_open(s->network, &p->graph, p->precision, p->direct, &p->plan, err) != 0 ||
        check_memory(s, p, err) != 0)
        return -1;
    return 0;
}

// A plan that was not there; the least recently used one goes when the set is full.
static struct plan *add_plan(struct cs_session *s, int batch, uint32_t height, uint32_t width,
                             enum cs_precision precision, bool direct, struct cs_err *err)
{
    close_slots(s);
    if (s->plan_count == MAX_PLANS) {
        int oldest = 0;
        for (int i = 1; i < s->plan_count; i++)
            if (s->plans[i]->last_use < s->plans[oldest]->last_use)
                oldest = i;
        plan_free(s, s->plans[oldest]);
        s->plans[oldest] = s->plans[--s->plan_count];
    }
    s->set++;
    struct plan *p = cs_xcalloc(1, sizeof *p);
    *p = (struct plan){
        .batch = batch, .height = height, .width = width, .precision = precision, .direct = direct};
    if (plan_init(s, p, err) != 0) {
        plan_free(s, p);
        return NULL;
    }
    s->plans[s->plan_count++] = p;
    return p;
}

int cs_session_prepare(struct cs_session *s, int slot_index, int batch, uint32_t height,
                       uint32_t width, enum cs_precision precision, bool direct, struct cs_err *err)
{
    struct slot *slot = &s->slots[slot_index];
    assert(slot_index < s->options.slots);
    direct = direct || s->options.direct;
    struct plan *p = find_plan(s, batch, height, width, precision, direct);
    if (!p && !(p = add_plan(s, batch, height, width, precision, direct, err)))
        return -1;
    p->last_use = ++s->clock;
    if (!slot->slot || slot->opened_for != s->set) {
        struct cs_plan *all[MAX_PLANS];
        s->backend->slot_close(slot->slot);
        slot->slot = NULL;
        for (int i = 0; i < s->plan_count; i++)
            all[i] = s->plans[i]->plan;
        if (s->backend->slot_open(s->network, all, s->plan_count, &slot->slot, err) != 0)
            return -1;
        slot->opened_for = s->set;
    }
    slot->chosen = p;
    return 0;
}

int cs_session_run(struct cs_session *s, int slot, struct cs_job *jobs, int n, struct cs_err *err)
{
    return s->backend->run(s->slots[slot].slot, s->slots[slot].chosen->plan, jobs, n, err);
}

int cs_session_run_tensors(struct cs_session *s, const void *const *inputs, void *const *outputs,
                           struct cs_err *err)
{
    return s->backend->run_tensors(s->slots[0].slot, s->slots[0].chosen->plan, inputs, outputs,
                                   err);
}

struct cs_memory_use cs_session_memory(const struct cs_session *s)
{
    return s->backend->plan_memory(s->slots[0].chosen->plan);
}

bool cs_session_profile_start(struct cs_session *s)
{
    if (!s->backend->profile_start)
        return false;
    s->backend->profile_start(s->slots[0].chosen->plan, false);
    return true;
}

bool cs_session_profile_step(const struct cs_session *s, int i, struct cs_profile *step)
{
    return s->backend->profile_step && s->backend->profile_step(s->slots[0].chosen->plan, i, step);
}

bool cs_session_peak(const struct cs_session *s, struct cs_peak *peak)
{
    if (!s->backend->peak)
        return false;
    s->backend->peak(s->device, false, peak);
    return true;
}

const struct cs_graph *cs_session_graph(const struct cs_session *s)
{
    return &s->slots[0].chosen->graph;
}

// ---- Opening -----------------------------------------------------------------------------

static uint64_t count_parameters(const struct cs_graph *g)
{
    uint64_t total = 0;
    for (int i = 0; i < g->value_count; i++) {
        int64_t n = g->values[i].data && g->values[i].type == CS_TYPE_F32
                        ? cs_shape_elements(&g->values[i].shape)
                        : 0;
        total += n > 0 ? (uint64_t)n : 0;
    }
    return total;
}

static int64_t known(int64_t dimension)
{
    return dimension > 0 ? dimension : 0;
}

// What can be said of the network before it meets a size.
static int ask_graph(struct cs_session *s, const struct cs_package *package,
                     struct cs_session_info *info, struct cs_err *err)
{
    const struct cs_graph *g = &s->graph;
    if (g->input_count != 1)
        return cs_fail(err, CS_EMODEL, "the network has %d inputs, only one image is supported",
                       g->input_count);
    const struct cs_value *in = &g->values[g->inputs[0]];
    if (in->type != CS_TYPE_F32 || in->shape.rank != 4)
        return cs_fail(err, CS_EMODEL, "input %s is not N, C, H, W of float32", in->name);
    info->max_batch = in->shape.dim[0] == 1 ? 1 : CS_MAX_BATCH;
    if (known(in->shape.dim[0]) > 1)
        return cs_fail(err, CS_EMODEL, "input %s takes only batches of %lld", in->name,
                       (long long)in->shape.dim[0]);
    info->channels = (int)known(in->shape.dim[1]);
    if (!info->channels)
        info->channels = package->inputs[0].channel_count;
    if (!info->channels)
        return cs_fail(err, CS_EMODEL, "input %s: number of channels unknown", in->name);
    info->plane_height = (uint32_t)known(in->shape.dim[2]);
    info->plane_width = (uint32_t)known(in->shape.dim[3]);
    info->parameters = count_parameters(g);
    s->channels = info->channels;

    struct cs_reach reach = {0};
    if (cs_graph_reach(g, &reach, err) != 0)
        return -1;
    info->tile_safe = reach.tile_safe;
    info->stride = reach.stride > 0 ? (uint32_t)reach.stride : 1;
    info->halo = reach.halo > 0 ? (uint32_t)reach.halo : 0;
    if (!reach.tile_safe)
        snprintf(info->unsafe, sizeof info->unsafe, "%s %s", reach.unsafe_op ? reach.unsafe_op : "",
                 reach.unsafe_node ? reach.unsafe_node : "");
    return 0;
}

static uint32_t probe_side(uint32_t fixed, const struct cs_axis *axis, uint32_t stride)
{
    if (fixed)
        return fixed;
    if (axis && axis->size && !axis->step)
        return (uint32_t)axis->size;
    uint32_t unit = stride;
    if (axis && axis->step > 1 && axis->step % unit == 0)
        unit = (uint32_t)axis->step;
    uint32_t side = axis && axis->size > PROBE_SIDE ? (uint32_t)axis->size : PROBE_SIDE;
    return (side + unit - 1) / unit * unit;
}

// Whether the network takes more than one image at a time: a Reshape to fixed sizes, which
// exporters write, forbids it although the input's declaration does not.
static bool takes_batches(const struct cs_session *s, uint32_t height, uint32_t width)
{
    struct cs_shape shape = {.rank = 4, .dim = {2, s->channels, height, width}};
    struct cs_graph graph;
    if (cs_graph_infer(&s->graph, &shape, &graph, NULL) != 0)
        return false;
    bool keeps = true;
    for (int i = 0; i < graph.output_count; i++)
        keeps = keeps && graph.values[graph.outputs[i]].shape.dim[0] == 2;
    cs_graph_release(&graph);
    return keeps;
}

// Run shapes through once: what only a concrete graph shows, at a price of one plan.
static int probe(struct cs_session *s, const struct cs_package *package,
                 struct cs_session_info *info, struct cs_err *err)
{
    const struct cs_tensor_spec *in = &package->inputs[0];
    uint32_t h = probe_side(info->plane_height, cs_tensor_axis(in, CS_AXIS_Y), info->stride);
    uint32_t w = probe_side(info->plane_width, cs_tensor_axis(in, CS_AXIS_X), info->stride);
    uint64_t limit = s->options.memory;
    s->options.memory =
        0; // a plane too large for the limit is the image's trouble, not the model's
    struct plan *p = add_plan(s, 1, h, w, CS_FP32, s->options.direct, err);
    s->options.memory = limit;
    if (!p)
        return -1;
    if (cs_maps_check(package, &p->graph, h, w, info, err) != 0)
        return -1;
    if (info->max_batch > 1 && !takes_batches(s, h, w))
        info->max_batch = 1;
    struct cs_memory_use use = s->backend->plan_memory(p->plan);
    info->weights_bytes = use.weights;
    info->probe_bytes = slot_bytes(&use);
    info->probe_height = h;
    info->probe_width = w;
    return 0;
}

// The hashes of the files, taken beside the loading.
struct hashing {
    pthread_t thread;
    bool started;
    const struct cs_package *package;
    char weights[CS_SHA256_HEX], external[CS_SHA256_HEX];
    int result;
    struct cs_err err;
    double seconds;
};

static void *hash_main(void *context)
{
    struct hashing *h = context;
    const struct cs_package *p = h->package;
    double start = cs_clock_seconds();
    h->result = cs_package_check_file(p->weights_path, p->weights_sha256, h->weights, &h->err);
    if (h->result == 0 && p->external_path)
        h->result =
            cs_package_check_file(p->external_path, p->external_sha256, h->external, &h->err);
    h->seconds = cs_clock_seconds() - start;
    return NULL;
}

static void start_hashing(struct hashing *h)
{
    h->started = pthread_create(&h->thread, NULL, hash_main, h) == 0;
    if (!h->started)
        hash_main(h);
}

static int end_hashing(struct hashing *h, struct cs_session_info *info, struct cs_err *err)
{
    if (h->started)
        pthread_join(h->thread, NULL);
    info->hash_seconds = h->seconds;
    if (h->result != 0) {
        *err = h->err;
        return -1;
    }
    memcpy(info->weights_sha256, h->weights, sizeof h->weights);
    return 0;
}

static int read_network(struct cs_session *s, const struct cs_package *package,
                        struct cs_session_info *info, struct cs_err *err)
{
    double start = cs_clock_seconds();
    if ((s->backend->reads_file ? cs_onnx_map : cs_onnx_read)(package->weights_path, &s->graph,
                                                              &s->file, err) != 0)
        return -1;
    info->read_seconds = cs_clock_seconds() - start;
    // Here and not per plan: folded weights are then shared, and outlive every plan.
    if (cs_maps_choose(package, s->options.all_outputs, &s->graph, info, err) != 0 ||
        ask_graph(s, package, info, err) != 0 ||
        cs_graph_run_passes(&s->graph, CS_PASSES_ALGEBRA, err) != 0 ||
        s->backend->network_open(s->device, &s->network, err) != 0 ||
        probe(s, package, info, err) != 0)
        return cs_err_context(err, "%s", package->weights_path);
    info->network_seconds = cs_clock_seconds() - start - info->read_seconds;
    return 0;
}

static int open_parts(struct cs_session *s, const struct cs_package *package,
                      struct cs_session_info *info, struct cs_err *err)
{
    struct cs_device_options options = {.threads = s->options.threads,
                                        .scenario = s->options.scenario};
    s->backend = cs_backend_find(s->options.device);
    if (!s->backend)
        return cs_fail(err, CS_EDEVICE, "this build has no device '%s'", s->options.device);
    if (s->backend->device_open(&options, &s->device, err) != 0)
        return -1;
    snprintf(info->device_text, sizeof info->device_text, "%s", s->backend->device_text(s->device));
    info->precisions = s->backend->precisions(s->device);
    if (!s->options.check_files)
        return read_network(s, package, info, err);
    struct hashing hashing = {.package = package};
    start_hashing(&hashing);
    int result = read_network(s, package, info, err);
    // That the file is not the package's is the better reason of the two.
    return end_hashing(&hashing, info, err) != 0 ? -1 : result;
}

int cs_session_open(struct cs_session **session, const struct cs_package *package,
                    const struct cs_session_options *options, struct cs_session_info *info,
                    struct cs_err *err)
{
    struct cs_session *s = cs_xcalloc(1, sizeof *s);
    double start = cs_clock_seconds();
    *info = (struct cs_session_info){0};
    s->options = *options;
    s->set = 1;
    if (open_parts(s, package, info, err) != 0) {
        cs_session_close(s);
        return -1;
    }
    info->load_seconds = cs_clock_seconds() - start;
    *session = s;
    return 0;
}

void cs_session_close(struct cs_session *s)
{
    if (!s)
        return;
    if (s->backend) {
        close_slots(s);
        for (int i = 0; i < s->plan_count; i++)
            plan_free(s, s->plans[i]);
        s->backend->network_close(s->network);
        s->backend->device_close(s->device);
    }
    cs_graph_release(&s->graph);
    cs_onnx_free(s->file);
    free(s);
}
