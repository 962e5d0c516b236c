// SPDX-License-Identifier: MIT
#include "export/features.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

// ---- Numbers -------------------------------------------------------------------------------

static void put_whole(struct cs_buf *out, uint64_t value)
{
    char text[20];
    int n = sizeof text;
    do
        text[--n] = (char)('0' + value % 10);
    while (value /= 10);
    cs_buf_add(out, text + n, sizeof text - (size_t)n);
}

static void put_signed(struct cs_buf *out, int64_t value)
{
    if (value < 0)
        cs_buf_addc(out, '-');
    put_whole(out, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

// Decimal digits by way of one whole number: several times as fast as printf, and tables have
// twenty numbers an object.
void cs_number_put(struct cs_buf *out, double value)
{
    static const double power[] = {1e0, 1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,
                                   1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17};
    double size = fabs(value);
    if (!isfinite(value))
        return;
    if (value == 0 || size < 1e-5 || size >= 1e12) {
        cs_buf_addf(out, "%.12g", value == 0 ? 0.0 : value); // never "-0"
        return;
    }
    int decimals = 0;
    while (size * power[decimals] < 1e11)
        decimals++;
    uint64_t digits = (uint64_t)(size * power[decimals] + 0.5);
    while (decimals > 0 && digits % 10 == 0) {
        digits /= 10;
        decimals--;
    }
    if (value < 0)
        cs_buf_addc(out, '-');
    uint64_t unit = (uint64_t)power[decimals];
    put_whole(out, digits / unit);
    if (!decimals)
        return;
    char fraction[20] = ".";
    uint64_t rest = digits % unit;
    for (int i = decimals; i > 0; i--, rest /= 10)
        fraction[i] = (char)('0' + rest % 10);
    cs_buf_add(out, fraction, (size_t)decimals + 1);
}

// ---- Columns -------------------------------------------------------------------------------

enum { PIXEL_VALUES = 21, UM_VALUES = 9, VALUES = PIXEL_VALUES + UM_VALUES };

static const char *const value_names[VALUES] = {
    "area",
    "area_bbox",
    "area_convex",
    "area_filled",
    "axis_major_length",
    "axis_minor_length",
    "bbox-0",
    "bbox-1",
    "bbox-2",
    "bbox-3",
    "centroid-0",
    "centroid-1",
    "eccentricity",
    "equivalent_diameter_area",
    "euler_number",
    "extent",
    "feret_diameter_max",
    "orientation",
    "perimeter",
    "perimeter_crofton",
    "solidity",
    "area_um2",
    "area_convex_um2",
    "area_filled_um2",
    "axis_major_length_um",
    "axis_minor_length_um",
    "equivalent_diameter_area_um",
    "feret_diameter_max_um",
    "perimeter_um",
    "perimeter_crofton_um",
};

// The values in the order of the names; NaN where one is not known.
static void values_of(double values[VALUES], const struct cs_measures *m, double um_x, double um_y)
{
    const double pixels[PIXEL_VALUES] = {
        (double)m->area,
        (double)m->area_bbox,
        (double)m->area_convex,
        (double)m->area_filled,
        m->axis_major_length,
        m->axis_minor_length,
        m->bbox[0],
        m->bbox[1],
        m->bbox[2],
        m->bbox[3],
        m->centroid[0],
        m->centroid[1],
        m->eccentricity,
        m->equivalent_diameter_area,
        (double)m->euler_number,
        m->extent,
        m->feret_diameter_max,
        m->orientation,
        m->perimeter,
        m->perimeter_crofton,
        m->solidity,
    };
    bool known = um_x > 0 && um_y > 0;
    double um2 = known ? um_x * um_y : NAN;
    // Lengths do not scale by one factor where pixels are not square.
    double um = known && fabs(um_x - um_y) <= 1e-6 * um_x ? um_x : NAN;
    const double lengths[UM_VALUES] = {
        um2 * pixels[0],
        um2 * pixels[2],
        um2 * pixels[3],
        um * m->axis_major_length,
        um * m->axis_minor_length,
        sqrt(um2) * m->equivalent_diameter_area,
        um * m->feret_diameter_max,
        um * m->perimeter,
        um * m->perimeter_crofton,
    };
    memcpy(values, pixels, sizeof pixels);
    memcpy(values + PIXEL_VALUES, lengths, sizeof lengths);
}

static const char *const intensity_names[3] = {"intensity_mean", "intensity_min", "intensity_max"};

static void put_intensity_name(struct cs_buf *out, int kind, unsigned channel, unsigned channels)
{
    cs_buf_adds(out, intensity_names[kind]);
    if (channels > 1)
        cs_buf_addf(out, "-%u", channel);
}

static double intensity_value(const struct cs_intensity *i, int kind)
{
    return kind == 0 ? i->mean : kind == 1 ? i->min : i->max;
}

static const struct cs_intensity *intensity_of(const struct cs_features *f, uint32_t object)
{
    return f->table->intensity + (size_t)(object - f->table->first) * f->table->channels;
}

// ---- Rows ----------------------------------------------------------------------------------

void cs_csv_field(struct cs_buf *out, const char *text)
{
    if (!strpbrk(text, "\",\n\r")) {
        cs_buf_adds(out, text);
        return;
    }
    cs_buf_addc(out, '"');
    for (; *text; text++) {
        if (*text == '"')
            cs_buf_addc(out, '"');
        cs_buf_addc(out, *text);
    }
    cs_buf_addc(out, '"');
}

unsigned cs_feature_shape_columns(void)
{
    return VALUES;
}

void cs_feature_header(struct cs_buf *out, bool shape, unsigned channels)
{
    cs_buf_adds(out, "image,label");
    for (int v = 0; shape && v < VALUES; v++)
        cs_buf_addf(out, ",%s", value_names[v]);
    for (unsigned c = 0; c < channels; c++)
        for (int kind = 0; kind < 3; kind++) {
            cs_buf_addc(out, ',');
            put_intensity_name(out, kind, c, channels);
        }
    cs_buf_adds(out, "\n");
}

void cs_feature_row(struct cs_buf *out, const struct cs_features *f, uint32_t object)
{
    double values[VALUES];
    cs_csv_field(out, f->image);
    cs_buf_addc(out, ',');
    put_whole(out, f->regions->label[object]);
    values_of(values, &f->table->items[object - f->table->first], f->um_x, f->um_y);
    for (int v = 0; f->shape && v < VALUES; v++) {
        cs_buf_addc(out, ',');
        cs_number_put(out, values[v]);
    }
    for (unsigned c = 0; c < f->table->channels; c++)
        for (int kind = 0; kind < 3; kind++) {
            cs_buf_addc(out, ',');
            cs_number_put(out, intensity_value(&intensity_of(f, object)[c], kind));
        }
    cs_buf_adds(out, "\n");
}

// ---- Features ------------------------------------------------------------------------------

static void put_point(struct cs_buf *out, struct cs_point p)
{
    cs_buf_addc(out, '[');
    put_signed(out, p.x);
    cs_buf_addc(out, ',');
    put_signed(out, p.y);
    cs_buf_addc(out, ']');
}

static void put_polygon(struct cs_buf *out, const struct cs_contours *c, size_t polygon)
{
    const struct cs_polygon *p = &c->polygons[polygon];
    for (uint32_t r = 0; r < p->count; r++) {
        const struct cs_ring *ring = &c->rings[p->first + r];
        const struct cs_point *points = c->points + ring->first;
        cs_buf_adds(out, r ? ",[" : "[[");
        for (uint32_t i = 0; i < ring->count; i++) {
            put_point(out, points[i]);
            cs_buf_addc(out, ',');
        }
        put_point(out, points[0]); // GeoJSON repeats the first position
        cs_buf_addc(out, ']');
    }
    cs_buf_addc(out, ']');
}

static void put_geometry(struct cs_buf *out, const struct cs_contours *c, uint32_t object)
{
    size_t first = c->object_start[object], end = c->object_start[object + 1];
    if (end - first == 1) {
        cs_buf_adds(out, "{\"type\":\"Polygon\",\"coordinates\":");
        put_polygon(out, c, first);
    } else {
        cs_buf_adds(out, "{\"type\":\"MultiPolygon\",\"coordinates\":[");
        for (size_t p = first; p < end; p++) {
            if (p > first)
                cs_buf_addc(out, ',');
            put_polygon(out, c, p);
        }
        cs_buf_addc(out, ']');
    }
    cs_buf_addc(out, '}');
}

// Values that are not known are left out: QuPath reads numbers only.
static void put_measurements(struct cs_buf *out, const struct cs_features *f, uint32_t object)
{
    double values[VALUES];
    bool any = false;
    values_of(values, &f->table->items[object - f->table->first], f->um_x, f->um_y);
    cs_buf_adds(out, ",\"measurements\":{");
    for (int v = 0; f->shape && v < VALUES; v++) {
        if (!isfinite(values[v]))
            continue;
        cs_buf_adds(out, any ? ",\"" : "\"");
        cs_buf_adds(out, value_names[v]);
        cs_buf_adds(out, "\":");
        cs_number_put(out, values[v]);
        any = true;
    }
    for (unsigned c = 0; c < f->table->channels; c++)
        for (int kind = 0; kind < 3; kind++) {
            double value = intensity_value(&intensity_of(f, object)[c], kind);
            if (!isfinite(value))
                continue;
            cs_buf_adds(out, any ? ",\"" : "\"");
            put_intensity_name(out, kind, c, f->table->channels);
            cs_buf_adds(out, "\":");
            cs_number_put(out, value);
            any = true;
        }
    cs_buf_addc(out, '}');
}

void cs_feature_put(struct cs_buf *out, const struct cs_features *f, uint32_t object, bool named)
{
    uint32_t label = f->regions->label[object];
    cs_buf_addf(out, "{\"type\":\"Feature\",\"id\":%u,\"geometry\":", label);
    put_geometry(out, f->contours, object - f->table->first);
    cs_buf_addf(out, ",\"properties\":{\"objectType\":\"detection\",\"name\":\"%u\"", label);
    if (named) {
        cs_buf_adds(out, ",\"image\":");
        cs_json_string(out, f->image);
    }
    if (f->shape || f->table->channels)
        put_measurements(out, f, object);
    cs_buf_adds(out, "}}");
}
