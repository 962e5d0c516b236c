// SPDX-License-Identifier: MIT
// A YAML document as a tree, for package descriptions. Reads what libyaml reads, within limits:
// hostile text is refused, never expanded. Scalars stay text; who asks decides what they mean.
#ifndef CS_MODEL_YAML_H
#define CS_MODEL_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"

enum {
    CS_YAML_MAX_BYTES = 1 << 20,
    CS_YAML_MAX_DEPTH = 32,
    CS_YAML_MAX_NODES = 20000,
    CS_YAML_MAX_ALIASES = 1000,
};

enum cs_yaml_kind { CS_YAML_SCALAR, CS_YAML_LIST, CS_YAML_MAP };

// An alias shares the node of its anchor, so the tree takes memory once whatever it spells out.
struct cs_yaml {
    enum cs_yaml_kind kind;
    int line;         // 1-based
    const char *text; // scalar; may hold any bytes but NUL
    bool plain;       // scalar without quotes: "null" and "" may mean absent
    int count;        // entries of a list or map
    struct cs_yaml_entry {
        const char *key; // map; NULL in a list
        const struct cs_yaml *value;
        struct cs_yaml_entry *next;
    } * first;
};

// The first document of the text, in arena. CS_EMODEL with the line for syntax errors, limits,
// keys that are no scalars, keys given twice, and aliases that contain themselves.
int cs_yaml_parse(struct cs_arena *arena, const char *text, size_t len, const struct cs_yaml **root,
                  struct cs_err *err);

// The value of a key; NULL when node is NULL or no map, or has no such key, or it is null.
const struct cs_yaml *cs_yaml_get(const struct cs_yaml *node, const char *key);
// The text of a scalar; NULL when node is NULL or no scalar.
const char *cs_yaml_text(const struct cs_yaml *node);

#endif
