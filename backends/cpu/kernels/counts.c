/* SPDX-License-Identifier: MIT */
/*
 * Integer sums of signs, 256 outputs at a time. A vector of bits goes into vertical counters - bit k of an output's
 * count stands in plane k - through carry-save adders, which take three vectors of one weight and leave one of the
 * same and one of twice the weight (Harley and Seal). A sign costs a few logic operations for all 256 outputs.
 *
 * The neurons that switched off are counted first. The complement of all planes is minus that count, minus 1; those
 * that switched on are counted on from there.
 */
#include "backends/cpu/kernels/vectors.h"

/* A count, its sign included, has up to 16 bits. */
enum { PLANES = 16, MOST = 32767 };

/* The vector of an event; `panel` begins with the part that is being counted. */
INLINE part_longs row_of(const uint64_t *panel, uint32_t event) {
    return *(const part_longs *)(panel + event * PANEL_WORDS);
}

/* a + b + *sum -> *sum + 2 * the result */
INLINE part_longs carry_save(part_longs *sum, part_longs a, part_longs b) {
    const part_longs carry = carry_bits(a, b, *sum);
    *sum = sum_bits(a, b, *sum);
    return carry;
}

/* Adds 2, 4 ... vectors and returns what is carried to plane 1, 2 ... */
INLINE part_longs add_2(part_longs *plane, const uint64_t *panel, const uint32_t *events) {
    return carry_save(&plane[0], row_of(panel, events[0]), row_of(panel, events[1]));
}

INLINE part_longs add_4(part_longs *plane, const uint64_t *panel, const uint32_t *events) {
    const part_longs first = add_2(plane, panel, events), second = add_2(plane, panel, events + 2);
    return carry_save(&plane[1], first, second);
}

INLINE part_longs add_8(part_longs *plane, const uint64_t *panel, const uint32_t *events) {
    const part_longs first = add_4(plane, panel, events), second = add_4(plane, panel, events + 4);
    return carry_save(&plane[2], first, second);
}

INLINE part_longs add_16(part_longs *plane, const uint64_t *panel, const uint32_t *events) {
    const part_longs first = add_8(plane, panel, events), second = add_8(plane, panel, events + 8);
    return carry_save(&plane[3], first, second);
}

INLINE part_longs add_32(part_longs *plane, const uint64_t *panel, const uint32_t *events) {
    const part_longs first = add_16(plane, panel, events), second = add_16(plane, panel, events + 16);
    return carry_save(&plane[4], first, second);
}

/* Adds a vector of weight 2^k. */
INLINE void ripple(part_longs *plane, size_t k, size_t planes, part_longs carry) {
    for (; k < planes; k++) {
        const part_longs next = plane[k] & carry;
        plane[k] ^= carry;
        carry = next;
    }
}

INLINE void count_all(part_longs *plane, size_t planes, const uint64_t *panel, const uint32_t *events, size_t count) {
    size_t i = 0;
    for (; planes > 5 && i + 32 <= count; i += 32)
        ripple(plane, 5, planes, add_32(plane, panel, events + i));
    if (planes > 5 && count - i >= 16) {
        ripple(plane, 4, planes, add_16(plane, panel, events + i));
        i += 16;
    }
    for (; planes > 3 && i + 4 <= count; i += 4)
        ripple(plane, 2, planes, add_4(plane, panel, events + i));
    for (; i < count; i++)
        ripple(plane, 0, planes, row_of(panel, events[i]));
}

