// SPDX-License-Identifier: MIT
#include "model/package_write.h"

#include <ctype.h>
#include <float.h>
#include <string.h>

#include "base/json.h"
#include "base/num.h"

// ---- Scalars -----------------------------------------------------------------------------

// Words that YAML 1.1 or 1.2 take for something else than text.
static bool is_word(const char *text)
{
    static const char *const words[] = {"true", "false", "null", "yes", "no",
                                        "on",   "off",   "y",    "n"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(words[i], text) == 0)
            return true;
    return false;
}

static bool is_plain(const char *text)
{
    size_t len = strlen(text);
    if (!isalpha((unsigned char)*text) || text[len - 1] == ' ' || is_word(text))
        return false;
    for (const char *c = text; *c; c++)
        if ((*c & 0x80) || (!isalnum((unsigned char)*c) && !strchr(" ._/()+-", *c)))
            return false;
    return true;
}

void cs_yaml_put(struct cs_buf *out, const char *text)
{
    if (is_plain(text))
        cs_buf_adds(out, text);
    else
        cs_json_string(out, text);
}

static void put_line(struct cs_buf *out, const char *key, const char *text)
{
    if (!text)
        return;
    cs_buf_addf(out, "%s: ", key);
    cs_yaml_put(out, text);
    cs_buf_addc(out, '\n');
}

// "[a, b]"
static void put_texts(struct cs_buf *out, const char *const *texts, int count)
{
    for (int i = 0; i < count; i++) {
        cs_buf_adds(out, i ? ", " : "[");
        cs_yaml_put(out, texts[i]);
    }
    cs_buf_addc(out, ']');
}

// "{source: name, sha256: hex"; the caller closes it.
static void put_file(struct cs_buf *out, const char *folder, const char *path, const char *sha256)
{
    cs_buf_adds(out, "{source: ");
    cs_yaml_put(out, path + strlen(folder) + 1);
    if (sha256) {
        cs_buf_adds(out, ", sha256: ");
        cs_json_string(out, sha256); // it may be all digits
    }
}

// ---- Steps -------------------------------------------------------------------------------

struct arguments {
    struct cs_buf *out;
    int count;
};

static void put_name(struct arguments *a, const char *name)
{
    cs_buf_addf(a->out, "%s%s: ", a->count++ ? ", " : ", kwargs: {", name);
}

static void put_real(struct arguments *a, const char *name, double value)
{
    put_name(a, name);
    cs_json_real(a->out, value);
}

static void put_reals(struct arguments *a, const char *name, const double *values, int count)
{
    put_name(a, name);
    for (int i = 0; i < count; i++) {
        if (count > 1)
            cs_buf_adds(a->out, i ? ", " : "[");
        cs_json_real(a->out, values[i]);
    }
    if (count > 1)
        cs_buf_addc(a->out, ']');
}

static void put_arguments(struct arguments *a, const struct cs_step *s)
{
    switch (s->op) {
    case CS_STEP_SCALE_RANGE:
    case CS_STEP_ZERO_MEAN:
        put_name(a, "axes");
        cs_buf_adds(a->out, s->per_channel ? "[y, x]" : "[channel, y, x]");
        if (s->op == CS_STEP_SCALE_RANGE) {
            put_real(a, "min_percentile", s->a[0]);
            put_real(a, "max_percentile", s->b[0]);
        }
        put_real(a, "eps", s->eps);
        return;
    case CS_STEP_SCALE_LINEAR:
    case CS_STEP_FIXED_ZERO_MEAN:
        put_reals(a, s->op == CS_STEP_SCALE_LINEAR ? "gain" : "mean", s->a, s->count);
        put_reals(a, s->op == CS_STEP_SCALE_LINEAR ? "offset" : "std", s->b, s->count);
        if (s->count > 1) {
            put_name(a, "axis");
            cs_buf_adds(a->out, "channel");
        }
        return;
    case CS_STEP_CLIP:
        if (s->a[0] > -DBL_MAX)
            put_real(a, "min", s->a[0]);
        if (s->b[0] < DBL_MAX)
            put_real(a, "max", s->b[0]);
        return;
    case CS_STEP_BINARIZE:
        put_real(a, "threshold", s->a[0]);
        return;
    case CS_STEP_SIGMOID:
        return;
    case CS_STEP_SOFTMAX:
        put_name(a, "axis");
        cs_buf_adds(a->out, "channel");
        return;
    case CS_STEP_ENSURE_DTYPE:
        put_name(a, "dtype");
        cs_yaml_put(a->out, s->dtype);
        return;
    }
}

static void put_steps(struct cs_buf *out, const char *what, const struct cs_tensor_spec *spec)
{
    if (spec->step_count)
        cs_buf_addf(out, "  %s:\n", what);
    for (int i = 0; i < spec->step_count; i++) {
        struct arguments a = {.out = out};
        cs_buf_addf(out, "  - {id: %s", cs_step_name(spec->steps[i].op));
        put_arguments(&a, &spec->steps[i]);
        cs_buf_adds(out, a.count ? "}}\n" : "}\n");
    }
}

// ---- Tensors -----------------------------------------------------------------------------

