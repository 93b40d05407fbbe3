/* SPDX-License-Identifier: MIT */
/*
 * Integer sums of signs, 256 outputs at a time. A vector of bits goes into vertical counters - bit k of an output's
 * count stands in plane k - through carry-save adders, which take three vectors of one weight and leave one of the
 * same and one of twice the weight (Harley and Seal). A sign costs a few logic operations for all 256 outputs.
 */
#include <string.h>

#include "backends/cpu/kernels/vectors.h"

#define INLINE static inline __attribute__((always_inline))

/* A panel's 256 bits, and vectors of the same size. */
typedef uint64_t bits __attribute__((vector_size(32), may_alias));
typedef uint32_t words __attribute__((vector_size(32), may_alias));
typedef uint8_t bytes __attribute__((vector_size(32), may_alias));
typedef uint8_t eight_bytes __attribute__((vector_size(8)));
typedef int32_t eight_sums __attribute__((vector_size(32), may_alias, aligned(4)));

enum { BLOCK = 16, PLANES = 8, MOST = 255 };

/* a + b + *sum -> *sum + 2 * the result */
INLINE bits carry_save(bits *sum, bits a, bits b) {
    const bits differ = a ^ b, carry = (a & b) | (differ & *sum);
    *sum ^= differ;
    return carry;
}

INLINE bits add_2(bits *plane, const bits *rows) {
    return carry_save(&plane[0], rows[0], rows[1]);
}

INLINE bits add_4(bits *plane, const bits *rows) {
    const bits low = add_2(plane, rows), high = add_2(plane, rows + 2);
    return carry_save(&plane[1], low, high);
}

INLINE bits add_8(bits *plane, const bits *rows) {
    const bits low = add_4(plane, rows), high = add_4(plane, rows + 4);
    return carry_save(&plane[2], low, high);
}

/* Adds a vector of weight 2^k. */
INLINE void ripple(bits *plane, size_t k, bits carry) {
    for (; k < PLANES; k++) {
        const bits next = plane[k] & carry;
        plane[k] ^= carry;
        carry = next;
    }
}

INLINE void add_16(bits *plane, const bits *rows) {
    const bits low = add_8(plane, rows), high = add_8(plane, rows + 8);
    ripple(plane, 4, carry_save(&plane[3], low, high));
}

/* sums += 2 * the counts - count, the sum of `count` signs of which as many as counted are +1; clears the planes. */
INLINE void spread(bits *plane, size_t count, size_t outputs, int32_t *sums) {
    const bytes bit = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128,
                       1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const size_t planes = count ? 32 - (size_t)__builtin_clz((unsigned)count) : 0;
    const int32_t all = (int32_t)count;
    for (size_t g = 0; g < (outputs + 31) / 32; g++) {
        bytes total = {0};
        for (size_t k = planes; k-- > 0;) {
            const words word = ((const uint32_t *)(const void *)&plane[k])[g] - (words){0};
            const bytes each = __builtin_shufflevector((bytes)word, (bytes)word, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1,
                                                       1, 1, 1, 18, 18, 18, 18, 18, 18, 18, 18, 19, 19, 19, 19, 19, 19,
                                                       19, 19);
            total = total + total - (bytes)((each & bit) == bit); /* true is -1 */
        }
        for (size_t i = 0; i < 4; i++) {
            eight_bytes part;
            memcpy(&part, (const char *)&total + 8 * i, sizeof part);
            eight_sums *to = (eight_sums *)(void *)(sums + 32 * g + 8 * i);
            *to += 2 * __builtin_convertvector(part, eight_sums) - all;
        }
    }
    for (size_t k = 0; k < PLANES; k++)
        plane[k] = (bits){0};
}

/* Counters on their way through the events. */
struct counters {
    bits plane[PLANES];
    size_t count, outputs;
    int32_t *sums;
};

INLINE void make_room(struct counters *c) {
    if (c->count + BLOCK > MOST) {
        spread(c->plane, c->count, c->outputs, c->sums);
        c->count = 0;
    }
    c->count += BLOCK;
}

/* Whole blocks of events of one sign: flip is 0 or all ones. Returns how many events were taken. */
INLINE size_t add_blocks(struct counters *c, const bits *panel, const uint32_t *events, size_t count, uint64_t flip) {
    size_t i = 0;
    for (; i + BLOCK <= count; i += BLOCK) {
        bits rows[BLOCK];
        make_room(c);
        for (size_t j = 0; j < BLOCK; j++)
            rows[j] = panel[events[i + j]] ^ flip;
        add_16(c->plane, rows);
    }
    return i;
}

/* What is left of both lists, fewer than 2 * BLOCK; rows beyond them are 0 and count for nothing. */
INLINE void add_rest(struct counters *c, bits *rows, size_t count) {
    for (size_t i = 0; i < count; i += BLOCK) {
        const size_t here = count - i < BLOCK ? count - i : BLOCK;
        make_room(c);
        c->count -= BLOCK - here;
        for (size_t j = here; j < BLOCK && j % 8; j++)
            rows[i + j] = (bits){0};
        if (here <= 8)
            ripple(c->plane, 3, add_8(c->plane, rows + i));
        else
            add_16(c->plane, rows + i);
    }
}

void KERNEL(counts)(const uint64_t *from, const uint32_t *ups, size_t up_count, const uint32_t *downs,
                    size_t down_count, size_t outputs, int32_t *sums) {
    const bits *panel = (const bits *)(const void *)from;
    struct counters c = {.outputs = outputs, .sums = sums};
    bits rest[2 * BLOCK];
    size_t left = 0;
    for (size_t i = add_blocks(&c, panel, ups, up_count, 0); i < up_count; i++)
        rest[left++] = panel[ups[i]];
    for (size_t i = add_blocks(&c, panel, downs, down_count, ~UINT64_C(0)); i < down_count; i++)
        rest[left++] = ~panel[downs[i]];
    add_rest(&c, rest, left);
    spread(c.plane, c.count, outputs, sums);
}
