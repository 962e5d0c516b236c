// SPDX-License-Identifier: MIT
// Finding and reading a package description; see package.h. Inputs, outputs and their processing
// are in package_tensor.c, the text itself in yaml.c.
#include "model/package.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/mem.h"
#include "model/package_tensor.h"

#define GET cs_yaml_get

static const char *const fit_names[] = {"native", "pad", "resize", NULL};

const char *cs_fit_name(enum cs_fit fit)
{
    return fit_names[fit];
}

void cs_package_release(struct cs_package *package)
{
    cs_meta_release(&package->postprocess);
    cs_arena_release(&package->arena);
    *package = (struct cs_package){0};
}

// ---- Reading -----------------------------------------------------------------------------

static int read_tensors(struct cs_package *p, const struct cs_yaml *root, bool input,
                        struct cs_err *err)
{
    const char *what = input ? "inputs" : "outputs";
    const struct cs_yaml *list = GET(root, what);
    if (!list || list->kind != CS_YAML_LIST || list->count < 1)
        return cs_fail(err, CS_EMODEL, "%s are missing", what);
    if (list->count > CS_PACKAGE_MAX_TENSORS)
        return cs_fail(err, CS_EMODEL, "%d %s, at most %d are supported", list->count, what,
                       CS_PACKAGE_MAX_TENSORS);
    struct cs_tensor_spec *specs = input ? p->inputs : p->outputs;
    int *count = input ? &p->input_count : &p->output_count;
    for (const struct cs_yaml_entry *e = list->first; e; e = e->next)
        if (cs_package_tensor(&p->arena, e->value, p->folder, input, &specs[(*count)++], err) != 0)
            return -1;
    // 0.4 lists the test tensors beside the inputs and outputs.
    const char *tests[CS_PACKAGE_MAX_TENSORS];
    const char *key = input ? "test_inputs" : "test_outputs";
    int tests_count;
    if (cs_package_texts(GET(root, key), key, tests, CS_PACKAGE_MAX_TENSORS, &tests_count, err) !=
        0)
        return -1;
    for (int i = 0; i < tests_count && i < *count; i++)
        if (!specs[i].test_path &&
            cs_package_join(&p->arena, p->folder, tests[i], &specs[i].test_path, err) != 0)
            return -1;
    return 0;
}

static int read_weights(struct cs_package *p, const struct cs_yaml *root, struct cs_err *err)
{
    const struct cs_yaml *onnx = GET(GET(root, "weights"), "onnx");
    const char *source = cs_yaml_text(GET(onnx, "source"));
    if (!source)
        return cs_fail(err, CS_EMODEL,
                       "weights: onnx: source is missing (ONNX weights are needed)");
    p->weights_sha256 = cs_yaml_text(GET(onnx, "sha256"));
    const struct cs_yaml *external = GET(onnx, "external_data");
    const char *beside = cs_yaml_text(GET(external, "source"));
    p->external_sha256 = cs_yaml_text(GET(external, "sha256"));
    if (external && !beside)
        return cs_fail(err, CS_EMODEL, "weights: onnx: external_data: source is missing");
    if (beside && cs_package_join(&p->arena, p->folder, beside, &p->external_path, err) != 0)
        return -1;
    return cs_package_join(&p->arena, p->folder, source, &p->weights_path, err);
}

// What the axes of the first input ask for, where our own settings say nothing.
static void default_fit(struct cs_package *p)
{
    const struct cs_axis *y = cs_tensor_axis(&p->inputs[0], CS_AXIS_Y);
    const struct cs_axis *x = cs_tensor_axis(&p->inputs[0], CS_AXIS_X);
    p->fit = CS_FIT_PAD;
    p->stride = 1;
    if (!y || !x)
        return;
    if (y->um > 0 && fabs(y->um - x->um) <= 0.01 * y->um) // else pixels are not square
        p->pixel_um = x->um;
    if (y->size && !y->step && x->size && !x->step) {
        p->fit = CS_FIT_RESIZE;
        p->fit_height = y->size;
        p->fit_width = x->size;
    }
    p->stride = y->step > x->step ? y->step : x->step;
    if (p->stride < 1)
        p->stride = 1;
}

