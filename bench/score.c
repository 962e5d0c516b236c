// SPDX-License-Identifier: MIT
// Scores label images against true ones: `score [-s SPLIT] MANIFEST PREDICTED TRUE`.
//
// MANIFEST is a CSV with the columns id, kind, split; PREDICTED/ID.tif and TRUE/ID.png (or .tif)
// are label images. For each image: the object score TP / (TP + FP + FN), where a predicted and a
// true object match if the intersection over union of their pixels is at least 0.5 (above one
// half at most one partner is possible; at exactly one half the first pair counts), and the
// intersection over union of all foreground pixels. Printed are the means over images, by kind
// and over all. Two empty images score 1. A missing prediction scores 0.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/opt.h"
#include "image/decode.h"

enum { MAX_KINDS = 32, MAX_MANIFEST_BYTES = 1 << 24, MAX_COLUMNS = 64 };

static const char *split = "val";
static bool per_image;
static const struct cs_opt options[] = {
    {'s', "split", CS_OPT_STRING, &split, "SPLIT", "rows of the manifest to score (val)",
     .env = NULL},
    {'i', "images", CS_OPT_FLAG, &per_image, NULL, "print a line an image", .env = NULL},
    {.name = NULL},
};
static const struct cs_tool tool = {"score", "[OPTION]... MANIFEST PREDICTED TRUE",
                                    "Score label images.", options};

struct score {
    double objects, foreground;
    int images;
};

// ---- Label images ----------------------------------------------------------------------------

static int read_labels(const char *path, struct cs_image *labels, struct cs_err *err)
{
    struct cs_source source;
    struct cs_plan plan = {0};
    struct cs_decode decode = {0};
    const struct cs_pick pick = {.series = -1};
    int status = cs_source_open(&source, path, NULL, err);
    if (status == 0)
        status = cs_plan_make(&plan, &pick, &source, err);
    if (status == 0)
        status = cs_plan_start(&plan, 0, err);
    if (status == 0 && plan.channel_count != 1)
        status = cs_fail(err, CS_EINPUT, "%u channels", plan.channel_count);
    if (status == 0)
        status =
            cs_image_init(labels, plan.width, plan.height, 1, plan.conversion.dtype, 0, NULL, err);
    if (status == 0)
        status = cs_decode_init(&decode, &plan, 0, err);
    if (status == 0)
        status = cs_decode_rows(&decode, plan.height, labels->data, err);
    cs_decode_release(&decode);
    cs_plan_release(&plan);
    cs_source_close(&source);
    return status == 0 ? 0 : cs_err_context(err, "%s", path);
}

// ---- One image -------------------------------------------------------------------------------

struct pair {
    uint32_t truth, found;
};

static int by_pair(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    if (x->truth != y->truth)
        return x->truth < y->truth ? -1 : 1;
    return x->found < y->found ? -1 : x->found > y->found;
}

// Number of distinct labels, and the pixels of each in area[label].
static size_t count_labels(const struct cs_image *image, uint32_t **area, uint32_t *largest)
{
    size_t pixels = (size_t)image->width * image->height, labels = 0;
    *largest = 0;
    for (size_t i = 0; i < pixels; i++) {
        uint32_t v = (uint32_t)cs_image_sample(image, (uint32_t)(i % image->width),
                                               (uint32_t)(i / image->width), 0);
        *largest = v > *largest ? v : *largest;
    }
    *area = cs_xcalloc((size_t)*largest + 1, sizeof **area);
    for (size_t i = 0; i < pixels; i++) {
        uint32_t v = (uint32_t)cs_image_sample(image, (uint32_t)(i % image->width),
                                               (uint32_t)(i / image->width), 0);
        labels += v && !(*area)[v]++;
    }
    return labels;
}

static size_t count_matches(struct pair *pairs, size_t count, const uint32_t *area_true,
                            const uint32_t *area_found, uint32_t largest_true,
                            uint32_t largest_found)
{
    uint8_t *used_true = cs_xcalloc((size_t)largest_true + 1, 1);
    uint8_t *used_found = cs_xcalloc((size_t)largest_found + 1, 1);
    size_t matches = 0;
    qsort(pairs, count, sizeof *pairs, by_pair);
    for (size_t i = 0, end; i < count; i = end) {
        for (end = i; end < count && by_pair(&pairs[i], &pairs[end]) == 0; end++)
            ;
        uint32_t t = pairs[i].truth, f = pairs[i].found;
        double common = (double)(end - i);
        if (common >= 0.5 * (area_true[t] + area_found[f] - common) && !used_true[t] &&
            !used_found[f]) {
            used_true[t] = used_found[f] = 1;
            matches++;
        }
    }
    free(used_true);
    free(used_found);
    return matches;
}

static void score_labels(const struct cs_image *truth, const struct cs_image *found,
                         struct score *score)
{
    uint32_t *area_true, *area_found, largest_true, largest_found;
    size_t pixels = (size_t)truth->width * truth->height, both = 0, any = 0;
    size_t objects = count_labels(truth, &area_true, &largest_true);
    size_t predictions = count_labels(found, &area_found, &largest_found);
    struct pair *pairs = cs_xcalloc(pixels, sizeof *pairs);
    for (size_t i = 0; i < pixels; i++) {
        uint32_t x = (uint32_t)(i % truth->width), y = (uint32_t)(i / truth->width);
        struct pair p = {(uint32_t)cs_image_sample(truth, x, y, 0),
                         (uint32_t)cs_image_sample(found, x, y, 0)};
        any += p.truth || p.found;
        if (p.truth && p.found)
            pairs[both++] = p;
    }
    size_t matches = count_matches(pairs, both, area_true, area_found, largest_true, largest_found);
    size_t all = objects + predictions - matches;
    score->objects = all ? (double)matches / (double)all : 1;
    score->foreground = any ? (double)both / (double)any : 1;
    free(pairs);
    free(area_true);
    free(area_found);
}

