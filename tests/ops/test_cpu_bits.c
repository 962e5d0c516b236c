// SPDX-License-Identifier: MIT
// The backend "cpu" as a whole: same bits for any number of threads and any batch; two plans in one
// slot, two slots at once; weights packed once; memory shared only where it may be; images through
// jobs; what is not supported is named.
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/backend_cpu.h"
#include "backend/cpu/cpu.h"
#include "backend/order.h"
#include "isa.h"
#include "opcase.h"
#include "suite.h"

enum { SIZE = 48, CHANNELS = 3, BATCH = 3 };

static int chain(struct opcase *c, const char *op)
{
    opcase_node(c, op, 1);
    int value = opcase_last(c);
    return value;
}

static int norm_relu(struct opcase *c, int from, int64_t channels)
{
    opcase_value(c, from);
    opcase_weight(c, SHAPE(channels));
    opcase_weight(c, SHAPE(channels));
    opcase_value(c, chain(c, "InstanceNormalization"));
    return chain(c, "Relu");
}

// A small network with every kind of step: skip, pooling, transposed convolution, concat, residual
// addition, gates over channels and pixels, resize.
static void make_network(struct opcase *c)
{
    opcase_init(c, 17, 77);
    int x = opcase_input(c, SHAPE(BATCH, CHANNELS, SIZE, SIZE));
    c->graph.values[x].shape.dim[0] = -1; // any batch
    c->pending_count = 0;
    int skip = norm_relu(c, opcase_conv(c, x, CHANNELS, 24, 3), 24);
    opcase_value(c, skip);
    struct cs_node *node = opcase_node(c, "MaxPool", 1);
    cs_node_add_ints(&c->graph, node, "kernel_shape", (int64_t[]){2, 2}, 2);
    cs_node_add_ints(&c->graph, node, "strides", (int64_t[]){2, 2}, 2);
    int down = norm_relu(c, opcase_conv(c, opcase_last(c), 24, 40, 3), 40);
    opcase_value(c, opcase_conv(c, down, 40, 40, 1));
    opcase_value(c, down);
    int sum = chain(c, "Add");
    opcase_value(c, sum);
    int pooled = chain(c, "GlobalAveragePool");
    opcase_value(c, opcase_conv(c, pooled, 40, 40, 1));
    int gate = chain(c, "Sigmoid");
    opcase_value(c, sum);
    opcase_value(c, gate);
    int gated = chain(c, "Mul");
    opcase_value(c, gated);
    opcase_weight(c, SHAPE(40, 24, 2, 2));
    node = opcase_node(c, "ConvTranspose", 1);
    cs_node_add_ints(&c->graph, node, "strides", (int64_t[]){2, 2}, 2);
    opcase_value(c, skip);
    opcase_value(c, opcase_last(c));
    cs_node_add_int(&c->graph, opcase_node(c, "Concat", 1), "axis", 1);
    int head = opcase_conv(c, opcase_last(c), 48, 2, 3);
    opcase_value(c, head);
    opcase_value(c, -1);
    opcase_weight_data(c, SHAPE(4), (float[]){1, 1, 1.5F, 1.5F});
    cs_node_add_string(&c->graph, opcase_node(c, "Resize", 1), "mode", "linear");
}

struct loaded {
    struct cs_graph graphs[2];
    struct cs_device *device;
    struct cs_network *network;
    struct cs_plan *plans[2]; // batch 1 and BATCH
    struct cs_slot *slot;
};

static void load_as(struct loaded *l, const struct opcase *c, int threads, bool direct)
{
    const struct cs_device_options options = {.threads = threads};
    const struct cs_backend *cpu = &cs_backend_cpu;
    struct cs_err err = {0};
    memset(l, 0, sizeof *l);
    ck_assert_msg(cpu->device_open(&options, &l->device, &err) == 0, "%s", err.text);
    ck_assert_int_eq(cpu->network_open(l->device, &l->network, &err), 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_msg(
            cs_graph_infer(&c->graph, SHAPE(i ? BATCH : 1, CHANNELS, SIZE, SIZE), &l->graphs[i],
                           &err) == 0 &&
                cs_graph_run_passes(&l->graphs[i], cpu->passes, &err) == 0 &&
                cpu->plan_open(l->network, &l->graphs[i], CS_FP32, direct, &l->plans[i], &err) == 0,
            "%s", err.text);
    }
    ck_assert_msg(cpu->slot_open(l->network, l->plans, 2, &l->slot, &err) == 0, "%s", err.text);
}

