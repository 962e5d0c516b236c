// SPDX-License-Identifier: MIT
// Bands of rows (backend/cpu/band.h) on small networks, for caches made so small that planes of a
// few kilobytes are worth them: the same bytes as without, for any threads and batch, and with any
// number of rows at once; what is never whole; nothing written outside of windows (ASan sees to
// that); no less right than "ref". For each instruction set.
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/backend_cpu.h"
#include "backend/cpu/cpu.h"
#include "isa.h"
#include "opcase.h"
#include "suite.h"

enum { BATCH = 2, CHANNELS = 3, SMALL_CACHE = 48 << 10, LARGE_CACHE = 1 << 30 };

static int relu(struct opcase *c, int from)
{
    return opcase_unary(c, "Relu", from);
}

static int residual(struct opcase *c, int x, int64_t in, int64_t out)
{
    int y = opcase_conv(c, relu(c, opcase_conv(c, x, in, out, 3)), out, out, 3);
    return relu(c, opcase_binary(c, "Add", y, in == out ? x : opcase_conv(c, x, in, out, 1)));
}

// As the bundled models are: a level down and up again, and a narrow head.
static void unet(struct opcase *c, int x)
{
    int skip = relu(c, opcase_conv(c, x, CHANNELS, 16, 3));
    int down = residual(c, opcase_max_pool(c, skip, 2, 0), 16, 24);
    int low = residual(c, opcase_max_pool(c, down, 2, 0), 24, 32);
    int up =
        residual(c,
                 relu(c, opcase_binary(c, "Add",
                                       opcase_enlarge(c, opcase_conv(c, low, 32, 24, 1), 2), down)),
                 24, 24);
    up = residual(
        c,
        relu(c, opcase_binary(c, "Add", opcase_enlarge(c, opcase_conv(c, up, 24, 16, 1), 2), skip)),
        16, 16);
    opcase_conv(c, up, 16, 2, 1);
}

// Windows that overlap, a stride, a pad of pooling.
static void chain(struct opcase *c, int x)
{
    int y = relu(c, opcase_conv(c, x, CHANNELS, 20, 5));
    y = relu(c, opcase_conv(c, y, 20, 16, 3));
    y = opcase_max_pool(c, relu(c, opcase_conv(c, y, 16, 40, 3)), 3, 1);
    relu(c, opcase_conv(c, opcase_conv(c, y, 40, 24, 1), 24, 9, 3));
}

// What a pooling in the band reads only partly (the last row of an odd height) is read elsewhere.
static void kept(struct opcase *c, int x)
{
    int y = relu(c, opcase_conv(c, relu(c, opcase_conv(c, x, CHANNELS, 16, 3)), 16, 16, 3));
    int half = opcase_max_pool(c, y, 2, 0);
    half = opcase_unary(c, "GlobalAveragePool", half);
    opcase_binary(c, "Add", y, half);
}

// A norm is mapped by the first of a band, and one ends it, taking statistics.
static void norms(struct opcase *c, int x)
{
    int y = opcase_conv(c, x, CHANNELS, 16, 3);
    for (int i = 0; i < 2; i++) {
        opcase_value(c, y);
        opcase_weight(c, SHAPE(16));
        opcase_weight(c, SHAPE(16));
        opcase_node(c, "InstanceNormalization", 1);
        y = relu(c, opcase_last(c));
        y = relu(c, opcase_conv(c, y, 16, 16, 3));
        y = opcase_conv(c, y, 16, 16, 3);
        if (i)
            cs_node_add_ints(&c->graph, &c->graph.nodes[c->graph.node_count - 1], "strides",
                             (int64_t[]){2, 2}, 2);
        y = opcase_conv(c, relu(c, y), 16, 16, 1);
    }
}

static const struct {
    void (*make)(struct opcase *c, int x);
    int64_t height, width;
    int bands; // at least
} nets[] = {
    {unet, 128, 36, 2},
    {chain, 203, 31, 1},
    {kept, 131, 29, 1},
    {norms, 140, 33, 2},
};
enum { NETS = sizeof nets / sizeof *nets };

static void make(struct opcase *c, int net)
{
    opcase_init(c, 17, 900 + (uint64_t)net);
    int x = opcase_input(c, SHAPE(BATCH, CHANNELS, nets[net].height, nets[net].width));
    c->graph.values[x].shape.dim[0] = -1; // any batch
    c->pending_count = 0;
    nets[net].make(c, x);
}

struct loaded {
    struct cs_graph graph;
    struct cs_device *device;
    struct cs_network *network;
    struct cs_plan *plan;
    struct cs_slot *slot;
    int64_t count; // of the output
};

static void load(struct loaded *l, const struct opcase *c, int64_t batch, int threads, size_t cache)
{
    const struct cs_device_options options = {.threads = threads};
    const struct cs_backend *cpu = &cs_backend_cpu;
    struct cs_shape shape = c->shapes[0];
    struct cs_err err = {0};
    shape.dim[0] = batch;
    memset(l, 0, sizeof *l);
    ck_assert_msg(cpu->device_open(&options, &l->device, &err) == 0, "%s", err.text);
    l->device->caches.core = cache;
    ck_assert_int_eq(cpu->network_open(l->device, &l->network, &err), 0);
    ck_assert_msg(cs_graph_infer(&c->graph, &shape, &l->graph, &err) == 0 &&
                      cs_graph_run_passes(&l->graph, cpu->passes, &err) == 0 &&
                      cpu->plan_open(l->network, &l->graph, CS_FP32, false, &l->plan, &err) == 0 &&
                      cpu->slot_open(l->network, &l->plan, 1, &l->slot, &err) == 0,
                  "%s", err.text);
    l->count = cs_shape_elements(&l->graph.values[l->graph.outputs[0]].shape);
}

