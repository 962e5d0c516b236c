// SPDX-License-Identifier: MIT
// Any bytes as JSON text: a tree or an error, nothing else.
#include <string.h>

#include "base/json_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t walk(const struct cs_json *value)
{
    size_t seen = 1;
    if (cs_json_text(value))
        seen += strlen(cs_json_text(value));
    for (const struct cs_json *child = value->child; child; child = child->next)
        seen += walk(child);
    return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cs_arena arena = {0};
    const struct cs_json *root;
    if (cs_json_parse((const char *)data, size, &arena, &root, NULL) == 0)
        walk(root);
    cs_arena_release(&arena);
    return 0;
}