// Keys are options of cs-postprocess, with "_" or "-".
static int read_postprocess(struct cs_package *p, const struct cs_yaml *map, struct cs_err *err)
{
    if (!map)
        return 0;
    if (map->kind != CS_YAML_MAP || map->count > 64)
        return cs_fail(err, CS_EMODEL, "line %d: postprocess is no map of options", map->line);
    for (const struct cs_yaml_entry *e = map->first; e; e = e->next) {
        const char *value = cs_yaml_text(e->value);
        char *key = cs_arena_strdup(&p->arena, e->key);
        for (char *c = key; *c; c++) {
            *c = *c == '_' ? '-' : *c;
            if (!isalnum((unsigned char)*c) && *c != '-')
                value = NULL;
        }
        if (!value || !*key)
            return cs_fail(err, CS_EMODEL, "line %d: postprocess: '%s' is no option with a value",
                           e->value->line, e->key);
        cs_meta_set(&p->postprocess, key, value);
    }
    return 0;
}

static int read_size(struct cs_package *p, const struct cs_yaml *size, struct cs_err *err)
{
    if (!size)
        return 0;
    if (size->kind != CS_YAML_LIST || size->count != 2)
        return cs_fail(err, CS_EMODEL, "line %d: size is not [height, width]", size->line);
    return cs_package_int(size->first->value, "size", 1, CS_PACKAGE_MAX_SIDE, 0, &p->fit_height,
                          err) != 0
               ? -1
               : cs_package_int(size->first->next->value, "size", 1, CS_PACKAGE_MAX_SIDE, 0,
                                &p->fit_width, err);
}

// ---- Maps --------------------------------------------------------------------------------

static int add_map(struct cs_package *p, const char *name, int output, int64_t channel,
                   struct cs_err *err)
{
    if (p->map_count == CS_PACKAGE_MAX_CHANNELS)
        return cs_fail(err, CS_EMODEL, "channels: more than %d", CS_PACKAGE_MAX_CHANNELS);
    if (!*name || strpbrk(name, ",\n"))
        return cs_fail(err, CS_EMODEL, "channels: '%s' is empty or holds a comma", name);
    for (int i = 0; i < p->map_count; i++)
        if (strcmp(p->maps[i].name, name) == 0)
            return cs_fail(err, CS_EMODEL, "channels: '%s' is given twice", name);
    p->maps[p->map_count++] = (struct cs_package_map){name, output, (int)channel};
    return 0;
}

// NAME: OUTPUT, or NAME: {output: OUTPUT, channel: N}
static int read_map(struct cs_package *p, const struct cs_yaml_entry *entry, struct cs_err *err)
{
    const struct cs_yaml *value = entry->value;
    const char *text = cs_yaml_text(value);
    const char *wanted = text ? text : cs_yaml_text(GET(value, "output"));
    int64_t channel;
    int output = 0;
    if (!wanted)
        return cs_fail(err, CS_EMODEL, "line %d: channels: '%s' names no output", value->line,
                       entry->key);
    while (output < p->output_count && strcmp(p->outputs[output].name, wanted) != 0)
        output++;
    if (output == p->output_count)
        return cs_fail(err, CS_EMODEL, "line %d: channels: there is no output '%s'", value->line,
                       wanted);
    if (!cs_tensor_is_image(&p->outputs[output]))
        return cs_fail(err, CS_EMODEL, "line %d: channels: output '%s' has no plane", value->line,
                       wanted);
    if (cs_package_int(GET(value, "channel"), "channel", 0, INT16_MAX, 0, &channel, err) != 0)
        return -1;
    return add_map(p, entry->key, output, channel, err);
}

