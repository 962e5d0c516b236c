// SPDX-License-Identifier: MIT
// Recursive descent, limited in depth.
#include "base/json_read.h"

#include <string.h>

#include "base/buf.h"
#include "base/num.h"

enum { MAX_DEPTH = 32 };

struct parser {
    const char *at, *end;
    struct cs_arena *arena;
    struct cs_err *err;
    int depth;
};

static struct cs_json *parse_value(struct parser *p);

static struct cs_json *bad(struct parser *p, const char *what)
{
    cs_fail(p->err, CS_EINPUT, "JSON: %s", what);
    return NULL;
}

static void skip_space(struct parser *p)
{
    while (p->at < p->end && strchr(" \t\r\n", *p->at) && *p->at)
        p->at++;
}

static bool take(struct parser *p, char c)
{
    skip_space(p);
    if (p->at == p->end || *p->at != c)
        return false;
    p->at++;
    return true;
}

static struct cs_json *new_value(struct parser *p, enum cs_json_kind kind)
{
    struct cs_json *value = cs_arena_alloc(p->arena, 1, sizeof *value);
    value->kind = kind;
    return value;
}

static int hex4(struct parser *p, uint32_t *code)
{
    *code = 0;
    for (int i = 0; i < 4; i++, p->at++) {
        static const char digits[] = "0123456789abcdef";
        int c = p->at < p->end ? *p->at : 0;
        const char *digit = c ? strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c) : NULL;
        if (!digit)
            return -1;
        *code = *code * 16 + (uint32_t)(digit - digits);
    }
    return 0;
}

static void add_utf8(struct cs_buf *out, uint32_t code)
{
    if (code < 0x80) {
        cs_buf_addc(out, (char)code);
        return;
    }
    int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const uint8_t leads[] = {0, 0xc0, 0xe0, 0xf0};
    cs_buf_addc(out, (char)(leads[more] | code >> (6 * more)));
    while (more--)
        cs_buf_addc(out, (char)(0x80 | (code >> (6 * more) & 0x3f)));
}

// Behind a backslash.
static int parse_escape(struct parser *p, struct cs_buf *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    int c = p->at < p->end ? *p->at++ : 0;
    const char *simple = c ? strchr(from, c) : NULL;
    if (simple) {
        cs_buf_addc(out, to[simple - from]);
        return 0;
    }
    uint32_t code, low;
    if (c != 'u' || hex4(p, &code) != 0 || code == 0)
        return -1;
    if (code >= 0xd800 && code < 0xdc00) {
        if (p->end - p->at < 2 || p->at[0] != '\\' || p->at[1] != 'u')
            return -1;
        p->at += 2;
        if (hex4(p, &low) != 0 || low < 0xdc00 || low > 0xdfff)
            return -1;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xdc80 && code <= 0xdcff) {
        cs_buf_addc(out, (char)(code - 0xdc00)); // a byte that was not UTF-8, see json.h
        return 0;
    } else if (code >= 0xdc00 && code <= 0xdfff) {
        return -1;
    }
    add_utf8(out, code);
    return 0;
}

// Behind the opening quote; NULL after an error.
static const char *parse_string(struct parser *p)
{
    struct cs_buf out = {0};
    const char *text = NULL;
    for (;;) {
        if (p->at == p->end || (unsigned char)*p->at < ' ') {
            bad(p, "unfinished string");
            break;
        }
        char c = *p->at++;
        if (c == '"') {
            text = cs_arena_strndup(p->arena, out.data ? out.data : "", out.len);
            break;
        }
        if (c != '\\') {
            cs_buf_addc(&out, c);
        } else if (parse_escape(p, &out) != 0) {
            bad(p, "bad escape in a string");
            break;
        }
    }
    cs_buf_release(&out);
    return text;
}

static bool digits(struct parser *p)
{
    const char *start = p->at;
    while (p->at < p->end && *p->at >= '0' && *p->at <= '9')
        p->at++;
    return p->at > start;
}

