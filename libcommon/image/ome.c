// SPDX-License-Identifier: MIT
// OME-XML by expat. An Image becomes a series when its Pixels element ends: only then the number
// of samples a channel, and with it the number of planes along C, is known. TiffData elements are
// kept until then. Rules for them follow the OME-TIFF specification (docs.openmicroscopy.org): IFD
// is 0 unless given; PlaneCount is 1 where IFD is given, else all planes; the planes run in
// DimensionOrder from FirstZ, FirstC, FirstT on.
#include "image/ome.h"

#include <ctype.h>
#include <expat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/num.h"
#include "image/unit.h"

enum { MAX_TIFF_DATA = 1 << 20, MAX_DEPTH = 64, UUID_BYTES = 64 };
enum { NAME_SLOTS = 2 * CS_MAX_SET_FILES };
#define NOWHERE UINT32_MAX

struct tiff_data {
    uint32_t first[3]; // z, c, t
    uint32_t page, count;
    uint32_t file; // of the layout's, from 1 on; 0: this one; NOWHERE: one without a name
    bool counted;
};

struct ome {
    XML_Parser parser;
    struct cs_layout *layout;
    struct cs_err *err;
    bool failed;
    const char *file_name; // NULL: unknown
    uint32_t *name_slots;  // hash table of the layout's files, by number; 0: free
    uint32_t named;        // file of the UUID element that we are in
    char uuid[UUID_BYTES]; // of the description itself, or ""
    char text[UUID_BYTES]; // of the UUID element that we are in
    size_t text_len;
    bool in_uuid, given_uuid;
    uint32_t pages;
    int depth;

    bool in_pixels;
    uint32_t size[3]; // Z, C, T
    char order[3];    // the axes behind XY, fastest first: 'Z', 'C', 'T'
    double pixel_um[2];
    uint32_t width, height;
    uint32_t channels; // Channel elements
    uint32_t samples;  // a channel; 0 not said
    char *names[CS_MAX_CHANNELS];
    struct tiff_data *data;
    size_t data_count, data_capacity;
    bool binary_only;
    uint64_t placed; // planes set so far: elements that repeat each other cost time
};

// Behind a byte order mark and blanks, which XML forbids before its declaration.
static const char *skip_blanks(const char *text)
{
    text += strncmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    return text + strspn(text, " \t\r\n");
}

bool cs_ome_sniff(const char *text)
{
    // The root may follow a declaration and comments, and may have a prefix.
    text = skip_blanks(text);
    const char *open = strstr(text, "<OME");
    if (!open)
        open = strstr(text, ":OME ");
    return text[0] == '<' && open && open - text < 4096;
}

static void fail(struct ome *ome, const char *fmt, const char *text)
{
    if (!ome->failed)
        cs_fail(ome->err, CS_EINPUT, fmt, text);
    ome->failed = true;
    XML_StopParser(ome->parser, XML_FALSE);
}

// ---- Attributes ----------------------------------------------------------------------------

static const char *attribute(const char **attributes, const char *name)
{
    for (; *attributes; attributes += 2)
        if (strcmp(attributes[0], name) == 0)
            return attributes[1];
    return NULL;
}

static uint32_t count_attribute(struct ome *ome, const char **attributes, const char *name,
                                uint32_t min, uint32_t fallback)
{
    const char *text = attribute(attributes, name);
    int64_t value = fallback;
    if (text && cs_num_int(text, min, UINT32_MAX - 1, name, &value, NULL) != 0)
        fail(ome, "OME-XML: %s is no count in range", name);
    return (uint32_t)value;
}

static double length_attribute(const char **attributes, const char *name, const char *unit_name)
{
    const char *text = attribute(attributes, name), *unit = attribute(attributes, unit_name);
    double value = 0, um = unit ? cs_unit_um(unit) : 1; // the default unit is the micrometre
    if (!text || cs_num_real(text, 0, 1e12, name, &value, NULL) != 0)
        return 0;
    return value * um;
}

static const char *local_name(const char *name)
{
    const char *colon = strrchr(name, ':');
    return colon ? colon + 1 : name;
}

// ---- Elements ------------------------------------------------------------------------------

static void forget_image(struct ome *ome)
{
    for (uint32_t i = 0; i < CS_MAX_CHANNELS; i++) {
        free(ome->names[i]);
        ome->names[i] = NULL;
    }
    ome->channels = ome->samples = 0;
    ome->data_count = 0;
    ome->in_pixels = ome->in_uuid = false;
}

static void start_ome(struct ome *ome, const char **attributes)
{
    const char *uuid = attribute(attributes, "UUID");
    if (uuid && strlen(uuid) < UUID_BYTES && !ome->given_uuid)
        memcpy(ome->uuid, uuid, strlen(uuid) + 1);
}