static void put_axis(struct cs_buf *out, const struct cs_tensor_spec *spec,
                     const struct cs_axis *axis, const char *follows)
{
    switch (axis->kind) {
    case CS_AXIS_BATCH:
        cs_buf_adds(out, "  - {type: batch}\n");
        return;
    case CS_AXIS_CHANNEL:
        cs_buf_adds(out, "  - {type: channel");
        if (spec->channel_count && spec->channels[0]) {
            cs_buf_adds(out, ", channel_names: ");
            put_texts(out, spec->channels, spec->channel_count);
        }
        cs_buf_adds(out, "}\n");
        return;
    case CS_AXIS_OTHER:
        cs_buf_adds(out, "  - {type: index, id: index");
        if (axis->size)
            cs_buf_addf(out, ", size: %lld", (long long)axis->size);
        cs_buf_adds(out, "}\n");
        return;
    default:
        break;
    }
    char id = axis->kind == CS_AXIS_Y ? 'y' : 'x';
    cs_buf_addf(out, "  - {type: space, id: %c", id);
    if (axis->step)
        cs_buf_addf(out, ", size: {min: %lld, step: %lld}", (long long)axis->size,
                    (long long)axis->step);
    else if (axis->size)
        cs_buf_addf(out, ", size: %lld", (long long)axis->size);
    else if (follows) {
        cs_buf_adds(out, ", size: {tensor_id: ");
        cs_yaml_put(out, follows);
        cs_buf_addf(out, ", axis_id: %c}", id);
    }
    if (axis->scale > 0) {
        cs_buf_adds(out, ", scale: ");
        cs_json_real(out, axis->scale);
    }
    cs_buf_adds(out, "}\n");
}

static void put_tensor(struct cs_buf *out, const struct cs_package *p,
                       const struct cs_tensor_spec *spec, bool input)
{
    cs_buf_adds(out, "- id: ");
    cs_yaml_put(out, spec->name);
    cs_buf_adds(out, "\n  axes:\n");
    for (int i = 0; i < spec->axis_count; i++)
        put_axis(out, spec, &spec->axes[i], input ? NULL : p->inputs[0].name);
    cs_buf_adds(out, "  data: {type: ");
    cs_yaml_put(out, spec->type);
    cs_buf_adds(out, "}\n");
    put_steps(out, input ? "preprocessing" : "postprocessing", spec);
    if (spec->test_path) {
        cs_buf_adds(out, "  test_tensor: ");
        put_file(out, p->folder, spec->test_path, spec->test_sha256);
        cs_buf_adds(out, "}\n");
    }
}

// ---- The whole ---------------------------------------------------------------------------

// A list where all maps are those of one output, else a map of names.
static void put_maps(struct cs_buf *out, const struct cs_package *p)
{
    bool list = p->map_output >= 0;
    if (!p->map_count)
        return;
    cs_buf_addf(out, "    channels: %c", list ? '[' : '{');
    for (int i = 0; i < p->map_count; i++) {
        cs_buf_adds(out, i ? ", " : "");
        cs_yaml_put(out, p->maps[i].name);
        if (list)
            continue;
        cs_buf_adds(out, ": {output: ");
        cs_yaml_put(out, p->outputs[p->maps[i].output].name);
        cs_buf_addf(out, ", channel: %d}", p->maps[i].channel);
    }
    cs_buf_adds(out, list ? "]\n" : "}\n");
}

static void put_ours(struct cs_buf *out, const struct cs_package *p)
{
    static const char *const inputs[] = {"replicate", "rgb", "mean"};
    double number;
    cs_buf_adds(out, "config:\n  cellstream:\n    version: 1\n");
    put_maps(out, p);
    cs_buf_addf(out, "    input_channels: %s\n    fit: %s\n", inputs[p->input_channels],
                cs_fit_name(p->fit));
    if (p->fit_height)
        cs_buf_addf(out, "    size: [%lld, %lld]\n", (long long)p->fit_height,
                    (long long)p->fit_width);
    cs_buf_addf(out, "    stride: %lld\n", (long long)p->stride);
    if (p->pixel_um > 0)
        cs_buf_addf(out, "    pixel_um: %.9g\n", p->pixel_um);
    for (int i = 0; i < p->postprocess.count; i++) {
        const struct cs_meta_pair *pair = &p->postprocess.pairs[i];
        cs_buf_addf(out, "%s%s: ", i ? ", " : "    postprocess: {", pair->key);
        if (cs_num_real(pair->value, -DBL_MAX, DBL_MAX, "", &number, NULL) == 0)
            cs_buf_adds(out, pair->value);
        else
            cs_yaml_put(out, pair->value);
    }
    cs_buf_adds(out, p->postprocess.count ? "}\n" : "");
}

void cs_package_write(const struct cs_package *p, int opset, struct cs_buf *out)
{
    cs_buf_adds(out, "format_version: 0.5.4\ntype: model\n");
    put_line(out, "name", p->name);
    put_line(out, "version", p->version);
    put_line(out, "description", p->description);
    put_line(out, "license", p->license);
    cs_buf_adds(out, "inputs:\n");
    for (int i = 0; i < p->input_count; i++)
        put_tensor(out, p, &p->inputs[i], true);
    cs_buf_adds(out, "outputs:\n");
    for (int i = 0; i < p->output_count; i++)
        put_tensor(out, p, &p->outputs[i], false);
    cs_buf_adds(out, "weights:\n  onnx: ");
    put_file(out, p->folder, p->weights_path, p->weights_sha256);
    if (opset)
        cs_buf_addf(out, ", opset_version: %d", opset);
    if (p->external_path) {
        cs_buf_adds(out, ", external_data: ");
        put_file(out, p->folder, p->external_path, p->external_sha256);
        cs_buf_addc(out, '}');
    }
    cs_buf_adds(out, "}\n");
    put_ours(out, p);
}
