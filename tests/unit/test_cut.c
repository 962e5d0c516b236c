// SPDX-License-Identifier: MIT
// graph/cut.c: what is computed for a part of a known network, and that inside of the part nothing
// changes: networks of every local operator, put together at random, on "ref" to the bit.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "opcase.h"
#include "suite.h"

enum { HEIGHT = 96, WIDTH = 72, RANDOM_NETWORKS = 120 };

static struct cs_err err;
static bool rounds; // a weight of the network depends on where it is, in its last bit

// ---- Networks, node by node -----------------------------------------------------------------

static int conv_of(struct opcase *c, int value, int64_t from, int64_t to, int64_t kernel,
                   int64_t stride, int64_t dilation)
{
    int64_t reach = (kernel - 1) * dilation, before = opcase_pick(c, 0, reach);
    opcase_value(c, value);
    opcase_weight(c, SHAPE(to, from, kernel, kernel));
    struct cs_node *node = opcase_node(c, "Conv", 1);
    if (stride > 1)
        before = reach / 2;
    const int64_t pads[] = {before, reach / 2, reach - before, reach - reach / 2};
    cs_node_add_ints(&c->graph, node, "pads", pads, 4);
    cs_node_add_ints(&c->graph, node, "strides", (int64_t[]){stride, stride}, 2);
    cs_node_add_ints(&c->graph, node, "dilations", (int64_t[]){dilation, dilation}, 2);
    return opcase_last(c);
}

static int node_of(struct opcase *c, const char *op, int value)
{
    opcase_value(c, value);
    opcase_node(c, op, 1);
    return opcase_last(c);
}

static int join(struct opcase *c, const char *op, int a, int b)
{
    opcase_value(c, a);
    opcase_value(c, b);
    struct cs_node *node = opcase_node(c, op, 1);
    if (strcmp(op, "Concat") == 0)
        cs_node_add_int(&c->graph, node, "axis", 1);
    return opcase_last(c);
}

static int pool(struct opcase *c, const char *op, int value, int64_t kernel, int64_t stride)
{
    int64_t before = (kernel - stride) / 2, after = kernel - stride - before;
    opcase_value(c, value);
    struct cs_node *node = opcase_node(c, op, 1);
    cs_node_add_ints(&c->graph, node, "kernel_shape", (int64_t[]){kernel, kernel}, 2);
    cs_node_add_ints(&c->graph, node, "strides", (int64_t[]){stride, stride}, 2);
    cs_node_add_ints(&c->graph, node, "pads", (int64_t[]){before, before, after, after}, 4);
    return opcase_last(c);
}

// To a known size, or by a factor.
static int resize(struct opcase *c, int value, const char *coord, const char *mode,
                  const int64_t *sizes, float factor)
{
    opcase_value(c, value);
    opcase_value(c, -1);
    if (sizes) {
        opcase_value(c, -1);
        opcase_ints(c, sizes, 4);
    } else {
        opcase_weight_data(c, SHAPE(4), (float[]){1, 1, factor, factor});
    }
    struct cs_node *node = opcase_node(c, "Resize", 1);
    cs_node_add_string(&c->graph, node, "coordinate_transformation_mode", coord);
    cs_node_add_string(&c->graph, node, "mode", mode);
    if (opcase_pick(c, 0, 1))
        cs_node_add_string(&c->graph, node, "keep_aspect_ratio_policy", "stretch");
    if (factor < 1)
        cs_node_add_int(&c->graph, node, "antialias", opcase_pick(c, 0, 1));
    return opcase_last(c);
}

static int transposed(struct opcase *c, int value, int64_t kernel, int64_t stride, int64_t pad,
                      int64_t extra)
{
    opcase_value(c, value);
    opcase_weight(c, SHAPE(2, 2, kernel, kernel));
    struct cs_node *node = opcase_node(c, "ConvTranspose", 1);
    cs_node_add_ints(&c->graph, node, "strides", (int64_t[]){stride, stride}, 2);
    cs_node_add_ints(&c->graph, node, "pads", (int64_t[]){pad, pad, pad, pad}, 4);
    cs_node_add_ints(&c->graph, node, "output_padding", (int64_t[]){extra, extra}, 2);
    return opcase_last(c);
}

