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

// One file or table being written.
struct output {
    enum cs_polygon_format format;
    FILE *file; // standard output, or that of `out`; NULL: rows of the manifest
    struct cs_outfile out;
    char *path; // of `out`
    struct cs_buf text;
};

static int flush(struct cs_polygons *p, struct output *o, unsigned channels, struct cs_err *err)
{
    if (o->file)
        return put_out(o->file, &o->text, err);
    int status = cs_manifest_rows(p->manifest, o->text.data, o->text.len, p->shape, channels, err);
    cs_buf_clear(&o->text);
    return status;
}

static int begin_table(struct cs_polygons *p, struct output *o, unsigned channels,
                       struct cs_err *err)
{
    if (p->manifest)
        return 0;
    if (p->header_channels < 0) {
        cs_feature_header(&o->text, p->shape, channels);
        p->header_channels = (int)channels;
    } else if (p->header_channels != (int)channels) {
        return cs_fail(err, CS_EINPUT, "%u channels of intensities in a table that has %d",
                       channels, p->header_channels);
    }
    return 0;
}

static int open_file(const struct cs_polygons *p, struct output *o, struct cs_item *item,
                     struct cs_err *err)
{
    const char *name = cs_meta_get(&item->begin, CS_KEY_OUTPUT);
    const char *extension = o->format == CS_FORMAT_GEOJSON ? "geojson" : "ndjson";
    if (cs_output_name_check(name, err) != 0)
        return -1;
    char *path = cs_xasprintf("%s/polygons/%s.%s", p->dir, name, extension);
    if (cs_outfile_open(&o->out, path, err) != 0) {
        free(path);
        return -1;
    }
    o->path = path;
    o->file = o->out.file;
    return 0;
}

static int output_begin(struct cs_polygons *p, struct output *o, struct cs_item *item,
                        unsigned channels, struct cs_err *err)
{
    o->file = p->dir ? NULL : stdout;
    if (o->format == CS_FORMAT_CSV)
        return begin_table(p, o, channels, err);
    if (p->dir && open_file(p, o, item, err) != 0)
        return -1;
    if (o->format == CS_FORMAT_GEOJSON)
        cs_buf_addf(&o->text, "{\"type\":\"FeatureCollection\",\"features\":[%s",
                    p->dir ? "\n" : "");
    return 0;
}

// Some objects; a collection on standard output is one line.
static int output_add(struct cs_polygons *p, struct output *o, const struct cs_features *f,
                      struct cs_err *err)
{
    uint32_t end = f->table->first + f->table->count;
    for (uint32_t k = f->table->first; k < end; k++) {
        bool last = k + 1 == f->regions->count;
        if (o->format == CS_FORMAT_CSV)
            cs_feature_row(&o->text, f, k);
        else
            cs_feature_put(&o->text, f, k, o->format == CS_FORMAT_NDJSON);
        if (o->format == CS_FORMAT_GEOJSON)
            cs_buf_addf(&o->text, "%s%s", last ? "" : ",", p->dir ? "\n" : "");
        else if (o->format == CS_FORMAT_NDJSON)
            cs_buf_addc(&o->text, '\n');
        if (o->text.len >= FLUSH_BYTES && flush(p, o, f->table->channels, err) != 0)
            return -1;
    }
    return 0;
}

static int output_end(struct cs_polygons *p, struct output *o, struct cs_item *item,
                      unsigned channels, struct cs_err *err)
{
    if (o->format == CS_FORMAT_GEOJSON)
        cs_buf_adds(&o->text, "]}\n");
    if (flush(p, o, channels, err) != 0)
        return -1;
    if (!o->path)
        return 0;
    o->file = NULL;
    int status = cs_outfile_commit(&o->out, 0, err); // synced in groups by the manifest
    if (status == 0)
        cs_manifest_wrote(item, o->format == CS_FORMAT_GEOJSON ? "geojson" : "ndjson", o->path);
    free(o->path);
    o->path = NULL;
    return status;
}