static void start_binary_only(struct ome *ome, const char **attributes)
{
    const char *file = attribute(attributes, "MetadataFile");
    ome->binary_only = true;
    if (!file || ome->layout->master)
        return;
    const char *slash = strrchr(file, '/');
    ome->layout->master = cs_xstrdup(slash ? slash + 1 : file);
    if (ome->uuid[0])
        ome->layout->uuid = cs_xstrdup(ome->uuid);
}

static void start_pixels(struct ome *ome, const char **attributes)
{
    forget_image(ome);
    ome->in_pixels = true;
    ome->size[0] = count_attribute(ome, attributes, "SizeZ", 1, 1);
    ome->size[1] = count_attribute(ome, attributes, "SizeC", 1, 1);
    ome->size[2] = count_attribute(ome, attributes, "SizeT", 1, 1);
    ome->width = count_attribute(ome, attributes, "SizeX", 1, 0);
    ome->height = count_attribute(ome, attributes, "SizeY", 1, 0);
    ome->pixel_um[0] = length_attribute(attributes, "PhysicalSizeX", "PhysicalSizeXUnit");
    ome->pixel_um[1] = length_attribute(attributes, "PhysicalSizeY", "PhysicalSizeYUnit");
    const char *order = attribute(attributes, "DimensionOrder");
    if (!order)
        order = "XYZCT";
    bool valid = strlen(order) == 5 && strncmp(order, "XY", 2) == 0 && strchr(order, 'Z') &&
                 strchr(order, 'C') && strchr(order, 'T');
    if (!valid)
        fail(ome, "OME-XML: DimensionOrder %s is not supported", order);
    else
        memcpy(ome->order, order + 2, 3);
}

static void start_channel(struct ome *ome, const char **attributes)
{
    if (ome->channels == CS_MAX_CHANNELS) {
        fail(ome, "OME-XML: too many channels%s", "");
        return;
    }
    const char *name = attribute(attributes, "Name");
    if (name && *name)
        ome->names[ome->channels] = cs_xstrdup(name);
    uint32_t samples = count_attribute(ome, attributes, "SamplesPerPixel", 1, 0);
    if (samples && ome->samples && samples != ome->samples)
        fail(ome, "OME-XML: channels of different SamplesPerPixel%s", "");
    ome->samples = samples ? samples : ome->samples;
    ome->channels++;
}

static void start_tiff_data(struct ome *ome, const char **attributes)
{
    if (ome->data_count == MAX_TIFF_DATA) {
        fail(ome, "OME-XML: too many TiffData elements%s", "");
        return;
    }
    if (ome->data_count == ome->data_capacity) {
        ome->data_capacity = ome->data_capacity ? 2 * ome->data_capacity : 16;
        ome->data = cs_xrealloc(ome->data, ome->data_capacity, sizeof *ome->data);
    }
    bool placed = attribute(attributes, "IFD");
    ome->data[ome->data_count++] = (struct tiff_data){
        .first = {count_attribute(ome, attributes, "FirstZ", 0, 0),
                  count_attribute(ome, attributes, "FirstC", 0, 0),
                  count_attribute(ome, attributes, "FirstT", 0, 0)},
        .page = count_attribute(ome, attributes, "IFD", 0, 0),
        .counted = placed || attribute(attributes, "PlaneCount"),
        .count = count_attribute(ome, attributes, "PlaneCount", 0, 1),
    };
}

// The number of a file of the set, from 1 on, in the layout's list.
static uint32_t number_of(struct ome *ome, const char *name)
{
    struct cs_layout *layout = ome->layout;
    uint32_t slot = 2166136261u; // FNV-1a
    for (const char *c = name; *c; c++)
        slot = (slot ^ (uint8_t)*c) * 16777619u;
    if (!ome->name_slots)
        ome->name_slots = cs_xcalloc(NAME_SLOTS, sizeof *ome->name_slots);
    for (slot %= NAME_SLOTS; ome->name_slots[slot]; slot = (slot + 1) % NAME_SLOTS)
        if (strcmp(layout->files[ome->name_slots[slot] - 1], name) == 0)
            return ome->name_slots[slot];
    if (layout->file_count == CS_MAX_SET_FILES) {
        fail(ome, "OME-XML: too many files%s", "");
        return NOWHERE;
    }
    if ((layout->file_count & (layout->file_count - 1)) == 0)
        layout->files = cs_xrealloc(layout->files, layout->file_count ? 2 * layout->file_count : 1,
                                    sizeof *layout->files);
    layout->files[layout->file_count++] = cs_xstrdup(name);
    ome->name_slots[slot] = layout->file_count;
    return layout->file_count;
}

