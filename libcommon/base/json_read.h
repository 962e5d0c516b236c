// SPDX-License-Identifier: MIT
// JSON text, read into a tree: for the lines of our own manifests, read back strictly.
#ifndef CS_BASE_JSON_READ_H
#define CS_BASE_JSON_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

enum cs_json_kind {
    CS_JSON_NULL,
    CS_JSON_BOOL,
    CS_JSON_NUMBER,
    CS_JSON_STRING,
    CS_JSON_ARRAY,
    CS_JSON_OBJECT
};

struct cs_json {
    enum cs_json_kind kind;
    const char *name; // of a member of an object, else NULL
    const char *text; // CS_JSON_STRING: decoded, UTF-8 as a rule; CS_JSON_NUMBER: as written
    bool truth;       // CS_JSON_BOOL
    struct cs_json *child, *next;
};

// One value that fills the text (white space round it is fine). The tree lives in the arena.
// CS_EINPUT: no JSON by RFC 8259, a NUL in a string, or nested deeper than 32.
int cs_json_parse(const char *text, size_t len, struct cs_arena *arena, const struct cs_json **root,
                  struct cs_err *err);

// Member of an object; NULL where it is absent or `object` is NULL or no object.
const struct cs_json *cs_json_get(const struct cs_json *object, const char *name);
// Text of a string or number; NULL for anything else.
const char *cs_json_text(const struct cs_json *value);
// A whole number; `fallback` for anything else or beyond int64_t.
int64_t cs_json_int(const struct cs_json *value, int64_t fallback);

#endif
