// SPDX-License-Identifier: MIT
// Numbers and fields of tables, the manifest's lines and key, and the merging of odd rows.
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/io.h"
#include "base/json_read.h"
#include "export/features.h"
#include "export/manifest.h"
#include "export/merge.h"
#include "planes.h"
#include "suite.h"

static void put_number(char text[64], double value)
{
    struct cs_buf out = {0};
    cs_number_put(&out, value);
    snprintf(text, 64, "%s", out.data ? out.data : "");
    cs_buf_release(&out);
}

START_TEST(numbers)
{
    static const struct {
        double value;
        const char *text;
    } known[] = {{0, "0"},
                 {-0.0, "0"},
                 {1, "1"},
                 {-2.5, "-2.5"},
                 {0.1, "0.1"},
                 {1e11, "100000000000"},
                 {NAN, ""},
                 {INFINITY, ""},
                 {0.00012, "0.00012"},
                 {123456.789, "123456.789"},
                 {1.0 / 3, "0.333333333333"},
                 {999999999999.6, "1e+12"}};
    char text[64];
    uint64_t seed = 3;
    for (size_t i = 0; i < sizeof known / sizeof *known - 1; i++) {
        put_number(text, known[i].value);
        ck_assert_str_eq(text, known[i].text);
    }
    for (int i = 0; i < 20000; i++) {
        double value = (planes_random(&seed) - 1073741824.0) * pow(10, (double)(i % 40) - 25);
        put_number(text, value);
        ck_assert_double_le(fabs(strtod(text, NULL) - value), 5.1e-12 * fabs(value));
    }
}
END_TEST

START_TEST(fields)
{
    static const char *const pairs[][2] = {{"a b.tif", "a b.tif"},
                                           {"a,b", "\"a,b\""},
                                           {"say \"x\"", "\"say \"\"x\"\"\""},
                                           {"two\nlines", "\"two\nlines\""},
                                           {"cr\rlf", "\"cr\rlf\""},
                                           {"", ""}};
    for (size_t i = 0; i < 6; i++) {
        struct cs_buf out = {0};
        cs_csv_field(&out, pairs[i][0]);
        ck_assert_str_eq(out.data ? out.data : "", pairs[i][1]);
        cs_buf_release(&out);
    }
}
END_TEST

// ---- Records -------------------------------------------------------------------------------

static char folder[64];

static void make_folder(void)
{
    snprintf(folder, sizeof folder, "/tmp/cs-test-export.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static void path_of(char path[128], const char *name)
{
    snprintf(path, 128, "%s/%s", folder, name);
}

static void read_text(struct cs_buf *text, const char *name)
{
    char path[128];
    struct cs_err err = {0};
    path_of(path, name);
    ck_assert_msg(cs_read_file(path, 1 << 20, text, &err) == 0, "%s", err.text);
}

static void make_item(struct cs_item *item, const char *source, const char *name)
{
    *item = (struct cs_item){0};
    cs_meta_set(&item->begin, CS_KEY_SOURCE, source);
    cs_meta_set(&item->begin, CS_KEY_OUTPUT, name);
    cs_meta_set(&item->begin, CS_KEY_Z, "max");
    cs_meta_set(&item->begin, CS_KEY_TIME, "3");
    cs_meta_set(&item->begin, CS_KEY_CHANNELS, "DAPI,a\\,b");
    cs_meta_set(&item->begin, CS_KEY_PIXEL, "0.325");
    cs_meta_set(&item->begin, CS_KEY_INPUT "index", "12");
    cs_meta_set(&item->begin, CS_KEY_INPUT "bytes", "99");
    cs_meta_set(&item->done, CS_KEY_STATUS, "ok");
    cs_meta_set(&item->done, CS_KEY_OBJECTS, "2");
    cs_meta_set(&item->done, CS_KEY_MS "load", "7");
}

static const char *text_at(const struct cs_json *line, const char *a, const char *b)
{
    const struct cs_json *value = cs_json_get(line, a);
    const char *text = cs_json_text(b ? cs_json_get(value, b) : value);
    return text ? text : "none";
}

START_TEST(manifest_line)
{
    struct cs_err err = {0};
    struct cs_meta head = {0};
    struct cs_manifest *manifest;
    struct cs_item item;
    struct cs_buf text = {0};
    struct cs_arena arena = {0};
    const struct cs_json *line;
    char path[128];
    make_folder();
    path_of(path, "polygons/a.geojson");
    ck_assert_int_eq(cs_make_parents(path, &err), 0);
    FILE *file = fopen(path, "w");
    fputs("hello", file);
    fclose(file);
    cs_meta_set(&head, CS_KEY_MODEL, "nuclei");
    make_item(&item, "plate/a.tif", "a");
    cs_manifest_wrote(&item, "geojson", path);
    ck_assert_int_eq(cs_manifest_open(&manifest, folder, 7, &head, &err), 0);
    ck_assert_int_eq(cs_manifest_rows(manifest, "x,1\n", 4, false, 0, &err), 0);
    ck_assert_int_eq(cs_manifest_rows(manifest, "x,2\n", 4, false, 0, &err), 0);
    ck_assert_int_eq(cs_manifest_item(manifest, &item, &err), 0);
    // A promised file that is not there.
    cs_manifest_wrote(&item, "labels", "/nonexistent.tif");
    ck_assert_int_eq(cs_manifest_item(manifest, &item, &err), -1);
    ck_assert_int_eq(cs_manifest_close(manifest, &err), 0);
    read_text(&text, ".cs/0007.manifest.jsonl");
    ck_assert_int_eq(cs_json_parse(text.data, text.len, &arena, &line, &err), 0);
    ck_assert_str_eq(text_at(line, "n", NULL), "12");
    ck_assert_str_eq(text_at(line, "image", NULL), "plate/a.tif");
    ck_assert_str_eq(text_at(line, "plane", "z"), "max");
    ck_assert_str_eq(text_at(line, "plane", "t"), "3");
    ck_assert_str_eq(text_at(line, "input", "bytes"), "99");
    ck_assert_str_eq(text_at(line, "pixel_um", NULL), "0.325");
    ck_assert_str_eq(text_at(line, "model", NULL), "nuclei");
    ck_assert_str_eq(text_at(line, "ms", "load"), "7");
    const struct cs_json *channel = cs_json_get(cs_json_get(line, "plane"), "c")->child;
    ck_assert_str_eq(channel->text, "DAPI");
    ck_assert_str_eq(channel->next->text, "a,b");
    const struct cs_json *output = cs_json_get(line, "outputs")->child;
    char hash[17];
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)cs_xxh3("hello", 5));
    ck_assert_str_eq(text_at(output, "path", NULL), "polygons/a.geojson");
    ck_assert_str_eq(text_at(output, "bytes", NULL), "5");
    ck_assert_str_eq(text_at(output, "xxh3", NULL), hash);
    ck_assert_str_eq(text_at(output->next, "path", NULL), ".cs/0007.objects.csv");
    ck_assert_str_eq(text_at(output->next, "bytes", NULL), "8");
    cs_arena_release(&arena);
    cs_buf_release(&text);
    cs_item_release(&item);
    cs_meta_release(&head);
    remove_folder();
}
END_TEST

