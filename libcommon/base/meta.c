// SPDX-License-Identifier: MIT
#include "base/meta.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"

static int find(const struct cs_meta *meta, const char *key)
{
    for (int i = 0; i < meta->count; i++)
        if (strcmp(meta->pairs[i].key, key) == 0)
            return i;
    return -1;
}

static void set_take(struct cs_meta *meta, const char *key, char *value)
{
    int i = find(meta, key);
    if (i >= 0) {
        free(meta->pairs[i].value);
        meta->pairs[i].value = value;
        return;
    }
    meta->pairs = cs_xrealloc(meta->pairs, (size_t)meta->count + 1, sizeof *meta->pairs);
    meta->pairs[meta->count++] = (struct cs_meta_pair){cs_xstrdup(key), value};
}

void cs_meta_set(struct cs_meta *meta, const char *key, const char *value)
{
    set_take(meta, key, cs_xstrdup(value));
}

void cs_meta_setf(struct cs_meta *meta, const char *key, const char *fmt, ...)
{
    struct cs_buf text = {0};
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    if (n > 0) {
        vsnprintf(cs_buf_reserve(&text, (size_t)n), (size_t)n + 1, fmt, again);
        text.len = (size_t)n;
    }
    va_end(again);
    va_end(ap);
    // Not cs_buf_take: it would put its NUL at len, which is right here too.
    set_take(meta, key, cs_buf_take(&text));
}

const char *cs_meta_get(const struct cs_meta *meta, const char *key)
{
    int i = find(meta, key);
    return i < 0 ? NULL : meta->pairs[i].value;
}

int cs_meta_int(const struct cs_meta *meta, const char *key, int64_t min, int64_t max,
                int64_t fallback, int64_t *value, struct cs_err *err)
{
    const char *text = cs_meta_get(meta, key);
    *value = fallback;
    if (text && cs_num_int(text, min, max, key, value, err) != 0) {
        if (err)
            err->code = CS_ESTREAM;
        return -1;
    }
    return 0;
}

int cs_meta_real(const struct cs_meta *meta, const char *key, double min, double max,
                 double fallback, double *value, struct cs_err *err)
{
    const char *text = cs_meta_get(meta, key);
    *value = fallback;
    if (text && cs_num_real(text, min, max, key, value, err) != 0) {
        if (err)
            err->code = CS_ESTREAM;
        return -1;
    }
    return 0;
}

void cs_meta_remove(struct cs_meta *meta, const char *key)
{
    int i = find(meta, key);
    if (i < 0)
        return;
    free(meta->pairs[i].key);
    free(meta->pairs[i].value);
    memmove(meta->pairs + i, meta->pairs + i + 1,
            (size_t)(meta->count - i - 1) * sizeof *meta->pairs);
    meta->count--;
}

void cs_meta_copy(struct cs_meta *to, const struct cs_meta *from)
{
    for (int i = 0; i < from->count; i++)
        cs_meta_set(to, from->pairs[i].key, from->pairs[i].value);
}

void cs_meta_clear(struct cs_meta *meta)
{
    for (int i = 0; i < meta->count; i++) {
        free(meta->pairs[i].key);
        free(meta->pairs[i].value);
    }
    meta->count = 0;
}

void cs_meta_release(struct cs_meta *meta)
{
    cs_meta_clear(meta);
    free(meta->pairs);
    *meta = (struct cs_meta){0};
}

void cs_meta_write(const struct cs_meta *meta, struct cs_buf *out)
{
    for (int i = 0; i < meta->count; i++) {
        cs_buf_adds(out, meta->pairs[i].key);
        cs_buf_addc(out, '=');
        for (const char *c = meta->pairs[i].value; *c; c++) {
            if (*c == '\\')
                cs_buf_adds(out, "\\\\");
            else if (*c == '\n')
                cs_buf_adds(out, "\\n");
            else
                cs_buf_addc(out, *c);
        }
        cs_buf_addc(out, '\n');
    }
}

// One line, [line, end) without its newline.
static int parse_line(struct cs_meta *meta, const char *line, const char *end, struct cs_err *err)
{
    const char *equals = memchr(line, '=', (size_t)(end - line));
    if (!equals || equals == line)
        return cs_fail(err, CS_ESTREAM, "metadata: line without key=value");
    struct cs_buf value = {0};
    for (const char *c = equals + 1; c < end; c++) {
        if (*c != '\\') {
            cs_buf_addc(&value, *c);
            continue;
        }
        c++;
        if (c == end || (*c != '\\' && *c != 'n')) {
            cs_buf_release(&value);
            return cs_fail(err, CS_ESTREAM, "metadata: bad escape");
        }
        cs_buf_addc(&value, *c == 'n' ? '\n' : '\\');
    }
    char *key = cs_xstrndup(line, (size_t)(equals - line));
    set_take(meta, key, cs_buf_take(&value));
    free(key);
    if (meta->count > CS_META_MAX_PAIRS)
        return cs_fail(err, CS_ESTREAM, "metadata: more than %d keys", CS_META_MAX_PAIRS);
    return 0;
}

int cs_meta_parse(struct cs_meta *meta, const char *text, size_t len, struct cs_err *err)
{
    const char *end = text + len;
    if (memchr(text, '\0', len))
        return cs_fail(err, CS_ESTREAM, "metadata: NUL byte");
    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        if (!newline)
            return cs_fail(err, CS_ESTREAM, "metadata: no newline at the end");
        if (parse_line(meta, text, newline, err) != 0)
            return -1;
        text = newline + 1;
    }
    return 0;
}