static void load(struct loaded *l, const struct opcase *c, int threads)
{
    load_as(l, c, threads, false);
}

static void unload(struct loaded *l)
{
    cs_backend_cpu.slot_close(l->slot);
    for (int i = 0; i < 2; i++) {
        cs_backend_cpu.plan_close(l->plans[i]);
        cs_graph_release(&l->graphs[i]);
    }
    cs_backend_cpu.network_close(l->network);
    cs_backend_cpu.device_close(l->device);
}

enum { IN = CHANNELS * SIZE * SIZE, OUT = 2 * (SIZE * 3 / 2) * (SIZE * 3 / 2) };

static void run(struct loaded *l, int plan, const float *in, float *out)
{
    struct cs_err err = {0};
    ck_assert_msg(cs_backend_cpu.run_tensors(l->slot, l->plans[plan], (const void *[]){in},
                                             (void *[]){out}, &err) == 0,
                  "%s", err.text);
}

START_TEST(same_bits)
{
    static float whole[BATCH * OUT], other[BATCH * OUT];
    struct opcase c;
    isa_limit(_i);
    make_network(&c);
    for (int threads = 1; threads <= 4; threads++) {
        struct loaded l;
        load(&l, &c, threads);
        run(&l, 1, c.data[0], threads == 1 ? whole : other);
        if (threads > 1)
            ck_assert_mem_eq(whole, other, sizeof whole);
        memset(other, 0, sizeof other);
        for (int i = 0; i < BATCH; i++)
            run(&l, 0, (const float *)c.data[0] + i * IN, other + i * OUT);
        ck_assert_mem_eq(whole, other, sizeof whole);
        unload(&l);
    }
    opcase_release(&c);
}
END_TEST

START_TEST(against_ref)
{
    struct opcase c;
    struct cs_err err = {0};
    isa_limit(_i);
    make_network(&c);
    c.fused = true;
    double error = opcase_difference(&c, "cpu", "ref", &err);
    ck_assert_msg(error >= 0, "%s", err.text);
    ck_assert_msg(error < 3e-6, "error %g", error);
    opcase_release(&c);
}
END_TEST

struct worker {
    const struct opcase *c;
    struct loaded *l;
    struct cs_slot *slot;
    float *out;
};

static void *work(void *argument)
{
    struct worker *w = argument;
    for (int i = 0; i < 20; i++) {
        struct cs_err err = {0};
        memset(w->out, 0, BATCH * OUT * sizeof *w->out);
        if (cs_backend_cpu.run_tensors(w->slot, w->l->plans[1], (const void *[]){w->c->data[0]},
                                       (void *[]){w->out}, &err) != 0)
            return w;
    }
    return NULL;
}

