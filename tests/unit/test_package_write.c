// SPDX-License-Identifier: MIT
// Descriptions written and read again: what comes back is what went in.
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/mem.h"
#include "model/package_derive.h"
#include "model/package_write.h"
#include "model/yaml.h"
#include "opcase.h"
#include "suite.h"

static struct cs_err err;

static void same_text(const char *a, const char *b)
{
    ck_assert_msg((!a && !b) || (a && b && strcmp(a, b) == 0), "'%s' and '%s'", a, b);
}

static void same_steps(const struct cs_tensor_spec *a, const struct cs_tensor_spec *b)
{
    ck_assert_int_eq(a->step_count, b->step_count);
    for (int i = 0; i < a->step_count; i++) {
        const struct cs_step *s = &a->steps[i], *t = &b->steps[i];
        ck_assert_int_eq(s->op, t->op);
        ck_assert_int_eq(s->count, t->count);
        ck_assert_int_eq(s->per_channel, t->per_channel);
        ck_assert_double_eq(s->eps, t->eps);
        same_text(s->dtype, t->dtype);
        int used =
            s->count == 1 && s->op == CS_STEP_SCALE_LINEAR ? CS_PACKAGE_MAX_CHANNELS : s->count;
        for (int c = 0; c < used; c++) {
            ck_assert_double_eq(s->a[c], t->a[c]);
            ck_assert_double_eq(s->b[c], t->b[c]);
        }
    }
}

static void same_tensor(const struct cs_tensor_spec *a, const struct cs_tensor_spec *b)
{
    same_text(a->name, b->name);
    same_text(a->type, b->type);
    same_text(a->test_path, b->test_path);
    same_text(a->test_sha256, b->test_sha256);
    ck_assert_int_eq(a->axis_count, b->axis_count);
    for (int i = 0; i < a->axis_count; i++) {
        ck_assert_int_eq(a->axes[i].kind, b->axes[i].kind);
        ck_assert_int_eq(a->axes[i].size, b->axes[i].size);
        ck_assert_int_eq(a->axes[i].step, b->axes[i].step);
        ck_assert_double_eq(a->axes[i].scale, b->axes[i].scale);
    }
    ck_assert_int_eq(a->channel_count, b->channel_count);
    for (int i = 0; i < a->channel_count; i++)
        same_text(a->channels[i], b->channels[i]);
    same_steps(a, b);
}

static void same_package(const struct cs_package *a, const struct cs_package *b)
{
    same_text(a->name, b->name);
    same_text(a->version, b->version);
    same_text(a->description, b->description);
    same_text(a->license, b->license);
    same_text(a->weights_path, b->weights_path);
    same_text(a->weights_sha256, b->weights_sha256);
    same_text(a->external_path, b->external_path);
    same_text(a->external_sha256, b->external_sha256);
    ck_assert_int_eq(a->input_count, b->input_count);
    ck_assert_int_eq(a->output_count, b->output_count);
    for (int i = 0; i < a->input_count; i++)
        same_tensor(&a->inputs[i], &b->inputs[i]);
    for (int i = 0; i < a->output_count; i++)
        same_tensor(&a->outputs[i], &b->outputs[i]);
    ck_assert_int_eq(a->fit, b->fit);
    ck_assert_int_eq(a->fit_height, b->fit_height);
    ck_assert_int_eq(a->fit_width, b->fit_width);
    ck_assert_int_eq(a->stride, b->stride);
    ck_assert_int_eq(a->input_channels, b->input_channels);
    ck_assert_int_eq(a->map_count, b->map_count);
    for (int i = 0; i < a->map_count; i++) {
        same_text(a->maps[i].name, b->maps[i].name);
        ck_assert_int_eq(a->maps[i].output, b->maps[i].output);
        ck_assert_int_eq(a->maps[i].channel, b->maps[i].channel);
    }
    ck_assert_int_eq(a->postprocess.count, b->postprocess.count);
    for (int i = 0; i < a->postprocess.count; i++) {
        same_text(a->postprocess.pairs[i].key, b->postprocess.pairs[i].key);
        same_text(a->postprocess.pairs[i].value, b->postprocess.pairs[i].value);
    }
}

