// SPDX-License-Identifier: MIT
// Package descriptions: both spellings, what is refused, paths, hostile YAML.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "model/package.h"
#include "model/yaml.h"
#include "suite.h"

static const char head05[] = "format_version: 0.5.4\ntype: model\nname: t\n";
static const char weights[] = "weights: {onnx: {source: w.onnx, sha256: abc}}\n";
static const char in05[] = "inputs:\n"
                           "- id: raw\n"
                           "  axes: [{type: batch}, {type: channel, channel_names: [r, g, b]},\n"
                           "         {type: space, id: y, size: {min: 32, step: 16}},\n"
                           "         {type: space, id: x, size: {min: 64, step: 16}}]\n"
                           "  data: {type: float32}\n"
                           "  preprocessing:\n";
static const char out05[] = "outputs:\n"
                            "- id: p\n"
                            "  axes: [{type: batch}, {type: channel, channel_names: [a, b]},\n"
                            "         {type: space, id: y, size: {tensor_id: raw, axis_id: y}},\n"
                            "         {type: space, id: x, size: {tensor_id: raw, axis_id: x}}]\n"
                            "  postprocessing: [{id: sigmoid}]\n";

static struct cs_package package;
static struct cs_err err;

// The pieces as one description.
static int parse(const char *const *pieces)
{
    struct cs_buf text = {0};
    for (; *pieces; pieces++)
        cs_buf_adds(&text, *pieces);
    cs_package_release(&package);
    int result = cs_package_parse(&package, text.data, text.len, "models/t", &err);
    cs_buf_release(&text);
    return result;
}
#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

static int parse_step(const char *step)
{
    return PARSE(head05, weights, in05, step, out05);
}

static void refused(int result, const char *words)
{
    ck_assert_int_eq(result, -1);
    ck_assert_int_eq(err.code, CS_EMODEL);
    ck_assert_msg(strstr(err.text, words) != NULL, "'%s' lacks '%s'", err.text, words);
}

START_TEST(core_05)
{
    ck_assert_int_eq(PARSE(head05, weights, in05,
                           "  - id: scale_range\n"
                           "    kwargs: {axes: [channel, y, x], min_percentile: 1,"
                           " max_percentile: 99.8, eps: 0.001}\n"
                           "  - {id: clip, kwargs: {min: -0.5, max: 2}}\n"
                           "  test_tensor: {source: in.npy, sha256: ff}\n",
                           out05,
                           "config: {cellstream: {version: 1, channels: [foreground, distance],"
                           " fit: pad, stride: 32, input_channels: mean,"
                           " postprocess: {threshold: 0.4, seed_depth: 0.1, fill_holes: true}}}\n"),
                     0);
    ck_assert_str_eq(package.name, "t");
    ck_assert_str_eq(package.short_name, "t");
    ck_assert_str_eq(package.weights_path, "models/t/w.onnx");
    ck_assert_str_eq(package.weights_sha256, "abc");
    const struct cs_tensor_spec *in = &package.inputs[0];
    ck_assert_int_eq(in->channel_count, 3);
    ck_assert_str_eq(in->channels[2], "b");
    ck_assert_int_eq(cs_tensor_axis(in, CS_AXIS_X)->size, 64);
    ck_assert_int_eq(cs_tensor_axis(in, CS_AXIS_X)->step, 16);
    ck_assert_int_eq(in->step_count, 2);
    ck_assert_int_eq(in->steps[0].op, CS_STEP_SCALE_RANGE);
    ck_assert(!in->steps[0].per_channel);
    ck_assert_double_eq(in->steps[0].b[0], 99.8);
    ck_assert_double_eq(in->steps[0].eps, 0.001);
    ck_assert_double_eq(in->steps[1].a[0], -0.5);
    ck_assert_str_eq(in->test_path, "models/t/in.npy");
    ck_assert_str_eq(in->test_sha256, "ff");
    ck_assert_int_eq(package.outputs[0].steps[0].op, CS_STEP_SIGMOID);
    ck_assert_int_eq(package.fit, CS_FIT_PAD);
    ck_assert_int_eq(package.stride, 32);
    ck_assert_int_eq(package.input_channels, CS_INPUT_MEAN);
    ck_assert_str_eq(package.maps[1].name, "distance");
    ck_assert_int_eq(package.maps[1].channel, 1);
    ck_assert_int_eq(package.map_output, 0);
    ck_assert(package.maps_chosen);
    ck_assert_str_eq(cs_meta_get(&package.postprocess, "seed-depth"), "0.1");
    ck_assert_str_eq(cs_meta_get(&package.postprocess, "fill-holes"), "true");
    cs_package_release(&package);
}
END_TEST

