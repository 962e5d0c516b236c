// SPDX-License-Identifier: MIT
// The two spellings of the zoo side by side. 0.4: `name`, axes as letters, `shape`, `data_type`,
// steps with `name` and `mode`. 0.5: `id`, axes as a list, sizes in the axes, `data: type`, steps
// with `id`. A step that is not known is an error: leaving it out would change the result.
#include "model/package_tensor.h"

#include <float.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "image/unit.h"

#define GET cs_yaml_get

static int bad(const struct cs_yaml *node, struct cs_err *err, const char *what, const char *why)
{
    return cs_fail(err, CS_EMODEL, "line %d: %s %s", node->line, what, why);
}

// The text of a number; *text stays NULL where the description has none.
static int number_text(const struct cs_yaml *node, const char *what, const char **text,
                       struct cs_err *err)
{
    *text = node ? cs_yaml_text(node) : NULL;
    return node && !*text ? bad(node, err, what, "is no number") : 0;
}

// A number out of range is the package's fault, not the user's.
static int bad_number(const struct cs_yaml *node, const struct cs_err *why, struct cs_err *err)
{
    return cs_fail(err, CS_EMODEL, "line %d: %s", node->line, why->text);
}

int cs_package_real(const struct cs_yaml *node, const char *what, double min, double max,
                    double fallback, double *value, struct cs_err *err)
{
    const char *text;
    struct cs_err why;
    *value = fallback;
    if (number_text(node, what, &text, err) != 0)
        return -1;
    if (text && cs_num_real(text, min, max, what, value, &why) != 0)
        return bad_number(node, &why, err);
    return 0;
}

int cs_package_int(const struct cs_yaml *node, const char *what, int64_t min, int64_t max,
                   int64_t fallback, int64_t *value, struct cs_err *err)
{
    const char *text;
    struct cs_err why;
    *value = fallback;
    if (number_text(node, what, &text, err) != 0)
        return -1;
    if (text && cs_num_int(text, min, max, what, value, &why) != 0)
        return bad_number(node, &why, err);
    return 0;
}

int cs_package_texts(const struct cs_yaml *node, const char *what, const char **texts, int max,
                     int *count, struct cs_err *err)
{
    *count = 0;
    if (!node)
        return 0;
    if (node->kind != CS_YAML_LIST)
        return bad(node, err, what, "is no list");
    if (node->count > max)
        return cs_fail(err, CS_EMODEL, "line %d: %s has %d entries, at most %d are supported",
                       node->line, what, node->count, max);
    for (const struct cs_yaml_entry *e = node->first; e; e = e->next) {
        const char *text = cs_yaml_text(e->value);
        if (!text)
            return bad(node, err, what, "is no list of texts");
        texts[(*count)++] = text;
    }
    return 0;
}

int cs_package_choice(const struct cs_yaml *node, const char *what, const char *const *names,
                      int fallback, int *value, struct cs_err *err)
{
    *value = fallback;
    if (!node)
        return 0;
    const char *text = cs_yaml_text(node);
    for (int i = 0; text && names[i]; i++) {
        if (strcmp(names[i], text) == 0) {
            *value = i;
            return 0;
        }
    }
    return cs_fail(err, CS_EMODEL, "line %d: %s: '%s' is not known", node->line, what,
                   text ? text : "(no text)");
}

int cs_package_join(struct cs_arena *arena, const char *folder, const char *relative,
                    const char **path, struct cs_err *err)
{
    if (strstr(relative, "://"))
        return cs_fail(err, CS_EMODEL, "'%s' is on a network: files must lie in the package",
                       relative);
    bool outside = !*relative || relative[0] == '/';
    for (const char *part = relative; part && !outside; part = strchr(part, '/')) {
        part += *part == '/';
        size_t len = strcspn(part, "/");
        outside = len == 2 && part[0] == '.' && part[1] == '.';
    }
    if (outside)
        return cs_fail(err, CS_EMODEL, "'%s' does not lie in the package's folder", relative);
    size_t bytes = strlen(folder) + strlen(relative) + 2;
    char *joined = cs_arena_alloc(arena, bytes, 1);
    memcpy(joined, folder, strlen(folder));
    joined[strlen(folder)] = '/';
    memcpy(joined + strlen(folder) + 1, relative, strlen(relative));
    *path = joined;
    return 0;
}

