// SPDX-License-Identifier: MIT
#include "infer/tuning.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/io.h"
#include "base/json.h"
#include "base/json_read.h"
#include "base/mem.h"

const char *cs_tuning_folder(const char *dir)
{
    const char *folder = dir ? dir : getenv("CELLSTREAM_CACHE");
    return folder && *folder ? folder : NULL;
}

char *cs_tuning_path(const char *folder, const struct cs_tuning_key *key)
{
    char *about = cs_xasprintf("%s\n%s", CS_VERSION, key->device);
    char *path = cs_xasprintf("%s/%s-%.16s-%016llx.json", folder, key->subject, key->weights_sha256,
                              (unsigned long long)cs_xxh3(about, strlen(about)));
    free(about);
    return path;
}

// ---- Reading -----------------------------------------------------------------------------

static bool says(const struct cs_json *root, const char *name, const char *expected)
{
    const char *text = cs_json_text(cs_json_get(root, name));
    return text && strcmp(text, expected) == 0;
}

static int check_key(const struct cs_json *root, const struct cs_tuning_key *key,
                     struct cs_err *err)
{
    const struct {
        const char *name, *expected;
    } members[] = {{"version", CS_VERSION},
                   {"subject", key->subject},
                   {"weights", key->weights_sha256},
                   {"device", key->device}};
    if (!says(root, "cellstream", "tuning") || cs_json_int(cs_json_get(root, "v"), 0) != 1)
        return cs_fail(err, CS_EINPUT, "no tuning file of CellStream");
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (!says(root, members[i].name, members[i].expected))
            return cs_fail(err, CS_EINPUT, "belongs to another %s", members[i].name);
    return 0;
}

static int take_values(const struct cs_json *list, struct cs_meta *values, struct cs_err *err)
{
    int count = 0;
    if (!list || list->kind != CS_JSON_OBJECT)
        return cs_fail(err, CS_EINPUT, "has no values");
    for (const struct cs_json *value = list->child; value; value = value->next)
        if (value->kind != CS_JSON_STRING || ++count > CS_META_MAX_PAIRS)
            return cs_fail(err, CS_EINPUT, "value '%s' is no text, or one too many", value->name);
    for (const struct cs_json *value = list->child; value; value = value->next)
        cs_meta_set(values, value->name, value->text);
    return 0;
}

int cs_tuning_parse(const char *text, size_t len, const struct cs_tuning_key *key,
                    struct cs_meta *values, struct cs_err *err)
{
    struct cs_arena arena = {0};
    const struct cs_json *root;
    int result = -1;
    if (cs_json_parse(text, len, &arena, &root, err) == 0 && check_key(root, key, err) == 0)
        result = take_values(cs_json_get(root, "values"), values, err);
    cs_arena_release(&arena);
    return result;
}

int cs_tuning_read(const char *folder, const struct cs_tuning_key *key, struct cs_meta *values,
                   struct cs_err *err)
{
    struct cs_buf text = {0};
    char *path = cs_tuning_path(folder, key);
    int result = 0;
    if (access(path, F_OK) == 0 || errno != ENOENT) {
        result = cs_read_file(path, CS_TUNING_MAX_BYTES, &text, err);
        if (result == 0) {
            result = cs_tuning_parse(text.data ? text.data : "", text.len, key, values, err) == 0
                         ? 1
                         : cs_err_context(err, "%s", path);
        }
    }
    cs_buf_release(&text);
    free(path);
    return result;
}

// ---- Writing -----------------------------------------------------------------------------

static void add_member(struct cs_buf *out, const char *name, const char *value)
{
    cs_json_string(out, name);
    cs_buf_addc(out, ':');
    cs_json_string(out, value);
}

static void write_text(struct cs_buf *out, const struct cs_tuning_key *key,
                       const struct cs_meta *values)
{
    cs_buf_adds(out, "{\"cellstream\":\"tuning\",\"v\":1,");
    add_member(out, "version", CS_VERSION);
    cs_buf_addc(out, ',');
    add_member(out, "subject", key->subject);
    cs_buf_adds(out, ",\n ");
    add_member(out, "weights", key->weights_sha256);
    cs_buf_addc(out, ',');
    add_member(out, "device", key->device);
    cs_buf_adds(out, ",\"values\":{");
    for (int i = 0; i < values->count; i++) {
        cs_buf_adds(out, i ? ",\n  " : "\n  ");
        add_member(out, values->pairs[i].key, values->pairs[i].value);
    }
    cs_buf_adds(out, "}}\n");
}

int cs_tuning_write(const char *folder, const struct cs_tuning_key *key,
                    const struct cs_meta *values, struct cs_err *err)
{
    struct cs_outfile out = {0};
    struct cs_buf text = {0};
    char *path = cs_tuning_path(folder, key);
    int result = -1;
    write_text(&text, key, values);
    if (cs_outfile_open(&out, path, err) == 0) {
        fwrite(text.data, 1, text.len, out.file); // commit looks at the file's error
        result = cs_outfile_commit(&out, 0, err);
    }
    cs_outfile_abort(&out);
    cs_buf_release(&text);
    free(path);
    return result;
}