// ---- Networks at random: all values have two channels ----------------------------------------

static int block(struct opcase *c, int value)
{
    int made = value, a;
    switch (opcase_pick(c, 0, 8)) {
    case 0:
        return conv_of(c, value, 2, 2, 5, 1, 1);
    case 1:
        return conv_of(c, value, 2, 2, 2, 1, 1);
    case 2:
        return conv_of(c, value, 2, 2, 3, 1, 2);
    case 3: // residual, with a convolution on the way past
        made = conv_of(c, node_of(c, "Relu", conv_of(c, value, 2, 2, 3, 1, 1)), 2, 2, 3, 1, 1);
        return join(c, "Add", made, conv_of(c, value, 2, 2, 1, 1, 1));
    case 4: // residual
        return join(c, "Add", conv_of(c, value, 2, 2, 3, 1, 1), value);
    case 5: // gated by the whole plane
        a = node_of(c, "Sigmoid", node_of(c, "GlobalAveragePool", value));
        return join(c, "Mul", value, a);
    case 6: // pads of its own
        opcase_value(c, value);
        opcase_ints(c, (int64_t[]){0, 0, 2, 1, 0, 0, 0, 1}, 8);
        cs_node_add_string(&c->graph, opcase_node(c, "Pad", 1), "mode",
                           opcase_pick(c, 0, 1) ? "reflect" : "constant");
        opcase_value(c, opcase_last(c));
        opcase_weight(c, SHAPE(2, 2, 3, 3));
        opcase_node(c, "Conv", 1);
        return opcase_last(c);
    case 7: // channel by channel, and back
        opcase_value(c, value);
        cs_node_add_int(&c->graph, opcase_node(c, "Split", 2), "axis", 1);
        a = c->graph.nodes[c->graph.node_count - 1].outputs[0];
        made = c->graph.nodes[c->graph.node_count - 1].outputs[1];
        return join(c, "Concat", conv_of(c, made, 1, 1, 3, 1, 1), a);
    default:
        return conv_of(c, value, 2, 2, 3, 1, 1);
    }
}

static int down(struct opcase *c, int value, int64_t by)
{
    if (by == 3)
        return opcase_pick(c, 0, 1) ? pool(c, "MaxPool", value, 3, 3)
                                    : conv_of(c, value, 2, 2, 3, 3, 1);
    switch (opcase_pick(c, 0, 6)) {
    case 0:
        return conv_of(c, value, 2, 2, 3, 2, 1);
    case 1:
        return pool(c, "AveragePool", value, 4, 2);
    case 2:
        return resize(c, value, "half_pixel", "linear", NULL, 0.5f);
    case 3:
        return resize(c, value, "asymmetric", "nearest", NULL, 0.5f);
    case 4:
        opcase_value(c, value);
        cs_node_add_int(&c->graph, opcase_node(c, "SpaceToDepth", 1), "blocksize", 2);
        return conv_of(c, opcase_last(c), 8, 2, 1, 1, 1);
    case 5: // pads that follow from the size
        opcase_value(c, value);
        opcase_weight(c, SHAPE(2, 2, 3, 3));
        cs_node_add_ints(&c->graph, opcase_node(c, "Conv", 1), "strides", (int64_t[]){2, 2}, 2);
        cs_node_add_string(&c->graph, &c->graph.nodes[c->graph.node_count - 1], "auto_pad",
                           "SAME_UPPER");
        return opcase_last(c);
    default:
        return pool(c, "MaxPool", value, 2, 2);
    }
}