/* Each bit in a byte of its own, 255 if it is set: -1. */
INLINE part_bytes spread(uint32_t bits) {
#if defined(__AVX512BW__)
    return (part_bytes)_mm256_movm_epi8(bits);
#else
    const part_bytes of = (part_bytes)(UINT64_C(0x8040201008040201) - (part_longs){0});
    const part_bytes all = (part_bytes)(bits - (part_uints){0});
#if VECTOR_BYTES < 32
    const part_bytes byte = __builtin_shufflevector(all, all, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
#else
    const part_bytes byte = __builtin_shufflevector(all, all, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 18, 18,
                                                    18, 18, 18, 18, 18, 18, 19, 19, 19, 19, 19, 19, 19, 19);
#endif
    return (part_bytes)((byte & of) == of);
#endif
}

/* The number that the planes first ... last-1 hold for PART_BYTES outputs from output i on, the last of them its sign;
 * 8 planes can be read as an unsigned byte as well. */
INLINE part_bytes number(const part_longs *plane, size_t first, size_t last, size_t i) {
    part_bytes total = {0};
    for (size_t k = last; k-- > first;) {
        uint32_t some = 0;
        memcpy(&some, (const char *)&plane[k] + i / 8, PART_BYTES / 8);
        const part_bytes set = spread(some);
        total = k + 1 == last ? set : (part_bytes)(total + total - set);
    }
    return total;
}

/* sums += 2 * (what the planes hold + 1) - signs, the sum of signs of which so many more are +1. */
INLINE void add_up(const part_longs *plane, size_t planes, int32_t signs, size_t outputs, int32_t *sums) {
    for (size_t i = 0; i < outputs; i += PART_BYTES) {
        int8_t high[PART_BYTES];
        uint8_t low[PART_BYTES];
        if (planes <= 8) {
            const part_bytes all = number(plane, 0, planes, i);
            memcpy(high, &all, sizeof high);
            for (size_t j = 0; j < PART_BYTES; j++)
                sums[i + j] += 2 * high[j] + 2 - signs;
        } else {
            const part_bytes upper = number(plane, 8, planes, i), lower = number(plane, 0, 8, i);
            memcpy(high, &upper, sizeof high);
            memcpy(low, &lower, sizeof low);
            for (size_t j = 0; j < PART_BYTES; j++)
                sums[i + j] += 2 * (256 * high[j] + low[j]) + 2 - signs;
        }
    }
}

/* Neurons that switched on or off. */
struct switched {
    const uint32_t *ups, *downs;
    size_t up_count, down_count;
};

/* So many planes hold the number of events of each kind, and a sign. Inlined for where they are few and known. */
INLINE void count_in(size_t planes, const uint64_t *panel, const struct switched *of, size_t outputs, int32_t *sums) {
    const size_t part = (size_t)8 * PART_BYTES; /* outputs */
    for (size_t done = 0; done < outputs; done += part, panel += PART_BYTES / 8) {
        const size_t here = outputs - done < part ? outputs - done : part;
        part_longs plane[PLANES];
        for (size_t k = 0; k < planes; k++)
            plane[k] = (part_longs){0};
        count_all(plane, planes, panel, of->downs, of->down_count);
        for (size_t k = 0; k < planes; k++)
            plane[k] = ~plane[k];
        count_all(plane, planes, panel, of->ups, of->up_count);
        add_up(plane, planes, (int32_t)of->up_count - (int32_t)of->down_count, here, sums + done);
    }
}

/* All events at once, at most MOST of each kind. */
static void count_events(const uint64_t *panel, const struct switched *of, size_t outputs, int32_t *sums) {
    const size_t most = of->up_count > of->down_count ? of->up_count : of->down_count;
    if (most < 4)
        count_in(3, panel, of, outputs, sums);
    else if (most < 16)
        count_in(5, panel, of, outputs, sums);
    else if (most < 128)
        count_in(8, panel, of, outputs, sums);
    else
        count_in(33 - (size_t)__builtin_clz((unsigned)most), panel, of, outputs, sums);
}

static void counts(const uint64_t *panel, const uint32_t *ups, size_t up_count, const uint32_t *downs,
                   size_t down_count, size_t outputs, int32_t *sums) {
    while (up_count + down_count > 0) {
        const size_t some = up_count < MOST ? up_count : MOST, others = down_count < MOST ? down_count : MOST;
        count_events(panel, &(struct switched){ups, downs, some, others}, outputs, sums);
        ups += some;
        up_count -= some;
        downs += others;
        down_count -= others;
    }
}

/* What was written beyond the outputs. */
INLINE void clear_rest(int32_t *count, size_t outputs) {
    for (size_t i = outputs; i % 32; i++)
        count[i] = 0;
}

static void add_counts(int32_t *restrict count, size_t outputs, double alpha, double *restrict sums) {
    for (size_t i = 0; i < outputs; i++) {
        sums[i] += alpha * (double)count[i];
        count[i] = 0;
    }
    clear_rest(count, outputs);
}

static void take_contrast(int32_t *restrict count, size_t outputs, int32_t signs, float *restrict contrast) {
    for (size_t i = 0; i < outputs; i++) {
        contrast[i] = 0.5f * (float)(count[i] + signs);
        count[i] = 0;
    }
    clear_rest(count, outputs);
}

/* Some bits of each word, moved together (Warren, Hacker's Delight, "compress"): the moves follow from the mask, so
 * that they are worked out once for all words, and words go side by side through a vector. */
enum { MOVES = 6 };

/* Bits of moves[i] go 2^i places down. */
static void plan(uint64_t mask, uint64_t moves[MOVES]) {
    uint64_t absent = ~mask << 1;
    for (size_t i = 0; i < MOVES; i++) {
        uint64_t odd = absent; /* an odd number of bits that are left out lie below */
        for (size_t by = 1; by < 64; by *= 2)
            odd ^= odd << by;
        moves[i] = odd & mask;
        mask = (mask ^ moves[i]) | moves[i] >> (1 << i);
        absent &= ~odd;
    }
}

static void extract(const uint64_t *restrict words, size_t stride, size_t count, uint64_t mask,
                    uint64_t *restrict out) {
    uint64_t moves[MOVES];
    plan(mask, moves);
    for (size_t j = 0; j < count; j++)
        out[j] = words[j * stride] & mask;
    for (size_t i = 0; i < MOVES; i++)
        for (size_t j = 0; j < count; j++) {
            const uint64_t moved = out[j] & moves[i];
            out[j] = (out[j] ^ moved) | moved >> (1 << i);
        }
}

static const struct count_kernels count_kernels = {
    .counts = counts,
    .add_counts = add_counts,
    .contrast = take_contrast,
    .extract = extract,
};
