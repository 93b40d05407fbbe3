/* SPDX-License-Identifier: MIT */
/* Philox 4x32-10 of Random123: a draw depends on the seed and its place, not on earlier draws. */
#include "draw.h"

#include <Random123/philox.h>
#include <math.h>

enum { STREAM = 6 }; /* none of the library's, which draws by the same seeds */

/* Two independent normal numbers, by Box and Muller. */
static void draw_normal(uint64_t seed, uint32_t connection, uint64_t index, float normal[2]) {
    const philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
    const philox4x32_ctr_t counter = {{(uint32_t)index, (uint32_t)(index >> 32), connection, STREAM}};
    const philox4x32_ctr_t words = philox4x32(counter, key);
    const double radius = sqrt(-2.0 * log(((double)words.v[0] + 0.5) * 0x1p-32));
    const double angle = 6.283185307179586 * ((double)words.v[1] * 0x1p-32);
    normal[0] = (float)(radius * cos(angle));
    normal[1] = (float)(radius * sin(angle));
}

void draw_momentum(uint64_t seed, uint32_t connection, double gamma, float *momentum, size_t count) {
    float normal[2];
    for (size_t i = 0; i < count; i++) {
        if (i % 2 == 0)
            draw_normal(seed, connection, i / 2, normal);
        momentum[i] = normal[i % 2] * (float)(2.0 * gamma);
    }
}