// scale: of what comes out.
static int up(struct opcase *c, int value, int64_t by, int64_t scale)
{
    static const char *const coords[] = {"half_pixel", "asymmetric", "pytorch_half_pixel",
                                         "align_corners"};
    static const char *const modes[] = {"nearest", "linear", "cubic"};
    const char *coord = coords[opcase_pick(c, 0, 12) % 5 % 4], *mode = modes[opcase_pick(c, 0, 2)];
    const int64_t sizes[] = {1, 2, HEIGHT / scale, WIDTH / scale};
    int kind = (int)opcase_pick(c, 0, 6);
    rounds = rounds || by == 3;
    if (kind == 0)
        return resize(c, value, coord, mode, sizes, 0);
    if (kind == 1)
        return transposed(c, value, by, by, 0, 0);
    if (kind == 2 && by == 2)
        return transposed(c, value, 4, 2, 1, 0);
    if (kind == 3 && by == 2)
        return transposed(c, value, 3, 2, 1, 1);
    if (kind == 4) {
        value = conv_of(c, value, 2, 2 * by * by, 1, 1, 1);
        opcase_value(c, value);
        cs_node_add_int(&c->graph, opcase_node(c, "DepthToSpace", 1), "blocksize", by);
        return opcase_last(c);
    }
    return resize(c, value, coord, mode, NULL, (float)by);
}

static int level(struct opcase *c, int value, int64_t scale, int depth)
{
    int64_t by = scale % 3 && opcase_pick(c, 0, 3) == 0 ? 3 : 2;
    int skip = block(c, value), made = skip;
    if (depth > 0) {
        made = block(c, level(c, block(c, down(c, skip, by)), scale * by, depth - 1));
        made = up(c, made, by, scale);
        made = opcase_pick(c, 0, 1) ? join(c, "Add", made, skip)
                                    : conv_of(c, join(c, "Concat", skip, made), 4, 2, 1, 1, 1);
    }
    return block(c, made);
}

// ---- Whole and cut --------------------------------------------------------------------------

enum { MAX_OUTPUTS = 3 };

struct result {
    struct cs_shape shapes[MAX_OUTPUTS];
    float *values[MAX_OUTPUTS];
    int count;
    int64_t origin[2], elements; // of all values together
};

static void run(const struct opcase *c, const char *name, const struct cs_part *part,
                struct result *r)
{
    const struct cs_backend *b = cs_backend_get(name, &err);
    struct cs_device_options options = {.threads = 1};
    struct cs_graph g;
    struct cs_device *device = NULL;
    struct cs_network *network = NULL;
    struct cs_plan *plan = NULL;
    struct cs_slot *slot = NULL;
    void *outputs[MAX_OUTPUTS];
    *r = (struct result){.count = c->graph.output_count};
    ck_assert_msg(cs_graph_infer(&c->graph, c->shapes, &g, &err) == 0, "%s", err.text);
    if (part)
        ck_assert_msg(cs_graph_cut(&g, part, r->origin, &err) == 0, "%s", err.text);
    ck_assert_msg(cs_graph_run_passes(&g, b->passes, &err) == 0, "%s", err.text);
    for (int n = 0; n < g.node_count; n++)
        r->elements += cs_shape_elements(&g.values[g.nodes[n].outputs[0]].shape);
    for (int i = 0; i < r->count; i++) {
        r->shapes[i] = g.values[g.outputs[i]].shape;
        r->values[i] = cs_xcalloc((size_t)cs_shape_elements(&r->shapes[i]), sizeof(float));
        outputs[i] = r->values[i];
    }
    ck_assert(b->device_open(&options, &device, &err) == 0 &&
              b->network_open(device, &network, &err) == 0);
    ck_assert_msg(b->plan_open(network, &g, CS_FP32, true, &plan, &err) == 0, "%s", err.text);
    ck_assert_msg(b->slot_open(network, &plan, 1, &slot, &err) == 0 &&
                      b->run_tensors(slot, plan, c->data, outputs, &err) == 0,
                  "%s", err.text);
    b->slot_close(slot);
    b->plan_close(plan);
    b->network_close(network);
    b->device_close(device);
    cs_graph_release(&g);
}

static void release(struct result *r)
{
    for (int i = 0; i < r->count; i++)
        free(r->values[i]);
}

