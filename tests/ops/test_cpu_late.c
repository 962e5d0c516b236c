// SPDX-License-Identifier: MIT
// What the plans of "cpu" leave out (backend/cpu/late.c): norms whose statistics a convolution
// gathers, norms that their readers apply, concatenations that are read in parts, sums of resized
// tensors that the last resize makes. Each small
// network against "ref", with the cases that must not be left out; the same bytes for any threads
// and batch.
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/backend_cpu.h"
#include "backend/cpu/cpu.h"
#include "isa.h"
#include "opcase.h"
#include "same_bytes.h"
#include "suite.h"

enum { SIZE = 32, BATCH = 2 };

static int norm(struct opcase *c, int from, int64_t channels, int groups)
{
    opcase_value(c, from);
    opcase_weight(c, SHAPE(channels));
    opcase_weight(c, SHAPE(channels));
    struct cs_node *node =
        opcase_node(c, groups ? "GroupNormalization" : "InstanceNormalization", 1);
    if (groups)
        cs_node_add_int(&c->graph, node, "num_groups", groups);
    return opcase_last(c);
}

static int block(struct opcase *c, int from, int64_t in, int64_t out)
{
    return opcase_unary(c, "Relu", norm(c, opcase_conv(c, from, in, out, 3), out, 0));
}

// How many values are joined, mapped, gathered, taken along.
struct counts {
    int joined, mapped, gathered, taken, chained, gated;
};

static struct counts count_late(const struct cs_plan *plan)
{
    struct counts n = {0};
    for (int v = 0; v < plan->graph->value_count; v++) {
        n.joined += plan->late[v].joined;
        n.mapped += plan->late[v].mapped;
        n.gathered += plan->late[v].gathered;
        n.taken += plan->late[v].taken;
        n.chained += plan->late[v].chained;
        n.gated += plan->late[v].gated;
    }
    return n;
}

// A level of a U-Net: the skip is pooled and joined, what comes up too.
static int unet(struct opcase *c, int x)
{
    int skip = block(c, block(c, x, 16, 32), 32, 32);
    int down = block(c, opcase_max_pool(c, skip, 2, 0), 32, 16);
    opcase_value(c, down);
    opcase_value(c, -1);
    opcase_weight_data(c, SHAPE(4), (float[]){1, 1, 2, 2});
    cs_node_add_string(&c->graph, opcase_node(c, "Resize", 1), "mode", "linear");
    int up = opcase_last(c);
    return opcase_conv(c, block(c, opcase_concat(c, skip, up), 48, 20), 20, 3, 1);
}

// The operands of a concatenation live as long as the last convolution that reads it.
static int two_readers(struct opcase *c, int x)
{
    int both = opcase_concat(c, block(c, x, 16, 16), opcase_unary(c, "Sigmoid", x));
    int first = block(c, both, 32, 48);
    for (int i = 0; i < 3; i++)
        first = block(c, first, 48, 48);
    return opcase_binary(c, "Add", first, opcase_conv(c, both, 32, 48, 3));
}

// A 1x1 convolution that maps parts, and adds.
static int shortcut(struct opcase *c, int x)
{
    int both = opcase_concat(c, opcase_unary(c, "Sigmoid", x), block(c, x, 16, 32));
    int main = opcase_conv(c, block(c, both, 48, 24), 24, 24, 3);
    return opcase_unary(c, "Relu", opcase_binary(c, "Add", main, opcase_conv(c, both, 48, 24, 1)));
}

// Read by a 1x1 convolution alone.
static int narrow(struct opcase *c, int x)
{
    return opcase_conv(c, opcase_concat(c, x, block(c, x, 16, 16)), 32, 8, 1);
}

// A transposed convolution maps its rows; one whose windows overlap does not.
static int rise(struct opcase *c, int x)
{
    int blocks[] = {block(c, x, 16, 24), block(c, x, 16, 24)}, up[2];
    for (int i = 0; i < 2; i++) {
        opcase_value(c, blocks[i]);
        opcase_weight(c, SHAPE(24, 12, 2 + i, 2 + i));
        opcase_weight(c, SHAPE(12));
        struct cs_node *node = opcase_node(c, "ConvTranspose", 1);
        cs_node_add_ints(&c->graph, node, "strides", (int64_t[]){2, 2}, 2);
        if (i)
            cs_node_add_ints(&c->graph, node, "pads", (int64_t[]){0, 0, 1, 1}, 4);
        up[i] = opcase_last(c);
    }
    return opcase_binary(c, "Add", up[0], up[1]);
}