START_TEST(slots_at_once)
{
    // Two threads, each with its slot, on the same plan: both get what one alone gets.
    static float alone[BATCH * OUT], out[2][BATCH * OUT];
    struct opcase c;
    make_network(&c);
    struct loaded l;
    load(&l, &c, 2);
    run(&l, 1, c.data[0], alone);
    struct cs_slot *second;
    struct cs_err err = {0};
    ck_assert_int_eq(cs_backend_cpu.slot_open(l.network, l.plans, 2, &second, &err), 0);
    struct worker workers[2] = {{&c, &l, l.slot, out[0]}, {&c, &l, second, out[1]}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    for (int i = 0; i < 2; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        ck_assert_ptr_null(failed);
        ck_assert_mem_eq(alone, out[i], sizeof alone);
    }
    cs_backend_cpu.slot_close(second);
    unload(&l);
    opcase_release(&c);
}
END_TEST

START_TEST(shared_memory)
{
    // Values overlap only where one is written over the other; and some are.
    struct opcase c;
    struct cs_err err = {0};
    make_network(&c);
    struct cs_graph g;
    ck_assert_int_eq(cs_graph_infer(&c.graph, c.shapes, &g, &err), 0);
    ck_assert_int_eq(cs_graph_run_passes(&g, cs_backend_cpu.passes, &err), 0);
    bool *layout = cs_channels_last(&g);
    int *share = cs_cpu_share(&g, layout), shared = 0;
    struct cs_memory_plan plan;
    ck_assert_int_eq(cs_memory_plan_make_shared(&g, NULL, NULL, share, NULL, &plan, &err), 0);
    for (int n = 0; n < g.node_count; n++) {
        const struct cs_node *node = &g.nodes[n];
        int out = node->outputs[0];
        for (int v = 0; v < g.value_count; v++) {
            const struct cs_value *value = &g.values[v];
            bool alive = v != out && plan.offset[v] != SIZE_MAX && value->producer < n;
            bool later = false; // read by this node or a later one
            for (int k = n; alive && k < g.node_count; k++)
                for (int i = 0; i < g.nodes[k].input_count; i++)
                    later |= g.nodes[k].inputs[i] == v || g.nodes[k].fusion.add == v;
            if (!alive || !later)
                continue;
            bool apart = plan.offset[v] + plan.bytes[v] <= plan.offset[out] ||
                         plan.offset[out] + plan.bytes[out] <= plan.offset[v];
            ck_assert_msg(apart || share[out] == v, "node %d, value %d", n, v);
            shared += share[out] == v;
        }
    }
    ck_assert_int_ge(shared, 2);
    cs_memory_plan_release(&plan);
    free(share);
    free(layout);
    cs_graph_release(&g);
    opcase_release(&c);
}
END_TEST

START_TEST(weights_once)
{
    struct opcase c;
    make_network(&c);
    struct loaded l;
    load_as(&l, &c, 2, true); // Winograd's transformed weights are four times as many
    size_t one = cs_backend_cpu.plan_memory(l.plans[0]).weights;
    size_t two = cs_backend_cpu.plan_memory(l.plans[1]).weights;
    ck_assert_uint_eq(one, two); // of the network: both plans use the same
    size_t floats = 24 * 27 + 40 * 24 * 9 + 2 * 40 * 40 + 40 * 24 * 4 + 2 * 48 * 9;
    ck_assert_uint_ge(one, floats * sizeof(float));
    ck_assert_uint_le(one, 2 * floats * sizeof(float)); // padded, but not doubled
    unload(&l);
    opcase_release(&c);
}
END_TEST

START_TEST(jobs)
{
    // Two images in a batch of three: the same values as tensors give, and the third is padding.
    static float images[2][IN], maps[2][OUT], tensor[BATCH * IN], out[BATCH * OUT];
    struct opcase c;
    make_network(&c);
    struct loaded l;
    load(&l, &c, 2);
    struct cs_job job[2];
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < SIZE * SIZE; i++) {
            for (int ch = 0; ch < CHANNELS; ch++) {
                images[k][i * CHANNELS + ch] = (float)opcase_random(&c, -1, 1);
                tensor[k * IN + ch * SIZE * SIZE + i] = images[k][i * CHANNELS + ch];
            }
        }
        job[k] = (struct cs_job){.pixels = images[k],
                                 .width = SIZE,
                                 .height = SIZE,
                                 .channels = CHANNELS,
                                 .dtype = CS_F32,
                                 .from = {0, 1, 2},
                                 .scale = {1, 1, 1},
                                 .low = -2,
                                 .high = 2,
                                 .out = maps[k],
                                 .out_width = SIZE * 3 / 2,
                                 .out_height = SIZE * 3 / 2,
                                 .out_channels = 2,
                                 .out_from = {{.channel = 0}, {.channel = 1}},
                                 .out_dtype = CS_F32,
                                 .part_width = SIZE * 3 / 2,
                                 .part_height = SIZE * 3 / 2};
    }
    struct cs_err err = {0};
    run(&l, 1, tensor, out);
    ck_assert_msg(cs_backend_cpu.run(l.slot, l.plans[1], job, 2, &err) == 0, "%s", err.text);
    const int pixels = OUT / 2;
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < pixels; i++)
            for (int ch = 0; ch < 2; ch++)
                ck_assert(maps[k][i * 2 + ch] == out[k * OUT + ch * pixels + i]);
    unload(&l);
    opcase_release(&c);
}
END_TEST

