// SPDX-License-Identifier: MIT
// Percentiles come from a histogram of 65,536 bins between the smallest and the largest sample.
// Colours of outlines are given greedily in the order of labels: the first of the palette, starting
// at a place that depends on the label, that no touching object with a smaller label has.
#include "image/overlay.h"

#include <math.h>
#include <stdlib.h>

enum { BINS = 65536, COLOURS = 8, BOLD_FROM_PX = 1024 };

static const uint8_t palette[COLOURS][3] = {{255, 214, 10}, {0, 229, 255},  {255, 64, 129},
                                            {118, 255, 3},  {255, 145, 0},  {124, 77, 255},
                                            {29, 233, 182}, {255, 138, 128}};

struct stretch {
    double low, high;
    int shown; // channels of the picture: 1 grey, 3 colour
};

static double shown_sample(const struct cs_image *image, uint32_t x, uint32_t y, int shown, int c)
{
    if (shown == 3 || image->channels == 1)
        return cs_image_sample(image, x, y, (uint16_t)c);
    double sum = 0;
    for (uint16_t i = 0; i < image->channels; i++)
        sum += cs_image_sample(image, x, y, i);
    return sum / image->channels;
}

// Calls for each finite sample that is shown.
static void each_sample(const struct cs_image *image, int shown,
                        void (*use)(void *state, double value), void *state)
{
    for (uint32_t y = 0; y < image->height; y++)
        for (uint32_t x = 0; x < image->width; x++)
            for (int c = 0; c < shown; c++) {
                double value = shown_sample(image, x, y, shown, c);
                if (isfinite(value))
                    use(state, value);
            }
}

struct range {
    double min, max;
};

static void widen(void *state, double value)
{
    struct range *range = state;
    range->min = value < range->min ? value : range->min;
    range->max = value > range->max ? value : range->max;
}

struct histogram {
    struct range range;
    uint64_t *bins, count;
};

static void count_sample(void *state, double value)
{
    struct histogram *h = state;
    h->bins[(int)((value - h->range.min) / (h->range.max - h->range.min) * (BINS - 1))]++;
    h->count++;
}

static double percentile(const struct histogram *h, double fraction)
{
    uint64_t rank = (uint64_t)(fraction * (double)(h->count - 1)), seen = 0;
    int bin = 0;
    while (bin < BINS - 1 && (seen += h->bins[bin]) <= rank)
        bin++;
    return h->range.min + (h->range.max - h->range.min) * bin / (BINS - 1);
}

static struct stretch find_stretch(const struct cs_image *image)
{
    struct histogram h = {.range = {INFINITY, -INFINITY}};
    struct stretch s = {.shown = image->channels == 3 ? 3 : 1};
    each_sample(image, s.shown, widen, &h.range);
    if (!(h.range.max > h.range.min)) {
        // One value only, or none: shown as black.
        s.low = isfinite(h.range.min) ? h.range.min : 0;
        s.high = s.low + 1;
        return s;
    }
    h.bins = cs_xcalloc(BINS, sizeof *h.bins);
    each_sample(image, s.shown, count_sample, &h);
    s.low = percentile(&h, 0.01);
    s.high = percentile(&h, 0.998);
    free(h.bins);
    if (!(s.high > s.low)) {
        s.low = h.range.min;
        s.high = h.range.max;
    }
    return s;
}

static uint8_t stretched(const struct stretch *s, double value)
{
    double scaled = (value - s->low) / (s->high - s->low) * 255;
    return (uint8_t)(scaled >= 255 ? 255 : scaled > 0 ? scaled + 0.5 : 0);
}

static void draw_image(const struct cs_image *image, struct cs_image *rgb)
{
    struct stretch s = find_stretch(image);
    uint8_t *to = rgb->data;
    for (uint32_t y = 0; y < image->height; y++)
        for (uint32_t x = 0; x < image->width; x++, to += 3)
            for (int c = 0; c < 3; c++)
                to[c] = s.shown == 1 && c > 0
                            ? to[0]
                            : stretched(&s, shown_sample(image, x, y, s.shown, c));
}

static uint64_t label_at(const struct cs_image *labels, uint32_t x, uint32_t y)
{
    size_t i = (size_t)y * labels->width + x;
    switch (labels->dtype) {
    case CS_U8:
        return ((const uint8_t *)labels->data)[i];
    case CS_U16:
        return ((const uint16_t *)labels->data)[i];
    case CS_U32:
        return ((const uint32_t *)labels->data)[i];
    default:
        return ((const uint64_t *)labels->data)[i];
    }
}

// Which colours the neighbours of a label have: pairs of touching labels, larger first.
struct contact {
    uint32_t large, small;
};
struct contacts {
    struct contact *list;
    size_t count, capacity;
};

