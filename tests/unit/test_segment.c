// SPDX-License-Identifier: MIT
// Masks, distance transform, morphology and objects against plain loops over all pixels.
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "planes.h"
#include "segment/edt.h"
#include "segment/morph.h"
#include "segment/part.h"
#include "segment/postprocess.h"
#include "suite.h"

static const struct cs_scratch memory = {0, NULL};
static const int dx[8] = {0, -1, 1, 0, -1, 1, -1, 1}, dy[8] = {-1, 0, 0, 1, -1, -1, 1, 1};

// ---- Objects of a whole plane --------------------------------------------------------------

struct objects {
    struct cs_parts parts;
    struct cs_image *labels;
};

static int put_part(struct cs_sweep *sweep, const struct cs_sweep_part *part, void *context,
                    struct cs_err *err)
{
    return cs_parts_put(&((struct objects *)context)->parts, sweep, part, err);
}

static int put_row(uint32_t y, const struct cs_sweep_span *spans, uint32_t count, void *context,
                   struct cs_err *err)
{
    struct cs_image *labels = ((struct objects *)context)->labels;
    (void)err;
    for (uint32_t k = 0; k < count; k++) {
        ck_assert(spans[k].first < spans[k].end && spans[k].end <= labels->width);
        ck_assert(!k || spans[k - 1].end <= spans[k].first);
        for (uint32_t x = spans[k].first; x < spans[k].end; x++)
            ((uint32_t *)labels->data)[(size_t)y * labels->width + x] = spans[k].id;
    }
    return 0;
}

// Initialises labels (u32).
static int find_objects(struct cs_image *labels, uint32_t *count, const struct cs_image *mask,
                        const struct cs_image *relief, struct cs_part_rule rule, struct cs_err *err)
{
    struct objects o = {.parts = {.rule = rule}, .labels = labels};
    struct cs_sweep *sweep;
    struct cs_sweep_how how = {
        mask->width,  mask->height, rule.connectivity, rule.split, rule.split && rule.fill_holes,
        rule.scratch, put_part,     put_row,           &o};
    o.parts.rule.width = mask->width;
    o.parts.rule.height = mask->height;
    ck_assert_int_eq(cs_image_init(labels, mask->width, mask->height, 1, CS_U32, 0, NULL, err), 0);
    int status = cs_sweep_open(&sweep, &how, err);
    for (size_t y = 0; y < mask->height && status == 0; y++)
        status =
            cs_sweep_row(sweep, (const uint8_t *)mask->data + y * mask->width,
                         relief ? (const uint16_t *)relief->data + y * mask->width : NULL, err);
    if (status == 0)
        status = cs_sweep_end(sweep, count, err);
    cs_sweep_close(sweep);
    cs_parts_release(&o.parts);
    return status;
}

static size_t pixels(const struct cs_image *image)
{
    return (size_t)image->width * image->height;
}

START_TEST(threshold_is_strict_and_exact)
{
    struct cs_err err = {0};
    struct cs_image p, mask;
    static const double levels[] = {0, 0.25, 0.5, 0.6, 1.0 / 3, 0.999, 1};
    double t = levels[_i];
    ck_assert_int_eq(cs_image_init(&p, 65536, 1, 1, CS_U16, 0, NULL, &err), 0);
    for (uint32_t v = 0; v < 65536; v++)
        ((uint16_t *)p.data)[v] = (uint16_t)v;
    ck_assert_int_eq(cs_mask_threshold(&mask, &p, 0, t, &memory, &err), 0);
    for (uint32_t v = 0; v < 65536; v++)
        ck_assert_int_eq(((uint8_t *)mask.data)[v], v / 65535.0 > t);
    cs_image_release(&mask);
    cs_image_release(&p);
    // The second of two channels.
    ck_assert_int_eq(cs_image_init(&p, 256, 1, 2, CS_U8, 0, NULL, &err), 0);
    for (uint32_t v = 0; v < 256; v++)
        ((uint8_t *)p.data)[2 * v + 1] = (uint8_t)v;
    ck_assert_int_eq(cs_mask_threshold(&mask, &p, 1, t, &memory, &err), 0);
    for (uint32_t v = 0; v < 256; v++)
        ck_assert_int_eq(((uint8_t *)mask.data)[v], v / 255.0 > t);
    cs_image_release(&mask);
    ck_assert_int_eq(cs_mask_threshold(&mask, &p, 2, t, &memory, &err), -1);
    cs_image_release(&p);
}
END_TEST