START_TEST(not_supported)
{
    struct opcase c;
    opcase_init(&c, 17, 1);
    opcase_input(&c, SHAPE(1, 2, 3, 4));
    opcase_node(&c, "Sigmoid", 1);
    struct cs_graph concrete;
    struct cs_err err = {0};
    ck_assert_msg(cs_graph_infer(&c.graph, c.shapes, &concrete, &err) == 0, "%s", err.text);
    ck_assert_int_eq(cs_backend_check(&cs_backend_cpu, &concrete, &err), 0);
    concrete.nodes[0].fusion.activation = "Squash";
    ck_assert_int_eq(cs_backend_check(&cs_backend_cpu, &concrete, &err), -1);
    ck_assert_int_eq(err.code, CS_EMODEL);
    ck_assert_ptr_nonnull(strstr(err.text, "Sigmoid"));
    ck_assert_ptr_nonnull(strstr(err.text, "Squash"));
    cs_graph_release(&concrete);
    opcase_release(&c);
}
END_TEST

// A step through the plain loops says so in the profile, between steps that do not.
START_TEST(plain_visible)
{
    struct opcase c;
    struct cs_graph graph;
    struct cs_err err = {0};
    const struct cs_backend *cpu = &cs_backend_cpu;
    struct cs_device *device;
    struct cs_network *network;
    struct cs_plan *plan;
    struct cs_slot *slot;
    opcase_init(&c, 17, 1);
    int x = opcase_input(&c, SHAPE(1, 2, 6, 5));
    c.pending_count = 0;
    opcase_value(&c, opcase_conv(&c, x, 2, 2, 3));
    opcase_weight_range(&c, SHAPE(1), 0.3, 0.4);
    cs_node_add_int(&c.graph, opcase_node(&c, "Mod", 1), "fmod", 1);
    ck_assert_msg(cs_graph_infer(&c.graph, c.shapes, &graph, &err) == 0, "%s", err.text);
    ck_assert_int_eq(cpu->device_open(NULL, &device, &err), 0);
    ck_assert_int_eq(cpu->network_open(device, &network, &err), 0);
    ck_assert_int_eq(cpu->plan_open(network, &graph, CS_FP32, false, &plan, &err), 0);
    ck_assert_int_eq(cpu->slot_open(network, &plan, 1, &slot, &err), 0);
    cpu->profile_start(plan, false);
    static float out[60];
    ck_assert_int_eq(
        cpu->run_tensors(slot, plan, (const void *[]){c.data[0]}, (void *[]){out}, &err), 0);
    struct cs_profile step;
    for (int i = 0; cpu->profile_step(plan, i, &step); i++)
        if (step.node)
            ck_assert_int_eq(strcmp(step.kernel, "plain") == 0, strcmp(step.node->op, "Mod") == 0);
    cpu->slot_close(slot);
    cpu->plan_close(plan);
    cpu->network_close(network);
    cpu->device_close(device);
    cs_graph_release(&graph);
    opcase_release(&c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu_bits");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_set_timeout(core, 120);
    tcase_add_loop_test(core, same_bits, 0, ISA_LIMITS);
    tcase_add_loop_test(core, against_ref, 0, ISA_LIMITS);
    tcase_add_test(core, weights_once);
    tcase_add_test(core, slots_at_once);
    tcase_add_test(core, shared_memory);
    tcase_add_test(core, jobs);
    tcase_add_test(limits, not_supported);
    tcase_add_test(limits, plain_visible);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
