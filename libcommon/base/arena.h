// SPDX-License-Identifier: MIT
// An arena: many small allocations of one lifetime, freed at once. For graphs and their parts.
#ifndef CS_BASE_ARENA_H
#define CS_BASE_ARENA_H

#include <stddef.h>

struct cs_arena_block;

// Zero-initialise; release with cs_arena_release.
struct cs_arena {
    struct cs_arena_block *last;
};

// Zeroed, 16-byte aligned; lives until cs_arena_release. Never NULL (see mem.h).
void *cs_arena_alloc(struct cs_arena *arena, size_t count, size_t bytes);
char *cs_arena_strdup(struct cs_arena *arena, const char *text);
char *cs_arena_strndup(struct cs_arena *arena, const char *text, size_t max);
void *cs_arena_copy(struct cs_arena *arena, const void *data, size_t bytes);
size_t cs_arena_bytes(const struct cs_arena *arena); // that it holds, headers and spare included
void cs_arena_release(struct cs_arena *arena);

#endif
