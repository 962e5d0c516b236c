// SPDX-License-Identifier: MIT
// JSON text, written; json_read.h reads it.
#ifndef CS_BASE_JSON_H
#define CS_BASE_JSON_H

#include "base/buf.h"

// "text" with quotes and escapes. A byte NN that is not UTF-8 becomes \udcNN, a half of a
// surrogate pair: a file name of any bytes gives JSON text from which json_read.h, like Python with
// its error handler surrogateescape, has the same bytes back.
void cs_json_string(struct cs_buf *out, const char *text);
// Shortest decimal that reads back as the same double; null when not finite.
void cs_json_real(struct cs_buf *out, double value);

#endif
