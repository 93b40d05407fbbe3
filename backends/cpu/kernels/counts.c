/* SPDX-License-Identifier: MIT */
/*
 * Integer sums of signs, 256 outputs at a time. A vector of bits goes into vertical counters - bit k of an output's
 * count stands in plane k - through carry-save adders, which take three vectors of one weight and leave one of the
 * same and one of twice the weight (Harley and Seal). A sign costs a few logic operations for all 256 outputs.
 */
#include <string.h>

#include "backends/cpu/kernels/vectors.h"

#define INLINE static inline __attribute__((always_inline))

/* Part of a panel's 256 bits, in a vector that the machine has, and vectors of the same size. */
#define PART (VECTOR_BYTES < 32 ? 16 : 32)
typedef uint64_t bits __attribute__((vector_size(PART)));
typedef uint32_t words __attribute__((vector_size(PART)));
typedef uint8_t bytes __attribute__((vector_size(PART)));

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

/* Bit i of a part of a plane is bit i of byte i: each byte to the 8 places that want a bit of it. */
INLINE bytes bit_of_each(uint32_t some) {
    const words all = some - (words){0};
#if VECTOR_BYTES < 32
    return __builtin_shufflevector((bytes)all, (bytes)all, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
#else
    return __builtin_shufflevector((bytes)all, (bytes)all, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 18, 18, 18,
                                   18, 18, 18, 18, 18, 19, 19, 19, 19, 19, 19, 19, 19);
#endif
}

/* sums += 2 * the counts - count, the sum of `count` signs of which as many as counted are +1; clears the planes. */
INLINE void spread(bits *plane, size_t count, size_t outputs, int32_t *sums) {
    const bytes bit = (bytes)(UINT64_C(0x8040201008040201) - (bits){0});
    const size_t planes = count ? 32 - (size_t)__builtin_clz((unsigned)count) : 0;
    const int32_t all = (int32_t)count;
    for (size_t i = 0; i < outputs; i += PART) {
        bytes total = {0};
        uint8_t counted[PART];
        for (size_t k = planes; k-- > 0;) {
            uint32_t some = 0;
            memcpy(&some, (const char *)&plane[k] + i / 8, PART / 8);
            total = total + total - (bytes)((bit_of_each(some) & bit) == bit); /* true is -1 */
        }
        memcpy(counted, &total, sizeof counted);
        for (size_t j = 0; j < PART; j++)
            sums[i + j] += 2 * (int32_t)counted[j] - all;
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

/* The vector of an event; `panel` begins with the part that is being counted. */
INLINE bits row_of(const uint64_t *panel, uint32_t event) {
    return *(const bits *)(const void *)(panel + event * PANEL_WORDS);
}

/* Whole blocks of events of one sign: flip is 0 or all ones. Returns how many events were taken. */
INLINE size_t add_blocks(struct counters *c, const uint64_t *panel, const uint32_t *events, size_t count,
                         uint64_t flip) {
    size_t i = 0;
    for (; i + BLOCK <= count; i += BLOCK) {
        bits rows[BLOCK];
        make_room(c);
        for (size_t j = 0; j < BLOCK; j++)
            rows[j] = row_of(panel, events[i + j]) ^ flip;
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

void KERNEL(counts)(const uint64_t *panel, const uint32_t *ups, size_t up_count, const uint32_t *downs,
                    size_t down_count, size_t outputs, int32_t *sums) {
    for (size_t done = 0; done < outputs; done += 8 * PART, panel += PART / 8) {
        struct counters c = {.outputs = outputs - done < 8 * PART ? outputs - done : 8 * PART, .sums = sums + done};
        bits rest[2 * BLOCK];
        size_t left = 0;
        for (size_t i = add_blocks(&c, panel, ups, up_count, 0); i < up_count; i++)
            rest[left++] = row_of(panel, ups[i]);
        for (size_t i = add_blocks(&c, panel, downs, down_count, ~UINT64_C(0)); i < down_count; i++)
            rest[left++] = ~row_of(panel, downs[i]);
        add_rest(&c, rest, left);
        spread(c.plane, c.count, c.outputs, c.sums);
    }
}