START_TEST(threshold_of_floats)
{
    struct cs_err err = {0};
    struct cs_image p, mask, relief;
    const float values[] = {-1, 0, 0.5f, 0.50000006f, NAN, INFINITY, 1};
    const uint8_t above[] = {0, 0, 0, 1, 0, 1, 1};
    const uint16_t steps[] = {0, 0, 32768, 32768, 0, 65535, 65535};
    ck_assert_int_eq(cs_image_init(&p, 7, 1, 1, CS_F32, 0, NULL, &err), 0);
    memcpy(p.data, values, sizeof values);
    ck_assert_int_eq(cs_mask_threshold(&mask, &p, 0, 0.5, &memory, &err), 0);
    ck_assert_mem_eq(mask.data, above, sizeof above);
    ck_assert_int_eq(cs_relief_channel(&relief, &p, 0, &memory, &err), 0);
    ck_assert_mem_eq(relief.data, steps, sizeof steps);
    cs_image_release(&relief);
    cs_image_release(&mask);
    p.dtype = CS_I32;
    ck_assert_int_eq(cs_mask_threshold(&mask, &p, 0, 0.5, &memory, &err), -1);
    cs_image_release(&p);
}
END_TEST

// Squared distance to the nearest pixel of the wanted kind by looking at all.
static uint32_t nearest(const struct cs_image *mask, uint32_t x, uint32_t y, bool foreground)
{
    uint64_t best = CS_EDT_FAR;
    for (uint32_t v = 0; v < mask->height; v++)
        for (uint32_t u = 0; u < mask->width; u++) {
            if ((((uint8_t *)mask->data)[(size_t)v * mask->width + u] != 0) != foreground)
                continue;
            int64_t a = (int64_t)u - x, b = (int64_t)v - y;
            if ((uint64_t)(a * a + b * b) < best)
                best = (uint64_t)(a * a + b * b);
        }
    return (uint32_t)best;
}

START_TEST(distances)
{
    struct cs_err err = {0};
    struct cs_image mask, d;
    uint64_t seed = (uint64_t)_i + 100;
    planes_random_mask(&mask, 1 + planes_random(&seed) % 40, 1 + planes_random(&seed) % 40, _i * 6,
                       _i % 4, seed);
    for (int to = CS_EDT_TO_BACKGROUND; to <= CS_EDT_TO_FOREGROUND; to++) {
        ck_assert_int_eq(cs_edt_squared(&d, &mask, (enum cs_edt_to)to, &memory, &err), 0);
        for (uint32_t y = 0; y < mask.height; y++)
            for (uint32_t x = 0; x < mask.width; x++)
                ck_assert_uint_eq(((uint32_t *)d.data)[(size_t)y * mask.width + x],
                                  nearest(&mask, x, y, to == CS_EDT_TO_FOREGROUND));
        cs_image_release(&d);
    }
    cs_image_release(&mask);
}
END_TEST

// Dilation, or erosion as dilation of the complement, pixel by pixel; outside is neutral.
static void disc(uint8_t *out, const uint8_t *in, int w, int h, double radius, bool erode)
{
    int r = (int)radius;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            bool hit = false;
            for (int v = -r; v <= r; v++)
                for (int u = -r; u <= r; u++)
                    if (u * u + v * v <= radius * radius && x + u >= 0 && y + v >= 0 && x + u < w &&
                        y + v < h)
                        hit |= (in[(y + v) * w + x + u] != 0) != erode;
            out[y * w + x] = hit != erode;
        }
}

START_TEST(opening_and_closing)
{
    enum { W = 35, H = 29, M = 5, LARGE_W = W + 2 * M, LARGE_H = H + 2 * M };
    struct cs_err err = {0};
    struct cs_image mask, copy;
    uint64_t seed = (uint64_t)_i + 7;
    double radius = 0.5 + 0.7 * (_i % 6);
    planes_random_mask(&mask, W, H, 50, 1 + _i % 3, seed);
    planes_random_mask(&copy, W, H, 50, 1 + _i % 3, seed);
    const uint8_t *before = copy.data, *after = mask.data;
    bool open = _i % 2;
    static uint8_t one[LARGE_W * LARGE_H], two[LARGE_W * LARGE_H], three[LARGE_W * LARGE_H];
    int w = open ? W : LARGE_W, h = open ? H : LARGE_H, m = open ? 0 : M;
    memset(one, 0, sizeof one);
    for (int y = 0; y < H; y++)
        memcpy(one + (y + m) * w + m, before + y * W, W);
    disc(two, one, w, h, radius, open);
    disc(three, two, w, h, radius, !open);
    ck_assert_int_eq(open ? cs_morph_open(&mask, radius, &memory, &err)
                          : cs_morph_close(&mask, radius, &memory, &err),
                     0);
    for (int y = 0; y < H; y++)
        ck_assert_mem_eq(after + y * W, three + (y + m) * w + m, W);
    for (size_t i = 0; i < W * H; i++) // an opening shrinks, a closing grows
        ck_assert(open ? after[i] <= before[i] : after[i] >= before[i]);
    cs_image_release(&mask);
    cs_image_release(&copy);
}
END_TEST