START_TEST(core_04)
{
    ck_assert_int_eq(
        PARSE("format_version: 0.4.10\ntype: model\nname: t\n", weights,
              "inputs:\n- name: raw\n  axes: bcyx\n"
              "  shape: {min: [1, 1, 64, 32], step: [0, 0, 16, 8]}\n  data_type: float32\n"
              "  preprocessing:\n"
              "  - name: zero_mean_unit_variance\n"
              "    kwargs: {mode: per_sample, axes: yx}\n"
              "  - name: scale_linear\n    kwargs: {gain: [2.0], offset: [1.0], axes: xy}\n"
              "outputs:\n- name: p\n  axes: bcyx\n  data_type: float32\n"
              "  shape: {reference_tensor: raw, scale: [1, 1, 1, 1], offset: [0, 0, 0, 0]}\n"
              "test_inputs: [i.npy]\ntest_outputs: [o.npy]\n"),
        0);
    const struct cs_tensor_spec *in = &package.inputs[0];
    ck_assert_int_eq(cs_tensor_axis(in, CS_AXIS_Y)->size, 64);
    ck_assert_int_eq(cs_tensor_axis(in, CS_AXIS_X)->step, 8);
    ck_assert_int_eq(in->channel_count, 1);
    ck_assert(in->steps[0].per_channel);
    ck_assert_double_eq(in->steps[1].a[0], 2);
    ck_assert_str_eq(package.outputs[0].test_path, "models/t/o.npy");
    ck_assert_int_eq(package.fit, CS_FIT_PAD);
    ck_assert_int_eq(package.stride, 16);
    cs_package_release(&package);
}
END_TEST

START_TEST(core_fixed_size_means_resize)
{
    ck_assert_int_eq(PARSE("format_version: 0.4.9\ntype: model\nname: t\n", weights,
                           "inputs:\n- name: raw\n  axes: bcyx\n  shape: [1, 3, 256, 512]\n"
                           "  preprocessing:\n"
                           "  - name: zero_mean_unit_variance\n"
                           "    kwargs: {mode: fixed, mean: [1, 2, 3], std: [4, 5, 6]}\n"
                           "outputs:\n- name: p\n  axes: bcyx\n  shape: [1, 1, 256, 512]\n"),
                     0);
    ck_assert_int_eq(package.fit, CS_FIT_RESIZE);
    ck_assert_int_eq(package.fit_height, 256);
    ck_assert_int_eq(package.fit_width, 512);
    ck_assert_int_eq(package.inputs[0].steps[0].op, CS_STEP_FIXED_ZERO_MEAN);
    ck_assert_int_eq(package.inputs[0].steps[0].count, 3);
    ck_assert_double_eq(package.inputs[0].steps[0].b[2], 6);
    cs_package_release(&package);
}
END_TEST

// A vector of 200 numbers, a plane, and something with axes of its own.
static const char outs05[] =
    "outputs:\n"
    "- id: style\n"
    "  axes: [{type: batch}, {type: channel, channel_names: [a, b]}]\n"
    "- id: prob\n"
    "  axes: [{type: batch}, {type: channel, channel_names: [cell]}, {type: space, id: y},\n"
    "         {type: space, id: x}]\n"
    "- id: boxes\n"
    "  axes: [{type: batch}, {type: index, id: i}, {type: space, id: z}]\n"
    "- id: flows\n"
    "  axes: [{type: batch}, {type: channel, channel_names: [v, u]}, {type: space, id: y},\n"
    "         {type: space, id: x}]\n";