static int over_channels(struct opcase *c, const char *op, int from)
{
    opcase_value(c, from);
    opcase_ints(c, (int64_t[]){1}, 1);
    opcase_node(c, op, 1);
    return opcase_last(c);
}

// Means and maxima of the same values, of pixels and of channels; a maximum before its mean is no
// twin.
static int attention(struct opcase *c, int x)
{
    int mean = opcase_unary(c, "GlobalAveragePool", x), most = opcase_unary(c, "GlobalMaxPool", x);
    int gated =
        opcase_binary(c, "Mul", x, opcase_unary(c, "Sigmoid", opcase_binary(c, "Add", mean, most)));
    mean = over_channels(c, "ReduceMean", gated);
    most = over_channels(c, "ReduceMax", gated);
    gated = opcase_binary(c, "Mul", gated,
                          opcase_unary(c, "Sigmoid", opcase_binary(c, "Add", mean, most)));
    most = opcase_unary(c, "GlobalMaxPool", gated);
    return opcase_binary(c, "Sub", opcase_unary(c, "GlobalAveragePool", gated), most);
}

// A block of CBAM-ResUNet: a norm adds another, which it maps, and takes along what pools want of
// the sum.
static int cbam(struct opcase *c, int x)
{
    int sum = opcase_binary(c, "Add", norm(c, opcase_conv(c, x, 16, 40, 3), 40, 0),
                            norm(c, opcase_conv(c, x, 16, 40, 1), 40, 0));
    sum = opcase_unary(c, "Relu", sum);
    int mean = opcase_unary(c, "GlobalAveragePool", sum),
        most = opcase_unary(c, "GlobalMaxPool", sum);
    int gated = opcase_binary(c, "Mul", sum,
                              opcase_unary(c, "Sigmoid", opcase_binary(c, "Add", mean, most)));
    mean = over_channels(c, "ReduceMean", gated);
    most = over_channels(c, "ReduceMax", gated);
    return opcase_binary(
        c, "Mul", gated,
        opcase_unary(c, "Sigmoid", opcase_conv(c, opcase_concat(c, mean, most), 2, 1, 7)));
}

// A residual block: the second norm adds, so only its statistics are gathered.
static int residual(struct opcase *c, int x)
{
    int sum =
        opcase_binary(c, "Add", norm(c, opcase_conv(c, block(c, x, 16, 16), 16, 16, 3), 16, 0), x);
    return norm(c, opcase_conv(c, opcase_unary(c, "Relu", sum), 16, 24, 3), 24, 4);
}

// HRNet's head: maps of several sizes are added up, normalised and read by a 1x1 convolution. A sum
// that something else reads too is made.
static int head(struct opcase *c, int x)
{
    int half = opcase_max_pool(c, x, 2, 0), quarter = opcase_max_pool(c, half, 2, 0),
        sum = opcase_conv(c, x, 16, 40, 1);
    sum = opcase_binary(c, "Add", sum, opcase_enlarge(c, opcase_conv(c, half, 16, 40, 1), 2));
    sum = opcase_binary(c, "Add", sum, opcase_enlarge(c, opcase_conv(c, quarter, 16, 40, 3), 4));
    sum = opcase_binary(c, "Add", sum, opcase_enlarge(c, opcase_conv(c, quarter, 16, 40, 1), 4));
    int out = opcase_conv(c, opcase_unary(c, "Relu", norm(c, sum, 40, 0)), 40, 3, 1);
    int other = opcase_binary(c, "Add", x, opcase_enlarge(c, half, 2));
    int last =
        opcase_unary(c, "Relu", opcase_binary(c, "Add", other, opcase_enlarge(c, quarter, 4)));
    last = opcase_binary(c, "Add", last, opcase_enlarge(c, half, 2));
    return opcase_binary(c, "Add", out,
                         opcase_conv(c, opcase_binary(c, "Mul", last, other), 16, 3, 1));
}

// Readers that cannot: another operator, an addition, two readers of the raw result, an output.
static int refused(struct opcase *c, int x)
{
    int a = opcase_conv(c, x, 16, 16, 3), b = norm(c, a, 16, 0);
    int sum = opcase_binary(c, "Add", opcase_unary(c, "Sigmoid", b), a);
    int d = norm(c, opcase_conv(c, sum, 16, 16, 3), 16, 2);
    int e = opcase_binary(c, "Add", opcase_conv(c, d, 16, 16, 3), d);
    int odd = opcase_concat(c, opcase_conv(c, e, 16, 17, 3), e);
    int twice = opcase_concat(c, odd, e);
    return norm(c, opcase_conv(c, opcase_conv(c, twice, 49, 16, 3), 16, 16, 3), 16, 0);
}

