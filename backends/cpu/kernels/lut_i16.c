/* SPDX-License-Identifier: MIT */
/*
 * Sums of digits with the signs of a weight matrix: as lut.h, with 16-bit integers. An entry of a table for
 * LANES samples is half as long, so that a table serves one input more, and a sum is one load an entry.
 *
 * Two samples share a word, lane l in its low half and lane l + LANES / 2 in its high one. So they are packed, and sums
 * of up to 64 digits, which fit into 16 bits, are widened to two vectors of lanes in order, without moving anything
 * across a vector. States on a coarse grid are such digits too.
 */
#include "backends/cpu/kernels/finish.h"
#include "backends/cpu/kernels/vectors.h"

/* Parts of an entry; groups of a word. */
enum {
    DIGIT_PARTS = DIGIT_ENTRY_BYTES / PART_BYTES,
    BY_5 = 64 - 5 /* an entry's bytes are 2^5 */,
    MOST_GROUPS = (64 + DIGIT_GROUP - 1) / DIGIT_GROUP
};

static size_t i16_tables(const void *digits, size_t inputs, size_t bytes, float steps, void *tables) {
    const size_t groups = (inputs + DIGIT_GROUP - 1) / DIGIT_GROUP;
    const part_shorts *from = digits;
    part_shorts *table = tables, any = {0};
    (void)bytes, (void)steps;
    for (size_t g = 0; g < groups; g++, table += DIGIT_ENTRIES * DIGIT_PARTS)
        for (size_t p = 0; p < DIGIT_PARTS; p++) {
            part_shorts in[DIGIT_GROUP] = {{0}};
#pragma GCC unroll 6
            for (size_t i = 0; i < DIGIT_GROUP; i++)
                if (g * DIGIT_GROUP + i < inputs)
                    any |= in[i] = from[(g * DIGIT_GROUP + i) * DIGIT_PARTS + p];
            part_shorts some[2][8]; /* the signed sums of three */
#pragma GCC unroll 2
            for (size_t h = 0; h < 2; h++) {
                const part_shorts same = in[3 * h] + in[3 * h + 1], differ = in[3 * h] - in[3 * h + 1],
                                  last = in[3 * h + 2];
                const part_shorts sums[4] = {same + last, same - last, differ + last, differ - last};
                some[h][7] = sums[0], some[h][3] = sums[1], some[h][5] = sums[2], some[h][1] = sums[3];
                some[h][0] = -sums[0], some[h][4] = -sums[1], some[h][2] = -sums[2], some[h][6] = -sums[3];
            }
#pragma GCC unroll 64
            for (size_t bits = 0; bits < DIGIT_ENTRIES; bits++)
                table[bits * DIGIT_PARTS + p] = some[0][bits & 7] + some[1][bits >> 3];
        }
    int16_t some = 0;
    for (size_t i = 0; i < PART_BYTES / 2; i++)
        some |= any[i];
    return some ? groups : 0;
}

/* The signed sum of group g that a word of weights asks for; as in lut.h. */
INLINE const part_shorts *i16_entry(const char *tables, size_t g, uint64_t word) {
    const size_t by = (DIGIT_GROUP * g + BY_5) % 64;
    const size_t at = (word >> by | word << (64 - by) % 64) & (DIGIT_ENTRIES - 1) * DIGIT_ENTRY_BYTES;
    return (const part_shorts *)(const void *)(tables + g * DIGIT_ENTRIES * DIGIT_ENTRY_BYTES + at);
}

/* Sums of two lanes each are added to those of 4 bytes. */
INLINE void i16_widen(const part_shorts *sum, size_t p, int32_t *sums) {
    part_ints *low = (part_ints *)sums + p, *high = low + DIGIT_PARTS;
    *low += (part_ints)*sum << 16 >> 16;
    *high += (part_ints)*sum >> 16;
}

