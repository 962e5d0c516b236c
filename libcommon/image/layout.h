// SPDX-License-Identifier: MIT
// What the pages of a file mean: series of planes along time, z and channel, with the channels'
// names and the pixel size. Made from a file's description; where a file says nothing there is no
// series, and nobody guesses.
#ifndef CS_IMAGE_LAYOUT_H
#define CS_IMAGE_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "image/room.h"

enum {
    CS_MAX_SERIES = 4096,
    CS_MAX_PLANES = 1 << 22, // of all series together
    CS_MAX_CHANNELS = 1024,
    CS_MAX_SET_FILES = 1 << 16, // beside this one
};
#define CS_NO_PAGE UINT32_MAX // the plane is not in this file

// Where a plane lies.
struct cs_place {
    uint32_t file; // 0: this one, else file - 1 of the layout's files
    uint32_t page;
};

struct cs_series {
    uint32_t t, z, c;        // sizes, at least 1; c counts planes, each of which may be RGB
    uint32_t *pages;         // [t][z][c], owned: those of this file
    struct cs_place *others; // [t][z][c], owned: those of other files; file 0: not known; NULL none
    char **names;            // c names, each may be NULL; NULL when none is known
    double pixel_um[2];      // x, y; 0 unknown
    uint32_t width, height;  // as described; 0 not said
};

struct cs_layout {
    const struct cs_room *room; // for the axes; NULL: no limit
    struct cs_series *series;
    uint32_t count;     // 0: the file says nothing of axes
    bool pixel_in_tags; // the pixel size is in the tags of the first page, in unit_um
    double unit_um;     // their unit in micrometres; 0: what the tag says; -1: no length
    uint32_t planes;    // so many planes although the file has one page (ImageJ); 0: as pages
    char **files;       // base names of the other files of a set, owned
    uint32_t file_count;
    char *master; // base name of the file of the set that describes the axes; NULL: this one; owned
    char *uuid;   // of this file in that description; NULL: not known; owned
};

// Zeroed series of these sizes with every page CS_NO_PAGE. CS_EINPUT: too many planes. CS_ENOMEM:
// more than the room (NULL: no limit) has space for.
int cs_series_init(struct cs_series *series, const struct cs_room *room, uint64_t t, uint64_t z,
                   uint64_t c, struct cs_err *err);
void cs_series_release(struct cs_series *series); // accepts a zeroed struct
uint32_t *cs_series_page(const struct cs_series *series, uint32_t t, uint32_t z, uint32_t c);
// Put a plane into another file; CS_NO_PAGE there is no plane.
void cs_series_put_elsewhere(struct cs_series *series, uint32_t t, uint32_t z, uint32_t c,
                             struct cs_place place);
// Where the plane lies; false where nobody says.
bool cs_series_place(const struct cs_series *series, uint32_t t, uint32_t z, uint32_t c,
                     struct cs_place *place);
void cs_series_name(struct cs_series *series, uint32_t c, const char *name); // copies
// Add a series to the layout (takes over its memory). CS_EINPUT: too many.
int cs_layout_add(struct cs_layout *layout, struct cs_series *series, struct cs_err *err);
// What the series take, with lists of their planes that others make.
uint64_t cs_layout_bytes(const struct cs_layout *layout);
void cs_layout_release(struct cs_layout *layout); // keeps the room; accepts a zeroed struct

#endif