// The definition of flood.h over the whole plane, with component names in an array and
// the next pixel found by looking at all.
static uint32_t split_slowly(uint32_t *labels, const uint8_t *mask, const uint16_t *relief, int w,
                             int h, uint32_t depth, uint32_t least_peak, int connectivity)
{
    int n = w * h, *basin = malloc((size_t)n * sizeof *basin); // named by their peaks
    for (int i = 0; i < n; i++)
        basin[i] = -1;
    for (;;) {
        int next = -1, best = -1, high = -1;
        for (int i = 0; i < n; i++)
            if (mask[i] && basin[i] < 0 && (next < 0 || relief[i] > relief[next]))
                next = i;
        if (next < 0)
            break;
        for (int d = 0; d < connectivity; d++) {
            int x = next % w + dx[d], y = next / w + dy[d], j = y * w + x;
            if (x < 0 || y < 0 || x >= w || y >= h || basin[j] < 0)
                continue;
            int b = basin[j];
            if (best < 0 || relief[j] > relief[best] || (relief[j] == relief[best] && j < best))
                best = j;
            if (high < 0 || relief[b] > relief[high] || (relief[b] == relief[high] && b < high))
                high = b;
        }
        if (best < 0) {
            basin[next] = next;
            continue;
        }
        for (int d = 0; d < connectivity; d++) {
            int x = next % w + dx[d], y = next / w + dy[d], j = y * w + x;
            if (x < 0 || y < 0 || x >= w || y >= h || basin[j] < 0 || basin[j] == high)
                continue;
            int b = basin[j];
            if ((uint32_t)(relief[b] - relief[next]) < depth || relief[b] < least_peak)
                for (int k = 0; k < n; k++)
                    basin[k] = basin[k] == b ? high : basin[k];
        }
        basin[next] = basin[best];
    }
    uint32_t names = 0, *name = calloc((size_t)n, sizeof *name);
    for (int i = 0; i < n; i++) {
        if (basin[i] >= 0 && !name[basin[i]])
            name[basin[i]] = ++names;
        labels[i] = basin[i] >= 0 ? name[basin[i]] : 0;
    }
    free(basin);
    free(name);
    return names;
}

// Holes, by walks over the background.
static void fill_slowly(uint32_t *labels, int w, int h, int connectivity)
{
    int n = w * h, ways = connectivity == 8 ? 4 : 8, *queue = malloc((size_t)n * sizeof *queue);
    bool *seen = calloc((size_t)n, sizeof *seen);
    for (int start = 0; start < n; start++) {
        if (labels[start] || seen[start])
            continue;
        int count = 0;
        uint32_t owner = 0;
        bool open = false;
        queue[count++] = start;
        seen[start] = true;
        for (int k = 0; k < count; k++)
            for (int d = 0; d < ways; d++) {
                int x = queue[k] % w + dx[d], y = queue[k] / w + dy[d], j = y * w + x;
                // The first four ways are the straight ones.
                if (x < 0 || y < 0 || x >= w || y >= h) {
                    open = true;
                } else if (labels[j]) {
                    open = open || (owner && owner != labels[j]);
                    owner = labels[j];
                } else if (!seen[j]) {
                    seen[j] = true;
                    queue[count++] = j;
                }
            }
        for (int k = 0; !open && k < count; k++)
            labels[queue[k]] = owner;
    }
    free(queue);
    free(seen);
}

