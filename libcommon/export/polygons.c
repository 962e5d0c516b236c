// SPDX-License-Identifier: MIT
#include "export/polygons.h"

#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "export/features.h"
#include "shape/simplify.h"

enum { FLUSH_BYTES = 1 << 20 };

// Index of the name [text, text + len) in a list of `count`, -1 if it is not there.
static int name_index(const char *const *names, int count, const char *text, size_t len)
{
    for (int i = 0; i < count; i++)
        if (strlen(names[i]) == len && strncmp(names[i], text, len) == 0)
            return i;
    return -1;
}

int cs_polygons_set_formats(struct cs_polygons *p, const char *list, struct cs_err *err)
{
    static const char *const names[CS_FORMAT_COUNT] = {"geojson", "ndjson", "csv"};
    p->formats = 0;
    for (const char *at = list;; at++) {
        size_t len = strcspn(at, ",");
        int format = name_index(names, CS_FORMAT_COUNT, at, len);
        if (format < 0)
            return cs_fail(err, CS_EUSAGE, "--format: '%.*s' is none of geojson, ndjson, csv",
                           (int)len, at);
        p->formats |= 1u << format;
        at += len;
        if (!*at)
            return 0;
    }
}

int cs_polygons_set_measures(struct cs_polygons *p, const char *list, struct cs_err *err)
{
    static const char *const names[] = {"shape", "intensity", "none"};
    p->shape = false;
    p->intensity = CS_INTENSITY_NO;
    for (const char *at = list;; at++) {
        size_t len = strcspn(at, ",");
        int measure = name_index(names, 3, at, len);
        if (measure < 0 || (measure == 2 && strcmp(list, "none") != 0))
            return cs_fail(err, CS_EUSAGE,
                           "--measure: '%s' is no list of shape, intensity, nor none", list);
        if (measure == 0)
            p->shape = true;
        else if (measure == 1)
            p->intensity = CS_INTENSITY_YES;
        at += len;
        if (!*at)
            return 0;
    }
}

// ---- Writing -------------------------------------------------------------------------------

static int put_out(FILE *file, struct cs_buf *text, struct cs_err *err)
{
    if (text->len && fwrite(text->data, 1, text->len, file) != text->len)
        return cs_fail_errno(err, CS_EIO, "writing polygons");
    cs_buf_clear(text);
    return 0;
}

static int write_geojson(FILE *file, const struct cs_features *f, bool one_line, struct cs_err *err)
{
    struct cs_buf text = {0};
    int status = 0;
    const char *gap = one_line ? "" : "\n";
    cs_buf_addf(&text, "{\"type\":\"FeatureCollection\",\"features\":[%s", gap);
    for (uint32_t o = 0; status == 0 && o < f->regions->count; o++) {
        cs_feature_put(&text, f, o, false);
        cs_buf_addf(&text, "%s%s", o + 1 < f->regions->count ? "," : "", gap);
        if (text.len >= FLUSH_BYTES)
            status = put_out(file, &text, err);
    }
    cs_buf_adds(&text, "]}\n");
    if (status == 0)
        status = put_out(file, &text, err);
    cs_buf_release(&text);
    return status;
}

static int write_ndjson(FILE *file, const struct cs_features *f, struct cs_err *err)
{
    struct cs_buf text = {0};
    int status = 0;
    for (uint32_t o = 0; status == 0 && o < f->regions->count; o++) {
        cs_feature_put(&text, f, o, true);
        cs_buf_addc(&text, '\n');
        if (text.len >= FLUSH_BYTES || o + 1 == f->regions->count)
            status = put_out(file, &text, err);
    }
    cs_buf_release(&text);
    return status;
}

static int write_file(const struct cs_polygons *p, struct cs_item *item,
                      const struct cs_features *f, enum cs_polygon_format format,
                      struct cs_err *err)
{
    struct cs_outfile out;
    const char *name = cs_meta_get(&item->begin, CS_KEY_OUTPUT);
    const char *extension = format == CS_FORMAT_GEOJSON ? "geojson" : "ndjson";
    if (cs_output_name_check(name, err) != 0)
        return -1;
    char *path = cs_xasprintf("%s/polygons/%s.%s", p->dir, name, extension);
    int status = cs_outfile_open(&out, path, err);
    if (status == 0) {
        status = format == CS_FORMAT_GEOJSON ? write_geojson(out.file, f, false, err)
                                             : write_ndjson(out.file, f, err);
        if (status == 0)
            status = cs_outfile_commit(&out, 0, err); // synced in groups by the manifest
        else
            cs_outfile_abort(&out);
    }
    if (status == 0)
        cs_manifest_wrote(item, extension, path);
    free(path);
    return status;
}

