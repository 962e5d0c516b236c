// SPDX-License-Identifier: MIT
// Units of length as image files name them.
#ifndef CS_IMAGE_UNIT_H
#define CS_IMAGE_UNIT_H

// Micrometres in one of the unit ("um", "micron", "nm", "\\u00B5m"...); 0 for no unit of length.
double cs_unit_um(const char *name);

#endif
