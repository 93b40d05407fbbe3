/* SPDX-License-Identifier: MIT */
/* Some bits of each word, moved together (Warren, Hacker's Delight, "compress"): the moves follow from the mask, so
 * that they are worked out once for all words, and words go side by side through a vector. */
#include "backends/cpu/kernels/vectors.h"

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

void KERNEL(extract)(const uint64_t *restrict words, size_t stride, size_t count, uint64_t mask,
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
