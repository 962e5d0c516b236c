// SPDX-License-Identifier: MIT
// Metadata: an ordered list of key=value pairs, as frames of a stream carry it. Text form: one
// pair a line, "\\" and "\n" escaped in values, UTF-8; later keys win.
#ifndef CS_BASE_META_H
#define CS_BASE_META_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum { CS_META_MAX_PAIRS = 4096 }; // in what comes from outside: keys are searched one by one

// Zero-initialise; release with cs_meta_release.
struct cs_meta {
    struct cs_meta_pair {
        char *key, *value; // owned
    } * pairs;
    int count;
};

// Set replaces an earlier value of the key and keeps its place.
void cs_meta_set(struct cs_meta *meta, const char *key, const char *value);
void cs_meta_setf(struct cs_meta *meta, const char *key, const char *fmt, ...) CS_PRINTF(3, 4);
// NULL when absent. Borrowed until the next set, clear or release.
const char *cs_meta_get(const struct cs_meta *meta, const char *key);
// Numbers: `fallback` when absent; -1 with CS_ESTREAM when present and no number in range.
int cs_meta_int(const struct cs_meta *meta, const char *key, int64_t min, int64_t max,
                int64_t fallback, int64_t *value, struct cs_err *err);
int cs_meta_real(const struct cs_meta *meta, const char *key, double min, double max,
                 double fallback, double *value, struct cs_err *err);
void cs_meta_remove(struct cs_meta *meta, const char *key);
void cs_meta_copy(struct cs_meta *to, const struct cs_meta *from); // sets every pair of `from`
void cs_meta_clear(struct cs_meta *meta);
void cs_meta_release(struct cs_meta *meta);

// The text form, appended to out.
void cs_meta_write(const struct cs_meta *meta, struct cs_buf *out);
// Adds the pairs of a text form. CS_ESTREAM: a line without "=", an empty key, a NUL byte, a bad
// escape, no newline at the end, or more than CS_META_MAX_PAIRS.
int cs_meta_parse(struct cs_meta *meta, const char *text, size_t len, struct cs_err *err);

#endif