// Write, read, compare; and write again: the same bytes.
static void there_and_back(const struct cs_package *p)
{
    struct cs_package again;
    struct cs_buf text = {0}, second = {0};
    cs_package_write(p, 17, &text);
    ck_assert_msg(cs_package_parse(&again, text.data, text.len, p->folder, &err) == 0, "%s\n%s",
                  err.text, text.data);
    same_package(p, &again);
    cs_package_write(&again, 17, &second);
    ck_assert_str_eq(text.data, second.data);
    cs_package_release(&again);
    cs_buf_release(&text);
    cs_buf_release(&second);
}

static void one_file(const char *path)
{
    struct cs_package p;
    struct cs_buf text = {0};
    ck_assert_msg(cs_read_file(path, 1 << 20, &text, &err) == 0, "%s", err.text);
    ck_assert_msg(cs_package_parse(&p, text.data, text.len, "some/folder", &err) == 0, "%s",
                  err.text);
    there_and_back(&p);
    cs_package_release(&p);
    cs_buf_release(&text);
}

START_TEST(core_files)
{
    const char *data = getenv("TESTDATA");
    static const char *const names[] = {"models/tiny", "models/pair", "../models/nuclei",
                                        "../models/spheroid"};
    ck_assert_ptr_nonnull(data);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = cs_xasprintf("%s/%s/rdf.yaml", data, names[i]);
        one_file(path);
        free(path);
    }
}
END_TEST

START_TEST(core_every_step)
{
    static const char text[] =
        "format_version: 0.5.4\ntype: model\nname: 'a: \"b\" # \\ \xc3\xa9'\nversion: 'null'\n"
        "description: \"two\\nlines\"\nlicense: 0.5\n"
        "weights: {onnx: {source: 'd e/w #1.onnx', sha256: '1e5',"
        " external_data: {source: w.onnx.data, sha256: '22'}}}\n"
        "inputs:\n- id: 'yes'\n  axes: [{type: batch}, {type: channel, channel_names: [r, '1', "
        "'']},"
        " {type: space, id: y, size: 512}, {type: space, id: x, size: {min: 32, step: 16}}]\n"
        "  preprocessing:\n"
        "  - {id: scale_range, kwargs: {axes: [y, x], min_percentile: 0.1, max_percentile: 99.8,"
        " eps: 0.001}}\n"
        "  - {id: zero_mean_unit_variance}\n"
        "  - {id: scale_linear, kwargs: {gain: [0.1, 0.2, 0.3], offset: 1}}\n"
        "  - {id: fixed_zero_mean_unit_variance, kwargs: {mean: 0.1, std: [1, 2, 3.5]}}\n"
        "  - {id: clip, kwargs: {min: -1.0e-300}}\n  - {id: clip, kwargs: {max: 2}}\n"
        "  - {id: ensure_dtype, kwargs: {dtype: float32}}\n"
        "outputs:\n- id: o\n  axes: [{type: batch}, {type: channel, channel_names: [a, b]},"
        " {type: space, id: y, size: 128}, {type: space, id: x, size: 16}]\n"
        "  postprocessing: [{id: softmax}, {id: sigmoid}, {id: binarize, kwargs: {threshold: "
        "0.3}}]\n"
        "  test_tensor: {source: sub/o.npy}\n"
        "config: {cellstream: {fit: resize, size: [512, 256], input_channels: rgb,"
        " channels: [on, '12'], postprocess: {threshold: 0.4, split: distance, x-y: 'true',"
        " z: '50um2', e: ''}}}\n";
    struct cs_package p;
    ck_assert_msg(cs_package_parse(&p, text, strlen(text), "f", &err) == 0, "%s", err.text);
    there_and_back(&p);
    cs_package_release(&p);
}
END_TEST

