// SPDX-License-Identifier: MIT
// Nodes side by side (backend/cpu/waves.h) in a network of branches as HRNets have them: waves hold
// only nodes that need nothing of each other, tensors of a wave lie apart, parts and whole steps
// are shared out once each, and results are the same bytes with any number of threads, run after
// run.
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/backend_cpu.h"
#include "backend/cpu/waves.h"
#include "isa.h"
#include "opcase.h"
#include "suite.h"

enum { SIZE = 64, MOST_THREADS = 5, MOST_OUT = 16 * SIZE * SIZE };

static int conv(struct opcase *c, int from, int64_t in, int64_t out, int64_t kernel, int64_t stride)
{
    opcase_value(c, from);
    opcase_weight(c, SHAPE(out, in, kernel, kernel));
    struct cs_node *node = opcase_node(c, "Conv", 1);
    int64_t p = kernel / 2;
    cs_node_add_ints(&c->graph, node, "pads", (int64_t[]){p, p, p, p}, 4);
    cs_node_add_ints(&c->graph, node, "strides", (int64_t[]){stride, stride}, 2);
    return opcase_last(c);
}

static int norm(struct opcase *c, int from, int64_t channels, int add)
{
    opcase_value(c, from);
    opcase_weight(c, SHAPE(channels));
    opcase_weight(c, SHAPE(channels));
    opcase_node(c, "InstanceNormalization", 1);
    if (add >= 0) {
        opcase_value(c, opcase_last(c));
        opcase_value(c, add);
        opcase_node(c, "Add", 1);
    }
    opcase_value(c, opcase_last(c));
    opcase_node(c, "Relu", 1);
    return opcase_last(c);
}

// Two residual blocks a branch, 16, 32, 64 and 128 channels on planes from 64 x 64 down to 8 x 8;
// then the sum of all branches, enlarged, times gates made of its mean and maximum, which one step
// makes for two nodes.
static void make_network(struct opcase *c, int64_t size)
{
    opcase_init(c, 17, 5);
    int branch[4], from = opcase_input(c, SHAPE(1, 3, size, size));
    c->pending_count = 0;
    for (int b = 0; b < 4; b++) {
        int64_t channels = 16 << b;
        branch[b] = from = conv(c, from, b ? channels / 2 : 3, channels, 3, b ? 2 : 1);
    }
    for (int b = 0; b < 4; b++)
        for (int64_t block = 0, channels = 16 << b; block < 2; block++) {
            int inner = norm(c, conv(c, branch[b], channels, channels, 3, 1), channels, -1);
            branch[b] = norm(c, conv(c, inner, channels, channels, 3, 1), channels, branch[b]);
        }
    int sum = branch[0];
    for (int b = 1; b < 4; b++) {
        int small = norm(c, conv(c, branch[b], 16 << b, 16, 1, 1), 16, -1);
        float scale = (float)(1 << b);
        opcase_value(c, small);
        opcase_value(c, -1);
        opcase_weight_data(c, SHAPE(4), (float[]){1, 1, scale, scale});
        cs_node_add_string(&c->graph, opcase_node(c, "Resize", 1), "mode", "linear");
        opcase_value(c, opcase_last(c));
        opcase_value(c, sum);
        opcase_node(c, "Add", 1);
        sum = opcase_last(c);
    }
    opcase_value(c, sum);
    opcase_node(c, "GlobalAveragePool", 1);
    int mean = opcase_last(c);
    opcase_value(c, sum);
    opcase_node(c, "GlobalMaxPool", 1);
    opcase_value(c, opcase_last(c));
    opcase_value(c, mean);
    opcase_node(c, "Add", 1);
    opcase_value(c, opcase_last(c));
    opcase_value(c, sum);
    opcase_node(c, "Mul", 1);
}

struct loaded {
    struct cs_graph graph;
    struct cs_device *device;
    struct cs_network *network;
    struct cs_plan *plan;
    struct cs_slot *slot;
};

static void load(struct loaded *l, const struct opcase *c, int threads)
{
    const struct cs_device_options options = {.threads = threads};
    const struct cs_backend *cpu = &cs_backend_cpu;
    struct cs_err err = {0};
    ck_assert_msg(cpu->device_open(&options, &l->device, &err) == 0 &&
                      cpu->network_open(l->device, &l->network, &err) == 0 &&
                      cs_graph_infer(&c->graph, c->shapes, &l->graph, &err) == 0 &&
                      cs_graph_run_passes(&l->graph, cpu->passes, &err) == 0 &&
                      cpu->plan_open(l->network, &l->graph, CS_FP32, false, &l->plan, &err) == 0 &&
                      cpu->slot_open(l->network, &l->plan, 1, &l->slot, &err) == 0,
                  "%s", err.text);
}