// Which maps the network gives: without a word the channels of its first output with a plane.
static int read_maps(struct cs_package *p, const struct cs_yaml *channels, struct cs_err *err)
{
    p->map_output = 0;
    while (p->map_output < p->output_count && !cs_tensor_is_image(&p->outputs[p->map_output]))
        p->map_output++;
    if (p->map_output == p->output_count)
        return cs_fail(err, CS_EMODEL, "no output has the axes batch, channel, y, x");
    p->maps_chosen = channels != NULL;
    if (channels && channels->kind == CS_YAML_MAP) {
        p->map_output = -1;
        for (const struct cs_yaml_entry *e = channels->first; e; e = e->next)
            if (read_map(p, e, err) != 0)
                return -1;
        return p->map_count ? 0 : cs_fail(err, CS_EMODEL, "channels: none are named");
    }
    const char *names[CS_PACKAGE_MAX_CHANNELS];
    int count;
    if (cs_package_texts(channels, "channels", names, CS_PACKAGE_MAX_CHANNELS, &count, err) != 0)
        return -1;
    for (int i = 0; i < count; i++)
        if (add_map(p, names[i], p->map_output, i, err) != 0)
            return -1;
    return 0;
}

static int read_ours(struct cs_package *p, const struct cs_yaml *ours, struct cs_err *err)
{
    static const char *const inputs[] = {"replicate", "rgb", "mean", NULL};
    int64_t version;
    int fit = p->fit, input;
    if (cs_package_int(GET(ours, "version"), "version", 1, 1, 1, &version, err) != 0 ||
        cs_package_choice(GET(ours, "fit"), "fit", fit_names, fit, &fit, err) != 0 ||
        cs_package_choice(GET(ours, "input_channels"), "input_channels", inputs, 0, &input, err) !=
            0 ||
        cs_package_int(GET(ours, "stride"), "stride", 1, 4096, p->stride, &p->stride, err) != 0 ||
        cs_package_real(GET(ours, "pixel_um"), "pixel_um", 1e-6, 1e6, p->pixel_um, &p->pixel_um,
                        err) != 0 ||
        read_maps(p, GET(ours, "channels"), err) != 0 ||
        read_size(p, GET(ours, "size"), err) != 0 ||
        read_postprocess(p, GET(ours, "postprocess"), err) != 0)
        return cs_err_context(err, "config: cellstream");
    p->fit = (enum cs_fit)fit;
    p->input_channels = (enum cs_input_channels)input;
    if (p->fit == CS_FIT_RESIZE && !p->fit_height)
        return cs_fail(err, CS_EMODEL, "fit: resize needs a size, or inputs of one size");
    return 0;
}

static int read_description(struct cs_package *p, const struct cs_yaml *root, struct cs_err *err)
{
    if (root->kind != CS_YAML_MAP)
        return cs_fail(err, CS_EMODEL, "no map of keys: not a model description");
    p->format_version = cs_yaml_text(GET(root, "format_version"));
    if (!p->format_version)
        return cs_fail(err, CS_EMODEL, "format_version is missing: not a model description");
    const char *v = p->format_version;
    if ((strncmp(v, "0.4", 3) != 0 && strncmp(v, "0.5", 3) != 0) || (v[3] && v[3] != '.'))
        return cs_fail(err, CS_EMODEL, "format_version %s is not supported (0.4 and 0.5 are)", v);
    const char *type = cs_yaml_text(GET(root, "type"));
    if (!type || strcmp(type, "model") != 0)
        return cs_fail(err, CS_EMODEL, "type is %s, not model", type ? type : "missing");
    p->name = cs_yaml_text(GET(root, "name"));
    p->version = cs_yaml_text(GET(root, "version"));
    p->description = cs_yaml_text(GET(root, "description"));
    p->license = cs_yaml_text(GET(root, "license"));
    if (!p->name)
        return cs_fail(err, CS_EMODEL, "name is missing");
    if (read_weights(p, root, err) != 0 || read_tensors(p, root, true, err) != 0 ||
        read_tensors(p, root, false, err) != 0)
        return -1;
    default_fit(p);
    if (read_ours(p, GET(GET(root, "config"), "cellstream"), err) != 0)
        return -1;
    const struct cs_tensor_spec *output = &p->outputs[p->map_output < 0 ? 0 : p->map_output];
    if (!p->map_count && output->channels[0])
        for (int i = 0; i < output->channel_count; i++)
            if (add_map(p, output->channels[i], p->map_output, i, err) != 0)
                return -1;
    return 0;
}