// A scalar alone.
static void scalar(const char *text)
{
    struct cs_buf out = {0};
    struct cs_arena arena = {0};
    const struct cs_yaml *root;
    cs_buf_adds(&out, "k: ");
    cs_yaml_put(&out, text);
    cs_buf_adds(&out, "\nl: [");
    cs_yaml_put(&out, text);
    cs_buf_adds(&out, ", x]\n");
    ck_assert_msg(cs_yaml_parse(&arena, out.data, out.len, &root, &err) == 0, "%s: %s", out.data,
                  err.text);
    const struct cs_yaml *k = cs_yaml_get(root, "k"), *l = cs_yaml_get(root, "l");
    ck_assert_msg(k && strcmp(k->text, text) == 0, "%s", out.data);
    ck_assert_msg(l && l->count == 2 && strcmp(l->first->value->text, text) == 0, "%s", out.data);
    cs_arena_release(&arena);
    cs_buf_release(&out);
}

START_TEST(core_scalars)
{
    static const char *const texts[] = {"",
                                        " ",
                                        "a ",
                                        "~",
                                        "null",
                                        "True",
                                        "no",
                                        "- a",
                                        "a: b",
                                        "a #b",
                                        "#a",
                                        "'",
                                        "\"",
                                        "\\",
                                        "{a}",
                                        "[a]",
                                        "a,b",
                                        "*a",
                                        "&a",
                                        "!a",
                                        "%a",
                                        "@a",
                                        "`a",
                                        "|",
                                        ">",
                                        "?",
                                        "1",
                                        "0x1",
                                        "1e5",
                                        ".5",
                                        "1:2",
                                        "a\nb",
                                        "a\tb",
                                        "---",
                                        "...",
                                        "<<",
                                        "=",
                                        "a/b.c-d (e)",
                                        "\xc3\xa9t\xc3\xa9",
                                        "x\xe2\x80\xa8y"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        scalar(texts[i]);
}
END_TEST

// ---- Deriving ------------------------------------------------------------------------------

static struct opcase net;
static struct cs_package made;

// A network of n channels in and m out with the stride 4, behind it `last` if not NULL.
static void network(int64_t n, int64_t m, int64_t side, const char *last)
{
    opcase_init(&net, 17, 1);
    opcase_input(&net, SHAPE(1, n, side, side));
    int64_t pads[] = {1, 1, 1, 1}, two[] = {2, 2};
    for (int i = 0; i < 2; i++) {
        opcase_weight(&net, SHAPE(4, i ? 4 : n, 3, 3));
        struct cs_node *node = opcase_node(&net, "Conv", 1);
        cs_node_add_ints(&net.graph, node, "pads", pads, 4);
        cs_node_add_ints(&net.graph, node, "strides", two, 2);
        if (i == 0)
            opcase_value(&net, net.graph.outputs[0]);
    }
    opcase_value(&net, net.graph.outputs[0]);
    opcase_weight(&net, SHAPE(4, m, 4, 4));
    struct cs_node *node = opcase_node(&net, "ConvTranspose", 1);
    cs_node_add_ints(&net.graph, node, "strides", (int64_t[]){4, 4}, 2);
    if (last) {
        opcase_value(&net, net.graph.outputs[0]);
        node = opcase_node(&net, last, 1);
        if (strcmp(last, "Softmax") == 0)
            cs_node_add_int(&net.graph, node, "axis", 1);
    }
    ck_assert_int_eq(cs_graph_finish(&net.graph, &err), 0);
}

static int derive(struct cs_derive_options o)
{
    cs_package_release(&made);
    made.folder = "f";
    made.weights_path = "f/w.onnx";
    o.name = "n";
    o.normalise = o.normalise ? o.normalise : "unit";
    return cs_package_derive(&made, &net.graph, &o, &err);
}
#define DERIVE(...) derive((struct cs_derive_options){__VA_ARGS__})
#define REFUSED(words, ...)                                                                        \
    do {                                                                                           \
        ck_assert_int_eq(DERIVE(__VA_ARGS__), -1);                                                 \
        ck_assert_int_eq(err.code, CS_EUSAGE);                                                     \
        ck_assert_msg(strstr(err.text, words) != NULL, "'%s' lacks '%s'", err.text, words);        \
    } while (0)

START_TEST(core_derive)
{
    network(3, 1, -1, NULL);
    ck_assert_msg(DERIVE(.license = "MIT") == 0, "%s", err.text);
    there_and_back(&made);
    ck_assert_int_eq(made.fit, CS_FIT_PAD);
    ck_assert_int_eq(made.stride, 4);
    ck_assert_int_eq(cs_tensor_axis(&made.inputs[0], CS_AXIS_Y)->size, 32);
    ck_assert_int_eq(cs_tensor_axis(&made.inputs[0], CS_AXIS_X)->step, 4);
    ck_assert_str_eq(made.inputs[0].channels[2], "blue");
    ck_assert_double_eq(made.inputs[0].steps[0].a[0], 1.0 / 255);
    ck_assert_int_eq(made.outputs[0].steps[0].op, CS_STEP_SIGMOID);
    ck_assert_str_eq(made.maps[0].name, "foreground");
    ck_assert_int_eq(DERIVE(.height = 64, .width = 128, .normalise = "imagenet"), 0);
    there_and_back(&made);
    ck_assert_int_eq(made.fit, CS_FIT_RESIZE);
    ck_assert_int_eq(made.fit_width, 128);
    ck_assert_double_eq_tol(made.inputs[0].steps[0].a[1], 116.28, 1e-9);
    ck_assert_int_eq(DERIVE(.normalise = "percentile:2,98"), 0);
    ck_assert_double_eq(made.inputs[0].steps[0].b[0], 98);
    REFUSED("--stride 2: output ", .stride = 2);
    REFUSED("multiples of 4", .height = 66, .width = 64);
    REFUSED("--fit resize needs --size", .fit = 1 + CS_FIT_RESIZE);
    REFUSED("--size goes with", .fit = 1 + CS_FIT_NATIVE, .height = 64, .width = 64);
    REFUSED("2 names, output", .maps = "a,b");
    REFUSED("no list of names", .maps = "a,,b");
    REFUSED("not known", .normalise = "percentiles");
    REFUSED("2 numbers", .normalise = "percentile:2");
    REFUSED("2 numbers", .normalise = "percentile:2,3,4");
    REFUSED("not in order", .normalise = "percentile:98,2");
    REFUSED("not above 0", .normalise = "unit:0");
    REFUSED("not a number", .normalise = "unit:x");
    opcase_release(&net);
    cs_package_release(&made);
}
END_TEST

START_TEST(core_probabilities)
{
    network(1, 1, 64, "Sigmoid");
    ck_assert_msg(DERIVE(.fit = 0) == 0, "%s", err.text);
    ck_assert_int_eq(made.outputs[0].step_count, 0);
    ck_assert_int_eq(made.fit, CS_FIT_RESIZE);
    ck_assert_int_eq(made.fit_height, 64);
    ck_assert_int_eq(cs_tensor_axis(&made.inputs[0], CS_AXIS_Y)->size, 64);
    REFUSED("a probability already (Sigmoid", .activation = "sigmoid");
    REFUSED("three channels", .normalise = "imagenet");
    REFUSED("takes 64x64", .height = 128, .width = 128);
    REFUSED("another --fit than resize cannot be", .fit = 1 + CS_FIT_PAD);
    REFUSED("--stride cannot be", .stride = 4);
    opcase_release(&net);

    network(1, 2, -1, "Softmax");
    ck_assert_int_eq(DERIVE(.fit = 0), 0);
    ck_assert_str_eq(made.maps[1].name, "foreground");
    opcase_release(&net);

    network(1, 3, -1, NULL);
    REFUSED("no probabilities: say --activation", .maps = "a,b,c");
    REFUSED("name them with --maps", .activation = "sigmoid");
    ck_assert_int_eq(DERIVE(.activation = "softmax", .maps = "foreground,edge,ground"), 0);
    there_and_back(&made);
    opcase_release(&net);
    cs_package_release(&made);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("package_write");
    TCase *core = tcase_create("core");
    tcase_add_test(core, core_files);
    tcase_add_test(core, core_every_step);
    tcase_add_test(core, core_scalars);
    tcase_add_test(core, core_derive);
    tcase_add_test(core, core_probabilities);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