#define PARSE_OURS(ours)                                                                           \
    PARSE(head05, weights, in05, "    []\n", outs05, "config: {cellstream: {" ours "}}\n")

START_TEST(core_outputs)
{
    ck_assert_msg(PARSE_OURS("") == 0, "%s", err.text);
    ck_assert_int_eq(package.output_count, 4);
    ck_assert_int_eq(package.map_output, 1); // the first with a plane
    ck_assert(!package.maps_chosen);
    ck_assert_int_eq(package.map_count, 1);
    ck_assert_str_eq(package.maps[0].name, "cell");

    ck_assert_int_eq(PARSE_OURS("channels: [foreground]"), 0);
    ck_assert(package.maps_chosen);
    ck_assert_int_eq(package.map_output, 1);
    ck_assert_str_eq(package.maps[0].name, "foreground");

    ck_assert_int_eq(PARSE_OURS("channels: {dx: {output: flows, channel: 1}, foreground: prob}"),
                     0);
    ck_assert_int_eq(package.map_output, -1);
    ck_assert_int_eq(package.map_count, 2);
    ck_assert_str_eq(package.maps[0].name, "dx");
    ck_assert_int_eq(package.maps[0].output, 3);
    ck_assert_int_eq(package.maps[0].channel, 1);
    ck_assert_int_eq(package.maps[1].output, 1);
    ck_assert_int_eq(package.maps[1].channel, 0);
    cs_package_release(&package);
}
END_TEST

START_TEST(limits_outputs)
{
    refused(PARSE_OURS("channels: {a: mask}"), "there is no output 'mask'");
    refused(PARSE_OURS("channels: {a: style}"), "'style' has no plane");
    refused(PARSE_OURS("channels: {a: boxes}"), "'boxes' has no plane");
    refused(PARSE_OURS("channels: {a: {channel: 1}}"), "'a' names no output");
    refused(PARSE_OURS("channels: {a: [prob]}"), "'a' names no output");
    refused(PARSE_OURS("channels: {a: {output: prob, channel: -1}}"), "channel");
    refused(PARSE_OURS("channels: {}"), "none");
    refused(PARSE_OURS("channels: {'a,b': prob}"), "comma");
    refused(PARSE_OURS("channels: [a, a]"), "twice");
    refused(PARSE_OURS("channels: prob"), "no list");
    refused(PARSE(head05, weights, in05, "    []\n",
                  "outputs: [{id: s, axes: [{type: batch}, {type: channel}]}]\n"),
            "no output");
}
END_TEST

START_TEST(core_every_step_is_known)
{
    static const char *const steps[] = {
        "  - {id: scale_range}\n",
        "  - {id: zero_mean_unit_variance}\n",
        "  - {id: scale_linear, kwargs: {gain: 2}}\n",
        "  - {id: fixed_zero_mean_unit_variance, kwargs: {mean: 1, std: 2}}\n",
        "  - {id: clip, kwargs: {min: 0, max: 1}}\n",
        "  - {id: binarize, kwargs: {threshold: 0.3}}\n",
        "  - {id: sigmoid}\n",
        "  - {id: softmax, kwargs: {axis: channel}}\n",
        "  - {id: ensure_dtype, kwargs: {dtype: float32}}\n",
    };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        ck_assert_msg(parse_step(steps[i]) == 0, "%s: %s", steps[i], err.text);
        ck_assert_int_eq(package.inputs[0].steps[0].op, (int)i);
    }
    cs_package_release(&package);
}
END_TEST