int cs_package_parse(struct cs_package *package, const char *text, size_t len, const char *folder,
                     struct cs_err *err)
{
    const struct cs_yaml *root = NULL;
    *package = (struct cs_package){0};
    package->folder = cs_arena_strdup(&package->arena, folder);
    const char *slash = strrchr(folder, '/');
    package->short_name = cs_arena_strdup(&package->arena, slash ? slash + 1 : folder);
    if (cs_yaml_parse(&package->arena, text, len, &root, err) != 0 ||
        read_description(package, root, err) != 0) {
        cs_package_release(package);
        return -1;
    }
    cs_sha256_hex(text, len, package->rdf_sha256);
    return 0;
}

// ---- Finding -----------------------------------------------------------------------------

static bool is_package(const char *folder)
{
    struct stat st;
    char *path = cs_xasprintf("%s/rdf.yaml", folder);
    bool found = stat(path, &st) == 0 && S_ISREG(st.st_mode);
    free(path);
    return found;
}

// "DIR (NAME, NAME)", with the packages in it.
static void note_folder(const char *dir, struct cs_buf *tried)
{
    struct dirent **entries = NULL;
    int count = scandir(dir, &entries, NULL, alphasort), found = 0;
    cs_buf_addf(tried, "%s%s", tried->len ? ", " : "", dir);
    for (int i = 0; i < count; i++) {
        char *folder = cs_xasprintf("%s/%s", dir, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.' && is_package(folder))
            cs_buf_addf(tried, "%s%s", found++ ? ", " : " (", entries[i]->d_name);
        free(folder);
        free(entries[i]);
    }
    free(entries);
    cs_buf_adds(tried, found ? ")" : "");
}

// DIR/NAME if it is a package, else NULL; notes DIR in `tried`.
static char *try_folder(const char *dir, int dir_len, const char *name, struct cs_buf *tried)
{
    char *folder = cs_xasprintf("%.*s/%s", dir_len, dir, name);
    if (is_package(folder))
        return folder;
    folder[dir_len] = '\0';
    note_folder(folder, tried);
    free(folder);
    return NULL;
}

static char *find_by_name(const char *name, struct cs_buf *tried)
{
    const char *list = getenv("CELLSTREAM_MODEL_PATH");
    char *found = NULL;
    while (list && *list && !found) {
        size_t len = strcspn(list, ":");
        if (len)
            found = try_folder(list, (int)len, name, tried);
        list += len + (list[len] == ':');
    }
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n > 0 && !found) {
        exe[n] = '\0';
        char *slash = strrchr(exe, '/');
        *slash = '\0';
        static const char *const beside[] = {"../../models", "../share/cellstream/models"};
        for (int i = 0; i < 2 && !found; i++) {
            char *joined = cs_xasprintf("%s/%s", exe, beside[i]);
            char *dir = realpath(joined, NULL);
            if (dir)
                found = try_folder(dir, (int)strlen(dir), name, tried);
            free(dir);
            free(joined);
        }
    }
    if (!found)
        found = try_folder(CS_MODEL_DIR, (int)strlen(CS_MODEL_DIR), name, tried);
    if (!found && is_package(name))
        found = cs_xstrdup(name);
    return found;
}

