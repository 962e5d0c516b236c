// SPDX-License-Identifier: MIT
// Opening a session: files, what the graph says before it meets a size, and a plan for a small
// plane, which shows the rest.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "infer/fit.h"
#include "infer/infer.h"
#include "infer/maps.h"
#include "infer/session_inside.h"

enum {
    PROBE_SIDE = 256,
    LARGE_PROBE = 4, // sides of the second probe are so many times as long, at least
    LARGE_SIDE = 4096,
    MORE_THREADS = 16, // a part of a large plan that other numbers of threads may add
    LARGER_PLAN = 2 << 20,
    MEMORY_STEP = 4 << 20,
};

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
    info->margin = reach.margin > 0 ? (uint32_t)reach.margin : 0;
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

// What was measured here, for decisions: with room for what a larger plan adds, and in steps, so
// that two runs do not decide differently for the sake of a page.
static uint64_t round_up(uint64_t bytes)
{
    return (bytes + LARGER_PLAN + MEMORY_STEP - 1) / MEMORY_STEP * MEMORY_STEP;
}

// A plane as tiles have it, or a larger one than the first.
static uint32_t large_side(const struct cs_session_info *info, uint32_t probe)
{
    uint32_t tile = CS_AUTO_TILE + 2 * info->margin, large = LARGE_PROBE * probe;
    tile = tile < LARGE_SIDE ? (tile + probe - 1) / probe * probe : 0;
    return info->tile_safe && tile > large ? tile : large;
}

// Packed weights depend on the plane too, and the rest does not grow in proportion. Where memory is
// scarce it is worth a second look.
static int probe_large(struct cs_session *s, struct cs_session_info *info, struct cs_err *err)
{
    uint32_t height = large_side(info, info->probe_height);
    uint32_t width = large_side(info, info->probe_width);
    uint64_t scale = (uint64_t)height / info->probe_height * (width / info->probe_width);
    uint64_t estimate = info->fixed_bytes + (uint64_t)s->options.slots * info->probe_bytes * scale;
    struct cs_session_memory memory;
    const struct cs_graph *graph;
    if (!s->options.memory || estimate < s->options.memory / 2)
        return 0;
    const struct cs_session_key key = {.batch = 1, .height = height, .width = width};
    if (cs_session_look(s, &key, &memory, &graph, err) != 0)
        return -1;
    uint64_t fixed = round_up(cs_session_memory_bytes(&memory, 0));
    info->fixed_bytes = fixed > info->fixed_bytes ? fixed : info->fixed_bytes;
    uint64_t bytes = cs_session_memory_bytes(&memory, 1) - cs_session_memory_bytes(&memory, 0);
    info->large_bytes = bytes + bytes / MORE_THREADS;
    info->large_pixels = (uint64_t)height * width;
    return 0;
}

// Run shapes through once: what only a concrete graph shows, at a price of one plan.
static int probe(struct cs_session *s, const struct cs_package *package,
                 struct cs_session_info *info, struct cs_err *err)
{
    const struct cs_tensor_spec *in = &package->inputs[0];
    uint32_t h = probe_side(info->plane_height, cs_tensor_axis(in, CS_AXIS_Y), info->stride);
    uint32_t w = probe_side(info->plane_width, cs_tensor_axis(in, CS_AXIS_X), info->stride);
    struct cs_session_memory memory;
    const struct cs_graph *graph;
    const struct cs_session_key key = {.batch = 1, .height = h, .width = w};
    if (cs_session_look(s, &key, &memory, &graph, err) != 0)
        return -1;
    if (cs_maps_check(package, graph, h, w, info, err) != 0)
        return -1;
    if (info->max_batch > 1 && !takes_batches(s, h, w))
        info->max_batch = 1;
    info->flexible = s->options.flexible;
    info->probe_height = h;
    info->probe_width = w;
    info->probe_bytes = cs_session_memory_bytes(&memory, 1) - cs_session_memory_bytes(&memory, 0);
    info->fixed_bytes = round_up(cs_session_memory_bytes(&memory, 0));
    return info->plane_height && info->plane_width ? 0 : probe_large(s, info, err);
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
    struct cs_device_options options = {.threads = s->options.threads, .detail = s->options.detail};
    s->backend = cs_backend_get(s->options.device, err);
    if (!s->backend)
        return -1;
    if (s->backend->device_open(&options, &s->device, err) != 0 ||
        cs_session_limit_device(s, info, err) != 0)
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
