// SPDX-License-Identifier: MIT
// OME-XML (schemas 2003 to 2016) as the description of an OME-TIFF holds it: a series an Image,
// with the sizes of its axes, the map from planes to pages, channel names and pixel size.
// Planes that lie in other files of a set have their places there. Hostile text: document types and
// entities are refused, sizes are bounded (layout.h), and expat bounds the rest.
#ifndef CS_IMAGE_OME_H
#define CS_IMAGE_OME_H

#include "image/layout.h"

bool cs_ome_sniff(const char *text);
// A file's own planes are told from those of other files by the UUID that the description gives
// itself, without one by the name: file_name, the base name of the file, NULL for none. A
// description that speaks of one file only speaks of this one, which may have been renamed.
// text: len bytes, then NUL. pages: how many it has. uuid: of the file, where the text is that of
// another of the set; NULL: the text's own. CS_EINPUT: no valid XML, or contradictions; also where
// the axes are in another file, which layout->master then names.
int cs_ome_parse(struct cs_layout *layout, const char *text, size_t len, const char *file_name,
                 const char *uuid, uint32_t pages, struct cs_err *err);
enum { CS_MAX_OME_BYTES = 64 << 20 };

#endif