static uint32_t filter_slowly(uint32_t *labels, int w, int h, const struct cs_object_filter *f)
{
    int n = w * h;
    uint64_t *area = calloc((size_t)n + 1, sizeof *area);
    bool *border = calloc((size_t)n + 1, sizeof *border);
    uint32_t *name = calloc((size_t)n + 1, sizeof *name), names = 0;
    for (int i = 0; i < n; i++) {
        area[labels[i]]++;
        border[labels[i]] |= i % w == 0 || i % w == w - 1 || i < w || i >= n - w;
    }
    for (int i = 0; i < n; i++) {
        uint32_t l = labels[i];
        bool keep = l && area[l] >= f->min_area && (!f->max_area || area[l] <= f->max_area) &&
                    !(f->clear_border && border[l]);
        if (keep && !name[l])
            name[l] = ++names;
        labels[i] = keep ? name[l] : 0;
    }
    free(area);
    free(border);
    free(name);
    return names;
}

static void random_relief(struct cs_image *relief, const struct cs_image *mask, int i,
                          uint64_t *seed)
{
    struct cs_err err = {0};
    if (i % 4 == 0) {
        ck_assert_int_eq(cs_relief_distance(relief, mask, &memory, &err), 0);
        return;
    }
    ck_assert_int_eq(cs_image_init(relief, mask->width, mask->height, 1, CS_U16, 0, NULL, &err), 0);
    for (size_t k = 0; k < pixels(mask); k++) // few values: many ties
        ((uint16_t *)relief->data)[k] = (uint16_t)(planes_random(seed) % 9 * (i % 3 ? 1 : 700));
}

START_TEST(objects_of_random_masks)
{
    enum { W = 31, H = 23 };
    struct cs_err err = {0};
    struct cs_image mask, relief, labels;
    uint64_t seed = (uint64_t)_i + 55;
    uint32_t expected[W * H], count;
    static const uint16_t flat[W * H];
    planes_random_mask(&mask, W, H, 50 + _i % 4 * 8, 1 + _i % 3, seed);
    if (_i % 5 == 1) // thin slanted lines, much smaller than their boxes
        for (int k = 0; k < W * H; k++)
            ((uint8_t *)mask.data)[k] = (k % W + k / W) % 7 == 0;
    if (_i % 5 == 2) // frames around all the rest
        for (int k = 0; k < W * H; k++)
            if (k % W == 3 || k % W == W - 4 || k / W == 2 || k / W == H - 3)
                ((uint8_t *)mask.data)[k] = 1;
    random_relief(&relief, &mask, _i, &seed);
    struct cs_part_rule rule = {.connectivity = _i % 2 ? 4 : 8,
                                .split = _i % 7 > 1,
                                .depth = (uint32_t)(_i % 5 * (_i % 3 ? 1 : 400)),
                                .least_peak = (uint32_t)_i % 7,
                                .fill_holes = _i / 2 % 2 == 0};
    if (_i % 11 == 0)
        rule.filter.min_area = 9;
    if (_i % 13 == 0)
        rule.filter.max_area = 30;
    rule.filter.clear_border = _i % 17 == 0;
    if (!rule.split && rule.fill_holes) {
        uint32_t *plain = expected;
        for (int k = 0; k < W * H; k++)
            plain[k] = ((uint8_t *)mask.data)[k];
        fill_slowly(plain, W, H, rule.connectivity);
        uint8_t filled[W * H];
        for (int k = 0; k < W * H; k++)
            filled[k] = plain[k] != 0;
        split_slowly(expected, filled, flat, W, H, 70000, 0, rule.connectivity);
    } else {
        split_slowly(expected, mask.data, rule.split ? relief.data : flat, W, H,
                     rule.split ? rule.depth : 70000, rule.split ? rule.least_peak : 0,
                     rule.connectivity);
        if (rule.fill_holes)
            fill_slowly(expected, W, H, rule.connectivity);
    }
    uint32_t names = filter_slowly(expected, W, H, &rule.filter);
    for (int disk = 0; disk < 2; disk++) {
        rule.scratch.spill_bytes = disk ? 1 : 0;
        ck_assert_int_eq(
            find_objects(&labels, &count, &mask, rule.split ? &relief : NULL, rule, &err), 0);
        ck_assert_uint_eq(count, names);
        ck_assert_mem_eq(labels.data, expected, sizeof expected);
        cs_image_release(&labels);
    }
    cs_image_release(&relief);
    cs_image_release(&mask);
}
END_TEST