// The part's values, whole and cut, differ by so much of the largest at most.
static void same_part(const struct result *whole, const struct result *cut,
                      const struct cs_part *part, double tolerance)
{
    for (int i = 0; i < whole->count; i++) {
        const int64_t *a = whole->shapes[i].dim, *b = cut->shapes[i].dim;
        double worst = 0, largest = 0;
        ck_assert_int_eq(a[1], b[1]);
        for (int64_t ch = 0; ch < a[1]; ch++)
            for (int64_t y = part->begin[0]; y < part->end[0]; y++)
                for (int64_t x = part->begin[1]; x < part->end[1]; x++) {
                    int64_t cy = y - cut->origin[0], cx = x - cut->origin[1];
                    ck_assert(cy >= 0 && cy < b[2] && cx >= 0 && cx < b[3]);
                    double p = (double)whole->values[i][(ch * a[2] + y) * a[3] + x];
                    double q = (double)cut->values[i][(ch * b[2] + cy) * b[3] + cx];
                    worst = fmax(worst, fabs(p - q));
                    largest = fmax(largest, fabs(p));
                }
        ck_assert_msg(worst <= tolerance * largest, "output %d differs by %g of %g", i, worst,
                      largest);
    }
}

static struct cs_part random_part(struct opcase *c)
{
    static const int64_t sizes[] = {HEIGHT, WIDTH};
    struct cs_part part;
    for (int a = 0; a < 2; a++) {
        int64_t begin = opcase_pick(c, -sizes[a] / 2, sizes[a] - 1);
        int64_t end = opcase_pick(c, 1, sizes[a] * 3 / 2);
        part.begin[a] = begin < 0 ? 0 : begin;
        part.end[a] = end > sizes[a] ? sizes[a] : end;
        if (part.end[a] <= part.begin[a])
            part.end[a] = part.begin[a] + 1;
    }
    return part;
}

START_TEST(core_random)
{
    struct opcase c;
    struct result whole, cut;
    opcase_init(&c, 18, 100 + (uint64_t)_i);
    rounds = false;
    int input = opcase_input(&c, SHAPE(1, 2, HEIGHT, WIDTH));
    c.pending_count = 0;
    int made = level(&c, conv_of(&c, input, 2, 2, 3, 1, 1), 1, (int)opcase_pick(&c, 0, 3));
    if (_i % 4 == 0) { // two outputs that need different parts of what is before them
        int other = conv_of(&c, made, 2, 1, 5, 1, 1);
        node_of(&c, "Relu", made);
        cs_graph_add_output(&c.graph, other);
    }
    struct cs_part part = random_part(&c);
    run(&c, "ref", NULL, &whole);
    run(&c, "ref", &part, &cut);
    same_part(&whole, &cut, &part, rounds ? 1e-5 : 0);
    ck_assert_int_le(cut.elements, 2 * whole.elements);
    release(&cut);
    run(&c, "cpu", &part, &cut);
    same_part(&whole, &cut, &part, 1e-4);
    release(&cut);
    release(&whole);
    opcase_release(&c);
}
END_TEST

// ---- Regions of known networks ----------------------------------------------------------------

// One level of a U-Net, concatenated or added; its input.
static void level_of_unet(struct opcase *c, const char *coord, const char *mode)
{
    opcase_init(c, 17, 5);
    int input = opcase_input(c, SHAPE(1, 2, 256, 256));
    c->pending_count = 0;
    int skip = conv_of(c, input, 2, 2, 1, 1, 1);
    int deep = conv_of(c, pool(c, "MaxPool", skip, 2, 2), 2, 2, 31, 1, 1);
    join(c, "Concat", skip, resize(c, deep, coord, mode, NULL, 2));
    conv_of(c, opcase_last(c), 4, 1, 1, 1, 1);
}

static struct cs_graph cut_graph(struct opcase *c, struct cs_part part, int64_t origin[2])
{
    struct cs_graph g;
    ck_assert_msg(cs_graph_infer(&c->graph, c->shapes, &g, &err) == 0, "%s", err.text);
    ck_assert_msg(cs_graph_cut(&g, &part, origin, &err) == 0, "%s", err.text);
    return g;
}