static void start_uuid(struct ome *ome, const char **attributes)
{
    const char *file = attribute(attributes, "FileName");
    if (!ome->data_count)
        return;
    ome->in_uuid = true;
    ome->named = NOWHERE;
    ome->text_len = 0;
    if (!file)
        return;
    const char *slash = strrchr(file, '/');
    file = slash ? slash + 1 : file;
    bool here = ome->file_name && strcmp(file, ome->file_name) == 0;
    ome->named = here ? 0 : number_of(ome, file);
    ome->data[ome->data_count - 1].file = ome->named;
}

static void on_text(void *context, const char *text, int len)
{
    struct ome *ome = context;
    for (int i = 0; ome->in_uuid && i < len; i++)
        if (!isspace((unsigned char)text[i]) && ome->text_len < UUID_BYTES - 1)
            ome->text[ome->text_len++] = text[i];
}

static void end_uuid(struct ome *ome)
{
    ome->text[ome->text_len] = '\0';
    if (ome->in_uuid && ome->text_len && ome->uuid[0])
        ome->data[ome->data_count - 1].file = strcmp(ome->text, ome->uuid) == 0 ? 0
                                              : ome->named                      ? ome->named
                                                                                : NOWHERE;
    ome->in_uuid = false;
}

static void on_start(void *context, const char *name, const char **attributes)
{
    struct ome *ome = context;
    if (ome->failed)
        return;
    if (++ome->depth > MAX_DEPTH) {
        fail(ome, "OME-XML: elements are nested too deeply%s", "");
        return;
    }
    name = local_name(name);
    if (strcmp(name, "OME") == 0)
        start_ome(ome, attributes);
    else if (strcmp(name, "Pixels") == 0)
        start_pixels(ome, attributes);
    else if (strcmp(name, "BinaryOnly") == 0)
        start_binary_only(ome, attributes);
    else if (!ome->in_pixels)
        return;
    else if (strcmp(name, "Channel") == 0)
        start_channel(ome, attributes);
    else if (strcmp(name, "TiffData") == 0)
        start_tiff_data(ome, attributes);
    else if (strcmp(name, "UUID") == 0)
        start_uuid(ome, attributes);
}

// ---- From elements to a series -------------------------------------------------------------

// Position of the plane `n` steps behind `first` in DimensionOrder; false when beyond the axes.
static bool advance(const struct ome *ome, const uint32_t size[3], const uint32_t first[3],
                    uint64_t n, uint32_t at[3])
{
    static const char axes[] = "ZCT";
    for (int k = 0; k < 3; k++) {
        int axis = (int)(strchr(axes, ome->order[k]) - axes);
        uint64_t position = first[axis] + n;
        at[axis] = (uint32_t)(position % size[axis]);
        n = position / size[axis];
    }
    return n == 0;
}

static int place(struct ome *ome, struct cs_series *series, const struct tiff_data *data)
{
    const uint32_t size[3] = {series->z, series->c, series->t};
    uint64_t count = data->counted ? data->count : (uint64_t)series->z * series->c * series->t;
    for (int k = 0; k < 3; k++)
        if (data->first[k] >= size[k])
            return cs_fail(ome->err, CS_EINPUT, "OME-XML: TiffData points outside the axes");
    for (uint64_t i = 0; i < count && data->file != NOWHERE; i++) {
        uint32_t at[3];
        if (!advance(ome, size, data->first, i, at))
            break;
        if (++ome->placed > 4 * (uint64_t)CS_MAX_PLANES)
            return cs_fail(ome->err, CS_EINPUT, "OME-XML: TiffData elements overlap");
        uint64_t page = data->page + i;
        if (data->file)
            cs_series_put_elsewhere(
                series, at[2], at[0], at[1],
                (struct cs_place){page < CS_NO_PAGE ? data->file : 0, (uint32_t)page});
        else
            *cs_series_page(series, at[2], at[0], at[1]) =
                page < ome->pages ? (uint32_t)page : CS_NO_PAGE;
    }
    return 0;
}

