// SPDX-License-Identifier: MIT
// Names of files in lists of lines. A name that would not survive as a line (it holds a newline,
// ends with a carriage return, or looks like a quoted one) stands in double quotes, with \n, \r, \"
// and \\ for what they say; every other name stands as it is.
#ifndef CS_BASE_LINE_H
#define CS_BASE_LINE_H

#include "base/buf.h"

// Add the line, with its newline.
void cs_line_add(struct cs_buf *out, const char *name);
// Make the name of a line (without its newline), in place. What is not quoted as above stays.
void cs_line_name(char *line);

#endif