static const struct cs_value *output_of(const struct cs_graph *g, const char *op, int from_end)
{
    for (int n = g->node_count - 1; n >= 0; n--)
        if (strcmp(g->nodes[n].op, op) == 0 && from_end-- == 0)
            return &g->values[g->nodes[n].outputs[0]];
    return NULL;
}

static int count_of(const struct cs_graph *g, const char *op)
{
    int count = 0;
    for (int n = 0; n < g->node_count; n++)
        count += strcmp(g->nodes[n].op, op) == 0;
    return count;
}

START_TEST(core_regions)
{
    struct opcase c;
    int64_t origin[2];
    level_of_unet(&c, "asymmetric", "nearest");
    // In the middle: the deep path needs 15 of its pixels, 30 of the input's, around the part.
    struct cs_graph g = cut_graph(&c, (struct cs_part){{101, 64}, {155, 192}}, origin);
    ck_assert_int_eq(output_of(&g, "Conv", 0)->shape.dim[2], 56); // 100 to 156
    ck_assert_int_eq(output_of(&g, "Conv", 0)->shape.dim[3], 128);
    ck_assert_int_eq(origin[0], 100);
    ck_assert_int_eq(origin[1], 64);
    ck_assert_int_eq(output_of(&g, "MaxPool", 0)->shape.dim[2], 128); // a copy is smaller behind it
    ck_assert_int_eq(output_of(&g, "Conv", 1)->shape.dim[2], 28 + 30);
    ck_assert_int_eq(output_of(&g, "Resize", 0)->shape.dim[2], 56);
    ck_assert_int_gt(count_of(&g, "Slice"), 0);
    cs_graph_release(&g);

    // At the plane's own ends nothing is cut.
    g = cut_graph(&c, (struct cs_part){{0, 0}, {128, 256}}, origin);
    ck_assert_int_eq(origin[0], 0);
    ck_assert_int_eq(output_of(&g, "Conv", 0)->shape.dim[2], 128);
    ck_assert_int_eq(output_of(&g, "Conv", 0)->shape.dim[3], 256);
    cs_graph_release(&g);
    g = cut_graph(&c, (struct cs_part){{0, 0}, {256, 256}}, origin);
    ck_assert_int_eq(count_of(&g, "Slice"), 0);
    cs_graph_release(&g);
    opcase_release(&c);

    // Corners of the deep plane lie on corners of the other: all of it is needed, and made.
    level_of_unet(&c, "align_corners", "linear");
    g = cut_graph(&c, (struct cs_part){{64, 64}, {128, 128}}, origin);
    ck_assert_int_eq(output_of(&g, "Resize", 0)->shape.dim[2], 256);
    cs_graph_release(&g);
    opcase_release(&c);
}
END_TEST

// Statistics of the whole plane need it, behind them a part will do.
START_TEST(core_not_local)
{
    struct opcase c;
    int64_t origin[2];
    opcase_init(&c, 17, 6);
    int input = opcase_input(&c, SHAPE(1, 2, 64, 64));
    c.pending_count = 0;
    int made = conv_of(&c, input, 2, 2, 3, 1, 1);
    opcase_value(&c, made);
    opcase_weight(&c, SHAPE(2));
    opcase_weight(&c, SHAPE(2));
    opcase_node(&c, "InstanceNormalization", 1);
    conv_of(&c, opcase_last(&c), 2, 8, 3, 1, 1);
    struct cs_graph g = cut_graph(&c, (struct cs_part){{16, 16}, {32, 32}}, origin);
    ck_assert_int_eq(output_of(&g, "InstanceNormalization", 0)->shape.dim[2], 64);
    ck_assert_int_eq(output_of(&g, "Conv", 0)->shape.dim[2], 18);
    ck_assert(origin[0] >= 14 && origin[0] <= 16);
    cs_graph_release(&g);
    opcase_release(&c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cut");
    TCase *core = tcase_create("core");
    tcase_add_loop_test(core, core_random, 0, RANDOM_NETWORKS);
    tcase_add_test(core, core_regions);
    tcase_add_test(core, core_not_local);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
