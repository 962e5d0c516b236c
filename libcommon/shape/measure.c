// SPDX-License-Identifier: MIT
// One scan over the runs of an object collects whole numbers: moments by closed forms
// over runs, and counts of pixel neighbourhoods. Everything that is a real number follows from them
// at the end, so that no result depends on the order of sums.
// Perimeter: K. Benkrid, D. Crookes, "Design and FPGA implementation of a perimeter estimator"
// (2000). Crofton perimeter: boundary crossings of lines in four directions (Cauchy-Crofton).
// Euler number: cells added one by one in raster order (S. Gray, "Local properties of binary images
// in two dimensions", 1971, gives the equivalent quads).
#include "shape/measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

__extension__ typedef __int128 wide; // sums of squares leave 64 bits on very large objects

// What one object's pixels add up to. Coordinates are relative to its first pixel.
struct sums {
    uint64_t area;
    uint32_t row, column; // the first pixel
    uint32_t first_column, end_column, end_row;
    int64_t x, y;
    wide xx, yy, xy;
    int64_t above, right, above_left, below_left; // pixels whose neighbour there is another's
    int64_t euler;
    uint64_t outline[4]; // border pixels by length: 0, 1, sqrt 2, (1 + sqrt 2) / 2
};

// Rows of an object's box: its pixels and its border pixels, 1 where it has one, else 0, each with
// one column of zeros at both ends.
struct window {
    uint8_t *rows[3], *border[3];
    uint8_t *block;
    size_t bytes;
    struct cs_extent box;
};

static int window_place(struct window *w, const struct cs_extent *box, struct cs_err *err)
{
    size_t n = (size_t)(box->right - box->left) + 2;
    if (6 * n > w->bytes) {
        free(w->block);
        w->bytes = 0;
        w->block = cs_alloc(12 * n, 1, "rows", err);
        if (!w->block)
            return -1;
        w->bytes = 12 * n;
    }
    w->box = *box;
    memset(w->block, 0, 6 * n);
    for (int i = 0; i < 3; i++) {
        w->rows[i] = w->block + (size_t)i * n + 1;
        w->border[i] = w->block + (size_t)(i + 3) * n + 1;
    }
    return 0;
}

// 0^2 + 1^2 + ... + k^2, and its continuation to negative k.
static wide sum_of_squares(wide k)
{
    return k * (k + 1) * (2 * k + 1) / 6;
}

static void add_moments(struct sums *s, const struct cs_run *run)
{
    if (!s->area) {
        s->row = run->row;
        s->column = s->first_column = run->first;
    }
    int64_t a = (int64_t)run->first - s->column, b = (int64_t)run->end - 1 - s->column;
    int64_t n = b - a + 1, y = (int64_t)run->row - s->row;
    int64_t x = (a + b) * n / 2;
    s->area += (uint64_t)n;
    s->x += x;
    s->y += n * y;
    s->xx += sum_of_squares(b) - sum_of_squares(a - 1);
    s->yy += (wide)n * y * y;
    s->xy += (wide)x * y;
    if (run->first < s->first_column)
        s->first_column = run->first;
    if (run->end > s->end_column)
        s->end_column = run->end;
    s->end_row = run->row + 1;
}

// Neighbourhood counts of one run, and its border pixels.
static void add_neighbours(struct sums *s, const struct window *w, const struct cs_run *run)
{
    const uint8_t *up = w->rows[(run->row + 2) % 3], *down = w->rows[(run->row + 1) % 3];
    uint8_t *border = w->border[run->row % 3];
    // Signed: x - 1 may be the margin before a row.
    ptrdiff_t first = (ptrdiff_t)run->first - w->box.left;
    ptrdiff_t last = (ptrdiff_t)run->end - w->box.left - 1;
    for (ptrdiff_t x = first; x <= last; x++) {
        bool above = !up[x], above_left = !up[x - 1];
        s->above += above;
        s->above_left += above_left;
        s->below_left += !down[x - 1];
        border[x] = above || !down[x] || x == first || x == last;
        // A pixel below another of the object changes nothing; else it brings itself, less one for
        // each side on which it meets what is there: left or above left, and above right.
        if (above)
            s->euler += (x == first && above_left) + !up[x + 1] - 1;
    }
    s->right++;
}

static const uint8_t outline_class[50] = {[5] = 1,  [7] = 1,  [15] = 1, [17] = 1, [25] = 1,
                                          [27] = 1, [21] = 2, [33] = 2, [13] = 3, [23] = 3};