// The package's folder; caller frees. NULL with CS_EMODEL.
static char *find_folder(const char *name, struct cs_err *err)
{
    struct cs_buf tried = {0};
    struct stat st;
    char *found = NULL;
    if (!*name || !strchr(name, '/')) {
        found = *name ? find_by_name(name, &tried) : NULL;
        if (!found && (stat(name, &st) != 0 || !S_ISREG(st.st_mode)))
            cs_fail(err, CS_EMODEL, "no model '%s' in %s", name, tried.len ? tried.data : "");
    }
    if (!found && stat(name, &st) == 0) {
        if (S_ISDIR(st.st_mode)) {
            found = cs_xstrdup(name);
            size_t len = strlen(found);
            while (len > 1 && found[len - 1] == '/')
                found[--len] = '\0';
        } else {
            const char *slash = strrchr(name, '/');
            const char *base = slash ? slash + 1 : name;
            size_t len = strlen(base);
            if (len > 5 && strcmp(base + len - 5, ".yaml") == 0)
                found = slash ? cs_xstrndup(name, (size_t)(slash - name)) : cs_xstrdup(".");
            else
                cs_fail(err, CS_EMODEL, "%s: no package (a folder with rdf.yaml is one)", name);
        }
    } else if (!found && strchr(name, '/')) {
        cs_fail_errno(err, CS_EMODEL, "%s", name);
    }
    cs_buf_release(&tried);
    return found;
}

// A link inside the package may not lead out of it either.
static int check_inside(const struct cs_package *p, const char *path, struct cs_err *err)
{
    char *real = path ? realpath(path, NULL) : NULL, *folder = realpath(p->folder, NULL);
    int result = 0;
    if (real && folder) {
        size_t len = strlen(folder);
        if (strncmp(real, folder, len) != 0 || (real[len] != '/' && len > 1))
            result = cs_fail(err, CS_EMODEL, "%s leads out of the package's folder", path);
    }
    free(real);
    free(folder);
    return result;
}

static int check_paths(const struct cs_package *p, struct cs_err *err)
{
    if (access(p->weights_path, R_OK) != 0)
        return cs_fail_errno(err, CS_EMODEL, "%s", p->weights_path);
    if (check_inside(p, p->weights_path, err) != 0 || check_inside(p, p->external_path, err) != 0)
        return -1;
    for (int i = 0; i < p->input_count; i++)
        if (check_inside(p, p->inputs[i].test_path, err) != 0)
            return -1;
    for (int i = 0; i < p->output_count; i++)
        if (check_inside(p, p->outputs[i].test_path, err) != 0)
            return -1;
    return 0;
}

int cs_package_open(struct cs_package *package, const char *name, struct cs_err *err)
{
    *package = (struct cs_package){0};
    char *folder = find_folder(name, err);
    if (!folder)
        return -1;
    size_t len = strlen(name);
    bool yaml = len > 5 && strcmp(name + len - 5, ".yaml") == 0 && !is_package(name);
    char *path = yaml ? cs_xstrdup(name) : cs_xasprintf("%s/rdf.yaml", folder);
    struct cs_buf text = {0};
    // "." and "dir/.." name nothing: the package's short name is that of the real folder.
    char *real = realpath(folder, NULL);
    int result = cs_read_file(path, CS_YAML_MAX_BYTES, &text, err);
    if (result != 0 && err)
        err->code = CS_EMODEL;
    if (result == 0) {
        result = cs_package_parse(package, text.data ? text.data : "", text.len,
                                  real ? real : folder, err);
        if (result != 0)
            cs_err_context(err, "%s", path);
    }
    if (result == 0) {
        package->path = cs_arena_strdup(&package->arena, path);
        result = check_paths(package, err);
        if (result != 0)
            cs_package_release(package);
    }
    cs_buf_release(&text);
    free(real);
    free(path);
    free(folder);
    return result;
}

int cs_package_check_file(const char *path, const char *expected, char actual[CS_SHA256_HEX],
                          struct cs_err *err)
{
    if (cs_sha256_file(path, actual, err) != 0) {
        if (err)
            err->code = CS_EMODEL;
        return -1;
    }
    if (expected && strcasecmp(expected, actual) != 0)
        return cs_fail(err, CS_EMODEL, "%s: its sha256 is %s, the package says %.80s", path, actual,
                       expected);
    return 0;
}