/* apart: the last group is widened by itself. */
INLINE void i16_add_rows(const uint64_t *weights, size_t some, size_t groups, bool apart, const char *tables,
                         int32_t *sums) {
    part_shorts sum[SUMS][DIGIT_PARTS];
#pragma GCC unroll 8
    for (size_t j = 0; j < some; j++)
#pragma GCC unroll 2
        for (size_t p = 0; p < DIGIT_PARTS; p++)
            sum[j][p] = i16_entry(tables, 0, weights[j])[p];
#pragma GCC unroll 11
    for (size_t g = 1; g < groups - apart; g++)
#pragma GCC unroll 8
        for (size_t j = 0; j < some; j++)
#pragma GCC unroll 2
            for (size_t p = 0; p < DIGIT_PARTS; p++) {
                sum[j][p] += i16_entry(tables, g, weights[j])[p];
                IN_ORDER(sum[j][p]);
            }
#pragma GCC unroll 8
    for (size_t j = 0; j < some; j++)
#pragma GCC unroll 2
        for (size_t p = 0; p < DIGIT_PARTS; p++) {
            i16_widen(&sum[j][p], p, sums + j * LANES);
            if (apart)
                i16_widen(i16_entry(tables, groups - 1, weights[j]) + p, p, sums + j * LANES);
        }
}

INLINE void i16_add_groups(const uint64_t *weights, size_t rows, size_t groups, bool apart, const char *tables,
                           int32_t *sums) {
    const size_t some = SUMS / DIGIT_PARTS;
    for (; rows >= some; rows -= some, weights += some, sums += some * LANES)
        i16_add_rows(weights, some, groups, apart, tables, sums);
    for (; rows > 0; rows--, weights++, sums += LANES)
        i16_add_rows(weights, 1, groups, apart, tables, sums);
}

/* For 64, 32, 10, up to 6 and any number of inputs: where it is known, the loop over the groups is unrolled. */
static void i16_add(const uint64_t *weights, size_t rows, size_t groups, size_t bytes, const void *tables, void *sums) {
    (void)bytes;
    switch (groups) {
    case MOST_GROUPS:
        i16_add_groups(weights, rows, MOST_GROUPS, false, tables, sums);
        break;
    case (32 + DIGIT_GROUP - 1) / DIGIT_GROUP:
        i16_add_groups(weights, rows, (32 + DIGIT_GROUP - 1) / DIGIT_GROUP, false, tables, sums);
        break;
    case 2:
        i16_add_groups(weights, rows, 2, false, tables, sums);
        break;
    case 1:
        i16_add_groups(weights, rows, 1, false, tables, sums);
        break;
    default:
        i16_add_groups(weights, rows, groups, false, tables, sums);
    }
}

/* States in steps of a coarse grid: 64 of them may sum to one more than 16 bits hold. */
static void coarse_add(const uint64_t *weights, size_t rows, size_t groups, size_t bytes, const void *tables,
                       void *sums) {
    if (groups == MOST_GROUPS)
        i16_add_groups(weights, rows, MOST_GROUPS, true, tables, sums);
    else
        i16_add(weights, rows, groups, bytes, tables, sums);
}

/* Floats in steps of a coarse grid, the nearest. */
static size_t coarse_tables(const void *x, size_t inputs, size_t bytes, float steps, void *tables) {
    enum { HALF = LANES / 2 };
    const float *from = x;
    uint32_t digits[64 * HALF] __attribute__((aligned(64)));
    for (size_t j = 0; j < inputs; j++)
        for (size_t l = 0; l < HALF; l++) {
            const int32_t low = (int32_t)rintf(from[j * LANES + l] * steps);
            const int32_t high = (int32_t)rintf(from[j * LANES + HALF + l] * steps);
            digits[j * HALF + l] = ((uint32_t)low & 0xffff) | (uint32_t)high << 16;
        }
    return i16_tables(digits, inputs, bytes, steps, tables);
}

static const struct arithmetic lut_digits = {LANES / 2 * sizeof(int32_t), i16_tables, i16_add, leave};
static const struct arithmetic lut_i16 = {LANES * sizeof(float), coarse_tables, coarse_add, grid_finish};