static void unload(struct loaded *l)
{
    cs_backend_cpu.slot_close(l->slot);
    cs_backend_cpu.plan_close(l->plan);
    cs_backend_cpu.network_close(l->network);
    cs_backend_cpu.device_close(l->device);
    cs_graph_release(&l->graph);
}

// The output of images from `first` on. Caller frees with free().
static float *run(struct loaded *l, const struct opcase *c, int64_t first)
{
    struct cs_err err = {0};
    const int64_t *dim = c->shapes[0].dim;
    const float *in = (const float *)c->data[0] + first * dim[1] * dim[2] * dim[3];
    float *out = calloc((size_t)l->count, sizeof *out);
    ck_assert_msg(cs_backend_cpu.run_tensors(l->slot, l->plan, (const void *[]){in},
                                             (void *[]){out}, &err) == 0,
                  "%s", err.text);
    return out;
}

START_TEST(same_bytes)
{
    struct opcase c;
    struct loaded l;
    int net = _i % NETS;
    isa_limit(_i / NETS);
    make(&c, net);
    load(&l, &c, BATCH, 1, LARGE_CACHE);
    ck_assert_int_eq(l.plan->band_count, 0);
    float *without = run(&l, &c, 0);
    unload(&l);
    for (int threads = 1; threads <= 3; threads++) {
        load(&l, &c, BATCH, threads, SMALL_CACHE);
        for (int again = 0; again < 2; again++) {
            float *with = run(&l, &c, 0);
            ck_assert_mem_eq(without, with, (size_t)l.count * sizeof *with);
            free(with);
        }
        unload(&l);
        load(&l, &c, 1, threads, SMALL_CACHE);
        for (int i = 0; i < BATCH; i++) {
            float *alone = run(&l, &c, i);
            ck_assert_mem_eq(without + i * l.count, alone, (size_t)l.count * sizeof *alone);
            free(alone);
        }
        unload(&l);
    }
    free(without);
    opcase_release(&c);
}
END_TEST

START_TEST(any_rows)
{
    // However large the cache, and so the rows that are done at once, up to all.
    static const size_t caches[] = {8 << 10, 40 << 10, 64 << 10, 96 << 10, 130 << 10, 190 << 10};
    struct opcase c;
    struct loaded l;
    int rows = 0;
    make(&c, _i);
    load(&l, &c, BATCH, 1, LARGE_CACHE);
    float *without = run(&l, &c, 0);
    unload(&l);
    for (size_t i = 0; i < sizeof caches / sizeof *caches; i++) {
        load(&l, &c, BATCH, 1, caches[i]);
        for (int b = 0; b < l.plan->band_count; b++)
            rows |= (int)l.plan->bands[b].rows;
        float *with = run(&l, &c, 0);
        ck_assert_mem_eq(without, with, (size_t)l.count * sizeof *with);
        free(with);
        unload(&l);
    }
    ck_assert_msg(rows == 0 || (rows & (rows - 1)) != 0, "bands of %d rows alone", rows);
    free(without);
    opcase_release(&c);
}
END_TEST

START_TEST(found)
{
    struct opcase c;
    struct loaded with, without;
    int windows = 0;
    make(&c, _i);
    load(&without, &c, 1, 1, LARGE_CACHE);
    load(&with, &c, 1, 1, SMALL_CACHE);
    if (with.device->kernels->winograd) {
        ck_assert_int_ge(with.plan->band_count, nets[_i].bands);
        for (int v = 0; v < with.graph.value_count; v++)
            windows += with.plan->late[v].window > 0;
        ck_assert_int_gt(windows, 0);
        ck_assert_uint_le(with.plan->memory.arena_bytes, without.plan->memory.arena_bytes);
    }
    for (int b = 0; b < with.plan->band_count; b++) {
        const struct cs_cpu_band *band = &with.plan->bands[b];
        for (int i = 0; i < band->count; i++) {
            ck_assert_ptr_eq(with.plan->steps[band->step + i].node,
                             &with.graph.nodes[band->nodes[i].node]);
            ck_assert(with.plan->steps[band->step + i].rows != NULL);
        }
    }
    unload(&with);
    unload(&without);
    opcase_release(&c);
}
END_TEST

START_TEST(against_ref)
{
    struct opcase c;
    struct loaded l;
    struct cs_err err = {0};
    int64_t count;
    isa_limit(_i / NETS);
    make(&c, _i % NETS);
    double *right = opcase_values(&c, "ref", &count, &err);
    ck_assert_msg(right, "%s", err.text);
    load(&l, &c, BATCH, 2, SMALL_CACHE);
    ck_assert_int_eq(count, l.count);
    float *got = run(&l, &c, 0);
    double error = 0, all = 0;
    for (int64_t i = 0; i < count; i++) {
        error += ((double)got[i] - right[i]) * ((double)got[i] - right[i]);
        all += right[i] * right[i];
    }
    ck_assert_msg(error < 5e-6 * 5e-6 * all, "error %g of %g", error, all);
    free(got);
    free(right);
    unload(&l);
    opcase_release(&c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bands");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 60);
    tcase_add_loop_test(core, same_bytes, 0, NETS * ISA_LIMITS);
    tcase_add_loop_test(core, any_rows, 0, NETS);
    tcase_add_loop_test(core, found, 0, NETS);
    tcase_add_loop_test(core, against_ref, 0, NETS * ISA_LIMITS);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
