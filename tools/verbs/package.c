// SPDX-License-Identifier: MIT
// cs-model package: a bare ONNX file becomes a package that cs-infer runs. The description is
// derived from the graph and the options (model/package_derive.h); the test is an image drawn here,
// or one given, and what backend `ref` makes of it. rdf.yaml comes last: a folder without it is no
// package.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/mem.h"
#include "infer/check.h"
#include "model/npy_tensor.h"
#include "model/onnx.h"
#include "model/package_derive.h"
#include "model/package_write.h"
#include "segment/postprocess.h"
#include "verbs.h"

struct wrap {
    const struct model_options *options;
    const char *onnx; // the bare file
    char *folder;     // of the bare file
    struct cs_package package;
    struct cs_graph graph;
    struct cs_onnx *file;
    struct cs_tensor in, out[CS_PACKAGE_MAX_TENSORS];
    char weights_sha[CS_SHA256_HEX], external_sha[CS_SHA256_HEX];
    char in_sha[CS_SHA256_HEX], out_sha[CS_PACKAGE_MAX_TENSORS][CS_SHA256_HEX];
};

static const char *in_folder(struct wrap *w, const char *name)
{
    char *path = cs_xasprintf("%s/%s", w->package.folder, name);
    const char *copy = cs_arena_strdup(&w->package.arena, path);
    free(path);
    return copy;
}

// ---- The description ---------------------------------------------------------------------

// "test_output.npy", "test_output1.npy"...
static char *output_name(int k)
{
    return k ? cs_xasprintf("test_output%d.npy", k) : cs_xstrdup("test_output.npy");
}

// The network's files keep their names, which must not be those that are written beside them.
static int check_name(const char *name, struct cs_err *err)
{
    bool taken = strcmp(name, "rdf.yaml") == 0 || strcmp(name, "test_input.npy") == 0;
    for (int k = 0; k < CS_PACKAGE_MAX_TENSORS && !taken; k++) {
        char *output = output_name(k);
        taken = strcmp(name, output) == 0;
        free(output);
    }
    return taken ? cs_fail(err, CS_EUSAGE, "%s: a package has another file of this name", name) : 0;
}

// The file's name without its ending.
static const char *bare_name(struct wrap *w, const char *base)
{
    const char *dot = strrchr(base, '.');
    return cs_arena_strndup(&w->package.arena, base,
                            dot && dot > base ? (size_t)(dot - base) : strlen(base));
}

static int set_post(struct wrap *w, struct cs_err *err)
{
    struct cs_post post;
    cs_post_init(&post);
    for (const char *at = w->options->post; at && *at;) {
        size_t len = strcspn(at, ","), key = strcspn(at, "=");
        if (key >= len)
            return cs_fail(err, CS_EUSAGE, "--post: '%.*s' is not OPTION=VALUE", (int)len, at);
        char *name = cs_xstrndup(at, key), *value = cs_xstrndup(at + key + 1, len - key - 1);
        int result = cs_post_set(&post, name, value, err);
        if (result == 0)
            cs_meta_set(&w->package.postprocess, name, value);
        free(name);
        free(value);
        if (result != 0)
            return cs_err_context(err, "--post");
        at += len + (at[len] == ',');
    }
    return 0;
}

static int describe(struct wrap *w, struct cs_err *err)
{
    const struct model_options *o = w->options;
    struct cs_package *p = &w->package;
    const char *slash = strrchr(w->onnx, '/');
    const char *base = slash ? slash + 1 : w->onnx;
    struct cs_derive_options d = {
        .name = o->name ? o->name : bare_name(w, base),
        .description = o->describe,
        .license = o->license,
        .normalise = o->normalise,
        .maps = o->maps,
        .fit = o->fit,
        .activation = o->activation,
        .input_channels = (enum cs_input_channels)o->input_channels,
        .stride = o->stride,
    };
    if (o->size && model_size(o->size, &d.width, &d.height, err) != 0)
        return -1;
    p->weights_path = in_folder(w, base);
    const char *external = cs_onnx_external(w->file, 0);
    if (cs_onnx_external(w->file, 1))
        return cs_fail(err, CS_EMODEL, "%s: its weights lie in several files, one is supported",
                       w->onnx);
    if (check_name(base, err) != 0 || (external && check_name(external, err) != 0))
        return -1;
    if (external)
        p->external_path = in_folder(w, external);
    p->weights_sha256 = w->weights_sha;
    p->external_sha256 = external ? w->external_sha : NULL;
    p->inputs[0].test_path = NULL;
    p->pixel_um = o->pixel_um;
    if (cs_package_derive(p, &w->graph, &d, err) != 0)
        return cs_err_context(err, "%s", w->onnx);
    p->inputs[0].test_path = in_folder(w, "test_input.npy");
    p->inputs[0].test_sha256 = w->in_sha;
    for (int k = 0; k < p->output_count; k++) {
        char *name = output_name(k);
        p->outputs[k].test_path = in_folder(w, name);
        p->outputs[k].test_sha256 = w->out_sha[k];
        free(name);
    }
    return set_post(w, err);
}