// ---- Axes --------------------------------------------------------------------------------

static enum cs_axis_kind axis_from_letter(char letter)
{
    static const char letters[] = "bcyx";
    const char *at = strchr(letters, letter);
    return at ? (enum cs_axis_kind)(at - letters) : CS_AXIS_OTHER;
}

// 0.4: axes: bcyx, and shape: [1, 3, 256, 256], or {min: [...], step: [...]} for inputs.
static int axes_by_letters(const struct cs_yaml *node, const char *letters, bool input,
                           struct cs_tensor_spec *spec, struct cs_err *err)
{
    if (strlen(letters) > CS_PACKAGE_MAX_AXES)
        return cs_fail(err, CS_EMODEL, "axes '%s' are too many", letters);
    for (const char *l = letters; *l; l++) {
        enum cs_axis_kind kind = axis_from_letter(*l);
        if (input && kind == CS_AXIS_OTHER)
            return cs_fail(err, CS_EMODEL, "axis '%c' of '%s' is not supported", *l, letters);
        spec->axes[spec->axis_count++].kind = kind;
    }
    const struct cs_yaml *shape = GET(node, "shape");
    if (!shape)
        return input ? cs_fail(err, CS_EMODEL, "shape is missing") : 0;
    const struct cs_yaml *size = shape->kind == CS_YAML_LIST ? shape : GET(shape, "min");
    const struct cs_yaml *step = GET(shape, "step");
    if (!size) // an output that follows its input
        return input ? bad(shape, err, "shape", "has no min") : 0;
    if (size->count != spec->axis_count || (step && step->count != spec->axis_count))
        return bad(shape, err, "shape", "does not fit the axes");
    const struct cs_yaml_entry *e = size->first, *s = step ? step->first : NULL;
    for (int i = 0; i < spec->axis_count && e; i++, e = e->next, s = s ? s->next : NULL) {
        if (cs_package_int(e->value, "shape", 0, CS_PACKAGE_MAX_SIDE, 0, &spec->axes[i].size,
                           err) != 0 ||
            cs_package_int(s ? s->value : NULL, "step", 0, CS_PACKAGE_MAX_SIDE, 0,
                           &spec->axes[i].step, err) != 0)
            return -1;
    }
    return 0;
}

// 0.5: one axis of the list.
static int axis_by_map(const struct cs_yaml *node, bool input, struct cs_tensor_spec *spec,
                       struct cs_err *err)
{
    struct cs_axis *axis = &spec->axes[spec->axis_count++];
    const char *type = cs_yaml_text(GET(node, "type")), *id = cs_yaml_text(GET(node, "id"));
    if (!type)
        return bad(node, err, "axis", "has no type");
    if (strcmp(type, "batch") == 0) {
        axis->kind = CS_AXIS_BATCH;
        return 0;
    }
    if (strcmp(type, "channel") == 0) {
        const struct cs_yaml *names = GET(node, "channel_names");
        axis->kind = CS_AXIS_CHANNEL;
        axis->size = names ? names->count : 0;
        if (!input && axis->size > CS_PACKAGE_MAX_CHANNELS)
            return 0; // a vector: no maps to name
        return cs_package_texts(names, "channel_names", spec->channels, CS_PACKAGE_MAX_CHANNELS,
                                &spec->channel_count, err);
    }
    bool plane = strcmp(type, "space") == 0 && id && (!strcmp(id, "y") || !strcmp(id, "x"));
    const struct cs_yaml *size = GET(node, "size");
    if (!plane && !input) {
        axis->kind = CS_AXIS_OTHER;
        return cs_package_int(cs_yaml_text(size) ? size : NULL, "size", 1, INT32_MAX, 0,
                              &axis->size, err);
    }
    if (!plane)
        return cs_fail(err, CS_EMODEL, "line %d: axis %s (%s) is not supported", node->line,
                       id ? id : "?", type);
    axis->kind = id[0] == 'y' ? CS_AXIS_Y : CS_AXIS_X;
    if (cs_package_real(GET(node, "scale"), "scale", 1e-9, 1e9, 0, &axis->scale, err) != 0)
        return -1;
    const char *unit = cs_yaml_text(GET(node, "unit"));
    if (input && unit)
        axis->um = axis->scale * cs_unit_um(unit);
    if (!size || (size->kind == CS_YAML_MAP && !GET(size, "min")))
        return 0; // follows another axis, or has any size
    if (size->kind == CS_YAML_MAP)
        return cs_package_int(GET(size, "min"), "min", 1, CS_PACKAGE_MAX_SIDE, 1, &axis->size,
                              err) != 0
                   ? -1
                   : cs_package_int(GET(size, "step"), "step", 0, CS_PACKAGE_MAX_SIDE, 0,
                                    &axis->step, err);
    return cs_package_int(size, "size", 1, CS_PACKAGE_MAX_SIDE, 0, &axis->size, err);
}