START_TEST(key_follows_parameters)
{
    struct cs_meta head = {0};
    char a[17], b[17];
    cs_prov_add(&head, "cs-load", "z=max");
    cs_meta_set(&head, CS_KEY_DEVICE, "cpu");
    cs_manifest_key(&head, a);
    cs_meta_set(&head, CS_KEY_DEVICE, "other");
    cs_manifest_key(&head, b);
    ck_assert_str_eq(a, b);
    cs_meta_set(&head, CS_KEY_MODEL_SHA, "00");
    cs_manifest_key(&head, b);
    ck_assert_str_ne(a, b);
    cs_meta_remove(&head, CS_KEY_MODEL_SHA);
    cs_prov_add(&head, "cs-postprocess", "threshold=0.5");
    cs_manifest_key(&head, b);
    ck_assert_str_ne(a, b);
    cs_meta_release(&head);
}
END_TEST

// Rows of different columns, with newlines and quotes in names, and a group of many lines.
START_TEST(merged)
{
    struct cs_err err = {0};
    struct cs_meta head = {0};
    struct cs_manifest *manifest, *second;
    struct cs_item item;
    struct cs_buf text = {0};
    int status;
    make_folder();
    ck_assert_int_eq(cs_manifest_open(&manifest, folder, 0, &head, &err), 0);
    ck_assert_int_eq(cs_manifest_open(&second, folder, 0, &head, &err), -1);
    ck_assert_int_eq(err.code, CS_EUSAGE);
    for (int i = 0; i < 100; i++) {
        char name[32], row[64];
        snprintf(name, sizeof name, "item%03d", 99 - i);
        make_item(&item, "a\n\"b\",c", name);
        snprintf(row, sizeof row, "\"a\n\"\"b\"\",c\",%d%s\n", 99 - i, i % 2 ? "" : ",5,6,7");
        ck_assert_int_eq(cs_manifest_rows(manifest, row, strlen(row), false, i % 2 ? 0 : 1, &err),
                         0);
        ck_assert_int_eq(cs_manifest_item(manifest, &item, &err), 0);
        cs_item_release(&item);
    }
    ck_assert_int_eq(cs_manifest_close(manifest, &err), 0);
    ck_assert_msg(cs_merge(folder, &status, &err) == 0, "%s", err.text);
    ck_assert_int_eq(status, 0);
    read_text(&text, "objects.csv");
    static const char start[] = "image,label,intensity_mean,intensity_min,intensity_max\n"
                                "\"a\n\"\"b\"\",c\",0,,,\n"
                                "\"a\n\"\"b\"\",c\",1,5,6,7\n";
    ck_assert_uint_gt(text.len, sizeof start);
    ck_assert_mem_eq(text.data, start, sizeof start - 1);
    cs_buf_release(&text);
    cs_meta_release(&head);
    remove_folder();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("export");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_test(core, numbers);
    tcase_add_test(core, fields);
    tcase_add_test(core, manifest_line);
    tcase_add_test(core, key_follows_parameters);
    tcase_add_test(limits, merged);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
