// SPDX-License-Identifier: MIT
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

char *cs_buf_reserve(struct cs_buf *buf, size_t extra)
{
    size_t need = buf->len + extra + 1;
    if (need > buf->capacity) {
        size_t capacity = buf->capacity ? buf->capacity * 2 : 64;
        if (capacity < need)
            capacity = need;
        buf->data = cs_xrealloc(buf->data, capacity, 1);
        buf->capacity = capacity;
    }
    return buf->data + buf->len;
}

void cs_buf_add(struct cs_buf *buf, const void *bytes, size_t len)
{
    char *end = cs_buf_reserve(buf, len);
    if (len)
        memcpy(end, bytes, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

void cs_buf_adds(struct cs_buf *buf, const char *text)
{
    cs_buf_add(buf, text, strlen(text));
}

void cs_buf_addc(struct cs_buf *buf, char c)
{
    cs_buf_add(buf, &c, 1);
}

void cs_buf_addf(struct cs_buf *buf, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    char small[128];
    int n = vsnprintf(small, sizeof small, fmt, ap);
    if (n >= (int)sizeof small) {
        char *end = cs_buf_reserve(buf, (size_t)n);
        vsnprintf(end, (size_t)n + 1, fmt, again);
        buf->len += (size_t)n;
    } else if (n >= 0) {
        cs_buf_add(buf, small, (size_t)n);
    }
    va_end(again);
    va_end(ap);
}

void cs_buf_clear(struct cs_buf *buf)
{
    buf->len = 0;
    if (buf->data)
        buf->data[0] = '\0';
}

void cs_buf_release(struct cs_buf *buf)
{
    free(buf->data);
    *buf = (struct cs_buf){0};
}

char *cs_buf_take(struct cs_buf *buf)
{
    cs_buf_reserve(buf, 0)[0] = '\0';
    char *text = buf->data;
    *buf = (struct cs_buf){0};
    return text;
}