static const struct {
    int (*make)(struct opcase *, int x);
    struct counts late;
} nets[] = {
    {head, {0, 1, 1, 0, 2, 0}},        {unet, {1, 3, 4, 0, 0, 0}},
    {two_readers, {1, 4, 5, 0, 0, 0}}, {cbam, {0, 1, 2, 3, 0, 1}},
    {shortcut, {1, 2, 2, 0, 0, 0}},    {narrow, {1, 1, 1, 0, 0, 0}},
    {attention, {0, 0, 0, 2, 0, 1}},   {rise, {0, 1, 2, 0, 0, 0}},
    {residual, {0, 1, 3, 0, 0, 0}},    {refused, {0, 0, 3, 0, 0, 0}},
};
enum { NETS = sizeof nets / sizeof *nets };

static void make(struct opcase *c, int net)
{
    opcase_init(c, 21, 40 + (uint64_t)net);
    int x = opcase_input(c, SHAPE(BATCH, 16, SIZE + 3, SIZE + 5));
    if (nets[net].make == unet || nets[net].make == head) {
        opcase_release(c);
        opcase_init(c, 21, 40);
        x = opcase_input(c, SHAPE(BATCH, 16, SIZE, SIZE));
    }
    c->graph.values[x].shape.dim[0] = -1; // any batch
    c->pending_count = 0;
    nets[net].make(c, x);
    c->fused = true;
}

START_TEST(against_ref)
{
    struct opcase c;
    struct cs_err err = {0};
    isa_limit(_i / NETS);
    make(&c, _i % NETS);
    double error = opcase_difference(&c, "cpu", "ref", &err);
    ck_assert_msg(error >= 0, "%s", err.text);
    ck_assert_msg(error < 5e-6, "error %g", error);
    c.direct = true;
    error = opcase_difference(&c, "cpu", "ref", &err);
    ck_assert_msg(error >= 0 && error < 3e-6, "direct: error %g", error);
    opcase_release(&c);
}
END_TEST

START_TEST(left_out)
{
    struct opcase c;
    struct cs_err err = {0};
    struct cs_graph g;
    struct cs_device *device;
    struct cs_network *network;
    struct cs_plan *plan;
    const struct cs_backend *cpu = &cs_backend_cpu;
    make(&c, _i);
    ck_assert(cs_graph_infer(&c.graph, c.shapes, &g, &err) == 0);
    ck_assert(cs_graph_run_passes(&g, cpu->passes, &err) == 0);
    ck_assert(cpu->device_open(NULL, &device, &err) == 0);
    ck_assert(cpu->network_open(device, &network, &err) == 0);
    ck_assert(cpu->plan_open(network, &g, CS_FP32, false, &plan, &err) == 0);
    struct counts n = count_late(plan);
    ck_assert_int_eq(n.taken, nets[_i].late.taken);
    ck_assert_int_eq(n.gated, nets[_i].late.gated);
    if (device->kernels->winograd) {
        ck_assert_msg(n.joined == nets[_i].late.joined && n.mapped == nets[_i].late.mapped &&
                          n.gathered == nets[_i].late.gathered &&
                          n.chained == nets[_i].late.chained,
                      "net %d: %d joined, %d mapped, %d gathered, %d chained", _i, n.joined,
                      n.mapped, n.gathered, n.chained);
    }
    cpu->plan_close(plan);
    ck_assert(cpu->plan_open(network, &g, CS_FP32, true, &plan, &err) == 0);
    n = count_late(plan);
    ck_assert(n.joined + n.mapped + n.gathered + n.chained + n.gated == 0);
    cpu->plan_close(plan);
    cpu->network_close(network);
    cpu->device_close(device);
    cs_graph_release(&g);
    opcase_release(&c);
}
END_TEST

START_TEST(same_bytes)
{
    struct opcase c;
    isa_limit(_i / NETS);
    make(&c, _i % NETS);
    same_bytes_expect(&c);
    opcase_release(&c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu_late");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 60);
    tcase_add_loop_test(core, against_ref, 0, NETS * ISA_LIMITS);
    tcase_add_loop_test(core, same_bytes, 0, NETS * ISA_LIMITS);
    tcase_add_loop_test(core, left_out, 0, NETS);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
