/* SPDX-License-Identifier: MIT */
/*
 * The memory of an object, in one block. What an object needs is written once, as a function that divides an arena. It
 * is called twice: while the arena has no block its pieces are NULL and are only counted, then they are handed out.
 *     struct bnnep_arena arena = {0};
 *     struct thing seed = {...};          sizes; its pointers come out as NULL
 *     divide(&arena, &seed);              arena.used: the bytes it takes
 *     if (bnnep_arena_open(&arena, host))
 *         divide(&arena, thing);          the same pieces, zeroed, each on a cache line
 * The first piece lies where the block begins: bnnep_arena_free() of it frees all.
 */
#ifndef BNNEP_ARENA_H
#define BNNEP_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <bnnep/backend.h>

#define BNNEP_CACHE_LINE ((size_t)64)

struct bnnep_arena {
    char *block; /* NULL: pieces are counted */
    size_t used;
};

/* In the cache line before a block: how to free it. */
struct bnnep_arena_origin {
    void *memory;
    bnnep_release_fn release;
    void *memory_user;
};

/* An array of zeros, or NULL while pieces are counted. More than there can be counts as SIZE_MAX. */
static inline void *bnnep_arena_take(struct bnnep_arena *arena, size_t count, size_t size) {
    const size_t room = SIZE_MAX - 2 * BNNEP_CACHE_LINE - arena->used;
    if (arena->used > SIZE_MAX - 3 * BNNEP_CACHE_LINE || (size > 0 && count > (room - BNNEP_CACHE_LINE) / size)) {
        arena->used = SIZE_MAX;
        return NULL;
    }
    void *piece = arena->block ? arena->block + arena->used : NULL;
    arena->used += (count * size + BNNEP_CACHE_LINE - 1) / BNNEP_CACHE_LINE * BNNEP_CACHE_LINE;
    return piece;
}

/* Gets the block that was counted; from then on pieces are handed out, from its beginning. False if out of memory. */
static inline bool bnnep_arena_open(struct bnnep_arena *arena, const struct bnnep_host *host) {
    if (arena->used == SIZE_MAX || arena->used == 0)
        return false;
    char *memory = (char *)host->allocate(host->memory_user, arena->used + 2 * BNNEP_CACHE_LINE);
    if (!memory)
        return false;
    arena->block = memory + 2 * BNNEP_CACHE_LINE - (uintptr_t)memory % BNNEP_CACHE_LINE;
    memset(arena->block, 0, arena->used);
    const struct bnnep_arena_origin origin = {memory, host->release, host->memory_user};
    memcpy(arena->block - sizeof origin, &origin, sizeof origin);
    arena->used = 0;
    return true;
}

static inline void bnnep_arena_free(void *block) {
    if (!block)
        return;
    struct bnnep_arena_origin origin;
    memcpy(&origin, (char *)block - sizeof origin, sizeof origin);
    origin.release(origin.memory_user, origin.memory);
}

#endif