static int make_series(struct ome *ome)
{
    // C counts samples; a plane holds all samples of one channel.
    uint32_t samples = ome->samples ? ome->samples : 1;
    if (!ome->samples && ome->channels == 1 && ome->size[1] > 1)
        samples = ome->size[1];
    if (ome->size[1] % samples)
        return cs_fail(ome->err, CS_EINPUT, "OME-XML: SizeC %u in channels of %u samples",
                       ome->size[1], samples);
    struct cs_series series;
    if (cs_series_init(&series, ome->layout->room, ome->size[2], ome->size[0],
                       ome->size[1] / samples, ome->err) != 0)
        return -1;
    memcpy(series.pixel_um, ome->pixel_um, sizeof series.pixel_um);
    series.width = ome->width;
    series.height = ome->height;
    for (uint32_t i = 0; i < series.c && i < ome->channels; i++)
        if (ome->names[i])
            cs_series_name(&series, i, ome->names[i]);
    int status = 0;
    for (size_t i = 0; i < ome->data_count && status == 0; i++)
        status = place(ome, &series, &ome->data[i]);
    if (status == 0)
        status = cs_layout_add(ome->layout, &series, ome->err);
    cs_series_release(&series);
    return status;
}

static void on_end(void *context, const char *name)
{
    struct ome *ome = context;
    ome->depth--;
    name = local_name(name);
    if (strcmp(name, "UUID") == 0)
        end_uuid(ome);
    if (ome->failed || !ome->in_pixels || strcmp(name, "Pixels") != 0)
        return;
    if (make_series(ome) != 0) {
        ome->failed = true;
        XML_StopParser(ome->parser, XML_FALSE);
    }
    forget_image(ome);
}

static void on_doctype(void *context, const char *name, const char *system, const char *public_id,
                       int internal)
{
    (void)name, (void)system, (void)public_id, (void)internal;
    fail(context, "OME-XML: a document type is not allowed%s", "");
}

static bool has_planes(const struct cs_layout *layout)
{
    for (uint32_t i = 0; i < layout->count; i++) {
        const struct cs_series *s = &layout->series[i];
        for (size_t k = 0; k < (size_t)s->t * s->z * s->c; k++)
            if (s->pages[k] != CS_NO_PAGE)
                return true;
    }
    return false;
}

// *renamed, where no plane lies in this file: the one name that the description knows, else NULL.
// The caller frees it.
static int parse(struct cs_layout *layout, const char *text, size_t len, const char *file_name,
                 const char *uuid, uint32_t pages, char **renamed, struct cs_err *err)
{
    struct cs_err local = {0};
    struct ome ome = {
        .layout = layout, .err = err ? err : &local, .file_name = file_name, .pages = pages};
    *renamed = NULL;
    if (uuid && strlen(uuid) < UUID_BYTES) {
        memcpy(ome.uuid, uuid, strlen(uuid) + 1);
        ome.given_uuid = true;
    }
    if (len > CS_MAX_OME_BYTES)
        return cs_fail(err, CS_EINPUT, "OME-XML of more than %d MiB", CS_MAX_OME_BYTES >> 20);
    ome.parser = XML_ParserCreate(NULL);
    if (!ome.parser)
        return cs_fail(err, CS_ENOMEM, "no memory for an XML parser");
    XML_SetUserData(ome.parser, &ome);
    XML_SetElementHandler(ome.parser, on_start, on_end);
    XML_SetCharacterDataHandler(ome.parser, on_text);
    XML_SetStartDoctypeDeclHandler(ome.parser, on_doctype);
    int status = XML_Parse(ome.parser, text, (int)len, 1) == XML_STATUS_OK && !ome.failed ? 0 : -1;
    if (status != 0 && !ome.failed)
        cs_fail(ome.err,
                XML_GetErrorCode(ome.parser) == XML_ERROR_NO_MEMORY ? CS_ENOMEM : CS_EINPUT,
                "OME-XML: line %lu: %s", (unsigned long)XML_GetCurrentLineNumber(ome.parser),
                XML_ErrorString(XML_GetErrorCode(ome.parser)));
    else if (status == 0 && !layout->count)
        status = cs_fail(ome.err, CS_EINPUT,
                         ome.binary_only ? "OME-XML: the axes are in another file of the set"
                                         : "OME-XML: no Pixels element");
    XML_ParserFree(ome.parser);
    forget_image(&ome);
    free(ome.data);
    free(ome.name_slots);
    if (status == 0 && layout->file_count == 1 && !has_planes(layout))
        *renamed = cs_xstrdup(layout->files[0]);
    return status;
}

int cs_ome_parse(struct cs_layout *layout, const char *text, size_t len, const char *file_name,
                 const char *uuid, uint32_t pages, struct cs_err *err)
{
    char *renamed, *ignored = NULL;
    const char *start = skip_blanks(text);
    len -= (size_t)(start - text);
    text = start;
    int status = parse(layout, text, len, file_name, uuid, pages, &renamed, err);
    if (status == 0 && renamed) {
        cs_layout_release(layout);
        status = parse(layout, text, len, renamed, uuid, pages, &ignored, err);
    }
    free(renamed);
    free(ignored);
    return status;
}