START_TEST(limits_steps)
{
    refused(parse_step("  - {id: denoise}\n"), "denoise");
    refused(parse_step("  - {kwargs: {min: 0}}\n"), "without a name");
    refused(parse_step("  - {id: scale_range, kwargs: {min_percentile: 101}}\n"), "min_percentile");
    refused(parse_step("  - {id: scale_range, kwargs: {min_percentile: 9, max_percentile: 9}}\n"),
            "scale_range");
    refused(parse_step("  - {id: scale_range, kwargs: {axes: [x]}}\n"), "axes");
    refused(parse_step("  - {id: scale_range, kwargs: {mode: per_dataset}}\n"), "per_dataset");
    refused(parse_step("  - {id: clip, kwargs: {min: 2, max: 1}}\n"), "clip");
    refused(parse_step("  - {id: clip, kwargs: {min: abc}}\n"), "abc");
    refused(parse_step("  - {id: fixed_zero_mean_unit_variance, kwargs: {mean: 1}}\n"), "std");
    refused(parse_step("  - {id: fixed_zero_mean_unit_variance,"
                       " kwargs: {mean: [1, 2], std: [1, 2, 3]}}\n"),
            "entries");
    refused(parse_step("  - {id: fixed_zero_mean_unit_variance, kwargs: {mean: 1, std: 0}}\n"),
            "std");
}
END_TEST

START_TEST(limits_description)
{
    refused(PARSE("[1, 2]"), "not a model");
    refused(PARSE("name: t\n"), "format_version");
    refused(PARSE("format_version: 0.3.6\n"), "0.3.6");
    refused(PARSE("format_version: 0.5.0\ntype: dataset\n"), "dataset");
    refused(PARSE(head05, in05, out05), "weights");
    refused(PARSE(head05, weights, out05), "inputs");
    refused(PARSE(head05, weights, in05), "outputs");
    refused(PARSE(head05, weights, in05, out05, "config: {cellstream: {version: 2}}\n"), "version");
    refused(PARSE(head05, weights, in05, out05, "config: {cellstream: {fit: crop}}\n"), "crop");
    refused(PARSE(head05, weights, in05, out05, "config: {cellstream: {fit: resize}}\n"), "size");
    refused(PARSE(head05, weights, in05, out05, "config: {cellstream: {stride: 0}}\n"), "stride");
    refused(PARSE(head05, weights, in05, out05, "config: {cellstream: {channels: ['a,b']}}\n"),
            "comma");
    refused(PARSE(head05, weights, in05, out05,
                  "config: {cellstream: {postprocess: {threshold: [1]}}}\n"),
            "threshold");
}
END_TEST

START_TEST(limits_paths)
{
    static const char *const outside[] = {
        "/etc/passwd", "../w.onnx", "a/../../w.onnx", "..", "https://example.org/w.onnx", "''"};
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        char text[128];
        snprintf(text, sizeof text, "weights: {onnx: {source: %s}}\n", outside[i]);
        ck_assert_msg(PARSE(head05, text, in05, out05) == -1, "%s", outside[i]);
        ck_assert_int_eq(err.code, CS_EMODEL);
    }
    ck_assert_int_eq(PARSE(head05, "weights: {onnx: {source: a..b/w.onnx}}\n", in05, out05), 0);
    cs_package_release(&package);
}
END_TEST

// ---- YAML --------------------------------------------------------------------------------

static int yaml(const char *text, size_t len)
{
    struct cs_arena arena = {0};
    const struct cs_yaml *root;
    int result = cs_yaml_parse(&arena, text, len, &root, &err);
    cs_arena_release(&arena);
    return result;
}

START_TEST(core_yaml_shares_aliases)
{
    struct cs_arena arena = {0};
    const struct cs_yaml *root;
    static const char text[] = "a: &x [1, 2]\nb: *x\nc: ~\nd: 'null'\n";
    ck_assert_int_eq(cs_yaml_parse(&arena, text, sizeof text - 1, &root, &err), 0);
    ck_assert_ptr_eq(cs_yaml_get(root, "a"), cs_yaml_get(root, "b"));
    ck_assert_ptr_null(cs_yaml_get(root, "c"));
    ck_assert_str_eq(cs_yaml_text(cs_yaml_get(root, "d")), "null");
    cs_arena_release(&arena);
}
END_TEST