static int read_axes(const struct cs_yaml *node, bool input, struct cs_tensor_spec *spec,
                     struct cs_err *err)
{
    const struct cs_yaml *axes = GET(node, "axes");
    if (!axes)
        return cs_fail(err, CS_EMODEL, "axes are missing");
    if (cs_yaml_text(axes)) {
        if (axes_by_letters(node, axes->text, input, spec, err) != 0)
            return -1;
    } else {
        if (axes->count > CS_PACKAGE_MAX_AXES)
            return bad(axes, err, "axes", "are too many");
        for (const struct cs_yaml_entry *e = axes->first; e; e = e->next)
            if (axis_by_map(e->value, input, spec, err) != 0)
                return -1;
    }
    for (int i = 0; i < spec->axis_count; i++)
        for (int k = 0; k < i; k++)
            if (spec->axes[i].kind == spec->axes[k].kind && spec->axes[i].kind != CS_AXIS_OTHER)
                return bad(axes, err, "axes", "name one axis twice");
    return 0;
}

const struct cs_axis *cs_tensor_axis(const struct cs_tensor_spec *spec, enum cs_axis_kind kind)
{
    for (int i = 0; i < spec->axis_count; i++)
        if (spec->axes[i].kind == kind)
            return &spec->axes[i];
    return NULL;
}

bool cs_tensor_is_image(const struct cs_tensor_spec *spec)
{
    static const enum cs_axis_kind order[] = {CS_AXIS_BATCH, CS_AXIS_CHANNEL, CS_AXIS_Y, CS_AXIS_X};
    bool good = spec->axis_count == 4;
    for (int i = 0; good && i < 4; i++)
        good = spec->axes[i].kind == order[i];
    return good;
}

// ---- Steps -------------------------------------------------------------------------------

static const char *const step_names[] = {
    [CS_STEP_SCALE_RANGE] = "scale_range",
    [CS_STEP_ZERO_MEAN] = "zero_mean_unit_variance",
    [CS_STEP_SCALE_LINEAR] = "scale_linear",
    [CS_STEP_FIXED_ZERO_MEAN] = "fixed_zero_mean_unit_variance",
    [CS_STEP_CLIP] = "clip",
    [CS_STEP_BINARIZE] = "binarize",
    [CS_STEP_SIGMOID] = "sigmoid",
    [CS_STEP_SOFTMAX] = "softmax",
    [CS_STEP_ENSURE_DTYPE] = "ensure_dtype",
    NULL,
};

const char *cs_step_name(enum cs_step_op op)
{
    return step_names[op];
}

