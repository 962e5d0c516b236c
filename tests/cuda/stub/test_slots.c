// SPDX-License-Identifier: MIT
// The backend "cuda" over the stub: the order of its calls, what it holds and gives back, and whole
// networks against "ref". Everything but the device itself is the product's.
#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/backend.h"
#include "base/mem.h"
#include "infer/estimate.h"
#include "infer/session.h"
#include "opcase.h"
#include "stub.h"
#include "suite.h"

enum { SIDE = 64 };
static const struct cs_session_key one = {.batch = 1, .height = SIDE, .width = SIDE};

static struct stub_counts (*counts)(void);
static void (*set_memory)(size_t);
static void (*set_others)(size_t);
static void (*fail_call)(int);
static void (*set_devices)(int);
static const struct cs_backend *cuda;
static struct cs_err err;

// The stub lies beside this program.
static void load(void)
{
    char program[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    program[n < 0 ? 0 : n] = '\0';
    *strrchr(program, '/') = '\0';
    setenv("CELLSTREAM_PLUGINS", program, 1);
    cuda = cs_backend_get("cuda", &err);
    if (!cuda) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    char *path = cs_xasprintf("%s/cuda.so", program);
    void *library = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
    free(path);
    *(void **)&counts = dlsym(library, "stub_counts");
    *(void **)&set_memory = dlsym(library, "stub_set_memory");
    *(void **)&set_others = dlsym(library, "stub_set_others");
    *(void **)&fail_call = dlsym(library, "stub_fail_call");
    *(void **)&set_devices = dlsym(library, "stub_set_devices");
}

static void check_clean(void)
{
    ck_assert_int_eq(counts().held, 0);
    ck_assert_int_eq(counts().broken, 0);
}

// ---- Convolutions ------------------------------------------------------------------------

struct window_case {
    const char *op;
    int64_t channels, outs, group, kernel, stride, dilation, pad, out_pad;
    bool bias, add;
    const char *activation;
};

static double difference(const struct window_case *w, enum cs_precision precision, uint64_t seed)
{
    bool transposed = strcmp(w->op, "ConvTranspose") == 0;
    struct opcase c;
    opcase_init(&c, 17, seed);
    c.own = cuda;
    c.precision = precision;
    c.fused = true;
    int in = opcase_input(&c, SHAPE(2, w->channels, 13, 10));
    if (w->add) { // a value of the output's shape that comes first
        opcase_weight(&c, SHAPE(w->outs, w->channels, 1, 1));
        opcase_node(&c, "Conv", 1);
    }
    int added = c.graph.value_count - 1;
    if (w->add)
        opcase_value(&c, in);
    opcase_weight(&c, transposed ? SHAPE(w->channels, w->outs / w->group, w->kernel, w->kernel)
                                 : SHAPE(w->outs, w->channels / w->group, w->kernel, w->kernel));
    if (w->bias)
        opcase_weight(&c, SHAPE(w->outs));
    struct cs_node *node = opcase_node(&c, w->op, 1);
    cs_node_add_ints(&c.graph, node, "pads", (int64_t[]){w->pad, w->pad, w->pad, w->pad}, 4);
    cs_node_add_ints(&c.graph, node, "strides", (int64_t[]){w->stride, w->stride}, 2);
    cs_node_add_ints(&c.graph, node, "dilations", (int64_t[]){w->dilation, w->dilation}, 2);
    cs_node_add_int(&c.graph, node, "group", w->group);
    if (w->out_pad)
        cs_node_add_ints(&c.graph, node, "output_padding", (int64_t[]){w->out_pad, w->out_pad}, 2);
    if (w->add) {
        opcase_value(&c, c.graph.value_count - 1);
        opcase_value(&c, added);
        opcase_node(&c, "Add", 1);
    }
    if (w->activation) {
        opcase_value(&c, c.graph.value_count - 1);
        opcase_node(&c, w->activation, 1);
    }
    double error = opcase_difference(&c, "cuda", "ref", &err);
    ck_assert_msg(error >= 0, "%s", err.text);
    opcase_release(&c);
    return error;
}

START_TEST(convolutions)
{
    static const struct window_case cases[] = {
        {"Conv", 3, 8, 1, 3, 1, 1, 1, 0, true, false, NULL},
        {"Conv", 3, 8, 1, 3, 2, 1, 1, 0, false, false, "Relu"},
        {"Conv", 8, 16, 1, 1, 1, 1, 0, 0, true, true, "Relu"},
        {"Conv", 8, 8, 1, 1, 1, 1, 0, 0, false, true, NULL},
        {"Conv", 5, 7, 1, 3, 1, 2, 2, 0, true, false, "LeakyRelu"},
        {"Conv", 8, 8, 8, 3, 1, 1, 1, 0, true, false, "Sigmoid"},
        {"Conv", 12, 8, 4, 5, 2, 1, 2, 0, true, false, "HardSwish"},
        {"ConvTranspose", 8, 4, 1, 2, 2, 1, 0, 0, true, false, "Relu"},
        {"ConvTranspose", 8, 4, 1, 2, 2, 1, 0, 0, false, false, NULL},
        {"ConvTranspose", 4, 6, 1, 3, 2, 1, 1, 1, true, false, "LeakyRelu"},
        {"ConvTranspose", 4, 6, 2, 4, 2, 1, 1, 0, true, false, NULL},
        {"ConvTranspose", 6, 3, 1, 3, 1, 2, 0, 0, false, false, "Tanh"},
    };
    ck_assert_double_lt(difference(&cases[_i], CS_FP32, (uint64_t)_i + 1), 2e-6);
    ck_assert_double_lt(difference(&cases[_i], CS_FP16, (uint64_t)_i + 1), 2e-3);
    check_clean();
}
END_TEST

// ---- Norms that convolutions do a part of ------------------------------------------------

static void convolve(struct opcase *c, int64_t outs, int64_t ins, int64_t kernel)
{
    opcase_weight(c, SHAPE(outs, ins, kernel, kernel));
    struct cs_node *node = opcase_node(c, "Conv", 1);
    int64_t pad = kernel / 2;
    cs_node_add_ints(&c->graph, node, "pads", (int64_t[]){pad, pad, pad, pad}, 4);
}

static int last_value(const struct opcase *c)
{
    return c->graph.nodes[c->graph.node_count - 1].outputs[0];
}

static void normalise(struct opcase *c, int64_t channels)
{
    opcase_value(c, last_value(c));
    opcase_weight_range(c, SHAPE(channels), 0.5, 2);
    opcase_weight(c, SHAPE(channels));
    opcase_node(c, "InstanceNormalization", 1);
}

static void apply_relu(struct opcase *c)
{
    opcase_value(c, last_value(c));
    opcase_node(c, "Relu", 1);
}

// A residual block and another whose result is joined with the image: norms that the next
// convolution applies, two that are added, and one that lies in the concatenation.
static void make_blocks(struct opcase *c, int64_t batch, int64_t height, int64_t outs)
{
    int in = opcase_input(c, SHAPE(batch, 8, height, 36));
    convolve(c, 16, 8, 1);
    normalise(c, 16);
    apply_relu(c);
    int first = last_value(c);
    for (int i = 0; i < 2; i++) {
        opcase_value(c, last_value(c));
        convolve(c, 24, 16, 3);
        normalise(c, 24);
        apply_relu(c);
        opcase_value(c, last_value(c));
        convolve(c, i ? outs : 16, 24, 3);
        normalise(c, i ? outs : 16);
        if (i)
            break;
        int made = last_value(c);
        opcase_value(c, first);
        convolve(c, 16, 16, 1);
        normalise(c, 16);
        opcase_value(c, made);
        opcase_value(c, last_value(c));
        opcase_node(c, "Add", 1);
        apply_relu(c);
    }
    int last = last_value(c);
    opcase_value(c, in);
    opcase_value(c, last);
    struct cs_node *node = opcase_node(c, "Concat", 1);
    cs_node_add_int(&c->graph, node, "axis", 1);
}

START_TEST(late_norms)
{
    static const struct {
        int64_t batch, height, outs;
        int sums, precision; // sums of one run of the graph
    } cases[] = {
        {1, 40, 16, 6, CS_FP16}, // all
        {1, 40, 12, 5, CS_FP16}, // cuDNN has no sums of 12 channels
        {2, 40, 16, 0, CS_FP16}, // two images are faster together
        {1, 20, 16, 0, CS_FP16}, // as many pixels as a block gets through at once
        {1, 40, 16, 0, CS_FP32},
    };
    struct opcase c;
    opcase_init(&c, 17, 5);
    c.own = cuda;
    c.precision = (enum cs_precision)cases[_i].precision;
    c.fused = true;
    make_blocks(&c, cases[_i].batch, cases[_i].height, cases[_i].outs);
    int before = counts().sums;
    double error = opcase_difference(&c, "cuda", "ref", &err);
    ck_assert_msg(error >= 0, "%s", err.text);
    ck_assert_msg(error < (cases[_i].precision == CS_FP16 ? 3e-3 : 2e-6), "error %g", error);
    int runs = 3; // the first, and two replays
    ck_assert_int_eq(counts().sums - before, runs * cases[_i].sums);
    opcase_release(&c);
    check_clean();
}
END_TEST

// ---- A network ---------------------------------------------------------------------------

struct running {
    struct cs_package package;
    struct cs_session *session;
    struct cs_session_info info;
};

static int start(struct running *r, const char *model, const char *device, int slots)
{
    const struct cs_session_options options = {.device = device, .slots = slots, .threads = 2};
    *r = (struct running){0};
    return cs_package_open(&r->package, model, &err) != 0
               ? -1
               : cs_session_open(&r->session, &r->package, &options, &r->info, &err);
}

static void stop(struct running *r)
{
    cs_session_close(r->session);
    cs_package_release(&r->package);
}

struct picture {
    uint16_t pixels[SIDE * SIDE];
    float maps[4 * SIDE * SIDE];
    struct cs_job job;
};

// A blob on noise; the whole image, as the network's plane has it.
static void draw(struct picture *p, const struct cs_session_info *info, int number)
{
    uint32_t noise = (uint32_t)number + 1;
    for (int i = 0; i < SIDE * SIDE; i++) {
        int x = i % SIDE - 20 - number, y = i / SIDE - 30;
        noise = noise * 1664525U + 1013904223U;
        p->pixels[i] = (uint16_t)((x * x + y * y < 150 ? 700U : 100U) + (noise >> 24));
    }
    p->job = (struct cs_job){.pixels = p->pixels,
                             .width = SIDE,
                             .height = SIDE,
                             .channels = 1,
                             .dtype = CS_U16,
                             .low = -10,
                             .high = 10,
                             .placement = CS_PLACE_COPY,
                             .out = p->maps,
                             .out_width = SIDE,
                             .out_height = SIDE,
                             .out_channels = (uint16_t)info->maps,
                             .out_dtype = CS_F32,
                             .part_width = SIDE,
                             .part_height = SIDE};
    for (int c = 0; c < CS_JOB_MAX_CHANNELS; c++) {
        p->job.scale[c] = 1.0F / 400;
        p->job.shift[c] = -1;
    }
    memcpy(p->job.out_from, info->sources, sizeof p->job.out_from);
}

static int run(struct running *r, int slot, struct picture *pictures, int count,
               enum cs_precision precision)
{
    struct cs_job jobs[4];
    for (int i = 0; i < count; i++)
        jobs[i] = pictures[i].job;
    const struct cs_session_key key = {
        .batch = count, .height = SIDE, .width = SIDE, .precision = precision};
    int result = cs_session_prepare(r->session, slot, &key, &err) != 0
                     ? -1
                     : cs_session_run(r->session, slot, jobs, count, &err);
    for (int i = 0; i < count; i++)
        pictures[i].job.nonfinite = jobs[i].nonfinite;
    return result;
}

static double map_difference(const struct picture *a, const struct picture *b, int maps)
{
    double error = 0;
    for (int i = 0; i < maps * SIDE * SIDE; i++) {
        double d = (double)a->maps[i] - (double)b->maps[i];
        error = d * d > error ? d * d : error;
    }
    return error;
}

START_TEST(same_maps_as_ref)
{
    static const enum cs_precision precisions[] = {CS_FP32, CS_TF32, CS_FP16};
    struct running a, b;
    struct picture *got = cs_xcalloc(2, sizeof *got), *expected = cs_xcalloc(2, sizeof *expected);
    ck_assert_msg(start(&a, "nuclei", "cuda", 1) == 0, "%s", err.text);
    ck_assert_msg(start(&b, "nuclei", "ref", 1) == 0, "%s", err.text);
    for (int i = 0; i < 2; i++) {
        draw(&got[i], &a.info, i);
        draw(&expected[i], &b.info, i);
    }
    ck_assert_int_eq(run(&b, 0, expected, 2, CS_FP32), 0);
    ck_assert_msg(run(&a, 0, got, 2, precisions[_i]) == 0, "%s", err.text);
    // What cs-model plan says without a device is what it has.
    struct cs_memory_use planned, use = cs_session_memory(a.session);
    ck_assert_int_eq(cs_estimate_cuda(cs_session_graph(a.session), precisions[_i], &planned, &err),
                     0);
    ck_assert_uint_eq(planned.arena, use.arena);
    ck_assert_double_eq_tol((double)planned.weights / (double)use.weights, 1, 0.02);
    for (int i = 0; i < 2; i++) {
        double limit = precisions[_i] == CS_FP16 ? 0.02 : 1e-5;
        double error = map_difference(&got[i], &expected[i], a.info.maps);
        ck_assert_msg(error < limit * limit, "differs by %g squared", error);
        ck_assert_uint_eq(got[i].job.nonfinite, 0);
    }
    stop(&a);
    stop(&b);
    check_clean();
    free(got);
    free(expected);
}
END_TEST

// ---- Order of calls ----------------------------------------------------------------------

START_TEST(nothing_after_warm_up)
{
    struct running r;
    struct picture *p = cs_xcalloc(2, sizeof *p);
    ck_assert_msg(start(&r, "nuclei", "cuda", 2) == 0, "%s", err.text);
    draw(&p[0], &r.info, 1);
    draw(&p[1], &r.info, 2);
    for (int slot = 0; slot < 2; slot++)
        ck_assert_int_eq(run(&r, slot, p, 2, CS_FP32), 0);
    struct stub_counts before = counts();
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(run(&r, i % 2, p, 2, CS_FP32), 0);
    struct stub_counts after = counts();
    ck_assert_int_eq(after.allocations, before.allocations);
    ck_assert_int_eq(after.releases, before.releases);
    ck_assert_int_eq(after.captures, before.captures);
    ck_assert_int_eq(after.device_waits, before.device_waits);
    ck_assert_int_eq(after.held, before.held);
    ck_assert_int_eq(after.waits - before.waits, 6);                   // one a batch
    ck_assert_int_eq(after.graph_launches - before.graph_launches, 6); // the network
    ck_assert_int_eq(after.launches - before.launches, 6 * 3);         // images and maps
    ck_assert_int_eq(after.copies - before.copies, 6 * 4);
    stop(&r);
    check_clean();
    free(p);
}
END_TEST

// A window of the picture, and the part of the maps that it gives.
static void cut_out(struct picture *p, int32_t x, int32_t y)
{
    p->job.x0 = x;
    p->job.y0 = y;
    p->job.part_x = (uint32_t)x;
    p->job.part_y = (uint32_t)y;
    p->job.part_width = p->job.part_height = SIDE / 2;
}

// Images in memory that is pinned: the same maps, whole and in tiles, by copies of their own and no
// other memory of the host; with one that is not among them, all are copied.
START_TEST(pinned_images)
{
    struct running r;
    struct picture *p = cs_xcalloc(2, sizeof *p), *plain = cs_xcalloc(2, sizeof *plain);
    uint32_t side = SIDE / 2;
    ck_assert_msg(start(&r, "nuclei", "cuda", 1) == 0, "%s", err.text);
    ck_assert_int_eq(cs_session_pin(r.session, p, 2 * sizeof *p, &err), 1);
    for (int i = 0; i < 2; i++) {
        draw(&p[i], &r.info, i);
        cut_out(&p[i], 5 + i, 20);
        plain[i] = p[i];
        plain[i].job.pixels = plain[i].pixels;
        plain[i].job.out = plain[i].maps;
        p[i].job.pinned = true;
    }
    struct cs_job jobs[2] = {p[0].job, p[1].job}, others[2] = {plain[0].job, plain[1].job};
    struct cs_job mixed[2] = {p[0].job, plain[1].job};
    const struct cs_session_key key = {.batch = 2, .height = side, .width = side};
    ck_assert_int_eq(cs_session_prepare(r.session, 0, &key, &err), 0);
    ck_assert_msg(cs_session_run(r.session, 0, jobs, 2, &err) == 0, "%s", err.text);
    struct stub_counts before = counts();
    ck_assert_int_eq(cs_session_run(r.session, 0, jobs, 2, &err), 0);
    struct stub_counts after = counts();
    ck_assert_int_eq(after.allocations, before.allocations);
    ck_assert_int_eq(after.copies - before.copies, 2 * (1 + 2)); // block and images, up and down
    ck_assert_int_eq(cs_session_run(r.session, 0, others, 2, &err), 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_mem_eq(p[i].maps, plain[i].maps, sizeof p[i].maps);
        memset(p[i].maps, 0, sizeof p[i].maps);
    }
    ck_assert_int_eq(cs_session_run(r.session, 0, mixed, 2, &err), 0);
    ck_assert_mem_eq(p[0].maps, plain[0].maps, sizeof p[0].maps);
    // The whole of a picture lies in one piece.
    for (int i = 0; i < 2; i++) {
        draw(&p[i], &r.info, i);
        plain[i] = p[i];
        plain[i].job.pixels = plain[i].pixels;
        plain[i].job.out = plain[i].maps;
        p[i].job.pinned = true;
    }
    ck_assert_int_eq(run(&r, 0, p, 2, CS_FP32), 0);
    ck_assert_int_eq(run(&r, 0, plain, 2, CS_FP32), 0);
    for (int i = 0; i < 2; i++)
        ck_assert_mem_eq(p[i].maps, plain[i].maps, sizeof p[i].maps);
    cs_session_unpin(r.session, p);
    stop(&r);
    check_clean();
    free(plain);
    free(p);
}
END_TEST

static int whole(struct picture *p)
{
    struct running r;
    char *model = cs_xasprintf("%s/models/tiny", getenv("TESTDATA"));
    int result = start(&r, model, "cuda", 1);
    free(model);
    if (result == 0) {
        draw(p, &r.info, 1);
        result = run(&r, 0, p, 1, CS_FP32);
    }
    stop(&r);
    return result;
}

// Whichever call fails, the failure is told and everything is given back: each of the first calls,
// then some, until a run needs fewer calls than that.
START_TEST(any_call_fails)
{
    struct picture *p = cs_xcalloc(1, sizeof *p);
    int n = 1, before = -1;
    for (; counts().failed != before; n += n < 20 ? 1 : n / 3) {
        before = counts().failed;
        fail_call(n);
        err.text[0] = '\0';
        int result = whole(p);
        fail_call(0);
        ck_assert_msg(counts().held == 0, "call %d: %d things are held", n, counts().held);
        ck_assert(result == 0 || *err.text);
    }
    ck_assert_int_gt(n, 200); // it got that far
    ck_assert_int_eq(whole(p), 0);
    check_clean();
    free(p);
}
END_TEST

START_TEST(no_memory)
{
    struct picture *p = cs_xcalloc(1, sizeof *p);
    set_memory(256 << 10);
    ck_assert_int_eq(whole(p), -1);
    ck_assert_int_eq(err.code, CS_ENOMEM);
    ck_assert_ptr_nonnull(strstr(err.text, "the device has"));
    check_clean();
    set_memory(0);
    ck_assert_int_eq(whole(p), 0);
    check_clean();
    free(p);
}
END_TEST

// Others may take memory at any time: the limit follows from what is free, a tenth of all is left
// alone, and below a twentieth nothing is kept for other images.
START_TEST(others_take_memory)
{
    const size_t all = (size_t)1 << 30;
    struct running r;
    struct picture *p = cs_xcalloc(2, sizeof *p), *before = cs_xcalloc(2, sizeof *before);
    set_others(all / 4 * 3);
    ck_assert_msg(start(&r, "nuclei", "cuda", 2) == 0, "%s", err.text);
    ck_assert_uint_eq(r.info.device_bytes, all / 4 - all / 10);
    set_others(0);
    draw(&p[0], &r.info, 1);
    draw(&p[1], &r.info, 2);
    for (int slot = 1; slot >= 0; slot--)
        ck_assert_msg(run(&r, slot, p, 2, CS_FP32) == 0, "%s", err.text);
    ck_assert_int_eq(run(&r, 0, p, 1, CS_FP32), 0);
    memcpy(before, p, 2 * sizeof *p);
    ck_assert(!cs_session_pressed(r.session, 1));

    set_others(all / 100 * 97);
    struct stub_counts two_plans = counts();
    ck_assert(!cs_session_pressed(r.session, 1.5)); // too soon
    ck_assert(cs_session_pressed(r.session, 3));
    cs_session_shed(r.session);
    ck_assert_int_lt(counts().held, two_plans.held);
    ck_assert_int_ge(counts().releases - two_plans.releases, 8); // all that a slot has
    ck_assert(!cs_session_pressed(r.session, 5));                // nothing more to give up
    memset(p[0].maps, 0, sizeof p[0].maps);
    ck_assert_msg(run(&r, 0, p, 1, CS_FP32) == 0, "%s", err.text); // its plan was kept
    ck_assert_mem_eq(p[0].maps, before[0].maps, sizeof p[0].maps);
    ck_assert_int_eq(run(&r, 0, p, 2, CS_FP32), -1); // a new plan is refused
    ck_assert_int_eq(err.code, CS_ENOMEM);
    ck_assert_ptr_nonnull(strstr(err.text, "the device has"));
    set_others(0);
    ck_assert_msg(run(&r, 0, p, 2, CS_FP32) == 0, "%s", err.text);
    ck_assert_mem_eq(p[1].maps, before[1].maps, sizeof p[1].maps);
    stop(&r);
    check_clean();
    free(before);
    free(p);
}
END_TEST

// A slot that memory does not suffice for in the end: the session goes on with those before it.
START_TEST(fewer_slots)
{
    struct running r;
    struct picture *p = cs_xcalloc(1, sizeof *p);
    ck_assert_msg(start(&r, "nuclei", "cuda", 4) == 0, "%s", err.text);
    draw(p, &r.info, 1);
    for (int slot = 0; slot < 2; slot++)
        ck_assert_int_eq(run(&r, slot, p, 1, CS_FP32), 0);
    set_others((size_t)1 << 30);
    ck_assert_int_eq(run(&r, 2, p, 1, CS_FP32), -1);
    ck_assert_int_eq(err.code, CS_ENOMEM);
    set_others(0);
    ck_assert(cs_session_retreat(r.session, 2));
    ck_assert_int_eq(cs_session_slots(r.session, &one), 0); // all idle
    ck_assert_int_eq(run(&r, 0, p, 1, CS_FP32), 0);
    ck_assert_int_eq(cs_session_slots(r.session, &one), 2);
    ck_assert_int_eq(run(&r, 1, p, 1, CS_FP32), 0);
    ck_assert(cs_session_retreat(r.session, 0));
    ck_assert(!cs_session_retreat(r.session, 0));
    stop(&r);
    check_clean();
    free(p);
}
END_TEST

START_TEST(no_device)
{
    struct cs_device *device;
    const struct cs_device_options second = {.detail = "1"}, none = {.detail = "x"};
    ck_assert_int_eq(cuda->device_open(&second, &device, &err), -1);
    ck_assert_str_eq(err.text, "cuda:1: there is 1 GPU, counted from 0");
    ck_assert_int_eq(cuda->device_open(&none, &device, &err), -1);
    ck_assert_int_eq(err.code, CS_EUSAGE);
    set_devices(-1);
    ck_assert_int_eq(cuda->device_open(NULL, &device, &err), -1);
    ck_assert_str_eq(err.text, "cuda: there is no NVIDIA driver (libcuda.so.1)");
    set_devices(0);
    ck_assert_int_eq(cuda->device_open(NULL, &device, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "shows no GPU"));
    set_devices(2);
    ck_assert_int_eq(cuda->device_open(&second, &device, &err), 0);
    cuda->device_close(device);
    check_clean();
}
END_TEST

// ---- Slots side by side ------------------------------------------------------------------

enum { SLOTS = 4, ROUNDS = 3 };

struct lane {
    struct running *r;
    int slot, result;
    struct picture picture;
};

static void *lane_main(void *context)
{
    struct lane *lane = context;
    struct cs_err own;
    for (int i = 0; i < ROUNDS && lane->result == 0; i++)
        lane->result = cs_session_run(lane->r->session, lane->slot, &lane->picture.job, 1, &own);
    return NULL;
}

START_TEST(four_slots)
{
    struct running r;
    struct lane *lanes = cs_xcalloc(SLOTS, sizeof *lanes);
    struct picture *alone = cs_xcalloc(1, sizeof *alone);
    pthread_t threads[SLOTS];
    ck_assert_msg(start(&r, "nuclei", "cuda", SLOTS) == 0, "%s", err.text);
    for (int i = 0; i < SLOTS; i++) {
        lanes[i].r = &r;
        lanes[i].slot = i;
        draw(&lanes[i].picture, &r.info, i);
        ck_assert_int_eq(cs_session_prepare(r.session, i, &one, &err), 0);
    }
    for (int i = 0; i < SLOTS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, lane_main, &lanes[i]), 0);
    for (int i = 0; i < SLOTS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < SLOTS; i++) {
        ck_assert_int_eq(lanes[i].result, 0);
        draw(alone, &r.info, i);
        ck_assert_int_eq(run(&r, 0, alone, 1, CS_FP32), 0);
        ck_assert_mem_eq(alone->maps, lanes[i].picture.maps,
                         (size_t)r.info.maps * SIDE * SIDE * sizeof(float));
    }
    stop(&r);
    check_clean();
    free(lanes);
    free(alone);
}
END_TEST

int main(void)
{
    load();
    Suite *suite = suite_create("cuda slots");
    TCase *core = tcase_create("core");
    tcase_add_loop_test(core, convolutions, 0, 12);
    tcase_add_loop_test(core, late_norms, 0, 5);
    tcase_add_loop_test(core, same_maps_as_ref, 0, 3);
    tcase_add_test(core, nothing_after_warm_up);
    tcase_add_test(core, pinned_images);
    tcase_add_test(core, no_memory);
    tcase_add_test(core, others_take_memory);
    tcase_add_test(core, fewer_slots);
    tcase_add_test(core, no_device);
    tcase_add_test(core, four_slots);
    tcase_add_test(core, any_call_fails);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