START_TEST(two_discs)
{
    struct cs_err err = {0};
    struct cs_image mask, relief, labels;
    uint32_t count;
    ck_assert_int_eq(cs_image_init(&mask, 60, 40, 1, CS_U8, 0, NULL, &err), 0);
    for (int y = 0; y < 40; y++)
        for (int x = 0; x < 60; x++)
            ((uint8_t *)mask.data)[y * 60 + x] =
                hypot(x - 20, y - 20) <= 12 || hypot(x - 39, y - 20) <= 12;
    ck_assert_int_eq(cs_relief_distance(&relief, &mask, &memory, &err), 0);
    struct cs_part_rule rule = {.connectivity = 8, .split = true, .depth = CS_RELIEF_STEPS_PX};
    ck_assert_int_eq(find_objects(&labels, &count, &mask, &relief, rule, &err), 0);
    ck_assert_uint_eq(count, 2);
    const uint32_t *l = labels.data;
    ck_assert_uint_eq(l[20 * 60 + 10], 1);
    ck_assert_uint_eq(l[20 * 60 + 50], 2);
    cs_image_release(&labels);
    cs_image_release(&relief);
    cs_image_release(&mask);
}
END_TEST

// ---- Items in bands ------------------------------------------------------------------------

struct got {
    struct cs_image labels;
    uint32_t height, next_row;
};

static int take_band(const struct cs_image *band, uint32_t first_row, void *context,
                     struct cs_err *err)
{
    struct got *g = context;
    if (!g->labels.data)
        ck_assert_int_eq(
            cs_image_init(&g->labels, band->width, g->height, 1, band->dtype, 0, NULL, err), 0);
    ck_assert_int_eq(band->dtype, g->labels.dtype);
    ck_assert_uint_eq(first_row, g->next_row);
    memcpy((char *)g->labels.data + first_row * cs_image_row_bytes(band), band->data,
           cs_image_bytes(band));
    g->next_row += band->height;
    return 0;
}

// Labels of a plane of u8 probabilities that comes in bands of `rows` rows.
static uint32_t post_in_bands(struct got *got, const struct cs_post *post,
                              const struct cs_image *plane, uint32_t rows)
{
    struct cs_err err = {0};
    struct cs_post_run *run;
    struct cs_post_item item = {.probability = plane};
    uint32_t count;
    *got = (struct got){.height = plane->height};
    ck_assert_int_eq(cs_post_open(&run, post, &item, &memory, take_band, got, &err), 0);
    for (uint32_t y = 0; y < plane->height; y += rows) {
        uint32_t n = rows < plane->height - y ? rows : plane->height - y;
        ck_assert_int_eq(cs_post_rows(run, (char *)plane->data + (size_t)y * plane->width, n, &err),
                         0);
    }
    ck_assert_int_eq(cs_post_end(run, &count, &err), 0);
    ck_assert_uint_eq(got->next_row, plane->height);
    cs_post_close(run);
    return count;
}

// Opening, closing and distances look beyond the rows that came last: the windows they work on give
// what the whole plane gives, for any bands.
START_TEST(bands)
{
    enum { W = 24, H = 9000 };
    struct cs_err err = {0};
    struct cs_image plane, relief = {0}, expected;
    struct cs_post post;
    uint32_t count;
    planes_random_mask(&plane, W, H, 60, 2, (uint64_t)_i + 9);
    cs_post_init(&post);
    post.open_px = _i & 1 ? 1.5 : 0;
    post.close_px = _i & 2 ? 2 : 0;
    post.split = _i & 4 ? CS_SPLIT_DISTANCE : CS_SPLIT_NONE;
    post.fill_holes = _i & 1;
    post.min_area.value = 4;
    struct cs_part_rule rule = {.connectivity = 8,
                                .split = post.split != CS_SPLIT_NONE,
                                .depth = CS_RELIEF_STEPS_PX,
                                .fill_holes = post.fill_holes,
                                .filter.min_area = 4};
    struct cs_image mask = {.width = W, .height = H, .channels = 1, .dtype = CS_U8};
    mask.data = malloc(W * H);
    memcpy(mask.data, plane.data, W * H);
    for (size_t i = 0; i < W * H; i++)
        ((uint8_t *)plane.data)[i] = ((uint8_t *)mask.data)[i] ? 200 : 50;
    if (post.open_px > 0)
        ck_assert_int_eq(cs_morph_open(&mask, post.open_px, &memory, &err), 0);
    if (post.close_px > 0)
        ck_assert_int_eq(cs_morph_close(&mask, post.close_px, &memory, &err), 0);
    if (rule.split)
        ck_assert_int_eq(cs_relief_distance(&relief, &mask, &memory, &err), 0);
    ck_assert_int_eq(
        find_objects(&expected, &count, &mask, rule.split ? &relief : NULL, rule, &err), 0);
    static const uint32_t heights[] = {1, 7, 500, H};
    for (int k = 0; k < 4; k++) {
        struct got got;
        ck_assert_uint_eq(post_in_bands(&got, &post, &plane, heights[k]), count);
        ck_assert_int_eq(got.labels.dtype, CS_U16);
        for (size_t i = 0; i < W * H; i++)
            ck_assert_uint_eq(((uint16_t *)got.labels.data)[i], ((uint32_t *)expected.data)[i]);
        cs_image_release(&got.labels);
    }
    free(mask.data);
    cs_image_release(&relief);
    cs_image_release(&expected);
    cs_image_release(&plane);
}
END_TEST