// A number, or a list with one for each channel. *count: the larger of what it was and this.
static int numbers(const struct cs_yaml *node, const char *what, double min, double max,
                   double fallback, double *out, int *count, struct cs_err *err)
{
    int n = 1;
    if (node && node->kind == CS_YAML_LIST) {
        n = 0;
        if (node->count < 1 || node->count > CS_PACKAGE_MAX_CHANNELS)
            return bad(node, err, what, "has too many or no entries");
        for (const struct cs_yaml_entry *e = node->first; e; e = e->next)
            if (cs_package_real(e->value, what, min, max, fallback, &out[n++], err) != 0)
                return -1;
    } else if (cs_package_real(node, what, min, max, fallback, &out[0], err) != 0) {
        return -1;
    }
    if (n != *count && n != 1 && *count != 1)
        return bad(node, err, what, "has another number of entries than the value beside it");
    for (int i = n; i < CS_PACKAGE_MAX_CHANNELS; i++)
        out[i] = out[n - 1];
    if (n > *count)
        *count = n;
    return 0;
}

// Over which axes statistics are taken: all of one image (default), or space alone.
static int statistics_axes(const struct cs_yaml *kwargs, struct cs_step *step, struct cs_err *err)
{
    const char *mode = cs_yaml_text(GET(kwargs, "mode"));
    if (mode && strcmp(mode, "per_sample") != 0 && strcmp(mode, "fixed") != 0)
        return cs_fail(err, CS_EMODEL, "mode %s is not supported (per_sample is)", mode);
    if (GET(kwargs, "reference_tensor"))
        return cs_fail(err, CS_EMODEL, "reference_tensor is not supported");
    const struct cs_yaml *axes = GET(kwargs, "axes");
    if (!axes)
        return 0;
    bool channel = false, y = false, x = false;
    if (cs_yaml_text(axes)) {
        channel = strchr(axes->text, 'c') != NULL;
        y = strchr(axes->text, 'y') != NULL;
        x = strchr(axes->text, 'x') != NULL;
    }
    if (axes->kind == CS_YAML_LIST) {
        const char *names[CS_PACKAGE_MAX_AXES];
        int count;
        if (cs_package_texts(axes, "axes", names, CS_PACKAGE_MAX_AXES, &count, err) != 0)
            return -1;
        for (int i = 0; i < count; i++) {
            channel |= strcmp(names[i], "channel") == 0 || strcmp(names[i], "c") == 0;
            y |= strcmp(names[i], "y") == 0;
            x |= strcmp(names[i], "x") == 0;
        }
    }
    if (!y || !x)
        return bad(axes, err, "axes", "of the statistics must hold y and x");
    step->per_channel = !channel;
    return 0;
}

static int step_arguments(const struct cs_yaml *k, struct cs_step *s, struct cs_err *err)
{
    const double big = DBL_MAX;
    s->count = 1;
    if (cs_package_real(GET(k, "eps"), "eps", DBL_MIN, 0.1, 1e-6, &s->eps, err) != 0)
        return -1;
    switch (s->op) {
    case CS_STEP_SCALE_RANGE:
        if (statistics_axes(k, s, err) != 0 ||
            cs_package_real(GET(k, "min_percentile"), "min_percentile", 0, 100, 0, s->a, err) !=
                0 ||
            cs_package_real(GET(k, "max_percentile"), "max_percentile", 0, 100, 100, s->b, err) !=
                0)
            return -1;
        return s->a[0] < s->b[0]
                   ? 0
                   : cs_fail(err, CS_EMODEL, "min_percentile is not below max_percentile");
    case CS_STEP_ZERO_MEAN:
        if (cs_yaml_text(GET(k, "mode")) && strcmp(GET(k, "mode")->text, "fixed") == 0)
            s->op = CS_STEP_FIXED_ZERO_MEAN; // 0.4's spelling of it
        else
            return statistics_axes(k, s, err);
        // fall through
    case CS_STEP_FIXED_ZERO_MEAN:
        if (!GET(k, "mean") || !GET(k, "std"))
            return cs_fail(err, CS_EMODEL, "mean or std is missing");
        return numbers(GET(k, "mean"), "mean", -big, big, 0, s->a, &s->count, err) != 0
                   ? -1
                   : numbers(GET(k, "std"), "std", 1e-30, big, 1, s->b, &s->count, err);
    case CS_STEP_SCALE_LINEAR:
        return numbers(GET(k, "gain"), "gain", -big, big, 1, s->a, &s->count, err) != 0
                   ? -1
                   : numbers(GET(k, "offset"), "offset", -big, big, 0, s->b, &s->count, err);
    case CS_STEP_CLIP:
        if (cs_package_real(GET(k, "min"), "min", -big, big, -big, s->a, err) != 0 ||
            cs_package_real(GET(k, "max"), "max", -big, big, big, s->b, err) != 0)
            return -1;
        return s->a[0] < s->b[0] ? 0 : cs_fail(err, CS_EMODEL, "min is not below max");
    case CS_STEP_BINARIZE:
        return cs_package_real(GET(k, "threshold"), "threshold", -big, big, 0.5, s->a, err);
    case CS_STEP_SIGMOID:
        return 0;
    case CS_STEP_SOFTMAX: {
        const char *axis = cs_yaml_text(GET(k, "axis"));
        if (axis && strcmp(axis, "channel") != 0 && strcmp(axis, "c") != 0)
            return cs_fail(err, CS_EMODEL, "axis %s is not supported (channel is)", axis);
        return 0;
    }
    case CS_STEP_ENSURE_DTYPE:
        s->dtype = cs_yaml_text(GET(k, "dtype"));
        return s->dtype ? 0 : cs_fail(err, CS_EMODEL, "dtype is missing");
    }
    return 0;
}