// ---- The test ----------------------------------------------------------------------------

// Bright discs with soft edges on a dark, noisy ground, in whole numbers of 0 to 255: the same on
// every machine.
static void draw(float *plane, int64_t height, int64_t width, uint32_t seed)
{
    uint32_t random = 12345;
    for (int64_t i = 0; i < height * width; i++) {
        random = random * 1664525 + 1013904223;
        plane[i] = (float)(20 + (random >> 28));
    }
    for (int k = 0; k < 24; k++) {
        random = random * 1664525 + 1013904223;
        int64_t cy = (random >> 8) % (uint32_t)height;
        random = random * 1664525 + 1013904223;
        int64_t cx = (random >> 8) % (uint32_t)width;
        random = random * 1664525 + 1013904223;
        int64_t r = 5 + (random >> 28), peak = 100 + (random >> 20) % 100 - seed * 20;
        for (int64_t y = cy > r ? cy - r : 0; y <= cy + r && y < height; y++) {
            for (int64_t x = cx > r ? cx - r : 0; x <= cx + r && x < width; x++) {
                int64_t d = r * r - (y - cy) * (y - cy) - (x - cx) * (x - cx);
                int64_t value = d > 0 ? 20 + peak * d * 2 / (r * r) : 0;
                value = value > 20 + peak ? 20 + peak : value;
                if ((float)value > plane[y * width + x])
                    plane[y * width + x] = (float)value;
            }
        }
    }
}

static int make_input(struct wrap *w, const struct cs_session_info *info, struct cs_err *err)
{
    struct cs_tensor *t = &w->in;
    int64_t h = info->probe_height, v = info->probe_width;
    if (w->options->test) {
        if (cs_tensor_read(t, w->options->test, err) != 0)
            return -1;
        return t->rank == 4 ? 0
                            : cs_fail(err, CS_EUSAGE, "%s: %d axes, not 1, C, H, W",
                                      w->options->test, t->rank);
    }
    *t = (struct cs_tensor){.rank = 4, .dim = {1, info->channels, h, v}};
    t->count = (size_t)(info->channels * h * v);
    t->data = cs_alloc(t->count, sizeof *t->data, "test image", err);
    if (!t->data)
        return -1;
    for (int c = 0; c < info->channels; c++)
        draw(t->data + c * h * v, h, v, (uint32_t)c % 4);
    return 0;
}

// The network is still where it was found.
static int make_test(struct wrap *w, struct cs_err *err)
{
    struct cs_package bare = w->package;
    struct cs_session *session = NULL;
    struct cs_session_info info;
    struct cs_session_options o = {.device = "ref", .slots = 1, .all_outputs = true};
    bare.weights_path = w->onnx;
    if (cs_session_open(&session, &bare, &o, &info, err) != 0)
        return -1;
    int result = make_input(w, &info, err) != 0
                     ? -1
                     : cs_check_make(session, &bare, &info, &w->in, w->out, err);
    cs_session_close(session);
    return result;
}

// ---- Files -------------------------------------------------------------------------------

static int put(const char *path, const struct cs_buf *bytes, struct cs_err *err)
{
    struct cs_outfile out;
    if (cs_outfile_open(&out, path, err) != 0)
        return -1;
    fwrite(bytes->data, 1, bytes->len, out.file); // commit looks at the file's error
    printf("file\t%s\n", path);
    return cs_outfile_commit(&out, 0, err);
}

static int put_tensor(const struct cs_tensor *tensor, const char *path, char sha[CS_SHA256_HEX],
                      struct cs_err *err)
{
    struct cs_buf bytes = {0};
    cs_tensor_write(tensor, &bytes);
    cs_sha256_hex(bytes.data, bytes.len, sha);
    int result = put(path, &bytes, err);
    cs_buf_release(&bytes);
    return result;
}