// How the border pixels of one run continue the outline.
static void add_outline(struct sums *s, const struct window *w, const struct cs_run *run)
{
    const uint8_t *up = w->border[(run->row + 2) % 3], *here = w->border[run->row % 3],
                  *down = w->border[(run->row + 1) % 3];
    ptrdiff_t end = (ptrdiff_t)run->end - w->box.left;
    for (ptrdiff_t x = (ptrdiff_t)run->first - w->box.left; x < end; x++) {
        if (!here[x])
            continue;
        int edges = up[x] + down[x] + here[x - 1] + here[x + 1];
        int corners = up[x - 1] + up[x + 1] + down[x - 1] + down[x + 1];
        s->outline[outline_class[1 + 2 * edges + 10 * corners]]++;
    }
}

// Runs from the k-th on that lie in row y, painted into that row of the window; the next k.
static size_t load_row(struct window *w, const struct cs_regions *r, uint32_t object, size_t k,
                       uint32_t y)
{
    uint8_t *row = w->rows[y % 3];
    size_t count = cs_region_runs(r, object);
    memset(row, 0, w->box.right - w->box.left);
    for (; k < count && cs_region_run(r, object, k)->row == y; k++) {
        const struct cs_run *run = cs_region_run(r, object, k);
        memset(row + (run->first - w->box.left), 1, run->end - run->first);
    }
    return k;
}

static int collect(struct sums *sums, struct window *w, const struct cs_regions *r, uint32_t object,
                   struct cs_err *err)
{
    struct cs_extent box = cs_region_extent(r, object);
    size_t i = 0, j = 0, count = cs_region_runs(r, object);
    *sums = (struct sums){0};
    if (window_place(w, &box, err) != 0)
        return -1;
    size_t loaded = load_row(w, r, object, 0, box.top);
    // Row y gets its border pixels; then the outline of row y - 1 has both neighbours.
    for (uint32_t y = box.top; y <= box.bottom; y++) {
        loaded = load_row(w, r, object, loaded, y + 1);
        memset(w->border[y % 3], 0, box.right - box.left);
        for (; i < count && cs_region_run(r, object, i)->row == y; i++) {
            add_moments(sums, cs_region_run(r, object, i));
            add_neighbours(sums, w, cs_region_run(r, object, i));
        }
        for (; j < count && cs_region_run(r, object, j)->row + 1 == y; j++)
            add_outline(sums, w, cs_region_run(r, object, j));
    }
    return 0;
}

// Axes of the ellipse with the same second moments.
static void measure_axes(struct cs_measures *m, const struct sums *s)
{
    wide n = (wide)s->area;
    wide across = n * s->xx - (wide)s->x * s->x, down = n * s->yy - (wide)s->y * s->y;
    wide both = n * s->xy - (wide)s->x * s->y;
    double n2 = (double)n * (double)n;
    // Inertia tensor [a b; b c], rows first.
    double a = (double)across / n2, b = -(double)both / n2, c = (double)down / n2;
    double large = (a + c) / 2 + hypot((a - c) / 2, b);
    double small = large > 0 ? fmax(0, (a * c - b * b) / large) : 0;
    m->axis_major_length = 4 * sqrt(large);
    m->axis_minor_length = 4 * sqrt(small);
    m->eccentricity = large > 0 ? sqrt(fmax(0, 1 - small / large)) : 0;
    if (across == down)
        m->orientation = b < 0 ? M_PI / 4 : -M_PI / 4;
    else
        m->orientation = 0.5 * atan2(-2 * b, c - a);
}

static void measure_object(struct cs_measures *m, const struct sums *s)
{
    double area = (double)s->area;
    m->area = s->area;
    m->bbox[0] = s->row;
    m->bbox[1] = s->first_column;
    m->bbox[2] = s->end_row;
    m->bbox[3] = s->end_column;
    m->area_bbox = (uint64_t)(s->end_row - s->row) * (s->end_column - s->first_column);
    m->centroid[0] = s->row + (double)s->y / area;
    m->centroid[1] = s->column + (double)s->x / area;
    measure_axes(m, s);
    m->equivalent_diameter_area = sqrt(4 * area / M_PI);
    m->extent = area / (double)m->area_bbox;
    m->perimeter = (double)s->outline[1] + (double)s->outline[2] * M_SQRT2 +
                   (double)s->outline[3] * (1 + M_SQRT2) / 2;
    m->perimeter_crofton =
        M_PI / 4 *
        ((double)(s->above + s->right) + (double)(s->above_left + s->below_left) / M_SQRT2);
    m->euler_number = s->euler;
}