static int read_steps(const struct cs_yaml *list, const char *what, struct cs_tensor_spec *spec,
                      struct cs_err *err)
{
    if (!list)
        return 0;
    if (list->kind != CS_YAML_LIST)
        return bad(list, err, what, "is no list");
    if (list->count > CS_PACKAGE_MAX_STEPS)
        return bad(list, err, what, "has too many steps");
    for (const struct cs_yaml_entry *e = list->first; e; e = e->next) {
        struct cs_step *step = &spec->steps[spec->step_count];
        const struct cs_yaml *id = GET(e->value, "id");
        int op;
        if (!id)
            id = GET(e->value, "name");
        if (!id)
            return bad(e->value, err, what, "holds a step without a name");
        if (cs_package_choice(id, what, step_names, 0, &op, err) != 0)
            return -1;
        step->op = (enum cs_step_op)op;
        if (step_arguments(GET(e->value, "kwargs"), step, err) != 0)
            return cs_err_context(err, "line %d: %s", id->line, id->text);
        spec->step_count++;
    }
    return 0;
}

// ---- A tensor ----------------------------------------------------------------------------

int cs_package_tensor(struct cs_arena *arena, const struct cs_yaml *node, const char *folder,
                      bool input, struct cs_tensor_spec *spec, struct cs_err *err)
{
    const char *steps = input ? "preprocessing" : "postprocessing";
    spec->name = cs_yaml_text(GET(node, "id"));
    if (!spec->name)
        spec->name = cs_yaml_text(GET(node, "name"));
    if (!spec->name)
        return bad(node, err, input ? "an input" : "an output", "has no name");
    spec->type = cs_yaml_text(GET(node, "data_type"));
    if (!spec->type)
        spec->type = cs_yaml_text(GET(GET(node, "data"), "type"));
    if (!spec->type)
        spec->type = "float32";
    if (read_axes(node, input, spec, err) != 0 ||
        read_steps(GET(node, steps), steps, spec, err) != 0)
        return cs_err_context(err, "%s", spec->name);
    const struct cs_axis *channel = cs_tensor_axis(spec, CS_AXIS_CHANNEL);
    if (channel && !spec->channel_count && channel->size <= CS_PACKAGE_MAX_CHANNELS)
        spec->channel_count = (int)channel->size; // 0.4: a number without names
    const struct cs_yaml *test = GET(node, "test_tensor");
    const char *source = cs_yaml_text(GET(test, "source"));
    spec->test_sha256 = cs_yaml_text(GET(test, "sha256"));
    return source ? cs_package_join(arena, folder, source, &spec->test_path, err) : 0;
}
