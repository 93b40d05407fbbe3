/* SPDX-License-Identifier: MIT */
/*
 * Integer sums of signs, 256 outputs at a time. A vector of bits goes into vertical counters - bit k of an output's
 * count stands in plane k - through carry-save adders, which take three vectors of one weight and leave one of the
 * same and one of twice the weight (Harley and Seal). A sign costs a few logic operations for all 256 outputs.
 *
 * The neurons that switched off are counted first. The complement of all planes is minus that count, minus 1; those
 * that switched on are counted on from there.
 */
#include <string.h>

#include "backends/cpu/kernels/vectors.h"

#define INLINE static inline __attribute__((always_inline))

/* Part of a panel's 256 bits, in a vector that the machine has, and vectors of the same size. */
#define PART (VECTOR_BYTES < 32 ? 16 : 32)
typedef uint64_t bits __attribute__((vector_size(PART)));
typedef uint32_t words __attribute__((vector_size(PART)));
typedef uint8_t bytes __attribute__((vector_size(PART)));

/* A count, its sign included, has up to 16 bits. */
enum { PLANES = 16, MOST = 32767 };

/* The vector of an event; `panel` begins with the part that is being counted. */
INLINE bits row_of(const uint64_t *panel, uint32_t event) {
    return *(const bits *)(const void *)(panel + event * PANEL_WORDS);
}

/* a + b + *sum -> *sum + 2 * the result */
INLINE bits carry_save(bits *sum, bits a, bits b) {
    const bits differ = a ^ b, carry = (a & b) | (differ & *sum);
    *sum ^= differ;
    return carry;
}

/* Adds 2, 4 ... vectors and returns what is carried to plane 1, 2 ... */
INLINE bits add_2(bits *plane, const uint64_t *panel, const uint32_t *events) {
    return carry_save(&plane[0], row_of(panel, events[0]), row_of(panel, events[1]));
}

INLINE bits add_4(bits *plane, const uint64_t *panel, const uint32_t *events) {
    const bits first = add_2(plane, panel, events), second = add_2(plane, panel, events + 2);
    return carry_save(&plane[1], first, second);
}

INLINE bits add_8(bits *plane, const uint64_t *panel, const uint32_t *events) {
    const bits first = add_4(plane, panel, events), second = add_4(plane, panel, events + 4);
    return carry_save(&plane[2], first, second);
}

INLINE bits add_16(bits *plane, const uint64_t *panel, const uint32_t *events) {
    const bits first = add_8(plane, panel, events), second = add_8(plane, panel, events + 8);
    return carry_save(&plane[3], first, second);
}

INLINE bits add_32(bits *plane, const uint64_t *panel, const uint32_t *events) {
    const bits first = add_16(plane, panel, events), second = add_16(plane, panel, events + 16);
    return carry_save(&plane[4], first, second);
}

/* Adds a vector of weight 2^k. */
INLINE void ripple(bits *plane, size_t k, size_t planes, bits carry) {
    for (; k < planes; k++) {
        const bits next = plane[k] & carry;
        plane[k] ^= carry;
        carry = next;
    }
}

INLINE void count_all(bits *plane, size_t planes, const uint64_t *panel, const uint32_t *events, size_t count) {
    size_t i = 0;
    for (; i + 32 <= count; i += 32)
        ripple(plane, 5, planes, add_32(plane, panel, events + i));
    if (count - i >= 16) {
        ripple(plane, 4, planes, add_16(plane, panel, events + i));
        i += 16;
    }
    for (; i + 4 <= count; i += 4)
        ripple(plane, 2, planes, add_4(plane, panel, events + i));
    for (; i < count; i++)
        ripple(plane, 0, planes, row_of(panel, events[i]));
}

