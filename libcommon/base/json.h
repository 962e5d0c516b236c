// SPDX-License-Identifier: MIT
// JSON text, written; json_read.h reads it.
#ifndef CS_BASE_JSON_H
#define CS_BASE_JSON_H

#include "base/buf.h"

// "text" with quotes and escapes. Bytes that are not UTF-8 become U+FFFD, so that a file name of
// any bytes gives valid JSON.
void cs_json_string(struct cs_buf *out, const char *text);
// Shortest decimal that reads back as the same double; null when not finite.
void cs_json_real(struct cs_buf *out, double value);

#endif