static int score_image(const char *predicted, const char *truth_folder, const char *id,
                       struct score *score, struct cs_err *err)
{
    struct cs_image truth = {0}, found = {0};
    char *found_path = cs_xasprintf("%s/%s.tif", predicted, id);
    char *truth_path = cs_xasprintf("%s/%s.png", truth_folder, id);
    if (access(truth_path, R_OK) != 0) {
        free(truth_path);
        truth_path = cs_xasprintf("%s/%s.tif", truth_folder, id);
    }
    int status = read_labels(truth_path, &truth, err);
    *score = (struct score){0};
    if (status == 0 && access(found_path, R_OK) != 0) {
        fprintf(stderr, "score: %s is missing\n", found_path);
    } else if (status == 0) {
        status = read_labels(found_path, &found, err);
        if (status == 0 && (found.width != truth.width || found.height != truth.height))
            status = cs_fail(err, CS_EINPUT, "%s: size differs from the truth", found_path);
        if (status == 0)
            score_labels(&truth, &found, score);
    }
    cs_image_release(&truth);
    cs_image_release(&found);
    free(found_path);
    free(truth_path);
    return status;
}

// ---- The manifest ----------------------------------------------------------------------------

// Cut a line at its commas, in place. Fields of the columns used hold none.
static int cut(char *line, char **fields)
{
    int count = 0;
    for (char *at = line; at && count < MAX_COLUMNS; count++) {
        fields[count] = at;
        at = strchr(at, ',');
        if (at)
            *at++ = '\0';
    }
    return count;
}

static int find_column(char **fields, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(fields[i], name) == 0)
            return i;
    return -1;
}

static void add_score(struct score *sum, const struct score *score)
{
    sum->objects += score->objects;
    sum->foreground += score->foreground;
    sum->images++;
}

static void print_score(const char *name, const struct score *sum)
{
    printf("%-28s %5d %9.4f %9.4f\n", name, sum->images, sum->objects / sum->images,
           sum->foreground / sum->images);
}

static int score_all(char *text, const char *predicted, const char *truth, struct cs_err *err)
{
    const char *kinds[MAX_KINDS];
    struct score sums[MAX_KINDS] = {0}, total = {0}, score;
    int kind_count = 0, columns[3] = {-1, -1, -1}, widest = 0, status = 0;
    char *fields[MAX_COLUMNS], *rest = text;
    for (char *line = strsep(&rest, "\n"); line && status == 0; line = strsep(&rest, "\n")) {
        int count = cut(line, fields), k = 0;
        if (!widest) {
            static const char *const names[] = {"id", "kind", "split"};
            for (int i = 0; i < 3; i++) {
                columns[i] = find_column(fields, count, names[i]);
                widest = columns[i] > widest ? columns[i] : widest;
                if (columns[i] < 0)
                    return cs_fail(err, CS_EINPUT, "the manifest has no column %s", names[i]);
            }
            continue;
        }
        if (count <= widest || strcmp(fields[columns[2]], split) != 0)
            continue;
        status = score_image(predicted, truth, fields[columns[0]], &score, err);
        if (status == 0 && per_image)
            printf("%-40s %9.4f %9.4f\n", fields[columns[0]], score.objects, score.foreground);
        while (k < kind_count && strcmp(kinds[k], fields[columns[1]]) != 0)
            k++;
        if (k == kind_count && k == MAX_KINDS)
            return cs_fail(err, CS_EINPUT, "more than %d kinds", MAX_KINDS);
        if (k == kind_count)
            kinds[kind_count++] = fields[columns[1]];
        add_score(&sums[k], &score);
        add_score(&total, &score);
    }
    if (status != 0)
        return status;
    if (!total.images)
        return cs_fail(err, CS_ENOINPUT, "no image of split '%s' in the manifest", split);
    printf("%-28s %5s %9s %9s\n", "kind", "n", "AP50", "fg IoU");
    for (int k = 0; k < kind_count; k++)
        print_score(kinds[k], &sums[k]);
    print_score("all", &total);
    return 0;
}

int main(int argc, char **argv)
{
    struct cs_err err = {0};
    struct cs_buf manifest = {0};
    int first;
    int parsed = cs_opt_parse(&tool, argc, argv, &first, &err);
    if (parsed)
        return parsed > 0 ? 0 : cs_opt_die(&tool, &err);
    if (argc - first != 3) {
        cs_fail(&err, CS_EUSAGE, "a manifest and two folders are needed (see --help)");
        return cs_opt_die(&tool, &err);
    }
    int status = cs_read_file(argv[first], MAX_MANIFEST_BYTES, &manifest, &err);
    if (status == 0)
        status = score_all(manifest.data, argv[first + 1], argv[first + 2], &err);
    cs_buf_release(&manifest);
    return status == 0 ? 0 : cs_opt_die(&tool, &err);
}
