// SPDX-License-Identifier: MIT
// The last stage's work on one item: outlines, measurements, and the files or text made of them.
#ifndef CS_EXPORT_POLYGONS_H
#define CS_EXPORT_POLYGONS_H

#include "export/manifest.h"
#include "shape/regions.h"

enum cs_polygon_format { CS_FORMAT_GEOJSON, CS_FORMAT_NDJSON, CS_FORMAT_CSV, CS_FORMAT_COUNT };

enum cs_measure_intensity { CS_INTENSITY_NO, CS_INTENSITY_IF_THERE, CS_INTENSITY_YES };

struct cs_polygons {
    const char *dir;  // NULL: standard output
    unsigned formats; // bit mask 1 << cs_polygon_format; one of them for standard output
    double simplify_px;
    bool shape;
    enum cs_measure_intensity intensity;
    enum cs_plane plane; // that holds the labels
    struct cs_item_limits limits;
    struct cs_manifest *manifest; // takes rows; NULL for standard output
    int header_channels;          // of the table on standard output; -1: no header yet
    struct cs_regions regions;    // of the item whose labels come
    bool begun;                   // some have come
};

// Comma-separated lists of --format and --measure. CS_EUSAGE.
int cs_polygons_set_formats(struct cs_polygons *p, const char *list, struct cs_err *err);
int cs_polygons_set_measures(struct cs_polygons *p, const char *list, struct cs_err *err);

// A band of the item's labels, in order. CS_EINPUT, CS_ENOMEM, CS_EIO.
int cs_polygons_band(struct cs_polygons *p, const struct cs_image *band, uint32_t first_row,
                     struct cs_err *err);
// Write the item whose labels have come; adds to its DONE what was written and how many objects
// there are.
int cs_polygons_item(struct cs_polygons *p, struct cs_item *item, struct cs_err *err);
// Forget its labels, written or not: before those of the next item.
void cs_polygons_drop(struct cs_polygons *p);

#endif