// Accepts one that was ended, or a zeroed one.
static void output_drop(struct output *o)
{
    if (o->path)
        cs_outfile_abort(&o->out);
    free(o->path);
    cs_buf_release(&o->text);
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

// Measurements and outlines of the next objects.
static int make_some(const struct cs_polygons *p, struct cs_features *f,
                     const struct cs_image *image, uint32_t first, struct cs_contours *contours,
                     struct cs_measure_table *table, struct cs_err *err)
{
    enum { OBJECTS_AT_ONCE = 4096 };
    unsigned outlines = 1u << CS_FORMAT_GEOJSON | 1u << CS_FORMAT_NDJSON;
    uint32_t left = f->regions->count - first;
    uint32_t end = first + (left < OBJECTS_AT_ONCE ? left : OBJECTS_AT_ONCE);
    if (cs_measure_some(table, f->regions, image, first, end, err) != 0)
        return -1;
    if (!(p->formats & outlines))
        return 0;
    if (cs_contours_trace_some(contours, f->regions, first, end, p->limits.spill_bytes,
                               p->limits.scratch_dir, err) != 0)
        return -1;
    return p->simplify_px > 0 ? cs_contours_simplify(contours, end - first, p->simplify_px, err)
                              : 0;
}

// Pages of what lies above the objects that are written may go.
static void forget(const struct cs_regions *regions, const struct cs_image *image, uint32_t object)
{
    cs_regions_forget(regions, object);
    if (image && object < regions->count)
        cs_big_forget(&image->block, 0,
                      cs_region_run(regions, object, 0)->row * cs_image_row_bytes(image));
}

static int write_objects(struct cs_polygons *p, struct cs_features *f, const struct cs_image *image,
                         struct output *outputs, int count, struct cs_err *err)
{
    uint32_t first = 0;
    int status = 0;
    while (first < f->regions->count && status == 0) {
        struct cs_contours contours = {0};
        struct cs_measure_table table = {0};
        f->contours = &contours;
        f->table = &table;
        status = make_some(p, f, image, first, &contours, &table, err);
        for (int k = 0; k < count && status == 0; k++)
            status = output_add(p, &outputs[k], f, err);
        first += table.count;
        cs_measure_table_release(&table);
        cs_contours_release(&contours);
        forget(f->regions, image, first);
    }
    return status;
}

static int write_item(struct cs_polygons *p, struct cs_item *item, struct cs_features *f,
                      struct cs_err *err)
{
    struct output outputs[CS_FORMAT_COUNT] = {{.file = NULL}};
    const struct cs_image *image = NULL;
    int count = 0, status = find_image(p, item, &image, err);
    unsigned channels = status == 0 && image ? image->channels : 0;
    for (int format = 0; format < CS_FORMAT_COUNT && status == 0; format++)
        if (p->formats >> format & 1) {
            outputs[count].format = (enum cs_polygon_format)format;
            status = output_begin(p, &outputs[count++], item, channels, err);
        }
    if (status == 0)
        status = write_objects(p, f, image, outputs, count, err);
    for (int k = 0; k < count && status == 0; k++)
        status = output_end(p, &outputs[k], item, channels, err);
    for (int k = 0; k < count; k++)
        output_drop(&outputs[k]);
    return status;
}

int cs_polygons_band(struct cs_polygons *p, const struct cs_image *band, uint32_t first_row,
                     struct cs_err *err)
{
    p->begun = true;
    return cs_regions_add(&p->regions, band, first_row, p->limits.spill_bytes,
                          p->limits.scratch_dir, err);
}

void cs_polygons_drop(struct cs_polygons *p)
{
    cs_regions_release(&p->regions);
    p->begun = false;
}

int cs_polygons_item(struct cs_polygons *p, struct cs_item *item, struct cs_err *err)
{
    const char *source = cs_meta_get(&item->begin, CS_KEY_SOURCE);
    struct cs_features f = {
        .image = source ? source : "", .regions = &p->regions, .shape = p->shape};
    if (!p->begun)
        return cs_fail(err, CS_EINPUT, "no %s in the stream (is cs-postprocess before this?)",
                       cs_plane_name(p->plane));
    if (cs_meta_real(&item->begin, CS_KEY_PIXEL, 0, 1e9, 0, &f.um_x, err) != 0 ||
        cs_meta_real(&item->begin, CS_KEY_PIXEL_Y, 0, 1e9, f.um_x, &f.um_y, err) != 0 ||
        cs_regions_finish(&p->regions, p->limits.spill_bytes, p->limits.scratch_dir, err) != 0 ||
        write_item(p, item, &f, err) != 0)
        return -1;
    cs_meta_setf(&item->done, CS_KEY_OBJECTS, "%u", p->regions.count);
    cs_meta_set(&item->done, CS_KEY_STATUS, p->regions.count ? "ok" : "empty");
    return 0;
}
