/* SPDX-License-Identifier: MIT */
/*
 * Sums of digits with the signs of a weight matrix: as signed_sums.h, with 16-bit integers. An entry of a table for
 * LANES samples is half as long, so that a table serves one input more, and a sum is one load an entry.
 *
 * Two samples share a word, lane l in its low half and lane l + LANES / 2 in its high one. So they are packed, and sums
 * of up to 64 digits, which fit into 16 bits, are widened to two vectors of lanes in order, without moving anything
 * across a vector.
 */
#include "backends/cpu/kernels/vectors.h"

#define INLINE static inline __attribute__((always_inline))

/* Of an entry's 32 bytes, in a vector that the machine has. */
#define PART (VECTOR_BYTES < 32 ? 16 : 32)
typedef int16_t halves __attribute__((vector_size(PART)));
typedef int32_t words __attribute__((vector_size(PART)));

/* Parts of an entry, and sums that are in registers at a time. */
enum { PARTS = DIGIT_ENTRY_BYTES / PART, SUMS = 8, BY_5 = 64 - 5 /* an entry's bytes are 2^5 */ };

size_t KERNEL(digit_tables)(const int32_t *digits, size_t inputs, void *tables) {
    const size_t groups = (inputs + DIGIT_GROUP - 1) / DIGIT_GROUP;
    const halves *from = (const halves *)(const void *)digits;
    halves *table = tables, any = {0};
    for (size_t g = 0; g < groups; g++, table += DIGIT_ENTRIES * PARTS)
        for (size_t p = 0; p < PARTS; p++) {
            halves in[DIGIT_GROUP] = {{0}};
#pragma GCC unroll 6
            for (size_t i = 0; i < DIGIT_GROUP; i++)
                if (g * DIGIT_GROUP + i < inputs)
                    any |= in[i] = from[(g * DIGIT_GROUP + i) * PARTS + p];
            halves some[2][8]; /* the signed sums of three */
#pragma GCC unroll 2
            for (size_t h = 0; h < 2; h++) {
                const halves same = in[3 * h] + in[3 * h + 1], differ = in[3 * h] - in[3 * h + 1], last = in[3 * h + 2];
                const halves sums[4] = {same + last, same - last, differ + last, differ - last};
                some[h][7] = sums[0], some[h][3] = sums[1], some[h][5] = sums[2], some[h][1] = sums[3];
                some[h][0] = -sums[0], some[h][4] = -sums[1], some[h][2] = -sums[2], some[h][6] = -sums[3];
            }
#pragma GCC unroll 64
            for (size_t bits = 0; bits < DIGIT_ENTRIES; bits++)
                table[bits * PARTS + p] = some[0][bits & 7] + some[1][bits >> 3];
        }
    int16_t some = 0;
    for (size_t i = 0; i < PART / 2; i++)
        some |= any[i];
    return some ? groups : 0;
}

/* The signed sum of group g that a word of weights asks for; as in signed_sums.h. */
INLINE const halves *entry(const char *tables, size_t g, uint64_t word) {
    const size_t by = (DIGIT_GROUP * g + BY_5) % 64;
    const size_t at = (word >> by | word << (64 - by) % 64) & (DIGIT_ENTRIES - 1) * DIGIT_ENTRY_BYTES;
    return (const halves *)(const void *)(tables + g * DIGIT_ENTRIES * DIGIT_ENTRY_BYTES + at);
}

INLINE void add_rows(const uint64_t *weights, size_t some, size_t groups, const char *tables, int32_t *sums) {
    halves sum[SUMS][PARTS];
#pragma GCC unroll 8
    for (size_t j = 0; j < some; j++)
#pragma GCC unroll 2
        for (size_t p = 0; p < PARTS; p++)
            sum[j][p] = entry(tables, 0, weights[j])[p];
#pragma GCC unroll 11
    for (size_t g = 1; g < groups; g++)
#pragma GCC unroll 8
        for (size_t j = 0; j < some; j++)
#pragma GCC unroll 2
            for (size_t p = 0; p < PARTS; p++) {
                sum[j][p] += entry(tables, g, weights[j])[p];
                IN_ORDER(sum[j][p]);
            }
#pragma GCC unroll 8
    for (size_t j = 0; j < some; j++)
#pragma GCC unroll 2
        for (size_t p = 0; p < PARTS; p++) {
            words *low = (words *)(void *)(sums + j * LANES) + p, *high = low + PARTS;
            *low += (words)sum[j][p] << 16 >> 16;
            *high += (words)sum[j][p] >> 16;
        }
}

INLINE void add_groups(const uint64_t *weights, size_t rows, size_t groups, const char *tables, int32_t *sums) {
    const size_t some = SUMS / PARTS;
    for (; rows >= some; rows -= some, weights += some, sums += some * LANES)
        add_rows(weights, some, groups, tables, sums);
    for (; rows > 0; rows--, weights++, sums += LANES)
        add_rows(weights, 1, groups, tables, sums);
}

/* For 64, 32, 10, up to 6 and any number of inputs: where it is known, the loop over the groups is unrolled. */
void KERNEL(add_digits)(const uint64_t *weights, size_t rows, size_t groups, const void *tables, int32_t *sums) {
    switch (groups) {
    case (64 + DIGIT_GROUP - 1) / DIGIT_GROUP:
        add_groups(weights, rows, (64 + DIGIT_GROUP - 1) / DIGIT_GROUP, tables, sums);
        break;
    case (32 + DIGIT_GROUP - 1) / DIGIT_GROUP:
        add_groups(weights, rows, (32 + DIGIT_GROUP - 1) / DIGIT_GROUP, tables, sums);
        break;
    case 2:
        add_groups(weights, rows, 2, tables, sums);
        break;
    case 1:
        add_groups(weights, rows, 1, tables, sums);
        break;
    default:
        add_groups(weights, rows, groups, tables, sums);
    }
}
