/* SPDX-License-Identifier: MIT */
/* How units send their changes, in digits; arrays are [unit][LANES], digits packed as in lut_i16.c. */
#include "backends/cpu/kernels/vectors.h"

enum { HALF_LANES = LANES / 2 };

static void largest_change(const float *x, const float *sent, size_t units, float *largest) {
    for (size_t l = 0; l < LANES; l += PART_WIDTH) {
        part_floats most = load_part(largest + l);
        for (size_t v = l; v < units * LANES; v += LANES)
            most = larger_part(magnitude_part(load_part(x + v) - load_part(sent + v)), most);
        store_part(largest + l, most);
    }
}

/* A digit of PART_WIDTH lanes of one unit, in the low half of each number; sent moves by as many steps. */
INLINE part_ints encode_lanes(const float *x, float *sent, const struct digit_steps *s, size_t l, part_floats *left) {
    /* The sum with this number has the nearest integer in its lowest bits. */
    const part_floats shift = 0x1.8p23f - (part_floats){0};
    const part_floats change = load_part(x + l) - load_part(sent + l), steps = change * load_part(s->per_step + l);
    const part_floats rounded = (steps + shift) - shift, most = (float)MOST_DIGIT - (part_floats){0};
    const part_floats within = smaller_part(most, larger_part(-most, rounded));
    const part_floats digit = select_part(magnitude_part(steps) < load_part(s->least + l), (part_floats){0}, within);
    const part_floats now = load_part(sent + l) + digit * load_part(s->step + l);
    store_part(sent + l, now);
    *left = larger_part(magnitude_part(load_part(x + l) - now), *left);
    return (part_ints)(digit + shift) & 0xffff;
}

static void encode(const float *x, float *sent, size_t units, const struct digit_steps *s, int32_t *digits,
                   float *left) {
    for (size_t i = 0; i < HALF_LANES; i += PART_WIDTH) {
        part_floats low_left = load_part(left + i), high_left = load_part(left + HALF_LANES + i);
        for (size_t j = 0; j < units; j++) {
            const part_ints low = encode_lanes(x + j * LANES, sent + j * LANES, s, i, &low_left);
            const part_ints high = encode_lanes(x + j * LANES, sent + j * LANES, s, HALF_LANES + i, &high_left);
            *(part_ints *)(digits + j * HALF_LANES + i) = low | high << 16;
        }
        store_part(left + i, low_left);
        store_part(left + HALF_LANES + i, high_left);
    }
}

static void accumulate(const int32_t *restrict sums, size_t units, const float *restrict step, float *restrict kept) {
    for (size_t j = 0; j < units; j++)
        for (size_t l = 0; l < LANES; l++)
            kept[j * LANES + l] += step[l] * (float)sums[j * LANES + l];
}

static const struct delta_kernels delta_kernels = {largest_change, encode, accumulate};
