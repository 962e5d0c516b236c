// SPDX-License-Identifier: MIT
// Parameters as text, then samples, all the way from probabilities to features: the first line is
// "NAME=VALUE ...", the next byte the width, the rest one byte a sample of the maps foreground and
// distance in turn. What comes out must agree with itself.
#include <stdlib.h>
#include <string.h>

#include "export/features.h"
#include "segment/postprocess.h"
#include "shape/simplify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_LINE = 256 };

static void set_parameters(struct cs_post *post, char *line)
{
    char *rest = NULL;
    for (char *word = strtok_r(line, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        char *equals = strchr(word, '=');
        if (!equals)
            continue;
        *equals = '\0';
        if (cs_post_set(post, word, equals + 1, NULL) != 0)
            continue;
    }
    // Large discs only cost time.
    post->open_px = post->open_px > 20 ? 20 : post->open_px;
    post->close_px = post->close_px > 20 ? 20 : post->close_px;
}

static void check_objects(const struct cs_image *labels)
{
    static const double um[2] = {0.5, 0.25};
    struct cs_err err;
    struct cs_regions regions;
    struct cs_contours contours;
    struct cs_measure_table table;
    struct cs_features features = {"a,b", &regions, &contours, &table, true, um[0], um[1]};
    struct cs_buf text = {0};
    if (cs_regions_init(&regions, labels, 0, NULL, &err) != 0 ||
        cs_measure_objects(&table, &regions, labels, &err) != 0 ||
        cs_contours_trace(&contours, &regions, &err) != 0)
        abort();
    for (uint32_t o = 0; o < regions.count; o++) {
        int64_t area2 = 0;
        for (size_t p = contours.object_start[o]; p < contours.object_start[o + 1]; p++)
            for (uint32_t r = 0; r < contours.polygons[p].count; r++) {
                const struct cs_ring *ring = &contours.rings[contours.polygons[p].first + r];
                area2 += cs_ring_area2(contours.points + ring->first, ring->count);
            }
        if (area2 != 2 * (int64_t)table.items[o].area ||
            table.items[o].area_convex < table.items[o].area ||
            table.items[o].area_filled < table.items[o].area)
            abort();
    }
    if (cs_contours_simplify(&contours, regions.count, 1.5, &err) != 0)
        abort();
    for (uint32_t o = 0; o < regions.count; o++) {
        cs_feature_put(&text, &features, o, true);
        cs_feature_row(&text, &features, o);
    }
    cs_buf_release(&text);
    cs_contours_release(&contours);
    cs_measure_table_release(&table);
    cs_regions_release(&regions);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct cs_scratch memory = {0, NULL};
    struct cs_post post;
    struct cs_err err;
    struct cs_image probability = {0}, labels = {0};
    uint32_t count;
    const uint8_t *newline = memchr(data, '\n', size < MAX_LINE ? size : MAX_LINE);
    cs_post_init(&post);
    if (!newline)
        return 0;
    char *line = strndup((const char *)data, (size_t)(newline - data));
    set_parameters(&post, line);
    free(line);
    size -= (size_t)(newline + 1 - data);
    data = newline + 1;
    if (size < 3)
        return 0;
    uint32_t width = 1u + data[0] % 64, height = (uint32_t)((size - 1) / 2 / width);
    if (!height || cs_image_init(&probability, width, height, 2, CS_U8, 0, NULL, &err) != 0)
        return 0;
    memcpy(probability.data, data + 1, cs_image_bytes(&probability));
    struct cs_post_item item = {&probability, "foreground,distance", 0.5, 0.5};
    if (cs_post_apply(&post, &item, &labels, &count, &memory, &err) == 0)
        check_objects(&labels);
    cs_image_release(&labels);
    cs_image_release(&probability);
    return 0;
}