// Hulls and holes, object by object over its runs.
static int measure_extent(const struct cs_measure_table *t, const struct cs_regions *r,
                          struct cs_err *err)
{
    uint32_t rows = 0;
    size_t most = 0;
    for (uint32_t o = 0; o < t->count; o++) {
        size_t runs = cs_region_runs(r, t->first + o);
        uint32_t height = t->items[o].bbox[2] - t->items[o].bbox[0];
        most = runs > most ? runs : most;
        rows = height > rows ? height : rows;
    }
    void *hull_work = cs_alloc(1, cs_hull_work_bytes(rows), "hull of the largest object", err);
    uint32_t *hole_work = cs_alloc(most + 1, sizeof *hole_work, "holes of the largest object", err);
    int status = hull_work && hole_work ? 0 : -1;
    for (uint32_t o = 0; status == 0 && o < t->count; o++) {
        struct cs_measures *m = &t->items[o];
        const uint32_t *order = r->objects.order + r->objects.start[t->first + o];
        size_t runs = cs_region_runs(r, t->first + o);
        struct cs_hull hull;
        cs_hull_measure(&hull, r->runs.items, order, runs, hull_work);
        m->area_convex = hull.area;
        m->feret_diameter_max = hull.feret_max;
        m->solidity = (double)m->area / (double)hull.area;
        m->area_filled = m->area + cs_holes_area(r->runs.items, order, runs, hole_work);
    }
    free(hull_work);
    free(hole_work);
    return status;
}

// Sums as doubles: exact for integers of up to 16 bits (2^37 pixels at least).
#define ADD_SAMPLES(type)                                                                          \
    do {                                                                                           \
        const type *p = (const type *)image->data + (row + run->first) * image->channels + c;      \
        for (uint32_t x = run->first; x < run->end; x++, p += image->channels) {                   \
            double v = (double)*p;                                                                 \
            i->mean += v;                                                                          \
            i->min = v < i->min ? v : i->min;                                                      \
            i->max = v > i->max ? v : i->max;                                                      \
        }                                                                                          \
    } while (0)

static void add_samples(struct cs_intensity *i, const struct cs_image *image,
                        const struct cs_run *run, uint16_t c)
{
    size_t row = (size_t)run->row * image->width;
    if (image->dtype == CS_U8)
        ADD_SAMPLES(uint8_t);
    else if (image->dtype == CS_U16)
        ADD_SAMPLES(uint16_t);
    else if (image->dtype == CS_F32)
        ADD_SAMPLES(float);
    else
        for (uint32_t x = run->first; x < run->end; x++) {
            double v = cs_image_sample(image, x, run->row, c);
            i->mean += v;
            i->min = v < i->min ? v : i->min;
            i->max = v > i->max ? v : i->max;
        }
}

static int measure_intensity(struct cs_measure_table *t, const struct cs_regions *r,
                             const struct cs_image *image, struct cs_err *err)
{
    size_t entries;
    if (image->width != r->width || image->height != r->height)
        return cs_fail(err, CS_EINPUT, "image of %u x %u, labels of %u x %u pixels", image->width,
                       image->height, r->width, r->height);
    if (!cs_mul_size((size_t)t->count + 1, image->channels, &entries))
        return cs_fail(err, CS_ENOMEM, "intensities: too many channels");
    t->intensity = cs_alloc(entries, sizeof *t->intensity, "intensities", err);
    if (!t->intensity)
        return -1;
    t->channels = image->channels;
    for (size_t k = 0; k < (size_t)t->count * t->channels; k++)
        t->intensity[k] = (struct cs_intensity){0, INFINITY, -INFINITY};
    for (uint32_t o = 0; o < t->count; o++)
        for (size_t k = 0; k < cs_region_runs(r, t->first + o); k++)
            for (uint16_t c = 0; c < t->channels; c++)
                add_samples(&t->intensity[(size_t)o * t->channels + c], image,
                            cs_region_run(r, t->first + o, k), c);
    for (size_t k = 0; k < (size_t)t->count * t->channels; k++)
        t->intensity[k].mean /= (double)t->items[k / t->channels].area;
    return 0;
}

int cs_measure_some(struct cs_measure_table *table, const struct cs_regions *regions,
                    const struct cs_image *image, uint32_t first, uint32_t end, struct cs_err *err)
{
    struct window window = {.block = NULL};
    *table = (struct cs_measure_table){.first = first, .count = end - first};
    table->items = cs_alloc((size_t)table->count + 1, sizeof *table->items, "measurements", err);
    int status = table->items ? 0 : -1;
    for (uint32_t o = 0; o < table->count && status == 0; o++) {
        struct sums sums;
        status = collect(&sums, &window, regions, first + o, err);
        table->items[o].label = regions->label[first + o];
        if (status == 0)
            measure_object(&table->items[o], &sums);
    }
    free(window.block);
    if (status == 0)
        status = measure_extent(table, regions, err);
    if (status == 0 && image)
        status = measure_intensity(table, regions, image, err);
    if (status != 0)
        cs_measure_table_release(table);
    return status;
}

int cs_measure_objects(struct cs_measure_table *table, const struct cs_regions *regions,
                       const struct cs_image *image, struct cs_err *err)
{
    return cs_measure_some(table, regions, image, 0, regions->count, err);
}

void cs_measure_table_release(struct cs_measure_table *table)
{
    free(table->items);
    free(table->intensity);
    *table = (struct cs_measure_table){0};
}
