// SPDX-License-Identifier: MIT
// The objects of one item as text: GeoJSON features, as QuPath reads and writes them, and rows of a
// table (RFC 4180). cs-polygonize(1) describes both.
#ifndef CS_EXPORT_FEATURES_H
#define CS_EXPORT_FEATURES_H

#include "base/buf.h"
#include "shape/contours.h"
#include "shape/measure.h"

struct cs_features {
    const char *image; // the input as the user named it
    const struct cs_regions *regions;
    const struct cs_contours *contours;   // for features; of the objects in `table`
    const struct cs_measure_table *table; // of some objects of the regions
    bool shape;                           // the columns of shape
    double um_x, um_y;                    // pixel size, 0 where unknown
};

// One feature, without a newline; named: with the image among its properties.
void cs_feature_put(struct cs_buf *out, const struct cs_features *f, uint32_t object, bool named);

// One row, with its line end. Columns: image, label, those of shape, those of the channels.
void cs_feature_row(struct cs_buf *out, const struct cs_features *f, uint32_t object);
// The header for rows of this many channels, with its line end.
void cs_feature_header(struct cs_buf *out, bool shape, unsigned channels);

// Number of the columns of shape.
unsigned cs_feature_shape_columns(void);

// A field of a table, in quotes where RFC 4180 asks for them.
void cs_csv_field(struct cs_buf *out, const char *text);
// A number with up to 12 significant digits; nothing where it is not finite.
void cs_number_put(struct cs_buf *out, double value);

#endif