static void unload(struct loaded *l)
{
    cs_backend_cpu.slot_close(l->slot);
    cs_backend_cpu.plan_close(l->plan);
    cs_graph_release(&l->graph);
    cs_backend_cpu.network_close(l->network);
    cs_backend_cpu.device_close(l->device);
}

static void run(struct loaded *l, const struct opcase *c, float *out)
{
    struct cs_err err = {0};
    memset(out, 0, MOST_OUT * sizeof *out);
    ck_assert_msg(cs_backend_cpu.run_tensors(l->slot, l->plan, c->data, (void *[]){out}, &err) == 0,
                  "%s", err.text);
}

// ---- Plans -------------------------------------------------------------------------------------

static bool left_out(const struct cs_plan *plan, int value)
{
    const struct cs_cpu_late *late = &plan->late[value];
    return late->mapped || late->chained || late->joined || late->gated;
}

static bool reads(const struct cs_node *node, int value)
{
    bool yes = node->fusion.add == value;
    for (int i = 0; i < node->input_count; i++)
        yes |= node->inputs[i] == value;
    return yes;
}

START_TEST(independent)
{
    // Every node runs after what it reads; several run at a time, one at a time with one thread.
    struct opcase c;
    make_network(&c, SIZE);
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        struct loaded l;
        load(&l, &c, threads);
        const struct cs_graph *g = &l.graph;
        int *times = cs_cpu_time_nodes(l.plan), shared = 0;
        for (int n = 0; n < g->node_count; n++) {
            ck_assert(times[n] >= 0 && times[n] < g->node_count);
            int out = g->nodes[n].outputs[0];
            for (int k = 0; k < g->node_count; k++) {
                bool none = left_out(l.plan, g->nodes[k].outputs[0]);
                if (reads(&g->nodes[k], out))
                    ck_assert_int_ge(times[k], times[n] + !none);
                shared += k != n && !none && !left_out(l.plan, out) && times[k] == times[n];
            }
        }
        ck_assert(threads == 1 ? shared == 0 : shared > 20);
        free(times);
        unload(&l);
    }
    opcase_release(&c);
}
END_TEST

START_TEST(large)
{
    // Nodes that all threads have enough to do with keep the graph's order.
    struct opcase c;
    struct loaded l;
    make_network(&c, 1024);
    load(&l, &c, 2);
    int *times = cs_cpu_time_nodes(l.plan);
    ck_assert_int_lt(times[0], times[4]); // convolutions of the first branch
    int first = -1;
    for (int n = 0; n < l.graph.node_count; n++) {
        const struct cs_node *node = &l.graph.nodes[n];
        bool widest = strcmp(node->op, "Conv") == 0 &&
                      l.graph.values[node->outputs[0]].shape.dim[1] == 128 &&
                      l.graph.values[node->inputs[0]].shape.dim[1] == 128;
        first = first < 0 && widest ? n : first;
    }
    for (int n = 0; first > 0 && n < first; n++)
        ck_assert_int_lt(times[n], times[first]);
    free(times);
    unload(&l);
    opcase_release(&c);
}
END_TEST

static bool overlap(const struct cs_memory_plan *m, int a, int b)
{
    return m->offset[a] != SIZE_MAX && m->offset[b] != SIZE_MAX &&
           m->offset[a] < m->offset[b] + m->bytes[b] && m->offset[b] < m->offset[a] + m->bytes[a];
}

START_TEST(apart)
{
    // What a node writes lies apart from all that others of its time read or write.
    struct opcase c;
    struct loaded l;
    make_network(&c, SIZE);
    load(&l, &c, 4);
    const struct cs_graph *g = &l.graph;
    const struct cs_memory_plan *m = &l.plan->memory;
    int *times = cs_cpu_time_nodes(l.plan), pairs = 0;
    for (int n = 0; n < g->node_count; n++)
        for (int k = 0; k < g->node_count; k++) {
            int out = g->nodes[n].outputs[0], other = g->nodes[k].outputs[0];
            if (k == n || times[k] != times[n] || left_out(l.plan, out) || left_out(l.plan, other))
                continue;
            pairs++;
            ck_assert_msg(!overlap(m, out, other), "nodes %d and %d write", n, k);
            for (int i = -1; i < g->nodes[k].input_count; i++) {
                int in = i < 0 ? g->nodes[k].fusion.add : g->nodes[k].inputs[i];
                ck_assert_msg(in < 0 || !overlap(m, out, in), "node %d reads what %d writes", k, n);
            }
        }
    ck_assert_int_gt(pairs, 20);
    free(times);
    unload(&l);
    opcase_release(&c);
}
END_TEST

