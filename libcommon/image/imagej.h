// SPDX-License-Identifier: MIT
// The lines that ImageJ writes into the description of a TIFF file ("ImageJ=1.53f\nimages=21\n
// slices=21..."): sizes of the axes, channel fastest, then z, then time, and the unit of the
// resolution tags.
#ifndef CS_IMAGE_IMAGEJ_H
#define CS_IMAGE_IMAGEJ_H

#include "image/layout.h"

bool cs_imagej_sniff(const char *text);
// pages: of the file. A file of one page may announce more planes: layout->planes. A stack without
// axes ("images" alone) gives an empty layout. CS_EINPUT: numbers that contradict each other.
int cs_imagej_parse(struct cs_layout *layout, const char *text, uint32_t pages, struct cs_err *err);

#endif
