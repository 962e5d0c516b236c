// SPDX-License-Identifier: MIT
// Blocks of at least 64 KiB in a singly linked list; an allocation is a bump in the last one.
#include "base/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { BLOCK_BYTES = 64 << 10 };

struct cs_arena_block {
    struct cs_arena_block *previous;
    size_t used, size;
    alignas(16) unsigned char data[];
};

void *cs_arena_alloc(struct cs_arena *arena, size_t count, size_t bytes)
{
    size_t need;
    if (!cs_mul_size(count, bytes, &need) || need > SIZE_MAX / 2)
        abort(); // a bug: sizes from outside are checked before they come here
    need = (need + 15) & ~(size_t)15;
    struct cs_arena_block *block = arena->last;
    if (!block || block->size - block->used < need) {
        size_t size = need > BLOCK_BYTES ? need : BLOCK_BYTES;
        block = cs_xcalloc(1, sizeof *block + size);
        block->size = size;
        block->previous = arena->last;
        arena->last = block;
    }
    void *place = block->data + block->used;
    block->used += need;
    return place;
}

void *cs_arena_copy(struct cs_arena *arena, const void *data, size_t bytes)
{
    void *copy = cs_arena_alloc(arena, 1, bytes);
    if (bytes)
        memcpy(copy, data, bytes);
    return copy;
}

char *cs_arena_strndup(struct cs_arena *arena, const char *text, size_t max)
{
    size_t len = strnlen(text, max);
    char *copy = cs_arena_alloc(arena, len + 1, 1);
    memcpy(copy, text, len);
    return copy;
}

char *cs_arena_strdup(struct cs_arena *arena, const char *text)
{
    return cs_arena_strndup(arena, text, strlen(text));
}

size_t cs_arena_bytes(const struct cs_arena *arena)
{
    size_t total = 0;
    for (const struct cs_arena_block *block = arena->last; block; block = block->previous)
        total += sizeof *block + block->size;
    return total;
}

void cs_arena_release(struct cs_arena *arena)
{
    while (arena->last) {
        struct cs_arena_block *block = arena->last;
        arena->last = block->previous;
        free(block);
    }
}