START_TEST(shared_out)
{
    // Each part of each step once, scratch of threads and what steps share apart and inside.
    struct opcase c;
    make_network(&c, SIZE);
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        struct loaded l;
        load(&l, &c, threads);
        const struct cs_plan *plan = l.plan;
        int64_t *done = calloc((size_t)plan->step_count, sizeof *done);
        for (int i = 0, step = 0; i < plan->wave_count; i++) {
            const struct cs_cpu_wave *w = &plan->waves[i];
            size_t end = (w->pieces ? (size_t)threads : 1) * w->thread_bytes;
            ck_assert_int_eq(w->first, step);
            step += w->count;
            for (int k = 0; w->pieces && k < w->starts[threads]; k++) {
                const struct cs_cpu_piece *p = &w->pieces[k];
                ck_assert(p->step >= w->first && p->step < step);
                ck_assert(p->begin == done[p->step] && p->end > p->begin && p->at_once > 0);
                done[p->step] = p->end;
            }
            for (int s = w->first; s < step; s++) {
                ck_assert_int_eq(done[s], plan->steps[s].part ? plan->steps[s].parts
                                          : w->pieces         ? 1
                                                              : 0);
                ck_assert_uint_le(plan->steps[s].scratch_bytes, w->thread_bytes);
                ck_assert_uint_ge(plan->steps[s].shared, end);
                end = plan->steps[s].shared + plan->steps[s].shared_bytes;
            }
            ck_assert_uint_le(end, plan->scratch_bytes);
            ck_assert(i + 1 < plan->wave_count || step == plan->step_count);
        }
        free(done);
        unload(&l);
    }
    opcase_release(&c);
}
END_TEST

// ---- Results -----------------------------------------------------------------------------------

START_TEST(same_bytes)
{
    static float alone[MOST_OUT], out[MOST_OUT];
    struct opcase c;
    isa_limit(_i);
    make_network(&c, SIZE);
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        struct loaded l;
        load(&l, &c, threads);
        for (int again = 0; again < 3; again++) { // counters are as they were
            run(&l, &c, threads == 1 && again == 0 ? alone : out);
            if (threads > 1 || again > 0)
                ck_assert_mem_eq(alone, out, sizeof alone);
        }
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
    make_network(&c, SIZE);
    c.fused = true;
    c.threads = 4;
    double error = opcase_difference(&c, "cpu", "ref", &err);
    ck_assert_msg(error >= 0, "%s", err.text);
    ck_assert_msg(error < 1e-5, "error %g", error);
    opcase_release(&c);
}
END_TEST

START_TEST(profiled)
{
    // All steps get their time, in order, and results are the same.
    static float first[MOST_OUT], out[MOST_OUT];
    struct opcase c;
    struct loaded l;
    struct cs_profile step;
    make_network(&c, SIZE);
    load(&l, &c, 3);
    run(&l, &c, first);
    cs_backend_cpu.profile_start(l.plan, false);
    run(&l, &c, out);
    ck_assert_mem_eq(first, out, sizeof first);
    int count = 0;
    double flops = 0;
    for (; cs_backend_cpu.profile_step(l.plan, count, &step); count++) {
        ck_assert(step.seconds >= 0);
        flops += step.flops;
    }
    ck_assert_int_eq(count, l.plan->step_count + 2);
    ck_assert(flops > 1e8);
    unload(&l);
    opcase_release(&c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu_waves");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 120);
    tcase_add_test(core, independent);
    tcase_add_test(core, large);
    tcase_add_test(core, apart);
    tcase_add_test(core, shared_out);
    tcase_add_loop_test(core, same_bytes, 0, ISA_LIMITS);
    tcase_add_loop_test(core, against_ref, 0, ISA_LIMITS);
    tcase_add_test(core, profiled);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
