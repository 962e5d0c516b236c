// SPDX-License-Identifier: MIT
// Time from probabilities to labels, and from labels to polygons and measurements, for 25,000
// objects in an image of 4096 x 4096 pixels (or NUMBER in WIDTH x WIDTH), on one core.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "export/features.h"
#include "segment/postprocess.h"
#include "shape/simplify.h"

enum { REPEATS = 5 };

static const struct cs_scratch memory = {0, NULL};

static void die(const struct cs_err *err)
{
    fprintf(stderr, "shapes: %s\n", err->text);
    exit(1);
}

// Foreground and distance maps of bumpy discs on a jittered grid; some touch.
static void draw(struct cs_image *p, uint32_t width, int number)
{
    struct cs_err err;
    int side = (int)ceil(sqrt(number));
    double pitch = (double)width / side;
    uint64_t seed = 7;
    if (cs_image_init(p, width, width, 2, CS_U8, 0, NULL, &err) != 0)
        die(&err);
    uint8_t *out = p->data;
    for (int k = 0; k < number; k++) {
        double jitter[4];
        for (int j = 0; j < 4; j++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            jitter[j] = (double)(seed >> 33) / 2147483648.0;
        }
        double x0 = (k % side + 0.4 + 0.2 * jitter[0]) * pitch;
        double y0 = ((double)(k / side) + 0.4 + 0.2 * jitter[1]) * pitch;
        double r0 = pitch * (0.3 + 0.15 * jitter[2]);
        for (int y = (int)(y0 - pitch); y <= y0 + pitch; y++)
            for (int x = (int)(x0 - pitch); x <= x0 + pitch; x++) {
                if (x < 0 || y < 0 || x >= (int)width || y >= (int)width)
                    continue;
                double angle = atan2(y - y0, x - x0);
                double depth = 1 - hypot(x - x0, y - y0) / (r0 * (1 + 0.1 * sin(5 * angle + k)));
                size_t i = 2 * ((size_t)y * width + (size_t)x);
                if (depth > 0) {
                    out[i] = 255;
                    uint8_t d = (uint8_t)(depth * 255);
                    out[i + 1] = d > out[i + 1] ? d : out[i + 1];
                }
            }
    }
}

struct times {
    double post, regions, measure, contours, simplify, json, csv;
    uint32_t objects;
    size_t json_bytes;
};

static void text(struct times *t, const struct cs_features *f)
{
    struct cs_buf out = {0};
    double start = cs_clock_seconds();
    t->json_bytes = 0;
    for (uint32_t o = 0; o < f->regions->count; o++) {
        cs_buf_clear(&out);
        cs_feature_put(&out, f, o, false);
        t->json_bytes += out.len;
    }
    t->json = cs_clock_seconds() - start;
    start = cs_clock_seconds();
    for (uint32_t o = 0; o < f->regions->count; o++) {
        cs_buf_clear(&out);
        cs_feature_row(&out, f, o);
    }
    t->csv = cs_clock_seconds() - start;
    cs_buf_release(&out);
}

static void run(struct times *t, const struct cs_image *p)
{
    struct cs_err err = {0};
    struct cs_post post;
    struct cs_image labels = {0};
    struct cs_regions regions = {0};
    struct cs_contours contours = {0};
    struct cs_measure_table table = {0};
    struct cs_features f = {"image", &regions, &contours, &table, true, 0, 0};
    struct cs_post_item item = {p, "foreground,distance", 0, 0};
    cs_post_init(&post);
    post.split = CS_SPLIT_DISTANCE;
    post.fill_holes = true;
    double at[6] = {cs_clock_seconds()};
    if (cs_post_apply(&post, &item, &labels, &t->objects, &memory, &err) != 0)
        die(&err);
    at[1] = cs_clock_seconds();
    if (cs_regions_init(&regions, &labels, 0, NULL, &err) != 0)
        die(&err);
    at[2] = cs_clock_seconds();
    if (cs_measure_objects(&table, &regions, NULL, &err) != 0)
        die(&err);
    at[3] = cs_clock_seconds();
    if (cs_contours_trace(&contours, &regions, &err) != 0)
        die(&err);
    at[4] = cs_clock_seconds();
    t->post = at[1] - at[0];
    t->regions = at[2] - at[1];
    t->measure = at[3] - at[2];
    t->contours = at[4] - at[3];
    text(t, &f);
    at[4] = cs_clock_seconds();
    if (cs_contours_simplify(&contours, regions.count, 1, &err) != 0)
        die(&err);
    t->simplify = cs_clock_seconds() - at[4];
    cs_contours_release(&contours);
    cs_measure_table_release(&table);
    cs_regions_release(&regions);
    cs_image_release(&labels);
}

static double keep_least(double *best, double time)
{
    *best = *best == 0 || time < *best ? time : *best;
    return *best;
}

int main(int argc, char **argv)
{
    int number = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 25000;
    long width = argc > 2 ? strtol(argv[2], NULL, 10) : 4096;
    struct cs_image p = {0};
    struct times best = {0};
    if (number < 1 || width < 16 || width > 100000) {
        fprintf(stderr, "usage: shapes [NUMBER [WIDTH]]\n");
        return 2;
    }
    draw(&p, (uint32_t)width, number);
    for (int i = 0; i < REPEATS; i++) {
        struct times t = {0};
        run(&t, &p);
        keep_least(&best.post, t.post);
        keep_least(&best.regions, t.regions);
        keep_least(&best.measure, t.measure);
        keep_least(&best.contours, t.contours);
        keep_least(&best.simplify, t.simplify);
        keep_least(&best.json, t.json);
        keep_least(&best.csv, t.csv);
        best.objects = t.objects;
        best.json_bytes = t.json_bytes;
    }
    cs_image_release(&p);
    double shapes = best.regions + best.measure + best.contours;
    printf("%u objects, %ld x %ld pixels, best of %d\n", best.objects, width, width, REPEATS);
    printf("probabilities to labels (split by distance)  %7.3f s\n", best.post);
    printf("labels to polygons and measurements          %7.3f s\n", shapes);
    printf("  objects %.3f, measurements %.3f, contours %.3f\n", best.regions, best.measure,
           best.contours);
    printf("  simplified to 1 px                         %7.3f s\n", best.simplify);
    printf("text: GeoJSON of %.1f MB                     %7.3f s\n", (double)best.json_bytes / 1e6,
           best.json);
    printf("text: table                                  %7.3f s\n", best.csv);
    return 0;
}
