// SPDX-License-Identifier: MIT
// A growable byte buffer, always NUL-terminated behind its last byte.
#ifndef CS_BASE_BUF_H
#define CS_BASE_BUF_H

#include <stddef.h>

#include "base/err.h"

// Zero-initialise; release with cs_buf_release.
struct cs_buf {
    char *data; // NULL while empty and never grown
    size_t len;
    size_t capacity;
};

void cs_buf_add(struct cs_buf *buf, const void *bytes, size_t len);
void cs_buf_adds(struct cs_buf *buf, const char *text);
void cs_buf_addc(struct cs_buf *buf, char c);
void cs_buf_addf(struct cs_buf *buf, const char *fmt, ...) CS_PRINTF(2, 3);
// Make room for `extra` more bytes and return where they go; the caller then adds to len.
char *cs_buf_reserve(struct cs_buf *buf, size_t extra);
// Empty it, keep the memory.
void cs_buf_clear(struct cs_buf *buf);
// Accepts a zeroed struct; leaves a zeroed struct.
void cs_buf_release(struct cs_buf *buf);
// The text ("" if empty); the buffer is zeroed. Caller frees with free().
char *cs_buf_take(struct cs_buf *buf);

#endif