/* Each byte of some bits of a plane, to the 8 places that want a bit of it. */
INLINE bytes spread_bytes(uint32_t some) {
    const words all = some - (words){0};
#if VECTOR_BYTES < 32
    return __builtin_shufflevector((bytes)all, (bytes)all, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
#else
    return __builtin_shufflevector((bytes)all, (bytes)all, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 18, 18, 18,
                                   18, 18, 18, 18, 18, 19, 19, 19, 19, 19, 19, 19, 19);
#endif
}

/* The number that the planes first ... last-1 hold for PART outputs from output i on, the last of them its sign; 8
 * planes can be read as an unsigned byte as well. */
INLINE bytes number(const bits *plane, size_t first, size_t last, size_t i) {
    const bytes bit = (bytes)(UINT64_C(0x8040201008040201) - (bits){0});
    bytes total = {0};
    for (size_t k = last; k-- > first;) {
        uint32_t some = 0;
        memcpy(&some, (const char *)&plane[k] + i / 8, PART / 8);
        const bytes set = (bytes)((spread_bytes(some) & bit) == bit); /* 255 if set: -1 */
        total = k + 1 == last ? set : total + total - set;
    }
    return total;
}

/* sums += 2 * (what the planes hold + 1) - signs, the sum of signs of which so many more are +1. */
INLINE void add_up(const bits *plane, size_t planes, int32_t signs, size_t outputs, int32_t *sums) {
    for (size_t i = 0; i < outputs; i += PART) {
        int8_t high[PART];
        uint8_t low[PART];
        if (planes <= 8) {
            const bytes all = number(plane, 0, planes, i);
            memcpy(high, &all, sizeof high);
            for (size_t j = 0; j < PART; j++)
                sums[i + j] += 2 * high[j] + 2 - signs;
        } else {
            const bytes upper = number(plane, 8, planes, i), lower = number(plane, 0, 8, i);
            memcpy(high, &upper, sizeof high);
            memcpy(low, &lower, sizeof low);
            for (size_t j = 0; j < PART; j++)
                sums[i + j] += 2 * (256 * high[j] + low[j]) + 2 - signs;
        }
    }
}

/* All events at once, at most MOST of each kind. */
static void count_events(const uint64_t *panel, const uint32_t *ups, size_t up_count, const uint32_t *downs,
                         size_t down_count, size_t outputs, int32_t *sums) {
    const size_t most = up_count > down_count ? up_count : down_count;
    const size_t planes = 33 - (size_t)__builtin_clz((unsigned)most | 1);
    for (size_t done = 0; done < outputs; done += 8 * PART, panel += PART / 8) {
        const size_t here = outputs - done < 8 * PART ? outputs - done : 8 * PART;
        bits plane[PLANES];
        for (size_t k = 0; k < planes; k++)
            plane[k] = (bits){0};
        count_all(plane, planes, panel, downs, down_count);
        for (size_t k = 0; k < planes; k++)
            plane[k] = ~plane[k];
        count_all(plane, planes, panel, ups, up_count);
        add_up(plane, planes, (int32_t)up_count - (int32_t)down_count, here, sums + done);
    }
}

void KERNEL(counts)(const uint64_t *panel, const uint32_t *ups, size_t up_count, const uint32_t *downs,
                    size_t down_count, size_t outputs, int32_t *sums) {
    while (up_count + down_count > 0) {
        const size_t some = up_count < MOST ? up_count : MOST, others = down_count < MOST ? down_count : MOST;
        count_events(panel, ups, some, downs, others, outputs, sums);
        ups += some;
        up_count -= some;
        downs += others;
        down_count -= others;
    }
}

/* What was written beyond the outputs. */
INLINE void clear_rest(int32_t *counts, size_t outputs) {
    for (size_t i = outputs; i % 32; i++)
        counts[i] = 0;
}

void KERNEL(take_counts)(int32_t *restrict counts, size_t outputs, double alpha, double *restrict sums) {
    for (size_t i = 0; i < outputs; i++) {
        sums[i] += alpha * (double)counts[i];
        counts[i] = 0;
    }
    clear_rest(counts, outputs);
}

void KERNEL(take_contrast)(int32_t *restrict counts, size_t outputs, int32_t signs, float *restrict contrast) {
    for (size_t i = 0; i < outputs; i++) {
        contrast[i] = 0.5f * (float)(counts[i] + signs);
        counts[i] = 0;
    }
    clear_rest(counts, outputs);
}
