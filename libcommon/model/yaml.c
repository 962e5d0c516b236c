// SPDX-License-Identifier: MIT
// Method: libyaml's events drive an explicit stack, so that nesting cannot exhaust ours. An anchor
// becomes known when its node is complete: an alias to an enclosing node is refused, and the tree
// has no cycles.
#include "model/yaml.h"

#include <string.h>
#include <yaml.h>

struct anchor {
    const char *name;
    const struct cs_yaml *node;
    struct anchor *next;
};

struct builder {
    struct cs_arena *arena;
    struct {
        struct cs_yaml *node;
        struct cs_yaml_entry **tail; // where the next entry goes
        const char *key;             // map: key that waits for its value
        const char *anchor;
    } stack[CS_YAML_MAX_DEPTH];
    int depth, nodes, aliases;
    struct anchor *anchors;
    const struct cs_yaml *root;
    struct cs_err *err;
};

static int refuse(struct builder *b, const yaml_event_t *event, const char *why)
{
    return cs_fail(b->err, CS_EMODEL, "line %zu: %s", event->start_mark.line + 1, why);
}

// Put a complete or just opened node where the innermost collection expects it.
static int attach(struct builder *b, const yaml_event_t *event, const struct cs_yaml *node)
{
    if (b->depth == 0) {
        b->root = node;
        return 0;
    }
    struct cs_yaml *parent = b->stack[b->depth - 1].node;
    const char **key = &b->stack[b->depth - 1].key;
    if (parent->kind == CS_YAML_MAP && !*key) {
        if (node->kind != CS_YAML_SCALAR)
            return refuse(b, event, "a key is no plain text");
        for (const struct cs_yaml_entry *e = parent->first; e; e = e->next)
            if (strcmp(e->key, node->text) == 0)
                return refuse(b, event, "a key is given twice");
        *key = node->text;
        return 0;
    }
    struct cs_yaml_entry *entry = cs_arena_alloc(b->arena, 1, sizeof *entry);
    entry->key = *key;
    entry->value = node;
    *key = NULL;
    *b->stack[b->depth - 1].tail = entry;
    b->stack[b->depth - 1].tail = &entry->next;
    parent->count++;
    return 0;
}

static struct cs_yaml *new_node(struct builder *b, const yaml_event_t *event,
                                enum cs_yaml_kind kind)
{
    if (++b->nodes > CS_YAML_MAX_NODES) {
        refuse(b, event, "too many nodes");
        return NULL;
    }
    struct cs_yaml *node = cs_arena_alloc(b->arena, 1, sizeof *node);
    node->kind = kind;
    node->line = (int)event->start_mark.line + 1;
    return node;
}

static void remember(struct builder *b, const char *name, const struct cs_yaml *node)
{
    if (!name)
        return;
    struct anchor *anchor = cs_arena_alloc(b->arena, 1, sizeof *anchor);
    anchor->name = name;
    anchor->node = node;
    anchor->next = b->anchors;
    b->anchors = anchor;
}

static int on_scalar(struct builder *b, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    if (memchr(text, '\0', event->data.scalar.length))
        return refuse(b, event, "a text holds a NUL byte");
    struct cs_yaml *node = new_node(b, event, CS_YAML_SCALAR);
    if (!node)
        return -1;
    node->text = cs_arena_strdup(b->arena, text);
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (event->data.scalar.anchor)
        remember(b, cs_arena_strdup(b->arena, (const char *)event->data.scalar.anchor), node);
    return attach(b, event, node);
}

static int on_open(struct builder *b, const yaml_event_t *event, enum cs_yaml_kind kind,
                   const yaml_char_t *anchor)
{
    if (b->depth == CS_YAML_MAX_DEPTH)
        return refuse(b, event, "nested too deeply");
    struct cs_yaml *node = new_node(b, event, kind);
    if (!node || attach(b, event, node) != 0)
        return -1;
    b->stack[b->depth].node = node;
    b->stack[b->depth].tail = &node->first;
    b->stack[b->depth].key = NULL;
    b->stack[b->depth].anchor = anchor ? cs_arena_strdup(b->arena, (const char *)anchor) : NULL;
    b->depth++;
    return 0;
}

static int on_alias(struct builder *b, const yaml_event_t *event)
{
    if (++b->aliases > CS_YAML_MAX_ALIASES)
        return refuse(b, event, "too many aliases");
    for (const struct anchor *a = b->anchors; a; a = a->next)
        if (strcmp(a->name, (const char *)event->data.alias.anchor) == 0)
            return attach(b, event, a->node);
    return refuse(b, event, "an alias stands for nothing");
}

// 1 at the end of the first document.
static int on_event(struct builder *b, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return on_scalar(b, event);
    case YAML_SEQUENCE_START_EVENT:
        return on_open(b, event, CS_YAML_LIST, event->data.sequence_start.anchor);
    case YAML_MAPPING_START_EVENT:
        return on_open(b, event, CS_YAML_MAP, event->data.mapping_start.anchor);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        b->depth--;
        remember(b, b->stack[b->depth].anchor, b->stack[b->depth].node);
        return 0;
    case YAML_ALIAS_EVENT:
        return on_alias(b, event);
    case YAML_DOCUMENT_END_EVENT:
    case YAML_STREAM_END_EVENT:
        return 1;
    default:
        return 0;
    }
}

int cs_yaml_parse(struct cs_arena *arena, const char *text, size_t len, const struct cs_yaml **root,
                  struct cs_err *err)
{
    struct builder b = {.arena = arena, .err = err};
    yaml_parser_t parser;
    if (len > CS_YAML_MAX_BYTES)
        return cs_fail(err, CS_EMODEL, "larger than %d bytes", CS_YAML_MAX_BYTES);
    if (!yaml_parser_initialize(&parser))
        return cs_fail(err, CS_ENOMEM, "no memory for the YAML parser");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    int state = 0;
    while (state == 0) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            state = parser.error == YAML_MEMORY_ERROR
                        ? cs_fail(err, CS_ENOMEM, "no memory for the YAML parser")
                        : cs_fail(err, CS_EMODEL, "line %zu: %s", parser.problem_mark.line + 1,
                                  parser.problem ? parser.problem : "not YAML");
            break;
        }
        state = on_event(&b, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    if (state < 0)
        return -1;
    if (!b.root)
        return cs_fail(err, CS_EMODEL, "empty");
    *root = b.root;
    return 0;
}

const struct cs_yaml *cs_yaml_get(const struct cs_yaml *node, const char *key)
{
    if (!node || node->kind != CS_YAML_MAP)
        return NULL;
    for (const struct cs_yaml_entry *e = node->first; e; e = e->next) {
        if (strcmp(e->key, key) != 0)
            continue;
        const struct cs_yaml *value = e->value;
        bool null =
            value->kind == CS_YAML_SCALAR && value->plain &&
            (!*value->text || strcmp(value->text, "~") == 0 || strcmp(value->text, "null") == 0);
        return null ? NULL : value;
    }
    return NULL;
}

const char *cs_yaml_text(const struct cs_yaml *node)
{
    return node && node->kind == CS_YAML_SCALAR ? node->text : NULL;
}
