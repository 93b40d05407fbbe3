/* SPDX-License-Identifier: MIT */
/* Counter-based random numbers (Philox 4x32-10 of Random123): a draw depends on the seed and on its purpose, not on
 * earlier draws or on the thread. */
#include <Random123/philox.h>

#include "lib/internal.h"

void bnnep_draw(uint64_t seed, enum bnnep_purpose stream, uint32_t substream, uint64_t index, uint32_t words[4]) {
    const philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
    const philox4x32_ctr_t counter = {{(uint32_t)index, (uint32_t)(index >> 32), substream, (uint32_t)stream}};
    const philox4x32_ctr_t drawn = philox4x32(counter, key);
    for (int i = 0; i < 4; i++)
        words[i] = drawn.v[i];
}

float bnnep_draw_symmetric(uint32_t word) {
    return ((float)(word >> 9) + 0.5f) * 0x1p-22f - 1.0f;
}

void bnnep_draw_order(uint64_t seed, enum bnnep_purpose stream, uint64_t round, uint64_t *order, uint64_t count) {
    uint32_t words[4];
    for (uint64_t i = 0; i < count; i++)
        order[i] = i;
    for (uint64_t i = count; i > 1; i--) {
        bnnep_draw(seed, stream, (uint32_t)round, i, words);
        const uint64_t j = ((uint64_t)words[0] << 32 | words[1]) % i; /* bias below i / 2^64 */
        const uint64_t swapped = order[i - 1];
        order[i - 1] = order[j];
        order[j] = swapped;
    }
}
