/* SPDX-License-Identifier: MIT */
/*
 * The memory of an object, in one block. What an object needs is written once, as a function that divides an arena. It
 * is called twice: while the arena has no block its pieces are NULL and are only counted, then they are handed out.
 *     struct bnnep_arena arena = {0};
 *     struct thing seed = {...};          sizes; its pointers come out as NULL
 *     divide(&arena, &seed);              arena.used: the bytes it takes
 *     if (bnnep_arena_open(&arena))
 *         divide(&arena, thing);          the same pieces, zeroed, each on a cache line
 * The first piece lies where the block begins: free() of it frees all.
 */
#ifndef BNNEP_ARENA_H
#define BNNEP_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BNNEP_CACHE_LINE ((size_t)64)

struct bnnep_arena {
    char *block; /* NULL: pieces are counted */
    size_t used;
};

/* An array of zeros, or NULL while pieces are counted. More than there can be counts as SIZE_MAX. */
static inline void *bnnep_arena_take(struct bnnep_arena *arena, size_t count, size_t size) {
    const size_t room = SIZE_MAX - arena->used;
    if (room < BNNEP_CACHE_LINE || (size > 0 && count > (room - BNNEP_CACHE_LINE) / size)) {
        arena->used = SIZE_MAX;
        return NULL;
    }
    void *piece = arena->block ? arena->block + arena->used : NULL;
    arena->used += (count * size + BNNEP_CACHE_LINE - 1) / BNNEP_CACHE_LINE * BNNEP_CACHE_LINE;
    return piece;
}

/* Gets the block that was counted; from then on pieces are handed out, from its beginning. False if out of memory. */
static inline bool bnnep_arena_open(struct bnnep_arena *arena) {
    if (arena->used == SIZE_MAX || arena->used == 0)
        return false;
    arena->block = (char *)aligned_alloc(BNNEP_CACHE_LINE, arena->used);
    if (arena->block)
        memset(arena->block, 0, arena->used);
    arena->used = 0;
    return arena->block != NULL;
}

#endif