static bool is_same(const char *a, const char *b)
{
    struct stat one, other;
    return stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

static int copy(const char *from, const char *to, char sha[CS_SHA256_HEX], struct cs_err *err)
{
    enum { CHUNK = 1 << 16 };
    struct cs_outfile out;
    char chunk[CHUNK];
    size_t n;
    if (cs_sha256_file(from, sha, err) != 0)
        return -1;
    if (is_same(from, to))
        return 0;
    FILE *in = fopen(from, "rbe");
    if (!in)
        return cs_fail_errno(err, CS_EIO, "%s", from);
    if (cs_outfile_open(&out, to, err) != 0) {
        fclose(in);
        return -1;
    }
    while ((n = fread(chunk, 1, sizeof chunk, in)) > 0)
        fwrite(chunk, 1, n, out.file);
    int result =
        ferror(in) ? cs_fail_errno(err, CS_EIO, "%s", from) : cs_outfile_commit(&out, 0, err);
    fclose(in);
    cs_outfile_abort(&out);
    if (result == 0)
        printf("file\t%s\n", to);
    return result;
}

static int copy_external(struct wrap *w, struct cs_err *err)
{
    if (!w->package.external_path)
        return 0;
    char *from = cs_xasprintf("%s/%s", w->folder, cs_onnx_external(w->file, 0));
    int result = copy(from, w->package.external_path, w->external_sha, err);
    free(from);
    return result;
}

// What is written must be what is read; texts that YAML cannot hold show here.
static int put_description(struct wrap *w, struct cs_err *err)
{
    struct cs_package again;
    struct cs_buf text = {0};
    cs_buf_adds(&text,
                "# Made by cs-model package. test_output.npy is what CellStream's reference\n"
                "# backend, which sums in double precision, gives for test_input.npy.\n");
    cs_package_write(&w->package, w->graph.opset, &text);
    int result = cs_package_parse(&again, text.data, text.len, w->package.folder, err);
    if (result == 0) {
        cs_package_release(&again);
        result = put(in_folder(w, "rdf.yaml"), &text, err);
    } else {
        err->code = CS_EUSAGE;
        cs_err_context(err, "the description could not be read again");
    }
    cs_buf_release(&text);
    return result;
}

// ---- The whole ---------------------------------------------------------------------------

static int make(struct wrap *w, struct cs_err *err)
{
    const char *rdf = in_folder(w, "rdf.yaml");
    struct stat st;
    if (stat(rdf, &st) == 0)
        return cs_fail(err, CS_EUSAGE, "%s is there already", rdf);
    if (cs_onnx_read(w->onnx, &w->graph, &w->file, err) != 0 || describe(w, err) != 0 ||
        make_test(w, err) != 0)
        return -1;
    const struct cs_package *p = &w->package;
    if (copy(w->onnx, p->weights_path, w->weights_sha, err) != 0 || copy_external(w, err) != 0 ||
        put_tensor(&w->in, p->inputs[0].test_path, w->in_sha, err) != 0)
        return -1;
    for (int k = 0; k < p->output_count; k++)
        if (put_tensor(&w->out[k], p->outputs[k].test_path, w->out_sha[k], err) != 0)
            return -1;
    return put_description(w, err);
}

int model_package(const struct model_options *options, const char *onnx, struct cs_err *err)
{
    if (!options->output || !*options->output)
        return cs_fail(err, CS_EUSAGE, "where to? (-o DIR)");
    struct wrap w = {.options = options, .onnx = onnx};
    size_t len = strlen(options->output);
    while (len > 1 && options->output[len - 1] == '/')
        len--;
    w.package.folder = cs_arena_strndup(&w.package.arena, options->output, len);
    const char *slash = strrchr(onnx, '/');
    w.folder = slash ? cs_xstrndup(onnx, (size_t)(slash - onnx)) : cs_xstrdup(".");
    int result = make(&w, err);
    cs_tensor_release(&w.in);
    for (int k = 0; k < CS_PACKAGE_MAX_TENSORS; k++)
        cs_tensor_release(&w.out[k]);
    cs_graph_release(&w.graph);
    cs_onnx_free(w.file);
    cs_package_release(&w.package);
    free(w.folder);
    return result;
}