// Rings in rings: boxes that hold each other. Work over boxes
// would be 500 times the work over pixels, and the time limit of the test too short for it.
START_TEST(nested_boxes)
{
    enum { SIDE = 2000 };
    struct cs_err err = {0};
    struct cs_image mask, relief, labels;
    uint32_t count;
    ck_assert_int_eq(cs_image_init(&mask, SIDE, SIDE, 1, CS_U8, 0, NULL, &err), 0);
    ck_assert_int_eq(cs_image_init(&relief, SIDE, SIDE, 1, CS_U16, 0, NULL, &err), 0);
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            int edge = x < y ? x : y, other = SIDE - 1 - (x > y ? x : y);
            ((uint8_t *)mask.data)[y * SIDE + x] = (edge < other ? edge : other) % 2 == 0;
        }
    struct cs_part_rule rule = {.connectivity = 4, .split = true, .depth = 1, .fill_holes = true};
    ck_assert_int_eq(find_objects(&labels, &count, &mask, &relief, rule, &err), 0);
    ck_assert_uint_eq(count, SIDE / 4);
    cs_image_release(&labels);
    rule.split = false; // one object of all
    ck_assert_int_eq(find_objects(&labels, &count, &mask, NULL, rule, &err), 0);
    ck_assert_uint_eq(count, 1);
    cs_image_release(&labels);
    cs_image_release(&relief);
    cs_image_release(&mask);
}
END_TEST

START_TEST(more_objects_than_16_bits)
{
    struct cs_err err = {0};
    struct cs_image plane;
    struct cs_post post;
    struct got got;
    ck_assert_int_eq(cs_image_init(&plane, 800, 400, 1, CS_U8, 0, NULL, &err), 0);
    for (size_t y = 0; y < 400; y += 2)
        for (size_t x = 0; x < 800; x += 2)
            ((uint8_t *)plane.data)[y * 800 + x] = 255;
    cs_post_init(&post);
    post.min_area.value = 0;
    ck_assert_uint_eq(post_in_bands(&got, &post, &plane, 3), 80000);
    ck_assert_int_eq(got.labels.dtype, CS_U32);
    ck_assert_uint_eq(((uint32_t *)got.labels.data)[398 * 800 + 798], 80000);
    cs_image_release(&got.labels);
    cs_image_release(&plane);
}
END_TEST

START_TEST(no_scratch)
{
    struct cs_err err = {0};
    struct cs_image mask, relief, labels;
    uint32_t count;
    planes_random_mask(&mask, 90, 70, 60, 2, 5);
    ck_assert_int_eq(cs_relief_distance(&relief, &mask, &memory, &err), 0);
    struct cs_part_rule rule = {
        .connectivity = 8, .split = true, .depth = 16, .scratch = {1, "/nonexistent"}};
    ck_assert_int_eq(find_objects(&labels, &count, &mask, &relief, rule, &err), -1);
    ck_assert_int_eq(err.code, CS_EIO);
    cs_image_release(&labels);
    cs_image_release(&relief);
    cs_image_release(&mask);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("segment");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_loop_test(core, threshold_is_strict_and_exact, 0, 7);
    tcase_add_test(core, threshold_of_floats);
    tcase_add_loop_test(core, distances, 0, 17);
    tcase_add_loop_test(core, opening_and_closing, 0, 12);
    tcase_add_loop_test(core, objects_of_random_masks, 0, 90);
    tcase_add_test(core, two_discs);
    tcase_add_loop_test(core, bands, 0, 8);
    tcase_add_test(limits, nested_boxes);
    tcase_add_test(limits, more_objects_than_16_bits);
    tcase_add_test(limits, no_scratch);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