static int write_rows(struct cs_polygons *p, const struct cs_features *f, struct cs_err *err)
{
    struct cs_buf text = {0};
    unsigned channels = f->table->channels;
    int status = 0;
    if (!p->manifest && p->header_channels < 0) {
        cs_feature_header(&text, p->shape, channels);
        p->header_channels = (int)channels;
    } else if (!p->manifest && p->header_channels != (int)channels) {
        return cs_fail(err, CS_EINPUT, "%u channels of intensities in a table that has %d",
                       channels, p->header_channels);
    }
    for (uint32_t o = 0; status == 0 && o <= f->regions->count; o++) {
        bool end = o == f->regions->count;
        if (!end)
            cs_feature_row(&text, f, o);
        if (text.len < FLUSH_BYTES && !end)
            continue;
        if (!p->manifest) {
            status = put_out(stdout, &text, err);
        } else {
            status = cs_manifest_rows(p->manifest, text.data, text.len, p->shape, channels, err);
            cs_buf_clear(&text);
        }
    }
    cs_buf_release(&text);
    return status;
}

static int write_all(struct cs_polygons *p, struct cs_item *item, const struct cs_features *f,
                     struct cs_err *err)
{
    for (int format = 0; format < CS_FORMAT_COUNT; format++) {
        int status = 0;
        if (!(p->formats >> format & 1))
            continue;
        if (format == CS_FORMAT_CSV)
            status = write_rows(p, f, err);
        else if (p->dir)
            status = write_file(p, item, f, (enum cs_polygon_format)format, err);
        else if (format == CS_FORMAT_GEOJSON)
            status = write_geojson(stdout, f, true, err);
        else
            status = write_ndjson(stdout, f, err);
        if (status != 0)
            return -1;
    }
    return 0;
}

// ---- One item ------------------------------------------------------------------------------

static int find_image(const struct cs_polygons *p, const struct cs_item *item,
                      const struct cs_image **image, struct cs_err *err)
{
    const struct cs_image *plane = &item->planes[CS_PLANE_IMAGE];
    *image = NULL;
    if (p->intensity == CS_INTENSITY_NO)
        return 0;
    if (plane->data && p->plane != CS_PLANE_IMAGE)
        *image = plane;
    else if (p->intensity == CS_INTENSITY_YES)
        return cs_fail(err, CS_EINPUT,
                       "--measure intensity: the stream has no image (--keep image before this)");
    return 0;
}

static int make_shapes(const struct cs_polygons *p, const struct cs_item *item,
                       struct cs_regions *regions, struct cs_contours *contours,
                       struct cs_measure_table *table, struct cs_err *err)
{
    const struct cs_image *labels = &item->planes[p->plane], *image;
    unsigned outlines = 1u << CS_FORMAT_GEOJSON | 1u << CS_FORMAT_NDJSON;
    if (!labels->data)
        return cs_fail(err, CS_EINPUT, "no %s in the stream (is cs-postprocess before this?)",
                       cs_plane_name(p->plane));
    if (find_image(p, item, &image, err) != 0 ||
        cs_regions_init(regions, labels, p->limits.spill_bytes, p->limits.scratch_dir, err) != 0 ||
        cs_measure_objects(table, regions, image, err) != 0)
        return -1;
    if (!(p->formats & outlines))
        return 0;
    if (cs_contours_trace(contours, regions, err) != 0)
        return -1;
    return p->simplify_px > 0 ? cs_contours_simplify(contours, regions->count, p->simplify_px, err)
                              : 0;
}

int cs_polygons_item(struct cs_polygons *p, struct cs_item *item, struct cs_err *err)
{
    struct cs_regions regions = {0};
    struct cs_contours contours = {0};
    struct cs_measure_table table = {0};
    const char *source = cs_meta_get(&item->begin, CS_KEY_SOURCE);
    struct cs_features f = {.image = source ? source : "",
                            .regions = &regions,
                            .contours = &contours,
                            .table = &table,
                            .shape = p->shape};
    int status = -1;
    if (cs_meta_real(&item->begin, CS_KEY_PIXEL, 0, 1e9, 0, &f.um_x, err) == 0 &&
        cs_meta_real(&item->begin, CS_KEY_PIXEL_Y, 0, 1e9, f.um_x, &f.um_y, err) == 0)
        status = make_shapes(p, item, &regions, &contours, &table, err);
    if (status == 0)
        status = write_all(p, item, &f, err);
    if (status == 0) {
        cs_meta_setf(&item->done, CS_KEY_OBJECTS, "%u", regions.count);
        cs_meta_set(&item->done, CS_KEY_STATUS, regions.count ? "ok" : "empty");
    }
    cs_measure_table_release(&table);
    cs_contours_release(&contours);
    cs_regions_release(&regions);
    return status;
}