START_TEST(limits_yaml_hostile)
{
    static const char cycle[] = "&a [*a]", twice[] = "a: 1\na: 2\n", dangling[] = "a: *b\n",
                      key[] = "? [1]\n: 2\n", broken[] = "a: [1\n", nul[] = "a: \"\\0\"\n";
    refused(yaml(cycle, sizeof cycle - 1), "alias");
    refused(yaml(twice, sizeof twice - 1), "twice");
    refused(yaml(dangling, sizeof dangling - 1), "alias");
    refused(yaml(key, sizeof key - 1), "key");
    refused(yaml(broken, sizeof broken - 1), "line");
    refused(yaml(nul, sizeof nul - 1), "NUL");
    refused(yaml("", 0), "empty");
    struct cs_buf deep = {0}, many = {0}, laughs = {0};
    for (int i = 0; i < 100; i++)
        cs_buf_addc(&deep, '[');
    refused(yaml(deep.data, deep.len), "deep");
    for (int i = 0; i < CS_YAML_MAX_NODES + 1; i++)
        cs_buf_adds(&many, "- 1\n");
    refused(yaml(many.data, many.len), "many nodes");
    // Nine levels of nine aliases: 10^9 nodes when expanded, 90 when shared.
    cs_buf_adds(&laughs, "a0: &a0 lol\n");
    for (int i = 1; i < 10; i++)
        cs_buf_addf(&laughs, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n",
                    i, i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    ck_assert_int_eq(yaml(laughs.data, laughs.len), 0);
    cs_buf_release(&deep);
    cs_buf_release(&many);
    cs_buf_release(&laughs);
}
END_TEST

START_TEST(limits_hash)
{
    char actual[CS_SHA256_HEX];
    char path[512];
    snprintf(path, sizeof path, "%s/models/tiny/tiny.onnx", getenv("TESTDATA"));
    ck_assert_int_eq(cs_package_check_file(path, NULL, actual, &err), 0);
    ck_assert_int_eq(cs_package_check_file(path, actual, actual, &err), 0);
    refused(cs_package_check_file(path, "00ff", actual, &err), "00ff");
    ck_assert_ptr_nonnull(strstr(err.text, actual));
    ck_assert_ptr_nonnull(strstr(err.text, "tiny.onnx"));
    refused(cs_package_check_file("/nowhere/w.onnx", NULL, actual, &err), "/nowhere/w.onnx");
}
END_TEST

START_TEST(core_open)
{
    char path[512];
    snprintf(path, sizeof path, "%s/models", getenv("TESTDATA"));
    setenv("CELLSTREAM_MODEL_PATH", path, 1);
    ck_assert_int_eq(cs_package_open(&package, "tiny", &err), 0);
    ck_assert_str_eq(package.short_name, "tiny");
    cs_package_release(&package);
    snprintf(path, sizeof path, "%s/models/whole/", getenv("TESTDATA"));
    ck_assert_int_eq(cs_package_open(&package, path, &err), 0);
    ck_assert_str_eq(package.short_name, "whole");
    cs_package_release(&package);
    snprintf(path, sizeof path, "%s/models/whole/rdf.yaml", getenv("TESTDATA"));
    ck_assert_int_eq(cs_package_open(&package, path, &err), 0);
    cs_package_release(&package);
    refused(cs_package_open(&package, "no-such-model", &err), "no-such-model");
    refused(cs_package_open(&package, "/no/such/model", &err), "/no/such/model");
    refused(cs_package_open(&package, "", &err), "");
    snprintf(path, sizeof path, "%s/models/tiny/tiny.onnx", getenv("TESTDATA"));
    refused(cs_package_open(&package, path, &err), "no package");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("package");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_test(core, core_05);
    tcase_add_test(core, core_04);
    tcase_add_test(core, core_fixed_size_means_resize);
    tcase_add_test(core, core_outputs);
    tcase_add_test(limits, limits_outputs);
    tcase_add_test(core, core_every_step_is_known);
    tcase_add_test(core, core_yaml_shares_aliases);
    tcase_add_test(core, core_open);
    tcase_add_test(limits, limits_steps);
    tcase_add_test(limits, limits_description);
    tcase_add_test(limits, limits_paths);
    tcase_add_test(limits, limits_yaml_hostile);
    tcase_add_test(limits, limits_hash);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