static void add_contact(struct contacts *contacts, uint64_t a, uint64_t b, uint64_t max_label)
{
    if (!a || !b || a == b || a > max_label || b > max_label)
        return;
    struct contact pair = {(uint32_t)(a > b ? a : b), (uint32_t)(a > b ? b : a)};
    // Borders run along rows: most repetitions follow each other.
    if (contacts->count) {
        const struct contact *last = &contacts->list[contacts->count - 1];
        if (last->large == pair.large && last->small == pair.small)
            return;
    }
    if (contacts->count == contacts->capacity) {
        contacts->capacity = contacts->capacity ? 2 * contacts->capacity : 256;
        contacts->list = cs_xrealloc(contacts->list, contacts->capacity, sizeof *contacts->list);
    }
    contacts->list[contacts->count++] = pair;
}

static int by_label(const void *left, const void *right)
{
    const struct contact *a = left, *b = right;
    if (a->large != b->large)
        return a->large < b->large ? -1 : 1;
    return a->small < b->small ? -1 : a->small > b->small;
}

static void find_contacts(const struct cs_image *labels, uint64_t max_label,
                          struct contacts *contacts)
{
    for (uint32_t y = 0; y < labels->height; y++)
        for (uint32_t x = 0; x < labels->width; x++) {
            uint64_t here = label_at(labels, x, y);
            if (!here)
                continue;
            if (x + 1 < labels->width)
                add_contact(contacts, here, label_at(labels, x + 1, y), max_label);
            if (y + 1 < labels->height)
                add_contact(contacts, here, label_at(labels, x, y + 1), max_label);
        }
    if (contacts->count)
        qsort(contacts->list, contacts->count, sizeof *contacts->list, by_label);
}

// colour[label] for labels 1..max_label.
static void give_colours(const struct contacts *contacts, uint64_t max_label, uint8_t *colour)
{
    size_t next = 0;
    for (uint64_t label = 1; label <= max_label; label++) {
        unsigned taken = 0;
        for (; next < contacts->count && contacts->list[next].large == label; next++)
            taken |= 1u << colour[contacts->list[next].small];
        uint8_t first = (uint8_t)(label % COLOURS), pick = first;
        for (int i = 0; i < COLOURS && taken >> pick & 1; i++)
            pick = (uint8_t)((first + i + 1) % COLOURS);
        colour[label] = pick;
    }
}

static bool on_outline(const struct cs_image *labels, uint32_t x, uint32_t y, uint64_t here,
                       uint32_t reach)
{
    for (uint32_t d = 1; d <= reach; d++)
        if ((x >= d && label_at(labels, x - d, y) != here) ||
            (x + d < labels->width && label_at(labels, x + d, y) != here) ||
            (y >= d && label_at(labels, x, y - d) != here) ||
            (y + d < labels->height && label_at(labels, x, y + d) != here))
            return true;
    return false;
}

static void draw_outlines(const struct cs_image *labels, struct cs_image *rgb)
{
    // A label beyond the number of pixels comes from elsewhere: it gets the colour of its number.
    uint64_t max_label = (uint64_t)labels->width * labels->height, largest = 0;
    max_label = max_label < UINT32_MAX ? max_label : UINT32_MAX - 1;
    for (uint32_t y = 0; y < labels->height; y++)
        for (uint32_t x = 0; x < labels->width; x++) {
            uint64_t here = label_at(labels, x, y);
            if (here > largest && here <= max_label)
                largest = here;
        }
    struct contacts contacts = {0};
    uint8_t *colour = cs_xcalloc(largest + 1, 1);
    find_contacts(labels, largest, &contacts);
    give_colours(&contacts, largest, colour);
    bool bold = labels->width >= BOLD_FROM_PX && labels->height >= BOLD_FROM_PX;
    uint8_t *to = rgb->data;
    for (uint32_t y = 0; y < labels->height; y++)
        for (uint32_t x = 0; x < labels->width; x++, to += 3) {
            uint64_t here = label_at(labels, x, y);
            if (!here || !on_outline(labels, x, y, here, bold ? 2 : 1))
                continue;
            const uint8_t *ink = palette[here <= largest ? colour[here] : here % COLOURS];
            for (int c = 0; c < 3; c++)
                to[c] = ink[c];
        }
    free(colour);
    free(contacts.list);
}

int cs_overlay_draw(const struct cs_image *image, const struct cs_image *labels,
                    struct cs_image *rgb, struct cs_err *err)
{
    if (labels && (labels->width != image->width || labels->height != image->height))
        return cs_fail(err, CS_EINPUT, "labels of %u x %u on an image of %u x %u", labels->width,
                       labels->height, image->width, image->height);
    if (labels && (labels->channels != 1 || labels->dtype > CS_U64))
        return cs_fail(err, CS_EINPUT, "labels must be one channel of unsigned integers");
    if (!image->channels || !cs_dtype_bytes(image->dtype))
        return cs_fail(err, CS_EINPUT, "image without channels");
    if (cs_image_init(rgb, image->width, image->height, 3, CS_U8, 0, NULL, err) != 0)
        return -1;
    draw_image(image, rgb);
    if (labels)
        draw_outlines(labels, rgb);
    return 0;
}