static bool number_ok(struct parser *p)
{
    if (p->at < p->end && *p->at == '-')
        p->at++;
    if (p->at < p->end && *p->at == '0')
        p->at++;
    else if (!digits(p))
        return false;
    if (p->at < p->end && *p->at == '.') {
        p->at++;
        if (!digits(p))
            return false;
    }
    if (p->at < p->end && (*p->at == 'e' || *p->at == 'E')) {
        p->at++;
        if (p->at < p->end && (*p->at == '+' || *p->at == '-'))
            p->at++;
        return digits(p);
    }
    return true;
}

static struct cs_json *parse_word(struct parser *p)
{
    static const struct {
        const char *text;
        enum cs_json_kind kind;
        bool truth;
    } words[] = {{"null", CS_JSON_NULL, false},
                 {"true", CS_JSON_BOOL, true},
                 {"false", CS_JSON_BOOL, false}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t len = strlen(words[i].text);
        if ((size_t)(p->end - p->at) < len || memcmp(p->at, words[i].text, len) != 0)
            continue;
        p->at += len;
        struct cs_json *value = new_value(p, words[i].kind);
        value->truth = words[i].truth;
        return value;
    }
    const char *start = p->at;
    if (!number_ok(p))
        return bad(p, "no value where one should be");
    struct cs_json *value = new_value(p, CS_JSON_NUMBER);
    value->text = cs_arena_strndup(p->arena, start, (size_t)(p->at - start));
    return value;
}

static struct cs_json *parse_members(struct parser *p, enum cs_json_kind kind)
{
    char close = kind == CS_JSON_OBJECT ? '}' : ']';
    struct cs_json *value = new_value(p, kind), **last = &value->child;
    if (take(p, close))
        return value;
    do {
        const char *name = NULL;
        if (kind == CS_JSON_OBJECT) {
            if (!take(p, '"'))
                return bad(p, "a member has no name");
            name = parse_string(p);
            if (!name)
                return NULL;
            if (!take(p, ':'))
                return bad(p, "a member has no value");
        }
        struct cs_json *member = parse_value(p);
        if (!member)
            return NULL;
        member->name = name;
        *last = member;
        last = &member->next;
    } while (take(p, ','));
    return take(p, close) ? value : bad(p, "an array or object has no end");
}

static struct cs_json *parse_value(struct parser *p)
{
    struct cs_json *value;
    if (++p->depth > MAX_DEPTH)
        return bad(p, "nested too deeply");
    if (take(p, '{')) {
        value = parse_members(p, CS_JSON_OBJECT);
    } else if (take(p, '[')) {
        value = parse_members(p, CS_JSON_ARRAY);
    } else if (take(p, '"')) {
        const char *text = parse_string(p);
        value = text ? new_value(p, CS_JSON_STRING) : NULL;
        if (value)
            value->text = text;
    } else {
        value = parse_word(p);
    }
    p->depth--;
    return value;
}

int cs_json_parse(const char *text, size_t len, struct cs_arena *arena, const struct cs_json **root,
                  struct cs_err *err)
{
    struct parser p = {.at = text, .end = text + len, .arena = arena, .err = err};
    *root = parse_value(&p);
    if (!*root)
        return -1;
    skip_space(&p);
    return p.at == p.end ? 0 : cs_fail(err, CS_EINPUT, "JSON: text behind the value");
}

const struct cs_json *cs_json_get(const struct cs_json *object, const char *name)
{
    if (!object || object->kind != CS_JSON_OBJECT)
        return NULL;
    for (const struct cs_json *member = object->child; member; member = member->next)
        if (strcmp(member->name, name) == 0)
            return member;
    return NULL;
}

const char *cs_json_text(const struct cs_json *value)
{
    bool has = value && (value->kind == CS_JSON_STRING || value->kind == CS_JSON_NUMBER);
    return has ? value->text : NULL;
}

int64_t cs_json_int(const struct cs_json *value, int64_t fallback)
{
    int64_t number;
    if (!value || value->kind != CS_JSON_NUMBER ||
        cs_num_int(value->text, INT64_MIN, INT64_MAX, "number", &number, NULL) != 0)
        return fallback;
    return number;
}
